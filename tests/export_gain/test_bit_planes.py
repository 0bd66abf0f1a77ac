"""Bit planes: a file without any gain fires like the graph with the rounded gain, entry for entry.

The judge is the literal interpreter of ``oracles``, which shares no code with the package.
"""

import itertools

import nir
import numpy as np
import pytest
from export_gain.gain_networks import (
    DT,
    affine,
    chain,
    conv,
    cuba,
    dense,
    ends,
    gain,
    graph_of,
    integrator,
    lif,
    literal,
    neurons,
    stimulus,
)
from oracles import literal_graph

from neurodeploy.export.gain import portable_stimulus, to_portable_gain
from neurodeploy.export.gain.file import write_graph
from neurodeploy.graph.nodes import LIF, array_fields


def prove(graph, tmp_path, x, bits=8, form="bit-planes", words=None, busy=True, **options):
    """Convert, write, run both files literally; return the portable graph and its cost."""
    portable, findings = to_portable_gain(graph, form, bits=bits, **options)
    path = tmp_path / "portable.nir"
    write_graph(path, portable)
    gains = {g.name: g.used for g in portable.gains}
    wanted = literal(tmp_path / "graph.nir", x, gains, **(words or {}))
    found = literal(path, portable_stimulus(x, portable), **(words or {}))
    total = 0
    for name in neurons(tmp_path / "graph.nir"):
        spikes = wanted.outputs[name]
        # Relays, where there are any, come behind the neurons that were there before.
        assert np.array_equal(spikes, found.outputs[name][:, :, : spikes.shape[2]]), name
        assert not busy or 0.02 < spikes.mean() < 0.98, (name, spikes.mean())
        total += spikes.size
    assert total > 1000
    out, back = wanted.outputs["output"], found.outputs["output"]
    assert np.allclose(out, back, rtol=0, atol=1e-12 * np.abs(out).max())
    assert not any(
        "dlif_gain" in str(n.get("metadata")) for n in literal_graph.load(path).nodes.values()
    )
    return portable, findings


@pytest.mark.parametrize("bits", range(2, 9))
@pytest.mark.parametrize("bias", [True, False])
def test_two_layers(tmp_path, bits, bias):
    rng = np.random.default_rng(bits)
    path = tmp_path / "graph.nir"
    # The gain is shorter than the run here: its last value must hold.
    graph = dense(path, rng, [gain(rng, 7, 0.9), gain(rng, 7, 0.9)], bias=bias)
    portable, findings = prove(graph, tmp_path, stimulus(rng, 6), bits)
    first, second = portable.gains
    assert first.mantissas is None
    assert first.quantisation_error == 0
    assert 1 <= second.mantissas.min() <= second.mantissas.max() < 2**bits
    assert second.quantisation_error <= 2.0**-second.exponent / 2 / second.values.min()
    planes = second.planes()
    varying = sum(not pattern.all() for pattern, _ in planes)
    assert varying <= len(planes) <= bits
    # Spikes once per bit; lines for the bits that vary, and one for the bias of the first layer,
    # which end there; the others pass lif1, and for biases the AND neurons, too.
    assert portable.and_neurons == len(planes) * 9
    assert portable.layout.extra_channels == varying + bias
    assert portable.relay_neurons == varying * (1 + bias)
    cost = findings[0]
    assert cost.numbers["and_neurons"] == portable.and_neurons
    assert cost.numbers["relay_neurons"] == portable.relay_neurons
    assert cost.numbers["extra_channels"] == varying + bias
    assert f"{len(planes) * 9} AND neurons" in str(cost)
    # One path: no node has two ways in, so that no tool can run it in another order.
    targets = [target for _, target in portable.edges]
    assert portable.sequential
    assert len(targets) == len(set(targets)) == len(portable.nodes) - 1
    # Populations of equal neurons stay so: snnTorch and spikingjelly read no others.
    for node in portable.nodes.values():
        if isinstance(node, LIF):
            assert all(np.ptp(value) == 0 for value in array_fields(node).values())


def test_more_bits_are_closer(tmp_path):
    rng = np.random.default_rng(0)
    graph = dense(tmp_path / "graph.nir", rng, [None, gain(rng, 12, 0.9)])
    errors = [
        to_portable_gain(graph, "bit-planes", bits=b).value.gains[0].quantisation_error
        for b in range(2, 12)
    ]
    assert errors[0] > 0.02
    assert errors[-1] < 1e-3
    assert all(wide <= narrow for narrow, wide in itertools.pairwise(errors[::2]))


@pytest.mark.parametrize("neuron", [lif, cuba, integrator])
@pytest.mark.parametrize("steps", [1, 5, 30])
def test_gains_shorter_and_longer_than_the_run(tmp_path, neuron, steps):
    rng = np.random.default_rng(steps)
    graph = dense(
        tmp_path / "graph.nir",
        rng,
        [gain(rng, steps), gain(rng, steps), gain(rng, steps)],
        sizes=(6, 9, 8, 7, 4),
        neuron=neuron,
    )
    prove(graph, tmp_path, stimulus(rng, 6))


def test_bits_that_never_change_cost_no_neuron(tmp_path):
    rng = np.random.default_rng(3)
    graph = dense(tmp_path / "graph.nir", rng, [None, np.full(12, 0.8125)], bias=False)
    portable, _ = prove(graph, tmp_path, stimulus(rng, 6))
    assert portable.and_neurons == 0
    assert portable.layout.extra_channels == 0
    assert portable.gains[0].quantisation_error == 0
    quarters = rng.integers(1, 8, 12) / 4
    graph = dense(tmp_path / "graph.nir", rng, [None, quarters], bias=False)
    portable, _ = prove(graph, tmp_path, stimulus(rng, 6))
    assert portable.gains[0].quantisation_error == 0
    assert portable.and_neurons == 3 * 9


def test_equal_gains_share_neurons_and_lines(tmp_path):
    rng = np.random.default_rng(4)
    nodes = ends(6, 4)
    same = gain(rng, 12)
    nodes |= {"affine1": affine(rng, 9, 6), "lif1": lif(9)}
    nodes |= {"left": affine(rng, 8, 9), "lif2": lif(8, same)}
    nodes |= {"right": affine(rng, 8, 9), "lif3": lif(8, same), "readout": affine(rng, 4, 8)}
    edges = chain("input", "affine1", "lif1", "left", "lif2", "readout", "output")
    edges += chain("lif1", "right", "lif3", "readout")
    graph = graph_of(tmp_path / "graph.nir", nodes, edges)
    portable, _ = prove(graph, tmp_path, stimulus(rng, 6), bits=5)
    gated = sum(not p.all() for p, _ in portable.gains[0].planes())
    assert portable.and_neurons == gated * 9


def test_shared_affine_with_two_gains_and_a_listener_without(tmp_path):
    rng = np.random.default_rng(5)
    nodes = ends(6, 4)
    nodes |= {"affine1": affine(rng, 9, 6), "lif1": lif(9), "shared": affine(rng, 8, 9)}
    nodes |= {"lif2": lif(8, gain(rng, 12)), "lif3": lif(8, gain(rng, 5)), "lif4": lif(8)}
    nodes |= {"readout": affine(rng, 4, 8)}
    edges = chain("input", "affine1", "lif1", "shared", "lif2", "readout", "output")
    edges += chain("shared", "lif3", "readout") + chain("shared", "lif4", "readout")
    graph = graph_of(tmp_path / "graph.nir", nodes, edges)
    portable, _ = prove(graph, tmp_path, stimulus(rng, 6), bits=4)
    assert "shared" in portable.nodes


def test_spikes_and_the_input_into_one_node(tmp_path):
    rng = np.random.default_rng(6)
    nodes = ends(6, 4)
    nodes |= {"affine1": affine(rng, 9, 6), "lif1": lif(9, gain(rng, 9))}
    nodes |= {"affine2": affine(rng, 8, 9), "skip": affine(rng, 8, 6)}
    nodes |= {"lif2": lif(8, gain(rng, 12)), "readout": affine(rng, 4, 8)}
    nodes |= {"raw": affine(rng, 8, 6), "lif3": lif(8)}
    edges = chain("input", "affine1", "lif1", "affine2", "lif2", "readout", "output")
    edges += chain("input", "skip", "lif2") + chain("input", "raw", "lif3", "readout")
    graph = graph_of(tmp_path / "graph.nir", nodes, edges)
    portable, _ = prove(graph, tmp_path, stimulus(rng, 6), bits=6)
    # As it was, times the gain of lif1, times the rounded gain of lif2.
    assert [b.count for b in portable.layout.blocks if b.carries == "input"] == [6, 6, 6]


def test_several_linear_nodes_with_biases_on_the_way(tmp_path):
    rng = np.random.default_rng(7)
    nodes = ends(6, 4)
    nodes |= {"affine1": affine(rng, 9, 6), "lif1": lif(9), "a": affine(rng, 5, 9)}
    nodes |= {
        "b": nir.Scale(rng.normal(size=5)),
        "c": nir.Affine(rng.normal(size=(8, 5)), np.ones(8)),
    }
    nodes |= {"d": affine(rng, 8, 9), "lif2": lif(8, gain(rng, 12)), "readout": affine(rng, 4, 8)}
    edges = chain("input", "affine1", "lif1", "a", "b", "c", "lif2", "readout", "output")
    edges += chain("lif1", "d", "lif2")
    prove(graph_of(tmp_path / "graph.nir", nodes, edges), tmp_path, stimulus(rng, 6))


def test_without_a_linear_node_and_behind_a_delay(tmp_path):
    rng = np.random.default_rng(8)
    nodes = ends(6, 4)
    nodes |= {"affine1": affine(rng, 9, 6), "lif1": lif(9), "lif2": lif(9, 3 * gain(rng, 12))}
    nodes |= {"delay": nir.Delay(DT * rng.integers(0, 4, 9)), "affine2": affine(rng, 8, 9)}
    nodes |= {"lif3": lif(8, gain(rng, 12)), "readout": affine(rng, 4, 8)}
    edges = chain(
        "input", "affine1", "lif1", "lif2", "delay", "affine2", "lif3", "readout", "output"
    )
    prove(graph_of(tmp_path / "graph.nir", nodes, edges), tmp_path, stimulus(rng, 6), bits=5)


def convolutional(rng, path, padding, r):
    size = 8 + 2 * padding - 2
    nodes = ends((2, 8, 8), 4)
    nodes |= {
        "conv1": conv(rng, 3, 2, 3, (8, 8), padding),
        "lif1": lif((3, size, size), gain(rng, 9), r=r),
    }
    pooled = size // 2
    nodes |= {"pool": nir.AvgPool2d(*(np.array([k, k]) for k in (2, 2, 0)))}
    nodes |= {"conv2": conv(rng, 4, 3, 2, (pooled, pooled))}
    nodes |= {"lif2": lif((4, pooled - 1, pooled - 1), gain(rng, 12), r=r)}
    nodes |= {"flatten": nir.Flatten({"input": np.array([4, pooled - 1, pooled - 1])}, 0, -1)}
    nodes |= {"affine": affine(rng, 9, 4 * (pooled - 1) ** 2), "lif3": lif(9, gain(rng, 7), r=r)}
    nodes |= {"readout": affine(rng, 4, 9)}
    order = ("input", "conv1", "lif1", "pool", "conv2", "lif2", "flatten", "affine", "lif3")
    return graph_of(path, nodes, chain(*order, "readout", "output"))


@pytest.mark.parametrize("padding", [0, 1])
def test_convolutions_pooling_and_flatten(tmp_path, padding):
    rng = np.random.default_rng(9)
    graph = convolutional(rng, tmp_path / "graph.nir", padding, r=1.25)
    x = stimulus(rng, (2, 8, 8), samples=4)
    portable, findings = prove(graph, tmp_path, x, bits=3)
    same, _ = prove(graph, tmp_path, x, bits=3, unit_r=True)
    assert all((n.r == 1).all() for n in same.nodes.values() if isinstance(n, LIF))
    assert portable.layout.portable_shape[1:] == (8, 8)
    assert not portable.sequential
    assert "warning" in [f.severity for f in findings]


def test_an_input_of_spikes_is_gated_too(tmp_path):
    rng = np.random.default_rng(10)
    graph = dense(tmp_path / "graph.nir", rng, [gain(rng, 12), gain(rng, 12)])
    x = (stimulus(rng, 6) < 0.4).astype(float)
    portable, _ = prove(graph, tmp_path, x, bits=4, binary_input=True)
    sent = portable_stimulus(x, portable)
    assert np.isin(sent, (0, 1)).all()
    assert all(g.mantissas is not None for g in portable.gains)


CONTRACTS = list(
    itertools.product(
        ("value", "subtract", "subtract-once"), ("euler", "exponential"), ("r", "one")
    )
)


@pytest.mark.parametrize(("reset", "decay", "input_gain"), CONTRACTS)
def test_and_neurons_under_other_contracts(tmp_path, reset, decay, input_gain):
    """Also for long runs of spikes, with and without the gate, where a membrane could creep up."""
    rng = np.random.default_rng(11)
    words = {"reset": reset, "decay": decay, "input_gain": input_gain, "steps": 60}
    values = np.repeat(rng.uniform(0.3, 2, 6), 10)
    graph = dense(tmp_path / "graph.nir", rng, [None, values], **words)
    prove(graph, tmp_path, stimulus(rng, 6, steps=60), bits=3, words=words)


def test_names_of_nested_graphs_lose_their_slash(tmp_path):
    rng = np.random.default_rng(12)
    inner = nir.NIRGraph(
        {**ends(9, 8), "affine2": affine(rng, 8, 9), "lif2": lif(8, gain(rng, 12))},
        chain("input", "affine2", "lif2", "output"),
        type_check=False,
    )
    nodes = ends(6, 4) | {"affine1": affine(rng, 9, 6), "lif1": lif(9), "block": inner}
    nodes |= {"readout": affine(rng, 4, 8)}
    edges = chain("input", "affine1", "lif1", "block", "readout", "output")
    graph = graph_of(tmp_path / "graph.nir", nodes, edges)
    portable, _ = to_portable_gain(graph, "bit-planes", bits=5)
    write_graph(tmp_path / "portable.nir", portable)
    x = stimulus(rng, 6)
    wanted = literal(tmp_path / "graph.nir", x, {"block/lif2": portable.gains[0].used})
    found = literal(tmp_path / "portable.nir", portable_stimulus(x, portable))
    assert np.array_equal(wanted.outputs["block/lif2"], found.outputs["block.lif2"])
    assert 0.02 < wanted.outputs["block/lif2"].mean() < 0.98
