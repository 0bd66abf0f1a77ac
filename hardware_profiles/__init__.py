"""Hardware profiles: one TOML file per chip, and the typed loader."""

if __name__ != "neurodeploy.hardware_profiles":
    raise ImportError(
        "this folder is the package neurodeploy.hardware_profiles: import neurodeploy.hardware_profiles"
    )
