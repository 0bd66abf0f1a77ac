"""The fixed-point network: exactly the integers that Lava's fixed_pt models (and DLIF) compute.

Rules and widths: docs of each class; golden vectors are in the tests. All shifts are arithmetic
(floor); the decay ``D(x, k) = sign(x) * ((|x| * k) >> 12)`` truncates toward zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from neurodeploy.errors import RangeError
from neurodeploy.network.arrays import IntArray, int_array
from neurodeploy.network.connections import check_connections, named
from neurodeploy.network.encoding import ConstantEncoder, Readout

FixedKind = Literal["lif", "dlif", "readout"]
SignMode = Literal["mixed", "excitatory", "inhibitory"]

#: Fraction bits of decays, alignment bits between synaptic sum and membrane, state bound.
DECAY_BITS = 12
ALIGN_BITS = 6
V_MAX = 2**23 - 1
V_THRESHOLD_MAX = 2**17 - 1
#: Prepared weights per sign mode at 8 bits: (lowest, highest, step).
WEIGHT_RANGE: Mapping[SignMode, tuple[int, int, int]] = {
    "mixed": (-256, 254, 2),
    "excitatory": (0, 255, 1),
    "inhibitory": (-255, 0, 1),
}


@dataclass(frozen=True, slots=True, eq=False)
class FixedPopulation:
    """Integer neurons; every per-neuron parameter is int32 [N].

    ``a`` is the sum over the population's synapses of their shifted sums (see FixedSynapse).

    ``lif`` and ``readout`` (Lava LIF, fixed_pt)::

        u = W24(wrap32(D(u, 4095 - decay_u) + wrap32(a << 6)))
        v = clip(wrap32(D(v, 4096 - decay_v) + u + (bias << bias_exp)), -V_MAX, V_MAX)
        s = v > (v_threshold << 6)              (strict)
        v = 0 where s                           (u is never reset)

    A ``readout`` is a LIF that cannot fire: its threshold is V_THRESHOLD_MAX + 1.

    ``dlif`` (our own process; no u)::

        x = ((a + bias) * gain[t]) >> gain_shift          (one floor, int64)
        v = clip(D(v, 4096 - decay_v) + (x << 6), -V_MAX, V_MAX)
        s, reset as above; after its last entry the last gain holds

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
        0..7.
    v_threshold : int32 [N]
        Mantissa; 0..131071 for neurons that can fire.
    u_init, v_init : int32 [N]
        State before the layer's own first step.
    latency : int
        Hardware steps between the input's step and the layer's own logical step.
    scale, origin : float
        Units of v per membrane unit of the float network, and the membrane at which v is 0:
        ``membrane = v / scale + origin``.
    gain : int32 [T] or None, gain_shift : int
        ``dlif`` only: mantissas 1..255, shift 0..7.
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
    scale: float
    gain: IntArray | None = None
    gain_shift: int = 0
    origin: float = 0.0

    def __post_init__(self) -> None:
        """Make every parameter a read-only int32 array and check its register's range."""
        size = (int(np.asarray(self.decay_v).size),)
        for name in ("decay_u", "decay_v", "bias", "v_threshold", "u_init", "v_init"):
            array = int_array(f"population {self.name}: {name}", getattr(self, name), size)
            object.__setattr__(self, name, array)
        if (self.kind == "dlif") != (self.gain is not None):
            raise RangeError(f"population {self.name}: a gain belongs to dlif and to dlif alone")
        if self.gain is not None:
            gain = np.atleast_1d(np.asarray(self.gain))
            where = f"population {self.name}: gain"
            if gain.size == 0:
                raise RangeError(f"{where} has no entry; give at least one")
            object.__setattr__(self, "gain", int_array(where, gain, (gain.size,)))

    @property
    def size(self) -> int:
        """Number of neurons."""
        return int(self.decay_v.size)

    @property
    def bias_shifted(self) -> IntArray:
        """``bias << bias_exp``, int32: what is added at every step."""
        return (self.bias.astype(np.int64) << self.bias_exp).astype(np.int32)


@dataclass(frozen=True, slots=True, eq=False)
class FixedSynapse:
    """Dense integer connection: ``a += shift(sum_j weight[i, j] * s_j, weight_exp)``.

    ``shift(x, e)`` is ``x << e`` for e > 0, else ``x >> -e`` (floor, on the sum); all in int32
    with wrap-around. ``s`` is 1 per spike, or the payload where ``message_bits`` > 0.

    Parameters
    ----------
    weight : int32 [target size, source size]
        Prepared mantissas: already clipped and rounded to what ``sign_mode`` can hold.
    weight_exp : int
        -8..7.
    weight_bits : int
        Declared width, 1..8; mixed sign spends one bit, so its step is ``2**(9 - bits)``.
    message_bits : int
        0 for spikes, else the width of the graded payload.
    """

    name: str
    source: str
    target: str
    weight: IntArray
    weight_exp: int
    sign_mode: SignMode
    weight_bits: int = 8
    message_bits: int = 0

    def __post_init__(self) -> None:
        """Make the weight a read-only int32 matrix."""
        shape = np.asarray(self.weight).shape
        weight = int_array(f"synapse {self.name}: weight", self.weight, shape)
        object.__setattr__(self, "weight", weight)

    def shape_between(self, sizes: Mapping[str, int]) -> tuple[int, int]:
        """Return (values given, values taken)."""
        del sizes
        return int(self.weight.shape[0]), int(self.weight.shape[1])


@dataclass(frozen=True, slots=True, eq=False)
class FixedPointNetwork:
    """Integer populations and synapses, with everything needed to run and to judge them.

    ``profile`` is the TOML text of the hardware profile in use. ``calibration`` holds the hashes of
    the samples that tuned any number in it.
    """

    populations: tuple[FixedPopulation, ...]
    synapses: tuple[FixedSynapse, ...]
    n_input: int
    encoder: ConstantEncoder
    readout: Readout
    steps: int
    contract: Mapping[str, Any] = field(default_factory=dict)
    profile: str = ""
    nir_file: bytes = b""
    calibration: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check that names are unique and that both ends of every synapse fit."""
        check_connections(self.populations, self.synapses, self.n_input, self.readout)

    def population(self, name: str) -> FixedPopulation:
        """Return the population called ``name``."""
        population: FixedPopulation = named(self.populations, name)
        return population

    def synapses_into(self, name: str) -> tuple[FixedSynapse, ...]:
        """Return the synapses whose target is the population ``name``."""
        return tuple(s for s in self.synapses if s.target == name)

    def save(self, path: str | Path) -> str:
        """Write NET.h5, whole or not at all; return its content hash."""
        from neurodeploy.network.network_file import save_network  # it imports this module

        return save_network(self, path)

    @property
    def max_latency(self) -> int:
        """Hardware steps that one sample takes beyond ``steps``."""
        return max(p.latency for p in self.populations)
