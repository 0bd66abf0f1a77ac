"""Arithmetic, read-outs over time and linear functions in a traced run.

Functions without a rule have no counterpart in NIR: their results are opaque.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from neurodeploy.errors import UnsupportedNodeError
from neurodeploy.export.nir import layouts, linear
from neurodeploy.export.nir.aliases import changed
from neurodeploy.export.nir.rules import RULES, Rule, named, rule
from neurodeploy.export.nir.signal import (
    Largest,
    Opaque,
    Shown,
    Signal,
    added,
    moved,
    scaled,
    summed,
    unbound,
)

if TYPE_CHECKING:
    from neurodeploy.export.nir.trace import Tracer

# The rules of layouts enter the table when it is imported.
__all__ = ["RULES", "layouts"]


@rule(
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
        return changed(tracer, target, tag, result)
    return tracer.tag(result, tag)


@rule(
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


@rule("sum", "mean", "nansum", "nanmean")
def _reduce(tracer: Tracer, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    given = named(("input", "dim", "keepdim"), args, kwargs)
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


@rule("relu", "relu_")
def _positive_part(tracer: Tracer, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Spikes are not negative: they stay as they are."""
    tag = tracer.signal_of(args[0])
    if not isinstance(tag, Signal) or not linear.is_binary(tracer, tag):
        return NotImplemented
    return tracer.tag(func(*args, **kwargs), tag)


@rule("max", "amax", "maximum", "fmax")
def _largest(tracer: Tracer, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    given = named(("input", "dim", "keepdim"), args, kwargs)
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


@rule(
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


@rule(
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
    given = named(("input", "p", "training", "inplace"), args, kwargs)
    tag = tracer.tag_of(given["input"])
    result = func(*args, **kwargs)
    if tag is None:
        return result
    if given.get("training", True) and given.get("p", 0.5):
        tag = Opaque(tracer.path, "dropout in training mode (call model.eval() first)")
    return tracer.tag(result, tag)


def _apply(make: Callable[..., Any]) -> Rule:
    """Make a rule of a function that describes a linear operation (see ``linear``)."""
    names = ("input", *tuple(inspect.signature(make).parameters)[2:])

    def apply(tracer: Tracer, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        given = named(names, args, kwargs)
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

    return apply


for _name, _make in linear.DESCRIPTIONS.items():
    RULES[_name] = _apply(_make)
