"""Calibration data and networks that no quantiser likes: a clear error or a finding, each way."""

import numpy as np
import pytest

from neurodeploy import hardware_profiles
from neurodeploy.errors import RangeError, ShapeError
from neurodeploy.network import (
    ConstantEncoder,
    Network,
    Population,
    Readout,
    Synapse,
    check_legality,
)
from neurodeploy.quantization import QuantizeConfig, quantize
from neurodeploy.quantization.diagnosis import diagnose
from neurodeploy.simulate import run_fixed, run_float

PROFILE = hardware_profiles.load("loihi2")
WAYS = ({}, {"scale": "search", "rounding": "adaptive", "bias": "corrected"})
RNG = np.random.default_rng(0)
FIRST, SECOND = RNG.normal(0, 0.5, (12, 9)), RNG.normal(0, 0.5, (3, 12))
CODES = RNG.integers(0, 256, (30, 9))


def population(name, size, kind, threshold):
    zeros = np.zeros(size)
    return Population(
        name, (name,), kind, zeros + 0.5, zeros + 1, zeros, zeros + threshold, zeros, zeros, zeros
    )


def network(first=FIRST, second=SECOND):
    return Network(
        (population("a", 12, "lif", 1.0), population("read", 3, "li", np.inf)),
        (Synapse.dense("s0", "input", "a", first), Synapse.dense("s1", "a", "read", second)),
        9, ConstantEncoder(0.0, 1.0, 8), Readout("read", "sum"), 6,
    )  # fmt: skip


def quantized(net, codes, bits, way):
    return quantize(net, PROFILE, QuantizeConfig(weight_bits=bits, **way), calibration=codes)


def warnings(findings):
    return [f.what for f in findings if f.severity == "warning"]


pytestmark = pytest.mark.parametrize("way", WAYS, ids=["plain", "measured"])


@pytest.mark.parametrize(
    ("codes", "error", "text"),
    [
        (CODES * np.nan, RangeError, "nan"),
        (CODES / 255, RangeError, "float64"),
        (CODES[:, :4], ShapeError, "30, 4"),
        (CODES[0], ShapeError, r"\(9,\)"),
        (CODES[:0], ShapeError, "at least one sample"),
        (CODES - 300, RangeError, "0..255"),
        (CODES + 300, RangeError, "0..255"),
    ],
    ids=["nan", "floats", "width", "flat", "none", "below", "above"],
)
def test_data_that_are_no_codes_are_refused(codes, error, text, way):
    with pytest.raises(error, match=text):
        quantized(network(), codes, 4, way)


@pytest.mark.parametrize("bits", [8, 4])
def test_silent_data_and_dead_layers_are_told(bits, way):
    dead = network(-np.abs(FIRST))
    for net, codes in ((network(), CODES * 0), (dead, CODES), (network(FIRST * 0), CODES)):
        fixed, findings = quantized(net, codes, bits, way)
        assert any("no spikes" in text for text in warnings(findings))
        assert not check_legality(fixed)
        (layer,) = diagnose(net, fixed, codes)
        assert layer.dead == 12
        assert layer.turned == 0
    # Without anything to see, what is rounded still runs on other samples.
    fixed, _ = quantized(network(), CODES * 0, bits, way)
    before = run_float(network(), CODES, record=("spikes",)).records["a/spikes"]
    after = run_fixed(fixed, CODES, record=("spikes",)).records["a/spikes"]
    assert (before == after).mean() > (0.98 if bits == 8 else 0.85)


@pytest.mark.parametrize("bits", [8, 4])
def test_one_sample_is_enough_for_ranges_and_too_few_for_choices(bits, way):
    fixed, findings = quantized(network(), CODES[:1], bits, way)
    assert not check_legality(fixed)
    assert any("1 samples" in text for text in warnings(findings)) == bool(way)


@pytest.mark.parametrize("bits", [8, 4])
def test_equal_weights_lose_no_more_than_their_format(bits, way):
    same = network(np.full_like(FIRST, 0.3))
    fixed, _ = quantized(same, CODES, bits, way)
    stored = fixed.synapses[0].weight
    assert (stored == stored.flat[0]).all()
    before = run_float(same, CODES, record=("spikes",)).records["a/spikes"]
    after = run_fixed(fixed, CODES, record=("spikes",)).records["a/spikes"]
    assert (before == after).mean() > 0.95


@pytest.mark.parametrize("bits", [8, 4])
def test_an_outlier_is_told_and_does_not_hide_the_others_silently(bits, way):
    weights = FIRST.copy()
    weights[0, 0] = 1e4
    fixed, findings = quantized(network(weights), CODES, bits, way)
    assert not check_legality(fixed)
    assert any("rounded by more than 25%" in text for text in warnings(findings))
    (layer,) = diagnose(network(weights), fixed, CODES)
    assert layer.turned > 0.05


def test_weights_that_are_no_numbers(way):
    weights = FIRST.copy()
    weights[0, 0] = np.nan
    with pytest.raises(RangeError, match="NaN"):
        quantized(network(weights), CODES, 8, way)
