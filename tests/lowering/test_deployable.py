"""Everything that integers cannot hold is named in one error, before anything runs."""

import dataclasses

import nir
import numpy as np
import pytest

from neurodeploy.errors import UnsupportedNodeError
from neurodeploy.graph import Contract, read
from neurodeploy.lowering import compose, lower, obstacles, require_deployable
from neurodeploy.network import (
    INPUT,
    ConstantEncoder,
    Dense,
    Network,
    Population,
    Readout,
    Synapse,
    stateless,
)


def lif(name, size=2, **changes):
    numbers = {
        "decay_v": 0.25, "input_gain": 0.5, "v_leak": 0.0, "v_threshold": 0.5, "v_reset": 0.0,
        "v_init": 0.0, "bias": np.zeros(size), "kind": "lif",
    }  # fmt: skip
    numbers = {k: np.full(size, v) if isinstance(v, float) else v for k, v in numbers.items()}
    return Population(name=name, nir_nodes=(name,), **(numbers | changes))


def li(name):
    return lif(name, kind="li", v_threshold=np.full(2, np.inf))


def network(*populations, synapses=None, low=0.0):
    names = [INPUT, *(p.name for p in populations)]
    if synapses is None:
        pairs = zip(names, names[1:], strict=False)
        synapses = [Synapse(f"{a}->{b}", a, b, (Dense("w", np.eye(2)),)) for a, b in pairs]
    readout = Readout(names[-1], "count" if populations[-1].fires else "last_v")
    return Network(tuple(populations), tuple(synapses), 2, ConstantEncoder(low=low), readout, 4)


SUPPORTED = {
    "plain": lif("n"),
    "subtract": lif("n", reset="subtract"),
    "current": lif("n", decay_u=np.full(2, 0.5), w_in=np.ones(2)),
    "current, subtract": lif("n", decay_u=np.ones(2), w_in=np.ones(2), reset="subtract"),
    "gain": lif("n", gain=np.array([0.5, 2.0])),
    "leak and reset": lif("n", v_leak=np.array([0.2, -1.0]), v_reset=np.array([0.4, -2.0])),
    "memoryless": lif("n", decay_v=np.ones(2)),
    "perfect": lif("n", decay_v=np.zeros(2)),
    "threshold": stateless("n", "threshold", np.zeros(2), v_threshold=np.array([-0.5, 0.5])),
    "reader": li("n"),
    "silent neurons": lif("n", v_threshold=np.full(2, np.inf)),
}
#: What is refused, and what its line says: the fact, and what to do.
REFUSED = {
    "late": (lif("n", reset="subtract-late"), r"reset 'subtract-late'.*'subtract' are supported"),
    "once": (lif("n", reset="subtract-once"), r"reset 'subtract-once'.*'subtract' are supported"),
    "multiple": (lif("n", spikes="multiple", reset="subtract"), "several spikes.*spikes single"),
    "v_min": (lif("n", v_min=-1.0), r"v-min -1\).*v-min none"),
    "v_min of li": (dataclasses.replace(li("n"), v_min=-0.5), r"v-min -0.5\)"),
    "fast": (lif("n", decay_v=np.array([0.5, 1.5])), "decay_v is 1.5 per step.*smaller --dt"),
    "fast current": (
        lif("n", decay_u=np.array([0.5, 2.0]), w_in=np.ones(2)), "decay_u is 2 per step"
    ),
    "negative": (lif("n", decay_v=np.array([0.5, -0.5])), "decay_v is -0.5 per step"),
    "below reset": (
        lif("n", v_reset=np.array([0.0, 0.75])), r"v_threshold \(0.5 in neuron 1\) lies below v_res"
    ),
    "negative subtract": (
        lif("n", reset="subtract", v_threshold=np.array([1.0, -0.5])), "neuron 1.* lies below 0"
    ),
    "gain on a current": (
        lif("n", gain=[2.0], decay_u=np.full(2, 0.5), w_in=np.ones(2)), "synaptic current.*use LIF"
    ),
    "gain and subtract": (lif("n", gain=[2.0], reset="subtract"), "gain with reset 'subtract'"),
    "gain and leak": (lif("n", gain=[2.0], v_leak=np.ones(2)), "drift 0.25 per step.*v_leak = v_r"),
}  # fmt: skip


@pytest.mark.parametrize("name", SUPPORTED)
def test_what_targets_have_is_taken(name):
    net = network(SUPPORTED[name])
    assert not obstacles(net)
    require_deployable(net)
    composed = compose(net).value
    assert not obstacles(composed)


@pytest.mark.parametrize("name", REFUSED)
def test_what_targets_lack_is_named_with_a_remedy(name):
    population, message = REFUSED[name]
    net = network(population)
    for form in (net, compose(net).value):
        with pytest.raises(UnsupportedNodeError, match=rf"1 node cannot.*\n  'n': .*{message}"):
            require_deployable(form)


def test_all_of_it_is_in_one_error():
    bad = [dataclasses.replace(p, name=f"n{k}") for k, (p, _) in enumerate(REFUSED.values())]
    good = [dataclasses.replace(p, name=f"g{k}") for k, p in enumerate(SUPPORTED.values())]
    good = [p for p in good if p.kind != "li"]
    delay = stateless("d", "delay", np.zeros(2), delay_steps=[0, 3])
    populations = [*good, *bad, delay, li("last")]
    synapses = [Synapse(f"s{k}", INPUT, p.name, ()) for k, p in enumerate(populations)]
    value = next(p.name for p in bad if p.kind == "li")
    synapses += [
        Synapse("silent", "g0", "g0", (Dense("w", np.eye(2), np.ones(2)),), 1, True),
        Synapse("biased", "g1", "d", (Dense("w", np.eye(2), np.ones(2)),)),
        Synapse("value", value, "last", ()),
        Synapse("after", "d", "last", ()),
    ]
    net = network(*populations, synapses=synapses, low=-1.0)
    found = obstacles(net)
    assert set(found) == {*(p.name for p in bad), "silent", "d"}
    assert len(found[value]) == 2  # v_min, and its membrane is sent on
    assert len(found["d"]) == 2  # a bias and an offset of the input
    with pytest.raises(UnsupportedNodeError) as raised:
        require_deployable(net)
    with pytest.raises(UnsupportedNodeError, match="recurrent-cut affine"):
        compose(net)
    lines = str(raised.value).split("\n")
    assert lines[0] == f"{len(found)} nodes cannot be quantised:"
    assert len(lines) == len(found) + 1


def test_a_membrane_that_is_sent_on_is_found_through_relays_and_delays():
    ways = [
        stateless("r", "relay", np.zeros(2)),
        stateless("d", "delay", [0, 0], delay_steps=[1, 1]),
    ]
    chain = ["x", "r", "d", "n"]
    synapses = [Synapse("in", INPUT, "x", ())]
    synapses += [Synapse(f"{a}->{b}", a, b, ()) for a, b in zip(chain, chain[1:], strict=False)]
    net = network(li("x"), *ways, lif("n"), synapses=synapses)
    for form in (net, compose(net).value):
        (text,) = obstacles(form)["x"]
        assert text.startswith("sends its membrane to 'n', but only spikes travel")


def test_cycles_of_delays_and_lost_first_steps_are_listed_with_the_rest():
    delay = stateless("d", "delay", np.zeros(2), delay_steps=[1, 1])
    synapses = [
        Synapse("in", INPUT, "n", (), 0, True), Synapse("out", INPUT, "d", ()),
        Synapse("round", "d", "d", ()),
    ]  # fmt: skip
    bad = lif("n", v_min=-1.0)
    net = network(delay, bad, synapses=synapses)
    found = obstacles(net)
    assert set(found) == {"n", "d"}
    assert "'d' form a cycle of delays without a neuron" in found["d"][0]
    net = network(bad, synapses=synapses[:1])
    found = obstacles(net)
    assert set(found) == {"n", "in"}
    assert "nothing in the first step" in found["in"][0]
    with pytest.raises(UnsupportedNodeError, match="synapses in bring nothing in the first step"):
        compose(net)


def test_an_input_whose_range_starts_elsewhere_cannot_be_delayed():
    delay = stateless("d", "delay", [0, 0], delay_steps=[2, 2])
    fine = network(delay, lif("n"))
    net = network(delay, lif("n"), low=-0.5)
    assert not obstacles(fine)
    assert set(obstacles(net)) == {"d"}
    assert set(obstacles(compose(net).value)) == {"input->n"}
    assert "-0.5" in obstacles(net)["d"][0]


def test_graphs_are_refused_before_anything_runs(tmp_path):
    one = {"tau": np.full(2, 0.01), "r": np.ones(2), "v_leak": np.zeros(2)}
    nodes = {
        "input": nir.Input({"input": np.array([2])}),
        "slow": nir.LI(**one),
        "fast": nir.LIF(**{**one, "tau": np.full(2, 7e-4)}, v_threshold=np.ones(2)),
        "last": nir.LIF(**one, v_threshold=np.ones(2)),
        "output": nir.Output({"output": np.array([2])}),
    }
    names = list(nodes)
    path = tmp_path / "net.nir"
    nir.write(path, nir.NIRGraph(nodes, list(zip(names, names[1:], strict=False))))
    graph = read(path, Contract(dt=1e-3, steps=4, reset="subtract-once", v_min=-1.0)).value
    found = obstacles(lower(graph).value)
    assert {name: len(texts) for name, texts in found.items()} == {"slow": 2, "fast": 3, "last": 2}
