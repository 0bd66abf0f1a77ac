"""Compiled gradients of wide layers equal those of plain torch, beyond what random networks reach.

More events than one 16-bit sum holds, rows longer than a tile, layers that are stepped row by row,
sources that are alike, and a batch of more than one block.
"""

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

from neurodeploy.errors import InputError, MissingComponentError
from neurodeploy.network import INPUT, ConstantEncoder, FixedPointNetwork, Readout
from neurodeploy.network.fixed import ConvLayout, FixedPopulation, FixedSynapse, SparseLayout
from neurodeploy.simulate import FixedGradient, run_fixed
from neurodeploy.simulate.fixed_gradient import _RawScores
from neurodeploy.simulate.fixed_torch import TorchGradient, run_torch
from neurodeploy.simulate.gradient_readout import ReadoutGradient
from neurodeploy.simulate.spike_functions import Surrogate


def population(name, size, latency, threshold, shape=None, kind="lif"):
    gain = {"gain": np.array([100, 180, 90]), "gain_shift": 7} if kind == "dlif" else {}
    return FixedPopulation(
        name=name, nir_nodes=(name,), kind=kind, decay_u=np.full(size, 2000 * (kind == "lif")),
        decay_v=np.full(size, 400), bias=np.zeros(size), bias_exp=0,
        v_threshold=np.full(size, threshold), u_init=np.zeros(size), v_init=np.zeros(size),
        latency=latency, scale=64.0, shape=shape or (size,), **gain,
    )  # fmt: skip


def network(populations, synapses, n_input, steps, bits=1):
    return FixedPointNetwork(
        tuple(populations), tuple(synapses), n_input, ConstantEncoder(bits=bits),
        Readout(populations[-1].name, "count"), steps,
    )  # fmt: skip


def weights(rng, *shape):
    return (rng.integers(-127, 128, shape) * 2).astype(np.int32)


def dense(rng, kind="lif"):
    """700 inputs that are mostly there, a layer of 300 that feeds itself, 45 outputs."""
    recurrent = [FixedSynapse("b", "h", "h", weights(rng, 300, 300), 0, "mixed")]
    net = network(
        [population("h", 300, 1, 9000, kind=kind), population("o", 45, 2, 3000)],
        [
            FixedSynapse("a", INPUT, "h", weights(rng, 300, 700), 0, "mixed"),
            *(recurrent if kind == "lif" else []),
            FixedSynapse("c", "h", "o", weights(rng, 45, 300), 1, "mixed"),
        ],
        700, 5,
    )  # fmt: skip
    return net, (rng.random((5, 19, 700)) < 0.8).astype(np.int64)


def pooled(rng):
    """A convolution to 16 x 9 x 9 (wider than a block of steps), a sum pool as one matrix."""
    layout = ConvLayout((1, 1), (1, 1), (1, 1), 1, (2, 9, 9), (16, 9, 9))
    places = np.arange(16 * 81).reshape(16, 9, 9)[:, :8, :8].reshape(16, 4, 2, 4, 2)
    windows = places.transpose(0, 1, 3, 2, 4).reshape(-1, 4)  # [256, 4]
    small = weights(rng, 12, 256) * (rng.random((12, 256)) < 0.15)
    full = np.zeros((12, 16 * 81), np.int32)
    full[:, windows.ravel()] = small.repeat(4, axis=1)
    rows, columns = np.nonzero(full)
    indptr = np.searchsorted(rows, np.arange(13)).astype(np.int32)
    sparse = SparseLayout(indptr, columns.astype(np.int32), 16 * 81)
    net = network(
        [
            population("c", 16 * 81, 1, 900, (16, 9, 9)),
            population("s", 12, 2, 500),
            population("o", 5, 3, 300),
        ],
        [
            FixedSynapse("a", INPUT, "c", weights(rng, 16, 2, 3, 3), 0, "mixed", layout=layout),
            FixedSynapse("b", "c", "s", full[rows, columns], -1, "mixed", layout=sparse),
            FixedSynapse("d", "c", "o", full[:5], 0, "mixed", delay=1),
            FixedSynapse("e", "s", "o", weights(rng, 5, 12), 0, "mixed"),
        ],
        162, 6,
    )  # fmt: skip
    return net, (rng.random((6, 5, 162)) < 0.15).astype(np.int64)


@pytest.mark.parametrize("shape", ["triangle", "rectangle", "superspike"])
@pytest.mark.parametrize(
    "case", [dense, lambda rng: dense(rng, "dlif"), pooled], ids=["lif", "dlif", "pooled"]
)
def test_wide_layers_are_those_of_plain_torch(case, shape):
    net, codes = case(np.random.default_rng(1))
    spikes = run_fixed(net, codes, threads=1).counts
    assert all(spikes[f"{p.name}/spikes"].sum() > 20 for p in net.populations)
    readout = ReadoutGradient(net.readout, codes.shape[0], 64.0)
    double = torch.tensor(codes).double().requires_grad_(True)
    raw = _RawScores.apply(
        double, TorchGradient(net, torch.device("cpu")), readout, Surrogate(2.0, shape)
    )
    mixture = torch.randn(raw.shape, generator=torch.Generator().manual_seed(0)).double()
    (expected,) = torch.autograd.grad((raw / readout.unit * mixture).sum(), double)
    largest = float(expected.abs().max())
    assert largest > 0
    for dtype, tolerance in ((torch.float64, 1e-9), (torch.float32, 1e-5)):
        point = torch.tensor(codes).to(dtype).requires_grad_(True)
        scores = FixedGradient(net, width=2.0, shape=shape).scores(point)
        np.testing.assert_array_equal(
            (scores * readout.unit).detach().numpy(), raw.detach().numpy()
        )
        (found,) = torch.autograd.grad((scores * mixture).sum(), point)
        np.testing.assert_allclose(
            found.double().numpy(), expected.numpy(), rtol=tolerance, atol=tolerance * largest
        )


def test_sums_are_exact_without_the_convolution_library():
    # Another library's transform would then add fractions to the sums.
    rng = np.random.default_rng(4)
    layout = ConvLayout((1, 1), (1, 1), (1, 1), 1, (16, 9, 9), (16, 9, 9))
    net = network(
        [population("c", 16 * 81, 1, 131071, (16, 9, 9))],
        [FixedSynapse("a", INPUT, "c", weights(rng, 16, 16, 3, 3), 0, "mixed", layout=layout)],
        16 * 81, 2,
    )  # fmt: skip
    net = replace(net, readout=Readout("c", "last_v"))
    codes = (rng.random((2, 40, 16 * 81)) < 0.5).astype(np.int64)
    expected = run_fixed(net, codes, threads=1).scores()
    assert expected.any()
    before = torch.backends.mkldnn.enabled
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with torch.backends.mkldnn.flags(enabled=False):
            scores = FixedGradient(net).scores(torch.tensor(codes))
    assert torch.backends.mkldnn.enabled == before
    np.testing.assert_array_equal(scores.numpy() * 64, expected)


def test_devices_that_are_not_there_are_named():
    net, codes = dense(np.random.default_rng(1))
    with pytest.raises(InputError, match="no such device"):
        run_torch(net, codes, device="tpu42")
    if not torch.cuda.is_available():
        for call in (run_torch, lambda n, _, device: FixedGradient(n, device=device)):
            with pytest.raises(MissingComponentError, match="device cuda"):
                call(net, codes, device="cuda")
