"""Passes on random networks and on delays by hand; conditions, and broken promises."""

import dataclasses
from collections import Counter

import numpy as np
import pytest
from lowering.hand_made import delay, lif, network
from lowering.pass_checks import TOO_MANY, check_stages, composed_or_late, neuron_records, stages
from oracles.random_float_networks import random_network

from neurodeploy.errors import InputError, NeurodeployError, UnsupportedNodeError
from neurodeploy.findings import Result
from neurodeploy.lowering import compose, is_deployable_form, lowering_passes
from neurodeploy.lowering.conditions import NO_RELAYS
from neurodeploy.lowering.matrices import matrix_of
from neurodeploy.lowering.passes import Condition, Pass
from neurodeploy.network import (
    ALWAYS_ON,
    INPUT,
    Dense,
    Readout,
    Scale,
    Synapse,
    stateless,
)
from neurodeploy.simulate import run_float


def matrices(net):
    """Return {(source, target, delay): matrix} of a composed network."""
    return {
        (s.source, s.target, s.delay_steps): matrix_of(s.operators[0]).toarray()
        for s in net.synapses
    }


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
