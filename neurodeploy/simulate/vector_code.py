"""LLVM code for LANES values at once, or for the first few of them.

A compiler's own vector loop is given up where it cannot prove that arrays do not overlap, and ends
in a slow remainder; code in LLVM's vector types becomes the widest instructions at hand. Places
are int64, and nothing checks bounds: callers do.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types

#: Values per vector.
LANES = 16

_LONG, _INT = ir.IntType(64), ir.IntType(32)
_NAMES = {"float": "f32", "double": "f64", "i32": "i32", "i8": "i8"}


class Lanes:
    """What generated code needs for vectors of one real type.

    Parameters
    ----------
    context, builder
        Those of a numba intrinsic.
    dtype : numba type
        float32 or float64.
    count : LLVM int64 value or None
        Only the first ``count`` lanes are read from memory and written to it.
    """

    def __init__(self, context: Any, builder: Any, dtype: Any, count: Any = None) -> None:
        self._context, self._builder = context, builder
        self.element: Any = ir.FloatType() if dtype == types.float32 else ir.DoubleType()
        self.real = ir.VectorType(self.element, LANES)
        self.whole = ir.VectorType(_INT, LANES)
        self._kept: Any = None
        if count is not None:
            places = ir.VectorType(_LONG, LANES)
            self._kept = builder.icmp_signed(
                "<", ir.Constant(places, list(range(LANES))), self.spread(count, places)
            )

    def pointer(self, kind: Any, array: Any, place: Any) -> Any:
        """Return the address of a place in a 1-D array."""
        data = self._context.make_array(kind)(self._context, self._builder, array).data
        return self._builder.gep(data, [place])

    def load(self, pointer: Any, element: Any = None) -> Any:
        """Load lanes; those that are left out are zero."""
        element = self.element if element is None else element
        if self._kept is None:
            return self.load_all(pointer, element)
        vector = ir.VectorType(element, LANES)
        kind = ir.FunctionType(vector, [vector.as_pointer(), _INT, self._kept.type, vector])
        wide = self._builder.bitcast(pointer, vector.as_pointer())
        align = ir.Constant(_INT, _bytes(element))
        return self._builder.call(
            self._masked("load", element, kind),
            [wide, align, self._kept, ir.Constant(vector, None)],
        )

    def load_all(self, pointer: Any, element: Any = None) -> Any:
        """Load all lanes."""
        element = self.element if element is None else element
        vector = ir.VectorType(element, LANES)
        wide = self._builder.bitcast(pointer, vector.as_pointer())
        return self._builder.load(wide, align=_bytes(element), typ=vector)

    def store(self, value: Any, pointer: Any) -> None:
        """Store lanes."""
        vector, element = value.type, value.type.element
        wide = self._builder.bitcast(pointer, vector.as_pointer())
        if self._kept is None:
            self._builder.store(value, wide, align=_bytes(element))
            return
        arguments = [vector, vector.as_pointer(), _INT, self._kept.type]
        kind = ir.FunctionType(ir.VoidType(), arguments)
        align = ir.Constant(_INT, _bytes(element))
        self._builder.call(self._masked("store", element, kind), [value, wide, align, self._kept])

    def everywhere(self, scalar: Any) -> Any:
        """Return a vector of one real value."""
        return self.spread(scalar, self.real)

    def same(self, vector: Any, value: float) -> Any:
        """Return a constant vector."""
        return ir.Constant(vector, [value] * LANES)

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        """Return ``a * b + c``, rounded once."""
        return self._builder.call(self._of_reals("fma", 3), [a, b, c])

    def magnitude(self, a: Any) -> Any:
        """Return ``|a|`` of reals."""
        return self._builder.call(self._of_reals("fabs", 1), [a])

    def spread(self, scalar: Any, vector: Any) -> Any:
        """Return a vector of type ``vector`` that holds one value."""
        nothing = ir.Constant(vector, ir.Undefined)
        first = self._builder.insert_element(nothing, scalar, ir.Constant(_INT, 0))
        zeros = ir.Constant(ir.VectorType(_INT, LANES), [0] * LANES)
        return self._builder.shuffle_vector(first, nothing, zeros)

    def _of_reals(self, name: str, count: int) -> Any:
        kind = ir.FunctionType(self.real, [self.real] * count)
        return self._declared(f"llvm.{name}.v{LANES}{_NAMES[str(self.element)]}", kind)

    def _masked(self, name: str, element: Any, kind: Any) -> Any:
        # The name of older versions' typed pointers; newer ones read it as well.
        suffix = f"v{LANES}{_NAMES[str(element)]}"
        return self._declared(f"llvm.masked.{name}.{suffix}.p0{suffix}", kind)

    def _declared(self, name: str, kind: Any) -> Any:
        declare: Any = cgutils.get_or_insert_function
        return declare(self._builder.module, kind, name)


def _bytes(element: Any) -> int:
    """Return the size of an element in memory, which is also its alignment."""
    return {"float": 4, "double": 8, "i32": 4, "i8": 1}[str(element)]
