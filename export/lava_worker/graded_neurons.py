"""DLIF neurons from stock Lava processes: the gain travels on graded messages."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from lava.proc.dense.process import Dense
from lava.proc.io.source import RingBuffer
from lava.proc.prodneuron.process import ProdNeuron
from lava.proc.sparse.process import Sparse
from lava.utils.weightutils import SignMode
from scipy.sparse import identity

from neurodeploy.export.lava_worker.neurons import Neurons, make_stock_neurons
from neurodeploy.network.fixed import FixedPopulation
from neurodeploy.network.graded_gain import bias_lines

Array = np.ndarray[Any, Any]
#: Payloads are counted in full whatever this says; it makes a message graded.
_MESSAGE_BITS = 24


class GradedNeurons(NamedTuple):
    """What stands for one process: where sums enter, where spikes leave, and the membrane."""

    a_in: Any
    s_out: Any
    v: Any


def make_graded_neurons(population: FixedPopulation, samples: int, pace: int) -> Neurons:
    """Return the processes of a dlif whose gain is ``graded``, and the start of their states.

    Synapses and the bias's lines sum up in ``a_in1`` of a ProdNeuron, the gain's line enters
    ``a_in2``, and ``(a_in1 * a_in2) >> gain_shift`` goes on to a LIF without current, one weight of
    1 for each neuron. The gain is zero before the layer's first step, so nothing enters there.
    Source: lava-nc 0.10.0, ``proc/prodneuron/models.py``.

    Parameters
    ----------
    samples, pace : int
        Samples of the run, and hardware steps from one to the next.
    """
    size = population.size
    # Everything passes that is not zero.
    product = ProdNeuron(shape=(size,), vth=0, exp=int(population.gain_shift))
    lif, start = make_stock_neurons(population)
    bridge = Sparse(
        weights=identity(size, dtype=np.int32, format="csr"), **_graded(SignMode.EXCITATORY)
    )
    product.s_out.connect(bridge.s_in)
    bridge.a_out.connect(lif.a_in)
    gains = _gain_line(population, pace)
    ones = np.ones((size, 1), np.int32)
    synapses = [
        bridge,
        _line(gains, samples, Dense(weights=ones, **_graded(SignMode.EXCITATORY)), product.a_in2),
    ]
    weights, payloads = bias_lines(population.bias)
    if payloads.size:
        always = np.repeat(payloads[:, None], pace, axis=1)
        column = Dense(weights=weights, weight_exp=-1, **_graded(SignMode.MIXED))
        synapses.append(_line(always, samples, column, product.a_in1))
    buffers = tuple((s.a_buff, np.zeros(s.a_buff.shape, np.int32)) for s in synapses)
    return Neurons(GradedNeurons(product.a_in1, lif.s_out, lif.v), (*start, *buffers))


def _gain_line(population: FixedPopulation, pace: int) -> Array:
    """Return what the gain's line sends in each hardware step of a sample, int32 [1, pace].

    The membrane takes gain[0] in hardware step ``latency + 1``. Two synapses lie before it, so it
    is sent two steps earlier; the last gain holds.
    """
    gain = np.asarray(population.gain)
    first = population.latency - 2
    own = np.arange(pace) - first
    held = gain[own.clip(0, gain.size - 1)]
    return np.where(own >= 0, held, 0).astype(np.int32)[None]


def _line(values: Array, samples: int, synapse: Any, target: Any) -> Any:
    """Send ``values`` [K, pace] through ``synapse`` to ``target`` in every sample."""
    source = RingBuffer(data=np.tile(values, (1, samples)))
    source.s_out.connect(synapse.s_in)
    synapse.a_out.connect(target)
    return synapse


def _graded(sign_mode: SignMode) -> dict[str, Any]:
    return {"num_message_bits": _MESSAGE_BITS, "num_weight_bits": 8, "sign_mode": sign_mode}
