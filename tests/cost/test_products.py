"""A gain on graded messages is paid for: products, their messages, lines, and a step more."""

import numpy as np
import pytest
from oracles.graded_form import as_graded
from oracles.random_networks import random_codes, random_fixed_network

from neurodeploy import hardware_profiles
from neurodeploy.cost import count_activity, estimate
from neurodeploy.network.graded_gain import bias_lines
from neurodeploy.simulate import run_fixed


def graded_network(seed=0):
    """Return the first network of two dlif layers with a bias that can be graded, and codes."""
    while True:
        rng = np.random.default_rng(seed)
        net = random_fixed_network(rng, kind="dlif", extreme=False, layers=2, steps=7)
        graded = as_graded(net)
        if graded is not None and any(p.bias.any() for p in graded.populations):
            return graded, random_codes(rng, net, 3, held=False)
        seed += 1


@pytest.mark.parametrize("timing", ["lava", "aligned"])
def test_what_a_graded_gain_adds(timing):
    net, codes = graded_network()
    traces = run_fixed(net, codes, timing=timing, record=("spikes",))
    activity = count_activity(net, traces, codes)
    assert [x.name for x in activity.layers] == [
        name for p in net.populations for name in (f"{p.name}.gain", p.name)
    ]
    for p, products, membranes in zip(
        net.populations, activity.layers[::2], activity.layers[1::2], strict=True
    ):
        # Lava's ProdNeuron and LIF: both step in every hardware step.
        assert (products.kind, membranes.kind) == ("product", "lif")
        assert (products.neuron_updates.typ == p.size * (net.steps + net.max_latency)).all()
        assert (membranes.neuron_updates.typ == products.neuron_updates.typ).all()
        # What was counted stays: the population's own synapses, and its spikes.
        own = {s.name for s in net.synapses_into(p.name)}
        counted = {s.name: s.operations.typ for s in products.incoming if s.name in own}
        assert counted.keys() == own
        for name, operations in counted.items():
            assert (operations == traces.counts[f"{name}/operations"]).all()
        assert (membranes.spikes.typ == traces.counts[f"{p.name}/spikes"]).all()
        # A gain in every step of the layer, and one before the membrane's first on a chip.
        steps = net.steps
        if timing == "lava":
            steps += net.max_latency - p.latency + 1
        (gain,) = [s for s in products.incoming if s.name.startswith("gain->")]
        assert (gain.events.typ == steps).all()
        assert (gain.operations.typ == steps * p.size).all()
        weights, payloads = bias_lines(p.bias)
        lines = [s for s in products.incoming if s.name.startswith("bias->")]
        assert len(lines) == bool(payloads.size)
        for line in lines:
            assert (line.operations.typ % (weights != 0).sum() == 0).all()
        # At most every product sends in every step; a message costs one operation.
        (bridge,) = membranes.incoming
        assert (bridge.events.high == steps * p.size).all()
        assert (bridge.operations.high == bridge.events.high).all()
        assert (bridge.events.low == 0).all()


def test_it_is_priced_and_said():
    net, codes = graded_network()
    traces = run_fixed(net, codes, timing="lava", record=("spikes",))
    cost = estimate(count_activity(net, traces, codes), hardware_profiles.load("loihi2"))
    assert any("Products with a gain" in note for note in cost.notes)
    assert not any("DLIF neurons" in note for note in cost.notes)
    assert set(cost.mapping.cores) == {x.name for x in cost.activity.layers}
