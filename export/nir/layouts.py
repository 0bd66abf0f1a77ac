"""Moving elements about in a traced run: views, slices, stacking, writing into a tensor."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from neurodeploy.export.nir.aliases import changed, changed_at
from neurodeploy.export.nir.rules import named, rule, words
from neurodeploy.export.nir.signal import (
    Largest,
    Opaque,
    Shown,
    Signal,
    Tag,
    constant,
    joined,
    moved,
    padded,
    written,
)

if TYPE_CHECKING:
    from neurodeploy.export.nir.trace import Tracer


def _each(tag: Tag, change: Callable[[Signal], Signal]) -> Tag:
    """Apply a change of layout to a signal, or to every part of a maximum."""
    if isinstance(tag, Signal):
        return change(tag)
    if isinstance(tag, Largest):
        return Largest(tuple(change(part) for part in tag.parts))
    raise TypeError(type(tag).__name__)


@rule(
    *words(
        "permute transpose t T mT H swapaxes swapdims movedim moveaxis squeeze unsqueeze flatten "
        "unflatten reshape view expand broadcast_to repeat tile repeat_interleave narrow select "
        "__getitem__ flip roll index_select take_along_dim squeeze_ unsqueeze_ transpose_ "
        "atleast_1d atleast_2d atleast_3d diagonal view_as reshape_as expand_as rot90 ravel"
    )
)
def _layout(tracer: Tracer, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    tag = tracer.tag_of(args[0])
    others = [tracer.tag_of(a) for a in args[1:]]
    like = getattr(func, "__name__", "") in ("view_as", "reshape_as", "expand_as")
    if tag is None or (any(o is not None for o in others) and not like):
        return NotImplemented
    name = getattr(func, "__name__", "")
    before = args[0].dtype

    def move(x: Tensor) -> Tensor:
        if name in ("view", "view_as"):
            # A view of the values may be a copy of the (differently strided) element numbers.
            shape = args[1].shape if name == "view_as" else args[1:]
            result: Tensor = torch.reshape(x, shape[0] if _is_shape(shape) else tuple(shape))
            return result
        # In-place forms change the shape of what they are given: give them an alias.
        moved_x: Tensor = func(x.view(x.shape), *args[1:], **kwargs)
        return moved_x

    if isinstance(tag, Shown):
        result = func(*args, **kwargs)
        step = (name, lambda y: func(y, *args[1:], **kwargs))
        return tracer.tag(result, Shown(tag.inner, (*tag.chain, step)))
    new = _each(tag, lambda s: moved(s, move))
    result = func(*args, **kwargs)
    if result.dtype != before:
        return NotImplemented
    return tracer.tag(result, new)


def _is_shape(shape: Any) -> bool:
    return len(shape) == 1 and isinstance(shape[0], (tuple, list, torch.Size))


@rule(
    *words(
        "clone detach contiguous to float double cpu cuda data alias detach_ positive type_as "
        "type requires_grad_ pin_memory resolve_conj resolve_neg __deepcopy__"
    )
)
def _same_values(tracer: Tracer, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    tag = tracer.tag_of(args[0])
    result = func(*args, **kwargs)
    if tag is None or not isinstance(result, Tensor):
        return result
    if result.dtype not in (torch.float64, torch.float32):
        tag = Opaque(tracer.path, f"a cast to {str(result.dtype).removeprefix('torch.')}")
    return tracer.tag(result, tag)


@rule(
    "unbind",
    "split",
    "chunk",
    "tensor_split",
    "split_with_sizes",
    "__iter__",
    "hsplit",
    "vsplit",
    "dsplit",
)
def _pieces(tracer: Tracer, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    tag = tracer.tag_of(args[0])
    if not isinstance(tag, Signal):
        return NotImplemented
    results = list(func(*args, **kwargs))
    for number, result in enumerate(results):
        piece = moved(tag, lambda x, n=number: list(func(x, *args[1:], **kwargs))[n])  # type: ignore[misc]
        tracer.tag(result, piece)
    name = getattr(func, "__name__", "")
    return iter(results) if name == "__iter__" else tuple(results)


@rule("cat", "stack", "concat", "concatenate", "hstack", "vstack", "dstack", "column_stack")
def _join(tracer: Tracer, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    members = args[0] if args else kwargs["tensors"]
    tags = [tracer.signal_of(m) for m in members]
    if not all(isinstance(t, Signal) for t in tags):
        return NotImplemented
    kwargs = {k: v for k, v in kwargs.items() if k != "tensors"}
    tag = joined(tags, lambda parts: func(parts, *args[1:], **kwargs))  # type: ignore[arg-type]
    return tracer.tag(func(members, *args[1:], **kwargs), tag)


@rule("pad")
def _pad(tracer: Tracer, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    given = named(("input", "pad", "mode", "value"), args, kwargs)
    tag = tracer.tag_of(given["input"])
    zeros = given.get("mode", "constant") == "constant" and not given.get("value")
    if not isinstance(tag, Signal) or not zeros:
        return NotImplemented
    new = padded(tag, lambda x, value: func(x, given["pad"], value=value))
    return tracer.tag(func(*args, **kwargs), new)


@rule("__setitem__")
def _write(tracer: Tracer, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    target, place, value = args
    new, old = tracer.signal_of(value), tracer.signal_of(target)
    indexed = any(
        tracer.tag_of(p) is not None for p in (place if isinstance(place, tuple) else [place])
    )
    func(*args, **kwargs)
    if indexed or not isinstance(new, Signal) or not isinstance(old, Signal):
        why = Opaque(tracer.path, "writing into a tensor at computed places")
        changed(tracer, target, why, target)
        return None
    changed_at(tracer, target, place, written(old, place, new))
    return None


@rule("copy_")
def _copy(tracer: Tracer, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    target = args[0]
    new = tracer.signal_of(args[1])
    result = func(*args, **kwargs)
    if not isinstance(new, Signal):
        return NotImplemented
    return changed(tracer, target, moved(new, lambda x: x.broadcast_to(target.shape)), result)


@rule("zero_", "fill_")
def _fill(tracer: Tracer, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if any(tracer.tag_of(value) is not None for value in (*args[1:], *kwargs.values())):
        return NotImplemented
    result = func(*args, **kwargs)
    return changed(tracer, args[0], constant(args[0]), result)
