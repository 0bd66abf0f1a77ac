"""Counts of sparse, convolutional, delayed and recurrent networks against loops over connections."""

import dataclasses

import numpy as np
import pytest
from oracles.literal_fixed import run_aligned, run_hardware
from oracles.random_topologies import random_case
from quantization.deployable import random_deployable

from neurodeploy.cost import count_activity
from neurodeploy.cost.wiring import fan_in, fan_out, pattern_of
from neurodeploy.errors import ShapeError
from neurodeploy.network import ALWAYS_ON, INPUT, Synapse, Traces
from neurodeploy.simulate import run_fixed, run_float

ORACLES = {"aligned": run_aligned, "lava": run_hardware}


def traces_of(net, codes, timing):
    """Return what the literal oracle counts and records of a run."""
    run = ORACLES[timing](net, codes)
    steps = net.steps if codes.ndim == 2 else len(codes)
    spikes = {k: v.astype(np.uint8) for k, v in run.records.items() if k.endswith("/spikes")}
    output = spikes[f"{net.readout.population}/spikes"]
    return Traces(output, spikes, run.counts, {"timing": timing, "steps": steps})


def active_by_loops(net, traces, codes, timing):
    """Return active updates [B] per population, connection by connection and step by step."""
    rows, batch = traces.output.shape[:2]
    counts = {}
    for p in net.populations:
        reached = np.zeros((rows, batch, p.size), bool)
        for s in net.synapses_into(p.name):
            for target, source, _, delay in zip(*s.connections(), strict=True):
                if s.source == ALWAYS_ON:
                    reached[p.latency if timing == "lava" else 0 :, :, target] = True
                    continue
                late = 0 if s.source == INPUT else net.population(s.source).latency
                shift = delay + 1 + (0 if timing == "lava" else late - p.latency)
                sent = codes if s.source == INPUT else traces.records[f"{s.source}/spikes"]
                for t in range(min(len(sent), rows - shift)):
                    reached[t + shift, :, target] |= sent[t, :, source] != 0
        counts[p.name] = reached.sum(axis=(0, 2))
    return counts


@pytest.mark.parametrize("timing", ["aligned", "lava"])
@pytest.mark.parametrize("seed", range(12))
def test_counts_of_any_network_equal_loops_over_its_connections(seed, timing):
    rng = np.random.default_rng(seed)
    net, codes = random_case(rng, layers=1 + seed % 4, steps=7)
    held = np.broadcast_to(codes, (7, *codes.shape)) if codes.ndim == 2 else codes
    net = dataclasses.replace(net, steps=7)
    traces = traces_of(net, held, timing)
    exact = count_activity(net, traces, held)
    bounded = count_activity(net, Traces(traces.output, {}, traces.counts, traces.meta))
    expected = active_by_loops(net, traces, held, timing)
    for ours, theirs in zip(exact.layers, bounded.layers, strict=True):
        wanted = expected[ours.name]
        assert ours.active_updates.exact
        assert ours.active_updates.typ.tolist() == wanted.tolist()
        assert (theirs.active_updates.low <= wanted).all()
        assert (wanted <= theirs.active_updates.high).all()
        for synapse in ours.incoming:
            assert (synapse.operations.high <= synapse.operations_with_zeros.high).all()
    kinds = {s.name: s.kind for s in net.synapses}
    assert {s.name: s.synapse_format for s in exact.synapses} == kinds
    # Without codes the input's events are bounded.
    sent = np.count_nonzero(held, axis=(0, 2))
    assert (bounded.input_events.low <= sent).all()
    assert (sent <= bounded.input_events.high).all()


@pytest.mark.parametrize("kind", ["conv", "sparse"])
@pytest.mark.parametrize("seed", range(4))
def test_a_network_written_out_densely_costs_the_same_operations(kind, seed):
    rng = np.random.default_rng(seed)
    net, codes = random_case(rng, pair=("lif", kind), steps=6, extreme=False)
    net = dataclasses.replace(net, steps=6)
    written = dataclasses.replace(net, synapses=tuple(map(densely, net.synapses)))
    counted = []
    for network in (net, written):
        traces = run_fixed(network, codes, record=("spikes",), threads=1)
        counted.append(count_activity(network, traces, codes))
    ours, dense = counted
    assert kind in {s.synapse_format for s in ours.synapses}
    assert {s.synapse_format for s in dense.synapses} == {"dense"}
    assert ours.spikes.typ.tolist() == dense.spikes.typ.tolist()
    for a, b in zip(ours.synapses, dense.synapses, strict=True):
        assert a.operations.typ.tolist() == b.operations.typ.tolist()
        assert a.events.typ.tolist() == b.events.typ.tolist()
        # A dense matrix holds at least as many zeros.
        assert (a.operations_with_zeros.high <= b.operations_with_zeros.high).all()
    for a, b in zip(ours.layers, dense.layers, strict=True):
        assert a.active_updates.typ.tolist() == b.active_updates.typ.tolist()


def densely(synapse):
    """Return the same connections as one matrix, as far as the sum stays in 24 bits."""
    ends = synapse.connections()
    shape = (synapse.size_out, synapse.size_in)
    weight, delay = np.zeros(shape, np.int64), np.full(shape, synapse.delays[0])
    weight[ends.target, ends.source] = ends.weight
    delay[ends.target, ends.source] = ends.delay
    return dataclasses.replace(synapse, weight=weight, delay=delay, layout=None)


@pytest.mark.parametrize("seed", range(8))
def test_fans_equal_those_of_the_connections(seed):
    rng = np.random.default_rng(seed)
    net, _ = random_case(rng, pair=("lif", "conv"))
    for s in net.synapses:
        pattern = pattern_of(s)
        assert fan_out(pattern).tolist() == s.fan_out.tolist()
        assert fan_in(pattern).tolist() == s.fan_in.tolist()


@pytest.mark.parametrize("seed", range(6))
def test_float_networks_count_as_their_connections_say(seed):
    rng = np.random.default_rng(seed)
    net = random_deployable(rng, exact=True)
    codes = rng.integers(0, 4, (net.steps, 2, net.n_input))
    traces = run_float(net, codes, record=("spikes",))
    activity = count_activity(net, traces, codes)
    matrices = {s.name: (s.operators[0], pattern_of(s)) for s in net.synapses}
    for layer in activity.layers:
        reached = np.zeros((net.steps, 2, layer.size), bool)
        for s in net.synapses_into(layer.name):
            ends = matrices[s.name][1].connections()
            matrix = np.zeros((layer.size, matrices[s.name][1].size_in))
            matrix[ends.target, ends.source] = 1
            sent = codes if s.source == INPUT else traces.records[f"{s.source}/spikes"]
            late = np.concatenate((np.zeros((s.delay_steps, *sent.shape[1:])), sent))
            reached |= ((late[: net.steps] != 0) @ matrix.T) > 0
        assert layer.active_updates.typ.tolist() == reached.sum(axis=(0, 2)).tolist()


def test_a_chain_of_operators_is_refused():
    net = random_deployable(np.random.default_rng(0))
    first = net.synapses[0]
    chain = Synapse(first.name, first.source, first.target, ())
    with pytest.raises(ShapeError, match="identity.*compose"):
        pattern_of(chain)
