"""DLIF on Lava: a leaky membrane whose input is multiplied by a gain per step."""

from __future__ import annotations

from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyOutPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.ports.ports import InPort, OutPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.process.variable import Var
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol

_V_MAX = 2**23 - 1
_DECAY_BITS = 12
_ALIGN_BITS = 6


class DLIF(AbstractProcess):  # type: ignore[misc]
    """Integer DLIF neurons, [N].

    For its first ``latency`` steps after a (re)start the process does nothing and sends nothing.
    Then, for t = 1, 2, ...::

        x = ((a + bias) * gain[t]) >> gain_shift          (int64, floor)
        v = clip(D(v, 4096 - decay_v) + (x << 6), -V_MAX, V_MAX)
        s = v > (threshold << 6)                          (strict);  v = 0 where s

    ``D(x, k) = sign(x) * ((|x| * k) >> 12)``. After its last entry the last gain holds. Setting
    ``elapsed`` to 0 and ``v`` to ``v`` restarts the neurons.

    Parameters
    ----------
    decay_v, bias, threshold, v : int array [N]
        Voltage decay 0..4096, bias in units of the input, threshold mantissa, first membrane.
    gain : int array [T]
        Mantissas, 1..255.
    gain_shift, latency : int
        Right shift after the gain; steps to wait.
    """

    def __init__(
        self,
        *,
        decay_v: np.ndarray[Any, Any],
        bias: np.ndarray[Any, Any],
        threshold: np.ndarray[Any, Any],
        v: np.ndarray[Any, Any],
        gain: np.ndarray[Any, Any],
        gain_shift: int,
        latency: int,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        shape = v.shape
        self.a_in = InPort(shape=shape)
        self.s_out = OutPort(shape=shape)
        self.decay_v = Var(shape=shape, init=decay_v)
        self.bias = Var(shape=shape, init=bias)
        self.threshold = Var(shape=shape, init=threshold)
        self.v = Var(shape=shape, init=v)
        self.gain = Var(shape=gain.shape, init=gain)
        self.gain_shift = Var(shape=(1,), init=gain_shift)
        self.latency = Var(shape=(1,), init=latency)
        self.elapsed = Var(shape=(1,), init=0)


@implements(proc=DLIF, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyDLIFModelFixed(PyLoihiProcessModel):  # type: ignore[misc]
    """DLIF in integers; every product and sum in int64, so that none of them can wrap."""

    a_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32)
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32)
    decay_v: np.ndarray[Any, Any] = LavaPyType(np.ndarray, np.int64)
    bias: np.ndarray[Any, Any] = LavaPyType(np.ndarray, np.int64)
    threshold: np.ndarray[Any, Any] = LavaPyType(np.ndarray, np.int64)
    v: np.ndarray[Any, Any] = LavaPyType(np.ndarray, np.int32, precision=24)
    gain: np.ndarray[Any, Any] = LavaPyType(np.ndarray, np.int64)
    gain_shift: np.ndarray[Any, Any] = LavaPyType(np.ndarray, np.int64)
    latency: np.ndarray[Any, Any] = LavaPyType(np.ndarray, np.int64)
    elapsed: np.ndarray[Any, Any] = LavaPyType(np.ndarray, np.int64)

    def run_spk(self) -> None:
        """Do one step: receive, integrate, fire, reset, send."""
        # Every step has to receive and send, even while waiting: the other ends block otherwise.
        a = self.a_in.recv().astype(np.int64)
        logical = int(self.elapsed[0]) - int(self.latency[0])
        self.elapsed[0] += 1
        if logical < 0:
            self.s_out.send(np.zeros(self.v.shape, np.int32))
            return
        gain = self.gain[min(logical, self.gain.size - 1)]
        x = ((a + self.bias) * gain) >> self.gain_shift[0]
        product = self.v.astype(np.int64) * (4096 - self.decay_v)
        decayed = np.sign(product) * (np.abs(product) >> _DECAY_BITS)
        v = np.clip(decayed + (x << _ALIGN_BITS), -_V_MAX, _V_MAX)
        spikes = v > (self.threshold << _ALIGN_BITS)
        self.v[:] = np.where(spikes, 0, v)
        self.s_out.send(spikes.astype(np.int32))
