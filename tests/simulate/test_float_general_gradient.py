"""Gradients through general float networks against naive loops and finite differences."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from oracles.random_float_networks import random_network

from neurodeploy.errors import InputError, RangeError, ShapeError
from neurodeploy.network import (
    ALWAYS_ON,
    INPUT,
    ConstantEncoder,
    Convolution,
    Dense,
    Network,
    Population,
    Readout,
    Scale,
    Sparse,
    Synapse,
)
from neurodeploy.simulate import FloatGradient, run_float
from neurodeploy.simulate.float_general import GeneralGradient
from neurodeploy.simulate.surrogate import surrogate_slope

READOUTS = ("count", "sum", "mean_v", "last_v", "max_v")


class Spikes(torch.autograd.Function):
    """Spikes with a triangle around each multiple of the threshold that can be reached."""

    @staticmethod
    def forward(ctx, v, threshold, width, multiple):
        ctx.save_for_backward(v, threshold)
        ctx.width, ctx.multiple = width, multiple
        n = torch.floor(v / threshold).clamp(min=0)
        return n if multiple else (v > threshold).double()

    @staticmethod
    def backward(ctx, gradient):
        v, threshold = ctx.saved_tensors
        unit = torch.where(threshold == 0, 1.0, threshold.abs())
        highest = int((v / threshold).max().clamp(min=1)) + 5 if ctx.multiple else 1
        slope = torch.zeros_like(v)
        for k in range(1, highest + 1):
            distance = (v - k * threshold).abs() / unit
            slope = slope + torch.relu(1 - distance / ctx.width) / ctx.width / unit
        return gradient * slope, None, None, None


def operate(operator, x):
    """One operator on [B, n]; convolutions and pools as matrices, made from unit vectors."""
    if isinstance(operator, Scale):
        return x * torch.tensor(operator.factor)
    if isinstance(operator, Dense):
        weight = torch.tensor(operator.weight.reshape(-1, *operator.weight.shape[-2:]))
        rows = x.reshape(len(x), len(weight), -1)
        y = torch.stack([rows[:, g] @ w.T for g, w in enumerate(weight)], 1).reshape(len(x), -1)
    elif isinstance(operator, Sparse):
        weight = torch.zeros(operator.size_out, operator.size_in).double()
        for i in range(operator.size_out):
            row = slice(int(operator.indptr[i]), int(operator.indptr[i + 1]))
            weight[i, operator.indices[row].tolist()] = torch.tensor(operator.weight[row])
        y = x @ weight.T
    elif isinstance(operator, Convolution):
        y = torch.nn.functional.pad(
            x.reshape(-1, *operator.input_shape),
            [m for axis in reversed(operator.padding) for m in axis],
        )
        function = (torch.nn.functional.conv1d, torch.nn.functional.conv2d)[
            len(operator.stride) - 1
        ]
        y = function(
            y, torch.tensor(operator.weight), stride=operator.stride, dilation=operator.dilation,
            groups=operator.groups,
        ).reshape(len(x), -1)  # fmt: skip
    else:
        (p, q), (height, width) = operator.padding, operator.kernel
        y = torch.nn.functional.pad(x.reshape(-1, *operator.input_shape), [q, q, p, p])
        y = y.unfold(2, height, operator.stride[0]).unfold(3, width, operator.stride[1])
        y = y.sum(dim=(-1, -2)).reshape(len(x), -1)
        y = y / (height * width) if operator.kind == "average" else y
    if operator.bias is None:
        return y
    return y + torch.tensor(operator.bias).repeat_interleave(y.shape[1] // len(operator.bias))


def naive_output(net, values, width):
    """The output [T, B, classes] of a loop over steps and populations."""
    steps, batch = values.shape[:2]
    sizes = {INPUT: net.n_input, ALWAYS_ON: 1, **{p.name: p.size for p in net.populations}}
    silence = {name: torch.zeros(batch, n).double() for name, n in sizes.items()}
    past = []
    v = {p.name: torch.tensor(p.v_init).expand(batch, -1) for p in net.populations}
    u = {p.name: torch.zeros(batch, p.size).double() for p in net.populations}
    spiked = {p.name: torch.zeros(batch, p.size).double() for p in net.populations}
    arrived = {p.name: [] for p in net.populations}
    outputs = []

    def delayed(p, x):
        rows = [*arrived[p.name], x]
        zero = torch.zeros(batch).double()
        columns = [
            rows[len(rows) - 1 - d][:, i] if d < len(rows) else zero
            for i, d in enumerate(p.delay_steps)
        ]
        return torch.stack(columns, dim=1)

    for t in range(steps):
        now = {INPUT: values[t], ALWAYS_ON: torch.ones(batch, 1).double()}
        for p in net.populations:
            if p.kind == "delay" and (p.delay_steps >= 1).all():
                now[p.name] = delayed(p, None)
        for p in net.populations:
            x = torch.zeros(batch, p.size).double()
            for s in net.synapses_into(p.name):
                if not (s.silent_first and t == 0):
                    known = now if not s.late else silence
                    known = past[-s.delay_steps] if 0 < s.delay_steps <= len(past) else known
                    y = known[s.source]
                    for operator in s.operators:
                        y = operate(operator, y)
                    x = x + y
            x = x + torch.tensor(p.bias)
            threshold = torch.tensor(p.v_threshold)
            if p.kind == "delay":
                now[p.name] = delayed(p, x)
                arrived[p.name].append(x)
            elif p.kind == "relay":
                now[p.name] = x
            elif p.kind == "threshold":
                now[p.name] = Spikes.apply(x, threshold, width, False)
            else:
                gain = 1.0 if p.gain is None else float(p.gain[min(t, p.gain.size - 1)])
                old = v[p.name]
                drive = gain * x
                if p.decay_u is not None:
                    w_in, decay_u = torch.tensor(p.w_in), torch.tensor(p.decay_u)
                    u[p.name] = u[p.name] + decay_u * (w_in * gain * x - u[p.name])
                    drive = u[p.name]
                leak = torch.tensor(p.decay_v) * (torch.tensor(p.v_leak) - old)
                y = old + leak + torch.tensor(p.input_gain) * drive
                n = torch.zeros_like(y)
                if p.kind == "lif":
                    if p.reset == "subtract-late":
                        y = y - spiked[p.name] * threshold
                    above = (old > threshold).double() if p.reset == "subtract-once" else 0
                    sent = Spikes.apply(
                        y - above * threshold, threshold, width, p.spikes == "multiple"
                    )
                    n = spiked[p.name] = sent.detach()
                    now[p.name] = sent
                if p.reset == "value":
                    y = torch.where(n > 0, torch.tensor(p.v_reset), y)
                elif p.reset != "subtract-late":
                    y = y - n * threshold
                if p.v_min is not None:
                    y = torch.where(y < p.v_min, p.v_min, y)
                v[p.name] = y
                if p.kind == "li":
                    now[p.name] = y
        past.append(now)
        last = net.population(net.readout.population)
        outputs.append(now[last.name] if net.readout.kind == "count" else v[last.name])
    return torch.stack(outputs)


def reduced(output, readout):
    start, stop = readout.window or (0, len(output))
    steps = stop - start
    if readout.kind == "sum":
        return (output[stop - 1] - (output[start - 1] if start else 0)) / steps
    part = output[start:stop]
    if readout.kind == "last_v":
        return part[-1]
    return part.max(0).values if readout.kind == "max_v" else part.sum(0) / steps


def gradient(scores, mixture, point):
    (found,) = torch.autograd.grad((scores * mixture).sum(), point, allow_unused=True)
    return np.zeros(point.shape) if found is None else found.numpy()


@pytest.mark.parametrize("readout", READOUTS)
def test_gradients_of_random_networks_are_those_of_a_naive_loop(readout):
    alive = 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        net = random_network(rng, readout=readout)
        window = None if seed % 2 else (1, 4)
        net = replace(net, readout=Readout(net.readout.population, readout, window))
        values = rng.normal(0.5, 1, (5, 3, 12))
        points = [torch.tensor(values).requires_grad_(True) for _ in range(2)]
        ours = FloatGradient(net, width=1.3).scores_of_values(points[0])
        naive = reduced(naive_output(net, points[1], 1.3), net.readout)
        np.testing.assert_allclose(ours.detach().numpy(), naive.detach().numpy(), atol=1e-9)
        scores = run_float(net, values).scores()
        divided = 3 if window else 5
        expected = scores / (divided if readout in ("count", "sum") else 1)
        np.testing.assert_allclose(ours.detach().numpy(), expected, atol=1e-9)
        mixture = torch.tensor(rng.normal(size=ours.shape))
        # A path without any input has no gradient function at all.
        if not naive.requires_grad:
            assert not ours.requires_grad
            continue
        found = [gradient(s, mixture, p) for s, p in zip((ours, naive), points, strict=True)]
        np.testing.assert_allclose(found[0], found[1], rtol=1e-9, atol=1e-12, err_msg=str(seed))
        alive += (found[1] != 0).any()
    assert alive >= 6


@pytest.mark.parametrize("readout", READOUTS)
@pytest.mark.parametrize("seed", range(3))
def test_both_paths_agree_on_plain_networks(seed, readout):
    rng = np.random.default_rng(seed)

    def plain(name, size, kind="lif", gain=None):
        return Population(
            name=name, nir_nodes=(name,), kind=kind, decay_v=rng.uniform(0, 1, size),
            input_gain=rng.uniform(0.2, 1.5, size), v_leak=rng.normal(0, 0.1, size),
            v_threshold=rng.uniform(-0.2, 0.8, size), v_reset=rng.normal(0, 0.1, size),
            v_init=rng.normal(0, 0.2, size), bias=rng.normal(0, 0.2, size), gain=gain,
        )  # fmt: skip

    ends = [(INPUT, "a", 6, 9), ("a", "b", 9, 5), (INPUT, "b", 6, 5), ("b", "o", 5, 4)]
    synapses = [
        Synapse.dense(f"s{i}", s, t, rng.normal(0.1, 0.6, (n, m)))
        for i, (s, t, m, n) in enumerate(ends)
    ]
    last = "lif" if readout == "count" else "li"
    net = Network(
        (plain("a", 9, gain=[0.5, 2.0]), plain("b", 5), plain("o", 4, last)), tuple(synapses), 6,
        ConstantEncoder(low=-0.5, high=1.5, bits=5), Readout("o", readout), 7,
    )  # fmt: skip
    assert net.is_plain
    codes = torch.tensor(rng.uniform(0, 31, (8, 6)))  # not whole: rounded, straight through
    for shape in ("triangle", "superspike", "rectangle"):
        points = [codes.clone().requires_grad_(True) for _ in range(2)]
        by_hand = FloatGradient(net, width=1.5, shape=shape).scores(points[0])
        general = GeneralGradient(net, width=1.5, shape=shape, device="cpu", steps=7)
        automatic = general.scores(points[1])
        mixture = torch.tensor(rng.normal(size=by_hand.shape))
        a, b = (gradient(s, mixture, p) for s, p in zip((by_hand, automatic), points, strict=True))
        np.testing.assert_allclose(by_hand.detach().numpy(), automatic.detach().numpy(), atol=1e-12)
        assert (a != 0).any()
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("seed", range(6))
def test_smooth_networks_have_the_slope_of_finite_differences(seed):
    rng = np.random.default_rng(seed)
    net = random_network(rng, readout="mean_v", populations=5)
    # Everything that jumps becomes an integrator; a floor would have a corner.
    smooth = tuple(
        replace(p, kind="li", v_min=None) if p.kind in ("lif", "li", "threshold") else p
        for p in net.populations
    )
    net = replace(net, populations=smooth)
    values = rng.normal(size=(4, 2, 12))
    point = torch.tensor(values).requires_grad_(True)
    model = FloatGradient(net)
    scores = model.scores_of_values(point)
    mixture = rng.normal(size=scores.shape)
    found = gradient(scores, torch.tensor(mixture), point)
    direction = rng.normal(size=values.shape)

    def read(step):
        return (run_float(net, values + step * direction).scores() * mixture).sum()

    slope = (read(0.5) - read(-0.5)) / 1.0  # linear: any step is exact
    np.testing.assert_allclose((found * direction).sum(), slope, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("shape", ["triangle", "rectangle", "superspike"])
def test_several_spikes_have_the_slopes_of_all_thresholds_within_the_width(shape):
    p = Population(
        name="p", nir_nodes=("p",), kind="lif", decay_v=[1.0], input_gain=1.0, v_leak=0.0,
        v_threshold=0.5, v_reset=0.0, v_init=0.0, bias=0.0, reset="subtract", spikes="multiple",
    )  # fmt: skip
    drive = Synapse("in", INPUT, "p", ())
    net = Network((p,), (drive,), 1, ConstantEncoder(), Readout("p", "count"), 1)
    values = np.linspace(-1.0, 3.0, 41) + 0.013
    point = torch.tensor(values)[:, None].requires_grad_(True)
    width = 0.8
    scores = FloatGradient(net, width=width, shape=shape).scores_of_values(point)
    np.testing.assert_array_equal(
        scores.detach().numpy()[:, 0], np.maximum(0, np.floor(values / 0.5))
    )
    found = gradient(scores, torch.ones(41, 1), point)[:, 0]
    half, every = torch.tensor([0.5]).double(), torch.tensor(values)[:, None]
    slopes = {
        k: surrogate_slope(every, k * half, half, width, shape).numpy()[:, 0] for k in range(1, 12)
    }
    near = {k: np.abs(np.rint(values / 0.5) - k) <= 2 for k in slopes}
    expected = sum(slopes[k] * near[k] for k in slopes)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    if shape != "superspike":
        np.testing.assert_allclose(found, sum(slopes.values()), rtol=1e-12)


def test_infinite_and_zero_thresholds_keep_gradients_finite():
    p = Population(
        name="p", nir_nodes=("p",), kind="lif", decay_v=[0.5] * 3, input_gain=1.0, v_leak=0.0,
        v_threshold=[np.inf, 0.0, -1.0], v_reset=0.0, v_init=0.0, bias=0.0, reset="subtract",
    )  # fmt: skip
    net = Network(
        (p,), (Synapse("in", INPUT, "p", ()),), 3, ConstantEncoder(), Readout("p", "count"), 3
    )
    point = torch.full((1, 3), 0.1, dtype=torch.float64, requires_grad=True)
    for shape in ("triangle", "rectangle", "superspike"):
        scores = FloatGradient(net, shape=shape).scores_of_values(point)
        found = gradient(scores, torch.ones(1, 3), point)[0]
        assert np.isfinite(found).all()
        assert found[0] == 0
        assert found[1] > 0


def test_held_codes_of_a_general_network_and_errors():
    rng = np.random.default_rng(4)
    net = replace(random_network(rng, readout="mean_v"), steps=None)
    codes = rng.integers(0, 4, (3, 12))
    point = torch.tensor(codes).double().requires_grad_(True)
    model = FloatGradient(net, steps=4)
    scores = model.scores(point)
    expected = run_float(net, codes, steps=4).scores()
    np.testing.assert_allclose(scores.detach().numpy(), expected, atol=1e-12)
    values = torch.tensor(net.encoder.decode(codes)).requires_grad_(True)
    mixture = torch.ones_like(scores)
    by_values = gradient(model.scores_of_values(values), mixture, values)
    np.testing.assert_allclose(
        gradient(scores, mixture, point), by_values * net.encoder.step, rtol=1e-12
    )
    with pytest.raises(InputError, match="give steps"):
        FloatGradient(net).scores(point)
    with pytest.raises(RangeError, match="clip them"):
        model.scores(point + 10)
    with pytest.raises(ShapeError, match="held codes"):
        model.scores(point[None])
    with pytest.raises(ShapeError, match="this network needs"):
        model.scores_of_values(point[:, :5])
    with pytest.raises(InputError, match="width"):
        model.scores(point, width=0.0)
    windowed = replace(net, readout=Readout(net.readout.population, "mean_v", (2, 6)))
    with pytest.raises(ShapeError, match="window 2:6 ends after"):
        FloatGradient(windowed, steps=4).scores(point)
