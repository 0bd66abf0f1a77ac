"""Counts from traces: drain included, exact where recorded, bounded where not."""

import numpy as np
import pytest
from cost.hand_made import active_by_loops, fixed_network, float_twin, traces_of

from neurodeploy.cost import count_activity
from neurodeploy.errors import InputError, ShapeError
from neurodeploy.network import ConstantEncoder, Traces

W1 = np.array([[2, 0, 4], [6, 8, 0]])
W2 = np.array([[2, 4], [0, 6], [8, 2]])
STEPS = 3


def hand_run(timing="lava"):
    """Three inputs, two neurons, three outputs; three steps, and two more of drain."""
    net = fixed_network([W1, W2], STEPS)
    counts = {
        # Sample 0 sends 5 codes in all, sample 1 none.
        "layer1/spikes": np.array([4, 0]),
        "layer2/spikes": np.array([0, 0]),
        "input-layer1/operations": np.array([7, 0]),
        "layer1-layer2/operations": np.array([10, 0]),
    }
    rows = STEPS + 2 if timing == "lava" else STEPS
    meta = {"timing": timing, "steps": STEPS}
    return net, Traces(np.zeros((rows, 2, 3)), {}, counts, meta)


@pytest.mark.parametrize("timing", ["lava", "aligned"])
def test_neuron_updates_include_the_drain(timing):
    net, traces = hand_run(timing)
    a = count_activity(net, traces)
    assert (a.steps, a.hardware_steps) == (3, 5)
    assert a.neuron_updates.typ.tolist() == [(2 + 3) * 5] * 2
    assert [x.neuron_updates.typ[0] for x in a.layers] == [10, 15]


def test_totals_are_sums_of_layers():
    net, traces = hand_run()
    a = count_activity(net, traces)
    assert a.synaptic_operations.typ.tolist() == [17, 0]
    assert a.spikes.typ.tolist() == [4, 0]
    assert [x.operations.typ.tolist() for x in a.layers] == [[7, 0], [10, 0]]
    # layer1's four spikes go to one layer; the read-out has no target.
    assert a.messages().typ.tolist() == [4, 0]
    assert a.messages({"layer1": 1, "layer2": 3}).typ.tolist() == [12, 0]
    # Four spikes times three targets, zero weights counted.
    assert a.layers[1].operations_with_zeros.typ.tolist() == [12, 0]


def test_summary_counts_are_means_over_samples_with_percentiles():
    net, traces = hand_run()
    totals = count_activity(net, traces).as_dict()["totals"]
    assert totals["synaptic_operations"]["mean"] == 8.5
    assert totals["synaptic_operations"]["p5"] == pytest.approx(0.05 * 17)
    assert totals["synaptic_operations"]["p95"] == pytest.approx(0.95 * 17)
    assert totals["neuron_updates"]["mean"] == 25.0


def test_input_events_are_bounded_by_fan_out_without_codes():
    net, traces = hand_run()
    events = count_activity(net, traces).input_events
    # Lines have two, one and one weights: 7 operations are 4 events at least, 7 at most.
    assert (events.low[0], events.high[0]) == (4, 7)
    assert (events.low[1], events.high[1]) == (0, 0)
    assert not events.exact


def test_input_events_are_exact_with_codes():
    net, traces = hand_run()
    codes = np.zeros((STEPS, 2, 3), int)
    codes[:, 0] = [[9, 0, 1], [255, 1, 0], [3, 0, 0]]
    a = count_activity(net, traces, codes)
    assert a.input_events.exact
    assert a.input_events.typ.tolist() == [5, 0]
    assert a.layers[0].operations_with_zeros.typ.tolist() == [10, 0]


def random_run(seed, timing, always_on, density):
    generator = np.random.default_rng(seed)
    sizes = generator.integers(1, 7, 4)
    weights = []
    for n_out, n_in in zip(sizes[1:], sizes[:-1], strict=True):
        w = 2 * generator.integers(-128, 128, (n_out, n_in))
        weights.append(w * (generator.random(w.shape) < 0.6))
    column = 2 * generator.integers(-1, 2, (sizes[1], 1)) if always_on else None
    kinds = ("lif", "dlif", "readout")
    net = fixed_network(weights, STEPS, kinds=kinds, always_on=column)
    rows = STEPS + (3 if timing == "lava" else 0)
    spikes = {
        p.name: (generator.random((rows, 4, p.size)) < density) & (p.kind != "readout")
        for p in net.populations
    }
    codes = generator.integers(0, 4, (STEPS, 4, net.n_input)) * (generator.random() < 0.9)
    return net, spikes, codes


@pytest.mark.parametrize("always_on", [False, True])
@pytest.mark.parametrize("timing", ["lava", "aligned"])
@pytest.mark.parametrize("density", [0.0, 0.05, 0.5, 1.0])
def test_active_updates_equal_plain_loops_and_stay_inside_their_bounds(timing, density, always_on):
    for seed in range(6):
        net, spikes, codes = random_run(seed, timing, always_on, density)
        traces = traces_of(net, spikes, codes, timing=timing, record=True)
        expected = active_by_loops(net, spikes, codes, timing=timing)
        exact = count_activity(net, traces, codes)
        bounded = count_activity(net, Traces(traces.output, {}, traces.counts, traces.meta))
        assert exact.active_updates.exact
        n_events = np.count_nonzero(codes, axis=(0, 2))
        assert exact.input_events.typ.tolist() == n_events.tolist()
        assert (bounded.input_events.low <= n_events).all()
        assert (n_events <= bounded.input_events.high).all()
        for ours, theirs in zip(exact.layers, bounded.layers, strict=True):
            assert ours.active_updates.typ.tolist() == expected[ours.name].tolist()
            assert (theirs.active_updates.low <= ours.active_updates.typ).all()
            assert (ours.active_updates.typ <= theirs.active_updates.high).all()
            assert (theirs.operations_with_zeros.low <= ours.operations_with_zeros.typ).all()
            assert (ours.operations_with_zeros.typ <= theirs.operations_with_zeros.high).all()


def test_the_always_on_line_is_counted_exactly_from_its_operations():
    net, spikes, codes = random_run(3, "lava", True, 0.3)
    traces = traces_of(net, spikes, codes, timing="lava")
    synapse = next(s for s in count_activity(net, traces).synapses if s.source == "always_on")
    wired = int(np.count_nonzero(next(s for s in net.synapses if s.source == "always_on").weight))
    assert wired > 0
    assert synapse.events.exact
    assert synapse.events.typ.tolist() == [STEPS + 3] * 4


def test_a_float_run_is_charged_the_same_hardware_steps():
    net, spikes, codes = random_run(1, "aligned", False, 0.4)
    twin = float_twin(net)
    fixed = count_activity(net, traces_of(net, spikes, codes, timing="aligned"), codes)
    floating = count_activity(twin, traces_of(twin, spikes, codes, timing="aligned"), codes)
    assert floating.arithmetic == "float"
    assert floating.hardware_steps == fixed.hardware_steps == STEPS + 3
    assert floating.neuron_updates.typ.tolist() == fixed.neuron_updates.typ.tolist()
    assert floating.synaptic_operations.typ.tolist() == fixed.synaptic_operations.typ.tolist()
    assert [x.kind for x in floating.layers] == ["lif", "dlif", "readout"]


def test_a_float_run_counts_code_zero_where_it_stands_for_a_value():
    net, spikes, _ = random_run(1, "aligned", False, 0.0)
    twin = float_twin(net, ConstantEncoder(low=-1.0, high=1.0))
    codes = np.zeros((STEPS, 4, net.n_input), int)
    sent = np.ones_like(codes)
    a = count_activity(twin, traces_of(twin, spikes, sent, timing="aligned"), codes)
    assert a.input_events.typ.tolist() == [STEPS * net.n_input] * 4


def test_held_codes_equal_the_same_codes_step_by_step():
    net, spikes, codes = random_run(2, "lava", False, 0.4)
    held = np.broadcast_to(codes[0], codes.shape)
    traces = traces_of(net, spikes, held, timing="lava", record=True)
    assert (
        count_activity(net, traces, codes[0]).as_dict()
        == count_activity(net, traces, held).as_dict()
    )


def test_a_missing_count_is_named():
    net, traces = hand_run()
    counts = {k: v for k, v in traces.counts.items() if k != "layer1-layer2/operations"}
    with pytest.raises(InputError, match=r"'layer1-layer2/operations' is missing"):
        count_activity(net, Traces(traces.output, {}, counts, traces.meta))


def test_traces_of_another_length_are_refused():
    net, traces = hand_run()
    meta = {**traces.meta, "steps": 4}
    with pytest.raises(ShapeError, match=r"output has 5 steps; .*needs 6"):
        count_activity(net, Traces(traces.output, {}, traces.counts, meta))


def test_traces_without_timing_are_refused():
    net, traces = hand_run()
    with pytest.raises(InputError, match="meta lacks timing"):
        count_activity(net, Traces(traces.output, {}, traces.counts, {"steps": 3}))


def test_counts_that_the_input_cannot_have_caused_are_refused():
    net, traces = hand_run()
    with pytest.raises(InputError, match=r"input-layer1 has more operations"):
        count_activity(net, traces, np.zeros((2, 3), int))
    with pytest.raises(ShapeError, match=r"codes: shape \(5, 3\)"):
        count_activity(net, traces, np.zeros((5, 3), int))


def test_as_dict_is_json():
    import json

    net, traces = hand_run()
    document = json.loads(json.dumps(count_activity(net, traces).as_dict(), allow_nan=False))
    assert [x["name"] for x in document["layers"]] == ["layer1", "layer2"]
    assert document["samples"] == 2
