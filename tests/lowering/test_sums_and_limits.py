"""Parallel paths become one sum and chains one matrix, within bounds of time and memory."""

import dataclasses
import time
from collections import Counter

import numpy as np
import pytest
from lowering.hand_made import lif, network
from lowering.pass_checks import neuron_records
from oracles.random_float_networks import random_network

from neurodeploy.errors import ResourceError
from neurodeploy.lowering import compose
from neurodeploy.lowering.matrices import matrix_of
from neurodeploy.lowering.products import Products
from neurodeploy.network import (
    INPUT,
    Convolution,
    Dense,
    Pool,
    Scale,
    Sparse,
    Synapse,
    stateless,
)
from neurodeploy.simulate import run_float


def test_parallel_matrices_are_added_and_convolutions_stay_beside_them():
    rng = np.random.default_rng(0)
    shape = (1, 4, 4)
    conv = Convolution(
        "c", rng.normal(size=(1, 1, 3, 3)), None, (1, 1), ((1, 1), (1, 1)), (1, 1), 1, shape, shape
    )
    a, b = rng.normal(size=(2, 3, 16))
    net = network([lif("m", 16, shape), lif("n", 3)], [
        Synapse("1", INPUT, "m", (conv,)), Synapse("2", INPUT, "m", ()),
        Synapse("3", INPUT, "m", (Scale("s", np.full(16, 2.0)),)),
        Synapse("4", "m", "n", (Dense("a", a),)), Synapse("5", "m", "n", (Dense("b", b),)),
    ], 16)  # fmt: skip
    composed, findings = compose(net)
    kinds = [(s.name, type(s.operators[0])) for s in composed.synapses]
    assert kinds == [("input->m@0", Convolution), ("input->m@0#2", Sparse), ("m->n", Dense)]
    np.testing.assert_array_equal(composed.synapses[2].weight, a + b)
    np.testing.assert_array_equal(matrix_of(composed.synapses[1].operators[0]).diagonal(), 3)
    assert sum("added up" in f.what for f in findings) == 2


def test_ways_through_many_sums_stay_few():
    # Each of 30 sums doubles the ways: 2**30 of them if they were followed one by one.
    populations = [stateless(f"r{k}", "relay", np.zeros(3)) for k in range(30)]
    synapses = [Synapse("in", INPUT, "r0", ())]
    for k in range(1, 30):
        for half in (0.5, -0.25):
            operators = (Scale(f"s{k}", np.full(3, half)),)
            synapses.append(Synapse(f"{k}:{half}", f"r{k - 1}", f"r{k}", operators))
    synapses.append(Synapse("out", "r29", "n", ()))
    start = time.process_time()
    composed = compose(network([*populations, lif("n", 3)], synapses, 3)).value
    assert time.process_time() - start < 5
    (synapse,) = composed.synapses
    np.testing.assert_allclose(matrix_of(synapse.operators[0]).diagonal(), 0.25**29, rtol=1e-12)


def test_a_product_without_weights_leaves_no_synapse():
    left, right = Scale("l", [1.0, 0.0]), Scale("r", [0.0, 1.0])
    net = network([lif("n", 2)], [
        Synapse("a", INPUT, "n", (left, right)), Synapse("b", INPUT, "n", (left,)),
        Synapse("c", INPUT, "n", (Scale("m", [-1.0, 0.0]),)),
    ], 2)  # fmt: skip
    composed, findings = compose(net)
    assert composed.synapses == ()
    assert any("without any weight" in f.what for f in findings)
    assert run_float(composed, np.ones((2, 1, 2))).output.shape == (2, 1, 2)


def test_chains_are_dense_where_full_and_sparse_elsewhere():
    rng = np.random.default_rng(0)
    weight, scale = rng.normal(size=(5, 6)), rng.normal(size=6)
    products = Products()
    full = products.single("x", (Scale("s", scale), Dense("d", weight)), 6)
    assert isinstance(full, Dense)
    np.testing.assert_allclose(full.weight, weight * scale, rtol=1e-15)
    scale[:4] = 0
    few = products.single("x", (Scale("s", scale), Dense("d", weight)), 6)
    assert isinstance(few, Sparse)
    assert few.weight.size == 10
    grouped = products.single("x", (Dense("d", rng.normal(size=(4, 2, 3))),), 12)
    assert isinstance(grouped, Sparse)
    assert grouped.weight.size == 24
    # A lone matrix is what somebody trained; it stays one, however many of its weights are zero.
    lone = products.single("x", (Dense("d", np.eye(6)),), 6)
    assert isinstance(lone, Dense)


def test_products_of_random_chains_are_those_of_their_matrices():
    kinds = Counter()
    for seed in range(150):
        rng = np.random.default_rng(seed)
        net = random_network(rng, populations=3)
        for s in net.synapses:
            chain = [dataclasses.replace(o, bias=None) if isinstance(o, (Dense, Convolution)) else o
                     for o in s.operators]  # fmt: skip
            size = net.population(s.target).size
            single = Products().single("x", chain, size)
            wanted = np.eye(size if not chain else chain[0].size_in)
            for operator in chain:
                wanted = matrix_of(operator) @ wanted
            got = matrix_of(single).toarray()
            np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-12, err_msg=str(seed))
            kinds[type(single).__name__] += 1
            if isinstance(single, Sparse):
                assert (single.weight != 0).all()
    assert min(kinds[kind] for kind in ("Dense", "Sparse", "Convolution")) > 5, kinds


def test_products_beyond_the_limit_say_what_to_do():
    scale = Scale("uneven", np.arange(1.0, 65))
    shape = (1, 8, 8)
    conv = Convolution(
        "c", np.ones((1, 1, 3, 3)), None, (1, 1), ((1, 1), (1, 1)), (1, 1), 1, shape, shape
    )
    net = network([lif("n", 64)], [Synapse("a", INPUT, "n", (scale, conv))], 64)
    weights = 22 * 22  # (8 * 3 - 2) squared
    (synapse,) = compose(net, max_elements=weights).value.synapses
    assert synapse.operators[0].weight.size == weights
    with pytest.raises(ResourceError, match=r"484 weights.*more than 483.*neuron.*max_elements"):
        compose(net, max_elements=weights - 1)


def test_a_product_is_stopped_on_the_way():
    # Pools of a large map: 2**30 weights and more, if nobody stopped them.
    side = 256
    wide = Pool("w", "sum", (128, 128), (1, 1), (64, 64), (1, side, side), (1, 257, 257))
    uneven = Scale("s", np.arange(1.0, 257 * 257 + 1))
    net = network([lif("n", 257 * 257)], [Synapse("a", INPUT, "n", (wide, uneven))], side * side)
    start = time.process_time()
    with pytest.raises(ResourceError, match="more than 1000000"):
        compose(net, max_elements=10**6)
    assert time.process_time() - start < 5


def test_a_convolution_before_a_matrix_is_never_written_out():
    # As a matrix of its own the convolution has 2 * 10**7 weights; the product has 10**5.
    rng, shape = np.random.default_rng(0), (16, 64, 64)
    conv = Convolution(
        "c",
        rng.normal(size=(16, 16, 5, 5)),
        None,
        (1, 1),
        ((2, 2), (2, 2)),
        (1, 1),
        1,
        shape,
        shape,
    )
    scale = Scale("s", rng.uniform(1, 2, 2**16))
    last = Dense("d", rng.normal(size=(2, 2**16)))
    net = network([lif("n", 2)], [Synapse("a", INPUT, "n", (conv, scale, last))], 2**16)
    start = time.process_time()
    (synapse,) = compose(net, max_elements=2**18).value.synapses
    assert time.process_time() - start < 5
    x = rng.normal(size=(1, 1, 2**16))
    before, after = (
        run_float(n, x, record=("v",)).records["n/v"] for n in (net, compose(net).value)
    )
    np.testing.assert_allclose(after, before, rtol=1e-10)
    assert synapse.weight.shape == (2, 2**16)


def vgg(channels):
    """A VGG of 13 convolutions, batch scales and average pools on 32 x 32."""
    rng, populations, synapses = np.random.default_rng(0), [], []
    source, before, c, side = INPUT, (), 3, 32
    for k, n in enumerate(channels):
        if n == 0:
            pooled = (c, side // 2, side // 2)
            before = (Pool(f"p{k}", "average", (2, 2), (2, 2), (0, 0), (c, side, side), pooled),)
            side //= 2
            continue
        shape = (n, side, side)
        conv = Convolution(
            f"c{k}", rng.normal(0.2, 1, (n, c, 3, 3)) / np.sqrt(3 * c), rng.normal(size=n) / 10,
            (1, 1), ((1, 1), (1, 1)), (1, 1), 1, (c, side, side), shape,
        )  # fmt: skip
        norm = Scale(f"b{k}", np.repeat(rng.uniform(0.5, 2, n), side * side))
        populations.append(lif(f"l{k}", n * side * side, shape))
        synapses.append(Synapse(f"s{k}", source, f"l{k}", (*before, conv, norm)))
        source, before, c = f"l{k}", (), n
    populations.append(lif("out", 10))
    weight = rng.normal(size=(10, c * side * side))
    synapses.append(Synapse("fc", source, "out", (*before, Dense("fc", weight))))
    return network(populations, synapses, 3 * 32 * 32)


@pytest.mark.parametrize("width", [16, pytest.param(64, marks=pytest.mark.slow)])
def test_a_vgg_takes_seconds_and_no_matrix_of_a_map(width):
    net = vgg([width * n for n in (1, 1, 0, 2, 2, 0, 4, 4, 4, 0, 8, 8, 8, 0, 8, 8, 8)])
    start = time.process_time()
    composed = compose(net).value
    assert time.process_time() - start < 10
    kinds = [type(s.operators[0]) for s in composed.synapses]
    assert kinds == [Convolution] * 13 + [Dense]
    assert max(s.operators[0].weight.size for s in composed.synapses) <= 64 * width**2 * 36
    if width == 16:
        x = np.random.default_rng(1).random((3, 1, net.n_input))
        before, after = neuron_records(net, x)[0], neuron_records(composed, x)[0]
        for key, spikes in before.items():
            if key.endswith("spikes"):
                assert (after[key] == spikes).all()
        assert before["l15/spikes"].mean() > 0.01
