"""Explanations: a rounding that the test plants is found, by layer, neuron, step and kind."""

from dataclasses import replace

import numpy as np
import pytest

from neurodeploy import hardware_profiles
from neurodeploy.errors import InputError, ShapeError
from neurodeploy.network import (
    INPUT,
    ConstantEncoder,
    Network,
    Population,
    Readout,
    Synapse,
    decide,
)
from neurodeploy.quantization import quantize
from neurodeploy.robustness.explanation import RUNGS, explain
from neurodeploy.robustness.explanation.neuron_sides import fixed_side, float_side
from neurodeploy.simulate import run_fixed, run_float

SIZES = (20, 16, 12, 5)
LOIHI2 = hardware_profiles.load("loihi2")


def neurons(name, size, kind="lif", **options):
    zeros = np.zeros(size)
    given = {
        "decay_v": zeros, "input_gain": zeros + 1, "v_leak": zeros, "v_threshold": zeros + 2,
        "v_reset": zeros, "v_init": zeros, "bias": zeros,
    }  # fmt: skip
    if kind == "li":
        given["v_threshold"] = zeros + np.inf
    return Population(name=name, nir_nodes=(name,), kind=kind, **{**given, **options})


def on_grid(rng, n_out, n_in):
    """Weights that any scale of the quantiser holds exactly: all multiples of 1/16, up to 7."""
    weight = rng.integers(-56, 57, (n_out, n_in)) / 16
    weight[0, 0] = 112 / 16  # fixes the exponent
    return weight


def exact_network(seed, *, gain=None, current=False, recurrent=False, steps=10):
    """Perfect integrators on the integers' grid: quantised, they are the same network."""
    rng = np.random.default_rng(seed)
    names = ("one", "two", "out")
    populations = [
        neurons("one", SIZES[1], bias=rng.integers(-8, 9, SIZES[1]) / 64),
        neurons("two", SIZES[2], gain=gain, bias=rng.integers(-8, 9, SIZES[2]) / 64),
        neurons("out", SIZES[3], "li"),
    ]
    if current:
        populations[0] = replace(
            populations[0], decay_u=np.ones(SIZES[1]), w_in=np.ones(SIZES[1]), bias=np.zeros(16)
        )
    sources = (INPUT, *names)
    synapses = [
        Synapse.dense(f"{a}->{b}", a, b, on_grid(rng, n_out, n_in))
        for a, b, n_in, n_out in zip(sources, names, SIZES, SIZES[1:], strict=False)
    ]
    if recurrent:
        operators = Synapse.dense("loop", "one", "one", on_grid(rng, SIZES[1], SIZES[1])).operators
        synapses.append(Synapse("loop", "one", "one", operators, delay_steps=1))
    return Network(
        tuple(populations), tuple(synapses), SIZES[0], ConstantEncoder(0.0, 1.0, 1),
        Readout("out", "sum"), steps,
    )  # fmt: skip


def with_population(net, name, **changes):
    parts = tuple(replace(p, **changes) if p.name == name else p for p in net.populations)
    return replace(net, populations=parts)


def planted(net, rung, name, neuron, rng):
    """Change one parameter of one neuron by an amount that matters."""
    p = net.population(name)
    fields = {"threshold": "v_threshold", "decay_v": "decay_v", "bias": "bias",
              "decay_u": "decay_u"}  # fmt: skip
    if rung == "weights":
        index = next(i for i, s in enumerate(net.synapses) if s.target == name)
        weight = net.synapses[index].weight.copy()
        column = int(np.abs(weight[neuron]).argmax())
        weight[neuron, column] = -weight[neuron, column]
        synapses = list(net.synapses)
        synapses[index] = replace(synapses[index], weight=weight)
        return replace(net, synapses=tuple(synapses))
    if rung == "gain":
        return with_population(net, name, gain=np.maximum(p.gain // 2, 1))
    values = getattr(p, fields[rung]).copy()
    one = p.scale / (1 if rung == "bias" else 64)  # one membrane unit in that register
    change = {"threshold": round(0.6 * one), "decay_v": 1500, "decay_u": -1800,
              "bias": round(0.3 * one / 2**p.bias_exp)}  # fmt: skip
    values[neuron] += change[rung]
    return with_population(net, name, **{fields[rung]: values})


CASES = [
    ("threshold", "one", {}), ("threshold", "two", {}), ("weights", "one", {}),
    ("weights", "two", {}), ("bias", "one", {}), ("decay_v", "one", {}), ("decay_v", "two", {}),
    ("decay_u", "one", {"current": True}), ("weights", "two", {"gain": np.array([1.0, 0.5, 2.0])}),
    ("threshold", "one", {"recurrent": True}), ("weights", "one", {"recurrent": True}),
]  # fmt: skip


@pytest.mark.parametrize(("rung", "name", "options"), CASES)
def test_a_planted_rounding_is_found(rung, name, options):
    network = exact_network(3, **options)
    exact, _ = quantize(network, LOIHI2)
    rng = np.random.default_rng(5)
    codes = rng.integers(0, 2, (1500, SIZES[0])).astype(np.int32)
    same = run_fixed(exact, codes, record=("spikes",))
    floats = run_float(network, codes, record=("spikes",))
    for key, values in floats.records.items():
        if not key.startswith("out"):
            np.testing.assert_array_equal(same.records[key], values)
    flips = others = 0
    for neuron in range(4):
        net = planted(exact, rung, name, neuron, rng)
        run = run_fixed(net, codes, record=("spikes",))
        turned = np.flatnonzero(decide(run.scores()) != decide(floats.scores()))
        changed = run.records[f"{name}/spikes"]
        differs = (changed != floats.records[f"{name}/spikes"]).any(axis=(0, 2))
        for sample in (*turned[:2], *np.flatnonzero(differs)[:1]):
            found = explain(network, net, codes[sample])
            culprit = found.culprit
            assert (culprit.population, culprit.neuron) == (name, neuron)
            assert culprit.rounding == rung
            ours = changed[:, sample, neuron] != floats.records[f"{name}/spikes"][:, sample, neuron]
            if not options.get("recurrent"):
                assert culprit.step == ours.argmax()
            if found.flipped:
                assert found.kind == "spike"
                if not options.get("recurrent"):
                    assert culprit.alone
                    assert culprit.together == 1
                flips += 1
            others += not found.flipped
    assert flips > 0
    assert others > 0


def test_a_gain_that_is_off_is_found():
    network = exact_network(4, gain=np.array([1.0, 0.5, 2.0]))
    net, _ = quantize(network, LOIHI2)
    worse = planted(net, "gain", "two", 0, None)
    rng = np.random.default_rng(1)
    for codes in rng.integers(0, 2, (30, SIZES[0])).astype(np.int32):
        found = explain(network, worse, codes)
        if found.culprit is not None and found.culprit.population == "two":
            assert found.culprit.rounding == "gain"
            return
    raise AssertionError("no spike changed")


def test_a_read_out_that_is_off_is_found():
    network = exact_network(7)
    net, _ = quantize(network, LOIHI2)
    rng = np.random.default_rng(2)
    index = next(i for i, s in enumerate(net.synapses) if s.target == "out")
    weight = net.synapses[index].weight.copy()
    weight[3] = 0
    synapses = list(net.synapses)
    synapses[index] = replace(synapses[index], weight=weight)
    worse = replace(net, synapses=tuple(synapses))
    codes = rng.integers(0, 2, (60, SIZES[0])).astype(np.int32)
    turned = decide(run_float(network, codes).scores()) != decide(run_fixed(worse, codes).scores())
    assert turned.any()
    for sample in np.flatnonzero(turned):
        found = explain(network, worse, codes[sample])
        assert found.flipped
        assert found.kind == "readout"
        assert found.culprit.population == "out"
        assert found.culprit.neuron == 3
        assert found.culprit.rounding == "weights"


def real_network(seed, **options):
    """Weights, decays and thresholds off the grid, so that everything is rounded."""
    rng = np.random.default_rng(seed)
    network = exact_network(seed, **options)
    populations = []
    for p in network.populations:
        leak = {"decay_v": rng.uniform(0.01, 0.2, p.size)}
        if p.kind == "lif":
            leak |= {"v_threshold": rng.uniform(1.5, 3, p.size),
                     "bias": rng.normal(0, 0.1, p.size)}  # fmt: skip
        populations.append(replace(p, **leak))
    synapses = []
    for s in network.synapses:
        weight = rng.normal(0, 1, s.operators[0].weight.shape)
        dense = Synapse.dense(s.name, s.source, s.target, weight)
        synapses.append(replace(s, operators=dense.operators))
    return replace(network, populations=tuple(populations), synapses=tuple(synapses))


@pytest.mark.parametrize("seed", range(6))
def test_the_ladder_leads_from_one_engine_to_the_other(seed):
    options = [{}, {"gain": np.array([1.1, 0.7])}, {"recurrent": True}][seed % 3]
    network = real_network(seed, **options)
    net, _ = quantize(network, LOIHI2)
    rng = np.random.default_rng(seed)
    looked = 0
    for codes in rng.integers(0, 2, (8, SIZES[0])).astype(np.int32):
        found = explain(network, net, codes)
        culprit = found.culprit
        if culprit is None:
            continue
        looked += 1
        ladder, trace, t = culprit.ladder, culprit.trace, culprit.step
        limit = trace.threshold or 0.0
        # Its ends are what the two engines have, at the step where they part.
        assert ladder.float_curve[t] == pytest.approx(trace.membrane_float[t] - limit, abs=1e-9)
        total = sum(ladder.contributions[rung] for rung in RUNGS)
        np.testing.assert_allclose(total, ladder.fixed_curve - ladder.float_curve, atol=1e-9)
        if culprit.fires_in:
            assert (ladder.float_curve[t] > 0) == (culprit.fires_in == "float")
            assert (ladder.fixed_curve[t] > 0) == (culprit.fires_in == "fixed")
        # A truncation takes off less than a unit of v per step and decays; nothing wrapped.
        scale = net.population(culprit.population).scale
        assert abs(ladder.contributions["floors"][t]) < 70 * (t + 1) / scale
    assert looked > 0


def test_both_sides_of_a_network_on_the_grid_are_one():
    network = exact_network(11, gain=np.array([1.0, 0.5, 2.0]), recurrent=True)
    net, _ = quantize(network, LOIHI2)
    for p in net.populations:
        for neuron in range(p.size):
            a, b = float_side(network, net, p.name, neuron), fixed_side(net, p.name, neuron)
            for x, y in zip(a.lines, b.lines, strict=True):
                dense = np.zeros((2, max(x.index.max(), y.index.max(initial=0)) + 1))
                dense[0, x.index], dense[1, y.index] = x.weight, y.weight
                np.testing.assert_array_equal(dense[0], dense[1])
                assert (x.source, x.delay) == (y.source, y.delay)
            for name in ("into_sum", "into_v", "keep_u", "keep_v", "start", "subtracts"):
                assert getattr(a, name) == getattr(b, name), name
            assert a.distance == b.distance


def test_nothing_to_explain():
    network = exact_network(3)
    net, _ = quantize(network, LOIHI2)
    found = explain(network, net, np.ones(SIZES[0], np.int32), label=2)
    assert not found.flipped
    assert found.kind == "none"
    assert found.culprit is None
    assert found.as_dict()["label"] == 2
    np.testing.assert_allclose(found.scores_fixed, found.scores_float, atol=1e-9)


def test_what_does_not_belong_together_is_refused():
    network = exact_network(3)
    net, _ = quantize(network, LOIHI2)
    with pytest.raises(ShapeError, match=r"one sample is \[20\]"):
        explain(network, net, np.zeros(7, np.int32))
    other = replace(network, populations=tuple(
        replace(p, name=f"x{p.name}") for p in network.populations), synapses=(),
        readout=Readout("xout", "sum"))  # fmt: skip
    with pytest.raises(InputError, match="quantised from it"):
        explain(other, net, np.zeros(SIZES[0], np.int32))


@pytest.mark.parametrize("kind", ["sum", "last_v", "mean_v", "max_v"])
def test_scores_of_both_sides_have_one_unit(kind):
    network = replace(exact_network(3), readout=Readout("out", kind))
    net, _ = quantize(network, LOIHI2)
    codes = np.random.default_rng(9).integers(0, 2, SIZES[0]).astype(np.int32)
    found = explain(network, net, codes)
    np.testing.assert_allclose(found.scores_fixed, found.scores_float, atol=1e-9)
