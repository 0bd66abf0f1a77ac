"""Hardware profiles: one TOML file per chip, and the typed loader."""

if __name__ != "neurodeploy.hardware_profiles":
    raise ImportError(
        "this folder is a package of neurodeploy: import neurodeploy.hardware_profiles"
    )

# After the check: imported under another name, the package must not load a second copy first.
from neurodeploy.hardware_profiles.loader import load, names, parse
from neurodeploy.hardware_profiles.profile import (
    Counting,
    EnergySet,
    Limits,
    Numerics,
    Power,
    Profile,
    TimingSet,
    ValidationCase,
    value_rows,
)
from neurodeploy.hardware_profiles.registers import limits_in, limits_of
from neurodeploy.hardware_profiles.values import (
    Source,
    SourcedChoice,
    SourcedValue,
)

__all__ = [
    "Counting",
    "EnergySet",
    "Limits",
    "Numerics",
    "Power",
    "Profile",
    "Source",
    "SourcedChoice",
    "SourcedValue",
    "TimingSet",
    "ValidationCase",
    "limits_in",
    "limits_of",
    "load",
    "names",
    "parse",
    "value_rows",
]
