"""Lava processes of synapses: Dense, Sparse, both with delays, and Conv."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from lava.proc.conv.process import Conv
from lava.proc.dense.process import DelayDense, Dense
from lava.proc.sparse.process import DelaySparse, Sparse
from lava.utils.weightutils import SignMode
from scipy.sparse import csr_matrix

from neurodeploy.export.lava_worker.neurons import StartValues
from neurodeploy.network.fixed import ConvLayout, FixedSynapse, SparseLayout

_SIGN_MODES = {
    "mixed": SignMode.MIXED,
    "excitatory": SignMode.EXCITATORY,
    "inhibitory": SignMode.INHIBITORY,
}


class Connection(NamedTuple):
    """A synapse between two flat ports, made, and the start of its buffers."""

    process: Any
    start: StartValues


def connect(synapse: FixedSynapse, source: Any, target: Any) -> Connection:
    """Make the process of ``synapse`` and connect ``source.s_out`` and ``target.a_in`` to it."""
    layout = synapse.layout
    if isinstance(layout, ConvLayout):
        return _connect_conv(synapse, layout, source, target)
    process = _sparse(synapse, layout) if layout is not None else _dense(synapse)
    source.s_out.connect(process.s_in)
    process.a_out.connect(target.a_in)
    return Connection(process, ((process.a_buff, np.zeros(process.a_buff.shape, np.int32)),))


def _parameters(synapse: FixedSynapse) -> dict[str, Any]:
    # Lava takes unknown names without a word, so these are spelt once.
    return {
        "weight_exp": int(synapse.weight_exp),
        "num_weight_bits": int(synapse.weight_bits),
        "sign_mode": _SIGN_MODES[synapse.sign_mode],
        "num_message_bits": int(synapse.message_bits),
    }


def _dense(synapse: FixedSynapse) -> Any:
    weights = np.array(synapse.weight)
    if synapse.delays == (0,):
        return Dense(weights=weights, **_parameters(synapse))
    # Lava wants delays of int64, one for each weight or one Python int.
    delays = synapse.delay if isinstance(synapse.delay, int) else synapse.delay.astype(np.int64)
    return DelayDense(weights=weights, delays=delays, **_parameters(synapse))


def _sparse(synapse: FixedSynapse, layout: SparseLayout) -> Any:
    weights = _matrix(synapse.weight.astype(np.int32), synapse, layout)
    if max(synapse.delays, default=0) == 0:
        return Sparse(weights=weights, **_parameters(synapse))
    values = np.broadcast_to(np.asarray(synapse.delay, np.int64), synapse.weight.shape)
    delays = _matrix(values, synapse, layout)
    # Lava finds the places by their delay; a stored zero would be looked up in vain.
    delays.eliminate_zeros()
    return DelaySparse(weights=weights, delays=delays, **_parameters(synapse))


def _matrix(values: Any, synapse: FixedSynapse, layout: SparseLayout) -> csr_matrix:
    places = (np.array(values), np.array(layout.indices), np.array(layout.indptr))
    return csr_matrix(places, shape=(synapse.size_out, synapse.size_in))


def _connect_conv(
    synapse: FixedSynapse, layout: ConvLayout, source: Any, target: Any
) -> Connection:
    """Connect a Conv, whose tensors are (W, H, C) and which turns its kernel round."""
    channels, height, width = layout.input_shape
    kernel = synapse.weight[:, :, ::-1, ::-1].transpose(0, 3, 2, 1)
    process = Conv(
        weight=np.ascontiguousarray(kernel),
        input_shape=(width, height, channels),
        stride=layout.stride[::-1],
        padding=layout.padding[::-1],
        dilation=layout.dilation[::-1],
        groups=int(layout.groups),
        num_weight_bits=int(synapse.weight_bits),
        num_message_bits=int(synapse.message_bits),
    )
    source.s_out.reshape(layout.input_shape).transpose([2, 1, 0]).connect(process.s_in)
    process.a_out.transpose([2, 1, 0]).flatten().connect(target.a_in)
    return Connection(process, ((process.a_buf, np.zeros(process.a_buf.shape, np.int32)),))
