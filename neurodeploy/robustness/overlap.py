"""Tuning never sees evaluation samples: the check for it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from numpy.typing import NDArray

from neurodeploy.errors import OverlapError
from neurodeploy.files import sample_hashes
from neurodeploy.findings import Finding


def check_overlap(
    calibration_hashes: Iterable[str], codes: NDArray[Any], *, allow: bool = False
) -> tuple[Finding, ...]:
    """Check that no evaluation sample was used for tuning.

    Parameters
    ----------
    calibration_hashes : iterable of str
        Hashes of the codes that tuned the network (``FixedPointNetwork.calibration``).
    codes : integer array [B, n]
        Codes of the evaluation samples.
    allow : bool
        Return a warning that marks the result, instead of an error.

    Raises
    ------
    OverlapError
        If a sample is in both sets and ``allow`` is not set.
    """
    known = set(calibration_hashes)
    shared = [i for i, digest in enumerate(sample_hashes(codes)) if digest in known]
    if not shared:
        return ()
    what = (
        f"{len(shared)} of {len(codes)} evaluation samples (first: {shared[0]}) "
        "were used for calibration"
    )
    if not allow:
        raise OverlapError(
            f"evaluation data: {what}; evaluate on other samples, or pass --allow-overlap, "
            "which marks the result"
        )
    numbers = {"shared": len(shared), "n": len(codes)}
    remedy = "evaluate on samples that tuned nothing"
    return (Finding("warning", "evaluation data", what, remedy, numbers),)
