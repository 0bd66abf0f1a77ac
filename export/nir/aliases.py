"""Changes in place: what they do to the tags of every tensor that shares the memory.

``voltages[t] += z`` changes ``voltages`` through a view of it; ``z.detach()`` shares its memory
with ``z``. Whatever is written through one name is read through the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from neurodeploy.export.nir.signal import Opaque, Signal, Tag, moved, written

if TYPE_CHECKING:
    from neurodeploy.export.nir.trace import Tracer


def changed(tracer: Tracer, target: Tensor, tag: Tag, result: Tensor) -> Tensor:
    """Tag a tensor that was changed in place, and all that share its memory."""
    _tell_others(tracer, target, target, tag)
    tracer.tag(target, tag)
    return tracer.tag(result, tag)


def changed_at(tracer: Tracer, target: Tensor, place: Any, tag: Tag) -> None:
    """Tag a tensor of which only ``target[place]`` was changed; the rest of it stays as it was."""
    part = target[place]
    if isinstance(tag, Signal) and memory_of(part) == memory_of(target):
        _tell_others(tracer, target, part, moved(tag, lambda x: x[place]))
    else:
        _tell_others(tracer, target, target, tag)
    tracer.tag(target, tag)


def _tell_others(tracer: Tracer, target: Tensor, part: Tensor, tag: Tag) -> None:
    """Retag what shares memory with ``part`` of ``target``, which became ``tag``."""
    memory, span = memory_of(part), _span(part)
    if memory is None or span is None:
        return
    others = [
        held
        for held in tracer.sharing.get(memory, ())
        if held is not target and _overlap(_span(held), span)
    ]
    base = target._base if target._is_view() else None
    # A tensor that did not depend on the input so far has no tag.
    if base is not None and tracer.tag_of(base) is None:
        others.append(base)
    if not others:
        return
    # Which element of the part lies at each place in memory, or -1.
    writer = torch.full((span[1] - span[0],), -1)
    writer[_places(part) - span[0]] = torch.arange(part.numel())
    for other in others:
        if other.dtype != part.dtype:
            why = "a change in place of a tensor seen as another type"
            tracer.tag(other, Opaque(tracer.path, why))
            continue
        at = _places(other) - span[0]
        inside = (at >= 0) & (at < len(writer))
        source = torch.where(inside, writer[at.clamp(0, len(writer) - 1)], -1)
        if bool((source >= 0).any()):
            tracer.tag(other, _rewritten(tracer, other, tag, source))


def _rewritten(tracer: Tracer, other: Tensor, tag: Tag, source: Tensor) -> Tag:
    """Return the tag of ``other`` with elements of ``tag`` put in (``source``: which, or -1)."""
    old = tracer.signal_of(other)
    if not isinstance(old, Signal) or not isinstance(tag, Signal):
        opaque = next((t for t in (tag, old) if isinstance(t, Opaque)), None)
        return opaque or Opaque(tracer.path, "a change in place of a read-out")
    place = source >= 0
    new = moved(tag, lambda x: x.reshape(-1)[source[place]])
    return written(old, place.reshape(other.shape), new)


def memory_of(tensor: Tensor) -> int | None:
    """Return where a tensor's memory starts; None where it has none of its own kind."""
    return tensor.untyped_storage().data_ptr() if tensor.layout is torch.strided else None


def _span(tensor: Tensor) -> tuple[int, int] | None:
    """Return the first place in memory and the one after the last; None without elements."""
    if not tensor.numel():
        return None
    first = int(tensor.storage_offset())
    reach = [(size - 1) * step for size, step in zip(tensor.shape, tensor.stride(), strict=True)]
    return first, first + sum(reach) + 1


def _overlap(a: tuple[int, int] | None, b: tuple[int, int]) -> bool:
    return a is not None and a[0] < b[1] and b[0] < a[1]


def _places(tensor: Tensor) -> Tensor:
    """Return the place in memory of every element, in the tensor's order."""
    place = torch.tensor(tensor.storage_offset())
    for size, stride in zip(tensor.shape, tensor.stride(), strict=True):
        place = place.unsqueeze(-1) + torch.arange(size) * stride
    return place.reshape(-1)
