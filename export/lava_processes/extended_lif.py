"""A LIF on Lava with what the stock LIF lacks: subtractive reset and refractory steps."""

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

_U_LIMIT = 2**23
_V_MAX = 2**23 - 1
_DECAY_BITS = 12
_ALIGN_BITS = 6


class ExtendedLIF(AbstractProcess):  # type: ignore[misc]
    """Integer LIF neurons with subtractive reset, refractory steps and periodic reset, [N].

    For its first ``latency`` steps after a (re)start the process does nothing and sends nothing.
    From then on, in step h (from 1 after the start)::

        u = v = wait = 0 where h % reset_interval == reset_offset % reset_interval
        u = W24(wrap32(D(u, 4095 - decay_u) + wrap32(a << 6)))
        v = clip(wrap32(D(v, 4096 - decay_v) + u + bias), -V_MAX, V_MAX)     (kept while wait > 0)
        s = v > (threshold << 6) and wait == 0                               (strict)
        v = 0 where s, or v - (threshold << 6) if ``subtract``
        wait = refractory_steps where s, else one less

    ``D(x, k) = sign(x) * ((|x| * k) >> 12)``. Setting ``elapsed`` and ``wait`` to 0, and ``u`` and
    ``v`` to their first values, restarts the neurons.

    Parameters
    ----------
    decay_u, decay_v, bias, threshold, u, v : int array [N]
        Decays 0..4095 and 0..4096, bias as it is added to v, threshold mantissa, first state.
    subtract : bool
    refractory_steps, reset_interval, reset_offset, latency : int
        All 0 or more; interval 0: never.
    """

    def __init__(
        self,
        *,
        decay_u: np.ndarray[Any, Any],
        decay_v: np.ndarray[Any, Any],
        bias: np.ndarray[Any, Any],
        threshold: np.ndarray[Any, Any],
        u: np.ndarray[Any, Any],
        v: np.ndarray[Any, Any],
        subtract: bool,
        refractory_steps: int,
        reset_interval: int,
        reset_offset: int,
        latency: int,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            subtract=subtract,
            refractory_steps=refractory_steps,
            reset_interval=reset_interval,
            reset_offset=reset_offset,
            latency=latency,
            **kwargs,
        )
        shape = v.shape
        self.a_in = InPort(shape=shape)
        self.s_out = OutPort(shape=shape)
        self.decay_u = Var(shape=shape, init=decay_u)
        self.decay_v = Var(shape=shape, init=decay_v)
        self.bias = Var(shape=shape, init=bias)
        self.threshold = Var(shape=shape, init=threshold)
        self.u = Var(shape=shape, init=u)
        self.v = Var(shape=shape, init=v)
        self.wait = Var(shape=shape, init=0)
        self.elapsed = Var(shape=(1,), init=0)


@implements(proc=ExtendedLIF, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyExtendedLIFModelFixed(PyLoihiProcessModel):  # type: ignore[misc]
    """ExtendedLIF in int64, wrapped to 32 bits wherever the stock LIF holds an int32."""

    a_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32)
    s_out: PyOutPort = LavaPyType(PyOutPort.VEC_DENSE, np.int32)
    decay_u: np.ndarray[Any, Any] = LavaPyType(np.ndarray, np.int64)
    decay_v: np.ndarray[Any, Any] = LavaPyType(np.ndarray, np.int64)
    bias: np.ndarray[Any, Any] = LavaPyType(np.ndarray, np.int64)
    threshold: np.ndarray[Any, Any] = LavaPyType(np.ndarray, np.int64)
    u: np.ndarray[Any, Any] = LavaPyType(np.ndarray, np.int32, precision=24)
    v: np.ndarray[Any, Any] = LavaPyType(np.ndarray, np.int32, precision=24)
    wait: np.ndarray[Any, Any] = LavaPyType(np.ndarray, np.int64)
    elapsed: np.ndarray[Any, Any] = LavaPyType(np.ndarray, np.int64)

    def run_spk(self) -> None:
        """Do one step: receive, reset where it is time, integrate, fire, reset, send."""
        # Every step has to receive and send, even while waiting: the other ends block otherwise.
        a = self.a_in.recv().astype(np.int64)
        self.elapsed[0] += 1
        h = int(self.elapsed[0])
        if h <= self.proc_params["latency"]:
            self.s_out.send(np.zeros(self.v.shape, np.int32))
            return
        interval = self.proc_params["reset_interval"]
        if interval > 0 and h % interval == self.proc_params["reset_offset"] % interval:
            self.u[:] = self.v[:] = self.wait[:] = 0
        spikes = self._integrate(a)
        self.s_out.send(spikes.astype(np.int32))

    def _integrate(self, a: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Advance u and v by one step, and return who fired."""
        u = _wrap32(_decayed(self.u, 4095 - self.decay_u) + _wrap32(a << _ALIGN_BITS))
        u = np.where(u > _U_LIMIT, u - 2 * _U_LIMIT, u)
        u = np.where(u <= -_U_LIMIT, u + 2 * _U_LIMIT, u)
        awake = self.wait == 0
        v = _wrap32(_decayed(self.v, 4096 - self.decay_v) + u + self.bias)
        v = np.where(awake, np.clip(v, -_V_MAX, _V_MAX), self.v)
        limit = self.threshold << _ALIGN_BITS
        spikes: np.ndarray[Any, Any] = awake & (v > limit)
        after = v - limit if self.proc_params["subtract"] else 0
        self.u[:] = u
        self.v[:] = np.where(spikes, after, v)
        steps = self.proc_params["refractory_steps"]
        self.wait[:] = np.where(spikes, steps, np.maximum(self.wait - 1, 0))
        return spikes


def _decayed(x: np.ndarray[Any, Any], factor: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    product = x.astype(np.int64) * factor
    decayed: np.ndarray[Any, Any] = np.sign(product) * (np.abs(product) >> _DECAY_BITS)
    return decayed


def _wrap32(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return ((x + 2**31) & (2**32 - 1)) - 2**31
