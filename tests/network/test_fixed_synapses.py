import numpy as np
import pytest
from oracles.every_kind import LAYOUT, conv_synapse, sparse_synapse
from oracles.literal_synapses import literal_terms
from oracles.random_synapses import SynapsePlan, random_geometry

from neurodeploy.errors import RangeError, ShapeError
from neurodeploy.network import ConvLayout, FixedSynapse, SparseLayout


def dense(weight, **fields):
    return FixedSynapse("d", "a", "b", weight, fields.pop("weight_exp", 0), "mixed", **fields)


def random_synapse(rng, kind):
    layout, kernel, sizes = None, (), rng.integers(1, 15, 2)
    if kind == "conv":
        shape = tuple(int(n) for n in rng.integers(1, 7, 3))
        layout, kernel = random_geometry(rng, shape)
        sizes = np.prod(shape), np.prod(layout.output_shape)
    return SynapsePlan(
        "s", "a", "b", kind, int(sizes[0]), int(sizes[1]), layout=layout, kernel_shape=kernel,
        delays=(0, 9), per_weight=bool(rng.random() < 0.7),
    ).draw(rng, 0)  # fmt: skip


@pytest.mark.parametrize("kind", ["dense", "sparse", "conv"])
def test_connections_are_those_of_the_literal_synapse(kind):
    for seed in range(60):
        synapse = random_synapse(np.random.default_rng(seed), kind)
        assert synapse.kind == kind
        terms = sorted((j, i, w, d) for i, j, w, d in literal_terms(synapse).tolist())
        found = synapse.connections()
        columns = (found.source, found.target, found.weight, found.delay)
        assert list(zip(*(c.tolist() for c in columns), strict=True)) == terms
        assert {c.dtype for c in columns} == {np.dtype(np.int64)}
        sources, targets = ([t[k] for t in terms] for k in (0, 1))
        assert synapse.fan_out.tolist() == [sources.count(j) for j in range(synapse.size_in)]
        assert synapse.fan_in.tolist() == [targets.count(i) for i in range(synapse.size_out)]


def test_sizes_and_delays():
    conv, sparse = conv_synapse(), sparse_synapse()
    assert (conv.size_out, conv.size_in, conv.delays) == (12, 24, (0,))
    assert (sparse.size_out, sparse.size_in, sparse.delays) == (5, 12, (0, 1, 2, 3, 62))
    full = dense(np.ones((2, 3)), delay=4)
    assert (full.size_out, full.size_in, full.delays, full.kind) == (2, 3, (4,), "dense")


def test_one_delay_for_all_is_said_in_one_way():
    one = dense(np.ones((2, 2)), delay=np.full((2, 2), 5))
    assert one.delay == 5
    assert isinstance(one.delay, int)
    several = dense(np.ones((2, 2)), delay=np.array([[5, 5], [5, 6]]))
    assert several.delay.dtype == np.int32
    with pytest.raises(ValueError, match="read-only"):
        several.delay[0, 0] = 1


def test_a_sparse_matrix_may_be_empty():
    empty = FixedSynapse("s", "a", "b", np.zeros(0, int), 0, "mixed", layout=sparse([0, 0, 0], []))
    assert empty.delays == (0,)
    assert empty.connections().weight.size == 0
    assert empty.fan_out.tolist() == [0] * 4


def sparse(indptr, indices, n_source=4):
    return SparseLayout(np.array(indptr, int), np.array(indices, int), n_source)


@pytest.mark.parametrize(
    ("indptr", "indices", "message"),
    [
        ([], [], "indptr must ascend"),
        ([1, 2], [0, 1], "indptr must ascend from 0"),
        ([0, 2, 1], [0, 1], "indptr must ascend"),
        ([0, 1], [0, 1], "to 2, the number of indices"),
        ([0, 2], [1, 0], "ascend in each row"),
        ([0, 2], [1, 1], "ascend in each row"),
        ([0, 1], [4], r"lie in 0\.\.3"),
        ([0, 1], [-1], r"lie in 0\.\.3"),
    ],
)
def test_impossible_sparse_layouts_are_refused(indptr, indices, message):
    with pytest.raises(ShapeError, match=message):
        sparse(indptr, indices)


def test_rows_of_a_sparse_layout_may_be_empty_and_start_anew():
    layout = sparse([0, 2, 2, 3], [1, 3, 0])
    assert layout.indices.dtype == np.int32
    with pytest.raises(ValueError, match="read-only"):
        layout.indices[0] = 2


def conv(weight_shape=(2, 1, 3, 2), **fields):
    values = {name: getattr(LAYOUT, name) for name in ConvLayout.__slots__}
    layout = ConvLayout(**{**values, **fields})
    weight = np.ones(weight_shape, int)
    return FixedSynapse("c", "a", "b", weight, 0, "mixed", layout=layout)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"weight_shape": (2, 3, 2)}, r"\[C_out, C_in / groups, h, w\]"),
        ({"weight_shape": (2, 1, 0, 2)}, "none of them 0"),
        ({"weight_shape": (2, 2, 3, 2)}, "does not fit 2 -> 2 channels in 2 groups"),
        ({"weight_shape": (3, 1, 3, 2)}, "does not fit"),
        ({"groups": 0}, "in 0 groups"),
        ({"groups": 3}, "in 3 groups"),
        ({"stride": (0, 2)}, "at least 1"),
        ({"dilation": (1, 0)}, "at least 1"),
        ({"padding": (-1, 0)}, "at least 0"),
        ({"padding": (0, 0)}, "on axis 0, not 3"),
        ({"stride": (1, 1)}, "make 3 values of 4 on axis 1, not 2"),
        ({"dilation": (4, 1)}, "make 0 values of 3 on axis 0"),
        ({"output_shape": (2, 3, 3)}, "on axis 1, not 3"),
        ({"stride": (1, 1, 1)}, "needs 2 numbers"),
        ({"input_shape": (2, 12)}, "needs 3 numbers"),
        ({"groups": 1.5}, "whole number"),
    ],
)
def test_impossible_convolutions_are_refused(fields, message):
    with pytest.raises((ShapeError, RangeError), match=message):
        conv(**fields)


def test_numpy_integers_become_python_integers():
    layout = conv(stride=np.array([1, 2]), groups=np.int64(2)).layout
    assert layout == LAYOUT
    assert {type(n) for n in (*layout.stride, layout.groups)} == {int}
    synapse = dense([[1]], weight_exp=np.int8(3), delay=np.int64(2), message_bits=np.uint8(8))
    assert [type(getattr(synapse, n)) for n in ("weight_exp", "delay", "message_bits")] == [int] * 3


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"weight_exp": 1}, "neither: use a sparse synapse"),
        ({"delay": 1}, "neither: use a sparse synapse"),
    ],
)
def test_lavas_conv_has_no_exponent_and_no_delay(fields, message):
    values = {"weight_exp": 0, "delay": 0, **fields}
    with pytest.raises(RangeError, match=message):
        FixedSynapse("c", "a", "b", np.ones((2, 1, 3, 2)), values["weight_exp"], "mixed",
                     delay=values["delay"], layout=LAYOUT)  # fmt: skip


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: dense([[1.5]]), "whole numbers"),
        (lambda: dense([1, 2]), r"dense weight is \[out, in\]"),
        (lambda: dense(np.zeros((0, 3))), r"dense weight is \[out, in\]"),
        (lambda: dense([[1, 2]], delay=-1), "delay -1; a delay cannot be negative"),
        (lambda: dense([[1, 2]], delay=np.array([[1, -2]])), "delay -2"),
        (lambda: dense([[1, 2]], delay=np.array([[1], [2]])), "delay: has shape"),
        (lambda: dense([[1, 2]], delay=np.array([[0.5, 1]])), "whole numbers"),
        (lambda: dense([[1]], weight_exp=0.5), "whole number"),
        (lambda: FixedSynapse("d", "a", "b", [[1]], 0, "both"), "no sign_mode is 'both'"),
        (lambda: sparse_synapse(delay=[1, 2]), "delay: has shape"),
        (lambda: sparse_synapse(layout=sparse([0, 1], [0])), "weights for 1 places"),
    ],
)
def test_impossible_synapses_are_refused(make, message):
    with pytest.raises((RangeError, ShapeError), match=message):
        make()
