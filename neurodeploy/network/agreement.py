"""Two runs of the same populations side by side: first difference, agreement, rates."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import InputError, ShapeError
from neurodeploy.network.encoding import decide
from neurodeploy.network.traces import Traces


@dataclass(frozen=True, slots=True)
class FirstDifference:
    """Earliest logical step (from 1) at which two records differ, and one place where they do."""

    t: int
    sample: int
    neuron: int
    a: float
    b: float


@dataclass(frozen=True, slots=True)
class RecordAgreement:
    """One quantity of one population in two runs.

    ``agreement`` is the share of equal entries, ``rate_a`` and ``rate_b`` the mean of the entries
    (for spikes: spikes per neuron and step).
    """

    population: str
    quantity: str
    compared: int
    mismatches: int
    agreement: float
    rate_a: float
    rate_b: float
    first_difference: FirstDifference | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Agreement of all records that two traces share, and of their decisions."""

    records: tuple[RecordAgreement, ...]
    decisions_equal: int
    samples: int

    @property
    def exact(self) -> bool:
        """Whether every compared entry is equal."""
        return all(record.mismatches == 0 for record in self.records)

    @property
    def mismatches(self) -> int:
        """Number of differing entries over all records."""
        return sum(record.mismatches for record in self.records)

    @property
    def compared(self) -> int:
        """Number of compared entries over all records."""
        return sum(record.compared for record in self.records)

    def as_dict(self) -> dict[str, Any]:
        """Return the comparison as JSON types."""
        return dataclasses.asdict(self)


def compare_traces(a: Traces, b: Traces, *, scaled: bool = False) -> Comparison:
    """Compare every record that both traces hold; zero tolerance.

    Parameters
    ----------
    a, b : Traces
        With the same time axis, samples and populations.
    scaled : bool
        Put ``v`` and ``v_pre`` into membrane units first (a float run and a fixed-point run have
        different units); spikes are compared as they are. ``u`` is left out: on a chip it has the
        membrane's unit, in float its own.

    Raises
    ------
    InputError
        If the traces share no record.
    ShapeError
        If a shared record has two shapes.
    """
    shared = [key for key in a.records if key in b.records and not (scaled and key.endswith("/u"))]
    if not shared:
        raise InputError(
            f"the traces share no record: a holds {sorted(a.records)}, "
            f"b holds {sorted(b.records)}; "
            "record the same populations and quantities in both runs"
        )
    records = tuple(_compare_record(key, a, b, scaled) for key in shared)
    scores_a, scores_b = a.scores(), b.scores()
    if scores_a.shape != scores_b.shape:
        raise ShapeError(f"output: scores {scores_a.shape} against {scores_b.shape}")
    equal = int((decide(scores_a) == decide(scores_b)).sum())
    return Comparison(records, equal, int(scores_a.shape[0]))


def _compare_record(key: str, a: Traces, b: Traces, scaled: bool) -> RecordAgreement:
    population, quantity = key.rsplit("/", 1)
    left, right = a.records[key], b.records[key]
    if left.shape != right.shape:
        raise ShapeError(f"{key}: {left.shape} against {right.shape}; run the same input and steps")
    if scaled and quantity != "spikes":
        left, right = _membrane(a, population, left), _membrane(b, population, right)
    different = left != right
    return RecordAgreement(
        population=population,
        quantity=quantity,
        compared=int(different.size),
        mismatches=int(different.sum()),
        agreement=float(1.0 - different.mean()) if different.size else 1.0,
        rate_a=float(left.mean()) if left.size else 0.0,
        rate_b=float(right.mean()) if right.size else 0.0,
        first_difference=_first_difference(different, left, right),
    )


def _membrane(traces: Traces, population: str, values: NDArray[Any]) -> NDArray[np.float64]:
    """Return states in membrane units of the float network."""
    entry = traces.meta.get("populations", {}).get(population)
    if entry is None:
        raise InputError(f"traces: meta gives no scale for {population!r}; record them again")
    scale, origin = (np.asarray(entry.get(name, 0.0), np.float64) for name in ("scale", "origin"))
    for name, given in (("scales", scale), ("origins", origin)):
        if given.shape not in ((), values.shape[-1:]):
            raise ShapeError(
                f"traces: meta gives {given.shape} {name} for {values.shape[-1]} neurons of "
                f"{population!r}; run again"
            )
    return np.asarray(values / scale + origin)


def _first_difference(
    different: NDArray[np.bool_], a: NDArray[Any], b: NDArray[Any]
) -> FirstDifference | None:
    if not different.any():
        return None
    # Arrays are [T, B, N] in C order, so the first flat index is the earliest step.
    t, sample, neuron = np.unravel_index(int(different.argmax()), different.shape)
    left, right = a[t, sample, neuron], b[t, sample, neuron]
    return FirstDifference(int(t) + 1, int(sample), int(neuron), float(left), float(right))
