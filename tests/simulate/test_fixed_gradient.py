"""FixedGradient: forward equal to run_fixed, backward equal to a naive autograd loop."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from oracles.random_networks import random_codes, random_fixed_network

from neurodeploy.errors import InputError, RangeError, ShapeError
from neurodeploy.network import ALWAYS_ON, INPUT, decide
from neurodeploy.simulate import FixedGradient, run_fixed


def straight_through(x, value):
    """``value`` forward, the gradient of ``x`` backward."""
    return x + (value - x).detach()


def wrapped(x):
    return straight_through(x, torch.remainder(x + 2.0**31, 2.0**32) - 2.0**31)


def decayed(x, factor):
    product = x * factor
    return straight_through(product / 4096, torch.sign(product) * (product.abs() // 4096))


class Spike(torch.autograd.Function):
    @staticmethod
    def forward(ctx, v, threshold, width, shape):
        ctx.save_for_backward(v, threshold)
        ctx.width, ctx.shape = width, shape
        return (v > threshold).double()

    @staticmethod
    def backward(ctx, gradient):
        v, threshold = ctx.saved_tensors
        unit = torch.where(threshold.abs() > 64, threshold.abs(), torch.full_like(threshold, 64))
        x, w = ((v - threshold) / unit).abs(), ctx.width
        slope = {
            "triangle": torch.relu(1 - x / w) / w,
            "rectangle": (x < w).double() / (2 * w),
            "superspike": 1 / (w * (1 + x / w) ** 2),
        }[ctx.shape]
        return gradient * slope / unit, None, None, None


def naive_scores(net, codes, width, shape):
    """A plain loop over steps and populations, differentiated by autograd."""
    u = {p.name: torch.tensor(p.u_init).double().expand(len(codes), -1) for p in net.populations}
    v = {p.name: torch.tensor(p.v_init).double().expand(len(codes), -1) for p in net.populations}
    outputs = []
    for t in range(net.steps):
        sent = {ALWAYS_ON: torch.ones(len(codes), 1).double()}
        for p in net.populations:
            a = torch.zeros(len(codes), p.size).double()
            for s in net.synapses_into(p.name):
                payload = codes if s.source == INPUT else sent[s.source]
                if s.source == INPUT and s.message_bits == 0:
                    payload = straight_through(codes, (codes != 0).double())
                total = wrapped(payload @ torch.tensor(s.weight).double().T) * 2.0**s.weight_exp
                a = wrapped(a + wrapped(straight_through(total, torch.floor(total))))
            kept = decayed(v[p.name], 4096 - torch.tensor(p.decay_v).double())
            if p.kind == "dlif":
                gain = float(p.gain[min(t, p.gain.size - 1)]) / 2**p.gain_shift
                x = (a + torch.tensor(p.bias).double()) * gain
                full = kept + straight_through(x, torch.floor(x)) * 64
            else:
                now = decayed(u[p.name], 4095 - torch.tensor(p.decay_u).double())
                now = wrapped(now + wrapped(a * 64))
                once = torch.where(now > 2.0**23, now - 2.0**24, now)
                once = torch.where(once <= -(2.0**23), once + 2.0**24, once)
                u[p.name] = straight_through(now, once)
                full = wrapped(kept + u[p.name] + torch.tensor(p.bias_shifted).double())
            v_pre = torch.clamp(full, -(2**23) + 1, 2**23 - 1)
            threshold = torch.tensor(p.v_threshold).double() * 64
            spikes = Spike.apply(v_pre, threshold, width, shape)
            v[p.name] = v_pre * (1 - spikes.detach())
            sent[p.name] = spikes
        name = net.readout.population
        outputs.append(sent[name] if net.readout.kind == "count" else v[name])
    output = torch.stack(outputs)
    kind, scale = net.readout.kind, net.population(net.readout.population).scale
    if kind == "count":
        return output.sum(0) / net.steps
    if kind == "mean_v":
        return output.sum(0) / scale / net.steps
    if kind == "max_v":
        return output.gather(0, output.argmax(0, keepdim=True))[0] / scale
    return output[-1] / scale / (net.steps if kind == "sum" else 1)


def network_and_codes(seed, samples=4, **options):
    rng = np.random.default_rng(seed)
    net = random_fixed_network(rng, **options)
    changed = tuple(replace(p, scale=64.0 * (i + 1)) for i, p in enumerate(net.populations))
    net = replace(net, populations=changed)
    return net, random_codes(rng, net, samples, held=True)


def gradient_of(scores, codes, seed=0):
    """Gradient of a fixed random mixture of the scores."""
    weights = torch.randn(scores.shape, generator=torch.Generator().manual_seed(seed)).double()
    (gradient,) = torch.autograd.grad((scores * weights).sum(), codes)
    return gradient


@pytest.mark.parametrize("seed", range(60))
def test_forward_is_the_integer_simulator(seed):
    net, codes = network_and_codes(seed, hardware=seed % 2 == 0)
    expected = run_fixed(net, codes, threads=1).scores().astype(np.float64)
    kind = net.readout.kind
    if kind != "count":
        expected /= net.population(net.readout.population).scale * (
            net.steps if kind in ("sum", "mean_v") else 1
        )
    else:
        expected /= net.steps
    scores = FixedGradient(net).scores(torch.tensor(codes)).numpy()
    assert scores.dtype == np.float64
    np.testing.assert_array_equal(scores, expected)
    np.testing.assert_array_equal(decide(scores), decide(expected))


@pytest.mark.parametrize("seed", range(100, 130))
def test_backward_is_a_naive_autograd_loop(seed):
    net, codes = network_and_codes(seed, hardware=seed % 2 == 0)
    shape = ("superspike", "rectangle", "triangle")[seed % 3]
    width = (0.5, 1.0, 4.0)[seed // 3 % 3]
    points = [torch.tensor(codes).double().requires_grad_(True) for _ in range(2)]
    ours = FixedGradient(net, width=width, shape=shape).scores(points[0])
    naive = naive_scores(net, points[1], width, shape)
    np.testing.assert_allclose(ours.detach().numpy(), naive.detach().numpy(), rtol=1e-15)
    expected = gradient_of(naive, points[1]).numpy()
    np.testing.assert_allclose(
        gradient_of(ours, points[0]).numpy(),
        expected,
        rtol=1e-9,
        atol=1e-12 * np.abs(expected).max(),
    )


def test_the_gradients_that_are_compared_are_not_all_zero():
    passing = 0
    for seed in range(100, 120):
        net, codes = network_and_codes(seed, hardware=seed % 2 == 0)
        point = torch.tensor(codes).double().requires_grad_(True)
        scores = FixedGradient(net, shape="superspike").scores(point)
        passing += bool((gradient_of(scores, point) != 0).any())
    assert passing >= 15


@pytest.mark.parametrize("kind", ["count", "sum", "mean_v", "last_v", "max_v"])
def test_every_read_out_of_a_firing_population(kind):
    net, codes = network_and_codes(3, readout=False, layers=2)
    net = replace(net, readout=replace(net.readout, kind=kind))
    points = [torch.tensor(codes).double().requires_grad_(True) for _ in range(2)]
    ours = FixedGradient(net, shape="superspike").scores(points[0])
    naive = naive_scores(net, points[1], 1.0, "superspike")
    expected = gradient_of(naive, points[1])
    assert (expected != 0).any()
    np.testing.assert_allclose(ours.detach().numpy(), naive.detach().numpy(), rtol=1e-15)
    np.testing.assert_allclose(gradient_of(ours, points[0]).numpy(), expected, rtol=1e-9)


def test_a_clipped_membrane_passes_no_gradient():
    net, _ = network_and_codes(3, layers=1, readout=True, kind="lif", graded=True, extreme=False)
    clipped = replace(
        net.populations[0],
        decay_v=np.zeros(net.populations[0].size),
        v_init=np.full(net.populations[0].size, 2**23 - 1),
        bias=np.full(net.populations[0].size, 4095),
        bias_exp=7,
    )
    weight = np.abs(net.synapses[0].weight)
    synapse = replace(net.synapses[0], weight=weight, sign_mode="excitatory", weight_exp=-8)
    net = replace(
        net,
        populations=(clipped,),
        synapses=(synapse,),
        readout=replace(net.readout, kind="last_v"),
    )
    point = torch.zeros(2, net.n_input, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(FixedGradient(net).scores(point).sum(), point)
    assert (run_fixed(net, np.zeros((2, net.n_input), int)).counts["layer1/clamps"] > 0).all()
    assert (gradient == 0).all()


def test_a_width_given_with_the_codes_replaces_that_of_the_constructor():
    net, codes = network_and_codes(102)
    gradients = []
    for constructed, given in ((3.0, None), (1.0, 3.0), (1.0, None)):
        point = torch.tensor(codes).double().requires_grad_(True)
        engine = FixedGradient(net, width=constructed, shape="superspike")
        gradients.append(gradient_of(engine.scores(point, given), point))
    assert (gradients[0] == gradients[1]).all()
    assert (gradients[0] != gradients[2]).any()


def test_the_gradient_has_the_type_of_the_codes_and_passes_through_rounding():
    net, codes = network_and_codes(102)
    exact = torch.tensor(codes).double().requires_grad_(True)
    single = (torch.tensor(codes).float() * 0.999 + 1e-3).requires_grad_(True)
    engine = FixedGradient(net, shape="superspike")
    np.testing.assert_array_equal(
        engine.scores(exact).detach().numpy(), engine.scores(single).detach().numpy()
    )
    gradient = gradient_of(engine.scores(single), single)
    assert gradient.dtype == torch.float32
    expected = gradient_of(engine.scores(exact), exact)
    np.testing.assert_allclose(gradient.numpy(), expected.numpy(), rtol=1e-6)


def test_a_read_out_that_no_gradient_reaches_gives_zero():
    net, codes = network_and_codes(4, readout=True, layers=1)
    net = replace(net, readout=replace(net.readout, kind="count"))
    point = torch.tensor(codes).double().requires_grad_(True)
    scores = FixedGradient(net).scores(point)
    assert (scores == 0).all()
    (gradient,) = torch.autograd.grad(scores.sum(), point)
    assert (gradient == 0).all()


def test_errors():
    net, codes = network_and_codes(0)
    engine = FixedGradient(net)
    point = torch.tensor(codes).double()
    with pytest.raises(ShapeError, match="gradients need held codes"):
        engine.scores(point[:, 1:])
    with pytest.raises(ShapeError, match="gradients need held codes"):
        engine.scores(point[:0])
    for bad in (-1.0, net.encoder.max_code + 1.0, float("nan")):
        wrong = point.clone()
        wrong[0, 0] = bad
        with pytest.raises(RangeError, match="leaves"):
            engine.scores(wrong)
    with pytest.raises(InputError, match="width"):
        FixedGradient(net, width=0.0)
    with pytest.raises(InputError, match="shape"):
        FixedGradient(net, shape="gaussian")
    with pytest.raises(InputError, match="width"):
        engine.scores(point, -1.0)
