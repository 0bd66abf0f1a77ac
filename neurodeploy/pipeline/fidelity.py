"""Do the integers do what the float network did, and does Lava agree about them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import MissingComponentError
from neurodeploy.findings import Finding
from neurodeploy.network import (
    Comparison,
    FixedPointNetwork,
    Network,
    Quantity,
    Traces,
    compare_traces,
)
from neurodeploy.network.agreement import FirstDifference
from neurodeploy.simulate import run_fixed, run_float

_LAVA_RECORDS: tuple[Quantity, ...] = ("spikes", "u", "v")


@dataclass(frozen=True, slots=True, eq=False)
class Fidelity:
    """Traces of both networks on the test samples, and how they compare.

    ``index`` [B] holds the place of each sample in the user's data.
    """

    float_traces: Traces
    fixed_traces: Traces
    comparison: Comparison
    index: NDArray[np.int64]

    def layers(self) -> list[dict[str, Any]]:
        """Return one row per population that both have: agreement, rates, membrane error.

        Gates and the clock of a gain in bit planes stand for nothing in the float network.
        """
        spikes = {r.population: r for r in self.comparison.records if r.quantity == "spikes"}
        return [
            {
                "population": name,
                "agreement": spikes[name].agreement,
                "mismatches": spikes[name].mismatches,
                "compared": spikes[name].compared,
                "first_difference": self._place(spikes[name].first_difference),
                "rate_float": spikes[name].rate_a,
                "rate_fixed": spikes[name].rate_b,
                "v_error": self._membrane_error(name),
            }
            for name in self.fixed_traces.populations
            if name in self.float_traces.populations
        ]

    def _membrane_error(self, population: str) -> float:
        """Mean |v_float - v_fixed| in membrane units."""
        key = f"{population}/v"
        entry = self.fixed_traces.meta["populations"][population]
        origin = np.asarray(entry.get("origin", 0.0))
        fixed = self.fixed_traces.records[key] / np.asarray(entry["scale"]) + origin
        return float(abs(self.float_traces.records[key] - fixed).mean())

    def _place(self, difference: FirstDifference | None) -> dict[str, Any] | None:
        if difference is None:
            return None
        return {**dataclasses.asdict(difference), "sample": int(self.index[difference.sample])}


def measure_fidelity(
    network: Network,
    net: FixedPointNetwork,
    codes: NDArray[Any],
    index: NDArray[np.int64],
    threads: int | None = None,
) -> Fidelity:
    """Run both networks on ``codes`` and compare spikes and membranes of every layer."""
    before = run_float(network, codes, record=("spikes", "v"))
    after = run_fixed(net, codes, record=("spikes", "v"), threads=threads)
    return Fidelity(before, after, compare_traces(before, after, scaled=True), index)


def check_lava(
    net: FixedPointNetwork, codes: NDArray[Any], index: NDArray[np.int64]
) -> tuple[dict[str, Any] | None, dict[str, Any], list[Finding]]:
    """Run ``codes`` on Lava and compare u, v and spikes of every layer, zero tolerance.

    ``index`` [B] holds the place of each sample in the user's data. Returns the check
    ({"samples", "compared", "mismatches", "first"}; None without Lava), what is known about the
    runtime, and findings.

    Raises
    ------
    LavaError
        If Lava is there but fails.
    """
    from neurodeploy.export import lava

    reference = run_fixed(net, codes, record=_LAVA_RECORDS)
    try:
        # Whether a chip could hold it was decided when the network was made or read.
        result = lava.verify_against(net, codes, reference, lava_quirks=True)
        status = lava.runtime.status(self_test=False)
    except MissingComponentError:
        # The error names a folder of the user's; results are made to be passed on.
        detail = "not installed; install it with: neurodeploy lava install"
        absent = {"available": False, "mode": "absent", "detail": detail}
        text = "not installed: no integer was checked against Lava"
        finding = Finding("warning", "Lava runtime", text, "run: neurodeploy lava install")
        return None, absent, [finding]
    first = result.first
    if first is not None:
        first = dataclasses.replace(first, sample=int(index[first.sample]))
    check = {
        "samples": len(codes),
        "compared": result.compared,
        "mismatches": result.mismatches,
        "first": None if first is None else str(first),
    }
    runtime = {"available": True, "mode": status.mode, "detail": status.detail}
    findings = []
    if result.mismatches:
        text = f"{result.mismatches} of {result.compared} values differ; first: {first}"
        remedy = "please report it with the NET.h5: the simulator must equal Lava"
        findings.append(Finding("error", "Lava check", text, remedy))
    return check, runtime, findings
