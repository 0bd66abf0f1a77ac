"""What torch functions do to the tags of a traced run.

Functions not named here have no counterpart in NIR: their results are opaque.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor

from neurodeploy.errors import UnsupportedNodeError
from neurodeploy.export import nir_linear
from neurodeploy.export.nir_signal import (
    Largest,
    Opaque,
    Shown,
    Signal,
    Tag,
    added,
    joined,
    moved,
    padded,
    scaled,
    summed,
    unbound,
    written,
)

if TYPE_CHECKING:
    from neurodeploy.export.nir_trace import Tracer


def words(text: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(text.split())


Rule: TypeAlias = Callable[["Tracer", Any, tuple[Any, ...], dict[str, Any]], Any]

RANDOM = words(
    "rand randn randint randperm rand_like randn_like randint_like bernoulli bernoulli_ normal "
    "normal_ poisson multinomial uniform_ exponential_ random_ log_normal_ geometric_ cauchy_ "
    "rrelu gumbel_softmax"
)
#: Memory that is not written yet: zeros are one of the values it may hold.
CREATES: dict[str, Callable[..., Any]] = {
    "empty": lambda func, args, kwargs: torch.zeros(*args, **_without_memory(kwargs)),
    "empty_like": lambda func, args, kwargs: torch.zeros_like(*args, **_without_memory(kwargs)),
    "new_empty": lambda func, args, kwargs: args[0].new_zeros(*args[1:], **kwargs),
}
#: Functions that take no more than shape and type from a tensor.
LIKE = words("zeros_like ones_like full_like new_zeros new_ones new_full new_tensor")
RULES: dict[str, Rule] = {}


def _without_memory(kwargs: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in kwargs.items() if k not in ("memory_format", "pin_memory")}


def _rule(*names: str) -> Callable[[Rule], Rule]:
    def register(rule: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, rule))
        return rule

    return register


def _each(tag: Tag, change: Callable[[Signal], Signal]) -> Tag:
    """Apply a change of layout to a signal, or to every part of a maximum."""
    if isinstance(tag, Signal):
        return change(tag)
    if isinstance(tag, Largest):
        return Largest(tuple(change(part) for part in tag.parts))
    raise TypeError(type(tag).__name__)


@_rule(
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


@_rule(
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


@_rule(
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


@_rule("cat", "stack", "concat", "concatenate", "hstack", "vstack", "dstack", "column_stack")
def _join(tracer: Tracer, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    members = args[0] if args else kwargs["tensors"]
    tags = [tracer.signal_of(m) for m in members]
    if not all(isinstance(t, Signal) for t in tags):
        return NotImplemented
    kwargs = {k: v for k, v in kwargs.items() if k != "tensors"}
    tag = joined(tags, lambda parts: func(parts, *args[1:], **kwargs))  # type: ignore[arg-type]
    return tracer.tag(func(members, *args[1:], **kwargs), tag)


@_rule("pad")
def _pad(tracer: Tracer, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    given = _named(("input", "pad", "mode", "value"), args, kwargs)
    tag = tracer.tag_of(given["input"])
    zeros = given.get("mode", "constant") == "constant" and not given.get("value")
    if not isinstance(tag, Signal) or not zeros:
        return NotImplemented
    new = padded(tag, lambda x, value: func(x, given["pad"], value=value))
    return tracer.tag(func(*args, **kwargs), new)


@_rule("__setitem__")
def _write(tracer: Tracer, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    target, place, value = args
    new = tracer.signal_of(value)
    old = tracer.stale.pop(id(target), None) or tracer.signal_of(target)
    indexed = any(
        tracer.tag_of(p) is not None for p in (place if isinstance(place, tuple) else [place])
    )
    func(*args, **kwargs)
    if indexed or not isinstance(new, Signal) or not isinstance(old, Signal):
        tracer.tag(target, Opaque(tracer.path, "writing into a tensor at computed places"))
        return None
    tracer.tag(target, written(old, place, new))
    return None


@_rule("copy_")
def _copy(tracer: Tracer, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    target = args[0]
    new = tracer.signal_of(args[1])
    result = func(*args, **kwargs)
    if not isinstance(new, Signal):
        return NotImplemented
    return _changed(tracer, target, moved(new, lambda x: x.broadcast_to(target.shape)), result)


def _changed(tracer: Tracer, target: Tensor, tag: Tag, result: Tensor) -> Tensor:
    """Tag a tensor that was changed in place; a tensor it is a view of is no longer known."""
    base = target._base if target._is_view() else None
    if base is not None:
        tracer.stale[id(base)] = tracer.signal_of(base)
        tracer.tag(base, Opaque(tracer.path, "a change in place through a view"))
    tracer.tag(target, tag)
    return tracer.tag(result, tag)


@_rule(
    "add",
    "add_",
    "sub",
    "sub_",
    "subtract",
    "__rsub__",
    "rsub",
    "__radd__",
    "__add__",
    "__iadd__",
    "__sub__",
    "__isub__",
    "subtract_",
)
def _sum(tracer: Tracer, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    name = getattr(func, "__name__", "")
    first, second = tracer.signal_of(args[0]), tracer.signal_of(args[1])
    result = func(*args, **kwargs)
    if not isinstance(first, Signal) or not isinstance(second, Signal):
        return tracer.tag(result, Opaque(tracer.path, "arithmetic after a maximum or a softmax"))
    alpha = float(kwargs.get("alpha", 1))
    if "rsub" in name:
        first, second = second, first
    second = scaled(second, -alpha if "sub" in name else alpha)
    return _arithmetic(tracer, name, args[0], added([first, second]), result)


def _arithmetic(tracer: Tracer, name: str, target: Any, tag: Signal, result: Tensor) -> Tensor:
    if name.endswith("_") and (not name.endswith("__") or name.startswith("__i")):
        return _changed(tracer, target, tag, result)
    return tracer.tag(result, tag)


@_rule(
    "mul",
    "mul_",
    "multiply",
    "div",
    "div_",
    "true_divide",
    "divide",
    "__mul__",
    "__rmul__",
    "__imul__",
    "__truediv__",
    "__itruediv__",
    "neg",
    "negative",
    "__neg__",
    "__div__",
)
def _scale(tracer: Tracer, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    name = getattr(func, "__name__", "")
    operands = list(args[:2]) if len(args) > 1 else [args[0], -1.0]
    tags = [tracer.tag_of(o) for o in operands]
    if kwargs.get("rounding_mode") is not None:
        return NotImplemented
    result = func(*args, **kwargs)
    if tags[0] is not None and tags[1] is not None:
        return tracer.tag(result, Opaque(tracer.path, f"{name} of two signals"))
    at = 0 if tags[0] is not None else 1
    signal, factor = tags[at], operands[1 - at]
    if "div" in name:
        if at == 1:
            return tracer.tag(result, Opaque(tracer.path, "division by a signal"))
        factor = 1 / (factor.detach().double() if isinstance(factor, Tensor) else float(factor))
    if isinstance(signal, (Largest, Shown)):
        number = float(factor) if not isinstance(factor, Tensor) or factor.numel() == 1 else 0.0
        if number > 0:
            inner = signal.inner if isinstance(signal, Shown) else signal
            chain = signal.chain if isinstance(signal, Shown) else ()
            step = (f"* {number:g}", lambda y: y * number)
            return tracer.tag(result, Shown(inner, (*chain, step)))
        return tracer.tag(result, Opaque(tracer.path, f"{name} after a maximum or a softmax"))
    if not isinstance(signal, Signal):
        return NotImplemented
    factor = factor if isinstance(factor, Tensor) else float(factor)
    return _arithmetic(tracer, name, args[0], scaled(signal, factor), result)


@_rule("sum", "mean", "nansum", "nanmean")
def _reduce(tracer: Tracer, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    given = _named(("input", "dim", "keepdim"), args, kwargs)
    tag = tracer.tag_of(given["input"])
    if not isinstance(tag, Signal) or given.get("dtype") not in (
        None,
        torch.float64,
        torch.float32,
    ):
        return NotImplemented
    dims = given.get("dim", given.get("axis"))
    dims = range(len(tag.shape)) if dims is None else dims
    dims = [dims] if isinstance(dims, int) else list(dims)
    count = 1
    for dim in dims:
        count *= tag.shape[dim]
    if count > _MOST_SUMMANDS:
        return NotImplemented
    new = summed(tag, dims, bool(given.get("keepdim", False)))
    if "mean" in getattr(func, "__name__", ""):
        new = scaled(new, 1 / count)
    return tracer.tag(func(*args, **kwargs), new)


_MOST_SUMMANDS = 20_000


@_rule("max", "amax", "maximum", "fmax")
def _largest(tracer: Tracer, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    given = _named(("input", "dim", "keepdim"), args, kwargs)
    other = given.get("dim", given.get("axis", given.get("other")))
    tag = tracer.tag_of(given["input"])
    result = func(*args, **kwargs)
    if isinstance(other, Tensor):
        return _larger(tracer, [args[0], other], result)
    if not isinstance(tag, Signal) or other is None or given.get("keepdim"):
        return (
            tracer.tag(result, Opaque(tracer.path, "max"))
            if isinstance(result, Tensor)
            else NotImplemented
        )
    dims = [other] if isinstance(other, int) else list(other)
    if len(dims) != 1:
        return tracer.tag(result, Opaque(tracer.path, "max over several axes"))
    values = result if isinstance(result, Tensor) else result[0]
    tracer.tag(values, Largest(tuple(unbound(tag, dims[0]))))
    if not isinstance(result, Tensor):
        tracer.tag(result[1], Opaque(tracer.path, "the place of a maximum"))
    return result


def _larger(tracer: Tracer, operands: list[Any], result: Tensor) -> Tensor:
    parts: list[Signal] = []
    for operand in operands:
        tag = tracer.tag_of(operand)
        if tag is None and bool((operand == -torch.inf).all()):
            continue
        tag = tracer.signal_of(operand)
        if isinstance(tag, Largest):
            parts += tag.parts
        elif isinstance(tag, Signal):
            parts.append(tag)
        else:
            return tracer.tag(result, Opaque(tracer.path, "maximum"))
    return tracer.tag(result, Largest(tuple(parts)))


@_rule(
    "softmax",
    "log_softmax",
    "sigmoid",
    "tanh",
    "exp",
    "argmax",
    "softplus",
    "logsigmoid",
    "arctan",
    "atan",
    "expm1",
    "softmin_",
)
def _shown(tracer: Tracer, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Keep functions that cannot change which class is the largest."""
    tag = tracer.tag_of(args[0])
    result = func(*args, **kwargs)
    if tag is None or isinstance(tag, Opaque):
        return NotImplemented
    name = getattr(func, "__name__", "")
    dim = kwargs.get("dim", kwargs.get("axis", args[1] if len(args) > 1 else None))
    if name in ("softmax", "log_softmax", "argmax") and dim not in (-1, args[0].ndim - 1):
        return tracer.tag(result, Opaque(tracer.path, f"{name} over another axis than the last"))
    inner = tag.inner if isinstance(tag, Shown) else tag
    chain = tag.chain if isinstance(tag, Shown) else ()
    step = (name, lambda y: func(y, *args[1:], **kwargs))
    return tracer.tag(result, Shown(inner, (*chain, step)))


@_rule(
    "dropout",
    "dropout_",
    "dropout1d",
    "dropout2d",
    "dropout3d",
    "alpha_dropout",
    "feature_dropout",
    "feature_alpha_dropout",
)
def _dropout(tracer: Tracer, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    given = _named(("input", "p", "training", "inplace"), args, kwargs)
    tag = tracer.tag_of(given["input"])
    result = func(*args, **kwargs)
    if tag is None:
        return result
    if given.get("training", True) and given.get("p", 0.5):
        tag = Opaque(tracer.path, "dropout in training mode (call model.eval() first)")
    return tracer.tag(result, tag)


def _named(names: tuple[str, ...], args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    given = dict(zip(names, args, strict=False))
    given.update(kwargs)
    return given


def _apply(make: Callable[..., Any]) -> Rule:
    """Make a rule of a function that describes a linear operation (see ``nir_linear``)."""
    names = ("input", *tuple(inspect.signature(make).parameters)[2:])

    def rule(tracer: Tracer, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        given = _named(names, args, kwargs)
        tag = tracer.signal_of(given.pop("input"))
        if not isinstance(tag, Signal) or any(tracer.tag_of(v) is not None for v in given.values()):
            return NotImplemented
        given = {k: v for k, v in given.items() if k in names}
        try:
            described = make(tracer, tag, **given)
        except UnsupportedNodeError as error:
            try:
                result = func(*args, **kwargs)
            except RuntimeError:
                raise UnsupportedNodeError(f"{tracer.path}: {error}") from None
            return tracer.tag(result, Opaque(tracer.path, str(error)))
        result = func(*args, **kwargs)
        if described is None:
            return NotImplemented
        operation, signal, lead, back = described
        if not signal.terms and signal.constant is not None:
            return result
        out = result if back is None else back[0](result)
        new = tracer.recorder.apply(operation, signal, lead, tuple(out.shape[lead:]))
        if back is not None:
            new = moved(new, back[1])
        if not new.terms and not signal.terms:
            return result
        return tracer.tag(result, new)

    return rule


for _name, _make in nir_linear.DESCRIPTIONS.items():
    RULES[_name] = _apply(_make)
