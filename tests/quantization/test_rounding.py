import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurodeploy.errors import RangeError
from neurodeploy.network.fixed import WEIGHT_RANGE
from neurodeploy.quantization import quantize_weight, round_weight
from neurodeploy.quantization.gain import quantize_gain
from neurodeploy.quantization.rounding import sign_mode_of, unclipped, weight_step

MODES = ("mixed", "excitatory", "inhibitory")


def lava_preparation(weight, mode, bits):
    """What Lava does to a weight before it uses it (specification, section 3.1)."""
    sign = -1 if mode == "inhibitory" else 1
    w = np.clip(sign * weight, -256 if mode == "mixed" else 0, 255)
    n = 8 - bits + (mode == "mixed")
    return sign * ((w >> n) << n)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.floats(-4, 4), min_size=1, max_size=12),
    st.integers(-3, 12),
    st.sampled_from(MODES),
    st.integers(2, 8),
)
def test_rounded_weights_pass_lavas_preparation_unchanged(values, exponent, mode, bits):
    mantissa = round_weight(np.array([values]), exponent, mode, bits)
    assert (lava_preparation(mantissa, mode, bits) == mantissa).all()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("bits", range(2, 9))
def test_every_weight_goes_to_the_nearest_legal_mantissa(mode, bits):
    legal = np.unique(lava_preparation(np.arange(-256, 256), mode, bits))
    values = np.linspace(-300, 300, 4001)
    mine = round_weight(values[None], 0, mode, bits)[0]
    best = np.abs(values[:, None] - legal[None]).min(axis=1)
    assert (np.abs(values - mine) == best).all()


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 8), st.sampled_from(["normal", "heavy", "positive"]))
def test_the_exponent_has_the_least_squared_error_of_all(seed, bits, kind):
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=(6, 7)) if kind == "normal" else rng.standard_t(2, size=(6, 7))
    weight = np.abs(weight) if kind == "positive" else weight
    weight = weight * 2.0 ** rng.integers(-9, 6)
    found = quantize_weight(weight, bits)
    mode = sign_mode_of(weight)
    errors = [
        np.mean((np.ldexp(round_weight(weight, e, mode, bits).astype(float), -e) - weight) ** 2)
        for e in range(-12, 30)
    ]
    assert found.rms_error**2 == pytest.approx(min(errors), rel=1e-9, abs=0)


def test_sign_modes_and_steps():
    assert sign_mode_of(np.zeros((2, 2))) == "excitatory"
    assert sign_mode_of(np.array([[0.0, -1.0]])) == "inhibitory"
    assert sign_mode_of(np.array([[1e-9, -1.0]])) == "mixed"
    assert [weight_step("mixed", b) for b in (8, 4, 2)] == [2, 32, 128]
    assert [weight_step("excitatory", b) for b in (8, 4)] == [1, 16]


def test_an_all_zero_matrix_and_a_single_weight():
    zero = quantize_weight(np.zeros((3, 2)))
    assert not zero.mantissa.any()
    one = quantize_weight(np.array([[0.7]]))
    assert abs(np.ldexp(float(one.mantissa[0, 0]), -one.exponent) - 0.7) < 0.7 / 255


@pytest.mark.parametrize("scale", [1e-300, 1e-30, 1.0, 1e30, 1e300])
def test_extreme_magnitudes_do_not_overflow(scale):
    found = quantize_weight(np.array([[1.0, -0.5]]) * scale)
    low, high, step = WEIGHT_RANGE["mixed"]
    assert low <= found.mantissa.min() < found.mantissa.max() <= high
    assert (found.mantissa % step == 0).all()


def test_gains_use_the_largest_shift_that_fits():
    mantissa, shift, largest = quantize_gain("p", np.array([1.0, 1.9921875]), 8, [])
    assert (mantissa.tolist(), shift, largest) == ([128, 255], 7, 255 / 128)
    mantissa, shift, _ = quantize_gain("p", np.array([1.0, 2.0]), 8, [])
    assert (mantissa.tolist(), shift) == ([64, 128], 6)
    assert quantize_gain("p", None, 8, []) == (None, 0, 1.0)


@pytest.mark.parametrize("gain", [[1e-4, 1.0], [256.0]])
def test_gains_that_cannot_be_held_are_refused(gain):
    with pytest.raises(RangeError, match="gain"):
        quantize_gain("p", np.array(gain), 8, [])


@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("kind", ["mixed", "positive", "negative"])
def test_the_largest_weight_just_fits(bits, kind):
    rng = np.random.default_rng(bits)
    weight = rng.normal(size=(7, 5)) * 10.0 ** rng.integers(-3, 4)
    weight[0, 0] *= 50
    if kind != "mixed":
        weight = np.abs(weight) * (1 if kind == "positive" else -1)
    found = unclipped(weight, bits)
    half = weight_step(found.sign_mode, bits) / 2
    assert np.abs(np.ldexp(weight, found.exponent) - found.mantissa).max() <= half
    finer = round_weight(weight, found.exponent + 1, found.sign_mode, bits)
    assert np.abs(np.ldexp(weight, found.exponent + 1) - finer).max() > half
