"""Shape inference against PyTorch's own layers, and what does not fit."""

import time

import nir
import nir_samples as samples
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nir_samples import affine, chain, conv, end, lif, nested

from neurodeploy.errors import InputError, ShapeError
from neurodeploy.graph import AvgPool2d, Contract, Conv1d, Conv2d, Flatten, ReadLimits, read
from neurodeploy.graph.node_shapes import output_shape

FULL = Contract(dt=1e-3, steps=4)
sizes, steps = st.integers(1, 12), st.integers(1, 4)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.nir"


def torch_shape(layer, shape):
    """What PyTorch gives for a batch of one, or None where it refuses."""
    try:
        return tuple(layer(torch.zeros(1, *shape)).shape[1:])
    except RuntimeError:
        return None


def our_shape(node, shape):
    try:
        return output_shape(node, shape)
    except ShapeError:
        return None


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@settings(max_examples=300, deadline=None)
@given(st.data())
def test_convolutions_have_pytorchs_shapes(data):
    axes = data.draw(st.integers(1, 2))

    def draw(strategy):
        return tuple(data.draw(st.lists(strategy, min_size=axes, max_size=axes)))

    groups, per_group, out = data.draw(st.integers(1, 3)), data.draw(steps), data.draw(steps)
    kernel, stride, dilation = draw(steps), draw(steps), draw(st.integers(1, 3))
    padding = data.draw(st.sampled_from(["same", "valid"]) | st.tuples(*[st.integers(0, 3)] * axes))
    if padding == "same":
        stride = (1,) * axes
    shape = (groups * per_group, *draw(sizes))
    kind = torch.nn.Conv1d if axes == 1 else torch.nn.Conv2d
    layer = kind(shape[0], out * groups, kernel, stride, padding, dilation, groups)
    fields = (None, layer.weight.detach().numpy(), stride, padding, dilation, groups,
              layer.bias.detach().numpy())  # fmt: skip
    node = (Conv1d if axes == 1 else Conv2d)(*fields)
    assert our_shape(node, shape) == torch_shape(layer, shape)


@settings(max_examples=200, deadline=None)
@given(st.tuples(steps, steps), st.tuples(steps, steps), st.data(), st.tuples(sizes, sizes))
def test_pools_have_pytorchs_shapes(kernel, stride, data, size):
    padding = tuple(data.draw(st.integers(0, k // 2)) for k in kernel)
    layer = torch.nn.AvgPool2d(kernel, stride, padding)
    assert our_shape(AvgPool2d(kernel, stride, padding), (2, *size)) == torch_shape(
        layer, (2, *size)
    )


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.integers(-4, 4), st.integers(-4, 4))
def test_flatten_has_pytorchs_shapes_without_the_batch(shape, start, end):
    try:
        expected = tuple(torch.zeros(*shape).flatten(start, end).shape)
    except (RuntimeError, IndexError):
        expected = None
    if len(shape) == 1 and start == 1 and end in (-1, 0):
        expected = tuple(shape)  # NIR's default leaves a vector as it is
    assert our_shape(Flatten(None, start, end), tuple(shape)) == expected


# -- graphs --------------------------------------------------------------------------------------


def pool(kind="SumPool2d", size=2):
    return {"type": kind, "kernel_size": [size, size], "stride": [size, size], "padding": [0, 0]}


def flatten(**changes):
    return {"type": "Flatten", "start_dim": 0, "end_dim": -1, **changes}


def shapes_of(path):
    return {name: given for name, (_, given) in read(path, FULL).value.shapes.items()}


def test_a_convolutional_network_without_a_single_input_shape(path):
    layers = [
        conv(np.ones((4, 2, 3, 5)), padding=[1, 2], stride=[2, 1]),
        pool("AvgPool2d"),
        conv(np.ones((6, 2, 1, 1)), groups=2),
        flatten(),
        affine(3, 6 * 2 * 4),
        lif(3),
    ]
    samples.write_chain(path, *layers, n_in=(2, 9, 8), n_out=(3,))
    assert shapes_of(path) == {
        "input": (2, 9, 8), "n0": (4, 5, 8), "n1": (4, 2, 4), "n2": (6, 2, 4), "n3": (48,),
        "n4": (3,), "n5": (3,), "output": (3,),
    }  # fmt: skip


def test_nir_itself_refuses_kernels_that_are_not_square(path):
    """The reason why this project infers shapes itself."""
    layers = [conv(np.ones((1, 1, 3, 5)), input_shape=[9, 9]), lif(shape=(1, 7, 5))]
    samples.write_chain(path, *layers, n_in=(1, 9, 9), n_out=(1, 7, 5))
    assert shapes_of(path)["n0"] == (1, 7, 5)
    with pytest.raises(ValueError, match="mismatch"):
        nir.read(path)


def test_leading_axes_of_a_matrix_pair_up(path):
    samples.write_chain(path, affine(weight=np.ones((5, 2, 3)), bias=np.ones((5, 2))),
                        n_in=(5, 3), n_out=(5, 2))  # fmt: skip
    assert read(path, FULL).value.shapes["n0"] == ((5, 3), (5, 2))


def test_residual_sums_need_one_shape(path):
    nodes, edges = chain(affine(3, 3), lif(3), affine(3, 3), lif(3), n_out=(3,))
    samples.write_nir(path, nodes, [*edges, ("n1", "n3"), ("input", "n3")])
    assert shapes_of(path)["n3"] == (3,)
    nodes["n0"], nodes["n1"] = affine(4, 3), lif(4)
    nodes["n2"] = affine(3, 4)
    samples.write_nir(path, nodes, [*edges, ("n1", "n3")])
    with pytest.raises(ShapeError, match=r"'n1' gives shape \(4,\), 'n3' takes \(3,\)"):
        read(path, FULL)


def test_shapes_run_through_nested_graphs(path):
    inner = nested(
        {"input": end("Input", 1, 4, 4), "p": pool(), "f": flatten(), "output": end("Output", 4)},
        [("input", "p"), ("p", "f"), ("f", "output")],
    )
    samples.write_chain(path, inner, affine(2, 4), n_in=(1, 4, 4))
    assert shapes_of(path)["n0/p"] == (1, 2, 2)
    assert shapes_of(path)["n0/f"] == (4,)


def test_a_cycle_of_layers_that_follow_their_source(path):
    nodes, edges = chain(conv(np.ones((1, 1, 3, 3)), padding="same"), lif(shape=(1, 4, 4)),
                         n_in=(1, 4, 4), n_out=(1, 4, 4))  # fmt: skip
    nodes["back"] = conv(np.ones((1, 1, 3, 3)), padding=1)
    samples.write_nir(path, nodes, [*edges, ("n1", "back"), ("back", "n0"), ("back", "n1")])
    assert shapes_of(path)["back"] == (1, 4, 4)


@pytest.mark.parametrize("shape", [(1, 1, 2), (2, 1), (1, 2)])
def test_an_output_of_equal_size_is_accepted_and_said(path, shape):
    samples.write_chain(path, affine(), lif(), n_out=shape)
    graph, findings = read(path, FULL)
    assert graph.shapes["output"] == (shape, shape)
    assert any("in C order" in f.what for f in findings if f.severity == "warning")


def test_an_input_of_equal_size_is_accepted_and_said(path):
    samples.write_chain(
        path, conv(np.ones((1, 1, 2, 2)), input_shape=[2, 3]), n_in=(6,), n_out=(1, 1, 2)
    )
    graph, findings = read(path, FULL)
    assert graph.shapes["n0"] == ((1, 2, 3), (1, 1, 2))
    assert any("in C order" in f.what for f in findings if f.severity == "warning")


def test_axes_of_one_between_layers_are_accepted_and_said(path):
    samples.write_chain(path, lif(shape=(1, 3)), affine(), n_in=(1, 3))
    _, findings = read(path, FULL)
    assert any("'n0' gives shape (1, 3), 'n1' takes (3,)" in f.what for f in findings)


def test_a_missing_flatten_is_named_with_the_remedy(path):
    samples.write_chain(path, conv(np.ones((2, 1, 1, 1))), affine(2, 8), n_in=(1, 2, 2))
    with pytest.raises(ShapeError, match=r"add a Flatten .start_dim 0. between 'n0' and 'n1'"):
        read(path, FULL)


MISFITS = [
    (conv(np.ones((2, 3, 1, 1))), (1, 4, 4), r"with 3 channels, not \(1, 4, 4\) from 'input'"),
    (conv(np.ones((2, 2, 1, 1)), groups=2), (2, 4, 4), r"4 channels .2 groups of 2., not \(2, 4, 4\)"),
    (conv(np.ones((2, 1, 5, 5))), (1, 4, 4), "a kernel of 5 .dilation 1. is larger than 4 values"),
    (conv(np.ones((2, 1, 3, 3)), dilation=[2, 2]), (1, 4, 4), "a kernel of 3 .dilation 2. is larger"),
    (conv(np.ones((2, 1, 3, 3)), padding="same", stride=2), (1, 4, 4), "'same' needs stride 1"),
    (conv(np.ones((2, 1, 3, 3))), (16,), r"takes \[channels, height, width\]"),
    (conv(np.ones((3, 1, 3, 3)), groups=2), (2, 4, 4), "3 output channels do not divide into 2"),
    (conv(np.ones((2, 1, 3))), (1, 4, 4), r"weight has shape \(2, 1, 3\), needs \[out, in/groups, h"),
    (conv(np.ones((2, 1, 3, 3)), padding="full"), (1, 4, 4), "padding is 'full'"),
    (conv(np.ones((2, 1, 3, 3)), stride=0), (1, 4, 4), r"stride is \[0\]; needs numbers from 1"),
    (conv(np.ones((2, 1, 3, 3)), stride=[1, 2, 3]), (1, 4, 4), "stride has 3 values; Conv2d needs 2"),
    (conv(np.ones((2, 1, 3, 3)), groups=[1, 1]), (1, 4, 4), "groups has 2 values; needs one"),
    (conv(np.ones((2, 1, 3, 3)), bias=np.ones(3)), (1, 4, 4), r"bias has shape \(3,\)"),
    (conv(np.ones((2, 1, 3, 3)), input_shape=[5, 5]), (1, 4, 4), r"'input' gives shape \(1, 4, 4\), 'n0' takes \(1, 5, 5\)"),
    (pool(), (4, 4), r"takes \[channels, height, width\], not \(4, 4\)"),
    (pool(size=5), (1, 4, 4), "a kernel of 5"),
    ({**pool(), "padding": "same"}, (1, 4, 4), "padding is 'same'; needs numbers"),
    (flatten(start_dim=3), (1, 4, 4), "start_dim 3 and end_dim -1 do not fit"),
    (flatten(start_dim=1, end_dim=0), (1, 4, 4), "start_dim 1 and end_dim 0 do not fit"),
    (flatten(input_type=[2, 3]), (1, 4, 4), r"'input' gives shape \(1, 4, 4\), 'n0' takes \(2, 3\)"),
]  # fmt: skip


@pytest.mark.parametrize(("layer", "n_in", "message"), MISFITS)
def test_misfits_are_named_with_their_numbers(path, layer, n_in, message):
    samples.write_chain(path, layer, n_in=n_in, n_out=(2,))
    with pytest.raises(InputError, match=message) as error:
        read(path, FULL)
    assert "n0" in str(error.value)


def test_what_follows_a_misfit_is_not_blamed(path):
    layers = [conv(np.ones((2, 3, 1, 1))), pool(), pool(), flatten()]
    samples.write_chain(path, *layers, n_in=(1, 4, 4), n_out=(2,))
    with pytest.raises(ShapeError, match="1 finding stops here"):
        read(path, FULL)


def test_long_chains_and_wide_fans_take_linear_time():
    """Twice the nodes, about twice the time; quadratic work would be four times."""

    def seconds(n):
        one = np.array([1, 1])
        nodes = {"input": nir.Input({"input": np.array([1, 2, 2])})}
        nodes |= {f"p{i}": nir.SumPool2d(one, one, one - 1) for i in range(n)}
        nodes["output"] = nir.Output({"output": np.array([1, 2, 2])})
        names = list(nodes)
        edges = list(zip(names, names[1:], strict=False))
        edges += [(names[1], name) for name in names[3:-1]]
        nir_graph = nir.NIRGraph(nodes, edges[::-1], type_check=False)
        start = time.process_time()
        graph, _ = read(nir_graph, FULL, limits=ReadLimits(max_nodes=10**5))
        assert len(graph.shapes) == n + 2
        return time.process_time() - start

    small = min(seconds(2000) for _ in range(3))
    assert min(seconds(8000) for _ in range(2)) < 8 * small
