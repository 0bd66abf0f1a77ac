"""Random graphs through the reader, the lowering and the float run, against the literal oracle.

Every spike and state of every neuron must be the oracle's. Where numbers are dyadic, ties
included; else a graph in which some decision was closer than rounding to its threshold is counted
and left out. Broken graphs: success or a NeurodeployError, nothing else, and soon.
"""

import contextlib
import copy
import os
import signal
from collections import Counter

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oracles import literal_graph
from oracles.broken_graphs import MUTATIONS, mutate
from oracles.random_graphs import random_graph, write

from neurodeploy.errors import NeurodeployError, RangeError
from neurodeploy.graph import Contract, read
from neurodeploy.lowering import lower
from neurodeploy.simulate import run_float

TIE = 1e-12
CASE_LIMIT_S = 20


@contextlib.contextmanager
def time_limit():
    """Turn a hang into a failure of the case."""

    def stop(_signal, _frame):
        pytest.fail(f"still running after {CASE_LIMIT_S} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(CASE_LIMIT_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def run_file(path, options, x):
    """Return the graph and its traces: the way that users go."""
    graph = read(path, Contract(**options)).value
    flat = np.ascontiguousarray(x.reshape(*x.shape[:2], -1))
    return graph, run_float(lower(graph).value, flat, record=("spikes", "v", "v_pre", "y"))


def differences(kept, traces, oracle, graph, *, exact):
    """Return the names of what is not the oracle's: spikes exactly, values to 1e-9 if not exact."""
    wrong = []
    for name, node in graph.nodes.items():
        if name not in kept:
            continue
        sent = oracle.outputs[name]
        wanted = {"y": sent}
        if node["type"] in literal_graph.STATEFUL:
            wanted = {"v": oracle.v[name], "v_pre": oracle.v_pre[name]}
        if node["type"] in (*literal_graph.SPIKING, "Threshold"):
            wanted["spikes"] = sent
        for key, want in wanted.items():
            got = traces.records.get(f"{name}/{key}")
            if got is None:
                # Doors and reshaping leave no operator behind, and a Threshold sends spikes.
                same = node["type"] in ("Input", "Output", "Flatten", "Threshold")
            else:
                # A reset takes the membrane from v_pre, whose size its rounding has.
                size = max(
                    np.abs(a[name]).max() for a in (oracle.v_pre, oracle.outputs) if name in a
                )
                same = agree(got, want, exact=exact or key == "spikes", size=size)
            if not same:
                wrong.append(f"{name}/{key}")
    return wrong


def agree(got, want, *, exact, size=1):
    want = want.reshape(*want.shape[:2], -1)
    near = 0 if exact else 1e-9
    atol = near * np.abs(want).max(initial=max(size, 1))
    return got.shape == want.shape and np.allclose(got, want, rtol=near, atol=atol)


def read_out(graph, traces, oracle):
    """Return what the oracle says about the output: spikes, values, or their running sum."""
    sent = oracle.outputs[graph.contract.readout_node]
    return np.cumsum(sent, axis=0) if traces.meta["readout"]["kind"] == "sum" else sent


def rounds_nowhere(literal, case, oracle):
    """Whether more digits change nothing, so that every order of summing gives the same."""
    if np.finfo(np.longdouble).nmant <= np.finfo(float).nmant:
        return False
    wide = literal_graph.run(literal, case.x, case.words, dtype=np.longdouble)
    pairs = [(wide.outputs, oracle.outputs), (wide.v, oracle.v)]
    return all(np.array_equal(a[name], b[name]) for a, b in pairs for name in b)


def useful(graph):
    """Return the nodes with a way to the Output; the reader leaves out the others, with a warning."""
    (door,) = (n for n in graph.nodes if graph.nodes[n]["type"] == "Output" and "/" not in n)
    backward = [(target, source) for source, target in graph.edges]
    return literal_graph.reachable(door, backward) | {door}


def check(seed, folder, *, exact):
    """Compare one random graph; return its features, firing rates, exactness, and ties."""
    where = f"seed {seed}, exact {exact}"
    rng = np.random.default_rng(seed)
    case = random_graph(rng, exact=exact)
    path = folder / "graph.nir"
    write(path, case.tree, rng)
    literal = literal_graph.load(path)
    oracle = literal_graph.run(literal, case.x, case.words)
    exact = exact and rounds_nowhere(literal, case, oracle)
    try:
        with time_limit():
            graph, traces = run_file(path, case.options, case.x)
    except NeurodeployError as error:
        if isinstance(error, RangeError) and max(o.max() for o in oracle.outputs.values()) >= 2**31:
            return set(), [], exact, False  # more spikes in one step than a record can hold
        pytest.fail(f"{where}: a valid graph was refused: {error}")
    kept = useful(literal)
    doors = {n for n in kept if literal.nodes[n]["type"] in ("Input", "Output")}
    missing = kept - doors - set(graph.nodes)
    assert not missing, where
    tied = oracle.closest <= TIE
    if exact or not tied:
        wrong = differences(kept, traces, oracle, literal, exact=exact)
        assert not wrong, where
        assert agree(traces.output, read_out(graph, traces, oracle), exact=exact), where
    fires = [n for n in oracle.v if literal.nodes[n]["type"] in literal_graph.SPIKING]
    return case.features, [(oracle.outputs[n] > 0).mean() for n in fires], exact, tied


def campaign(seeds, folder):
    """Check one graph per seed, exact and real ones in turn; return what they covered."""
    features, rates, ties, kinds = Counter(), [], Counter(), Counter()
    for seed in seeds:
        found, some, exact, tied = check(seed, folder, exact=seed % 2 == 0)
        features.update(map(str, found))
        rates += some
        kinds[exact] += 1
        ties[exact] += tied
    rates = np.array(rates)
    # Neurons work: neither silent nor always firing.
    assert 0.15 < rates.mean() < 0.7
    assert (rates == 0).mean() < 0.25
    assert (rates == 1).mean() < 0.1
    # Exact graphs meet their thresholds, and real ones hardly ever.
    assert kinds[True] > 0.45 * len(seeds) or np.finfo(np.longdouble).nmant <= 52
    assert ties[True] > 0.02 * kinds[True]
    assert ties[False] < 0.01 * len(seeds)
    return features


ALL_FEATURES = {
    "Affine", "Linear", "Scale", "Conv1d", "Conv2d", "SumPool2d", "AvgPool2d", "Flatten",
    "Threshold", "Delay", "I", "LI", "IF", "LIF", "CubaLI", "CubaLIF", "NIRGraph", "residual",
    "self-loop", "back", "delayed cycle", "gain", "groups", "same", "valid", "batched matrix",
    "subtract", "subtract-late", "subtract-once", "multiple", "exponential", "one", "step",
    "affine", "nearest", "floor", "-0.25",
}  # fmt: skip


def test_some_random_graphs(tmp_path):
    missing = ALL_FEATURES - set(campaign(range(150), tmp_path))
    assert not missing


@pytest.mark.slow
def test_ten_thousand_random_graphs(tmp_path):
    features = campaign(range(1000, 11_000), tmp_path)
    assert min(features[name] for name in ALL_FEATURES) > 300


def test_sixty_graphs_within_each_other(tmp_path):
    rng = np.random.default_rng(3)
    size = {"type": "Input", "shape": np.array([2])}
    names = {k: np.array([v, v]) for k, v in {"tau": 2.0, "r": 2.0, "v_leak": 0.25}.items()}
    tree = {"type": "LIF", "v_threshold": np.array([0.5, 0.75]), **names}
    for depth in range(60):
        cell = {"type": "I", "r": np.array([0.5, 0.25])} if depth == 30 else None
        nodes = {"input": size, "x": tree, "output": {**size, "type": "Output"}}
        edges = [("input", "x"), ("x", "output")]
        if cell:
            nodes["cell"] = cell
            edges += [("x", "cell"), ("cell", "x")]
        tree = {"type": "NIRGraph", "nodes": nodes, "edges": edges}
    write(tmp_path / "deep.nir", tree, rng)
    x = rng.integers(0, 2, (9, 2, 2)).astype(float)
    graph = literal_graph.load(tmp_path / "deep.nir")
    oracle = literal_graph.run(graph, x, {"dt": 1.0})
    with time_limit():
        _, traces = run_file(tmp_path / "deep.nir", {"dt": 1.0}, x)
    assert not differences(graph.nodes, traces, oracle, graph, exact=True)
    assert 0 < oracle.outputs["x/" * 59 + "x"].mean() < 1


def compare_accepted(where, path, case, graph, traces):
    """What is accepted must also be right, wherever the oracle can say what is right."""
    literal = literal_graph.load(path)
    said = literal.metadata.get("neurodeploy", {})
    words = {
        k.replace("-", "_"): v
        for k, v in said.items()
        if isinstance(v, str | float | int | np.number)
    }
    try:
        oracle = literal_graph.run(literal, case.x, {**words, **case.options})
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RuntimeWarning):
        return
    # The reader may take values of another shape in order, with a warning; numpy stretches them.
    plain = all(oracle.outputs[n].shape[2:] == graph.shapes[n][1] for n in graph.nodes)
    if plain and oracle.closest > TIE:
        wrong = differences(graph.nodes, traces, oracle, literal, exact=False)
        assert not wrong, where


def run_broken(seed, mutations, folder):
    """Run a broken graph; return whether it was accepted."""
    rng = np.random.default_rng(seed)
    case = random_graph(rng, exact=bool(rng.integers(2)), size=4)
    tree = copy.deepcopy(case.tree)
    mutate(tree, mutations, rng)
    path = folder / f"broken{os.getpid()}.nir"
    try:
        write(path, tree, rng)
    except (TypeError, ValueError, OSError, AttributeError, UnicodeEncodeError):
        return None  # HDF5 itself cannot hold it
    if rng.random() < 0.05:
        content = path.read_bytes()
        path.write_bytes(content[: int(rng.integers(len(content)))])
    with time_limit():
        try:
            graph, traces = run_file(path, case.options, case.x)
        except NeurodeployError as error:
            message = str(error)
        else:
            compare_accepted(f"seed {seed}, {mutations}", path, case, graph, traces)
            return True
    if "Traceback" in message or len(message) < 20:
        pytest.fail(f"seed {seed}, {mutations}: no message for a user: {message!r}")
    return False


BROKEN = {
    "seed": st.integers(0, 10**6),
    "mutations": st.lists(st.sampled_from([m.__name__ for m in MUTATIONS]), min_size=1, max_size=3),
}
SETTINGS = {
    "derandomize": True,
    "deadline": None,
    "database": None,
    "suppress_health_check": list(HealthCheck),
}


@settings(max_examples=150, **SETTINGS)
@given(**BROKEN)
def test_some_broken_graphs(tmp_path_factory, seed, mutations):
    run_broken(seed, mutations, tmp_path_factory.getbasetemp())


@pytest.mark.slow
@settings(max_examples=4000, **SETTINGS)
@given(**BROKEN)
def test_many_broken_graphs(tmp_path_factory, seed, mutations):
    run_broken(seed, mutations, tmp_path_factory.getbasetemp())


def test_broken_graphs_are_mostly_refused(tmp_path):
    """Otherwise the tests above would test nothing."""
    rng = np.random.default_rng(1)
    names = [m.__name__ for m in MUTATIONS]
    results = Counter(
        run_broken(seed, [names[int(rng.integers(len(names)))]], tmp_path) for seed in range(100)
    )
    assert results[False] > 50
    assert results[True] > 5
