"""The neuron group of a NetX layer: SLAYER's CUBA neuron as a Loihi neuron's registers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from neurodeploy.errors import RangeError, ShapeError
from neurodeploy.export.netx.stored import StoredLayer
from neurodeploy.export.netx.whole import whole
from neurodeploy.network import V_THRESHOLD_MAX
from neurodeploy.network.arrays import IntArray

#: SLAYER's two names of the same neuron.
_KINDS = ("LOIHI", "CUBA")


@dataclass(frozen=True, slots=True, eq=False)
class Neuron:
    """Registers as the file gives them: one number, or one per neuron or channel.

    ``decay_u`` is lava's du, one below ``iDecay``. A threshold beyond the register means that the
    neuron never fires; it is ``V_THRESHOLD_MAX + 1`` then.
    """

    decay_u: IntArray
    decay_v: IntArray
    v_threshold: IntArray
    refractory_delay: int | None

    @property
    def hardly_fires(self) -> bool:
        """Whether its threshold is at the register's end, as that of a read-out is."""
        return bool((self.v_threshold >= V_THRESHOLD_MAX).all())

    @property
    def cannot_fire(self) -> bool:
        """Whether no membrane can pass its threshold."""
        return bool((self.v_threshold > V_THRESHOLD_MAX).all())

    @property
    def is_perfect_integrator(self) -> bool:
        """Whether its membrane keeps everything."""
        return not self.decay_v.any()


def refusal_of_neuron(stored: StoredLayer) -> list[str]:
    """Return what the layer's neuron asks for that a fixed-point network does not have."""
    if stored.neuron_kind is None:
        needs_one = stored.kind == "conv"
        return ["no neuron (lava-dl needs one in a conv layer)"] if needs_one else []
    if stored.neuron_kind not in _KINDS:
        return [f"neuron {stored.neuron_kind!r}"]
    if "neuron/messageBits" in stored.present:
        return ["neuron with messageBits, which lava-dl cannot read either"]
    return []


def read_neuron(stored: StoredLayer) -> Neuron:
    """Return the neuron of a layer; without one lava-dl takes a summing neuron that never fires.

    Raises
    ------
    FileFormatError, RangeError
        For a register that is missing, or out of the arithmetic's range.
    """
    if stored.neuron_kind is None:
        forgets_nothing, forgets_all = np.array(-1, np.int32), np.array(4096, np.int32)
        never = np.array(V_THRESHOLD_MAX + 1, np.int32)
        return Neuron(forgets_nothing, forgets_all, never, None)
    i_decay = _register(stored, "iDecay", 0, 4096)
    threshold = _register(stored, "vThMant", 0, 2**31 - 1)
    refractory = stored.numbers.get("neuron/refDelay")
    return Neuron(
        decay_u=i_decay - 1,
        decay_v=_register(stored, "vDecay", 0, 4096),
        v_threshold=np.minimum(threshold, V_THRESHOLD_MAX + 1),
        refractory_delay=None if refractory is None else int(refractory.max()),
    )


def per_neuron(where: str, values: IntArray, shape: tuple[int, ...]) -> IntArray:
    """Return ``values`` for each neuron, flat in the order (C, H, W) or [N].

    In files a value per channel is [C], and one per neuron [N] or lava's (W, H, C).
    """
    if values.size == 1:
        return np.full(int(np.prod(shape)), values.reshape(-1)[0], np.int32)
    if len(shape) == 3 and values.shape == (shape[2], shape[1], shape[0]):
        return np.ascontiguousarray(values.transpose(2, 1, 0)).reshape(-1)
    if values.ndim == 1 and values.size == shape[0]:
        return np.asarray(np.repeat(values, int(np.prod(shape)) // shape[0]))
    raise ShapeError(f"{where}: has shape {values.shape}, which fits no neurons of shape {shape}")


def _register(stored: StoredLayer, name: str, low: int, high: int) -> IntArray:
    where = f"{stored.where}: neuron/{name}"
    values = whole(where, stored.need(f"neuron/{name}"))
    if values.min() < low or values.max() > high:
        raise RangeError(
            f"{where}: is {values.min()}..{values.max()}, the arithmetic takes {low}..{high}"
        )
    return values
