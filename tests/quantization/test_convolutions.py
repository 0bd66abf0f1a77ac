"""Which convolutions stay one, which are written out, and what either means."""

import dataclasses

import numpy as np
import pytest
from oracles.literal_fixed import run_aligned
from quantization.deployable import convolution

from neurodeploy import hardware_profiles
from neurodeploy.errors import ResourceError
from neurodeploy.network import (
    INPUT,
    ConstantEncoder,
    ConvLayout,
    Convolution,
    Dense,
    Network,
    Population,
    Readout,
    SparseLayout,
    Synapse,
)
from neurodeploy.quantization import QuantizeConfig, quantize, quantize_network
from neurodeploy.quantization.incoming import (
    connection_count,
    conv_layout,
    incoming_of,
    row_sums,
)
from neurodeploy.simulate import run_float

LOIHI2 = hardware_profiles.load("loihi2")
SHAPE = (2, 5, 5)
SIZE = 50


def neurons(name, shape=SHAPE, **changes):
    n = int(np.prod(shape))
    zeros = np.zeros(n)
    values = {
        "decay_v": np.full(n, 0.25), "input_gain": zeros + 1, "v_leak": zeros,
        "v_threshold": zeros + 1, "v_reset": zeros, "v_init": zeros, "bias": zeros,
        "shape": shape, **changes,
    }  # fmt: skip
    return Population(name, (name,), "lif", **values)


def kernel(rng, scale=0.5, shape=(2, 2, 3, 3)):
    return Convolution(
        "k", rng.normal(0, scale, shape), None, (1, 1), ((1, 1), (1, 1)), (1, 1), 1, SHAPE, SHAPE
    )


def network_of(*synapses, bits=1, **changes):
    """Populations a and b; synapses are (source, target, operator, delay)."""
    named = tuple(
        Synapse(f"{i}:{s}->{t}", s, t, (o,), d) for i, (s, t, o, d) in enumerate(synapses)
    )
    populations = (neurons("a"), neurons("b", **changes))
    encoder = ConstantEncoder(0.0, 1.0, bits)
    return Network(populations, named, SIZE, encoder, Readout("b", "count"), 8, input_shape=SHAPE)


def kinds(net):
    return {s.name: s.kind for s in net.synapses}


def test_convolutions_of_spikes_stay_and_set_the_scale():
    rng = np.random.default_rng(0)
    network = network_of((INPUT, "a", kernel(rng), 0), ("a", "b", kernel(rng), 0))
    net, findings = quantize_network(network, LOIHI2)
    assert set(kinds(net).values()) == {"conv"}
    assert not any("written out" in f.what for f in findings)
    for s in net.synapses:
        assert s.weight_exp == 0
        p = np.log2(net.population(s.target).scale) - 6
        original = next(o for o in network.synapses if o.name == s.name).operators[0].weight
        assert np.abs(s.weight / 2**p - original).max() <= 1 / 2**p
        assert np.abs(s.weight).max() > 64
        assert not (s.weight % 2).any()


def test_a_convolution_of_one_sign_keeps_odd_numbers():
    rng = np.random.default_rng(1)
    positive = kernel(rng)
    positive = dataclasses.replace(positive, weight=np.abs(positive.weight))
    net, _ = quantize_network(
        network_of((INPUT, "a", positive, 0), ("a", "b", kernel(rng), 0)), LOIHI2
    )
    first = net.synapses[0]
    assert (first.kind, first.sign_mode) == ("conv", "excitatory")
    assert (first.weight % 2).any()
    assert 0 <= first.weight.min() <= first.weight.max() <= 255


def test_a_convolution_that_waits_is_written_out_and_means_the_same():
    rng = np.random.default_rng(2)
    skip = kernel(rng)
    network = network_of(
        (INPUT, "a", kernel(rng), 0), ("a", "b", kernel(rng), 0), (INPUT, "b", skip, 0)
    )
    net, findings = quantize_network(network, LOIHI2)
    assert kinds(net) == {"0:input->a": "conv", "1:a->b": "conv", "2:input->b": "sparse"}
    (finding,) = [f for f in findings if "written out" in f.what]
    assert finding.where == "synapse 2:input->b"
    assert finding.what.endswith("it waits 1 hardware steps, and Lava's Conv has no delay")
    assert finding.numbers["connections"] == net.synapses[2].weight.size == connection_count(skip)
    codes = rng.integers(0, 2, (8, 3, SIZE))
    fixed = run_aligned(net, codes).records
    meant = run_float(network, codes, record=("spikes",)).records
    for name in ("a", "b"):
        assert 0.02 < meant[f"{name}/spikes"].mean() < 0.98
        assert (fixed[f"{name}/spikes"] == meant[f"{name}/spikes"]).mean() > 0.97


def test_two_convolutions_of_one_size_share_a_scale():
    rng = np.random.default_rng(3)
    network = network_of(
        (INPUT, "a", kernel(rng), 0), ("a", "b", kernel(rng), 0), ("b", "b", kernel(rng), 1)
    )
    net, _ = quantize_network(network, LOIHI2)
    assert set(kinds(net).values()) == {"conv"}


def test_of_two_convolutions_of_different_size_the_smaller_one_is_written_out():
    rng = np.random.default_rng(4)
    network = network_of(
        (INPUT, "a", kernel(rng), 0), ("a", "b", kernel(rng), 0), ("b", "b", kernel(rng, 0.02), 1)
    )
    net, findings = quantize_network(network, LOIHI2)
    assert kinds(net)["1:a->b"] == "conv"
    assert kinds(net)["2:b->b"] == "sparse"
    assert any("another convolution into the same population" in f.what for f in findings)
    assert np.abs(net.synapses[2].weight).max() > 64


@pytest.mark.parametrize("scale", [20.0, 0.002])
def test_weights_far_from_the_threshold_need_an_exponent(scale):
    rng = np.random.default_rng(5)
    network = network_of((INPUT, "a", kernel(rng), 0), ("a", "b", kernel(rng, scale), 0))
    net, findings = quantize_network(network, LOIHI2)
    assert kinds(net)["1:a->b"] == ("sparse" if scale > 1 else "conv")
    assert net.population("b").v_threshold.min() >= 64
    assert any("written out" in f.what for f in findings) == (scale > 1)


def test_weights_beside_a_convolution_may_be_too_large_for_its_scale():
    rng = np.random.default_rng(12)
    single = np.zeros((SIZE, SIZE))
    single[3, 4] = 300.0
    beside = (INPUT, "a", kernel(rng), 0), ("a", "b", kernel(rng), 0)
    network = network_of(*beside, ("b", "b", Dense("d", single), 1), decay_v=np.ones(SIZE))
    net, findings = quantize_network(network, LOIHI2)
    assert kinds(net)["1:a->b"] == "sparse"
    assert any("the weights of 2:b->b are too large" in f.what for f in findings)
    assert net.synapses[2].weight_exp == 7


def test_wide_input_codes_need_an_exponent():
    rng = np.random.default_rng(6)
    network = network_of((INPUT, "a", kernel(rng), 0), ("a", "b", kernel(rng), 0), bits=8)
    net, _ = quantize_network(network, LOIHI2)
    assert kinds(net) == {"0:input->a": "sparse", "1:a->b": "conv"}
    codes = rng.choice([0, 255], (8, 4, SIZE))
    codes[:, 0] = 255
    run = run_aligned(net, codes)
    assert run.counts["a/wraps"].sum() == 0


def test_factors_that_differ_within_a_channel_need_a_matrix():
    rng = np.random.default_rng(7)
    gain = rng.uniform(0.5, 2, SIZE)
    network = network_of((INPUT, "a", kernel(rng), 0), ("a", "b", kernel(rng), 0), input_gain=gain)
    net, findings = quantize_network(network, LOIHI2)
    assert kinds(net)["1:a->b"] == "sparse"
    assert any("different factors" in f.what for f in findings)
    shared = np.repeat([0.5, 2.0], 25)
    network = network_of(
        (INPUT, "a", kernel(rng), 0), ("a", "b", kernel(rng), 0), input_gain=shared
    )
    assert kinds(quantize_network(network, LOIHI2).value)["1:a->b"] == "conv"


def test_beyond_the_limit_a_relay_is_named():
    rng = np.random.default_rng(8)
    waiting = network_of(
        (INPUT, "a", kernel(rng), 0), ("a", "b", kernel(rng), 0), (INPUT, "b", kernel(rng), 0)
    )
    with pytest.raises(ResourceError, match=r"synapse 2:input->b: .*waits 1 .* relay population"):
        quantize_network(waiting, LOIHI2, QuantizeConfig(sparse_limit=100))
    large = network_of((INPUT, "a", kernel(rng), 0), ("a", "b", kernel(rng, 20.0), 0))
    with pytest.raises(ResourceError, match=r"threshold .* would be .* units.* relay population"):
        quantize_network(large, LOIHI2, QuantizeConfig(sparse_limit=100))


def test_beyond_the_limit_a_convolution_may_lose_some_bits_with_a_warning():
    rng = np.random.default_rng(9)
    network = network_of((INPUT, "a", kernel(rng), 0), ("a", "b", kernel(rng), 0), bits=7)
    assert kinds(quantize_network(network, LOIHI2).value)["0:input->a"] == "sparse"
    net, findings = quantize_network(network, LOIHI2, QuantizeConfig(sparse_limit=100))
    assert kinds(net)["0:input->a"] == "conv"
    assert any("a convolution has no exponent" in f.what for f in findings)
    codes = np.full((8, 1, SIZE), 127)
    assert run_aligned(net, codes).counts["a/wraps"].sum() == 0
    wide = network_of((INPUT, "a", kernel(rng), 0), ("a", "b", kernel(rng), 0), bits=12)
    with pytest.raises(ResourceError, match=r"would cost it \d+ of its 8 bits"):
        quantize_network(wide, LOIHI2, QuantizeConfig(sparse_limit=100))


@pytest.mark.parametrize("seed", range(20))
def test_written_out_convolutions_and_their_row_sums(seed):
    """Against numpy loops: values, order, and sums of any values in either layout."""
    from quantization.deployable import MAPS, Numbers

    rng = np.random.default_rng(seed)
    taken, given = (MAPS[i] for i in rng.integers(0, 3, 2))
    operator = convolution(Numbers(rng, exact=False), "k", taken, given)
    size = int(np.prod(given))
    target = neurons("a", given, input_gain=rng.uniform(0.5, 2, size))
    synapse = Synapse("s", INPUT, "a", (operator,))
    network = Network(
        (target,),
        (synapse,),
        int(np.prod(taken)),
        ConstantEncoder(0, 3, 2),
        Readout("a", "count"),
        1,
    )
    written = incoming_of(network, target, synapse, written_out=True)
    assert isinstance(written.layout, SparseLayout)
    matrix = np.zeros((size, int(np.prod(taken))))
    rows = np.repeat(np.arange(size), np.diff(written.layout.indptr))
    matrix[rows, written.layout.indices] = written.values
    wanted = literal_matrix(operator) * target.input_gain[:, None]
    np.testing.assert_allclose(matrix, wanted, rtol=1e-15)
    assert written.values.size == connection_count(operator)
    np.testing.assert_allclose(written.row_sums(written.values), wanted.sum(axis=1), atol=1e-12)
    layout = conv_layout(operator)
    assert isinstance(layout, ConvLayout)
    sums = row_sums(np.abs(operator.weight), layout)
    np.testing.assert_allclose(sums, np.abs(literal_matrix(operator)).sum(axis=1), atol=1e-12)


def literal_matrix(c):
    (c_in, h, w), (c_out, rows, columns) = c.input_shape, c.output_shape
    matrix = np.zeros((c_out, rows, columns, c_in, h, w))
    in_group, out_group = c_in // c.groups, c_out // c.groups
    for o, y, x, i, ky, kx in np.ndindex(c_out, rows, columns, in_group, *c.weight.shape[2:]):
        at_y = y * c.stride[0] + ky * c.dilation[0] - c.padding[0][0]
        at_x = x * c.stride[1] + kx * c.dilation[1] - c.padding[1][0]
        if 0 <= at_y < h and 0 <= at_x < w:
            matrix[o, y, x, i + (o // out_group) * in_group, at_y, at_x] += c.weight[o, i, ky, kx]
    return matrix.reshape(c_out * rows * columns, -1)


def test_an_input_range_below_zero_is_a_bias_that_padding_does_not_see():
    rng = np.random.default_rng(10)
    network = network_of((INPUT, "a", kernel(rng, 0.2), 0), ("a", "b", kernel(rng), 0), bits=8)
    network = dataclasses.replace(network, encoder=ConstantEncoder(-1.0, 1.0, 8))
    codes = rng.integers(0, 256, (8, 4, SIZE))
    net, _ = quantize(network, LOIHI2, calibration=codes)
    fixed = run_aligned(net, codes).records["a/v_pre"] / net.population("a").scale
    meant = run_float(network, codes, record=("v_pre",)).records["a/v_pre"]
    assert np.median(np.abs(fixed - meant)) < 0.02
