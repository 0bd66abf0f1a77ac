"""Convolutions, sparse matrices and delays against the same connections written out densely.

Sizes at which the engine takes special ways: whole vectors of channels, shared weights, channels
visited word by word, matrices cut into stretches.
"""

from dataclasses import replace

import numpy as np
import pytest
from simulate_networks import network, population

from neurodeploy.network import INPUT, ConvLayout, FixedSynapse, SparseLayout
from neurodeploy.simulate import run_fixed, segments
from neurodeploy.simulate.run_plan import plan_run

QUANTITIES = ("spikes", "u", "v", "v_pre")


def written_out(synapse):
    """Return the dense synapse with the same connections."""
    entries = synapse.connections()
    weight = np.zeros((synapse.size_out, synapse.size_in), np.int32)
    delay = np.zeros(weight.shape, np.int32)
    weight[entries.target, entries.source] = entries.weight
    delay[entries.target, entries.source] = entries.delay
    return replace(synapse, weight=weight, delay=delay, layout=None)


def assert_equal_to_dense(net, codes, **options):
    dense = replace(net, synapses=tuple(written_out(s) for s in net.synapses))
    given = run_fixed(net, codes, record=QUANTITIES, **options)
    expected = run_fixed(dense, codes, record=QUANTITIES, **options)
    for key, values in expected.records.items():
        np.testing.assert_array_equal(given.records[key], values, err_msg=key)
    for key, values in expected.counts.items():
        np.testing.assert_array_equal(given.counts[key], values, err_msg=key)
    return given


def conv(rng, name, source, target, shape, c_out, kernel, **geometry):
    """Return a convolution's synapse and its output shape."""
    given = {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": 1, **geometry}
    out = tuple(
        (shape[1 + i] + 2 * given["padding"][i] - given["dilation"][i] * (kernel[i] - 1) - 1)
        // given["stride"][i]
        + 1
        for i in (0, 1)
    )
    layout = ConvLayout(**given, input_shape=shape, output_shape=(c_out, *out))
    weight = rng.integers(-30, 35, (c_out, shape[0] // given["groups"], *kernel)) * 2
    synapse = FixedSynapse(name, source, target, weight, 0, "mixed", layout=layout)
    return synapse, (c_out, *out)


GEOMETRIES = [
    (3, 16, (3, 3), {}),
    (64, 16, (3, 3), {}),
    (128, 32, (3, 3), {}),
    (16, 8, (5, 3), {"stride": (2, 1), "padding": (2, 0)}),
    (4, 16, (3, 4), {"stride": (3, 2), "padding": (0, 3)}),
    (16, 16, (2, 3), {"dilation": (2, 3), "padding": (1, 3)}),
    (32, 32, (3, 3), {"stride": (2, 2), "dilation": (2, 2)}),
    (32, 64, (3, 3), {"groups": 2}),
    (12, 12, (3, 3), {"groups": 12}),
    (5, 1, (3, 3), {}),
    (5, 7, (9, 7), {"padding": (0, 0)}),
]


@pytest.mark.parametrize(("c_in", "c_out", "kernel", "geometry"), GEOMETRIES)
@pytest.mark.parametrize("cached", [0, 2**30])
def test_convolutions_equal_their_matrices(monkeypatch, c_in, c_out, kernel, geometry, cached):
    monkeypatch.setattr(segments, "_CACHED_WEIGHTS", cached)
    plan_run.cache_clear()
    rng = np.random.default_rng(c_in + c_out)
    shape = (2, 9, 7) if c_in < 32 else (2, 5, 4)
    first, middle = conv(rng, "first", INPUT, "a", shape, c_in, (3, 3))
    second, last = conv(rng, "second", "a", "b", middle, c_out, kernel, **geometry)
    net = network(
        [
            population("a", int(np.prod(middle)), shape=middle, v_threshold=150),
            population("b", int(np.prod(last)), 2, shape=last, v_threshold=600),
        ],
        [first, second],
        int(np.prod(shape)),
    )
    codes = (rng.random((12, 3, net.n_input)) < 0.2).astype(np.uint8)
    traces = assert_equal_to_dense(net, codes, timing="lava")
    assert traces.counts["a/spikes"].min() > 0
    assert traces.counts["b/spikes"].sum() > 0
    plan_run.cache_clear()


def test_a_pool_before_a_convolution_stores_its_weights_once():
    rng = np.random.default_rng(0)
    synapse, shape = conv(rng, "s", INPUT, "a", (8, 8, 8), 16, (3, 3))
    doubled = synapse.weight.repeat(2, 2).repeat(2, 3)
    layout = ConvLayout((2, 2), (2, 2), (1, 1), 1, (8, 16, 16), (16, 8, 8))
    pooled = replace(synapse, weight=doubled, layout=layout)
    assert shape == (16, 8, 8)
    plain = segments.conv_segments(synapse.weight, synapse.layout, np.arange(8 * 64))
    pool = segments.conv_segments(pooled.weight, layout, np.arange(8 * 256))
    assert pool.pool.size == plain.pool.size
    net = network([population("a", 1024, shape=(16, 8, 8))], [pooled], 8 * 256)
    codes = (rng.random((9, 2, net.n_input)) < 0.1).astype(np.uint8)
    assert_equal_to_dense(net, codes)


def test_two_convolutions_of_different_shapes_meet_in_one_population():
    rng = np.random.default_rng(1)
    one, _ = conv(rng, "one", INPUT, "a", (2, 6, 4), 4, (3, 3))
    other = ConvLayout((1, 1), (0, 0), (1, 1), 1, (2, 6, 4), (8, 6, 2))
    weight = rng.integers(-20, 22, (8, 2, 1, 3)) * 2
    two = FixedSynapse("two", INPUT, "a", weight, 0, "mixed", layout=other)
    net = network([population("a", 96, v_threshold=300)], [one, two], 48)
    codes = (rng.random((20, 3, 48)) < 0.3).astype(np.uint8)
    assert assert_equal_to_dense(net, codes).counts["a/spikes"].min() > 0


@pytest.mark.parametrize("density", [0.0, 0.002, 0.05, 0.6])
@pytest.mark.parametrize("exponent", [-3, 0, 2])
@pytest.mark.parametrize("delayed", [False, True])
def test_sparse_matrices_equal_dense_ones(density, exponent, delayed):
    rng = np.random.default_rng(int(1000 * density) + exponent + 10)
    matrix = rng.integers(-60, 70, (120, 130)) * 2 * (rng.random((120, 130)) < density)
    rows, columns = np.nonzero(matrix)
    layout = SparseLayout(np.searchsorted(rows, np.arange(121)), columns, 130)
    weight = matrix[rows, columns]
    delay = rng.integers(0, 62, weight.shape) if delayed else 3
    synapse = FixedSynapse("s", INPUT, "a", weight, exponent, "mixed", delay=delay, layout=layout)
    loop = replace(synapse, name="loop", source="a", weight_exp=-5)
    matrix = np.vstack([matrix[:, :120].T, np.zeros((0, 120), np.int64)]).T
    rows, columns = np.nonzero(matrix)
    loop = replace(
        loop,
        layout=SparseLayout(np.searchsorted(rows, np.arange(121)), columns, 120),
        weight=matrix[rows, columns],
        delay=0,
    )
    net = network([population("a", 120, shape=(6, 5, 4), v_threshold=100)], [synapse, loop], 130)
    codes = (rng.random((90, 3, 130)) < 0.3).astype(np.uint8)
    for timing in ("aligned", "lava"):
        assert_equal_to_dense(net, codes, timing=timing)


@pytest.mark.parametrize("delay", [0, 1, 5, 62])
@pytest.mark.parametrize("bits", [1, 8])
def test_a_delay_is_an_input_shifted_in_time(delay, bits):
    rng = np.random.default_rng(delay)
    weight = rng.integers(-60, 70, (20, 30)) * 2
    synapse = FixedSynapse("s", INPUT, "a", weight, -1, "mixed", message_bits=bits - 1)
    net = network([population("a", 20)], [replace(synapse, delay=delay)], 30, bits=bits)
    codes = rng.integers(0, 2**bits, (100, 4, 30)) * (rng.random((100, 4, 30)) < 0.2)
    shifted = np.concatenate([np.zeros((delay, 4, 30), codes.dtype), codes[: 100 - delay]])
    given = run_fixed(net, codes, record=QUANTITIES)
    expected = run_fixed(replace(net, synapses=(synapse,)), shifted, record=QUANTITIES)
    for key, values in expected.records.items():
        np.testing.assert_array_equal(given.records[key], values, err_msg=key)


@pytest.mark.parametrize("timing", ["aligned", "lava"])
def test_held_codes_with_delays_are_codes_repeated_at_every_step(timing):
    rng = np.random.default_rng(8)
    weight = rng.integers(-30, 35, (20, 30)) * 2
    delay = rng.integers(0, 12, weight.shape)
    synapse = FixedSynapse("s", INPUT, "a", weight, 0, "mixed", message_bits=8, delay=delay)
    net = network([population("a", 20)], [synapse], 30, bits=8, steps=17)
    codes = rng.integers(0, 30, (5, 30))
    held = run_fixed(net, codes, record=QUANTITIES, timing=timing)
    repeated = run_fixed(net, np.repeat(codes[None], 17, axis=0), record=QUANTITIES, timing=timing)
    for key, values in repeated.records.items():
        np.testing.assert_array_equal(held.records[key], values, err_msg=key)
    for key, values in repeated.counts.items():
        np.testing.assert_array_equal(held.counts[key], values, err_msg=key)
