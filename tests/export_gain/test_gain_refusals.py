"""What has no portable form is refused, and the message names the node and a way out."""

import dataclasses

import nir
import numpy as np
import pytest
from export_gain.gain_networks import (
    DT,
    affine,
    chain,
    conv,
    dense,
    ends,
    gain,
    graph_of,
    lif,
    stimulus,
)

from neurodeploy.errors import (
    ContractError,
    InputError,
    RangeError,
    ShapeError,
    UnsupportedNodeError,
)
from neurodeploy.export.gain import (
    portable_stimulus,
    to_portable_gain,
    write_portable_gain,
)
from neurodeploy.graph import read


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_the_stimulus_cannot_carry_a_deep_gain(tmp_path, rng):
    graph = dense(tmp_path / "graph.nir", rng, [gain(rng, 12), gain(rng, 12)])
    with pytest.raises(UnsupportedNodeError, match=r"'lif2' \(fed by 'lif1'\).*bit-planes"):
        to_portable_gain(graph, "stimulus")


def test_extra_channels_may_be_forbidden(tmp_path, rng):
    graph = dense(tmp_path / "graph.nir", rng, [gain(rng, 12), None])
    with pytest.raises(UnsupportedNodeError, match="'lif1' needs 1 more input channels"):
        to_portable_gain(graph, "stimulus", extra_channels=False)
    graph = dense(tmp_path / "graph.nir", rng, [None, gain(rng, 12)])
    with pytest.raises(UnsupportedNodeError, match="'lif2' needs 8 more.*metadata form"):
        to_portable_gain(graph, "bit-planes", extra_channels=False)


def test_graded_sources_cannot_be_gated(tmp_path, rng):
    nodes = ends(6, 4) | {"affine1": affine(rng, 9, 6), "affine2": affine(rng, 8, 9)}
    nodes |= {"leaky": nir.LI(np.full(9, 5 * DT), np.ones(9), np.zeros(9))}
    nodes |= {"lif2": lif(8, gain(rng, 12)), "readout": affine(rng, 4, 8)}
    order = ("input", "affine1", "leaky", "affine2", "lif2", "readout", "output")
    graph = graph_of(tmp_path / "graph.nir", nodes, chain(*order))
    for form in ("bit-planes", "stimulus"):
        with pytest.raises(UnsupportedNodeError, match=r"'lif2'.*'leaky' \(LI\)"):
            to_portable_gain(graph, form)


def test_several_spikes_per_step_cannot_be_gated(tmp_path, rng):
    graph = dense(
        tmp_path / "graph.nir", rng, [None, gain(rng, 12)], spikes="multiple", reset="subtract"
    )
    with pytest.raises(UnsupportedNodeError, match=r"'lif2'.*'lif1' \(LIF\)"):
        to_portable_gain(graph, "bit-planes")


def test_a_late_reset_has_no_and_neuron(tmp_path, rng):
    graph = dense(tmp_path / "graph.nir", rng, [None, gain(rng, 12)], reset="subtract-late")
    with pytest.raises(ContractError, match="subtract-late"):
        to_portable_gain(graph, "bit-planes")


def test_loops_behind_a_gain(tmp_path, rng):
    nodes = ends(6, 8) | {"affine1": affine(rng, 9, 6), "lif1": lif(9)}
    nodes |= {"affine2": affine(rng, 8, 9), "lif2": lif(8, gain(rng, 12))}
    nodes |= {"back": affine(rng, 8, 8)}
    edges = chain("input", "affine1", "lif1", "affine2", "lif2", "output")
    edges += chain("lif2", "back", "lif2")
    graph = graph_of(tmp_path / "graph.nir", nodes, edges, readout=("lif2", "count"))
    with pytest.raises(UnsupportedNodeError, match="loop through 'back', 'lif2'"):
        to_portable_gain(graph, "bit-planes")


def test_planes_larger_than_the_input(tmp_path, rng):
    nodes = ends((1, 4, 4), (2, 3, 3))
    nodes |= {"conv1": conv(rng, 2, 1, 1, (4, 4), padding=1), "lif1": lif((2, 6, 6))}
    nodes |= {"conv2": conv(rng, 2, 2, 4, (6, 6)), "lif2": lif((2, 3, 3), gain(rng, 12))}
    order = ("input", "conv1", "lif1", "conv2", "lif2", "output")
    graph = graph_of(tmp_path / "graph.nir", nodes, chain(*order), readout=("lif2", "count"))
    with pytest.raises(UnsupportedNodeError, match=r"'lif1': shape \(2, 6, 6\)"):
        to_portable_gain(graph, "bit-planes")


def test_gains_that_have_no_bits(tmp_path, rng):
    graph = dense(tmp_path / "graph.nir", rng, [None, [1.0, 100.0, 2.0]])
    with pytest.raises(RangeError, match=r"'lif2': gain 1 \(step 0\) rounds to zero"):
        to_portable_gain(graph, "bit-planes", bits=4)
    for values in ([1.0, -0.5], [1.0, 0.0]):
        metadata = {"dlif_gain": {"values": np.array(values)}}
        node = dataclasses.replace(graph.nodes["lif2"], metadata=metadata)
        bad = dataclasses.replace(graph, nodes={**graph.nodes, "lif2": node})
        with pytest.raises(RangeError, match="'lif2'.*positive"):
            to_portable_gain(bad, "bit-planes")
    for bits in (0, 17):
        with pytest.raises(InputError, match=f"{bits}; choose 1 to 16"):
            to_portable_gain(graph, "bit-planes", bits=bits)


def test_forms_and_graphs_without_gain(tmp_path, rng):
    graph = dense(tmp_path / "graph.nir", rng, [None, gain(rng, 12)])
    with pytest.raises(InputError, match="'planes' not known; choose bit-planes or stimulus"):
        to_portable_gain(graph, "planes")
    plain = dense(tmp_path / "plain.nir", rng, [None, None])
    with pytest.raises(InputError, match="no node has 'dlif_gain'"):
        to_portable_gain(plain, "bit-planes")
    with pytest.raises(InputError, match="no portable gain form"):
        portable_stimulus(stimulus(rng, 6), tmp_path / "plain.nir")


def test_a_portable_graph_is_not_converted_again(tmp_path, rng):
    graph = dense(tmp_path / "graph.nir", rng, [None, gain(rng, 12)])
    path = tmp_path / "portable.nir"
    write_portable_gain(graph, path, "bit-planes", stimulus(rng, 6))
    with pytest.raises(InputError, match="already in a portable form"):
        to_portable_gain(read(path).value, "bit-planes")


def test_an_input_that_is_not_spikes(tmp_path, rng):
    graph = dense(tmp_path / "graph.nir", rng, [gain(rng, 12), None])
    with pytest.raises(InputError, match="other than 0 and 1"):
        write_portable_gain(
            graph, tmp_path / "x.nir", "bit-planes", stimulus(rng, 6), binary_input=True
        )
    assert not (tmp_path / "x.nir").exists()


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        (lambda x: x * np.nan, "are NaN or infinite"),
        (lambda x: x[:0], "at least one"),
        (lambda x: x.astype(complex), "needs numbers"),
        (lambda x: x.astype(str), "needs numbers"),
    ],
)
def test_a_stimulus_of_no_numbers(wrong, match, tmp_path, rng):
    graph = dense(tmp_path / "graph.nir", rng, [None, gain(rng, 12)])
    made = to_portable_gain(graph, "bit-planes").value
    with pytest.raises((RangeError, ShapeError), match=match):
        portable_stimulus(wrong(stimulus(rng, 6)), made)
