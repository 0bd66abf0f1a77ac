"""Does an evidence file hang together: before anything in it is believed or replayed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from neurodeploy.robustness.evidence import Evidence, EvidenceRow
    from neurodeploy.robustness.point_rows import PointRows


def faults_of(evidence: Evidence) -> list[str]:
    """Return what is wrong with the form of ``evidence``, one text each; empty if all fits.

    Shapes, ranges of sample and member numbers, radii and norms, and that a row's key names its
    own radius. What the points do to a network, ``replay`` tells.
    """
    n = evidence.labels.size
    texts = []
    if evidence.codes.ndim != 2 or evidence.codes.shape[0] != n or evidence.index.shape != (n,):
        texts.append(
            f"codes {evidence.codes.shape}, labels {evidence.labels.shape} and index "
            f"{evidence.index.shape} do not belong together"
        )
    keys = [row.key for row in evidence.rows]
    if len(set(keys)) != len(keys):
        texts.append(f"a key stands there twice: {keys}")
    for row in evidence.rows:
        texts += [f"{row.key}: {text}" for text in _row_faults(evidence, row)]
    return texts


def untried(row: EvidenceRow, clean_right: NDArray[np.bool_]) -> int:
    """Return on how many samples that are right without any attack the row holds no point."""
    tried = np.zeros(clean_right.shape, dtype=np.bool_)
    tried[row.rows.sample] = True
    return int((clean_right & ~tried).sum())


def _row_faults(evidence: Evidence, row: EvidenceRow) -> list[str]:
    n, texts = evidence.labels.size, []
    radius = row.radius_codes
    if not (isinstance(radius, (int, float)) and math.isfinite(radius) and radius > 0):
        texts.append(f"radius {radius!r} is no positive number")
    elif not _names(row.key, radius):
        texts.append(f"its radius is {radius}")
    if row.norm not in ("linf", "l2", None):
        texts.append(f"norm {row.norm!r} is neither linf, l2 nor none")
    for name, rows in (("points", row.rows), ("null points", row.null_rows)):
        texts += [f"{name}: {text}" for text in _point_faults(evidence, row, rows)]
    for name, mask in (*row.robust.items(), ("null", row.null_robust)):
        if mask.shape != (n,) or mask.dtype != np.bool_:
            texts.append(f"outcome {name}: {mask.dtype} {mask.shape}, needs bool ({n},)")
    return texts


def _names(key: str, radius: float) -> bool:
    """Return whether the key names the radius; older files round it to six digits."""
    text = key.rpartition("/")[2]
    try:
        return float(text) == radius or text == f"{radius:g}"
    except ValueError:
        return False


def _point_faults(evidence: Evidence, row: EvidenceRow, rows: PointRows) -> list[str]:
    count, texts = rows.sample.size, []
    if rows.points.shape != (count, evidence.codes.shape[-1]) or rows.member.shape != (count,):
        texts.append(f"shapes {rows.points.shape}, {rows.member.shape} for {count} samples")
    limits = (("sample", rows.sample, evidence.labels.size), ("member", rows.member, None))
    for name, numbers, most in limits:
        limit = len(row.members) if most is None else most
        null = most is None and rows is row.null_rows
        if numbers.size and (numbers.min() < 0 or (not null and numbers.max() >= limit)):
            texts.append(f"{name} {numbers.min()}..{numbers.max()} leaves 0..{limit - 1}")
    return texts
