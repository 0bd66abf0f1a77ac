"""The literal graph interpreter against layers and traces that others computed."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from oracles.literal_graph import load, run
from oracles.literal_layers import layer

REFERENCE = Path(
    os.environ.get("NEURODEPLOY_REFERENCE", Path(__file__).parents[3] / "shared/reference")
)
PAPER = REFERENCE / "nir_paper"
needs_reference = pytest.mark.skipif(
    not PAPER.is_dir(), reason="NEURODEPLOY_REFERENCE names no reference data"
)
DT = 1e-4


# -- layers against torch -------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:Using padding='same':UserWarning")
@pytest.mark.parametrize("seed", range(60))
def test_convolutions_equal_torch(seed):
    rng = np.random.default_rng(seed)
    groups = int(rng.choice([1, 1, 2, 3]))
    size = rng.integers(4, 9, 2)
    kernel = rng.integers(1, 4, 2)
    dilation = rng.integers(1, 3, 2)
    stride = rng.integers(1, 4, 2)
    padding = [rng.integers(0, 3, 2), "same", "valid"][seed % 3]
    stride = np.ones(2, int) if seed % 3 == 1 else stride
    dilation = np.where(dilation * (kernel - 1) >= size, 1, dilation)
    weight = rng.integers(-4, 5, (2 * groups, 3, *kernel)).astype(float)
    bias = rng.integers(-4, 5, 2 * groups).astype(float)
    x = rng.integers(-4, 5, (2, 3 * groups, *size)).astype(float)
    for axes in (2, 1):
        if axes == 1:
            weight, x, kernel = weight[:, :, 0], x[:, :, 0], kernel[1:]
            stride, dilation = stride[1:], dilation[1:]
            padding = padding if isinstance(padding, str) else padding[1:]
        plain = {"stride": stride, "dilation": dilation, "padding": padding}
        node = {"type": f"Conv{axes}d", "weight": weight, "bias": bias, "groups": groups, **plain}
        call = getattr(torch.nn.functional, f"conv{axes}d")
        options = {k: v if isinstance(v, str) else v.tolist() for k, v in plain.items()}
        tensors = (torch.tensor(x), torch.tensor(weight), torch.tensor(bias))
        want = call(*tensors, groups=groups, **options)
        assert np.array_equal(layer(node, x), want.numpy())


@pytest.mark.parametrize("seed", range(20))
def test_pools_equal_torch(seed):
    rng = np.random.default_rng(seed)
    kernel, stride = rng.integers(1, 4, 2), rng.integers(1, 4, 2)
    padding = rng.integers(0, kernel // 2 + 1)
    x = rng.integers(-4, 5, (2, 3, *rng.integers(4, 9, 2))).astype(float)
    node = {"kernel_size": kernel, "stride": stride, "padding": padding}
    want = torch.nn.functional.avg_pool2d(
        torch.tensor(x), kernel.tolist(), stride.tolist(), padding.tolist()
    ).numpy()
    assert np.allclose(layer({"type": "AvgPool2d", **node}, x), want, rtol=1e-15)
    assert np.allclose(layer({"type": "SumPool2d", **node}, x), want * kernel.prod(), rtol=1e-15)


def test_flatten_and_matrix_axes():
    x = np.arange(2 * 3 * 4 * 5.0).reshape(2, 3, 4, 5)
    for (start, end), shape in {
        (0, -1): (60,), (1, -1): (3, 20), (0, 1): (12, 5), (1, 1): (3, 4, 5), (-2, -1): (3, 20)
    }.items():  # fmt: skip
        node = {"type": "Flatten", "start_dim": start, "end_dim": end}
        assert np.array_equal(layer(node, x), x.reshape(2, *shape))
    assert layer({"type": "Flatten"}, x).shape == (2, 3, 20)
    weight = np.arange(24.0).reshape(3, 2, 4)
    y = layer({"type": "Linear", "weight": weight}, x[:, :, :, 0])
    assert y.shape == (2, 3, 2)
    assert y[1, 2, 1] == (weight[2, 1] * x[1, 2, :, 0]).sum()


# -- traces of the NIR paper (README of the data: what reproduces which) ---------------------------


def run_lif(file, **words):
    table = np.loadtxt(PAPER / "01_lif/lif_norse.csv", delimiter=",")
    result = run(load(PAPER / "01_lif" / file), table[:, 0][:, None, None], {"dt": DT, **words})
    name = "1" if "1" in result.v else "1_LIFNeuronTorch"
    return result.outputs[name][:, 0, 0], result.v[name][:, 0, 0]


def stored(name):
    return np.loadtxt(PAPER / f"01_lif/lif_{name}.csv", delimiter=",")


@needs_reference
def test_single_lif_plain():
    spikes, v = run_lif("lif_norse.nir")
    assert np.flatnonzero(spikes).tolist() == [460, 510, 710, 760]
    for name, factor, error in (("norse", 1, 2.5e-8), ("snntorch", 25, 1e-6), ("spinnaker2", 25, 5e-4)):  # fmt: skip
        assert np.array_equal(stored(name)[:, 2] > 0, spikes > 0)
        assert np.abs(stored(name)[:, 1] - factor * v).max() < error
    for name in ("exact", "nengo"):
        assert np.array_equal(stored(name)[:, 2] > 0, spikes > 0)
    for name in ("lava_cpu_float", "spyx"):
        assert np.array_equal(stored(name)[1:, 2] > 0, spikes[:-1] > 0)
    assert np.abs(stored("lava_cpu_float")[1:, 1] - v[:-1]).max() < 1.7e-4


@needs_reference
def test_single_lif_of_sinabs_and_rockpool():
    spikes, v = run_lif("lif_rockpool.nir", decay="exponential", reset="subtract", input_gain="one")
    assert np.flatnonzero(spikes).tolist() == [450, 500, 710, 760]
    for name in ("sinabs", "rockpool"):
        assert np.array_equal(stored(name)[:, 2] > 0, spikes > 0)
        assert np.abs(stored(name)[:, 1] - v).max() < 2e-8


BRAILLE = {
    # file, convention, stored activity of the hidden layer, steps it is late, spikes, output counts
    "snntorch": ("bias_zero", {}, "snntorch_activity_noDelay_bias_zero", 0, 119,
                 [10, 160, 112, 113, 103, 68, 121]),
    "norse": ("bias_zero", {"recurrent_cut": "affine"}, "norse_activity_noDelay_bias_zero", 0, 118,
              None),
    "spyx": ("bias_zero", {"reset": "subtract"}, "spyx_activity_noDelay_bias_zero", 1, 151, None),
    "snntorch noBias": ("noBias_subtract", {"reset": "subtract-once"},
                        "snntorch_activity_noDelay_noBias_subtract", 0, 118,
                        [0, 51, 21, 18, 3, 17, 22]),
    "spyx noBias": ("noBias_subtract", {"reset": "subtract"},
                    "spyx_activity_noDelay_noBias_subtract", 1, 120, [0, 64, 23, 19, 4, 24, 22]),
    "norse noBias": ("noBias_subtract", {}, "norse_activity_noDelay_noBias_subtract", 0, 103,
                     [0, 41, 13, 14, 4, 19, 16]),
}  # fmt: skip


@needs_reference
@pytest.mark.parametrize("row", BRAILLE)
def test_braille(row):
    file, words, activity, late, spikes, counts = BRAILLE[row]
    x = np.load(PAPER / "03_rnn/braille_test_sample0.npz")["input"][:, None].astype(float)
    graph = load(PAPER / f"03_rnn/braille_noDelay_{file}.nir")
    result = run(graph, x, {"dt": DT, **words}, ["lif1.lif", "lif2"])
    hidden, output = (result.outputs[name][:, 0] for name in ("lif1.lif", "lif2"))
    want = np.load(PAPER / f"03_rnn/{activity}.npy")
    assert want.sum() == spikes
    assert not want[:late].any()
    assert np.count_nonzero(want[late:] != hidden[: len(hidden) - late]) == 0
    if counts:
        assert output.sum(axis=0).tolist() == counts
    assert output.sum(axis=0).argmax() == 1
    assert result.closest > 1e-6
