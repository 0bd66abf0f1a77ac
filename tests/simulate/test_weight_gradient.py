"""Gradients by weights and biases: equal to a naive autograd loop over the literal rules."""

from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch
from oracles.random_topologies import PAIRS
from simulate import test_fixed_gradient as naive

from neurodeploy.errors import InputError, ShapeError
from neurodeploy.simulate import FixedGradient, WeightGradient


@contextmanager
def leaves(net):
    """Let the naive loop use tensors that gradients are asked of, instead of numbers."""
    weights, biases, inputs = {}, {}, {}
    plain_matrices, plain_neurons = naive.matrices, naive.NaiveNeurons

    def matrices(net, synapse):
        found = plain_matrices(net, synapse)
        for _, matrix in found:
            matrix.requires_grad_()
        weights[synapse.name] = found
        return found

    class Neurons(plain_neurons):
        """The same neurons with a bias that is a leaf, and a memory of what they got."""

        def __init__(self, p, *given):
            super().__init__(p, *given)
            biases[p.name] = self.bias.requires_grad_()
            inputs[p.name] = []

        def step(self, a):
            inputs[self.p.name].append(a)
            return super().step(a)

    naive.matrices, naive.NaiveNeurons = matrices, Neurons
    try:
        yield weights, biases, inputs
    finally:
        naive.matrices, naive.NaiveNeurons = plain_matrices, plain_neurons


def mixture(scores, seed=0):
    return torch.randn(scores.shape, generator=torch.Generator().manual_seed(seed)).double()


@pytest.mark.parametrize(
    "seed",
    [*range(10), *(pytest.param(s, marks=pytest.mark.slow) for s in range(10, len(PAIRS)))],
)
def test_weights_of_any_network(seed):
    """Every neuron, synapse, delay, read-out: entry by entry, summed where a kernel is shared."""
    net, codes = naive.any_case(seed)
    width, shape = 0.5 + 0.5 * (seed % 3), ("triangle", "superspike", "rectangle")[seed % 3]
    engine = WeightGradient(net, width=width, shape=shape)
    # Every other network's loss looks at the inputs of its populations, too.
    looked_at = sorted(engine.between)[: 2 * (seed % 2)]
    with leaves(net) as (weights, biases, inputs):
        scores = naive.naive_scores(net, torch.tensor(codes).double(), width, shape)
        mix = mixture(scores)
        total = (scores * mix).sum()
        arrived = {name: torch.stack(inputs[name], dim=1) for name in looked_at}
        mixes = {name: mixture(a, 1) / 1e4 for name, a in arrived.items()}
        total = total + sum((arrived[name] * mixes[name]).sum() for name in looked_at)
        asked = [*(m for found in weights.values() for _, m in found), *biases.values()]
        found = torch.autograd.grad(total, asked, allow_unused=True) if total.requires_grad else ()
    run = engine.run(codes, looked_at)
    for name, a in arrived.items():
        np.testing.assert_array_equal(run.inputs[name].numpy(), a.detach().numpy())
    # Whole numbers over a scale: they may be divided in another order.
    np.testing.assert_allclose(run.scores.numpy(), scores.detach().numpy(), rtol=1e-13)
    own = run.backward(mix, mixes)
    gradients = dict(zip(map(id, asked), found, strict=False))
    for synapse in net.synapses:
        expected = np.zeros(synapse.weight.shape)
        number = np.arange(synapse.weight.size).reshape(synapse.weight.shape)
        # A copy whose weights are their own numbers tells where each connection is kept.
        numbered = replace(synapse, weight=(number + 1).astype(np.int32), sign_mode="excitatory")
        places = {(t, s, d): w - 1 for t, s, w, d in naive.literal_terms(numbered).tolist()}
        real = {(t, s): d for t, s, _, d in naive.literal_terms(synapse).tolist()}
        later = dict(weights[synapse.name])
        latency = {naive.INPUT: 0, **{p.name: p.latency for p in net.populations}}
        for (target, source, delay), place in places.items():
            if (target, source) not in real:
                continue
            logical = 0
            if synapse.source != naive.ALWAYS_ON:
                logical = latency[synapse.source] + 1 + delay - latency[synapse.target]
            gradient = gradients.get(id(later[logical]))
            if gradient is not None:
                expected.flat[place] += float(gradient[target, source])
        mask = synapse.weight != 0
        size = np.abs(expected).max(initial=0.0) + 1e-12
        np.testing.assert_allclose(
            own.weights[synapse.name][mask], expected[mask], atol=1e-7 * size, rtol=1e-6
        )
    for p in net.populations:
        gradient = gradients.get(id(biases[p.name]))
        expected = np.zeros(p.size) if gradient is None else gradient.numpy() * 2.0**p.bias_exp
        size = np.abs(expected).max(initial=0.0) + 1e-12
        np.testing.assert_allclose(own.biases[p.name], expected, atol=1e-7 * size, rtol=1e-6)


def test_codes_have_the_gradient_of_fixed_gradient():
    net, codes = naive.any_case(3)
    run = WeightGradient(net, width=0.5).run(codes)
    mix = mixture(run.scores)
    given = torch.tensor(codes).double().requires_grad_()
    scores = FixedGradient(net, width=0.5).scores(given)
    (expected,) = torch.autograd.grad((scores * mix).sum(), given)
    np.testing.assert_array_equal(run.backward(mix).codes, expected.numpy())
    twice = run.backward(2 * mix)
    for name, values in run.backward(mix).weights.items():
        np.testing.assert_allclose(twice.weights[name], 2 * values, rtol=1e-9, atol=1e-12)


def test_gradients_are_there_and_misuse_is_refused():
    found = 0
    for seed in range(12):
        net, codes = naive.any_case(seed)
        run = WeightGradient(net).run(codes)
        gradients = run.backward(mixture(run.scores))
        found += any(v.any() for v in gradients.weights.values())
    assert found >= 6
    with pytest.raises(ShapeError, match="shape"):
        run.backward(torch.zeros(1, 1, 1))
    with pytest.raises(ShapeError, match="input of"):
        run.backward(torch.zeros_like(run.scores), {"p0": torch.zeros(1, 1, 1)})
    with pytest.raises(InputError, match="read-out"):
        WeightGradient(net).run(codes, ["nobody"])
    with pytest.raises(ShapeError, match="codes"):
        WeightGradient(net).run(codes[..., :-1])
    with pytest.raises(InputError, match="shape"):
        WeightGradient(net, shape="round")
