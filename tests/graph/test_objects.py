"""Graphs in memory: ``nir.NIRGraph`` and a Graph that was read before."""

import nir
import numpy as np
import pytest
import torch

from neurodeploy.errors import InputError, UnsupportedNodeError
from neurodeploy.graph import Contract, ReadLimits, read

FULL = Contract(dt=1e-3, steps=4)


def lif(n=2, **changes):
    values = {"tau": np.full(n, 0.01), "r": np.ones(n), "v_leak": np.zeros(n),
              "v_threshold": np.ones(n), "v_reset": np.zeros(n)}  # fmt: skip
    node = nir.LIF(**values)
    for name, value in changes.items():
        setattr(node, name, value)
    return node


def graph_of(nodes, edges=None, **keywords):
    nodes = {"input": nir.Input({"input": np.array([3])}), **nodes,
             "output": nir.Output({"output": np.array([2])})}  # fmt: skip
    names = list(nodes)
    edges = edges if edges is not None else list(zip(names, names[1:], strict=False))
    return nir.NIRGraph(nodes, edges, type_check=False, **keywords)


def dense(**changes):
    return graph_of({"fc": nir.Affine(np.ones((2, 3)), np.zeros(2)), "lif": lif(**changes)})


def test_torch_tensors_are_arrays():
    weight = torch.randn(2, 3, requires_grad=True)
    nodes = {"fc": nir.Linear(np.ones((2, 3))), "lif": lif(tau=torch.full((2,), 0.01))}
    nodes["fc"].weight = weight
    graph, _ = read(graph_of(nodes), FULL)
    assert np.array_equal(graph.nodes["fc"].weight, weight.detach().numpy())
    assert graph.nodes["fc"].weight.dtype == np.float32


def test_bfloat16_and_lists_and_numbers():
    weight = torch.randn(2, 3, dtype=torch.bfloat16)
    nodes = {"fc": nir.Linear(np.ones((2, 3))), "lif": lif(tau=[0.01, 0.02], r=5.0)}
    nodes["fc"].weight = weight
    graph, _ = read(graph_of(nodes), FULL)
    assert np.array_equal(graph.nodes["fc"].weight, weight.float().numpy())
    assert np.array_equal(graph.nodes["lif"].r, [5.0, 5.0])


def test_the_graph_does_not_follow_later_changes_of_the_object():
    nir_graph = dense()
    graph, _ = read(nir_graph, FULL)
    before = graph.nir_file
    nir_graph.nodes["fc"].weight[:] = 7
    nir_graph.nodes["lif"].metadata["x"] = 1
    assert graph.nodes["fc"].weight.max() == 1
    assert graph.nir_file == before


def test_graphs_that_nir_cannot_write_have_a_file(tmp_path):
    """Parameters without axes, and a convolution whose input shape is None."""
    conv = nir.Conv2d(None, np.ones((2, 1, 3, 3)), 1, 0, 1, 1, np.zeros(2))
    nodes = {
        "conv": conv,
        "flat": nir.Flatten(None, 0, -1),
        "lif": lif(),
        "scale": nir.Scale(np.array(2.0)),
    }
    for name in ("tau", "r", "v_leak", "v_threshold", "v_reset"):
        setattr(nodes["lif"], name, np.array(0.5))
    nir_graph = graph_of(nodes)
    nir_graph.nodes["input"] = nir.Input({"input": np.array([1, 3, 3])})
    with pytest.raises((TypeError, ValueError)):
        nir.write(tmp_path / "theirs.nir", nir_graph)
    graph, _ = read(nir_graph, FULL)
    (tmp_path / "ours.nir").write_bytes(graph.nir_file)
    again, _ = read(tmp_path / "ours.nir", FULL)
    assert again.shapes == graph.shapes
    assert again.shapes["lif"] == ((2,), (2,))
    assert np.array_equal(again.nodes["lif"].tau, graph.nodes["lif"].tau)


def test_a_file_in_memory_is_the_same_each_time_and_nir_reads_it(tmp_path):
    graph, _ = read(dense(), FULL)
    assert graph.nir_file == graph.nir_file
    (tmp_path / "net.nir").write_bytes(graph.nir_file)
    theirs = nir.read(tmp_path / "net.nir")
    assert set(theirs.nodes) == set(graph.nodes)


def test_nested_objects_and_their_metadata(tmp_path):
    inner = nir.NIRGraph(
        {"input": nir.Input({"input": np.array([2])}), "lif": lif(),
         "output": nir.Output({"output": np.array([2])})},
        [("input", "lif"), ("lif", "output")],
    )  # fmt: skip
    metadata = {
        "a": {"b": {"c": 1.5}},
        "words": "some",
        "empty": None,
        "neurodeploy": {"schema": 1, "dt": 1e-3},
    }
    fc = nir.Affine(np.ones((2, 3)), np.zeros(2))
    graph, _ = read(graph_of({"fc": fc, "block": inner}, metadata=metadata))
    assert set(graph.nodes) == {"input", "fc", "block/input", "block/lif", "block/output", "output"}
    (tmp_path / "net.nir").write_bytes(graph.nir_file)
    again, _ = read(tmp_path / "net.nir")
    assert again.edges == graph.edges
    assert again.metadata["a"]["b"]["c"] == 1.5
    assert nir.read(tmp_path / "net.nir").nodes["block"].nodes["lif"].tau[0] == 0.01


def test_a_convolution_without_bias_has_zeros():
    conv = nir.Conv2d((3, 3), np.ones((2, 1, 3, 3), np.float32), 1, 0, 1, 1, None)
    nir_graph = graph_of({"conv": conv, "flat": nir.Flatten(None, 0, -1)})
    nir_graph.nodes["input"] = nir.Input({"input": np.array([1, 3, 3])})
    graph, findings = read(nir_graph, FULL)
    assert np.array_equal(graph.nodes["conv"].bias, [0, 0])
    assert any("bias is None" in f.what for f in findings)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tau": np.array(["a", "b"])}, "tau: has the type <U1"),
        ({"tau": np.array([1j, 2j])}, "tau: has the type complex128"),
        ({"tau": None}, "lacks tau"),
        ({"tau": [[1.0], [1.0, 2.0]]}, "tau: cannot be made an array"),
        ({"tau": np.array([{}, {}])}, "tau: has the type object"),
    ],
)
def test_values_of_wrong_types_are_named(changes, message):
    with pytest.raises(InputError, match=f"node 'lif'.*{message}"):
        read(dense(**changes), FULL)


def test_unknown_node_classes_are_named():
    nir_graph = dense()
    nir_graph.nodes["lif"] = None
    with pytest.raises(UnsupportedNodeError, match="'NoneType', which is not supported"):
        read(nir_graph, FULL)


def test_subclasses_count_as_their_node():
    class Fancy(nir.LIF):
        pass

    nir_graph = dense()
    nir_graph.nodes["lif"] = Fancy(*(np.ones(2) for _ in range(5)))
    assert type(read(nir_graph, FULL).value.nodes["lif"]).__name__ == "LIF"


def test_edges_of_another_form_are_named():
    nir_graph = dense()
    nir_graph.edges = [("input", "fc", "lif")]
    with pytest.raises(InputError, match="edges must be pairs"):
        read(nir_graph, FULL)


def test_graphs_and_metadata_that_contain_themselves_are_refused():
    nir_graph = dense()
    nir_graph.nodes["self"] = nir_graph
    with pytest.raises(InputError, match="max_depth"):
        read(nir_graph, FULL)
    nir_graph = dense()
    nir_graph.metadata["self"] = nir_graph.metadata
    with pytest.raises(InputError, match="metadata nests deeper"):
        read(nir_graph, FULL)


def test_too_many_nodes_are_refused():
    with pytest.raises(InputError, match="more than 3 nodes.*max_nodes="):
        read(dense(), FULL, limits=ReadLimits(max_nodes=3))


@pytest.mark.parametrize(
    "name", ["", "/a", "a/", "a//b", ".", "a/./b", "a\nb", "\x1b[31m", "x" * 600]
)
def test_names_that_no_file_can_hold_are_refused(name):
    nir_graph = dense()
    nir_graph.nodes[name] = nir_graph.nodes.pop("fc")
    with pytest.raises(InputError, match="its name"):
        read(nir_graph, FULL)


def test_a_slash_may_not_collide_with_a_nested_node():
    inner = nir.NIRGraph(
        {"input": nir.Input({"input": np.array([2])}), "lif": lif(),
         "output": nir.Output({"output": np.array([2])})},
        [("input", "lif"), ("lif", "output")],
    )  # fmt: skip
    fc = nir.Affine(np.ones((2, 3)), np.zeros(2))
    with pytest.raises(InputError, match="node 'block/lif': two nodes have this name"):
        read(graph_of({"fc": fc, "block": inner, "block/lif": lif()}), FULL)


def test_a_graph_may_be_read_again_under_other_words():
    graph, _ = read(dense(), FULL)
    again, findings = read(graph, Contract(reset="subtract"))
    assert again.contract.reset == "subtract"
    assert again.contract.dt == graph.contract.dt
    assert again.shapes == graph.shapes
    assert again.nir_file == graph.nir_file
    new = findings[len(graph.findings) :]
    assert findings[: len(graph.findings)] == graph.findings
    assert [f.severity for f in new] == ["warning"]
    with pytest.raises(InputError, match=r"dt = 0\.001.*--dt says 1 s"):
        read(graph, Contract(dt=1.0))


def test_other_objects_are_named():
    with pytest.raises(InputError, match="not dict"):
        read({}, FULL)
