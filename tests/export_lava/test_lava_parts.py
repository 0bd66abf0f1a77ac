"""Networks that fall apart: what hangs together, and that Lava runs every part of them."""

from dataclasses import replace

import numpy as np
import pytest
from oracles.random_networks import random_codes, random_fixed_network

from neurodeploy.export.lava import LavaRun, run_lava_batch
from neurodeploy.export.lava.verify import compare
from neurodeploy.export.lava_worker.connected_parts import connected_parts
from neurodeploy.network import ALWAYS_ON, FixedSynapse
from neurodeploy.simulate import run_fixed


def alone(net, name, latency):
    """A copy of the first population that nothing reaches; its bias keeps it busy."""
    return replace(net.populations[0], name=name, latency=latency)


def line_to(population):
    weight = np.full((population.size, 1), 2)
    return FixedSynapse(f"on->{population.name}", ALWAYS_ON, population.name, weight, 0, "mixed")


def apart(net):
    """The network without its inner synapses, and two populations more."""
    first, second = alone(net, "first alone", 1), alone(net, "second alone", 3)
    names = {p.name for p in net.populations}
    return replace(
        net,
        populations=(*net.populations, first, second),
        synapses=(*(s for s in net.synapses if s.source not in names), line_to(second)),
    )


def test_parts_are_what_synapses_input_and_lines_connect():
    net = random_fixed_network(np.random.default_rng(0))
    names = [p.name for p in net.populations]
    assert connected_parts(net) == [names]
    near, far = alone(net, "near", 98), alone(net, "far", 99)
    more = replace(net, populations=(*net.populations, near, far))
    assert connected_parts(more) == [names, ["near"], ["far"]]
    tied = replace(more, synapses=(*net.synapses, line_to(near), line_to(far)))
    # Two latencies are two lines.
    assert connected_parts(tied) == [names, ["near"], ["far"]]
    same = replace(tied, populations=(*net.populations, near, replace(far, latency=98)))
    assert connected_parts(same) == [names, ["near", "far"]]


@pytest.mark.lava
@pytest.mark.usefixtures("runtime")
def test_every_part_equals_the_simulator():
    runs, references = [], []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        net = apart(random_fixed_network(rng))
        assert len(connected_parts(net)) > 1
        codes = random_codes(rng, net, 2)
        timing = ("aligned", "lava")[seed % 2]
        runs.append(LavaRun(net, codes, timing=timing, lava_quirks=True))
        references.append(run_fixed(net, codes, record=("u", "v", "spikes"), timing=timing))
    results = [compare(a, b) for a, b in zip(run_lava_batch(runs), references, strict=True)]
    assert [str(r.first) for r in results if r.mismatches] == []
    assert sum(r.compared for r in results) > 1000
    busy = [r.records["second alone/v"].any() for r in references]
    assert any(busy)
