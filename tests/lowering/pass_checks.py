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


def check_graph(seed, folder, *, exact, seen=None):
    """Check every pass on one random graph; return what happened to it."""
    rng = np.random.default_rng(seed)
    case = random_graph(rng, exact=exact, size=9)
    path = folder / "graph.nir"
    write(path, case.tree, rng)
    literal = literal_graph.load(path)
    oracle = literal_graph.run(literal, case.x, case.words)
    graph = read(path, Contract(**case.options)).value
    network = lower(graph).value
    x = np.ascontiguousarray(case.x.reshape(*case.x.shape[:2], -1))
    if oracle.closest <= TIE and not exact:
        return "tie"
    try:
        before, output = neuron_records(network, x)
    except RangeError:
        return "too many spikes"
    truth = wanted_by(oracle, literal, graph)
    try:
        for name, stage in stages(network):
            records, read_out = neuron_records(stage, x)
            where = f"seed {seed}, after {name}"
            assert_same(records, before, where)
            assert_same(records, truth, where)
            assert np.allclose(
                read_out, output, rtol=1e-9, atol=1e-9 * max(1, np.abs(output).max(initial=0))
            )
            last = stage
    except UnsupportedNodeError as error:
        assert "cycle of delays" in str(error), seed
        return "cycle of delays"
    late = any(s.source == ALWAYS_ON for s in last.synapses)
    assert late != is_deployable_form(last), seed
    if seen is not None:
        seen.update(type(s.operators[0]).__name__ for s in last.synapses)
        seen.update("delayed" for s in last.synapses if s.delay_steps > 1)
        seen.update(map(str, case.features))
        seen["spikes"] += sum(int(v.sum()) for v in truth.values())
        seen["steps of neurons"] += sum(v.size for v in truth.values())
    try:
        compose(network)
    except UnsupportedNodeError as error:
        assert late, (seed, error)
        return "late bias"
    assert not late, seed
    return "checked"


def campaign(seeds, folder):
    """Check one graph per seed; return how many ended how, and what was in them."""
    ends, seen = Counter(), Counter()
    for seed in seeds:
        ends[check_graph(seed, folder, exact=seed % 2 == 0, seen=seen)] += 1
    return ends, seen
