"""How the inner loops are compiled: explicit signatures, no interpreter lock, cached on disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit
from numba.core import types
from numba.extending import intrinsic

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(*signatures: str) -> Callable[[Function], Function]:
    """Compile for the given signatures, so that importing costs the same on every first call."""

    def decorate(function: Function) -> Function:
        try:
            kernel: Any = njit(list(signatures), nogil=True, cache=True)(function)
        except RuntimeError:  # numba finds no folder that it may write its cache to
            kernel = njit(list(signatures), nogil=True)(function)
        return cast(Function, kernel)

    return decorate


def inlined(function: Function) -> Function:
    """Compile for use inside other kernels."""
    kernel: Any = njit(nogil=True, inline="always")(function)
    return cast(Function, kernel)


@inlined
def scratch(size: Any, kind: Any) -> Any:
    """Return zeros of a 32-bit type that begin with a cache line."""
    raw = np.zeros(size + 16, kind)
    begin = np.int64((-np.int64(raw.ctypes.data) & 63) >> 2)
    return raw[begin : begin + size]


def _trailing_zeros(typing_context: Any, word: Any) -> Any:
    """Return the number of zero bits below the lowest one bit of a uint64 that is not zero."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        true = context.get_constant(types.boolean, True)
        return builder.cttz(arguments[0], true)

    return types.uint64(types.uint64), generate


trailing_zeros: Any = intrinsic(_trailing_zeros)
