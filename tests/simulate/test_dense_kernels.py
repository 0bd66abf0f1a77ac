"""Dense layers whose weights are bytes: many events at once, every sign and shift, against the oracle."""

import numpy as np
import pytest
from oracles.literal_fixed import run_aligned

from neurodeploy.network import (
    INPUT,
    ConstantEncoder,
    FixedPointNetwork,
    FixedPopulation,
    FixedSynapse,
    Readout,
)
from neurodeploy.simulate import dense_kernels, run_fixed
from neurodeploy.simulate.byte_rows import byte_rows

QUANTITIES = ("spikes", "u", "v", "v_pre")
RANGES = {"mixed": (-256, 255), "excitatory": (0, 256), "inhibitory": (-255, 1)}


def population(name, size, threshold, decay_u=1000):
    zeros = np.zeros(size, np.int32)
    return FixedPopulation(
        name=name, nir_nodes=(name,), kind="lif", decay_u=np.full(size, decay_u, np.int32),
        decay_v=np.full(size, 300, np.int32), bias=np.full(size, 3, np.int32), bias_exp=5,
        v_threshold=np.full(size, threshold, np.int32), u_init=zeros, v_init=zeros, latency=1,
        scale=1.0, shape=(size,),
    )  # fmt: skip


def network(rng, n_in, n_out, signs, exponent, threshold, recurrent):
    low, high = RANGES[signs]
    step = 2 if signs == "mixed" else 1

    def weights(*shape):
        return (rng.integers(low // step, -(-high // step), shape) * step).astype(np.int32)

    synapses = [
        FixedSynapse("in", INPUT, "layer", weights(n_out, n_in), exponent, signs),
    ]
    if recurrent:
        back = weights(n_out, n_out)
        synapses.append(FixedSynapse("back", "layer", "layer", back, -exponent, signs))
    return FixedPointNetwork(
        populations=(population("layer", n_out, threshold),),
        synapses=tuple(synapses),
        n_input=n_in,
        encoder=ConstantEncoder(bits=1),
        readout=Readout("layer", "count"),
        steps=6,
        input_shape=(n_in,),
    )


@pytest.mark.parametrize("recurrent", [False, True])
@pytest.mark.parametrize("exponent", [-3, 0, 2])
@pytest.mark.parametrize("signs", RANGES)
def test_dense_layers_are_exact(signs, exponent, recurrent, monkeypatch):
    """Widths around whole vectors; silence, some events, and more than one sum of bytes holds."""
    calls = []
    kernel = dense_kernels.step_dense_lif
    monkeypatch.setattr(
        dense_kernels, "step_dense_lif", lambda *a: (calls.append(a), kernel(*a))[1]
    )
    rng = np.random.default_rng(5)
    spikes = 0
    for n_in, n_out in ((1, 1), (63, 17), (65, 64), (300, 65), (700, 193), (600, 333)):
        net = network(rng, n_in, n_out, signs, exponent, 2000, recurrent)
        densities = np.repeat([0.0, 0.1, 1.0], 2)[:, None]
        stimulus = (rng.random((6, 6, n_in)) < densities).astype(np.uint8)
        # The oracle, which lists every weight, runs all densities at once; the kernel one by one.
        expected = run_aligned(net, stimulus)
        for own in (slice(0, 2), slice(2, 4), slice(4, 6)):
            ours = run_fixed(net, stimulus[:, own], record=QUANTITIES)
            for key, values in expected.records.items():
                np.testing.assert_array_equal(ours.records[key], values[:, own], err_msg=key)
            for key, values in expected.counts.items():
                np.testing.assert_array_equal(ours.counts[key], values[own], err_msg=key)
            spikes += int(ours.counts["layer/spikes"].sum())
    assert len(calls) > 9, "the kernel for dense layers was not used"
    assert spikes > 100 or signs == "inhibitory"


def weights_of(rows, shape):
    """Return the weights that ``rows`` stand for, [targets, sources]."""
    n_out, n_in = shape
    halves = rows.pool.reshape(n_in + 1, -1, 32, 2).astype(np.int64)
    columns = halves.transpose(0, 1, 3, 2).reshape(n_in + 1, -1)
    assert not columns[-1].any()
    return ((columns[:-1] + rows.offset) << rows.left)[:, :n_out].T


@pytest.mark.parametrize(
    ("low", "high", "step"),
    [(-256, 254, 2), (0, 255, 1), (-255, 0, 1), (3, 9, 1), (-1024, 1016, 8), (0, 0, 1)],
)
def test_bytes_stand_for_the_weights(low, high, step):
    """Both ends of each range, whatever all weights have in common."""
    rng = np.random.default_rng(1)
    weight = rng.integers(low // step, high // step + 1, (70, 9)) * step
    weight[0, 0], weight[-1, -1] = low, high
    rows = byte_rows(weight, 0)
    assert rows is not None
    np.testing.assert_array_equal(weights_of(rows, weight.shape), weight)


def test_weights_that_are_no_bytes_are_refused():
    """A span of 256 and wide layers."""
    assert byte_rows(np.array([[-128, 127], [128, 1]]), 0) is None
    assert byte_rows(np.ones((513, 2), np.int64), 0) is None
