"""Explained read-outs: one planted rounding, felt at steps that the input decides, per kind."""

from dataclasses import replace

import numpy as np
import pytest

from neurodeploy import hardware_profiles
from neurodeploy.errors import InputError
from neurodeploy.network import (
    INPUT,
    ConstantEncoder,
    Convolution,
    Network,
    Population,
    Readout,
    Synapse,
    decide,
)
from neurodeploy.pipeline.explaining import attacked
from neurodeploy.pipeline.model import Model
from neurodeploy.quantization import QuantizeConfig, quantize
from neurodeploy.report.explanation_page import sentence
from neurodeploy.robustness.explanation import RUNGS, explain
from neurodeploy.simulate import run_fixed, run_float

LOIHI2 = hardware_profiles.load("loihi2")
STEPS, WINDOW = 12, (3, 9)
#: What the planted line adds, for the wrong class; on the grid of any scale of the quantiser.
PLANTED = 1.5


def population(name, size, kind="li", *, keep=1.0, threshold=np.inf, origin=0.0, reset="value"):
    zeros = np.zeros(size)
    return Population(
        name=name, nir_nodes=(name,), kind=kind, decay_v=zeros + 1 - keep, input_gain=zeros + 1,
        v_leak=zeros + origin, v_threshold=zeros + threshold, v_reset=zeros + origin,
        v_init=zeros + origin, bias=zeros, reset=reset,
    )  # fmt: skip


def pair(out, kind, window, weight, *, neuron=1, line=2, planted=PLANTED, encoder=None):
    """A float network, and its integers with one weight of one class changed."""
    weight = np.asarray(weight, np.float64)
    network = Network(
        (out,), (Synapse.dense("in", INPUT, out.name, weight),), weight.shape[1],
        encoder or ConstantEncoder(0.0, 1.0, 1), Readout(out.name, kind, window), STEPS,
    )  # fmt: skip
    net, _ = quantize(network, LOIHI2)
    synapse = net.synapses[0]
    unit = float(weight[0, 0]) / int(synapse.weight[0, 0])
    changed = synapse.weight.copy()
    changed[neuron, line] = round(planted / unit)
    return network, replace(net, synapses=(replace(synapse, weight=changed),))


def spikes_at(**lines):
    """Codes [T, 3]: ``a``, ``b`` and ``planted`` are lists of steps."""
    codes = np.zeros((STEPS, 3), np.int32)
    for column, name in enumerate(("a", "b", "planted")):
        codes[lines.get(name, []), column] = 1
    return codes


#: Float: class 0 gets 2 per spike of a, class 1 gets 1 per spike of b.
WEIGHT = ((2, 0, 0), (0, 1, 0), (0, 0, 0))


def named(found, step, step_float=None):
    culprit = found.culprit
    assert (found.kind, found.decision_float, found.decision_fixed) == ("readout", 0, 1)
    assert (culprit.population, culprit.neuron, culprit.rounding) == ("out", 1, "weights")
    assert (culprit.step, culprit.shift.step_float) == (step, step if step_float is None
                                                        else step_float)  # fmt: skip
    assert culprit.alone
    assert culprit.shift.before == pytest.approx(found.scores_float[1])
    assert culprit.shift.after == pytest.approx(found.scores_fixed[1])
    assert sum(culprit.shift.contributions.values()) == pytest.approx(
        culprit.shift.after - culprit.shift.before
    )
    return culprit.shift.contributions["weights"]


@pytest.mark.parametrize("origin", [0.0, 0.5])
@pytest.mark.parametrize("window", [None, WINDOW])
def test_a_highest_membrane_is_taken_at_each_sides_own_step(window, origin):
    out = population("out", 3, keep=0.0, origin=origin)
    network, net = pair(out, "max_v", window, WEIGHT, planted=3)
    codes = spikes_at(a=[4], b=[5, 7], planted=[7, 11] if window else [7])
    if window:
        codes[[0, 11], 1] = 1  # higher outside the window, in the integers
    found = explain(network, net, codes)
    # Float: class 1 is at its highest, 1, first at step 5. Integers: at step 7, 1 + 3.
    assert named(found, 7, 5) == pytest.approx(3)
    words = sentence({**found.as_dict(), "label": None})
    assert "at step 6 in float and 8 in integers" in words
    assert ("in steps 4 to 9" in words) == (window is not None)


def test_a_highest_membrane_before_the_window_is_not_read():
    network, net = pair(population("out", 3, keep=0.0), "max_v", WINDOW, WEIGHT, planted=3)
    found = explain(network, net, spikes_at(a=[4], b=[5], planted=[0, 2, 9, 11]))
    assert not found.flipped
    assert found.culprit is None


@pytest.mark.parametrize("keep", [0.0, 0.5])
def test_a_mean_names_the_step_of_its_window_that_moved_it_most(keep):
    network, net = pair(population("out", 3, keep=keep), "mean_v", WINDOW, WEIGHT, planted=8)
    steps = WINDOW[1] - WINDOW[0]
    found = explain(network, net, spikes_at(a=[4], b=[5], planted=[7, 11]))
    terms = [8.0, 8.0 * keep]  # steps 7 and 8; what follows is not read
    assert named(found, 7) == pytest.approx(sum(terms) / steps)
    # Without memory, what is outside the window counts for nothing.
    before = explain(network, net, spikes_at(a=[4], b=[5], planted=[1, 9, 10, 11]))
    assert not before.flipped or keep > 0


@pytest.mark.parametrize("window", [None, WINDOW])
def test_a_sum_names_the_step_at_which_it_was_added(window):
    network, net = pair(population("out", 3), "sum", window, WEIGHT, planted=3)
    outside = [] if window is None else [0, 1, 2, 9, 10]
    found = explain(network, net, spikes_at(a=[4], b=[5], planted=[6, *outside]))
    assert named(found, 6) == pytest.approx(3)
    assert not explain(network, net, spikes_at(a=[4], b=[5], planted=outside)).flipped


@pytest.mark.parametrize("window", [None, WINDOW])
def test_a_last_membrane_is_read_at_the_last_step_of_the_window(window):
    network, net = pair(population("out", 3, keep=0.0), "last_v", window, WEIGHT, planted=3)
    last = STEPS - 1 if window is None else WINDOW[1] - 1
    found = explain(network, net, spikes_at(a=[last], b=[last], planted=[2, 5, last]))
    assert named(found, last) == pytest.approx(3)
    quiet = [t for t in range(STEPS) if t != last]
    assert not explain(network, net, spikes_at(a=[last], b=[last], planted=quiet)).flipped


@pytest.mark.parametrize("window", [None, WINDOW])
def test_counted_spikes_name_neuron_and_step(window):
    out = population("out", 3, "lif", keep=0.0, threshold=0.75)
    network, net = pair(out, "count", window, WEIGHT, planted=3)
    outside = [] if window is None else [9, 10]
    found = explain(network, net, spikes_at(a=[4, 5], b=[5], planted=[6, 8, *outside]))
    assert (found.kind, found.decision_float, found.decision_fixed) == ("spike", 0, 1)
    culprit = found.culprit
    assert (culprit.neuron, culprit.step, culprit.fires_in) == (1, 6, "fixed")
    assert (culprit.rounding, culprit.alone, culprit.together) == ("weights", True, 1)
    np.testing.assert_array_equal(found.scores_fixed, [2, 3, 0])
    if window:
        late = explain(network, net, spikes_at(a=[4, 5], b=[5], planted=[0, 1, 9, 10]))
        assert not late.flipped


@pytest.mark.parametrize("kind", ["sum", "last_v", "max_v", "mean_v"])
@pytest.mark.parametrize("reset", ["value", "subtract"])
def test_a_read_out_that_fires_is_explained_by_its_spike(kind, reset):
    # Class 0 would fire once at step 2 and start anew; with a higher threshold it does not.
    out = population("out", 3, "lif", threshold=3.5, reset=reset)
    network, net = pair(out, kind, None, ((2, 0, 0), (0, 1, 0), (0.125, 0, 0)), planted=0)
    p = net.population("out")
    higher = p.v_threshold.copy()
    higher[0] *= 2
    # Class 2 parts earlier, and takes no part in the decision.
    higher[2] //= 100
    net = replace(net, populations=(replace(p, v_threshold=higher),))
    found = explain(network, net, spikes_at(a=[1, 2], b=[1, 2, 5]))
    assert (found.decision_float, found.decision_fixed) == (1, 0)
    culprit = found.culprit
    assert (culprit.neuron, culprit.step, culprit.fires_in) == (0, 2, "float")
    assert (culprit.rounding, found.kind, culprit.alone) == ("threshold", "spike", True)
    assert culprit.shift.before == pytest.approx(0.5)


def test_two_classes_that_moved_together_are_said_to_be_two():
    # 0 leads 1 and 2 by 0.5; both rise by 3, so one alone does not bring class 0 back.
    network, net = pair(
        population("out", 3), "sum", None, ((2, 0, 0), (0, 1, 0), (0, 1, 0)), planted=3
    )
    synapse = net.synapses[0]
    weight = synapse.weight.copy()
    weight[2, 2] = weight[1, 2] + weight[0, 0] // 8
    net = replace(net, synapses=(replace(synapse, weight=weight),))
    found = explain(network, net, spikes_at(a=[0], b=[1], planted=[2]))
    assert (found.decision_float, found.decision_fixed, found.culprit.neuron) == (0, 2, 2)
    assert (found.culprit.alone, found.culprit.together) == (False, 2)
    assert "2 classes are set right" in sentence({**found.as_dict(), "label": None})


@pytest.mark.parametrize("tied", ["float", "fixed"])
def test_ties_are_decisions_of_their_own(tied):
    network, net = pair(population("out", 3), "sum", None, WEIGHT, planted=1)
    b = [1, 2] if tied == "float" else [1]
    found = explain(network, net, spikes_at(a=[0], b=b, planted=[5]))
    expected = {"float": (-1, 1), "fixed": (0, -1)}[tied]
    assert (found.decision_float, found.decision_fixed) == expected
    assert (found.kind, found.culprit.neuron, found.culprit.step) == ("readout", 1, 5)
    assert found.culprit.alone
    assert "nothing (a tie)" in sentence({**found.as_dict(), "label": 0})


@pytest.mark.parametrize("kind", ["sum", "last_v", "mean_v", "max_v"])
def test_attacked_samples_are_explained_where_the_attack_leads(kind):
    weight = ((1, 0), (0, 1))
    network, net = pair(
        population("out", 2), kind, WINDOW, weight, line=1, planted=1.25,
        encoder=ConstantEncoder(0.0, 1.0, 8),
    )  # fmt: skip
    clean = np.array([200, 110], np.int32)
    assert not explain(network, net, clean).flipped
    point = attacked(Model("m", network, net), clean, 0, "pgd20", 40, 0)
    assert np.abs(point - clean).max() <= 40
    found = explain(network, net, point)
    # Neither a held input nor an integrator has a special step: the first for a sum, else the last.
    assert named(found, WINDOW[0] if kind == "sum" else WINDOW[1] - 1) > 0


def random_parts(rng, *, conv, delay):
    """An input of 2 x 4 x 4, two populations and a read-out; all off the grid."""
    sizes = (32, 12, 10, 4)
    names = ("one", "two", "out")
    pops, synapses = [], []
    for k, name in enumerate(names):
        kind = "li" if name == "out" else "lif"
        p = population(name, sizes[k + 1], kind, threshold=np.inf if kind == "li" else 1.0)
        pops.append(replace(p, decay_v=rng.uniform(0.02, 0.3, p.size)))
        source = INPUT if k == 0 else names[k - 1]
        s = Synapse.dense(f"s{k}", source, name, rng.normal(0, 0.5, (sizes[k + 1], sizes[k])))
        if k == 0 and conv:
            kernel = Convolution("c", rng.normal(0, 0.5, (3, 2, 3, 3)), None, (1, 1),
                                 ((0, 0), (0, 0)), (1, 1), 1, (2, 4, 4), (3, 2, 2))  # fmt: skip
            s = replace(s, operators=(kernel,))
        synapses.append(replace(s, delay_steps=delay if k == 1 else 0))
    return tuple(pops), tuple(synapses)


@pytest.mark.parametrize("kind", ["sum", "last_v", "mean_v", "max_v", "count"])
@pytest.mark.parametrize(("conv", "delay", "bits"), [(True, 0, 1), (False, 2, 1), (True, 1, 8)])
def test_the_ends_of_every_shift_are_what_the_engines_have(kind, conv, delay, bits):
    rng = np.random.default_rng([bits, delay])
    pops, synapses = random_parts(rng, conv=conv, delay=delay)
    if kind == "count":
        p = replace(pops[2], kind="lif", v_threshold=np.ones(4))
        pops = (*pops[:2], p)
    network = Network(pops, synapses, 32, ConstantEncoder(0.0, 1.0, bits),
                      Readout("out", kind, WINDOW), STEPS)  # fmt: skip
    net, _ = quantize(network, LOIHI2, QuantizeConfig(weight_bits=4))
    codes = rng.integers(0, 2**bits, (60, 32)).astype(np.int32)
    sequence = rng.integers(0, 2**bits, (STEPS, 60, 32)).astype(np.int32)
    looked = 0
    for x in (codes, sequence):
        runs = run_float(network, x), run_fixed(net, x)
        turned = np.flatnonzero(decide(runs[0].scores()) != decide(runs[1].scores()))
        for sample in turned[:3]:
            found = explain(network, net, x[..., sample, :])
            np.testing.assert_allclose(found.scores_float, runs[0].scores()[sample])
            c = found.culprit
            looked += 1
            parts = sum(c.shift.contributions[rung] for rung in RUNGS)
            assert parts == pytest.approx(c.shift.after - c.shift.before, abs=1e-9)
            if found.kind == "readout":
                assert c.shift.before == pytest.approx(found.scores_float[c.neuron], abs=1e-9)
                assert WINDOW[0] <= c.step < WINDOW[1]
                continue
            limit, t = c.trace.threshold, c.step
            assert c.shift.before == pytest.approx(c.trace.membrane_float[t] - limit, abs=1e-9)
            assert (c.shift.before > 0) == (c.fires_in == "float")
            assert (c.shift.after > 0) == (c.fires_in == "fixed")
    assert looked > 0


def test_another_read_out_or_length_is_refused():
    network, net = pair(population("out", 3), "sum", None, WEIGHT)
    codes = spikes_at(a=[0])
    with pytest.raises(InputError, match="read-out"):
        explain(replace(network, readout=Readout("out", "sum", WINDOW)), net, codes)
    with pytest.raises(InputError, match="steps"):
        explain(replace(network, steps=STEPS + 1), net, codes)
