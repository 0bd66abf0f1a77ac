"""Operators multiplied out: against torch's own convolutions, and against the chain itself."""

import dataclasses

import numpy as np
import pytest
import torch

from neurodeploy.errors import ResourceError, UnsupportedNodeError
from neurodeploy.lowering import compose
from neurodeploy.lowering.matrices import matrix_of
from neurodeploy.network import (
    INPUT,
    ConstantEncoder,
    Convolution,
    Dense,
    Network,
    Pool,
    Population,
    Readout,
    Scale,
    Synapse,
    stateless,
)
from neurodeploy.simulate import run_float


def convolution(rng, *, axes=2, groups=1, channels=(4, 6), extent=(7, 5), kernel=(3, 2),
                stride=(2, 1), dilation=(1, 2), padding=((1, 1), (0, 2))):  # fmt: skip
    extent, kernel, stride, dilation = (v[:axes] for v in (extent, kernel, stride, dilation))
    padding = padding[:axes]
    weight = rng.integers(-3, 4, (channels[1], channels[0] // groups, *kernel)).astype(float)
    out = tuple(
        (n + sum(p) - d * (k - 1) - 1) // s + 1
        for n, p, d, k, s in zip(extent, padding, dilation, kernel, stride, strict=True)
    )
    return Convolution(
        "conv", weight, rng.integers(-2, 3, channels[1]).astype(float), stride, padding, dilation,
        groups, (channels[0], *extent), (channels[1], *out),
    )  # fmt: skip


@pytest.mark.parametrize("axes", [1, 2])
@pytest.mark.parametrize("groups", [1, 2])
def test_a_convolution_is_torchs(axes, groups):
    rng = np.random.default_rng(axes + 10 * groups)
    c = convolution(rng, axes=axes, groups=groups)
    x = rng.integers(-4, 5, (3, *c.input_shape)).astype(float)
    pads = [p for pair in reversed(c.padding) for p in pair]
    padded = torch.nn.functional.pad(torch.from_numpy(x), pads)
    function = torch.nn.functional.conv1d if axes == 1 else torch.nn.functional.conv2d
    wanted = function(
        padded, torch.from_numpy(np.array(c.weight)), None, c.stride, 0, c.dilation, groups
    )
    got = (matrix_of(c) @ x.reshape(3, -1).T).T.reshape(wanted.shape)
    np.testing.assert_array_equal(got, wanted.numpy())
    assert np.abs(got).max() > 10


@pytest.mark.parametrize("kind", ["sum", "average"])
def test_a_pool_is_torchs(kind):
    rng = np.random.default_rng(3)
    pool = Pool("pool", kind, (3, 2), (2, 2), (1, 0), (2, 7, 6), (2, 4, 3))
    x = rng.integers(-8, 9, (2, *pool.input_shape)).astype(float)
    wanted = torch.nn.functional.avg_pool2d(torch.from_numpy(x), (3, 2), (2, 2), (1, 0)).numpy()
    got = (matrix_of(pool) @ x.reshape(2, -1).T).T.reshape(wanted.shape)
    np.testing.assert_allclose(got, wanted * (6 if kind == "sum" else 1), rtol=0, atol=1e-14)


def test_grouped_and_scaled_matrices():
    rng = np.random.default_rng(4)
    weight = rng.normal(size=(3, 2, 4))
    x = rng.normal(size=(3, 4))
    got = matrix_of(Dense("d", weight)) @ x.ravel()
    np.testing.assert_allclose(got, np.einsum("koi,ki->ko", weight, x).ravel(), atol=1e-14)
    np.testing.assert_array_equal(
        matrix_of(Scale("s", [2.0, -1.0])) @ np.array([3.0, 5.0]), [6, -5]
    )


def lif(name, n, rng, **changes):
    one = np.ones(n)
    return Population(
        name, (name,), "lif", decay_v=0.25 * one, input_gain=0.5 * one, v_leak=0 * one,
        v_threshold=rng.integers(1, 4, n).astype(float), v_reset=0 * one, v_init=0 * one,
        bias=rng.integers(-1, 2, n) / 4, **changes,
    )  # fmt: skip


def conv_network(rng):
    """Input -> conv -> pool -> lif a -> (sum relay with the input's own scale) -> lif b."""
    c = convolution(rng)
    pool = Pool("pool", "sum", (2, 2), (1, 1), (0, 0), c.output_shape, (6, 3, 4))
    n = pool.size_out
    relay = stateless("r:sum", "relay", rng.integers(-1, 2, n) / 2)
    last = Dense("fc", rng.integers(-1, 2, (5, n)) / 2, rng.integers(-1, 2, 5) / 2)
    synapses = (
        Synapse("1", INPUT, "a", (c, pool)),
        Synapse("2", "a", "r:sum", ()),
        Synapse("3", INPUT, "r:sum", (Dense("skip", rng.integers(-1, 2, (n, c.size_in)) / 2),)),
        Synapse("4", "r:sum", "b", (Scale("s", np.full(n, 0.5)), last)),
        Synapse(
            "5",
            "b",
            "b",
            (Dense("rec", rng.integers(-1, 2, (5, 5)) / 2, np.ones(5)),),
            delay_steps=1,
        ),
    )
    populations = (lif("a", n, rng), relay, lif("b", 5, rng))
    return Network(
        populations, synapses, c.size_in, ConstantEncoder(), Readout("b", "count"), 6,
        input_shape=c.input_shape,
    )  # fmt: skip


def test_a_composed_network_runs_like_the_chain():
    for seed in range(8):
        rng = np.random.default_rng(seed)
        net = conv_network(rng)
        composed, findings = compose(net)
        assert [p.name for p in composed.populations] == ["a", "b"]
        assert all(len(s.operators) == 1 for s in composed.synapses)
        x = rng.integers(-2, 3, (6, 4, net.n_input)).astype(float)
        before = run_float(net, x, record=("spikes", "v"))
        after = run_float(composed, x, record=("spikes", "v"))
        for key in ("a/spikes", "b/spikes", "a/v", "b/v"):
            # Dyadic numbers: sums are exact in any order.
            np.testing.assert_array_equal(before.records[key], after.records[key], err_msg=key)
        rate = before.records["b/spikes"].mean()
        assert 0.02 < rate < 0.98
        assert any("multiplied out" in f.what for f in findings)


def test_a_lone_matrix_stays_to_the_last_bit():
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(3, 4))
    synapse = Synapse("s", INPUT, "a", (Dense("fc", weight, rng.normal(size=3)),))
    net = Network((lif("a", 3, rng),), (synapse,), 4, ConstantEncoder(), Readout("a", "count"), 2)
    composed, _ = compose(net)
    assert composed.is_plain
    assert composed.synapses[0].weight.tobytes() == weight.tobytes()
    np.testing.assert_array_equal(
        composed.population("a").bias, net.population("a").bias + synapse.operators[0].bias
    )


def test_a_bias_that_is_missing_in_the_first_step_cannot_be_composed():
    net = conv_network(np.random.default_rng(1))
    silent = dataclasses.replace(net.synapses[-1], silent_first=True)
    net = dataclasses.replace(net, synapses=(*net.synapses[:-1], silent))
    with pytest.raises(UnsupportedNodeError, match="5.*recurrent-cut affine"):
        compose(net)


def test_matrices_beyond_the_limit_are_refused():
    net = conv_network(np.random.default_rng(1))
    with pytest.raises(ResourceError, match="more than 100"):
        compose(net, max_elements=100)
