"""Passes on networks made by hand and at random: delays, sums, limits, and broken promises."""

import dataclasses
import time
from collections import Counter

import numpy as np
import pytest
from lowering.pass_checks import TOO_MANY, check_stages, composed_or_late, neuron_records, stages
from oracles.random_float_networks import random_network

from neurodeploy.errors import InputError, NeurodeployError, ResourceError, UnsupportedNodeError
from neurodeploy.findings import Result
from neurodeploy.lowering import compose, is_deployable_form, lowering_passes
from neurodeploy.lowering.conditions import NO_RELAYS
from neurodeploy.lowering.matrices import matrix_of
from neurodeploy.lowering.passes import Condition, Pass
from neurodeploy.lowering.products import Products
from neurodeploy.network import (
    ALWAYS_ON,
    INPUT,
    ConstantEncoder,
    Convolution,
    Dense,
    Network,
    Pool,
    Population,
    Readout,
    Scale,
    Sparse,
    Synapse,
    stateless,
)
from neurodeploy.simulate import run_float


def lif(name, size, shape=(), **changes):
    numbers = {
        "decay_v": 0.25, "input_gain": 0.5, "v_leak": 0.0, "v_threshold": 0.5, "v_reset": 0.0,
        "v_init": 0.0, "bias": np.zeros(size), "kind": "lif",
    }  # fmt: skip
    numbers = {k: np.full(size, v) if isinstance(v, float) else v for k, v in numbers.items()}
    return Population(name=name, nir_nodes=(name,), shape=shape, **(numbers | changes))


def network(populations, synapses, n_input, **changes):
    readout = Readout(populations[-1].name, "count")
    fields = {"steps": 8, "encoder": ConstantEncoder(), "readout": readout} | changes
    return Network(tuple(populations), tuple(synapses), n_input, **fields)


def delay(name, steps, bias=0.0):
    steps = np.asarray(steps)
    return stateless(name, "delay", np.full(steps.size, bias), delay_steps=steps)


def matrices(net):
    """Return {(source, target, delay): matrix} of a composed network."""
    return {
        (s.source, s.target, s.delay_steps): matrix_of(s.operators[0]).toarray()
        for s in net.synapses
    }


# -- random networks ------------------------------------------------------------------------------


def any_network(rng, *, exact):
    """Return a random network; most have none of the rare things that are refused."""
    readout = None if rng.random() < 0.1 else str(rng.choice(["count", "sum"]))
    net = random_network(rng, exact=exact, populations=int(rng.integers(1, 8)), readout=readout)
    if rng.random() < 0.1:
        return net
    synapses = [
        dataclasses.replace(s, silent_first=s.silent_first and s.late) for s in net.synapses
    ]
    return dataclasses.replace(net, synapses=tuple(synapses))


def check_seeds(seeds):
    ends = Counter()
    for seed in seeds:
        rng = np.random.default_rng(seed)
        net = any_network(rng, exact=seed % 2 == 0)
        x = rng.integers(-2, 5, (8, 2, 12)) / 4
        last, end = check_stages(net, x, {}, f"seed {seed}")
        ends[composed_or_late(net, last, f"seed {seed}") if end == "checked" else end] += 1
    return ends


def test_random_networks_run_alike_after_every_pass():
    ends = check_seeds(range(160))
    assert set(ends) == {
        "checked", "late bias", "cycle of delays", "nothing in the first step", "is read out"
    }  # fmt: skip
    assert min(ends["checked"], ends["late bias"]) > 25, ends


@pytest.mark.slow
def test_thousands_of_random_networks():
    ends = check_seeds(range(5000, 9000))
    assert min(ends["checked"], ends["late bias"]) > 400, ends
    assert ends[TOO_MANY] < 20, ends


# -- delays ---------------------------------------------------------------------------------------


def test_delays_add_up_along_every_path_and_split_by_value():
    rng = np.random.default_rng(0)
    first, last = rng.normal(size=(3, 4)), rng.normal(size=(2, 3))
    around = rng.normal(size=(2, 3))
    net = network(
        [delay("d0", [0, 2, 2]), delay("d1", [3, 3]), lif("n", 2)],
        [
            Synapse("a", INPUT, "d0", (Dense("w", first),)),
            Synapse("b", "d0", "d1", (Dense("v", last),)),
            Synapse("c", "d1", "n", ()),
            Synapse("d", "d0", "n", (Dense("around", around),)),
            Synapse("e", INPUT, "n", (Dense("now", np.ones((2, 4))),)),
            Synapse("f", "n", "n", (Scale("own", [0.5, -0.5]),), delay_steps=1),
        ],
        4,
    )
    composed = compose(net).value
    zero, two = np.diag([1, 0, 0]), np.diag([0, 1, 1])
    wanted = {
        (INPUT, "n", 0): np.ones((2, 4)) + around @ zero @ first,
        (INPUT, "n", 2): around @ two @ first,
        (INPUT, "n", 3): last @ zero @ first,
        (INPUT, "n", 5): last @ two @ first,
        ("n", "n", 1): np.diag([0.5, -0.5]),
    }
    found = matrices(composed)
    assert set(found) == set(wanted)
    for key, matrix in wanted.items():
        np.testing.assert_allclose(found[key], matrix, rtol=1e-14)
    assert len({s.name for s in composed.synapses}) == 5
    x = rng.normal(size=(12, 3, 4))
    for _, stage in stages(net):
        got, want = neuron_records(stage, x)[0], neuron_records(net, x)[0]
        np.testing.assert_array_equal(got["n/spikes"], want["n/spikes"])
    assert composed.population("n").nir_nodes == ("d0", "d1", "n")


def test_a_delay_that_is_read_out_is_refused_and_one_before_a_reader_is_not():
    synapses = [Synapse("a", INPUT, "d", ())]
    read = network([delay("d", [1, 2])], synapses, 2, readout=Readout("d", "last_v"))
    with pytest.raises(UnsupportedNodeError, match="'d': is a delay and is read out"):
        compose(read)
    reader = lif("r", 2, kind="li", v_threshold=np.full(2, np.inf), decay_v=np.ones(2))
    net = network(
        [delay("d", [1, 2]), reader], [*synapses, Synapse("b", "d", "r", ())], 2,
        readout=Readout("r", "last_v"),
    )  # fmt: skip
    composed = compose(net).value
    assert sorted(s.delay_steps for s in composed.synapses) == [1, 2]
    x = np.random.default_rng(0).normal(size=(6, 2, 2))
    assert (run_float(net, x).output == run_float(composed, x).output).all()


def test_a_delay_longer_than_the_run_lets_nothing_through():
    net = network([delay("d", [2**31 - 1, 1]), lif("n", 2)], [
        Synapse("a", INPUT, "d", ()), Synapse("b", "d", "n", (Scale("s", [9.0, 9.0]),)),
    ], 2)  # fmt: skip
    composed = compose(net).value
    spikes = run_float(composed, np.ones((5, 1, 2)), record=("spikes",)).records["n/spikes"]
    assert spikes[:, 0].tolist() == [[0, 0], [0, 1], [0, 1], [0, 1], [0, 1]]


def test_delays_round_a_cycle_without_a_neuron_are_refused():
    relay = stateless("r", "relay", np.zeros(2))
    net = network([relay, delay("d", [1, 1]), lif("n", 2)], [
        Synapse("a", INPUT, "r", ()), Synapse("b", "r", "d", ()), Synapse("c", "d", "r", ()),
        Synapse("e", "r", "n", ()),
    ], 2)  # fmt: skip
    with pytest.raises(
        UnsupportedNodeError, match="nodes d form a cycle of delays without a neuron"
    ):
        compose(net)


def test_all_biases_that_begin_late_are_listed():
    relay = stateless("r", "relay", np.array([1.0, 0.0]))
    net = network([relay, delay("d", [0, 2]), delay("early", [0, 2]), lif("n", 2)], [
        Synapse("a", INPUT, "r", ()),
        Synapse("silent", "n", "n", (Dense("w", np.eye(2), np.ones(2)),), 1, True),
        Synapse("plain", "n", "n", (Dense("w", np.eye(2)),), 1, True),
        Synapse("b", INPUT, "d", (Dense("w", np.eye(2), [0.0, 1.0]),)),
        Synapse("b0", INPUT, "early", (Dense("w", np.eye(2), [1.0, 0.0]),)),
        Synapse("late", "r", "n", (), 3), Synapse("c", "d", "n", ()), Synapse("g", "early", "n", ()),
    ], 2)  # fmt: skip
    with pytest.raises(UnsupportedNodeError) as raised:
        compose(net)
    text = str(raised.value)
    assert "silent: its biases are missing in the first step (recurrent-cut affine)" in text
    assert "late: delays a bias by 3 steps" in text
    assert "d: delays a bias by up to 2 steps" in text
    assert "plain" not in text
    assert "early" not in text
    # Without the refusal they come over lines that are always on, exactly.
    *_, (_, last) = stages(net)
    lines = {s.delay_steps for s in last.synapses if s.source == ALWAYS_ON}
    assert lines == {1, 2, 3}


def test_an_always_on_line_is_a_bias():
    net = network([lif("n", 2)], [Synapse.dense("a", ALWAYS_ON, "n", [[2.0], [-1.0]])], 1)
    composed = compose(net).value
    assert composed.population("n").bias.tolist() == [2, -1]
    assert composed.synapses == ()


# -- sums and limits ------------------------------------------------------------------------------


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


# -- conditions -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["delays into synapses", "relays into paths",
                                  "chains into operators", "parallels into sums"])  # fmt: skip
def test_passes_out_of_order_are_refused(name):
    net = network([stateless("r", "relay", np.ones(2)), delay("d", [1, 1]), lif("n", 2)], [
        Synapse("a", INPUT, "r", ()), Synapse("b", "r", "d", ()), Synapse("c", "d", "n", ()),
    ], 2)  # fmt: skip
    (step,) = (p for p in lowering_passes() if p.name == name)
    with pytest.raises(InputError, match=f"lowering pass '{name}': needs a network where"):
        step.run(net)


class Broken(Pass):
    """Does what it is told and promises that no relay is left."""

    name = "broken"
    gives = (NO_RELAYS,)

    def __init__(self, change):
        self.change = lambda net: Result(change(net))

    def change(self, network):
        raise NotImplementedError


def _other_readout(net):
    return dataclasses.replace(net, readout=Readout("m", "count"))


def _fewer_neurons(net):
    kept = [p for p in net.populations if p.name != "m"]
    return dataclasses.replace(net, populations=tuple(kept), synapses=())


@pytest.mark.parametrize(("change", "message"), [
    (lambda net: net, "no population is a relay: r"),
    (_fewer_neurons, "neurons stay as they are"),
    (_other_readout, "input and read-out stay as they are"),
])  # fmt: skip
def test_a_broken_promise_is_named(change, message):
    net = network([stateless("r", "relay", np.ones(2)), lif("m", 2), lif("n", 2)], [], 2)
    with pytest.raises(NeurodeployError, match=f"'broken': its promise does not hold.*{message}"):
        Broken(change).run(net)


def test_conditions_say_what_breaks_them():
    condition = Condition("nothing is called n", lambda net: [p.name for p in net.populations])
    step = Broken(lambda net: net)
    step.needs = (condition,)
    with pytest.raises(InputError, match="needs a network where nothing is called n, but n;"):
        step.run(network([lif("n", 1)], [], 1))


def test_what_has_the_form_already_comes_back_as_it_is():
    net = network([lif("n", 2)], [Synapse.dense("my name", INPUT, "n", np.eye(2))], 2)
    assert is_deployable_form(net)
    assert compose(net).value is net
