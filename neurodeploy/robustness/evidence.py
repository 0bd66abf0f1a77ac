"""Evidence: every adversarial point in one file, and its replay without any attack code."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import FileFormatError, InputError, ResourceError
from neurodeploy.files import replacing
from neurodeploy.network import FixedPointNetwork, Network
from neurodeploy.robustness.classifiers import NetworkClassifier
from neurodeploy.robustness.config import SIDES, Norm, Side
from neurodeploy.robustness.evidence_checks import faults_of, untried
from neurodeploy.robustness.point_rows import PointRows

EVIDENCE_SCHEMA = 2
_KIND = "neurodeploy robustness evidence"
#: What numpy, zip and zlib raise for a file that is damaged, encrypted or of another kind.
UNREADABLE = (
    OSError,
    EOFError,
    BadZipFile,
    zlib.error,
    KeyError,
    ValueError,
    TypeError,
    AttributeError,
    OverflowError,
    RuntimeError,
)


def evidence_key(name: str, radius_codes: float) -> str:
    """Return the key of the row of ``name`` at ``radius_codes``: ``suite/26``, ``fgsm/26.5``.

    Radii that differ have keys that differ: the shortest digits that are the radius and no other.
    """
    radius = float(radius_codes)
    return f"{name}/{int(radius) if radius.is_integer() else radius}"


class Predictor(Protocol):
    """Anything that decides on whole codes [B, n_input]; -1 is a tie."""

    def predict(self, codes: NDArray[np.int32]) -> NDArray[np.int64]:
        """Return the class of each sample, int64 [B]."""


@dataclass(frozen=True, slots=True, eq=False)
class EvidenceRow:
    """The points of one perturbation at one radius, and who was right on all of them.

    Parameters
    ----------
    key : str
        ``<perturbation>/<radius>``; a sanity check that is no result has the prefix ``check/``.
    norm : {"linf", "l2"} or None
        All points must lie within ``radius_codes`` of their sample in this norm; None: anywhere.
    members : tuple of str
        Names of the members that ``rows.member`` counts.
    rows, null_rows : PointRows
        ``sample`` counts the samples of the file. The null line's second side has no member names
        of its own.
    robust : mapping of "float" and "fixed" to bool [n]
        Right on the clean sample and on every one of its points.
    null_robust : bool [n]
        The float network right on the clean sample and on every one of ``null_rows``.
    """

    key: str
    radius_codes: float
    norm: Norm | None
    members: tuple[str, ...]
    rows: PointRows
    null_rows: PointRows
    robust: Mapping[Side, NDArray[np.bool_]]
    null_robust: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """All points of an evaluation.

    Parameters
    ----------
    codes, labels : int32 [n, n_input], int64 [n]
        The clean samples.
    index : int64 [n]
        Position of each sample in the data that was evaluated.
    max_code : int
        Points lie in 0..max_code.
    fingerprints : mapping of "float" and "fixed" to str
        Content hashes of the two networks; empty where a classifier has none.
    """

    codes: NDArray[np.int32]
    labels: NDArray[np.int64]
    index: NDArray[np.int64]
    max_code: int
    rows: tuple[EvidenceRow, ...]
    fingerprints: Mapping[Side, str]


@dataclass(frozen=True, slots=True)
class Replay:
    """What a replay found.

    ``rows`` holds, per key, the shares recomputed from the predictors that were given (``float``,
    ``fixed``; ``lost`` and ``gained`` need both; where one is missing its stored outcome is used).
    ``differences`` says in words what does not agree with the file; empty if all does.
    """

    rows: Mapping[str, Mapping[str, float]]
    differences: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether everything agrees."""
        return not self.differences


def save_evidence(path: str | Path, evidence: Evidence) -> None:
    """Write ``evidence`` as .npz, whole or not at all. Codes are uint8 where they fit.

    Raises
    ------
    InputError
        If the folder cannot be written.
    ResourceError
        If the disk is full, or writing fails for another reason of the system.
    """
    width = np.uint8 if evidence.max_code <= 255 else np.uint16
    meta = {
        "kind": _KIND,
        "schema": EVIDENCE_SCHEMA,
        "max_code": evidence.max_code,
        "fingerprints": dict(evidence.fingerprints),
        "rows": [
            {
                "key": row.key,
                "radius_codes": row.radius_codes,
                "norm": row.norm,
                "members": list(row.members),
            }
            for row in evidence.rows
        ],
    }
    arrays: dict[str, NDArray[Any]] = {
        "meta": np.array(json.dumps(meta)),
        "codes": evidence.codes.astype(width),
        "labels": evidence.labels,
        "index": evidence.index,
    }
    for row in evidence.rows:
        for name, rows in (("", row.rows), ("null_", row.null_rows)):
            arrays[f"{row.key}/{name}sample"] = rows.sample.astype(np.int32)
            arrays[f"{row.key}/{name}member"] = rows.member.astype(np.int32)
            arrays[f"{row.key}/{name}points"] = rows.points.astype(width)
        arrays[f"{row.key}/null_robust"] = row.null_robust
        for side in SIDES:
            arrays[f"{row.key}/{side}_robust"] = row.robust[side]
    try:
        with replacing(path) as temporary, temporary.open("wb") as file:
            # A file object keeps numpy from appending .npz to the temporary name.
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
    except OSError as error:
        raise ResourceError(
            f"{path}: cannot be written: {error.strerror}; nothing was left there. Free some "
            "space, or choose another folder"
        ) from error


def is_evidence(path: str | Path) -> bool:
    """Return whether the file says that it is evidence; damaged or not."""
    try:
        with Path(path).open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            return "meta" in file.files and _KIND in str(file["meta"][()])
    except UNREADABLE:
        return False


def load_evidence(path: str | Path) -> Evidence:
    """Read an evidence file.

    Raises
    ------
    FileFormatError
        If the file is damaged, or of another kind or schema.
    """
    try:
        # Opened here: numpy leaves a file open that turns out to be damaged.
        with Path(path).open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
        meta = json.loads(str(arrays["meta"][()]))
        if meta.get("kind") != _KIND or meta.get("schema") != EVIDENCE_SCHEMA:
            raise FileFormatError(
                f"{path}: kind {meta.get('kind')!r}, schema {meta.get('schema')}; this version "
                f"reads {_KIND!r}, schema {EVIDENCE_SCHEMA}"
            )
        rows = tuple(_row(entry, arrays) for entry in meta["rows"])
        evidence = Evidence(
            codes=arrays["codes"].astype(np.int32),
            labels=arrays["labels"],
            index=arrays["index"],
            max_code=int(meta["max_code"]),
            rows=rows,
            fingerprints=meta["fingerprints"],
        )
        if faults := faults_of(evidence):
            raise ValueError("; ".join(faults))
        return evidence
    except UNREADABLE as error:
        raise FileFormatError(f"{path}: cannot be read as evidence: {error}") from error


def replay(
    path: str | Path,
    float_net: Network | Predictor | None = None,
    fixed_net: FixedPointNetwork | Predictor | None = None,
) -> Replay:
    """Run the networks on every stored point again and compare with what the file claims.

    No attack code runs: the points are checked against ball and range, predicted exactly, pooled,
    and counted. Give one network or both.

    Raises
    ------
    InputError
        If no network is given.
    """
    if float_net is None and fixed_net is None:
        raise InputError("replay: give the float network, the fixed one, or both")
    given: dict[Side, Any] = {"float": float_net, "fixed": fixed_net}
    predictors: dict[Side, Predictor] = {
        side: _predictor(net) for side, net in given.items() if net is not None
    }
    evidence = load_evidence(path)
    differences = _changed(evidence, predictors)
    clean = {
        side: predictor.predict(evidence.codes) == evidence.labels
        for side, predictor in predictors.items()
    }
    rows = {}
    for row in evidence.rows:
        differences += _illegal(evidence, row) + _untried(row, clean)
        robust = dict(row.robust)
        for side, predictor in predictors.items():
            robust[side] = clean[side] & _right(predictor, row.rows, evidence.labels)
            differences += _unequal(evidence, f"{row.key}: {side}", row.robust[side], robust[side])
        if "float" in predictors and row.null_rows.sample.size:
            null = clean["float"] & _right(predictors["float"], row.null_rows, evidence.labels)
            differences += _unequal(evidence, f"{row.key}: null line", row.null_robust, null)
        rows[row.key] = {
            "float": float(robust["float"].mean()),
            "fixed": float(robust["fixed"].mean()),
            "lost": float((robust["float"] & ~robust["fixed"]).mean()),
            "gained": float((robust["fixed"] & ~robust["float"]).mean()),
        }
    return Replay(rows, tuple(differences))


def _row(entry: dict[str, Any], arrays: Mapping[str, NDArray[Any]]) -> EvidenceRow:
    key = entry["key"]
    return EvidenceRow(
        key=key,
        radius_codes=entry["radius_codes"],
        norm=entry["norm"],
        members=tuple(entry["members"]),
        rows=_point_rows(f"{key}/", arrays),
        null_rows=_point_rows(f"{key}/null_", arrays),
        robust={side: arrays[f"{key}/{side}_robust"] for side in SIDES},
        null_robust=arrays[f"{key}/null_robust"],
    )


def _point_rows(prefix: str, arrays: Mapping[str, NDArray[Any]]) -> PointRows:
    return PointRows(
        arrays[f"{prefix}sample"].astype(np.int64),
        arrays[f"{prefix}member"].astype(np.int64),
        arrays[f"{prefix}points"].astype(np.int32),
    )


def _predictor(net: Any) -> Predictor:
    if isinstance(net, (Network, FixedPointNetwork)):
        return NetworkClassifier(net)
    predictor: Predictor = net
    return predictor


def _right(predictor: Predictor, rows: PointRows, labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    return rows.right(predictor.predict(rows.points), labels)


def _changed(evidence: Evidence, predictors: Mapping[Side, Predictor]) -> list[str]:
    """Say which network is not the one that was evaluated."""
    texts = []
    for side, predictor in predictors.items():
        grid = getattr(predictor, "max_code", evidence.max_code)
        if grid != evidence.max_code:
            texts.append(f"{side} network: codes go to {grid}, in the file to {evidence.max_code}")
        stored = evidence.fingerprints.get(side, "")
        if stored and isinstance(predictor, NetworkClassifier):
            found = predictor.fingerprint()
            if found != stored:
                texts.append(
                    f"{side} network: hash {found[:12]}... is not the evaluated {stored[:12]}..."
                )
    return texts


def _untried(row: EvidenceRow, clean: Mapping[Side, NDArray[np.bool_]]) -> list[str]:
    """Say where an attack claims a result on samples that it never tried."""
    if row.norm is None or row.key.startswith("check/"):
        return []
    counts = {side: untried(row, right) for side, right in clean.items()}
    return [
        f"{row.key}: {side}: no point for {count} samples that are right when clean"
        for side, count in counts.items()
        if count
    ]


def _illegal(evidence: Evidence, row: EvidenceRow) -> list[str]:
    """Say where a point leaves the code range or its ball."""
    texts = []
    for name, rows in (("points", row.rows), ("null points", row.null_rows)):
        points = rows.points
        if not points.size:
            continue
        if points.min() < 0 or points.max() > evidence.max_code:
            texts.append(f"{row.key}: {name} leave the range 0..{evidence.max_code}")
        if row.norm is not None:
            farthest, outside = _farthest(points - evidence.codes[rows.sample], row)
            if outside:
                texts.append(
                    f"{row.key}: {name} lie up to {farthest:g} codes from their sample; the "
                    f"{row.norm} radius is {row.radius_codes:g}"
                )
    return texts


def _farthest(offset: NDArray[np.int32], row: EvidenceRow) -> tuple[float, bool]:
    """Return the largest distance, and whether it is larger than the radius, exactly."""
    if row.norm == "linf":
        largest = int(np.abs(offset).max())
        return largest, largest > row.radius_codes
    square = int((offset.astype(np.int64) ** 2).sum(axis=1).max())
    return math.sqrt(square), square > Fraction(row.radius_codes) ** 2


def _unequal(
    evidence: Evidence, what: str, stored: NDArray[np.bool_], found: NDArray[np.bool_]
) -> list[str]:
    """Say on which samples an outcome differs from the stored one."""
    where = np.flatnonzero(stored != found)
    if where.size == 0:
        return []
    first = evidence.index[where[0]]
    return [
        f"{what}: {where.size} of {stored.size} samples differ (first: {first}); "
        f"right on {int(stored.sum())} in the file, on {int(found.sum())} now"
    ]
