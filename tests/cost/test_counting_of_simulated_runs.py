"""Counts of real runs: the simulator's counters and ours against plain loops over its spikes."""

import numpy as np
import pytest
from cost.hand_made import active_by_loops, traces_of
from oracles.random_networks import random_fixed_network

from neurodeploy.cost import count_activity
from neurodeploy.simulate import run_fixed


@pytest.mark.parametrize("timing", ["lava", "aligned"])
@pytest.mark.parametrize("seed", range(4))
def test_counts_of_a_simulated_run_equal_plain_loops(seed, timing):
    generator = np.random.default_rng(seed)
    net = random_fixed_network(generator, layers=2 + seed % 2, steps=6)
    codes = generator.integers(0, net.encoder.max_code + 1, (3, net.n_input))
    codes *= generator.random(codes.shape) < 0.4
    traces = run_fixed(net, codes, timing=timing, record=("spikes",))
    spikes = {p.name: traces.records[f"{p.name}/spikes"] for p in net.populations}
    held = np.broadcast_to(codes, (net.steps, *codes.shape))
    looped = traces_of(net, spikes, held, timing=timing)
    for key, count in looped.counts.items():
        assert traces.counts[key].tolist() == count.tolist(), key
    activity = count_activity(net, traces, codes)
    active = active_by_loops(net, spikes, held, timing=timing)
    for layer in activity.layers:
        assert layer.active_updates.typ.tolist() == active[layer.name].tolist()
        assert (layer.active_updates.typ <= layer.neuron_updates.typ).all()
    assert activity.spikes.typ.sum() == sum(s.sum() for s in spikes.values()) > 0
