"""A matrix of both signs as two of one sign: each keeps the bit that a mixed one spends on signs.

The two add up to the same sum, on a grid twice as fine. It costs a second synapse: the weights'
memory, the synaptic operations of a matrix, and one floor more where its sums are floored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from neurodeploy.findings import Finding
from neurodeploy.network import (
    ALWAYS_ON,
    Convolution,
    Dense,
    FixedPointNetwork,
    Network,
    Population,
    Sparse,
    Synapse,
)
from neurodeploy.quantization.incoming import SIGNS, incoming_of
from neurodeploy.quantization.input_moments import Moments
from neurodeploy.quantization.rounders import MembraneRounder
from neurodeploy.quantization.rounding import sign_mode_of
from neurodeploy.quantization.scale_loss import cheap_measure

#: A split must leave less than this share of the loss: it costs as much as the weights themselves.
_WORTH = 0.5


def split_signs(
    network: Network, moments: Mapping[str, Moments], measured: MembraneRounder, bits: int
) -> tuple[Network, dict[str, Moments], list[Finding]]:
    """Split every mixed matrix where that leaves less than half of its loss.

    Returns the network, the moments of its synapses, and a finding per matrix with what it costs.
    """
    names, findings = set(), []
    taken = {s.name for s in network.synapses}
    for p in network.populations:
        for s in network.synapses_into(p.name):
            fits = isinstance(s.operators[0], (Dense, Sparse, Convolution))
            if s.source == ALWAYS_ON or not fits or taken & {s.name + sign for sign in SIGNS}:
                continue
            share = _share(network, p, s, measured, bits)
            if share is None:
                continue
            if share < _WORTH:
                names.add(s.name)
            findings.append(_told(s, share))
    found = dict(moments)
    found |= {n + sign: moments[n] for n in names if n in moments for sign in SIGNS}
    return with_split(network, names), found, findings


def as_split(network: Network, net: FixedPointNetwork) -> Network:
    """Return ``network`` with the matrices split that ``net`` holds split."""
    held = {s.name for s in net.synapses}
    names = {
        s.name
        for s in network.synapses
        if s.name not in held and all(s.name + sign in held for sign in SIGNS)
    }
    return with_split(network, names) if names else network


def with_split(network: Network, names: set[str]) -> Network:
    """Return ``network`` with the synapses ``names`` as two each, of one sign."""
    parts = (_halves(s) if s.name in names else (s,) for s in network.synapses)
    return replace(network, synapses=tuple(chain.from_iterable(parts)))


def _share(
    network: Network, population: Population, synapse: Synapse, measured: MembraneRounder, bits: int
) -> float | None:
    """Return the share of the loss that a split leaves; None for one sign, or without any loss."""
    whole = incoming_of(network, population, synapse)
    if sign_mode_of(whole.values) != "mixed":
        return None
    cheap = cheap_measure(measured, [whole])
    before = cheap.loss(whole, cheap.best(whole, bits))
    if before == 0:
        return None
    error = np.zeros_like(whole.values)
    for keep in (np.maximum, np.minimum):
        half = replace(whole, values=keep(whole.values, 0.0))
        rounded = cheap.best(half, bits)
        error += np.ldexp(rounded.mantissa.astype(np.float64), -rounded.exponent) - half.values
    return cheap.measure(whole).loss(error, whole.layout) / before


def _halves(synapse: Synapse) -> Sequence[Synapse]:
    operator = synapse.operators[0]
    weight = operator.weight  # type: ignore[union-attr]
    return tuple(
        replace(synapse, name=synapse.name + sign, operators=(_half(operator, part),))
        for sign, part in zip(
            SIGNS, (np.maximum(weight, 0.0), np.minimum(weight, 0.0)), strict=True
        )
    )


def _half(operator: object, weight: NDArray[np.float64]) -> Dense | Sparse | Convolution:
    if isinstance(operator, Sparse):
        kept = weight != 0
        rows = np.repeat(np.arange(operator.indptr.size - 1), np.diff(operator.indptr))[kept]
        counts = np.bincount(rows, minlength=operator.indptr.size - 1)
        indptr = np.concatenate(([0], np.cumsum(counts))).astype(np.int32)
        return replace(operator, weight=weight[kept], indptr=indptr, indices=operator.indices[kept])
    if isinstance(operator, (Dense, Convolution)):
        return replace(operator, weight=weight)
    raise TypeError(type(operator).__name__)  # split_signs takes no other


def _told(synapse: Synapse, share: float) -> Finding:
    operator, kept = synapse.operators[0], share >= _WORTH
    sparse = isinstance(operator, Sparse)
    size = operator.weight.size if isinstance(operator, (Dense, Sparse, Convolution)) else 0
    text = (
        f"{size} weights of both signs {'stay one matrix' if kept else 'became two of one sign'}: "
        f"a bit more each {'would leave' if kept else 'leaves'} {share:.0%} of the squared "
        "membrane error; it costs a second synapse"
        + (
            " and a floor more per sum"
            if sparse
            else f" of {size} weights, its operations, and a floor more per sum"
        )
    )
    numbers = {"loss_ratio": share, "weights": size, "split": not kept}
    return Finding("info", f"synapse {synapse.name}", text, "", numbers)
