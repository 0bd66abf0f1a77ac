"""The table of what torch functions do to the tags of a traced run, and the lists beside it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

import torch

if TYPE_CHECKING:
    from neurodeploy.export.nir.trace import Tracer


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


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Enter a rule into the table under the names of torch functions."""

    def register(made: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, made))
        return made

    return register


def named(names: tuple[str, ...], args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return arguments by name."""
    given = dict(zip(names, args, strict=False))
    given.update(kwargs)
    return given
