"""Quantisation-deviation certificate: where integers and real arithmetic provably decide alike.

For each sample, given as codes, two questions are answered about the float network in exact real
numbers (not in float64):

Gains that the quantiser folded are folded in the float network too: the certificate is about what
rounding does, and ``quantize`` says beside it what folding costs.

* ``proven``: what does it do? Its states are enclosed in intervals that are rounded outward, and
  compared with an exact run of the integers. A decision is equal or different for certain, but
  for samples on which a real membrane is within some units in the last place of its threshold.
* ``budget``: what would any rounding as coarse as this one's have left equal? Here the difference
  is bounded by what was rounded (weights on active inputs, decays, truncation, floors, gains,
  thresholds, biases), signs aside. It shows how much of the agreement is margin, and where the
  first spike is that hung on luck.

Source of the budget's terms: see ``deviation_budget``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import RangeError, ShapeError
from neurodeploy.network import ALIGN_BITS, FixedPointNetwork, Network, Traces, decide
from neurodeploy.quantization.gain_remapping import as_mapped
from neurodeploy.robustness.certificates.deviation_budget import BudgetRun, BudgetStep
from neurodeploy.robustness.certificates.deviation_enclosure import Enclosure, down, up
from neurodeploy.robustness.certificates.deviation_ledger import OPEN, Doubt, Guarantee, Ledger
from neurodeploy.robustness.certificates.deviation_pairs import (
    NetworkPair,
    PopulationPair,
    pair_networks,
)
from neurodeploy.robustness.certificates.deviation_real import RealRun, RealStep, Spikes

#: Neuron-steps worked on at a time.
_BLOCK_VALUES = 2**21


@dataclass(frozen=True, slots=True, eq=False)
class DeviationResult:
    """What is proven about the float network in real arithmetic beside its integers.

    Parameters
    ----------
    fixed, real : int64 [B]
        Decision of the integers, and of the real network: -1 is a tie, -2 one that the enclosure
        leaves open.
    proven, budget : Guarantee
        Of the enclosure, and of the rounding budget; see the module.
    overflow : bool [B]
        A state of the integers wrapped or was clipped; the budget then says nothing.
    """

    fixed: NDArray[np.int64]
    real: NDArray[np.int64]
    proven: Guarantee
    budget: Guarantee
    overflow: NDArray[np.bool_]

    @property
    def equal(self) -> NDArray[np.bool_]:
        """Where both certainly decide alike, [B]: the certificate."""
        return self.proven.equal

    @property
    def different(self) -> NDArray[np.bool_]:
        """Where they certainly do not, [B]."""
        return np.asarray((self.real != OPEN) & (self.real != self.fixed))

    def as_dict(self) -> dict[str, Any]:
        """Return counts and quantiles as JSON types."""
        return {
            "n": int(self.fixed.size),
            "equal": int(self.equal.sum()),
            "different": int(self.different.sum()),
            "open": int((self.real == OPEN).sum()),
            "overflow": int(self.overflow.sum()),
            "proven": self.proven.as_dict(),
            "budget": self.budget.as_dict(),
        }


def certify_deviation(
    network: Network,
    net: FixedPointNetwork,
    codes: NDArray[Any],
    *,
    progress: Callable[[int, int], None] | None = None,
) -> DeviationResult:
    """Compare ``network`` in exact real arithmetic with its integers on every sample.

    Parameters
    ----------
    network : Network
        The float network that was quantised (composed); its gains are folded where ``net`` has
        none (``quantization.gain_remapping.as_mapped``).
    net : FixedPointNetwork
        What the quantiser made of it.
    codes : int [B, n_input]
        Held for ``net.steps`` steps.
    progress : callable (done, samples) or None

    Raises
    ------
    InputError, UnsupportedNodeError, ContractError
        As ``pair_networks``.
    ShapeError, RangeError
        For codes that do not fit.
    """
    pair = pair_networks(as_mapped(network, net), net)
    array = _checked(net, codes)
    each = net.steps * sum(p.size for p in net.populations)
    block = max(1, _BLOCK_VALUES // each)
    parts = []
    for first in range(0, len(array), block):
        parts.append(_certify(pair, array[first : first + block]))
        if progress is not None:
            progress(min(first + block, len(array)), len(array))
    return _joined(parts)


def _certify(pair: NetworkPair, codes: NDArray[np.int32]) -> DeviationResult:
    from neurodeploy.simulate import run_fixed

    net = pair.fixed
    traces = run_fixed(net, codes, record=("spikes", "u", "v", "v_pre"))
    decisions = decide(traces.scores())
    overflow = _overflowed(traces)
    real, budget = RealRun(pair, codes), BudgetRun(pair, codes, dict(traces.records))
    exact, rounded = Ledger(len(codes), net.readout), Ledger(len(codes), net.readout)
    for t in range(net.steps):
        for p in pair.populations:
            step, bound = real.step(p, t), budget.step(p, t)
            if p.real.fires:
                _note(exact, rounded, p, t, traces, step, bound, overflow)
            if p.name == net.readout.population:
                v = traces.records[f"{p.name}/v"][t]
                exact.read(t, step.spikes, step.after)
                rounded.read(t, bound.spikes, _membrane(p, v, bound.after))
    proven, decided = exact.close(decisions)
    guarantee, _ = rounded.close(decisions)
    guarantee.equal[overflow] = False
    return DeviationResult(decisions, decided, proven, guarantee, overflow)


def _note(
    exact: Ledger,
    rounded: Ledger,
    p: PopulationPair,
    t: int,
    traces: Traces,
    step: RealStep,
    bound: BudgetStep,
    overflow: NDArray[np.bool_],
) -> None:
    """Enter one step of a population that fires into both ledgers."""
    v = traces.records[f"{p.name}/v_pre"][t].astype(np.float64)
    fired = traces.records[f"{p.name}/spikes"][t] != 0
    threshold = p.fixed.v_threshold.astype(np.float64) * 2.0**ALIGN_BITS
    margin = np.abs(v - threshold) / p.fixed.scale
    apart = deviation(p, step.before_reset, v).magnitude
    exact.add(p.name, t, step.spikes, fired, margin, up(apart / p.fixed.scale))
    lost = np.broadcast_to(overflow[:, None], fired.shape)
    limit = np.where(lost, np.inf, bound.before_reset)
    spikes = Spikes(bound.spikes.sure & ~lost, bound.spikes.possible | lost)
    rounded.add(p.name, t, spikes, fired, margin, up(limit / p.fixed.scale))


def deviation(p: PopulationPair, membrane: Enclosure, v: NDArray[np.float64]) -> Enclosure:
    """Return the real membrane minus the integer one, in units of v."""
    origin, scale = Enclosure.exactly(p.fixed.origin), Enclosure.exactly(p.fixed.scale)
    return (membrane - origin) * scale - Enclosure.exactly(v)


def _membrane(p: PopulationPair, v: NDArray[np.int32], bound: NDArray[np.float64]) -> Enclosure:
    """Return the real membrane that a bound allows around the integer one."""
    value = v.astype(np.float64)
    around = Enclosure(down(value - bound), up(value + bound))
    inverse = 1 / p.fixed.scale
    unit = Enclosure(down(inverse), up(inverse))
    return around * unit + Enclosure.exactly(p.fixed.origin)


def _overflowed(traces: Traces) -> NDArray[np.bool_]:
    found = [n for key, n in traces.counts.items() if key.endswith(("/wraps", "/clamps"))]
    return np.asarray(np.sum(found, axis=0) > 0)


def _checked(net: FixedPointNetwork, codes: NDArray[Any]) -> NDArray[np.int32]:
    array = np.asarray(codes)
    if array.ndim != 2 or array.shape[1] != net.n_input or len(array) == 0:
        raise ShapeError(
            f"deviation: codes have shape {array.shape}; needs [B, {net.n_input}], one sample at "
            "least"
        )
    highest = net.encoder.max_code
    if array.dtype.kind not in "iu" or array.min() < 0 or array.max() > highest:
        raise RangeError(
            f"deviation: codes are {array.dtype} in {array.min()}..{array.max()}; they must be "
            f"whole, 0..{highest}"
        )
    return array.astype(np.int32)


def _joined(parts: list[DeviationResult]) -> DeviationResult:
    def guarantee(found: list[Guarantee]) -> Guarantee:
        return Guarantee(
            np.concatenate([g.equal for g in found]),
            {n: np.concatenate([g.spikes[n] for g in found]) for n in found[0].spikes},
            found[0].neuron_steps,
            tuple(doubt for g in found for doubt in g.first),
            {n: np.concatenate([g.deviation[n] for g in found]) for n in found[0].deviation},
        )

    return DeviationResult(
        np.concatenate([p.fixed for p in parts]),
        np.concatenate([p.real for p in parts]),
        guarantee([p.proven for p in parts]),
        guarantee([p.budget for p in parts]),
        np.concatenate([p.overflow for p in parts]),
    )


__all__ = ["OPEN", "DeviationResult", "Doubt", "Guarantee", "certify_deviation", "deviation"]
