"""The quantiser keeps to the registers of its profile, and uses what a wider one has."""

from dataclasses import replace

import numpy as np
import pytest
from oracles.literal_fixed import run_aligned
from quantization.small_networks import network_of
from quantization.test_quantize import codes_for, random_network

from neurodeploy import hardware_profiles
from neurodeploy.errors import ProfileError, RangeError
from neurodeploy.hardware_profiles import limits_in, limits_of
from neurodeploy.network import check_legality
from neurodeploy.quantization import QuantizeConfig, quantize, quantize_network
from neurodeploy.simulate import run_fixed

LAVA, LOIHI2 = (hardware_profiles.load(name) for name in ("lava", "loihi2"))


def narrowed(**values):
    """Return Loihi 2 with other numbers of its registers."""
    text = LOIHI2.text
    for key, value in values.items():
        start = text.index(f"[numerics.{key}]")
        end = text.index("unit =", start)
        text = f"{text[:start]}[numerics.{key}]\nvalue = {value}\n{text[end:]}"
    return hardware_profiles.parse(text)


@pytest.mark.parametrize("seed", range(4))
def test_every_network_is_legal_for_the_profile_it_was_made_for(seed):
    network = random_network(seed, scale=[0.05, 1.0, 20.0, 1.0][seed], gain=bool(seed % 2))
    tight = narrowed(
        weight_exponent_min=-4, weight_exponent_max=4, bias_mantissa_bits=10, bias_exponent_bits=2,
        v_threshold_mantissa_bits=13,
    )  # fmt: skip
    for profile in (LOIHI2, LAVA, tight):
        net, _ = quantize_network(network, profile)
        assert check_legality(net, limits_in(net.profile)) == ()
    assert {s.weight_exp for s in net.synapses} <= set(range(-4, 5))
    lifs = [p for p in net.populations if p.kind == "lif"]
    assert all(np.abs(p.bias).max() <= 511 and p.bias_exp <= 3 for p in lifs)
    assert all(p.v_threshold.max() < 2**13 for p in net.populations if p.kind != "readout")


def test_a_profile_of_few_bits_asks_for_few():
    four = narrowed(weight_bits=4)
    network = random_network(0)
    with pytest.raises(RangeError, match="weight_bits is 8, loihi2 stores 4 at most; give --weigh"):
        quantize_network(network, four)
    net, _ = quantize_network(network, four, QuantizeConfig(4))
    assert check_legality(net, limits_of(four)) == ()


def test_a_wider_bias_register_keeps_more_of_a_bias():
    """A bias of 13 bits with an exponent is one of 16 bits without: finer on Lava."""
    network = random_network(3)
    size = network.population("a").size
    biases = np.random.default_rng(1).uniform(-0.9, 0.9, size)
    a = replace(network.population("a"), bias=biases, v_threshold=np.ones(size))
    network = replace(network, populations=(a, *network.populations[1:]))
    errors = {}
    for profile in (LOIHI2, LAVA):
        net, _ = quantize_network(network, profile)
        p = net.population("a")
        errors[profile.id] = np.abs(p.bias_shifted / p.scale - biases * a.input_gain).max()
        widest = int(np.abs(p.bias).max())
        assert (widest > 4095) == (profile is LAVA)
        assert check_legality(net, limits_of(profile)) == ()
    assert errors["lava"] < errors["loihi2"] / 2
    codes = codes_for(network, 16)
    expected = run_aligned(net, codes).records
    traces = run_fixed(net, codes, record=("spikes", "v"))
    for key, values in traces.records.items():
        np.testing.assert_array_equal(values, expected[key], err_msg=key)
    # On a chip the same integers are named, and so is the chip that lacks the register.
    found = {f.what.split(" is ")[0] for f in check_legality(net, limits_of(LOIHI2))}
    assert found == {"bias mantissa (13 bits signed)"}


def test_the_longest_delay_is_the_profiles():
    slow = network_of(["a", "b"], [("input", "a", 0), ("a", "b", 64)])
    net, _ = quantize_network(slow, LAVA)
    assert max(s.delay for s in net.synapses) == 63
    with pytest.raises(RangeError, match="wait longer than the 62 steps"):
        quantize_network(slow, LOIHI2)
    with pytest.raises(RangeError, match="wait longer than the 63 steps"):
        quantize_network(network_of(["a", "b"], [("input", "a", 0), ("a", "b", 65)]), LAVA)


def test_a_chip_of_other_arithmetic_is_refused_before_anything_is_quantised():
    with pytest.raises(ProfileError, match=r"numerics\.decay_bits: is 8.*written for 12"):
        quantize(random_network(0), narrowed(decay_bits=8))
