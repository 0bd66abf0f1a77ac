"""Runs the passes of ``compose`` one by one and compares what each network does."""

from collections import Counter

import numpy as np
from oracles import literal_graph
from oracles.random_graphs import random_graph, write

from neurodeploy.errors import RangeError, UnsupportedNodeError
from neurodeploy.graph import Contract, read
from neurodeploy.lowering import compose, is_deployable_form, lower, lowering_passes
from neurodeploy.network import ALWAYS_ON
from neurodeploy.simulate import run_float

#: Decisions this close to a threshold, relative to the numbers near it, may fall either way.
TIE = 1e-12
TOO_MANY = "more spikes in a step than records hold"
RECORD = ("spikes", "v", "v_pre")


def stages(network):
    """Yield (name, network) before the first pass and after each; nothing is left out."""
    yield "lower", network
    for step in lowering_passes():
        network = step.run(network).value
        yield step.name, network


def neuron_records(network, x):
    """Return records of the populations that are neurons, and the output."""
    traces = run_float(network, x, record=RECORD)
    names = {p.name for p in network.populations if p.kind not in ("relay", "delay")}
    records = {k: v for k, v in traces.records.items() if k.rsplit("/", 1)[0] in names}
    return records, traces.output


def assert_same(got, wanted, where):
    """Compare records: spikes exactly, membranes to rounding."""
    for key, want in wanted.items():
        if key not in got and key.endswith("spikes"):
            assert not want.any(), (where, key)
            continue
        if key.endswith("spikes"):
            wrong = int((got[key] != want).sum())
            assert wrong == 0, f"{where}: {key}: {wrong} of {want.size} spikes differ"
        else:
            size = 1e-9 * max(1, np.abs(want).max(initial=0))
            assert np.allclose(got[key], want, rtol=1e-9, atol=size), (where, key)


def wanted_by(oracle, literal, graph):
    """Return what the literal interpreter says about the spiking nodes that the reader kept."""
    kinds = (*literal_graph.SPIKING, "Threshold")
    names = [n for n, node in literal.nodes.items() if node["type"] in kinds and n in graph.nodes]
    return {
        f"{n}/spikes": oracle.outputs[n].reshape(*oracle.outputs[n].shape[:2], -1) for n in names
    }


def check_graph(seed, folder, *, exact, seen):
    """Check every pass on one random graph; return what happened to it."""
    rng = np.random.default_rng(seed)
    case = random_graph(rng, exact=exact, size=9)
    path = folder / "graph.nir"
    write(path, case.tree, rng)
    literal = literal_graph.load(path)
    oracle = literal_graph.run(literal, case.x, case.words)
    if oracle.closest <= TIE and not exact:
        return "tie"
    graph = read(path, Contract(**case.options)).value
    network = lower(graph).value
    x = np.ascontiguousarray(case.x.reshape(*case.x.shape[:2], -1))
    truth = wanted_by(oracle, literal, graph)
    last, end = check_stages(network, x, truth, f"seed {seed}")
    if end != "checked":
        return end
    seen.update(type(s.operators[0]).__name__ for s in last.synapses)
    seen.update("delayed" for s in last.synapses if s.delay_steps > 1)
    seen.update(map(str, case.features))
    seen["active"] += sum(np.count_nonzero(v) for v in truth.values())
    seen["steps of neurons"] += sum(v.size for v in truth.values())
    return composed_or_late(network, last, f"seed {seed}")


def check_stages(network, x, truth, where):
    """Compare every stage; return the last network, and "checked" or why there is none."""
    try:
        before, output = neuron_records(network, x)
    except RangeError:
        return network, TOO_MANY
    assert_same(before, truth, f"{where}, oracle")
    last = network
    try:
        for name, stage in stages(network):
            if stage is last:
                continue
            last = stage
            records, read_out = neuron_records(last, x)
            assert_same(records, before, f"{where}, after {name}")
            assert_same(records, truth, f"{where}, after {name}, oracle")
            size = 1e-9 * max(1, np.abs(output).max(initial=0))
            assert np.allclose(read_out, output, rtol=1e-9, atol=size), f"{where}, after {name}"
    except UnsupportedNodeError as error:
        for known in ("cycle of delays", "nothing in the first step", "is read out"):
            if known in str(error):
                return last, known
        raise
    return last, "checked"


def composed_or_late(network, last, where):
    """Compose as users do: all at once, or refused because a bias begins late."""
    late = any(s.source == ALWAYS_ON for s in last.synapses)
    assert late != is_deployable_form(last), where
    try:
        composed = compose(network).value
    except UnsupportedNodeError as error:
        if not late:
            raise
        return "late bias" if "bias" in str(error) else str(error)
    assert not late, where
    assert is_deployable_form(composed), where
    assert compose(composed).value is composed, where
    return "checked"


def campaign(seeds, folder):
    """Check one graph per seed; return how many ended how, and what was in them."""
    ends, seen = Counter(), Counter()
    for seed in seeds:
        ends[check_graph(seed, folder, exact=seed % 2 == 0, seen=seen)] += 1
    return ends, seen
