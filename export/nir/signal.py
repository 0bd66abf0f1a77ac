"""Where each element of a traced tensor comes from, and what can be done with that.

While a model runs once for the exporter, every tensor that depends on the input carries a
``Signal``: a sum of node outputs, element by element. Moving elements about (views, slices,
stacking) is done on the element numbers themselves, by the same torch function; so no layout needs
a rule of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor

Move: TypeAlias = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True, eq=False)
class Term:
    """``factor * output of node``, element by element.

    ``index`` (int64, shape of the tensor) holds ``(t * B + b) * F + f`` for feature ``f`` of
    sample ``b`` at step ``t``, or -1 where this term adds nothing. ``factor`` is one number, or a
    tensor of the same shape.
    """

    node: int
    index: Tensor
    factor: float | Tensor = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Signal:
    """Sum of ``terms`` plus ``constant`` (None: zero). All have the shape of the tensor."""

    shape: torch.Size
    terms: tuple[Term, ...]
    constant: Tensor | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Largest:
    """Largest of several signals of one shape, element by element."""

    parts: tuple[Signal, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Shown:
    """A read-out after functions that keep its order, such as ``log_softmax``.

    ``chain`` holds (name, function) in the order applied.
    """

    inner: Signal | Largest
    chain: tuple[tuple[str, Callable[[Tensor], Any]], ...]


@dataclass(frozen=True, slots=True)
class Opaque:
    """A value no NIR node can give. ``why`` names the operation, ``path`` the module it is in."""

    path: str
    why: str


Tag: TypeAlias = Signal | Largest | Shown | Opaque


def constant(value: Tensor) -> Signal:
    """Return the signal of a tensor that does not depend on the input."""
    held = value.detach().to(torch.float64)
    return Signal(held.shape, (), held if bool((held != 0).any()) else None)


def moved(signal: Signal, move: Move) -> Signal:
    """Apply a function that only moves, repeats or drops elements."""
    terms = tuple(_moved_term(term, move) for term in signal.terms)
    held = None if signal.constant is None else move(signal.constant)
    shape = held.shape if held is not None else None
    if terms:
        shape = terms[0].index.shape
    if shape is None:
        shape = move(torch.empty(signal.shape)).shape
    kept = tuple(term for term in terms if bool((term.index >= 0).any()))
    return Signal(shape, kept, held)


def _moved_term(term: Term, move: Move) -> Term:
    factor = move(term.factor) if isinstance(term.factor, Tensor) else term.factor
    return Term(term.node, move(term.index), factor)


def padded(signal: Signal, pad: Callable[[Tensor, float], Tensor]) -> Signal:
    """Apply a padding function; what is added is zero."""
    terms = tuple(
        Term(
            t.node, pad(t.index, -1), pad(t.factor, 0) if isinstance(t.factor, Tensor) else t.factor
        )
        for t in signal.terms
    )
    held = None if signal.constant is None else pad(signal.constant, 0)
    shape = terms[0].index.shape if terms else pad(torch.empty(signal.shape), 0).shape
    return Signal(shape, terms, held)


def scaled(signal: Signal, factor: float | Tensor) -> Signal:
    """Multiply by a constant, which may broadcast."""
    if isinstance(factor, Tensor):
        if factor.numel() == 1 and factor.ndim <= len(signal.shape):
            factor = float(factor)
        else:
            shape = _common([signal.shape, factor.shape])
            signal = moved(signal, lambda x: x.broadcast_to(shape))
            factor = factor.detach().to(torch.float64).broadcast_to(shape)
    terms = tuple(Term(t.node, t.index, t.factor * factor) for t in signal.terms)
    held = None if signal.constant is None else signal.constant * factor
    return Signal(signal.shape, terms, held)


def added(signals: Sequence[Signal]) -> Signal:
    """Sum signals, which may broadcast."""
    shape = _common([s.shape for s in signals])
    wide = [s if s.shape == shape else moved(s, lambda x: x.broadcast_to(shape)) for s in signals]
    held = [s.constant for s in wide if s.constant is not None]
    return Signal(
        shape, tuple(t for s in wide for t in s.terms), sum(held[1:], held[0]) if held else None
    )


def _common(shapes: Sequence[torch.Size]) -> torch.Size:
    """Return the shape that all broadcast to."""
    found: torch.Size = torch.broadcast_shapes(*shapes)  # type: ignore[no-untyped-call]
    return found


def unbound(signal: Signal, dim: int) -> list[Signal]:
    """Split a signal along one axis."""
    size = signal.shape[dim]
    return [moved(signal, lambda x, k=k: x.select(dim, k)) for k in range(size)]  # type: ignore[misc]


def summed(signal: Signal, dims: Sequence[int], keep: bool) -> Signal:
    """Sum over axes."""
    for dim in sorted((d % len(signal.shape) for d in dims), reverse=True):
        parts = unbound(signal, dim)
        if keep:
            parts = [moved(p, lambda x, d=dim: x.unsqueeze(d)) for p in parts]  # type: ignore[misc]
        signal = added(parts)
    return signal


def joined(signals: Sequence[Signal], join: Callable[[list[Tensor]], Tensor]) -> Signal:
    """Apply ``cat`` or ``stack``. Terms of one node share an index where they can."""
    slots: dict[tuple[int, object, int], dict[int, Term]] = {}
    for place, signal in enumerate(signals):
        seen: dict[tuple[int, object], int] = {}
        for term in signal.terms:
            alike = (term.node, "each" if isinstance(term.factor, Tensor) else term.factor)
            seen[alike] = seen.get(alike, 0) + 1
            slots.setdefault((*alike, seen[alike]), {})[place] = term
    terms = []
    for (node, kind, _), members in slots.items():
        index = join(
            [
                members[i].index if i in members else torch.full(s.shape, -1)
                for i, s in enumerate(signals)
            ]
        )
        factor: float | Tensor = kind  # type: ignore[assignment]
        if kind == "each":
            factor = join(
                [
                    members[i].factor if i in members else torch.ones(s.shape, dtype=torch.float64)  # type: ignore[misc]
                    for i, s in enumerate(signals)
                ]
            )
        terms.append(Term(node, index, factor))
    held = None
    if any(s.constant is not None for s in signals):
        held = join(
            [
                torch.zeros(s.shape, dtype=torch.float64) if s.constant is None else s.constant
                for s in signals
            ]
        )
    shape = join([torch.empty(s.shape, device="meta") for s in signals]).shape
    return Signal(shape, tuple(terms), held)


def written(target: Signal, place: Any, value: Signal) -> Signal:
    """Return ``target`` after ``target[place] = value``."""
    unit = torch.zeros(target.shape, dtype=torch.bool)
    unit[place] = True
    terms: list[Term] = []
    for term in target.terms:
        terms.append(Term(term.node, term.index.masked_fill(unit, -1), term.factor))
    for term in value.terms:
        terms = _merge(terms, _placed(term, target.shape, place))
    held = target.constant
    if held is not None or value.constant is not None:
        held = torch.zeros(target.shape, dtype=torch.float64) if held is None else held.clone()
        held[place] = 0.0 if value.constant is None else value.constant
    kept = tuple(t for t in terms if bool((t.index >= 0).any()))
    return Signal(target.shape, kept, held)


def _placed(term: Term, shape: torch.Size, place: Any) -> Term:
    index = torch.full(shape, -1)
    index[place] = term.index
    factor = term.factor
    if isinstance(factor, Tensor):
        factor = torch.ones(shape, dtype=torch.float64)
        factor[place] = term.factor
    return Term(term.node, index, factor)


def _merge(terms: list[Term], new: Term) -> list[Term]:
    """Put ``new`` into a term of the same node that is empty where ``new`` is not."""
    for number, term in enumerate(terms):
        plain = not isinstance(term.factor, Tensor) and not isinstance(new.factor, Tensor)
        if term.node != new.node or not plain or term.factor != new.factor:
            continue
        if not bool(((term.index >= 0) & (new.index >= 0)).any()):
            merged = Term(term.node, torch.maximum(term.index, new.index), term.factor)
            return [*terms[:number], merged, *terms[number + 1 :]]
    return [*terms, new]
