"""Products that no order of summation changes, against exact fractions."""

from fractions import Fraction

import numpy as np
import pytest

from neurodeploy.quantization.exact_products import gram, product


def exactly(a, b):
    """The product in fractions, rounded once."""
    rows = [[Fraction(float(x)) for x in row] for row in a]
    columns = [[Fraction(float(x)) for x in column] for column in b.T]
    return np.array(
        [[float(sum(x * y for x, y in zip(r, c, strict=True))) for c in columns] for r in rows]
    )


@pytest.mark.parametrize(("seed", "power"), [(0, 0), (1, 150), (2, -150), (3, 0), (4, 30)])
def test_products_are_right_and_no_order_changes_them(seed, power):
    rng = np.random.default_rng(seed)
    k = (7, 64, 300, 1, 33)[seed]
    a = rng.normal(size=(4, k)) * np.exp2(rng.integers(-12, 12, (4, k)) + float(power))
    b = rng.normal(size=(k, 3))
    a[0, 0] = 0.0
    found = product(a, b)
    largest = np.abs(a).max() * np.abs(b).max()
    np.testing.assert_allclose(found, exactly(a, b), rtol=0, atol=k * 2.0**-38 * largest)
    order = rng.permutation(k)
    np.testing.assert_array_equal(product(a[:, order], b[order]), found)
    np.testing.assert_array_equal(product(b.T.copy(), np.asfortranarray(a.T)).T, found)
    np.testing.assert_array_equal(gram(a.T)[:, 0], gram(np.ascontiguousarray(a.T[order]))[:, 0])
    np.testing.assert_allclose(
        gram(a.T), exactly(a, a.T), rtol=0, atol=k * 2.0**-38 * np.abs(a).max() ** 2
    )


def test_whole_numbers_are_exact_and_zeros_stay():
    rng = np.random.default_rng(5)
    a, b = rng.integers(-300, 300, (5, 90)), rng.integers(-255, 255, (90, 6))
    np.testing.assert_array_equal(product(a.astype(float), b.astype(float)), a @ b)
    np.testing.assert_array_equal(gram(b.astype(float)), b.T @ b)
    np.testing.assert_array_equal(product(np.zeros((2, 3)), np.ones((3, 2))), np.zeros((2, 2)))
