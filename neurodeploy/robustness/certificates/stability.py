"""Exact finite-horizon stability gain of each layer, with the warning that belongs to it.

Between spikes a layer is linear: ``v[t] = tau v[t-1] + p[t] W s[t]`` (with a synaptic current,
``u[t] = kappa u[t-1] + W s[t]`` in between). Over T steps its largest amplification of energy,
``||dv|| / ||ds||`` over all inputs and steps, is the largest singular value of W times that of the
lower triangular matrix with entries ``tau**(i - j) p[j]``: with the stored integers, over the
steps that are run. It is attained by one perturbation, and so no bound can be smaller.

``sqrt(1 / (1 - tau))`` in place of the second factor, as it is reported for the base method
("Robust Stable Spiking Neural Networks", ICML 2024), is not a bound in general: at tau 0.5 the
factor over 8 steps is 1.83 against 1.41.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from neurodeploy.network import (
    ALIGN_BITS,
    ALWAYS_ON,
    DECAY_BITS,
    INPUT,
    FixedPointNetwork,
    FixedPopulation,
    FixedSynapse,
)
from neurodeploy.robustness.certificates.deviation_pairs import fixed_matrix
from neurodeploy.robustness.certificates.stability_norms import Norm, operator_norm

WARNING = (
    "The gain bounds how far the energy of a perturbation spreads between spikes. It is no bound "
    "through spikes and resets, and no predictor of robustness: in a prototype on digits it rose "
    "from 45 to 199 in a layer while certified accuracy rose from 0 to 51 %. Do not rank models by "
    "it."
)
#: What roundings of the entries may change a norm by: some ulps, times the root of the size.
_ROUNDED = 2.0**-40
#: Pairs of decays that are looked at one by one; beyond that the largest of each.
_MOST_PAIRS = 64


@dataclass(frozen=True, slots=True)
class LayerGain:
    """The gain of one population, from what is sent to it to its membrane.

    Parameters
    ----------
    population : str
    sources : tuple of str
        Its own name among them: spikes that return count as input.
    weight : Norm
        Of the stored weights: membrane units of the float network per spike, or per input unit.
    time : Norm
        Of the decays and the gain over ``steps`` steps.
    gain : Norm
        Their product.
    exact : bool
        Whether it is attained: one decay for all neurons, one delay for all synapses. Otherwise it
        is an upper bound.
    closed_form : float
        ``weight * sqrt(1 / (1 - tau))`` at the slowest tau, for comparison alone; infinite at 1.
    steps : int
    """

    population: str
    sources: tuple[str, ...]
    weight: Norm
    time: Norm
    gain: Norm
    exact: bool
    closed_form: float
    steps: int

    def as_dict(self) -> dict[str, Any]:
        """Return the gain as JSON types; None where the closed form is infinite."""
        finite = np.isfinite(self.closed_form)
        return {
            **asdict(self),
            "sources": list(self.sources),
            "closed_form": self.closed_form if finite else None,
        }


@dataclass(frozen=True, slots=True)
class StabilityReport:
    """The gains of all populations, never without their warning."""

    layers: tuple[LayerGain, ...]
    warning: str = WARNING

    def as_dict(self) -> dict[str, Any]:
        """Return gains and warning as JSON types."""
        return {"warning": self.warning, "layers": [layer.as_dict() for layer in self.layers]}


def stability_gains(net: FixedPointNetwork, steps: int | None = None) -> StabilityReport:
    """Compute the gain of every population of ``net`` that synapses reach.

    Parameters
    ----------
    net : FixedPointNetwork
    steps : int or None
        Horizon; default ``net.steps``.
    """
    horizon = net.steps if steps is None else steps
    layers = []
    for p in net.populations:
        synapses = [s for s in net.synapses_into(p.name) if s.source != ALWAYS_ON]
        if synapses:
            layers.append(_gain(net, p, synapses, horizon))
    return StabilityReport(tuple(layers))


def _gain(
    net: FixedPointNetwork, p: FixedPopulation, synapses: list[FixedSynapse], steps: int
) -> LayerGain:
    stacked = sparse.csr_array(sparse.hstack([_scaled(net, p, s) for s in synapses]))
    weight = operator_norm(stacked).widened(_ROUNDED)
    delays = {int(d) for s in synapses for d in np.unique(net.logical_delay(s))}
    pairs = np.unique(np.stack(_decays(p), axis=1), axis=0)
    one = len(pairs) == 1
    if len(pairs) > _MOST_PAIRS:
        pairs = pairs.max(axis=0, keepdims=True)  # entries only grow with either decay
    late = min(delays)
    times = [
        operator_norm(_time_matrix(p, float(u), float(v), steps, late)).widened(_ROUNDED)
        for u, v in pairs
    ]
    # With several decays the largest product may be out of reach: no lower bound but 0.
    exact = one and len(delays) == 1
    time = Norm(times[0].lower if exact else 0.0, max(t.upper for t in times))
    slowest = float(pairs[:, 1].max())
    factor = np.inf if slowest >= 1 else (1 / (1 - slowest)) ** 0.5
    return LayerGain(
        population=p.name,
        sources=tuple(s.source for s in synapses),
        weight=weight,
        time=time,
        gain=weight * time,
        exact=exact,
        closed_form=float(weight.upper * factor),
        steps=steps,
    )


def _scaled(net: FixedPointNetwork, p: FixedPopulation, s: FixedSynapse) -> sparse.csr_array:
    """Return stored weights [out, in] in membrane units per spike or input unit."""
    unit = 2.0 ** (s.weight_exp + ALIGN_BITS) / p.scales
    if s.source == INPUT:
        unit = unit / net.encoder.step
    return sparse.csr_array(sparse.diags_array(unit) @ fixed_matrix(s))


def _decays(p: FixedPopulation) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the shares that current and membrane keep per step [N]; exact."""
    whole = 2.0**DECAY_BITS
    kept_u = np.asarray((whole - 1 - p.decay_u) / whole * (p.kind != "dlif"), np.float64)
    return kept_u, np.asarray((whole - p.decay_v) / whole, np.float64)


def _time_matrix(
    p: FixedPopulation, kept_u: float, kept_v: float, steps: int, late: int
) -> sparse.csr_array:
    """Return what arrives at step j as it stands in the membrane at step i, [steps, steps].

    ``late``: what was sent at step j arrives at step j + late.
    """
    lag = np.arange(steps)[:, None] - np.arange(steps)[None, :]
    matrix = np.where(lag >= 0, kept_v ** np.maximum(lag, 0).astype(np.float64), 0.0)
    if kept_u > 0:
        current = np.where(lag >= 0, kept_u ** np.maximum(lag, 0).astype(np.float64), 0.0)
        matrix = matrix @ current
    if p.gain is not None:
        mantissas = p.gain[np.minimum(np.arange(steps), p.gain.size - 1)]
        matrix = matrix * (mantissas / 2.0**p.gain_shift)
    shifted = np.zeros_like(matrix)
    shifted[:, : max(steps - late, 0)] = matrix[:, late:]
    return sparse.csr_array(shifted)
