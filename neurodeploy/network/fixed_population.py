"""Integer neurons: the rules of Lava's LIF, of DLIF, and of three named extensions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from neurodeploy.errors import RangeError, ShapeError
from neurodeploy.network.arrays import (
    FloatArray,
    IntArray,
    float_array,
    frozen,
    int_array,
    whole,
)

FixedKind = Literal["lif", "dlif", "readout"]
FixedReset = Literal["zero", "subtract"]
GainForm = Literal["microcode", "graded"]

_PER_NEURON = ("decay_u", "decay_v", "bias", "v_threshold", "u_init", "v_init")
_NOT_NEGATIVE = ("latency", "gain_shift", "refractory_steps", "reset_interval", "reset_offset")


@dataclass(frozen=True, slots=True, eq=False)
class FixedPopulation:
    """Integer neurons; every per-neuron parameter is int32 [N].

    ``a`` is the sum over the population's synapses of their shifted sums (see FixedSynapse).

    ``lif`` and ``readout`` (Lava LIF, fixed_pt), in hardware step h = 1, 2, ...::

        u = v = 0 where h % reset_interval == reset_offset % reset_interval   (Lava LIFReset)
        u = W24(wrap32(D(u, 4095 - decay_u) + wrap32(a << 6)))
        v = clip(wrap32(D(v, 4096 - decay_v) + u + bias_shifted), -V_MAX, V_MAX)
        s = v > (v_threshold << 6)              (strict)
        v = 0 where s                           (u is never reset)

    ``bias_shifted`` is ``bias << bias_exp``, or ``bias >> -bias_exp``; Lava holds the mantissa in
    16 bits, so it wraps there. A ``readout`` is a LIF that cannot fire: its threshold is
    V_THRESHOLD_MAX + 1.

    Extensions that stock Lava lacks, run there by a process of our own:

    * ``reset`` "subtract": ``v = v - (v_threshold << 6)`` where s.
    * ``refractory_steps`` n > 0: for the n steps after a spike v keeps its value and the neuron
      does not fire; u goes on. A periodic reset ends the wait.

    They do nothing at all, periodic resets included, in the ``latency`` steps before their own
    first; a stock LIF steps from hardware step 1.

    ``dlif`` (no u)::

        x = ((a + bias) * gain[t]) >> gain_shift          (one floor, int64)
        v = clip(D(v, 4096 - decay_v) + (x << 6), -V_MAX, V_MAX)
        s, reset as above; after its last entry the last gain holds; t counts the layer's own steps

    It has two forms on hardware that compute the same integers, ``gain_form``:

    * ``microcode``: one process of our own.
    * ``graded``: stock Lava processes. A ProdNeuron takes ``a`` and the bias from synapses, gain[t]
      from a line of graded messages, and sends x as one to a LIF without current. That is one
      synapse more: a sum is felt one hardware step later (``drive_steps``), and the population's
      latency is 2 at least. It needs |x| < 2**17 (``neurodeploy.network.graded_gain``).

    Parameters
    ----------
    name, nir_nodes, kind
        As in the float Population; ``dlif`` if it has a gain.
    decay_u : int32 [N]
        0..4095; 4095 means u keeps nothing (``D(u, 0)``). Ignored by ``dlif``.
    decay_v : int32 [N]
        0..4096; ``round(4096 * dt / tau)``.
    bias : int32 [N]
        Mantissa, 13 bits signed for ``lif``; in units of v after ``<< bias_exp``.
        For ``dlif`` in units of ``a`` with ``bias_exp`` 0.
    bias_exp : int
        0..7 on a chip.
    v_threshold : int32 [N]
        Mantissa; 0..131071 for neurons that can fire.
    u_init, v_init : int32 [N]
        State before the layer's own first step.
    latency : int
        Hardware steps between the input's step and the layer's own logical step: the layer does
        its logical step t in hardware step t + latency.
    scale : float or float64 [N], origin : float64 [N]
        Units of v per membrane unit of the float network, one number where all neurons share it,
        and the membrane at which v is 0: ``membrane = v / scale + origin``.
    gain : int32 [T] or None, gain_shift : int
        ``dlif`` only: mantissas 1..255, shift 0..7.
    gain_form : {"microcode", "graded"}
        ``dlif`` only.
    reset : {"zero", "subtract"}, refractory_steps : int
        ``lif`` only.
    reset_interval, reset_offset : int
        ``lif`` and ``readout``; interval 0: never. In hardware steps of one sample.
    shape : tuple of int
        Shape of one step's values, by default (N,); values are flat in C order. Convolutions need
        (C, H, W).
    """

    name: str
    nir_nodes: tuple[str, ...]
    kind: FixedKind
    decay_u: IntArray
    decay_v: IntArray
    bias: IntArray
    bias_exp: int
    v_threshold: IntArray
    u_init: IntArray
    v_init: IntArray
    latency: int
    scale: FloatArray | float
    gain: IntArray | None = None
    gain_shift: int = 0
    origin: FloatArray | float = 0.0
    reset: FixedReset = "zero"
    refractory_steps: int = 0
    reset_interval: int = 0
    reset_offset: int = 0
    shape: tuple[int, ...] = ()
    gain_form: GainForm = "microcode"

    def __post_init__(self) -> None:
        """Make every parameter a read-only array of one length and check what belongs together."""
        size = (int(np.asarray(self.decay_v).size),)
        where = f"population {self.name}"
        if self.kind not in get_args(FixedKind) or self.reset not in get_args(FixedReset):
            raise RangeError(f"{where}: no neuron is {self.kind!r} with reset {self.reset!r}")
        for name in _PER_NEURON:
            array = int_array(f"{where}: {name}", getattr(self, name), size)
            object.__setattr__(self, name, array)
        object.__setattr__(self, "origin", float_array(f"{where}: origin", self.origin, size))
        object.__setattr__(self, "scale", _one_or_all(where, self.scale, size))
        shape = tuple(whole(f"{where}: shape", n) for n in self.shape or size)
        if int(np.prod(shape)) != size[0] or min(shape) < 1:
            raise ShapeError(f"{where}: shape {shape} does not hold {size[0]} neurons, 1 at least")
        object.__setattr__(self, "shape", shape)
        for name in (*_NOT_NEGATIVE, "bias_exp"):
            value = whole(f"{where}: {name}", getattr(self, name))
            object.__setattr__(self, name, value)
            if value < 0 and name != "bias_exp":
                raise RangeError(f"{where}: {name} is {value}; it cannot be negative")
        self._check_gain(where)
        self._check_extensions(where)

    def _check_gain(self, where: str) -> None:
        if (self.kind == "dlif") != (self.gain is not None):
            raise RangeError(f"{where}: a gain belongs to dlif and to dlif alone")
        if self.gain_form not in get_args(GainForm) or (self.is_graded and self.kind != "dlif"):
            raise RangeError(f"{where}: no {self.kind} has a gain in the form {self.gain_form!r}")
        if self.is_graded and self.latency < 2:
            raise RangeError(
                f"{where}: latency {self.latency}; a gain on graded messages takes two synapses, "
                "so it is 2 at least"
            )
        if self.gain is not None:
            gain = np.atleast_1d(np.asarray(self.gain))
            if gain.size == 0:
                raise RangeError(f"{where}: gain has no entry; give at least one")
            object.__setattr__(self, "gain", int_array(f"{where}: gain", gain, (gain.size,)))
            if self.bias_exp != 0:
                raise RangeError(f"{where}: bias_exp is {self.bias_exp}; a dlif's bias has none: 0")

    def _check_extensions(self, where: str) -> None:
        if self.kind != "lif" and (self.reset != "zero" or self.refractory_steps):
            raise RangeError(
                f"{where}: reset {self.reset!r} with {self.refractory_steps} refractory steps; "
                f"only lif has them, not {self.kind}"
            )
        if self.kind == "dlif" and self.reset_interval:
            raise RangeError(f"{where}: a dlif has no periodic reset; reset_interval must be 0")

    @property
    def size(self) -> int:
        """Number of neurons."""
        return int(self.decay_v.size)

    @property
    def scales(self) -> FloatArray:
        """Units of v per membrane unit of every neuron, float64 [N]."""
        return np.broadcast_to(np.asarray(self.scale, np.float64), (self.size,))

    @property
    def common_scale(self) -> float:
        """Units of v per membrane unit of them all; the largest where each has its own.

        The neurons of a read-out by its membrane always share one.
        """
        return float(np.max(self.scale))

    @property
    def is_extended(self) -> bool:
        """Whether stock Lava has no such neuron: subtractive reset or refractory steps."""
        return self.reset != "zero" or self.refractory_steps > 0

    @property
    def is_graded(self) -> bool:
        """Whether its gain travels on graded messages."""
        return self.gain_form == "graded"

    @property
    def drive_steps(self) -> int:
        """Hardware steps from where the synapses' sum arrives to the membrane."""
        return 1 if self.is_graded else 0

    @property
    def waits(self) -> bool:
        """Whether it does nothing before its own first step; a stock LIF steps from the start."""
        return (self.kind == "dlif" and not self.is_graded) or self.is_extended

    @property
    def resting_bias(self) -> IntArray:
        """What enters v in the steps before its own first, int32 [N]: a dlif's bias does not."""
        return frozen(np.zeros(self.size, np.int32)) if self.kind == "dlif" else self.bias_shifted

    @property
    def bias_shifted(self) -> IntArray:
        """What is added at every step, int32; a LIF's mantissa wraps at 16 bits, as in Lava."""
        mantissa = self.bias.astype(np.int64)
        if self.kind != "dlif":
            mantissa = self.bias.astype(np.int16).astype(np.int64)
        if self.bias_exp >= 0:
            return (mantissa << self.bias_exp).astype(np.int32)
        return (mantissa >> -self.bias_exp).astype(np.int32)

    def resets_at(self, hardware_step: int) -> bool:
        """Whether u and v are set to 0 at the start of a hardware step (from 1)."""
        interval = self.reset_interval
        return interval > 0 and hardware_step % interval == self.reset_offset % interval


def _one_or_all(where: str, value: FloatArray | float, size: tuple[int, ...]) -> FloatArray | float:
    """Return a scale as one number, or as an array where neurons differ."""
    scale = float_array(f"{where}: scale", value, size)
    if not (np.isfinite(scale) & (scale > 0)).all():
        raise RangeError(f"{where}: a scale is {scale.min()}..{scale.max()}; it must be positive")
    return scale if (scale != scale[:1]).any() else float(scale[0]) if scale.size else 1.0
