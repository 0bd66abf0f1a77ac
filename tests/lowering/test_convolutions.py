"""Convolutions taken together, against the product of their matrices."""

import itertools

import numpy as np
import pytest

from neurodeploy.lowering.convolutions import (
    chained,
    even_padding,
    pool_as_convolution,
    scaled_after,
    scaled_before,
    two_axes,
)
from neurodeploy.lowering.linear_output import linear_output, pulled_back
from neurodeploy.lowering.matrices import matrix_of, weights_of
from neurodeploy.network import Convolution, Dense, Pool, Scale


def extent(n, padding, kernel, stride, dilation):
    return (n + sum(padding) - dilation * (kernel - 1) - 1) // stride + 1


def convolution(rng, shape, *, even=False, padded=True, pooling=False):
    """A random convolution of a map (C, H, W), of whole numbers so that sums are exact."""
    channels, *sides = shape
    groups = channels if pooling else int(rng.choice([g for g in (1, 2, 3) if channels % g == 0]))
    n_out = channels if pooling else groups * int(rng.integers(1, 3))
    kernel, stride, dilation, padding = [], [], [], []
    for side in sides:
        d = int(rng.integers(1, 3))
        k = int(rng.integers(1, 4))
        before, after = (int(p) for p in rng.integers(0, 3, 2) * padded)
        after = before if even else after
        while d * (k - 1) + 1 > side + before + after:
            k, d = (k - 1, d) if d == 1 else (k, 1)
        kernel.append(k)
        dilation.append(d)
        padding.append((before, after))
        stride.append(int(rng.integers(1, 4)))
    out = [
        extent(*numbers) for numbers in zip(sides, padding, kernel, stride, dilation, strict=True)
    ]
    weight = rng.integers(-3, 4, (n_out, channels // groups, *kernel)).astype(float)
    return Convolution(
        "c", weight, None, tuple(stride), tuple(padding), tuple(dilation), groups, shape,
        (n_out, *out),
    )  # fmt: skip


def shape_of(rng):
    return (int(rng.choice([1, 2, 4, 6])), *(int(n) for n in rng.integers(1, 8, 2)))


def fits(c):
    """Whether the shapes follow from torch's rule."""
    sides = zip(c.input_shape[1:], c.padding, c.weight.shape[2:], c.stride, c.dilation, strict=True)
    return tuple(extent(*numbers) for numbers in sides) == c.output_shape[1:]


def test_two_convolutions_are_one_wherever_it_says_so():
    joined = refused = 0
    for seed in range(500):
        rng = np.random.default_rng(seed)
        a = convolution(rng, shape_of(rng), pooling=bool(seed % 3 == 0))
        b = convolution(rng, a.output_shape, padded=bool(rng.random() < 0.5), pooling=seed % 3 == 1)
        both = chained(a, b)
        if both is None:
            refused += 1
            continue
        joined += 1
        wanted = (matrix_of(b) @ matrix_of(a)).toarray()
        np.testing.assert_array_equal(matrix_of(both).toarray(), wanted, err_msg=str(seed))
        assert fits(both), seed
    assert joined > 200
    assert refused > 30


def test_a_second_convolution_without_padding_is_always_taken_in():
    for seed in range(300):
        rng = np.random.default_rng(seed)
        a = convolution(rng, shape_of(rng))
        b = convolution(rng, a.output_shape, padded=False)
        assert chained(a, b) is not None, seed


@pytest.mark.parametrize("kind", ["sum", "average"])
def test_pools_whose_sizes_divide_are_taken_into_padded_convolutions(kind):
    for seed in range(100):
        rng = np.random.default_rng(seed)
        channels, size = int(rng.integers(1, 5)), (2, int(rng.choice([2, 4])))
        pooled = (channels, *(int(n) for n in rng.integers(2, 5, 2)))
        shape = (channels, *(n * k for n, k in zip(pooled[1:], size, strict=True)))
        pool = Pool("p", kind, size, size, (0, 0), shape, pooled)
        c = convolution(rng, pooled, even=True)
        both = chained(pool_as_convolution(pool), c)
        assert both is not None
        wanted = (matrix_of(c) @ matrix_of(pool)).toarray()
        np.testing.assert_array_equal(matrix_of(both).toarray(), wanted)
        assert both.weight.shape[1] == c.weight.shape[1]


def test_an_odd_map_is_not_read_where_its_pool_dropped_a_row():
    # 7 values pooled in pairs leave the last one out; padding behind would read it.
    pool = Pool("p", "sum", (1, 2), (1, 2), (0, 0), (1, 1, 7), (1, 1, 3))
    weight = np.array([1.0, 2.0, 3.0]).reshape(1, 1, 1, 3)
    padded = Convolution(
        "c", weight, None, (1, 1), ((0, 0), (1, 1)), (1, 1), 1, (1, 1, 3), (1, 1, 3)
    )
    plain = Convolution(
        "c", weight, None, (1, 1), ((0, 0), (0, 0)), (1, 1), 1, (1, 1, 3), (1, 1, 1)
    )
    assert chained(pool_as_convolution(pool), padded) is None
    both = chained(pool_as_convolution(pool), plain)
    np.testing.assert_array_equal(matrix_of(both).toarray(), [[1, 1, 2, 2, 3, 3, 0]])


def test_uneven_padding_is_made_even():
    found = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        c = convolution(rng, shape_of(rng))
        even = even_padding(c)
        if even is None:
            # Places of weight zero lie a dilation apart, so what is less than that cannot be made up.
            sides = zip(c.padding, c.dilation, strict=True)
            assert any((before - after) % d for (before, after), d in sides), seed
            continue
        found += any(a != b for a, b in c.padding)
        assert all(before == after for before, after in even.padding)
        assert fits(even), seed
        np.testing.assert_array_equal(
            matrix_of(even).toarray(), matrix_of(c).toarray(), err_msg=str(seed)
        )
    assert found > 150


def test_scales_within_channels_go_into_the_weights():
    for seed in range(100):
        rng = np.random.default_rng(seed)
        c = convolution(rng, shape_of(rng))
        for place, size, function in (
            ("before", c.input_shape, scaled_before), ("after", c.output_shape, scaled_after)
        ):  # fmt: skip
            factor = np.repeat(rng.integers(-2, 3, size[0]) / 2, int(np.prod(size[1:])))
            scale = matrix_of(Scale("s", factor))
            wanted = matrix_of(c) @ scale if place == "before" else scale @ matrix_of(c)
            np.testing.assert_array_equal(
                matrix_of(function(c, factor)).toarray(), wanted.toarray(), err_msg=str(seed)
            )
            factor[0] += 1
            assert (function(c, factor) is None) == (np.prod(size[1:]) > 1)


def test_one_axis_is_a_map_of_height_one():
    rng = np.random.default_rng(0)
    weight = rng.integers(-3, 4, (4, 2, 3)).astype(float)
    c = Convolution("c", weight, None, (2,), ((1, 2),), (1,), 1, (2, 9), (4, 5))
    wide = two_axes(c)
    assert wide.input_shape == (2, 1, 9)
    np.testing.assert_array_equal(matrix_of(wide).toarray(), matrix_of(c).toarray())


def test_weights_are_counted_and_outputs_computed_without_a_matrix():
    for seed in range(200):
        rng = np.random.default_rng(seed)
        operator = convolution(rng, shape_of(rng))
        if seed % 4 == 0:
            shape = (2, 3, 5, 4)
            operator = Pool("p", "average", (2, 3), (1, 2), (1, 1), shape, (2, 3, 6, 2))
        elif seed % 4 == 1:
            operator = Dense("d", rng.integers(-1, 2, (3, 2, 4)).astype(float))
        matrix = matrix_of(operator)
        matrix.eliminate_zeros()
        assert weights_of(operator) == matrix.nnz, seed
        x = rng.integers(-4, 5, operator.size_in).astype(float)
        np.testing.assert_allclose(linear_output(operator, x), matrix @ x, rtol=0, atol=1e-12)


def test_matrices_are_pulled_back_through_convolutions():
    for seed in range(100):
        rng = np.random.default_rng(seed)
        c = convolution(rng, shape_of(rng))
        rows = rng.integers(-3, 4, (int(rng.integers(1, 5)), c.size_out)).astype(float)
        np.testing.assert_array_equal(pulled_back(rows, c), rows @ matrix_of(c).toarray())


def test_the_matrix_of_a_convolution_is_made_in_parts(monkeypatch):
    rng = np.random.default_rng(1)
    c = convolution(rng, (6, 5, 4))
    whole = matrix_of(c).toarray()
    monkeypatch.setattr("neurodeploy.lowering.matrices._PART", 1)
    np.testing.assert_array_equal(matrix_of(c).toarray(), whole)


def test_every_small_case():
    # All of kernel, stride, padding and dilation up to 2, two in a row on a line of 5.
    checked = 0
    options = list(itertools.product((1, 2), (1, 2), (0, 1), (0, 1), (1, 2)))
    for first, second in itertools.product(options, options):
        found, shape = [], (1, 1, 5)
        for k, (kernel, stride, before, after, dilation) in enumerate((first, second)):
            n = extent(shape[2], (before, after), kernel, stride, dilation)
            if n < 1:
                break
            weight = np.array([[[[1.0, 10.0][:kernel]]]]) * (k + 1)
            found.append(
                Convolution(
                    "c", weight, None, (1, stride), ((0, 0), (before, after)), (1, dilation), 1,
                    shape, (1, 1, n),
                )
            )  # fmt: skip
            shape = (1, 1, n)
        if len(found) == 2 and (both := chained(*found)) is not None:
            wanted = (matrix_of(found[1]) @ matrix_of(found[0])).toarray()
            np.testing.assert_array_equal(matrix_of(both).toarray(), wanted)
            checked += 1
    assert checked > 400
