"""Every finding: what is wrong, with node and numbers, and all of it in one run."""

import re

import h5py
import nir_samples as samples
import numpy as np
import pytest
from nir_samples import affine, chain, conv, end, lif, nested

from neurodeploy.errors import (
    ContractError,
    FileFormatError,
    InputError,
    ShapeError,
    UnsupportedNodeError,
)
from neurodeploy.graph import Contract, read, survey

FULL = Contract(dt=1e-3, steps=4)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.nir"


def cuba(n=2, **changes):
    one = np.ones(n)
    return {"type": "CubaLIF", "tau_syn": 0.01 * one, "tau_mem": 0.02 * one, "r": one,
            "v_leak": 0 * one, "v_threshold": one, "v_reset": 0 * one, "w_in": one, **changes}  # fmt: skip


def delay(*seconds):
    return {"type": "Delay", "delay": np.array(seconds, dtype=float)}


def scale(n=2):
    return {"type": "Scale", "scale": np.ones(n)}


#: layers after the input of 3, contract words, class, part of the message
ERRORS = [
    ([affine(weight=np.full((2, 3), np.nan)), lif()], {}, InputError, "weight: 6 of 6 values are NaN"),
    ([affine(), lif(tau=np.array([0.01, np.inf]))], {}, InputError, "tau: 1 of 2 values are NaN or inf"),
    ([affine(), lif(v_threshold=np.array([1, -np.inf]))], {}, InputError, "v_threshold: 1 of 2"),
    ([affine(), lif(v_reset=np.array([0, np.inf]))], {}, InputError, "v_reset: 1 of 2"),
    ([affine(), lif(tau=np.array([0.01, 0.0]))], {}, InputError, "tau is 0 s; a time constant is positive"),
    ([affine(), cuba(tau_syn=np.array([-1, 1.0]))], {}, InputError, "tau_syn is -1 s; a time constant"),
    ([affine(), lif(tau=np.array([0.01, 4e-4]))], {}, InputError, "2.5 times tau 0.0004 s: Euler steps are unstable"),
    ([affine(), lif(tau=np.full(2, 5e-4))], {}, InputError, "2 times tau 0.0005 s: Euler"),
    ([affine(), cuba(tau_mem=np.full(2, 4e-4))], {}, InputError, "2.5 times tau_mem"),
    ([affine(bias=np.zeros(3)), lif()], {}, ShapeError, r"bias has shape \(3,\), weight needs \(2,\)"),
    ([affine(weight=np.ones(3)), lif()], {}, ShapeError, r"weight has shape \(3,\), needs \[.., out, in\]"),
    ([affine(), lif(r=np.ones(3))], {}, ShapeError, "parameters need one shape"),
    ([affine(), lif(tau=np.zeros((0,)))], {}, InputError, "tau has no elements"),
    ([affine(weight=np.zeros((2, 0))), lif()], {}, InputError, "weight has no elements"),
    ([affine(), lif(tau=None)], {}, FileFormatError, "lacks tau"),
    ([affine(), lif(refractory=np.ones(2))], {}, FileFormatError, r"unknown fields \['refractory'\]"),
    ([affine(), {"type": "ALIF", "beta": np.ones(2)}], {}, UnsupportedNodeError, "'ALIF', which is not supported"),
    ([affine(), {"tau": np.ones(2)}], {}, FileFormatError, "has no type"),
    ([affine(), lif(tau="long")], {}, FileFormatError, "tau: is text"),
    ([affine(), delay(-1e-3, 0)], {}, InputError, "delay is -0.001 s; a signal cannot come before"),
    ([affine(), delay(1e-3, 1.5e-3)], {}, ContractError, "delay of 1.5 steps of 0.001 s is no whole number"),
    ([affine(), delay(1e-3, 1e12)], {}, InputError, "steps long; the limit is"),
    ([affine(), lif(v_threshold=np.array([1.0, 0.0]))], {"spikes": "multiple"}, InputError, "1 of 2 thresholds are not positive"),
    ([affine(n_out=4), lif()], {}, ShapeError, r"'n0' gives shape \(4,\), 'n1' takes \(2,\)"),
    ([lif(3), affine(n_in=4), lif()], {}, ShapeError, r"'n0' gives shape \(3,\), 'n1' takes \(4,\)"),
]  # fmt: skip


@pytest.mark.parametrize(("layers", "words", "error", "message"), ERRORS)
def test_errors_are_named(path, layers, words, error, message):
    samples.write_chain(path, *layers)
    with pytest.raises(error, match=message) as caught:
        read(path, Contract(dt=1e-3, **words))
    assert type(caught.value) is error
    assert str(path) in str(caught.value)
    assert any(f.severity == "error" for f in survey(path, Contract(dt=1e-3, **words)).findings)


WARNINGS = [
    ([affine(), lif(tau=np.array([0.01, 8e-4]))], {}, "an Euler step overshoots"),
    ([affine(), lif(v_threshold=np.full(2, -0.1), v_reset=np.full(2, -1.0))], {}, "fires without input"),
    ([affine(), lif(v_reset=np.array([0, 2.0]))], {}, "v_reset is above v_threshold in 1 of 2"),
    ([affine(), lif(v_reset=np.full(2, -0.5))], {"reset": "subtract"}, "reset subtract ignores it"),
    ([affine(), lif(v_threshold=np.zeros(2))], {"reset": "subtract"}, "subtracting them never resets"),
    ([affine(), lif(v_reset=np.full(2, -0.5))], {"v_min": -0.25}, "below v_min -0.25"),
    ([affine(), delay(1e-3, 1.4e-3), lif()], {"delay_rounding": "nearest"}, "are rounded"),
    ([affine(weight=np.full((2, 3), 2**60)), lif()], {}, r"beyond 2\*\*53"),
    ([{**affine(), "metadata": {"dlif_gain": {"values": np.ones(2)}}}, lif()], {}, "dlif_gain on a Affine"),
]  # fmt: skip


@pytest.mark.parametrize(("layers", "words", "message"), WARNINGS)
def test_warnings_are_named_and_strict_stops_on_them(path, layers, words, message):
    samples.write_chain(path, *layers)
    options = Contract(dt=1e-3, **words)
    _, findings = read(path, options)
    assert any(re.search(message, f.what) for f in findings if f.severity == "warning")
    with pytest.raises(InputError, match=message):
        read(path, options, strict=True)


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ([affine(), lif(tau=np.full(2, 1e-9))], {"decay": "exponential"}),
        ([affine(), lif(tau=np.full(2, 1e-3))], {}),
        ([affine(), lif(tau=np.full(2, np.float32(1e-3)))], {}),
        ([affine(), lif(v_leak=np.full(2, 1.2))], {}),
        ([affine(), lif(v_threshold=np.array([1, np.inf]))], {}),
        ([affine(), delay(0.0, 3e-3), lif()], {}),
        ([affine(), delay(np.float32(3e-3), 0.3), lif()], {}),
        ([affine(), lif(v_reset=np.full(2, -5.0))], {}),
    ],
)
def test_what_is_legal_makes_no_noise(path, layers, words):
    samples.write_chain(path, *layers)
    _, findings = read(path, Contract(dt=1e-3, **words))
    assert not [f for f in findings if f.severity != "info" and f.where != "contract"]


def test_everything_is_said_at_once(path):
    nodes = {
        "input": end("Input", 3),
        "fc": affine(weight=np.full((2, 3), np.inf), bias=np.zeros(5)),
        "lif": lif(tau=np.array([-1.0, 1.0])),
        "odd": {"type": "ALIF"},
        "delay": delay(-1.0, 0.0),
        "output": end("Output", 2),
    }
    edges = [("input", "fc"), ("fc", "lif"), ("lif", "delay"), ("delay", "output"), ("lif", "nowhere"),
             ("lif", "delay")]  # fmt: skip
    samples.write_nir(path, nodes, edges)
    with pytest.raises(InputError) as error:
        read(path)
    for part in ("weight: 6 of 6", "bias has shape (5,)", "tau is -1 s", "'ALIF'", "delay is -1 s",
                 "no node 'nowhere'", "appears 2 times", "dt (seconds per step)"):  # fmt: skip
        assert part in str(error.value)


def test_very_many_findings_are_cut(path):
    nodes, _ = chain(affine(), lif())
    nodes |= {f"x{i}": {"type": "Odd"} for i in range(100)}
    samples.write_nir(path, nodes, [("input", "n0"), ("n0", "n1"), ("n1", "output")])
    with pytest.raises(UnsupportedNodeError, match="100 findings stop here") as error:
        read(path, FULL)
    assert "and 60 more" in str(error.value)
    assert len(survey(path, FULL).findings) > 100


# -- edges and ends ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        ([("input", "n0"), ("n0", "n1"), ("n1", "output")] * 2, "the edge from 'n0' appears 2 times"),
        ([("input", "n0"), ("n1", "output")], "no path leads from the input 'input' to the output"),
        ([("input", "n0"), ("n0", "n2"), ("n1", "output")], "there is no node 'n2' .nodes: 'input', 'n0'"),
        ([("input", "n0"), ("n0", "n1"), ("n1", "output"), ("n1", "input")], "Input receives an edge from 'n1'"),
        ([("input", "n0"), ("n0", "n1"), ("n1", "output"), ("output", "n1")], "Output has an edge to 'n1'"),
        ([], "no path"),
    ],
)  # fmt: skip
def test_bad_edges_are_named(path, edges, message):
    samples.write_nir(path, chain(affine(), lif())[0], edges)
    with pytest.raises(InputError, match=message):
        read(path, FULL)


def test_an_edge_to_nowhere_names_the_edge_and_both_ends(path):
    edges = [("input", "n0"), ("n0", "n1"), ("n1", "output"), ("gone", "lost")]
    samples.write_nir(path, chain(affine(), lif())[0], edges)
    with pytest.raises(InputError, match="edge 'gone' -> 'lost'") as error:
        read(path, FULL)
    assert "no node 'gone'" in str(error.value)
    assert "no node 'lost'" in str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"input": None}, "has 0 Input nodes; exactly one"),
        ({"output": None}, "has 0 Output nodes; exactly one"),
        ({"second": end("Input", 3)}, r"has 2 Input nodes \('input', 'second'\)"),
        ({"second": end("Output", 2)}, r"has 2 Output nodes \('output', 'second'\)"),
        ({"input": end("Input")}, "shape is empty"),
        ({"input": end("Input", 0)}, r"shape is \[0\]; needs numbers from 1 on"),
        ({"input": end("Input", -3)}, r"shape is \[-3\]"),
        ({"input": {"type": "Input", "shape": np.array([2.5])}}, "needs whole numbers"),
        ({"input": {"type": "Input", "shape": np.array([2**40])}}, "more than the limit"),
        ({"input": {"type": "Input", "shape": np.array([np.nan])}}, "needs whole numbers"),
    ],
)
def test_bad_ends_are_named(path, change, message):
    nodes, edges = chain(affine(), lif())
    nodes = {k: v for k, v in {**nodes, **change}.items() if v is not None}
    edges = [edge for edge in edges if set(edge) <= set(nodes)]
    samples.write_nir(path, nodes, edges)
    with pytest.raises(InputError, match=message):
        read(path, FULL)


def test_an_empty_graph_is_named(path):
    samples.write_nir(path, {}, [])
    with pytest.raises(InputError, match="has no nodes"):
        read(path, FULL)


def test_unknown_fields_of_a_graph_are_named(path):
    samples.write_chain(path, affine(), lif())
    with h5py.File(path, "r+") as file:
        file["node/colour"] = 3
    with pytest.raises(FileFormatError, match=r"the graph has unknown fields \['colour'\]"):
        read(path, FULL)


@pytest.mark.parametrize("edges", ["text", np.ones((3, 2)), np.array([b"a", b"b"])])
def test_edges_of_another_form_are_named(path, edges):
    samples.write_chain(path, affine(), lif())
    with h5py.File(path, "r+") as file:
        del file["node/edges"]
        file["node/edges"] = edges
    with pytest.raises(FileFormatError, match="edges must be an N x 2 array"):
        read(path, FULL)


def test_nodes_that_influence_nothing_are_left_out_and_said(path):
    nodes, edges = chain(affine(), lif())
    nodes["side"] = affine(5, 2)
    nodes["after"] = lif(5)
    samples.write_nir(path, nodes, [*edges, ("n1", "side"), ("side", "after")])
    graph, findings = read(path, FULL)
    assert set(graph.nodes) == {"input", "n0", "n1", "output"}
    said = {f.where for f in findings if "left out" in f.what and f.severity == "warning"}
    assert said == {"node 'side'", "node 'after'"}


def test_a_read_out_beside_the_way_to_the_output_is_kept(path):
    nodes, edges = chain(affine(), lif())
    nodes["side"] = affine(5, 2)
    samples.write_nir(path, nodes, [*edges, ("n1", "side")])
    graph, _ = read(path, Contract(dt=1e-3, readout_node="side"))
    assert set(graph.nodes) == set(nodes)
    assert graph.contract.readout_kind == "sum"


def test_nodes_on_bias_alone_are_kept_and_said(path):
    nodes, edges = chain(affine(), lif())
    nodes |= {"drive": lif(2), "weights": affine(2, 2)}
    samples.write_nir(path, nodes, [*edges, ("drive", "weights"), ("weights", "n1")])
    graph, findings = read(path, FULL)
    assert set(graph.nodes) == set(nodes)
    said = {f.where for f in findings if "bias alone" in f.what and f.severity == "warning"}
    assert said == {"node 'drive'", "node 'weights'"}


# -- cycles --------------------------------------------------------------------------------------


def looped(*loop):
    """n0 -> n1 -> output, and n1 -> loop nodes -> n1."""
    nodes, edges = chain(affine(), scale())
    names = [f"l{i}" for i in range(len(loop))]
    nodes |= dict(zip(names, loop, strict=True))
    way = ["n1", *names, "n1"]
    return nodes, [*edges, *zip(way, way[1:], strict=False)]


@pytest.mark.parametrize("loop", [[], [affine(2, 2)], [scale(), affine(2, 2)], [delay(0, 1e-3)]])
def test_cycles_without_state_are_errors(path, loop):
    samples.write_nir(path, *looped(*loop))
    with pytest.raises(InputError, match="form a cycle without a neuron") as error:
        read(path, FULL)
    assert "'n1'" in str(error.value)
    assert "'n0'" not in str(error.value)


@pytest.mark.parametrize(
    "node", [lif(), cuba(), delay(1e-3, 2e-3), {"type": "Threshold", "threshold": np.ones(2)},
             {"type": "I", "r": np.ones(2)}]
)  # fmt: skip
def test_cycles_with_state_are_legal(path, node):
    samples.write_nir(path, *looped(affine(2, 2), node))
    graph, _ = read(path, FULL)
    assert graph.sources_of("n1") == ("n0", "l1")


@pytest.mark.parametrize(("rounding", "valid"), [("nearest", True), ("floor", False)])
def test_a_delay_breaks_a_cycle_as_it_is_rounded(path, rounding, valid):
    samples.write_nir(path, *looped(delay(0.7e-3, 0.7e-3)))
    options = Contract(dt=1e-3, delay_rounding=rounding)
    if valid:
        read(path, options)
    else:
        with pytest.raises(InputError, match="form a cycle"):
            read(path, options)


# -- gains ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gain", "message"),
    [
        ({"values": np.array([1.0, 0.0]), "after": "last"}, "gains must be positive"),
        ({"values": np.array([1.0, np.nan])}, "gains must be positive"),
        ({"values": np.ones((2, 2))}, "values need shape"),
        ({"values": np.ones(2), "after": "zero"}, "after 'zero' is not supported"),
        ({"after": "last"}, "has no values"),
    ],
)
def test_bad_gains_are_named(path, gain, message):
    samples.write_chain(path, affine(), lif(metadata={"dlif_gain": gain}))
    with pytest.raises(InputError, match=message):
        read(path, FULL)


# -- nested graphs -------------------------------------------------------------------------------


def inner(**more):
    nodes = {"input": end("Input", 2), "lif": lif(), "output": end("Output", 2), **more}
    return nested(nodes, [("input", "lif"), ("lif", "output")])


def test_nested_graphs_become_flat(path):
    samples.write_chain(path, affine(), inner())
    graph, _ = read(path, FULL)
    assert set(graph.nodes) == {"input", "n0", "n1/input", "n1/lif", "n1/output", "output"}
    assert graph.contract.readout_node == "n1/lif"
    assert graph.contract.readout_kind == "count"
    assert ("n0", "n1/input") in graph.edges
    assert ("n1/output", "output") in graph.edges
    assert type(graph.nodes["n1/input"]).__name__ == "Junction"


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (inner(more=end("Input", 2)), "has 2 Input nodes; an edge needs exactly one"),
        (nested({"lif": lif()}, []), "has 0 Input nodes"),
        (nested({"input": end("Input", 2), "output": end("Output", 2)}, [("input", "lof")]),
         "no node 'lof' in the nested graph 'n1'"),
    ],
)  # fmt: skip
def test_broken_nested_graphs_are_named(path, node, message):
    samples.write_chain(path, affine(), node)
    with pytest.raises(InputError, match=message):
        read(path, FULL)


def test_the_contract_of_a_nested_graph_is_ignored_and_said(path):
    node = {**inner(), "metadata": {"neurodeploy": {"schema": 1, "dt": 5.0}}}
    samples.write_chain(path, affine(), node)
    graph, findings = read(path, FULL)
    assert graph.contract.dt == 1e-3
    assert any("nested graph is ignored" in f.what for f in findings)


# -- repair --------------------------------------------------------------------------------------


def renamed(path, *stray):
    nodes, edges = chain(affine(), lif())
    nodes |= {name: lif() for name in stray}
    wrong = [tuple("old" if end == "n1" else end for end in edge) for edge in edges]
    return samples.write_nir(path, nodes, wrong)


def test_a_renamed_node_is_repaired_on_request_only(path):
    renamed(path)
    with pytest.raises(InputError, match=r"no node 'old' .the node 'n1' has no edge.*repair=True"):
        read(path, FULL)
    graph, findings = read(path, FULL, repair=True)
    assert graph.edges == (("input", "n0"), ("n0", "n1"), ("n1", "output"))
    assert any("'old' now say 'n1'" in f.what for f in findings if f.severity == "warning")
    path.with_suffix(".again").write_bytes(graph.nir_file)
    again, _ = read(path.with_suffix(".again"), FULL)
    assert again.edges == graph.edges


def test_an_ambiguous_repair_is_not_made(path):
    renamed(path, "other")
    with pytest.raises(InputError, match="no node 'old'"):
        read(path, FULL, repair=True)


def test_a_good_file_is_not_repaired(path):
    samples.write_chain(path, affine(), lif())
    graph, findings = read(path, FULL, repair=True)
    assert not [f for f in findings if "repair" in f.what]
    assert graph.nir_file == path.read_bytes()


# -- surveys -------------------------------------------------------------------------------------


def test_a_survey_says_what_is_known_about_a_broken_graph(path):
    nodes, edges = chain(affine(), {"type": "Odd"}, affine(4, 2), n_out=(4,))
    samples.write_nir(path, nodes, edges, version="1.0.4")
    found = survey(path)
    assert found.graph is None
    assert found.kinds["n1"] == "Odd"
    assert "n1" not in found.nodes
    assert found.shapes["n0"] == ((3,), (2,))
    assert found.shapes["n2"] == ((2,), (4,))
    assert found.version == "1.0.4"
    assert found.contract.reset == "value"
    assert {f.severity for f in found.findings} == {"info", "warning", "error"}


def test_a_survey_of_a_good_graph_has_the_graph(path):
    samples.write_chain(path, affine(), lif())
    found = survey(path, FULL)
    graph, findings = read(path, FULL)
    assert found.findings == findings
    assert found.graph.edges == graph.edges
    assert found.graph.shapes == graph.shapes


def test_a_layer_beyond_the_limit_is_named(path):
    weight = np.ones((1, 1, 1, 1))
    nodes = chain(conv(weight, padding=[2**20, 2**20]), n_in=(1, 4, 4), n_out=(1,))
    samples.write_nir(path, *nodes)
    with pytest.raises(ShapeError, match="values, more than the limit of"):
        read(path, FULL)
