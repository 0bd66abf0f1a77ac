"""What a run recorded: output and, on request, spikes and states of every population."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import quote, unquote

import h5py
import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import FileFormatError, InputError, ShapeError
from neurodeploy.file_kind import wrong_file
from neurodeploy.files import replacing
from neurodeploy.network.array_file import read_arrays
from neurodeploy.network.arrays import frozen
from neurodeploy.network.encoding import Readout, ReadoutKind

TRACES_SCHEMA = 1
Quantity = Literal["spikes", "u", "v", "v_pre", "y"]
QUANTITIES: tuple[Quantity, ...] = ("spikes", "u", "v", "v_pre", "y")
#: Where a file keeps counts; and names of a traces file that no population's group may have.
COUNTS = "counts/"
_TAKEN = ("output", "meta", "counts", ".", "..")


@dataclass(frozen=True, slots=True, eq=False)
class Traces:
    """Recorded arrays, time first; the time axis is logical.

    Parameters
    ----------
    output : array [T, B, classes]
        Of the read-out population: its spikes if the read-out counts spikes, else its membrane
        ``v`` after each step.
    records : mapping of "<population>/<quantity>" to array [T, B, N]
        ``spikes`` (uint8, or int32 where a step may hold several), ``u`` and ``v`` (after reset;
        int32 or float64) and ``v_pre`` (before reset). Float runs also give ``<node>/y``, what a
        linear node puts out.
    counts : mapping of "<population>/<count>" to array [B]
        ``spikes`` fired and, for fixed-point runs, ``wraps`` of u and ``clamps`` of v; and
        ``"<synapse>/operations"``: synaptic operations (a spike or a non-zero code meeting a
        non-zero weight). int64.
    meta : mapping
        JSON types: schema, backend, read-out, contract, per population NIR nodes, scale, latency
        and kind; seed, versions, input hash.
    """

    output: NDArray[Any]
    records: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    counts: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)
    meta: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Make every array read-only."""
        object.__setattr__(self, "output", frozen(self.output))
        for name in ("records", "counts"):
            mapping = {key: frozen(value) for key, value in getattr(self, name).items()}
            object.__setattr__(self, name, mapping)

    @property
    def populations(self) -> tuple[str, ...]:
        """Names of the populations with at least one record, in network order."""
        return tuple(dict.fromkeys(key.rsplit("/", 1)[0] for key in self.records))

    def scores(self) -> NDArray[Any]:
        """Return the read-out of each sample, [B, classes], as ``meta["readout"]`` says.

        It holds ``kind`` and, where it has them, ``window`` and ``offset`` (see ``read_out``).
        """
        if "readout" not in self.meta:
            raise InputError("traces: meta names no read-out, so there are no scores")
        readout = self.meta["readout"]
        return read_out(self.output, readout["kind"], readout.get("window"), readout.get("offset"))

    def save(self, path: str | Path) -> None:
        """Write to ``path``: .npz, or .h5 for long runs. Keys are the same in both."""
        path = Path(path)
        arrays: dict[str, NDArray[Any]] = {"output": self.output}
        arrays.update({escaped_key(key): value for key, value in self.records.items()})
        arrays.update({COUNTS + escaped_key(key): value for key, value in self.counts.items()})
        meta = json.dumps({"schema": TRACES_SCHEMA, **self.meta})
        if path.suffix == ".npz":
            # A file object keeps numpy from appending .npz to the temporary name.
            with replacing(path) as temporary, temporary.open("wb") as npz:
                np.savez_compressed(npz, allow_pickle=False, meta=np.array(meta), **arrays)
        elif path.suffix == ".h5":
            with replacing(path) as temporary, h5py.File(temporary, "w") as file:
                file["meta"] = meta
                for key, value in arrays.items():
                    file.create_dataset(key, data=value, compression="gzip", shuffle=True)
        else:
            raise InputError(f"{path}: traces are written as .npz or .h5, not {path.suffix!r}")

    @staticmethod
    def load(path: str | Path) -> Traces:
        """Read traces from a .npz or .h5 file.

        Raises
        ------
        FileFormatError
            If the file is of another kind or schema.
        """
        path = Path(path)
        stored = read_arrays(path, "traces")
        try:
            meta = json.loads(str(stored.pop("meta")[()]))
            output = stored.pop("output")
        except KeyError as error:
            raise wrong_file(path, "a traces file", "neurodeploy run writes them") from error
        except ValueError as error:
            raise FileFormatError(f"{path}: meta of the traces is no JSON: {error}") from error
        schema = meta.get("schema") if isinstance(meta, dict) else None
        if schema != TRACES_SCHEMA:
            raise FileFormatError(
                f"{path}: traces schema {schema}; this version reads {TRACES_SCHEMA}"
            )
        _check_meta(path, meta)
        for key, array in {**stored, "output": output}.items():
            axes = 1 if key.startswith(COUNTS) else 3
            if array.dtype.kind not in "biuf" or array.ndim != axes or array.size == 0:
                raise FileFormatError(
                    f"{path}: {key} is {array.dtype} of shape {array.shape}, needs numbers with "
                    f"{axes} axes"
                )
        # A population may be called "counts" too, which only the escaped key tells apart.
        counts = {
            unquote(key.removeprefix(COUNTS)): array
            for key, array in stored.items()
            if key.startswith(COUNTS)
        }
        records = {unquote(key): a for key, a in stored.items() if not key.startswith(COUNTS)}
        return Traces(output, records, counts, meta)


def _check_meta(path: Path, meta: Mapping[str, Any]) -> None:
    """Raise FileFormatError where a field that readers rely on is there but of another type."""
    readout, populations = meta.get("readout", {"kind": "sum"}), meta.get("populations", {})
    if not isinstance(readout, dict) or readout.get("kind") not in get_args(ReadoutKind):
        raise FileFormatError(f"{path}: meta names no known read-out: {readout!r}")
    offset = readout.get("offset", [])
    if not isinstance(offset, list) or not all(type(v) is int and abs(v) < 2**62 for v in offset):
        raise FileFormatError(f"{path}: meta's read-out has offsets that are no whole numbers")
    entries = populations.values() if isinstance(populations, dict) else [None]
    if not all(isinstance(e, dict) and _is_scale(e.get("scale")) for e in entries):
        raise FileFormatError(f"{path}: meta does not describe the populations' scales")


def _is_scale(value: Any) -> bool:
    """Whether it is a positive number, or one per neuron."""
    values = value if isinstance(value, list) and value else [value]
    return all(isinstance(v, (int, float)) and v > 0 for v in values)


def read_out(
    output: NDArray[Any],
    kind: str,
    window: Sequence[int] | None = None,
    offset: Sequence[int] | None = None,
) -> NDArray[Any]:
    """Reduce an output [T, B, classes] to scores [B, classes].

    ``count`` adds the spikes; ``sum`` and ``last_v`` take the last membrane (a summing population
    has already summed); ``mean_v`` and ``max_v`` reduce over time. Integer outputs stay integers:
    ``mean_v`` then returns the sum, which decides alike. ``window`` (start, stop) limits the steps.
    ``offset`` [classes] is added to every membrane (``FixedPointNetwork.score_offset``).

    Raises
    ------
    ShapeError
        If the run is shorter than the window, or an offset is not one number per class.
    """
    wide = np.asarray(output)
    wide = wide.astype(np.float64 if wide.dtype.kind == "f" else np.int64)
    if offset is not None:
        added = np.asarray(offset)
        if added.shape != wide.shape[-1:]:
            raise ShapeError(f"read-out: {added.shape} offsets for {wide.shape[-1]} classes")
        wide = wide + added
    if window is not None:
        start, stop = (int(step) for step in window)
        if stop > wide.shape[0]:
            raise ShapeError(
                f"read-out: window {start}:{stop} ends after the run's {wide.shape[0]} steps"
            )
        before = wide[start - 1] if start and kind == "sum" else 0
        return read_out(wide[start:stop], kind) - before
    if kind in ("sum", "last_v"):
        scores = wide[-1]
    elif kind == "max_v":
        scores = wide.max(axis=0)
    elif kind == "mean_v" and wide.dtype.kind == "f":
        scores = wide.mean(axis=0)
    else:
        scores = wide.sum(axis=0)
    return np.asarray(scores)


def readout_quantity(readout: Readout) -> Quantity:
    """Return which quantity of the read-out population is the network's output."""
    return "spikes" if readout.kind == "count" else "v"


def escaped_key(key: str) -> str:
    """Escape what a file would take for its own: slashes inside a population's name, and words.

    The last slash separates the quantity. ``urllib.parse.unquote`` undoes it.
    """
    if "/" not in key:
        return key
    name, quantity = key.rsplit("/", 1)
    escaped = quote(name, safe=" ")
    if escaped in _TAKEN:
        escaped = f"%{ord(name[0]):02X}{name[1:]}"
    return f"{escaped}/{quantity}"
