"""FloatGradient: forward equal to run_float, backward equal to a naive autograd loop."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from neurodeploy.network import (
    ALWAYS_ON,
    INPUT,
    ConstantEncoder,
    Network,
    Population,
    Readout,
    Synapse,
)
from neurodeploy.simulate import FloatGradient, run_float


def random_network(rng, readout):
    def population(name, size, kind="lif", gain=None):
        return Population(
            name=name, nir_nodes=(name,), kind=kind, decay_v=rng.uniform(0, 1, size),
            input_gain=rng.uniform(0.2, 1.5, size), v_leak=rng.normal(0, 0.1, size),
            v_threshold=rng.uniform(0.2, 0.8, size), v_reset=rng.normal(0, 0.1, size),
            v_init=rng.normal(0, 0.2, size), bias=rng.normal(0, 0.2, size), gain=gain,
        )  # fmt: skip

    def synapse(name, source, target, n_in, n_out):
        return Synapse.dense(name, source, target, rng.normal(0.1, 0.6, (n_out, n_in)))

    return Network(
        populations=(
            population("a", 9, gain=rng.uniform(0.5, 2, 3)),
            population("b", 5),
            population("o", 4, "lif" if readout == "count" else "li"),
        ),
        synapses=(
            synapse("s1", INPUT, "a", 6, 9),
            synapse("s2", "a", "b", 9, 5),
            synapse("s3", INPUT, "b", 6, 5),
            synapse("s4", ALWAYS_ON, "b", 1, 5),
            synapse("s5", "b", "o", 5, 4),
            synapse("s6", "a", "o", 9, 4),
        ),
        n_input=6,
        encoder=ConstantEncoder(low=-0.5, high=1.5, bits=5),
        readout=Readout("o", readout),
        steps=7,
    )


class Spike(torch.autograd.Function):
    @staticmethod
    def forward(ctx, v, threshold, width, shape):
        ctx.save_for_backward(v, threshold)
        ctx.width, ctx.shape = width, shape
        return (v > threshold).double()

    @staticmethod
    def backward(ctx, gradient):
        v, threshold = ctx.saved_tensors
        z = ((v - threshold) / threshold.abs()).abs() / ctx.width
        slope = {
            "triangle": torch.relu(1 - z),
            "superspike": 1 / (1 + z) ** 2,
            "gaussian": torch.exp(-torch.pi * z**2),
            "sigmoid": 4 * torch.sigmoid(4 * z) * torch.sigmoid(-4 * z),
        }[ctx.shape]
        return gradient * slope / ctx.width / threshold.abs(), None, None, None


def naive_scores(net, codes, width, shape="triangle", adaptive=False):
    if adaptive:
        # The widths are the means of a first run, times the given one.
        found = {p.name: [] for p in net.populations}
        with torch.no_grad():
            run_naively(net, codes.detach(), {p.name: 1.0 for p in net.populations}, shape, found)
        own = {name: width * torch.stack(x).mean(0) for name, x in found.items() if x}
    else:
        own = {p.name: width for p in net.populations}
    return run_naively(net, codes, own, shape, None)


def run_naively(net, codes, widths, shape, distances):
    """A plain loop; ``distances`` receive those of each population that can fire, by steps."""
    value = net.encoder.low + codes * net.encoder.step
    v = {p.name: torch.tensor(p.v_init).expand(len(codes), -1) for p in net.populations}
    outputs = []
    for t in range(net.steps):
        sent = {ALWAYS_ON: torch.ones(len(codes), 1).double(), INPUT: value}
        for p in net.populations:
            x = torch.tensor(p.bias)
            for s in net.synapses_into(p.name):
                x = x + sent[s.source] @ torch.tensor(s.weight).T
            gain = 1.0 if p.gain is None else float(p.gain[min(t, p.gain.size - 1)])
            leak = torch.tensor(p.decay_v) * (torch.tensor(p.v_leak) - v[p.name])
            v_pre = v[p.name] + leak + torch.tensor(p.input_gain) * gain * x
            if p.kind == "li":
                v[p.name] = v_pre
                continue
            threshold = torch.tensor(p.v_threshold)
            if distances is not None:
                distances[p.name].append((v_pre - threshold).abs() / threshold.abs())
            spikes = Spike.apply(v_pre, threshold, widths[p.name], shape)
            fired = spikes.detach()
            v[p.name] = v_pre * (1 - fired) + torch.tensor(p.v_reset) * fired
            sent[p.name] = spikes
        outputs.append(sent["o"] if net.readout.kind == "count" else v["o"])
    output = torch.stack(outputs)
    if net.readout.kind == "count":
        return output.sum(0) / net.steps
    if net.readout.kind == "mean_v":
        return output.mean(0)
    if net.readout.kind == "max_v":
        return output.max(0).values
    return output[-1] / (net.steps if net.readout.kind == "sum" else 1)


@pytest.mark.parametrize("readout", ["count", "sum", "mean_v", "last_v", "max_v"])
@pytest.mark.parametrize("seed", range(4))
def test_scores_and_gradient_are_those_of_a_naive_loop_and_of_run_float(seed, readout):
    rng = np.random.default_rng(seed)
    net = random_network(rng, readout)
    codes = rng.integers(0, 32, (8, 6))
    points = [torch.tensor(codes).double().requires_grad_(True) for _ in range(2)]
    ours = FloatGradient(net, width=2.0).scores(points[0])
    naive = naive_scores(net, points[1], 2.0)
    np.testing.assert_allclose(ours.detach().numpy(), naive.detach().numpy(), atol=1e-12)
    expected = run_float(net, codes).scores() / (net.steps if readout in ("count", "sum") else 1)
    np.testing.assert_allclose(ours.detach().numpy(), expected, atol=1e-12)
    mixture = torch.tensor(rng.normal(size=ours.shape))
    gradients = [
        torch.autograd.grad((scores * mixture).sum(), point)[0].numpy()
        for scores, point in zip((ours, naive), points, strict=True)
    ]
    assert (gradients[1] != 0).any()
    np.testing.assert_allclose(gradients[0], gradients[1], rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("by_hand", [True, False])
@pytest.mark.parametrize("adaptive", [False, True])
@pytest.mark.parametrize("shape", ["triangle", "superspike", "sigmoid", "gaussian"])
def test_every_shape_and_adaptive_widths_by_hand_and_by_autograd(shape, adaptive, by_hand):
    rng = np.random.default_rng(3)
    net = random_network(rng, "mean_v")
    codes = rng.integers(0, 32, (8, 6))
    points = [torch.tensor(codes).double().requires_grad_(True) for _ in range(2)]
    engine = FloatGradient(net, width=1.5, shape=shape, adaptive=adaptive)
    ours = (engine if by_hand else engine._general).scores(points[0])
    naive = naive_scores(net, points[1], 1.5, shape, adaptive)
    mixture = torch.tensor(rng.normal(size=ours.shape))
    gradients = [
        torch.autograd.grad((scores * mixture).sum(), point)[0].numpy()
        for scores, point in zip((ours, naive), points, strict=True)
    ]
    assert (gradients[1] != 0).any()
    np.testing.assert_allclose(gradients[0], gradients[1], rtol=1e-9, atol=1e-14)


def test_adaptive_widths_are_of_their_own_run():
    # Two runs before either goes back: each has the widths of its own membranes.
    rng = np.random.default_rng(3)
    net = random_network(rng, "mean_v")
    engine = FloatGradient(net, adaptive=True)._general
    points = [
        torch.tensor(rng.integers(0, 32, (4, 6))).double().requires_grad_(True) for _ in range(2)
    ]
    alone = [torch.autograd.grad(engine.scores(x).sum(), x)[0] for x in points]
    both = [engine.scores(x).sum() for x in points]
    for scores, point, expected in zip(both, points, alone, strict=True):
        (found,) = torch.autograd.grad(scores, point)
        torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_a_linear_network_has_its_exact_gradient():
    # Without spikes the score is linear in the codes: the gradient is known in closed form.
    rng = np.random.default_rng(8)
    net = random_network(rng, "sum")
    only = replace(net.populations[2], decay_v=np.zeros(4), v_init=np.zeros(4))
    weight = rng.normal(size=(4, 6))
    net = replace(net, populations=(only,), synapses=(Synapse.dense("s", INPUT, "o", weight),))
    point = torch.zeros(1, 6, dtype=torch.float64, requires_grad=True)
    scores = FloatGradient(net).scores(point)
    (gradient,) = torch.autograd.grad(scores[0, 2], point)
    expected = weight[2] * only.input_gain[2] * net.encoder.step
    np.testing.assert_allclose(gradient.numpy()[0], expected, rtol=1e-12)
