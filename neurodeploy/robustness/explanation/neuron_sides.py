"""One neuron as the float network has it and as the integers have it, both in real numbers.

Both sides are in membrane units, measured from the membrane at which the integer v is 0, so that
parameter by parameter one can take the place of the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from neurodeploy.network import (
    ALIGN_BITS,
    ALWAYS_ON,
    FixedPointNetwork,
    FixedSynapse,
    Network,
    SparseLayout,
)
from neurodeploy.quantization.incoming import drive_of, incoming_of
from neurodeploy.quantization.plain import reset_origin, threshold_distance

FloatArray = NDArray[np.float64]
#: 0/1 spikes or codes that each source sent to one sample, [T, n].
Sent = Mapping[str, NDArray[np.int64]]


@dataclass(frozen=True, slots=True, eq=False)
class Lines:
    """Connections of one synapse into one neuron.

    ``index`` are neurons of ``source``, ``delay`` the logical steps until they are felt, ``weight``
    what they add, in membrane units per spike or input code.
    """

    synapse: str
    source: str
    index: NDArray[np.int64]
    delay: int
    weight: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class NeuronSide:
    """The rule of one neuron in real arithmetic, without any floor.

    One step::

        u = keep_u * u + sum of lines + into_sum
        v = keep_v * v + gain[t] * u + into_v
        spike where v > distance; then v = 0, or v - distance where ``subtracts``

    ``distance`` is infinite for a neuron that never fires. After its last entry the last gain
    holds.
    """

    lines: tuple[Lines, ...]
    into_sum: float
    into_v: float
    keep_u: float
    keep_v: float
    gain: FloatArray
    distance: float
    start: float
    subtracts: bool

    def drive(self, sent: Sent, steps: int) -> FloatArray:
        """Return the sum of all lines at each step [T]."""
        total = np.zeros(steps)
        for lines in self.lines:
            part = sent[lines.source][:, lines.index] @ lines.weight
            if lines.delay < steps:
                total[lines.delay :] += part[: steps - lines.delay]
        return total

    def membrane(self, sent: Sent, fired: NDArray[np.bool_]) -> FloatArray:
        """Return v before each step's spike and reset [T], with the resets that ``fired`` says.

        That the resets are given keeps two sides comparable up to where they part.
        """
        arriving = self.drive(sent, fired.size) + self.into_sum
        u, v, found = 0.0, self.start, np.zeros(fired.size)
        for t in range(fired.size):
            u = self.keep_u * u + arriving[t]
            v = self.keep_v * v + self.gain[min(t, self.gain.size - 1)] * u + self.into_v
            found[t] = v
            if fired[t]:
                v = v - self.distance if self.subtracts else 0.0
        return found

    def margin(self, sent: Sent, fired: NDArray[np.bool_]) -> FloatArray:
        """Return v minus threshold before each step's reset [T]; v if it never fires."""
        return self.membrane(sent, fired) - (self.distance if np.isfinite(self.distance) else 0.0)

    def after_reset(self, sent: Sent, fired: NDArray[np.bool_]) -> FloatArray:
        """Return v after each step's reset [T], as a read-out sees it."""
        before = self.membrane(sent, fired)
        return np.where(fired, before - self.distance if self.subtracts else 0.0, before)


def float_side(network: Network, net: FixedPointNetwork, name: str, neuron: int) -> NeuronSide:
    """Return neuron ``neuron`` of population ``name`` as the float network has it."""
    p = network.population(name)
    drive = drive_of(network, p)
    lines = []
    for synapse in network.synapses_into(name):
        if synapse.source == ALWAYS_ON:
            continue  # part of the drive
        arriving = incoming_of(network, p, synapse, written_out=True)
        if isinstance(arriving.layout, SparseLayout):
            row = slice(arriving.layout.indptr[neuron], arriving.layout.indptr[neuron + 1])
            index = arriving.layout.indices[row].astype(np.int64)
            weight = arriving.values[row]
        else:
            index = np.arange(arriving.values.shape[1])
            weight = arriving.values[neuron]
        lines.append(Lines(synapse.name, synapse.source, index, synapse.delay_steps, weight))
    return NeuronSide(
        lines=tuple(lines),
        into_sum=float(drive.into_sum[neuron]),
        into_v=float(drive.into_v[neuron]),
        keep_u=0.0 if p.decay_u is None else 1.0 - float(p.decay_u[neuron]),
        keep_v=1.0 - float(p.decay_v[neuron]),
        gain=np.ones(1) if p.gain is None else p.gain,
        distance=float(threshold_distance(p)[neuron]),
        start=float((p.v_init - reset_origin(p))[neuron]),
        subtracts=net.population(name).reset == "subtract",
    )


def fixed_side(net: FixedPointNetwork, name: str, neuron: int) -> NeuronSide:
    """Return the same neuron with the integers' parameters, still in real arithmetic."""
    p = net.population(name)
    scale = float(p.scales[neuron])
    unit = 2.0**ALIGN_BITS / scale
    lines, always_on = [], 0.0
    for synapse in net.synapses_into(name):
        row = _row(net, synapse, neuron, unit)
        if synapse.source == ALWAYS_ON:
            always_on += float(row.weight.sum())
        else:
            lines.append(row)
    gain = np.ones(1) if p.gain is None else p.gain.astype(np.float64) * 2.0**-p.gain_shift
    is_dlif = p.kind == "dlif"
    return NeuronSide(
        lines=tuple(lines),
        into_sum=always_on + (float(p.bias[neuron]) * unit if is_dlif else 0.0),
        into_v=0.0 if is_dlif else float(p.bias_shifted[neuron]) / scale,
        keep_u=0.0 if is_dlif else (4095 - float(p.decay_u[neuron])) / 4096,
        keep_v=(4096 - float(p.decay_v[neuron])) / 4096,
        gain=gain,
        distance=np.inf if p.kind == "readout" else float(p.v_threshold[neuron]) * unit,
        start=float(p.v_init[neuron]) / scale,
        subtracts=p.reset == "subtract",
    )


def with_delays_of(side: NeuronSide, other: NeuronSide) -> NeuronSide:
    """Return ``side`` with each connection felt when ``other`` feels it."""
    late = {lines.synapse: lines.delay for lines in other.lines}
    return replace(side, lines=tuple(replace(o, delay=late[o.synapse]) for o in side.lines))


def _row(net: FixedPointNetwork, synapse: FixedSynapse, neuron: int, unit: float) -> Lines:
    """Return the connections of ``synapse`` into ``neuron``, weights in membrane units."""
    found = synapse.connections()
    here = found.target == neuron
    # A quantised synapse has one delay for all its weights.
    late = int(np.max(net.logical_delay(synapse), initial=0))
    weight = found.weight[here] * 2.0**synapse.weight_exp * unit
    return Lines(synapse.name, synapse.source, found.source[here], late, weight)
