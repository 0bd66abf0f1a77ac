"""Compare a study that was run again with the committed table."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

#: What the same integers may differ by, in images of a cell: gradients of the float network are
#: sums of floats, whose order hangs on the processor, and attacks follow them.
SAME_NETWORK_IMAGES = 4
#: What another training of the same network may differ by, in points: sums of floats, again, lead
#: training on another processor elsewhere. Seeds and folds of a variant differ by less.
RETRAINED_POINTS = {"clean": 5.0, "gaussian": 10.0, "suite": 15.0, "certified": 25.0}
_KEY = ("variant", "seed", "fold", "bits", "measure")


def differences(rows: Iterable[Mapping[str, Any]], table: Path) -> list[str]:
    """Return where ``rows`` (as ``digits_table.rows_of``) say something else than the CSV file.

    Of the same integers, what is decided without attack and what is proven must be equal; attacks
    may differ by a few images. Where training ended in other integers, shares must be close.
    """
    with table.open(encoding="utf-8", newline="") as file:
        stored = {_key(row): row for row in csv.DictReader(file)}
    return [text for row in rows for text in _compared(row, stored.get(_key(row)))]


def _key(row: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(row[name]) for name in _KEY)


def _compared(row: Mapping[str, Any], stored: Mapping[str, str] | None) -> Sequence[str]:
    where = " ".join(_key(row))
    if stored is None:
        return [f"{where}: not in the table"]
    kind, n = str(row["measure"]).split("/")[0], int(row["n"])
    same = row["network"] == stored["network"]
    limit = RETRAINED_POINTS[kind] * n / 100
    if same:
        limit = 0 if kind in ("clean", "certified") else SAME_NETWORK_IMAGES
    texts = []
    for side in ("float", "fixed"):
        now, then = row.get(side, ""), stored[side]
        if (str(now) == "") != (then == ""):
            texts.append(f"{where}: {side} {now!r}, in the table {then!r}")
        elif then != "" and abs(int(now) - int(then)) > limit:
            what = "the same integers" if same else "another training"
            texts.append(
                f"{where}: {side} {now} of {n}, in the table {then}; {what} may differ by {limit:g}"
            )
    return texts
