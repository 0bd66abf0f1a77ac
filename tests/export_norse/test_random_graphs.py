"""Random graphs, exact ones with ties included: Norse's parts run as the literal interpreter."""

from collections import Counter

import numpy as np
import pytest
import torch
from export_norse.made_graphs import differences
from oracles import literal_graph
from oracles.random_graphs import random_graph, write

from neurodeploy.errors import UnsupportedNodeError
from neurodeploy.export.norse import from_nir
from neurodeploy.graph import Contract, read

TIE = 1e-12
# torch says so of 'same' with an even kernel, once; the numbers are right.
pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")


def norse_lacks(graph):
    """Whether a graph holds what Norse cannot say, told from the contract and the nodes alone."""
    words = graph.contract
    kinds = {type(node).__name__ for node in graph.nodes.values()}
    spiking = kinds & {"IF", "LIF", "CubaLIF"}
    if words.v_min not in (None, "none") and spiking | (kinds & {"I", "LI", "CubaLI"}):
        return True
    if spiking and (words.spikes == "multiple" or words.reset == "subtract-once"):
        return True
    return words.reset == "subtract-late" and any(
        (np.asarray(getattr(node, "tau", getattr(node, "tau_mem", 0))) == words.dt).any()
        for node in graph.nodes.values()
        if hasattr(node, "v_threshold")
    )


def campaign(seeds, folder):
    found = Counter()
    for seed in seeds:
        exact = seed % 2 == 0
        rng = np.random.default_rng([7, seed])
        case = random_graph(rng, exact=exact)
        path = folder / "graph.nir"
        write(path, case.tree, rng)
        graph = read(path, Contract(**case.options)).value
        nodes = literal_graph.load(path).nodes
        oracle = literal_graph.run(literal_graph.load(path), case.x, case.words)
        if norse_lacks(graph):
            with pytest.raises(UnsupportedNodeError, match="cannot be built"):
                from_nir(graph)
            found["refused"] += 1
            continue
        # Exact graphs meet their thresholds: another stimulus than the case's own might round.
        network = from_nir(graph, sample=case.x, dtype=torch.float64)
        wrong = differences(network.run(torch.tensor(case.x)), oracle, nodes)
        assert not wrong or (not exact and oracle.closest <= TIE), f"seed {seed}: {wrong}"
        found.update(map(str, case.features))
        found["run"] += 1
    return found


def test_some_random_graphs(tmp_path):
    found = campaign(range(60), tmp_path)
    assert found["run"] > 20
    assert found["refused"] > 10


@pytest.mark.slow
def test_many_random_graphs(tmp_path):
    found = campaign(range(1000, 4000), tmp_path)
    wanted = {"Conv1d", "Conv2d", "SumPool2d", "AvgPool2d", "Flatten", "Threshold", "Delay", "I",
              "LI", "IF", "LIF", "CubaLI", "CubaLIF", "NIRGraph", "residual", "self-loop", "back",
              "delayed cycle", "gain", "groups", "subtract", "subtract-late", "exponential", "one",
              "step", "affine"}  # fmt: skip
    assert min(found[name] for name in wanted) > 20
