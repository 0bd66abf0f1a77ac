"""The float network that integers stand for: weights, biases and thresholds divided by their units.

Decays and gains are those of the float network that was quantised; whoever repairs integers leaves
them alone. A gain that was folded is gone.
"""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import InputError
from neurodeploy.network import (
    ALIGN_BITS,
    ALWAYS_ON,
    Convolution,
    Dense,
    FixedPointNetwork,
    FixedPopulation,
    FixedSynapse,
    Network,
    Operator,
    Population,
    Sparse,
    SparseLayout,
    Synapse,
)
from neurodeploy.quantization.incoming import (
    Incoming,
    drive_of,
    incoming_of,
    input_factor,
    per_weight,
)
from neurodeploy.quantization.plain import reset_origin, threshold_distance
from neurodeploy.quantization.sign_split import as_split

Floats = NDArray[np.float64]
#: Values of one kernel place that are nearer than this, relatively, are one.
_SAME = 1e-9
#: Of a unit of v: what two roundings of a constant may lie apart.
_ROUNDED = 0.51


def standing_network(network: Network, net: FixedPointNetwork) -> Network:
    """Return the float network in deployable form that ``net`` stands for.

    Parameters
    ----------
    network : Network
        The composed float network that ``net`` was quantised from.
    net : FixedPointNetwork

    Raises
    ------
    InputError
        If ``net`` has populations that the float network lacks (gates of a gain).
    """
    known = {p.name for p in network.populations}
    if more := [p.name for p in net.populations if p.name not in known]:
        raise InputError(
            f"the integers have populations that the float network lacks ({', '.join(more)}): "
            "gates of a gain stand for no float neuron; use --remap microcode, graded or fold"
        )
    network = as_split(network, net)
    fixed = {s.name: s for s in net.synapses}
    synapses = tuple(
        _standing(network, net, s, fixed[s.name]) if s.name in fixed else s
        for s in network.synapses
        if s.source != ALWAYS_ON
    )
    bare = replace(network, synapses=synapses)
    populations = tuple(_neurons(bare, net, p) for p in network.populations)
    return replace(bare, populations=populations, nir_file=b"")


def _standing(
    network: Network, net: FixedPointNetwork, synapse: Synapse, fixed: FixedSynapse
) -> Synapse:
    """Return the synapse with the weights that the mantissas stand for."""
    population, operator = network.population(synapse.target), _weighted(synapse)
    written_out = isinstance(fixed.layout, SparseLayout)
    unit = _with_weights(synapse, np.ones_like(operator.weight))
    per_unit = incoming_of(network, population, unit, written_out=written_out)
    mantissa = fixed.weight.astype(np.float64)
    if written_out and isinstance(operator, Dense):
        mantissa = _matrix(fixed)
    scale = per_weight(net.population(population.name).scales, per_unit.layout)
    values = mantissa * np.ldexp(1.0, fixed.weight_exp + ALIGN_BITS) / scale
    # What nothing enters through may be anything.
    weights = np.divide(
        values, per_unit.values, out=np.zeros_like(values), where=per_unit.values != 0
    )
    if not (written_out and isinstance(operator, Convolution)):
        return _with_weights(synapse, weights)
    return _kernel_or_matrix(network, synapse, per_unit, weights)


def _weighted(synapse: Synapse) -> Dense | Sparse | Convolution:
    """Return the operator of a synapse in deployable form."""
    return cast(Dense | Sparse | Convolution, synapse.operators[0])


def _with_weights(synapse: Synapse, weight: Floats) -> Synapse:
    changed = replace(_weighted(synapse), weight=weight)
    return replace(synapse, operators=(changed,))


def _matrix(fixed: FixedSynapse) -> Floats:
    ends = fixed.connections()
    found = np.zeros((fixed.size_out, fixed.size_in))
    np.add.at(found, (ends.target, ends.source), ends.weight)
    return found


def _kernel_or_matrix(
    network: Network, synapse: Synapse, per_unit: Incoming, weights: Floats
) -> Synapse:
    """Return a written-out convolution as one again, if its connections still share a kernel."""
    operator = cast(Convolution, synapse.operators[0])
    numbers = np.arange(1, operator.weight.size + 1.0).reshape(operator.weight.shape)
    population = network.population(synapse.target)
    numbered = incoming_of(network, population, _with_weights(synapse, numbers), written_out=True)
    used = per_unit.values != 0
    place = np.rint(numbered.values[used] / per_unit.values[used]).astype(np.int64) - 1
    kernel = operator.weight.reshape(-1).copy()
    kernel[place] = weights[used]
    size = np.abs(weights).max(initial=0.0)
    if (np.abs(kernel[place] - weights[used]) <= _SAME * size).all():
        return _with_weights(synapse, kernel.reshape(operator.weight.shape))
    layout = cast(SparseLayout, per_unit.layout)
    sparse: Operator = Sparse(
        operator.node, weights, layout.indptr, layout.indices, layout.n_source
    )
    return replace(synapse, operators=(sparse,))


def _neurons(bare: Network, net: FixedPointNetwork, p: Population) -> Population:
    """Return the population with the thresholds, biases and gain that its integers stand for."""
    q = net.population(p.name)
    if q.gain is None:
        p = replace(p, gain=None)
    distance = threshold_distance(p)
    told = np.isfinite(distance) & (p.kind != "li")
    standing = np.ldexp(q.v_threshold.astype(np.float64), ALIGN_BITS) / q.scales
    p = replace(p, v_threshold=np.where(told, reset_origin(p) + standing, p.v_threshold))
    return _constants(bare, net, replace(p, bias=np.zeros(p.size)), q)


def _constants(
    bare: Network, net: FixedPointNetwork, p: Population, q: FixedPopulation
) -> Population:
    """Return the population with the bias and leak of the integers' constants."""
    register = np.ldexp(q.bias.astype(np.float64), q.bias_exp) / q.scales
    joined = np.zeros(p.size)
    for s in net.synapses_into(p.name):
        if s.source == ALWAYS_ON:
            ends = s.connections()
            each = np.ldexp(ends.weight.astype(np.float64), s.weight_exp + ALIGN_BITS)
            joined += np.bincount(ends.target, each, minlength=p.size) / q.scales
    rest, factor = drive_of(bare, p), input_factor(p)
    if q.kind == "dlif":
        joined = joined + np.ldexp(register, ALIGN_BITS)
    if p.decay_u is None and p.gain is None:
        missing = register + joined - rest.into_v
    else:
        missing = joined - rest.into_sum
    bias = np.divide(missing, factor, out=np.zeros(p.size), where=factor != 0)
    if p.decay_u is not None:
        off = register - rest.into_v
        moved = (np.abs(off) * q.scales > _ROUNDED * 2.0**q.bias_exp) & (p.decay_v > 0)
        leak = p.v_leak + np.divide(off, p.decay_v, out=np.zeros(p.size), where=moved)
        p = replace(p, v_leak=leak)
    return replace(p, bias=bias)
