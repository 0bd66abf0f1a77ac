"""Second moments of what enters a neuron, against the sums written out."""

import numpy as np
import pytest
from quantization.deployable import random_deployable
from quantization.moments import uncentred

from neurodeploy.network import INPUT, ConvLayout, Convolution, Dense, SparseLayout
from neurodeploy.quantization.incoming import Incoming, incoming_of
from neurodeploy.quantization.input_moments import RIDGE, input_moments, plain_moments
from neurodeploy.simulate import run_float


def decayed(train, population):
    """The input of every step with what is left of those before it: one sum over the past each."""
    steps, keep = len(train), 1 - population.decay_v.mean()
    keep_u = 0.0 if population.decay_u is None else 1 - population.decay_u.mean()
    gain = np.ones(steps) if population.gain is None else population.gain
    found = np.zeros(train.shape)
    for t in range(steps):
        for k in range(t + 1):
            # Into the current at k, into the membrane at every step j from then on.
            reach = sum(keep_u ** (j - k) * keep ** (t - j) for j in range(k, t + 1))
            found[t] += reach * gain[min(k, len(gain) - 1)] * train[k]
    return found


def seen(values, operator):
    """What each output position of a convolution sees, element by element, per group."""
    (c_in, height, width), (_, rows, columns) = operator.input_shape, operator.output_shape
    per_group, (kh, kw) = c_in // operator.groups, operator.weight.shape[2:]
    (sy, sx), (dy, dx), pad = operator.stride, operator.dilation, operator.padding
    image = values.reshape(c_in, height, width)
    groups = []
    for g in range(operator.groups):
        patches = np.zeros((rows * columns, per_group, kh, kw))
        for place in range(rows * columns):
            for c in range(per_group):
                for i in range(kh):
                    for j in range(kw):
                        y = place // columns * sy + i * dy - pad[0][0]
                        x = place % columns * sx + j * dx - pad[1][0]
                        if 0 <= y < height and 0 <= x < width:
                            patches[place, c, i, j] = image[g * per_group + c, y, x]
        groups.append(patches.reshape(rows * columns, -1))
    return groups


@pytest.mark.parametrize("seed", range(12))
def test_moments_are_sums_of_products(seed):
    rng = np.random.default_rng(seed)
    network = random_deployable(rng, steps=4)
    blocks = [rng.integers(0, 256, (b, network.n_input)).astype(np.int32) for b in (2, 3)]
    found = input_moments(network, iter(blocks))
    codes = np.concatenate(blocks)
    records = run_float(network, codes, record=("spikes",)).records
    for synapse in network.synapses:
        train = (
            np.repeat(codes[None], 4, 0) if synapse.source == INPUT
            else records[f"{synapse.source}/spikes"]
        )  # fmt: skip
        z = decayed(np.asarray(train, float), network.population(synapse.target))
        operator = synapse.operators[0]
        rows = z.reshape(-1, z.shape[-1])
        if isinstance(operator, Convolution):
            each = [seen(row, operator) for row in rows]
            wanted = [np.concatenate([e[g] for e in each]) for g in range(operator.groups)]
        else:
            wanted = [rows]
        population = network.population(synapse.target)
        ones = decayed(np.ones((4, 1)), population)[:, 0]
        own = found[synapse.name]
        assert own.constant == pytest.approx((ones**2).mean())
        parts = zip(own.groups, own.means, own.centred().groups, wanted, strict=True)
        for moments, mean, centred, w in parts:
            np.testing.assert_allclose(moments, w.T @ w / len(w), rtol=1e-9, atol=1e-9)
            # Rows go by steps first: the decayed constant beside each.
            beside = np.repeat(ones, len(w) // 4)[:, None]
            best = np.linalg.lstsq(beside, w, rcond=None)[0][0]
            np.testing.assert_allclose(mean, best, rtol=1e-9, atol=1e-9)
            left = w - beside * best
            scale = abs(moments).max() + 1
            np.testing.assert_allclose(centred, left.T @ left / len(w), atol=1e-9 * scale)


def test_the_loss_is_the_squared_error_of_what_is_summed():
    """Dense and sparse and by groups, on random numbers written out."""
    rng = np.random.default_rng(3)
    inputs = rng.normal(size=(50, 6))
    error = rng.normal(size=(4, 6))
    moments = uncentred(inputs.T @ inputs / 50)
    expected = ((inputs @ error.T) ** 2).sum(axis=1).mean()
    assert moments.loss(error, None) == pytest.approx(expected, rel=1e-12)
    own = (error**2 @ np.diag(moments.groups[0])).sum()
    assert moments.diagonal().loss(error, None) == pytest.approx(own, rel=1e-12)
    layout = SparseLayout(np.array([0, 2, 3, 3, 4]), np.array([0, 5, 2, 2]), 6)
    values = np.array([0.5, -1.0, 2.0, 0.25])
    dense = np.zeros((4, 6))
    dense[[0, 0, 1, 3], [0, 5, 2, 2]] = values
    assert moments.diagonal().loss(values, layout) == pytest.approx(
        (dense**2 @ np.diag(moments.groups[0])).sum()
    )
    halves = uncentred(inputs[:, :3].T @ inputs[:, :3], inputs[:, 3:].T @ inputs[:, 3:])
    kernel = rng.normal(size=(4, 3, 1, 1))
    parts = [
        ((inputs[:, :3] @ kernel[:2, :, 0, 0].T) ** 2).sum(),
        ((inputs[:, 3:] @ kernel[2:, :, 0, 0].T) ** 2).sum(),
    ]
    conv = ConvLayout((1, 1), (0, 0), (1, 1), 2, (6, 1, 1), (4, 1, 1))
    assert halves.loss(kernel, conv) == pytest.approx(sum(parts), rel=1e-12)


def test_every_direction_counts_after_the_ridge():
    silent = uncentred(np.zeros((3, 3)), np.diag([2.0, 4.0, 0.0])).ridged()
    np.testing.assert_array_equal(silent.groups[0], np.eye(3))
    np.testing.assert_array_equal(
        silent.groups[1], np.diag([2.0, 4.0, 0.0]) + 2 * RIDGE * np.eye(3)
    )


def test_mean_errors_of_every_layout():
    rng = np.random.default_rng(7)
    network = random_deployable(rng, operator="conv")
    moments = input_moments(network, iter([rng.integers(0, 256, (4, network.n_input))]))
    for population in network.populations:
        for synapse in network.synapses_into(population.name):
            operator = synapse.operators[0]
            if synapse.name not in moments:
                continue
            arriving = incoming_of(network, population, synapse)
            error = rng.normal(size=arriving.values.shape)
            found = moments[synapse.name].mean_error(error, arriving)
            means = moments[synapse.name].means
            if isinstance(operator, Convolution):
                per_group = error.shape[0] // operator.groups
                each = [
                    float(error[o].reshape(-1) @ means[o // per_group])
                    for o in range(error.shape[0])
                ]
                wanted = np.repeat(each, population.size // error.shape[0])
            elif arriving.layout is None:
                wanted = error @ means[0]
            else:
                dense = np.zeros((population.size, arriving.layout.n_source))
                rows = np.repeat(np.arange(population.size), np.diff(arriving.layout.indptr))
                dense[rows, arriving.layout.indices] = error
                wanted = dense @ means[0]
            np.testing.assert_allclose(found, wanted, atol=1e-9)


def test_what_knows_nothing_takes_all_inputs_alike():
    rng = np.random.default_rng(0)
    network = random_deployable(rng)
    for population in network.populations:
        for synapse in network.synapses_into(population.name):
            arriving = incoming_of(network, population, synapse)
            moments = plain_moments(arriving)
            error = rng.normal(size=arriving.values.shape)
            size = arriving.payload**2 * (error**2).sum()
            assert isinstance(arriving, Incoming)
            assert moments.loss(error, arriving.layout) == pytest.approx(size)
            if isinstance(synapse.operators[0], Dense):
                assert len(moments.groups) == 1
