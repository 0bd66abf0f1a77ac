"""Changes in place: what they do to the tags of every tensor that shares the memory.

``voltages[t] += z`` changes ``voltages`` through a view of it; ``z.detach()`` shares its memory
with ``z``. Whatever is written through one name is read through the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from neurodeploy.export.nir.signal import Opaque, Signal, Tag, moved, written

if TYPE_CHECKING:
    from neurodeploy.export.nir.trace import Tracer


def changed(tracer: Tracer, target: Tensor, tag: Tag, result: Tensor) -> Tensor:
    """Tag a tensor that was changed in place, and all that share its memory."""
    memory = _memory(target)
    others = [
        held
        for held, _ in list(tracer.tags.values())
        if held is not target and memory is not None and _memory(held) == memory
    ]
    base = target._base if target._is_view() else None
    # A tensor that did not depend on the input so far has no tag.
    if base is not None and tracer.tag_of(base) is None:
        others.append(base)
    for other in others:
        tracer.tag(other, _seen_through(tracer, other, target, tag))
    tracer.tag(target, tag)
    return tracer.tag(result, tag)


def _memory(tensor: Tensor) -> int | None:
    """Return where a tensor's memory starts; None where it has none of its own kind."""
    return tensor.untyped_storage().data_ptr() if tensor.layout is torch.strided else None


def _seen_through(tracer: Tracer, other: Tensor, target: Tensor, tag: Tag) -> Tag:
    """Return the tag of ``other`` after ``target``, which shares its memory, became ``tag``."""
    old = tracer.signal_of(other)
    if other.dtype != target.dtype:
        return Opaque(tracer.path, "a change in place of a tensor seen as another type")
    mine, its = _places(other), _places(target)
    if not mine.numel() or not its.numel():
        return old
    size = 1 + max(int(mine.max()), int(its.max()))
    written_by = torch.full((size,), -1)
    written_by[its] = torch.arange(its.numel())
    source = written_by[mine]
    place = source >= 0
    if not bool(place.any()):
        return old
    if not isinstance(old, Signal) or not isinstance(tag, Signal):
        why = tag.why if isinstance(tag, Opaque) else "a change in place of a read-out"
        return Opaque(tracer.path, why)
    return written(
        old, place.reshape(other.shape), moved(tag, lambda x: x.reshape(-1)[source[place]])
    )


def _places(tensor: Tensor) -> Tensor:
    """Return the place in memory of every element, in the tensor's order."""
    place = torch.tensor(tensor.storage_offset())
    for size, stride in zip(tensor.shape, tensor.stride(), strict=True):
        place = place.unsqueeze(-1) + torch.arange(size) * stride
    return place.reshape(-1)
