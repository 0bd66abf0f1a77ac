"""Vector instructions for current-based neurons: sixteen of them, one step.

The decay ``D(x, k) = sign(x) * ((|x| * k) >> 12)`` needs 36 bits as written. A product of floats
that is rounded toward zero never passes a whole number, so what is left after its fraction is cut
is exact: two instructions where the processor can round each product by its own rule (AVX-512),
nine on integers elsewhere.

As in ``lanes``, arrays are 1-D, places are int64, and nothing checks bounds: callers do.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from neurodeploy.network.fixed import V_MAX
from neurodeploy.simulate.lanes import LANES, broadcast, load_wide, pointer, read, same, write

#: Places of an instruction's rounding: toward zero, and no exceptions.
_TOWARD_ZERO = 3 | 8
_PRODUCT = "llvm.x86.avx512.mul.ps.512"


def _rounds_products(context: Any) -> bool:
    """Whether what is compiled may use AVX-512."""
    features: str = context.codegen().magic_tuple()[2]
    return "+avx512f" in features.split(",")


def _decay_by_floats(builder: Any, x: Any, rate: Any) -> Any:
    """``D(x, 4096 * rate)`` for |x| <= 2^24, which floats hold."""
    kind = ir.FunctionType(rate.type, [rate.type, rate.type, ir.IntType(32)])
    declared: Any = cgutils.get_or_insert_function
    product = declared(builder.module, kind, _PRODUCT)
    rounding = ir.Constant(ir.IntType(32), _TOWARD_ZERO)
    exact = builder.call(product, [builder.sitofp(x, rate.type), rate, rounding])
    return builder.fptosi(exact, x.type)


def _decay_by_integers(builder: Any, x: Any, k: Any) -> Any:
    """``D(x, k)`` as in ``population_kernels``."""
    fraction, bits = same(x.type, 4095), same(x.type, 12)
    high = builder.mul(builder.ashr(x, bits), k)
    toward_zero = builder.and_(builder.ashr(x, same(x.type, 31)), fraction)
    low = builder.add(builder.mul(builder.and_(x, fraction), k), toward_zero)
    return builder.add(high, builder.ashr(low, bits))


def _decay(context: Any, builder: Any, x: Any, k: Any, rate: Any) -> Any:
    if _rounds_products(context):
        return _decay_by_floats(builder, x, rate)
    return _decay_by_integers(builder, x, k)


def _set_bits(builder: Any, flags: Any) -> Any:
    bits = builder.bitcast(flags, ir.IntType(LANES))
    return builder.zext(builder.ctpop(bits), ir.IntType(64))


def _generate_step(
    context: Any, builder: Any, signature: Any, arguments: Any, *, sums: int, wraps: bool,
    traced: bool,
) -> Any:  # fmt: skip
    """Step LANES neurons; see ``_make_step``."""
    items: Any = cgutils.unpack_tuple
    at_start, here, at_state, at_mask = items(builder, arguments[-2], 4)
    shifts = items(builder, arguments[-1], 6)
    lanes = ir.VectorType(ir.IntType(32), LANES)
    floats = ir.VectorType(ir.FloatType(), LANES)
    flat, flat_0, flat_1, at_u, at_v, k_u, k_v, rate_u, rate_v, bias, limit, fired, v_pre, mask = (
        (context, builder, kind, array)
        for kind, array in zip(signature.args[:14], arguments[:14], strict=True)
    )
    a = load_wide(*flat, at_start)
    for i, total in enumerate((flat_0, flat_1)[:sums]):
        add, left, right = (broadcast(builder, lanes, s) for s in shifts[3 * i : 3 * i + 3])
        part = builder.shl(builder.add(read(builder, pointer(*total, here), lanes), add), left)
        a = builder.add(a, builder.ashr(part, right))
    p_u, p_v, p_fired = pointer(*at_u, at_state), pointer(*at_v, at_state), pointer(*fired, here)
    factors = [read(builder, pointer(*k, here), lanes) for k in (k_u, k_v)]
    rates = [read(builder, pointer(*r, here), floats) for r in (rate_u, rate_v)]
    zero = ir.Constant(lanes, None)
    kept = _decay(context, builder, read(builder, p_u, lanes), factors[0], rates[0])
    x = builder.add(kept, builder.shl(a, same(lanes, 6)))
    counts = ir.Constant(ir.IntType(64), 0)
    if wraps:
        over = builder.icmp_signed(">", x, same(lanes, 2**23))
        under = builder.icmp_signed("<=", x, same(lanes, -(2**23)))
        x = builder.sub(x, builder.select(over, same(lanes, 2**24), zero))
        x = builder.add(x, builder.select(under, same(lanes, 2**24), zero))
        counts = _set_bits(builder, builder.or_(over, under))
    write(builder, x, p_u)
    kept = _decay(context, builder, read(builder, p_v, lanes), factors[1], rates[1])
    full = builder.add(builder.add(kept, x), read(builder, pointer(*bias, here), lanes))
    low, high = same(lanes, -V_MAX), same(lanes, V_MAX)
    y = builder.select(builder.icmp_signed("<", full, low), low, full)
    y = builder.select(builder.icmp_signed(">", y, high), high, y)
    clamps = _set_bits(builder, builder.icmp_signed("!=", y, full))
    spike = builder.icmp_signed(">", y, read(builder, pointer(*limit, here), lanes))
    write(builder, builder.select(spike, zero, y), p_v)
    before = read(builder, p_fired, lanes)
    write(builder, builder.add(before, builder.zext(spike, lanes)), p_fired)
    if traced:
        write(builder, y, pointer(*v_pre, here))
    bytes_ = ir.VectorType(ir.IntType(8), LANES)
    write(builder, builder.zext(spike, bytes_), pointer(*mask, at_mask))
    return builder.add(counts, builder.shl(clamps, ir.Constant(ir.IntType(64), 32)))


def _make_step(sums: int, *, wraps: bool, traced: bool) -> Any:
    """Return an intrinsic that steps LANES LIF neurons once.

    It returns wraps of u plus 2^32 times clamps of v.

    Parameters
    ----------
    sums : int
        How many sums there are beside ``start``. The input is ``start`` and for each of them
        ``((sum + add) << left) >> right``; ``shifts`` are (add, left, right) of both, int32.
    wraps : bool
        Whether u may leave its 24 bits.
    traced : bool
        Whether to write ``v_pre``.

    u lies within 24 bits, or ``keep_u`` is 0. ``start`` is int16 or int32. ``rate_u`` and
    ``rate_v``, float32, are ``keep_u`` and ``keep_v`` over 4096; other arrays are those of
    ``step_lif``, flat. ``places`` are, int64: in ``start``; of the neurons in a row of parameters
    (and of sums, ``fired`` and ``v_pre``); in the states; in the masks.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _generate_step(
            context, builder, signature, arguments, sums=sums, wraps=wraps, traced=traced
        )

    def typed(
        typing_context: Any, start: Any, sum_0: Any, sum_1: Any, u: Any, v: Any, keep_u: Any,
        keep_v: Any, rate_u: Any, rate_v: Any, bias: Any, threshold: Any, fired: Any, v_pre: Any,
        mask: Any, places: Any, shifts: Any,
    ) -> Any:  # fmt: skip
        signature = types.int64(
            start, sum_0, sum_1, u, v, keep_u, keep_v, rate_u, rate_v, bias, threshold, fired,
            v_pre, mask, places, shifts,
        )  # fmt: skip
        return signature, generate

    return intrinsic(typed)


step_plain: Any = _make_step(0, wraps=False, traced=False)
step_plain_traced: Any = _make_step(0, wraps=True, traced=True)
step_summed: Any = _make_step(1, wraps=False, traced=False)
step_summed_wrapping: Any = _make_step(1, wraps=True, traced=False)
step_twice_summed: Any = _make_step(2, wraps=True, traced=False)
step_traced: Any = _make_step(2, wraps=True, traced=True)
