"""The fixed-point network in plain torch: equal to the simulator in every record and count."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from oracles.literal_fixed import run_aligned
from oracles.random_topologies import PAIRS, random_case

from neurodeploy.errors import RangeError, ShapeError
from neurodeploy.network import ConstantEncoder, Readout
from neurodeploy.network.fixed import (
    ConvLayout,
    FixedPointNetwork,
    FixedPopulation,
    FixedSynapse,
)
from neurodeploy.simulate import FixedGradient, run_fixed
from neurodeploy.simulate.fixed_gradient import _RawScores
from neurodeploy.simulate.fixed_torch import TorchGradient, run_torch
from neurodeploy.simulate.gradient_readout import ReadoutGradient
from neurodeploy.simulate.spike_functions import Surrogate

RECORDS = ("spikes", "u", "v", "v_pre")


def any_case(seed):
    rng = np.random.default_rng(seed)
    pair = PAIRS[seed % len(PAIRS)]
    return random_case(rng, pair=pair, hardware=seed % 2 == 0, extreme=seed % 3 == 0)


def seeds(first):
    """One network for each pair of a neuron and a synapse; nine more in the slow part."""
    here = list(range(first, first + 10 * len(PAIRS)))
    slow = [pytest.param(seed, marks=pytest.mark.slow) for seed in here[len(PAIRS) :]]
    return [*here[: len(PAIRS)], *slow]


@pytest.mark.parametrize("seed", seeds(0))
def test_any_network_gives_the_simulators_records_and_counts(seed):
    net, codes = any_case(seed)
    expected = run_fixed(net, codes, record=RECORDS, threads=1)
    found = run_torch(net, codes, record=RECORDS)
    np.testing.assert_array_equal(found.output, expected.output)
    assert set(found.records) == set(expected.records)
    for name, values in expected.records.items():
        np.testing.assert_array_equal(found.records[name], values, err_msg=name)
        assert found.records[name].dtype == values.dtype
    assert set(found.counts) == set(expected.counts)
    for name, values in expected.counts.items():
        np.testing.assert_array_equal(found.counts[name], values, err_msg=name)
    assert found.meta == expected.meta


def test_extremes_are_among_the_networks():
    counts = {"wraps": 0, "clamps": 0}
    for seed in range(0, 3 * len(PAIRS), 3):
        net, codes = any_case(seed)
        for name, values in run_torch(net, codes).counts.items():
            if name.rsplit("/", 1)[1] in counts:
                counts[name.rsplit("/", 1)[1]] += int(values.sum())
    assert min(counts.values()) > 100, counts


@pytest.mark.parametrize("seed", range(5000, 5000 + 2 * len(PAIRS)))
def test_gradients_are_those_of_the_compiled_kernels(seed):
    net, codes = any_case(seed)
    kind = ("count", "sum", "mean_v", "last_v", "max_v")[seed % 5]
    net = replace(net, readout=Readout(net.readout.population, kind))
    shape = ("superspike", "rectangle", "triangle", "sigmoid", "gaussian")[seed // 5 % 5]
    adaptive = seed % 2 == 0
    steps = codes.shape[0] if codes.ndim == 3 else net.steps
    scale = net.population(net.readout.population).scale
    readout = ReadoutGradient(net.readout, steps, scale)
    points = [torch.tensor(codes).double().requires_grad_(True) for _ in range(2)]
    engine = FixedGradient(net, shape=shape, width=2.0, adaptive=adaptive)
    ours = engine.scores(points[0])
    engine = TorchGradient(net, torch.device("cpu"))
    raw = _RawScores.apply(points[1], engine, readout, Surrogate(2.0, shape, adaptive))
    torchs = raw / readout.unit
    np.testing.assert_array_equal(torchs.detach().numpy(), ours.detach().numpy())
    mixture = torch.randn(ours.shape, generator=torch.Generator().manual_seed(0)).double()
    gradients = [
        torch.autograd.grad((scores * mixture).sum(), point)[0].numpy()
        for scores, point in zip((ours, torchs), points, strict=True)
    ]
    largest = np.abs(gradients[0]).max()
    np.testing.assert_allclose(gradients[1], gradients[0], rtol=1e-9, atol=1e-9 * largest)


def test_the_callers_product_precision_does_not_matter_and_stays():
    net, codes = any_case(2)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        found = run_torch(net, codes)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)
    np.testing.assert_array_equal(found.output, run_fixed(net, codes, threads=1).output)


def test_errors():
    net, codes = any_case(0)
    with pytest.raises(ShapeError):
        run_torch(net, codes[..., 1:])
    with pytest.raises(RangeError):
        run_torch(net, codes + net.encoder.max_code + 1)


def test_sums_beyond_float64_are_refused_and_wrap_in_the_compiled_kernels():
    rng = np.random.default_rng(0)
    layout = ConvLayout((1, 1), (0, 0), (1, 1), 1, (2, 8, 8), (1, 1, 1))
    weight = rng.integers(2**30, 2**31, (1, 2, 8, 8)).astype(np.int32)
    synapse = FixedSynapse("s", "input", "n", weight, 0, "mixed", message_bits=16, layout=layout)
    neuron = FixedPopulation(
        name="n", nir_nodes=("n",), kind="lif", decay_u=0, decay_v=np.zeros(1), bias=0,
        bias_exp=0, v_threshold=131071, u_init=0, v_init=0, latency=1, scale=1.0,
        shape=(1, 1, 1),
    )  # fmt: skip
    net = FixedPointNetwork(
        (neuron,), (synapse,), 128, ConstantEncoder(bits=16), Readout("n", "last_v"), 6
    )
    codes = rng.integers(0, 2**16, (50, 128))
    with pytest.raises(RangeError, match="53 bits"):
        run_torch(net, codes)
    expected = run_aligned(net, codes).records["n/v"][-1]
    np.testing.assert_array_equal(FixedGradient(net).scores(torch.tensor(codes)), expected)
