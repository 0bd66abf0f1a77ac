"""Unusual files that mean something exact: they read, and as what they say."""

import h5py
import nir
import nir_samples as samples
import numpy as np
import pytest
from h5py import h5d, h5p, h5s, h5t
from nir_samples import affine, chain, conv, end, lif

from neurodeploy.errors import FileFormatError, InputError
from neurodeploy.graph import NODE_TYPES, Contract, read
from neurodeploy.graph.nodes import array_fields

FULL = Contract(dt=1e-3, steps=4)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.nir"


# -- number types --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "dtype",
    ["f2", ">f2", "f4", ">f4", "f8", ">f8", "i1", "u1", ">i2", "i4", ">i8", "u8", "g"],
)
@pytest.mark.parametrize(
    "keywords", [{}, {"compression": "gzip"}, {"compression": "gzip", "shuffle": True},
                 {"compression": "gzip", "fletcher32": True}, {"compression": "lzf"}]
)  # fmt: skip
def test_every_real_type_and_packing_reads_exactly(path, dtype, keywords):
    values = np.random.default_rng(0).integers(0, 100, (5, 7))
    weight = values.astype(dtype)
    samples.write_chain(
        path, affine(weight=weight, bias=np.zeros(5)), n_in=(7,), n_out=(5,), **keywords
    )
    read_back = read(path, FULL).value.nodes["n0"].weight
    assert np.array_equal(read_back, values)
    assert read_back.dtype == weight.dtype.newbyteorder("=")
    assert read_back.dtype.isnative


def twelve_bits():
    tid = h5t.STD_I16LE.copy()
    tid.set_precision(12)
    tid.set_offset(4)
    return tid


def bfloat16():
    tid = h5t.IEEE_F32LE.copy()
    tid.set_fields(15, 7, 8, 0, 7)
    tid.set_size(2)
    tid.set_ebias(127)
    return tid


@pytest.mark.parametrize("make", [twelve_bits, bfloat16])
@pytest.mark.parametrize("packed", [False, True])
def test_number_types_that_numpy_lacks_are_converted(path, make, packed):
    samples.write_chain(path, affine(), lif())
    values = np.arange(1.0, 7).reshape(2, 3)
    plist = h5p.create(h5p.DATASET_CREATE)
    plist.set_chunk((2, 2))
    if packed:
        plist.set_deflate(4)
    with h5py.File(path, "r+") as file:
        del file["node/nodes/n0/weight"]
        name, space = b"node/nodes/n0/weight", h5s.create_simple((2, 3))
        h5d.create(file.id, name, make(), space, plist).write(h5s.ALL, h5s.ALL, values)
    assert np.array_equal(read(path, FULL).value.nodes["n0"].weight, values)


@pytest.mark.parametrize("keywords", [{}, {"compression": "gzip"}, {"chunks": (1, 2)}])
@pytest.mark.parametrize("dtype", [h5py.string_dtype(), "S10"])
def test_edges_are_read_however_they_are_packed(path, dtype, keywords):
    samples.write_chain(path, affine(), lif())
    with h5py.File(path, "r+") as file:
        edges = file["node/edges"][()].astype(object)
        del file["node/edges"]
        file.create_dataset("node/edges", data=edges.astype("S") if dtype == "S10" else edges,
                            dtype=dtype, **keywords)  # fmt: skip
    assert read(path, FULL).value.edges == (("input", "n0"), ("n0", "n1"), ("n1", "output"))


def test_gzip_on_top_of_another_filter_is_named(path):
    samples.write_chain(path, affine(), lif())
    with h5py.File(path, "r+") as file:
        del file["node/nodes/n0/weight"]
        file.create_dataset("node/nodes/n0/weight", data=np.ones((2, 3)), compression="gzip",
                            scaleoffset=3)  # fmt: skip
    with pytest.raises(FileFormatError, match="packed with gzip and HDF5 filter 6 at once"):
        read(path, FULL)


@pytest.mark.parametrize("chunks", [(1, 1), (2, 3), (5, 7), (4, 7), (5, 4)])
def test_chunks_that_do_not_divide_the_array_read_exactly(path, chunks):
    weight = np.random.default_rng(0).normal(size=(5, 7)).astype("f4")
    fields = affine(weight=weight, bias=np.zeros(5))
    samples.write_chain(path, fields, n_in=(7,), n_out=(5,))
    with h5py.File(path, "r+") as file:
        del file["node/nodes/n0/weight"]
        file.create_dataset(
            "node/nodes/n0/weight", data=weight, chunks=chunks, maxshape=(None, None),
            compression="gzip",
        )  # fmt: skip
    assert np.array_equal(read(path, FULL).value.nodes["n0"].weight, weight)


def test_infinities_of_float16_and_booleans(path):
    samples.write_chain(
        path, affine(weight=np.array([[True, False, True]] * 2)),
        lif(v_threshold=np.array([1, np.inf], "f2")),
    )  # fmt: skip
    graph, findings = read(path, FULL)
    assert np.array_equal(graph.nodes["n0"].weight, [[1, 0, 1]] * 2)
    assert graph.nodes["n0"].weight.dtype.kind == "u"
    assert any("booleans" in f.what for f in findings)


# -- fields left out -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["LIF", "IF", "CubaLIF"])
def test_a_missing_v_reset_is_zeros(path, kind):
    one = np.ones(2, "f4")
    fields = {
        "LIF": lif(v_reset=None),
        "IF": {"type": "IF", "r": one, "v_threshold": one},
        "CubaLIF": {"type": "CubaLIF", "tau_syn": one, "tau_mem": one, "r": one, "v_leak": one,
                    "v_threshold": one},
    }[kind]  # fmt: skip
    samples.write_chain(path, affine(), fields)
    graph, findings = read(path, FULL)
    assert np.array_equal(graph.nodes["n1"].v_reset, np.zeros(2))
    assert any("v_reset is not in the file" in f.what for f in findings)


@pytest.mark.parametrize("kind", ["CubaLI", "CubaLIF"])
@pytest.mark.parametrize("w_in", [None, 2.0, np.array([2.0]), np.array([2.0, 2.0])])
def test_w_in_is_one_unless_said_and_may_be_a_scalar(path, kind, w_in):
    one = np.ones(2)
    fields = {"type": kind, "tau_syn": one, "tau_mem": one, "r": one, "v_leak": one}
    fields |= {"v_threshold": one} if kind == "CubaLIF" else {}
    fields |= {} if w_in is None else {"w_in": w_in}
    samples.write_chain(path, affine(), fields)
    node = read(path, FULL).value.nodes["n1"]
    assert np.array_equal(node.w_in, np.full(2, 1.0 if w_in is None else 2.0))


def test_parameters_without_axes_hold_for_the_whole_layer(path):
    scalars = {k: v if k == "type" else v[0] for k, v in lif().items()}
    samples.write_chain(path, affine(), scalars, {"type": "Scale", "scale": 3.0})
    graph, findings = read(path, FULL)
    assert np.array_equal(graph.nodes["n1"].tau, np.full(2, 0.01))
    assert np.array_equal(graph.nodes["n2"].scale, np.full(2, 3.0))
    assert graph.shapes["n1"] == ((2,), (2,))
    assert sum("hold for the whole layer" in f.what for f in findings) == 2


def test_some_parameters_without_axes(path):
    samples.write_chain(path, affine(bias=0.5), lif(tau=0.02))
    graph, _ = read(path, FULL)
    assert np.array_equal(graph.nodes["n1"].tau, np.full(2, 0.02))
    assert np.array_equal(graph.nodes["n0"].bias, np.full(2, 0.5))


def test_scalars_take_the_shape_of_what_follows_where_nothing_comes_before(path):
    scalars = {k: v if k == "type" else v[0] for k, v in lif().items()}
    nodes, edges = chain(affine(), lif())
    nodes |= {"drive": scalars, "back": affine(2, 2)}
    samples.write_nir(path, nodes, [*edges, ("drive", "back"), ("back", "n1")])
    assert read(path, FULL).value.shapes["drive"] == ((2,), (2,))


def test_a_loop_of_scalars_has_no_shape(path):
    scale = {"type": "Scale", "scale": 1.0}
    nodes, edges = chain(affine(), lif())
    nodes |= {"a": scale, "b": {**scale}, "c": conv(np.ones((1, 1, 1, 1)))}
    more = [("a", "b"), ("b", "a"), ("b", "c")]
    samples.write_nir(path, nodes, [*edges, *more])
    with pytest.raises(InputError, match="nodes 'a', 'b', 'c': their shapes follow from nothing"):
        read(path, FULL)


# -- versions ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "severity"),
    [(None, "info"), ("0.2.0", None), ("1.0", None), ("1.0.8", None), ("1.0.5.dev3+gabc", None),
     ("1.0.9", "warning"), ("2.0", "warning"), ("spring", "warning"), (7, "warning")],
)  # fmt: skip
def test_the_version_is_read_and_only_oddities_are_said(path, version, severity):
    samples.write_chain(path, affine(), lif(), version=version)
    _, findings = read(path, FULL)
    said = [f.severity for f in findings if f.where == "file"]
    assert said == ([] if severity is None else [severity])


def test_a_file_of_nir_0_1(path):
    """No version, no v_reset, no w_in, no input_shape, no input_type; strides as plain numbers."""
    kernel = np.ones((2, 1, 3, 3))
    layers = [
        {"type": "Conv2d", "weight": kernel, "bias": np.zeros(2), "stride": 1, "padding": 1,
         "dilation": 1, "groups": 1},
        {"type": "IF", "r": np.ones((2, 4, 4)), "v_threshold": np.ones((2, 4, 4))},
        {"type": "Flatten", "start_dim": 0, "end_dim": -1},
        affine(2, 32),
        {"type": "CubaLIF", "tau_syn": np.ones(2), "tau_mem": np.ones(2), "r": np.ones(2),
         "v_leak": np.zeros(2), "v_threshold": np.ones(2)},
    ]  # fmt: skip
    samples.write_chain(path, *layers, n_in=(1, 4, 4), version=None)
    graph, _ = read(path, FULL)
    assert graph.shapes["n0"] == ((1, 4, 4), (2, 4, 4))
    assert graph.nodes["n0"].stride == (1, 1)
    assert graph.nodes["n0"].padding == (1, 1)
    assert graph.nodes["n0"].input_shape is None
    assert graph.shapes["n2"] == ((2, 4, 4), (32,))


# -- every node, from a file and from an object --------------------------------------------------


def every_node():
    """One nir node of every type, with its input and output shape."""
    rng = np.random.default_rng(0)

    def vector(*shape):
        return rng.uniform(0.5, 1.5, shape).astype(np.float32)

    three = [vector(3) for _ in range(7)]
    return {
        "Affine": (nir.Affine(vector(2, 3), vector(2)), (3,), (2,)),
        "Linear": (nir.Linear(vector(2, 3)), (3,), (2,)),
        "Scale": (nir.Scale(vector(3)), (3,), (3,)),
        "Conv1d": (nir.Conv1d(6, vector(2, 1, 3), 2, 1, 1, 1, vector(2)), (1, 6), (2, 3)),
        "Conv2d": (
            nir.Conv2d((6, 6), vector(2, 1, 3, 3), 2, (1, 1), 1, 1, vector(2)), (1, 6, 6), (2, 3, 3),
        ),
        "SumPool2d": (
            nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])), (1, 4, 4), (1, 2, 2),
        ),
        "AvgPool2d": (
            nir.AvgPool2d(np.array([3, 3]), np.array([2, 2]), np.array([1, 1])), (1, 4, 4), (1, 2, 2),
        ),
        "Flatten": (nir.Flatten({"input": np.array([2, 3])}, 0, -1), (2, 3), (6,)),
        "Threshold": (nir.Threshold(vector(3)), (3,), (3,)),
        "Delay": (nir.Delay(np.array([1e-3, 2e-3, 0])), (3,), (3,)),
        "I": (nir.I(vector(3)), (3,), (3,)),
        "LI": (nir.LI(*three[:3]), (3,), (3,)),
        "IF": (nir.IF(*three[:3]), (3,), (3,)),
        "LIF": (nir.LIF(*three[:5]), (3,), (3,)),
        "CubaLI": (nir.CubaLI(*three[:5]), (3,), (3,)),
        "CubaLIF": (nir.CubaLIF(*three), (3,), (3,)),
    }  # fmt: skip


def graph_of(node, n_in, n_out):
    node.metadata = {"note": "kept", "list": np.arange(3)}
    nodes = {"input": nir.Input({"input": np.array(n_in)}), "node": node,
             "output": nir.Output({"output": np.array(n_out)})}  # fmt: skip
    return nir.NIRGraph(nodes, [("input", "node"), ("node", "output")], type_check=False)


def test_there_is_one_of_every_type():
    assert set(every_node()) | {"Input", "Output", "NIRGraph"} == set(NODE_TYPES)


@pytest.mark.parametrize("kind", sorted(every_node()))
def test_every_node_reads_alike_from_file_object_and_rewritten_file(path, kind):
    node, n_in, n_out = every_node()[kind]
    nir_graph = graph_of(node, n_in, n_out)
    nir.write(path, nir_graph)
    from_file, _ = read(path, FULL)
    from_object, _ = read(nir_graph, FULL)
    rewritten = path.with_suffix(".again")
    rewritten.write_bytes(from_object.nir_file)
    again, _ = read(rewritten, FULL)
    assert type(from_file.nodes["node"]).__name__ == kind
    assert from_file.shapes["node"] == (n_in, n_out)
    for other in (from_object, again):
        assert other.shapes == from_file.shapes
        assert other.edges == from_file.edges
        assert same(other.nodes["node"], from_file.nodes["node"])
    for field, array in array_fields(from_file.nodes["node"]).items():
        assert np.array_equal(array, getattr(node, field))
        assert array.dtype == getattr(node, field).dtype
    nir.read(rewritten, type_check=False)


def same(a, b):
    """Whether two nodes have equal fields, metadata included."""
    names = [name for kind in type(a).__mro__ for name in getattr(kind, "__slots__", ())]
    for name in names:
        left, right = getattr(a, name), getattr(b, name)
        if name == "metadata":
            assert left["note"] == right["note"] == "kept"
            assert np.array_equal(left["list"], right["list"])
        elif isinstance(left, np.ndarray):
            if left.dtype != right.dtype or not np.array_equal(left, right):
                return False
        elif left != right:
            return False
    return type(a) is type(b) and len(names) > 1


def test_a_graph_without_an_edge_array_of_strings_reads(path):
    """h5py writes no edges as an array of numbers."""
    samples.write_nir(path, {"input": end("Input", 1), "output": end("Output", 1)}, [])
    with pytest.raises(InputError, match="no path leads"):
        read(path, FULL)
