"""Perturbations against plain formulas, input by input; grid, range, seeds and keys."""

import math

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d

from neurodeploy.attacks import Ball, GaussianNoise, SampleRandom
from neurodeploy.attacks.noise_bounded import SignNoise, SphereNoise, UniformNoise
from neurodeploy.attacks.noise_salt_and_pepper import SaltAndPepper
from neurodeploy.attacks.perturbation_image import Blur, Contrast
from neurodeploy.errors import InputError, ShapeError

SHAPE = (2, 3, 4)
RANDOM = [UniformNoise(), SignNoise(), SphereNoise(), SaltAndPepper(), GaussianNoise()]
ALL = [*RANDOM, Blur(SHAPE), Contrast()]
STRENGTHS = {"salt and pepper": 0.4, "blur": 0.8, "contrast": 0.6}


def some_codes(max_code, samples=7, n=24, seed=0):
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, max_code + 1, (samples, n)).astype(np.int32)
    codes[rng.random(codes.shape) < 0.3] = 0
    codes[rng.random(codes.shape) < 0.2] = max_code
    return codes


@pytest.mark.parametrize("p", ALL, ids=lambda p: p.name)
@pytest.mark.parametrize("max_code", [1, 15, 255, 65535])
def test_points_are_codes_in_range_of_the_sample_and_key_alone(p, max_code):
    codes = some_codes(max_code)
    codes.flags.writeable = False
    keys = np.array([3, 9, 2**40, 0, 1, 17, 5])
    strength = STRENGTHS.get(p.name, max(3, 0.3 * max_code))
    points = p.points(codes, strength, 4, max_code, keys=keys)
    assert points.dtype == np.int32
    assert points.shape == codes.shape
    assert points.min() >= 0
    assert points.max() <= max_code
    some = np.array([5, 0])
    np.testing.assert_array_equal(
        p.points(codes[some], strength, 4, max_code, keys=keys[some]), points[some]
    )
    again = p.points(codes, strength, 5, max_code, keys=keys)
    assert (again != points).any() == p.uses_seed
    default = p.points(codes, strength, 4, max_code)
    np.testing.assert_array_equal(
        default, p.points(codes, strength, 4, max_code, keys=np.arange(len(codes)))
    )
    assert p.points(codes[:0], strength, 4, max_code).shape == (0, codes.shape[1])


@pytest.mark.parametrize("p", ALL, ids=lambda p: p.name)
def test_no_strength_is_no_change(p):
    codes = some_codes(255)
    nothing = 1.0 if p.name == "contrast" else 0.0
    np.testing.assert_array_equal(p.points(codes, nothing, 3, 255), codes)


def clipped(value, max_code):
    return min(max(round(value), 0), max_code)


@pytest.mark.parametrize("strength", [1.0, 6.5, 40.0])
def test_uniform_and_sign_noise_input_by_input(strength):
    codes, keys = some_codes(255), np.arange(7) * 3
    uniform = UniformNoise().points(codes, strength, 8, 255, keys=keys)
    signs = SignNoise().points(codes, strength, 8, 255, keys=keys)
    for i, key in enumerate(keys):
        draws = SampleRandom(8, np.array([key])).uniform(24, 0)[0]
        for j, u in enumerate(draws):
            assert uniform[i, j] == clipped(codes[i, j] + (2 * u - 1) * strength, 255)
            step = -strength if u < 0.5 else strength
            assert signs[i, j] == clipped(codes[i, j] + step, 255)
    if strength == int(strength):
        for points in (uniform, signs):
            assert Ball("linf", strength, 255).contains(points, codes).all()


def test_uniform_noise_is_uniform_and_sign_noise_even():
    codes = np.full((400, 100), 500, np.int32)
    moved = UniformNoise().points(codes, 99.5, 1, 1000) - 500
    counts = np.bincount(moved.ravel() + 99, minlength=199)
    assert counts.size == 199
    expected = moved.size / 199
    assert ((counts - expected) ** 2 / expected).sum() < 199 + 4 * math.sqrt(2 * 199)
    signs = SignNoise().points(codes, 3, 1, 1000) - 500
    assert set(np.unique(signs)) == {-3, 3}
    assert abs(signs.mean()) < 4 * 3 / math.sqrt(signs.size)


@pytest.mark.parametrize("strength", [0.5, 4.0, 33.3, 900.0])
def test_sphere_noise_keeps_to_its_ball_and_mostly_reaches_it(strength):
    codes = np.full((200, 64), 5000, np.int32)
    points = SphereNoise().points(codes, strength, 2, 10000)
    assert Ball("l2", strength, 10000).contains(points, codes).all()
    lengths = np.sqrt(((points - codes).astype(float) ** 2).sum(axis=1))
    if strength > 100:
        assert (lengths > strength - 8).all()
        directions = (points - codes) / lengths[:, None]
        assert np.abs(directions.mean(axis=0)).max() < 4.5 / math.sqrt(64 * 200)
    if strength < 1:
        np.testing.assert_array_equal(points, codes)


def test_salt_and_pepper_is_nested_even_and_as_frequent_as_asked():
    codes = np.full((100, 200), 77, np.int32)
    before = np.zeros(codes.shape, bool)
    for share in (0.0, 0.01, 0.2, 0.7, 1.0):
        points = SaltAndPepper().points(codes, share, 6, 255)
        hit = points != 77
        assert set(np.unique(points[hit])) <= {0, 255}
        assert (hit | ~before).all()
        assert abs(hit.mean() - share) <= 4 * math.sqrt(share * (1 - share) / hit.size)
        if hit.any():
            assert abs((points[hit] == 255).mean() - 0.5) < 4 * 0.5 / math.sqrt(hit.sum())
        before = hit


@pytest.mark.parametrize("sigma", [0.3, 0.75, 2.0, 6.0])
def test_blur_pixel_by_pixel_and_as_scipy_does_it(sigma):
    codes = some_codes(255, samples=4)
    points = Blur(SHAPE).points(codes, sigma, 0, 255)
    reach = math.ceil(4 * sigma)
    weights = [math.exp(-(d**2) / (2 * sigma**2)) for d in range(-reach, reach + 1)]
    weights = [w / sum(weights) for w in weights]
    for code, point in zip(codes, points, strict=True):
        image, blurred = code.reshape(SHAPE).astype(float), point.reshape(SHAPE)
        for c in range(2):
            for y in range(3):
                for x in range(4):
                    total = 0.0
                    for dy, a in enumerate(weights, -reach):
                        for dx, b in enumerate(weights, -reach):
                            row, column = min(max(y + dy, 0), 2), min(max(x + dx, 0), 3)
                            total += a * b * image[c, row, column]
                    assert abs(blurred[c, y, x] - total) <= 0.5 + 1e-9
        other = image
        for axis in (1, 2):
            other = gaussian_filter1d(other, sigma, axis=axis, mode="nearest", radius=reach)
        np.testing.assert_array_equal(blurred, np.rint(other))


def test_blur_leaves_uniform_images_and_mixes_no_channels():
    flat = np.full((3, 24), 200, np.int32)
    np.testing.assert_array_equal(Blur(SHAPE).points(flat, 1.3, 0, 255), flat)
    one = np.zeros((1, 24), np.int32)
    one[0, 5] = 255
    assert not Blur(SHAPE).points(one, 5.0, 0, 255)[0, 12:].any()


@pytest.mark.parametrize("factor", [0.0, 0.5, 1.7, 10.0])
@pytest.mark.parametrize("around", [None, 0.0, 100.0])
def test_contrast_input_by_input(factor, around):
    codes = some_codes(255)
    points = Contrast(around).points(codes, factor, 0, 255)
    middle = 127.5 if around is None else around
    for old, new in zip(codes.ravel().tolist(), points.ravel().tolist(), strict=True):
        assert new == clipped(middle + factor * (old - middle), 255)


def test_refusals():
    codes = some_codes(255)
    for p in [UniformNoise(), SignNoise(), SphereNoise(), SaltAndPepper(), Blur(SHAPE), Contrast()]:
        for strength in (-0.1, math.nan, math.inf):
            with pytest.raises(InputError, match="must be finite"):
                p.points(codes, strength, 0, 255)
        with pytest.raises(InputError, match="keys"):
            p.points(codes, 0.5, 0, 255, keys=np.array([1]))
    with pytest.raises(InputError, match="at most 1"):
        SaltAndPepper().points(codes, 1.1, 0, 255)
    with pytest.raises(ShapeError, match=r"\(1, 8, 8\)"):
        Blur((1, 8, 8)).points(codes, 1.0, 0, 255)
    with pytest.raises(InputError, match="around"):
        Contrast(math.nan)
