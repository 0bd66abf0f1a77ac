"""What `robustness` is asked for: defaults, a SWEEP.toml, then options."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from neurodeploy.errors import InputError
from neurodeploy.pipeline.certificates import CertificatesConfig, SmoothingSettings
from neurodeploy.pipeline.curves import CurvesConfig
from neurodeploy.pipeline.settings import default_radii
from neurodeploy.robustness import RobustnessConfig
from neurodeploy.toml_config import read_toml, updated


@dataclass(frozen=True, slots=True)
class Sweep:
    """Attacks, and the curves and proofs beside them."""

    robustness: RobustnessConfig = field(default_factory=RobustnessConfig)
    curves: CurvesConfig = field(default_factory=CurvesConfig)
    certificates: CertificatesConfig = field(default_factory=CertificatesConfig)
    smoothing: SmoothingSettings = field(default_factory=SmoothingSettings)


def read_sweep(path: str | Path | None, max_code: int, **options: Any) -> Sweep:
    """Return the sweep of a file with the fields of ``Sweep`` as tables, all of them optional.

    Parameters
    ----------
    path : path or None
        TOML; keys are the fields of the tables' types. None: defaults. A table ``smoothing``
        needs ``sigma_codes``.
    max_code : int
        Decides the default radii.
    options : fields of RobustnessConfig
        Of the command line; None leaves what the file says.

    Raises
    ------
    FileFormatError
        If the file is no TOML.
    InputError
        For an unknown key, a value of the wrong type, or one outside its range.
    """
    start = Sweep(RobustnessConfig(radii_codes=default_radii(max_code)))
    smooths = False
    if path is not None:
        tables = read_toml(path, "write the table [robustness], for example")
        smooths = "smoothing" in tables
        try:
            start = updated(str(path), start, tables)
            if smooths:
                start.smoothing.run(seed=0)  # a table without sigma is a mistake
        except InputError as error:
            text = str(error)
            raise InputError(text if text.startswith(str(path)) else f"{path}: {text}") from error
    chosen = {name: value for name, value in options.items() if value is not None}
    robustness = dataclasses.replace(start.robustness, **chosen)
    if robustness.null_seed == robustness.seed:
        raise InputError(
            f"null_seed and seed are both {robustness.seed}: the null line would compare a run "
            "with itself; give another null_seed, or none"
        )
    if smooths:
        start.smoothing.run(robustness.seed)
    return dataclasses.replace(start, robustness=robustness)
