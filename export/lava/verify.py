"""Runs a network on Lava and compares it, integer by integer, with another run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neurodeploy.errors import InputError
from neurodeploy.export.lava.run import LavaRun, Progress, run_lava_batch
from neurodeploy.export.lava.runtime import Mode
from neurodeploy.network.agreement import compare_traces
from neurodeploy.network.fixed import FixedPointNetwork
from neurodeploy.network.traces import Traces
from neurodeploy.simulate.stimulus import input_hash

_QUANTITIES = ("u", "v", "spikes")


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One place where Lava and the reference differ; ``t`` counts from 1."""

    population: str
    quantity: str
    t: int
    sample: int
    neuron: int
    lava: int
    reference: int

    def __str__(self) -> str:
        """Return the place and both values in one line."""
        return (
            f"{self.population}/{self.quantity} at step {self.t}, sample {self.sample}, neuron "
            f"{self.neuron}: Lava {self.lava}, reference {self.reference}"
        )


@dataclass(frozen=True, slots=True)
class VerifyResult:
    """How Lava and a reference agree.

    Parameters
    ----------
    samples, compared : int
        Samples, and integers compared over all populations, quantities and steps.
    by_quantity : mapping
        Mismatches in "u", "v" and "spikes".
    first : Mismatch or None
        The earliest in time, then in network order.
    lava_mode : str
        "official" or "shim".
    """

    samples: int
    compared: int
    by_quantity: Mapping[str, int]
    first: Mismatch | None
    lava_mode: str

    @property
    def mismatches(self) -> int:
        """Mismatches over all quantities."""
        return sum(self.by_quantity.values())

    @property
    def ok(self) -> bool:
        """Whether something was compared and nothing differs."""
        return self.compared > 0 and self.mismatches == 0

    def as_dict(self) -> dict[str, Any]:
        """Return the result as JSON types."""
        return {
            "samples": self.samples,
            "compared": self.compared,
            "mismatches": self.mismatches,
            "by_quantity": dict(self.by_quantity),
            "first": None if self.first is None else str(self.first),
            "mode": self.lava_mode,
        }


def verify_against(
    net: FixedPointNetwork,
    codes: Any,
    reference: Traces,
    *,
    timeout_s: float | None = None,
    log: str | Path | None = None,
    mode: Mode | None = None,
    workers: int = 1,
    progress: Progress | None = None,
    lava_quirks: bool = False,
) -> VerifyResult:
    """Run ``net`` on Lava as ``reference`` was run, and compare u, v and spikes.

    Parameters
    ----------
    net : FixedPointNetwork
    codes : int array [B, n_input] or [T, B, n_input]
        The input of the reference.
    reference : Traces
        With at least one of u, v and spikes recorded; its steps and timing are used.
    timeout_s, log, mode, workers, progress, lava_quirks
        As for ``run_lava``.

    Raises
    ------
    InputError
        If the reference recorded nothing to compare, or was run on other input.
    """
    recorded = tuple(
        q for q in _QUANTITIES if any(key.endswith(f"/{q}") for key in reference.records)
    )
    if not recorded:
        raise InputError("verify: the reference records none of u, v, spikes; record them")
    steps = int(reference.meta["steps"])
    lava_run = LavaRun(net, codes, steps, recorded, reference.meta["timing"], lava_quirks)
    expected = reference.meta.get("input_hash")
    if expected is not None and expected != input_hash(codes, net.encoder.max_code):
        raise InputError("verify: the reference was run on other input than these codes")
    traces = run_lava_batch(
        [lava_run], timeout_s=timeout_s, log=log, mode=mode, workers=workers, progress=progress
    )[0]
    return compare(traces, reference)


def compare(lava: Traces, reference: Traces) -> VerifyResult:
    """Compare u, v and spikes of a Lava run with those of a reference; zero tolerance.

    Raises
    ------
    InputError
        If the two share no such record.
    ShapeError
        If a shared record has two shapes.
    """
    order = {name: i for i, name in enumerate(lava.meta["populations"])}
    agreements = [r for r in compare_traces(lava, reference).records if r.quantity in _QUANTITIES]
    if not agreements:
        raise InputError("verify: the two runs share none of u, v, spikes")
    first: Mismatch | None = None
    best: tuple[int, int, int] | None = None
    for a in agreements:
        place = a.first_difference
        if place is None:
            continue
        key = (place.t, order[a.population], _QUANTITIES.index(a.quantity))
        if best is None or key < best:
            best = key
            first = Mismatch(
                a.population, a.quantity, place.t, place.sample, place.neuron,
                int(place.a), int(place.b),
            )  # fmt: skip
    return VerifyResult(
        samples=int(lava.output.shape[1]),
        compared=sum(a.compared for a in agreements),
        by_quantity={
            q: sum(a.mismatches for a in agreements if a.quantity == q) for q in _QUANTITIES
        },
        first=first,
        lava_mode=str(lava.meta.get("lava_mode", "")),
    )
