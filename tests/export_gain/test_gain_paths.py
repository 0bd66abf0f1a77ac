"""Graphs that are one path: what the lines pass on their way, and where the path must end."""

import nir
import numpy as np
import pytest
from export_gain.gain_networks import (
    affine,
    chain,
    dense,
    ends,
    gain,
    graph_of,
    integrator,
    lif,
    stimulus,
)
from export_gain.test_bit_planes import prove


@pytest.fixture
def rng():
    return np.random.default_rng(1)


@pytest.mark.parametrize("form_bits", [3, 8])
def test_no_linear_node_and_several(tmp_path, rng, form_bits):
    nodes = ends(6, 4) | {"affine1": affine(rng, 9, 6), "lif1": lif(9)}
    nodes |= {"lif2": lif(9, 3 * gain(rng, 12)), "lif3": lif(9)}
    nodes |= {"a": affine(rng, 5, 9), "b": nir.Linear(rng.normal(size=(7, 5)))}
    nodes |= {"c": affine(rng, 8, 7), "lif4": lif(8, gain(rng, 12)), "readout": affine(rng, 4, 8)}
    # lif3 hears lif2 weakly: a factor that does not change carries it over.
    nodes["lif3"].metadata = {"dlif_gain": {"values": np.array([4.0]), "after": "last"}}
    order = ("input", "affine1", "lif1", "lif2", "lif3", "a", "b", "c", "lif4", "readout", "output")
    graph = graph_of(tmp_path / "graph.nir", nodes, chain(*order))
    portable, _ = prove(graph, tmp_path, stimulus(rng, 6), bits=form_bits)
    assert portable.sequential
    sizes = {g.name: len(g.planes()) for g in portable.gains}
    assert portable.and_neurons == 9 * (sizes["lif2"] + sizes["lif4"])


def test_bits_that_never_change_with_a_bias(tmp_path, rng):
    graph = dense(tmp_path / "graph.nir", rng, [None, np.full(12, 0.8125)])
    portable, _ = prove(graph, tmp_path, stimulus(rng, 6))
    assert portable.and_neurons == portable.layout.extra_channels == 0
    values = 1 + rng.integers(0, 2, 12) / 4
    graph = dense(tmp_path / "graph.nir", rng, [None, values])
    portable, _ = prove(graph, tmp_path, stimulus(rng, 6))
    assert portable.and_neurons == 2 * 9
    assert portable.layout.extra_channels == 1


def test_a_threshold_node_relays(tmp_path, rng):
    nodes = ends(6, 4) | {"affine1": affine(rng, 9, 6), "lif1": nir.Threshold(np.full(9, 2.0))}
    nodes |= {"affine2": affine(rng, 8, 9), "lif2": lif(8, gain(rng, 12))}
    nodes |= {"affine3": affine(rng, 7, 8), "lif3": lif(7, gain(rng, 12))}
    nodes |= {"readout": affine(rng, 4, 7)}
    order = ("input", "affine1", "lif1", "affine2", "lif2", "affine3", "lif3", "readout", "output")
    graph = graph_of(tmp_path / "graph.nir", nodes, chain(*order))
    portable, _ = prove(graph, tmp_path, stimulus(rng, 6), bits=4)
    assert portable.sequential


def test_integrators_that_subtract_cannot_relay(tmp_path, rng):
    words = {"reset": "subtract"}
    graph = dense(
        tmp_path / "graph.nir", rng, [None, gain(rng, 12)], neuron=integrator, steps=30, **words
    )
    portable, _ = prove(graph, tmp_path, stimulus(rng, 6, steps=30), bits=4, words=words)
    assert not portable.sequential


def test_a_read_out_in_the_middle_keeps_its_width(tmp_path, rng):
    nodes = ends(6, 8) | {"affine1": affine(rng, 9, 6), "lif1": lif(9)}
    nodes |= {"affine2": affine(rng, 8, 9), "lif2": lif(8, gain(rng, 12))}
    order = ("input", "affine1", "lif1", "affine2", "lif2", "output")
    graph = graph_of(tmp_path / "graph.nir", nodes, chain(*order), readout=("lif1", "count"))
    portable, _ = prove(graph, tmp_path, stimulus(rng, 6), bits=4)
    assert not portable.sequential


def test_a_loop_behind_the_path(tmp_path, rng):
    nodes = ends(6, 7) | {"affine1": affine(rng, 9, 6), "lif1": lif(9)}
    nodes |= {"affine2": affine(rng, 8, 9), "lif2": lif(8, gain(rng, 12))}
    nodes |= {"affine3": affine(rng, 7, 8), "lif3": lif(7), "there": nir.Linear(5 * np.eye(7))}
    nodes |= {"lif4": lif(7), "back": affine(rng, 7, 7)}
    edges = chain("input", "affine1", "lif1", "affine2", "lif2", "affine3", "lif3", "output")
    edges += chain("lif3", "there", "lif4", "back", "lif3")
    graph = graph_of(tmp_path / "graph.nir", nodes, edges, readout=("lif3", "count"))
    portable, _ = prove(graph, tmp_path, stimulus(rng, 6), bits=4)
    assert portable.sequential


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(60))
def test_random_paths(tmp_path, seed):
    rng = np.random.default_rng(seed)
    layers = int(rng.integers(1, 5))
    sizes = tuple(int(n) for n in rng.integers(2, 12, layers + 2))
    gains = [
        gain(rng, int(rng.integers(1, 20)), 0.7) if rng.random() < 0.7 else None
        for _ in range(layers)
    ]
    gains[-1] = gain(rng, 5, 0.7)
    graph = dense(tmp_path / "graph.nir", rng, gains, sizes=sizes, bias=bool(rng.random() < 0.7))
    x = stimulus(rng, sizes[0], samples=50)
    prove(graph, tmp_path, x, bits=int(rng.integers(2, 10)), busy=False)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(60))
def test_random_graphs(tmp_path, seed):
    """Every layer hears some of all that come before it, the input included."""
    rng = np.random.default_rng(1000 + seed)
    nodes, edges = ends(6, 4), []
    before = {"input": 6}
    for k in range(int(rng.integers(2, 5))):
        size = int(rng.integers(3, 10))
        values = gain(rng, int(rng.integers(1, 20)), 0.7) if k == 1 or rng.random() < 0.6 else None
        nodes[f"lif{k}"] = lif(size, values)
        sources = [name for name in before if rng.random() < 0.6] or [list(before)[-1]]
        for source in sources:
            nodes[f"{source}-lif{k}"] = affine(rng, size, before[source], rng.random() < 0.5)
            edges += chain(source, f"{source}-lif{k}", f"lif{k}")
        before[f"lif{k}"] = size
    last = list(before)[-1]
    nodes["readout"] = affine(rng, 4, before[last])
    edges += chain(last, "readout", "output")
    heard = {source for source, _ in edges}
    for name in before.keys() - heard:
        nodes[f"{name}-readout"] = affine(rng, before[last], before[name])
        edges += chain(name, f"{name}-readout", "readout")
    graph = graph_of(tmp_path / "graph.nir", nodes, edges)
    x = stimulus(rng, 6, samples=50)
    prove(graph, tmp_path, x, bits=int(rng.integers(2, 10)), busy=False)
