"""Do the labels belong to the classes of the networks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import InputError, RangeError
from neurodeploy.findings import Finding

#: How many classes a message names.
_NAMED = 8


def check_labels(
    labels: NDArray[np.int64], classes: int, *, allow_empty: bool = False
) -> tuple[Finding, ...]:
    """Check labels [n] against the number of ``classes``; return a warning for empty ones.

    Raises
    ------
    RangeError
        If a label has no output.
    InputError
        If a class has no sample, and this is not allowed: the result would be silent about it.
    """
    if labels.max() >= classes:
        where = int(labels.argmax())
        raise RangeError(
            f"evaluation data: label {labels.max()} of sample {where} has no output; the networks "
            f"have {classes} classes, 0..{classes - 1}"
        )
    empty = np.flatnonzero(np.bincount(labels, minlength=classes) == 0)
    if empty.size == 0:
        return ()
    named = ", ".join(map(str, empty[:_NAMED])) + (", ..." if empty.size > _NAMED else "")
    what = f"no sample of {empty.size} of {classes} classes ({named})"
    remedy = "add some; without them the result says nothing about these classes"
    if not allow_empty:
        raise InputError(
            f"evaluation data: {what}; {remedy}, or pass --allow-empty-classes, which marks the "
            "result"
        )
    numbers = {"empty": int(empty.size), "classes": classes}
    return (Finding("warning", "evaluation data", what, remedy, numbers),)
