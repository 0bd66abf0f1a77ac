"""Hardware profiles: one TOML file per chip, and the typed loader."""

if __name__ != "neurodeploy.hardware_profiles":
    raise ImportError(
        "this folder is a package of neurodeploy: import neurodeploy.hardware_profiles"
    )
