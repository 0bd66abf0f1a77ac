"""The stimulus form: unrounded gains where the input alone feeds a node; stimuli from any source."""

import nir
import numpy as np
import pytest
import torch
from export_gain.gain_networks import affine, chain, conv, ends, gain, graph_of, lif, stimulus
from export_gain.test_bit_planes import prove

from neurodeploy.errors import ContractError, ShapeError
from neurodeploy.export.gain import portable_stimulus, to_portable_gain
from neurodeploy.export.gain.file import write_graph
from neurodeploy.graph import read


def one_layer(rng, path, values, bias=True):
    nodes = ends(6, 4) | {"affine1": affine(rng, 9, 6, bias), "lif1": lif(9, values)}
    nodes |= {"affine2": affine(rng, 8, 9), "lif2": lif(8), "readout": affine(rng, 4, 8)}
    order = ("input", "affine1", "lif1", "affine2", "lif2", "readout", "output")
    return graph_of(path, nodes, chain(*order))


@pytest.mark.parametrize("steps", [1, 5, 30])
def test_with_a_bias_one_line_carries_the_gain(tmp_path, steps):
    rng = np.random.default_rng(steps)
    values = gain(rng, steps)
    graph = one_layer(rng, tmp_path / "graph.nir", values)
    x = stimulus(rng, 6)
    portable, _ = prove(graph, tmp_path, x, form="stimulus")
    assert portable.and_neurons == 0
    sent = portable_stimulus(x, portable)
    held = values[np.minimum(np.arange(12), steps - 1)][:, None, None]
    assert np.array_equal(sent[..., :6], held * x)
    assert np.array_equal(sent[..., 6:], np.broadcast_to(held, (12, 15, 1)))


def test_without_a_bias_the_graph_is_the_same(tmp_path):
    rng = np.random.default_rng(0)
    graph = one_layer(rng, tmp_path / "graph.nir", gain(rng, 12), bias=False)
    portable, _ = prove(graph, tmp_path, stimulus(rng, 6), form="stimulus", extra_channels=False)
    assert set(portable.nodes) == set(graph.nodes)
    assert set(portable.edges) == set(graph.edges)
    assert portable.layout.extra_channels == 0


def test_planes_of_an_image(tmp_path):
    rng = np.random.default_rng(1)
    nodes = ends((2, 6, 6), 4)
    nodes |= {"conv1": conv(rng, 3, 2, 3, (6, 6)), "lif1": lif((3, 4, 4), gain(rng, 12))}
    nodes |= {"flatten": nir.Flatten({"input": np.array([3, 4, 4])}, 0, -1)}
    nodes |= {"readout": affine(rng, 4, 48)}
    order = ("input", "conv1", "lif1", "flatten", "readout", "output")
    graph = graph_of(tmp_path / "graph.nir", nodes, chain(*order))
    x = stimulus(rng, (2, 6, 6), samples=6)
    portable, _ = prove(graph, tmp_path, x, form="stimulus")
    sent = portable_stimulus(x, portable)
    assert sent.shape == (12, 6, 3, 6, 6)
    flat = portable_stimulus(x.reshape(12, 6, -1), portable)
    assert np.array_equal(flat, sent.reshape(12, 6, -1))


def test_files_graphs_and_objects_give_one_stimulus(tmp_path):
    rng = np.random.default_rng(2)
    graph = one_layer(rng, tmp_path / "graph.nir", gain(rng, 5))
    portable = to_portable_gain(graph, "stimulus").value
    path = tmp_path / "portable.nir"
    write_graph(path, portable)
    x = stimulus(rng, 6)
    wanted = portable_stimulus(x, portable)
    assert np.array_equal(portable_stimulus(x, path), wanted)
    assert np.array_equal(portable_stimulus(x, read(path).value), wanted)
    tensor = portable_stimulus(torch.from_numpy(x), path)
    assert torch.equal(tensor, torch.from_numpy(wanted))


def test_images_are_held_and_codes_decoded(tmp_path):
    rng = np.random.default_rng(3)
    graph = one_layer(rng, tmp_path / "graph.nir", gain(rng, 5))
    portable = to_portable_gain(graph, "stimulus").value
    codes = rng.integers(0, 256, (7, 6))
    wanted = portable_stimulus(np.broadcast_to(codes / 255, (12, 7, 6)), portable)
    assert np.allclose(portable_stimulus(codes, portable), wanted, rtol=1e-15, atol=0)
    assert portable_stimulus(codes, portable, steps=3).shape == (3, 7, 7)


def test_stimuli_that_do_not_fit(tmp_path):
    rng = np.random.default_rng(4)
    graph = one_layer(rng, tmp_path / "graph.nir", gain(rng, 5))
    portable = to_portable_gain(graph, "stimulus").value
    for shape in ((6,), (3, 7), (2, 3, 4, 6)):
        with pytest.raises(ShapeError, match=r"takes \[B, 6\]"):
            portable_stimulus(np.zeros(shape), portable)
    nodes = ends(6, 4) | {"affine1": affine(rng, 4, 6), "lif1": lif(4, gain(rng, 5))}
    order = chain("input", "affine1", "lif1", "output")
    timeless = graph_of(
        tmp_path / "timeless.nir", nodes, order, readout=("lif1", "count"), steps=None
    )
    with pytest.raises(ContractError, match="--steps"):
        portable_stimulus(np.zeros((3, 6)), to_portable_gain(timeless, "stimulus").value)
