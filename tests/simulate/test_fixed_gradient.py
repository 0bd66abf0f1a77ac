"""FixedGradient: forward equal to run_fixed, backward equal to a naive autograd loop."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from oracles.literal_fixed import bias_shifted, run_aligned
from oracles.literal_synapses import literal_terms
from oracles.random_networks import random_codes, random_fixed_network
from oracles.random_topologies import PAIRS, random_case

from neurodeploy.errors import InputError, RangeError, ShapeError
from neurodeploy.network import ALWAYS_ON, INPUT, Readout, decide
from neurodeploy.network.fixed import ConvLayout
from neurodeploy.network.traces import read_out
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
            "gaussian": torch.exp(-torch.pi * (x / w) ** 2) / w,
            "sigmoid": 4 / w * torch.sigmoid(4 * x / w) * torch.sigmoid(-4 * x / w),
        }[ctx.shape]
        return gradient * slope / unit, None, None, None


def matrices(net, synapse):
    """[(logical delay, float64 [out, in])] of a synapse, one for each delay."""
    terms = literal_terms(synapse)
    found = []
    for delay in np.unique(terms[:, 3]).tolist():
        target, source, weight, _ = terms[terms[:, 3] == delay].T
        matrix = torch.zeros(synapse.size_out, synapse.size_in).double()
        matrix[target, source] = torch.tensor(weight).double()
        later = 0
        if synapse.source != ALWAYS_ON:
            latency = {INPUT: 0, **{p.name: p.latency for p in net.populations}}
            later = latency[synapse.source] + 1 + delay - latency[synapse.target]
        found.append((later, matrix))
    return found


def naive_sum(synapse, matrix, sent):
    """What one delay of a synapse adds, straight through the shift and the wraps."""
    if synapse.message_bits == 0:
        sent = straight_through(sent, (sent != 0).double())
    exact = sent @ matrix.T
    if isinstance(synapse.layout, ConvLayout):
        return straight_through(exact, torch.remainder(exact + 2.0**23, 2.0**24) - 2.0**23)
    total = wrapped(exact) * 2.0**synapse.weight_exp
    return wrapped(straight_through(total, torch.floor(total)))


class NaiveNeurons:
    """One population, one step at a time, every state a tensor with a history."""

    def __init__(self, p, batch, width, shape):
        self.p, self.width, self.shape, self.steps_done = p, width, shape, 0
        self.u = torch.tensor(p.u_init).double().expand(batch, -1)
        self.v = torch.tensor(p.v_init).double().expand(batch, -1)
        self.wait = torch.zeros(batch, p.size)
        self.threshold = torch.tensor(p.v_threshold).double() * 64
        self.bias = torch.tensor(p.bias if p.kind == "dlif" else bias_shifted(p)).double()
        self.distances, self.free = [], []

    def mean_distance(self):
        """Mean distance from the threshold over the steps in which a neuron does not wait."""
        distances, free = torch.stack(self.distances), torch.stack(self.free)
        mean = (distances * free).sum(0) / free.sum(0)
        return torch.clamp(mean, min=1 / 64)

    def step(self, a):
        p = self.p
        self.steps_done += 1
        h = self.steps_done + p.latency
        if p.reset_interval and (h - p.reset_offset) % p.reset_interval == 0:
            self.u, self.v = torch.zeros_like(self.u), torch.zeros_like(self.v)
            self.wait = torch.zeros_like(self.wait)
        kept = decayed(self.v, 4096 - torch.tensor(p.decay_v).double())
        if p.kind == "dlif":
            gain = float(p.gain[min(self.steps_done, p.gain.size) - 1]) / 2**p.gain_shift
            x = (a + self.bias) * gain
            full = kept + straight_through(x, torch.floor(x)) * 64
        else:
            now = decayed(self.u, 4095 - torch.tensor(p.decay_u).double())
            now = wrapped(now + wrapped(a * 64))
            once = torch.where(now > 2.0**23, now - 2.0**24, now)
            once = torch.where(once <= -(2.0**23), once + 2.0**24, once)
            self.u = straight_through(now, once)
            full = wrapped(kept + self.u + self.bias)
        held = self.wait > 0
        v_pre = torch.where(held, self.v, torch.clamp(full, -(2**23) + 1, 2**23 - 1))
        unit = torch.clamp(self.threshold.abs(), min=64)
        self.distances.append((v_pre.detach() - self.threshold).abs() / unit)
        self.free.append(~held)
        fired = Spike.apply(v_pre, self.threshold, self.width, self.shape)
        spikes = torch.where(held, torch.zeros_like(fired), fired)
        if (p.v_threshold > 131071).all():
            spikes = spikes.detach()
        gone = spikes.detach()
        self.v = v_pre - self.threshold * gone if p.reset == "subtract" else v_pre * (1 - gone)
        self.wait = torch.where(
            held, self.wait - 1, torch.where(gone > 0, float(p.refractory_steps), 0.0)
        )
        return spikes, self.v


def adaptive_widths(net, codes, width):
    """``width`` times each sample's and neuron's mean distance, by population."""
    neurons = {}
    with torch.no_grad():
        naive_scores(net, codes.detach(), 1.0, "triangle", neurons)
    return {name: width * found.mean_distance() for name, found in neurons.items()}


def naive_scores(net, codes, width, shape, neurons=None):
    """A plain loop over steps and populations, differentiated by autograd.

    ``width`` is a number, or one for each neuron of each population; ``neurons`` receives them.
    """
    steps = codes.shape[0] if codes.ndim == 3 else net.steps
    batch = codes.shape[-2]
    neurons = {} if neurons is None else neurons
    for p in net.populations:
        own = width[p.name] if isinstance(width, dict) else width
        neurons[p.name] = NaiveNeurons(p, batch, own, shape)
    slots = {s.name: matrices(net, s) for s in net.synapses}
    sent = {INPUT: [], ALWAYS_ON: [], **{p.name: [] for p in net.populations}}
    outputs = []
    for t in range(steps):
        sent[INPUT].append(codes[t] if codes.ndim == 3 else codes)
        sent[ALWAYS_ON].append(torch.ones(batch, 1).double())
        for p in net.populations:
            a = torch.zeros(batch, p.size).double()
            for s in net.synapses_into(p.name):
                for later, matrix in slots[s.name]:
                    if t - later >= 0:
                        a = wrapped(a + naive_sum(s, matrix, sent[s.source][t - later]))
            spikes, v = neurons[p.name].step(a)
            sent[p.name].append(spikes)
            if p.name == net.readout.population:
                outputs.append(spikes if net.readout.kind == "count" else v)
    output = torch.stack(outputs)
    start, stop = net.readout.window or (0, steps)
    seen = output[start:stop]
    kind, scale = net.readout.kind, net.population(net.readout.population).scale
    if kind == "count":
        return seen.sum(0) / (stop - start)
    if kind == "mean_v":
        return seen.sum(0) / scale / (stop - start)
    if kind == "max_v":
        first = torch.tensor(np.argmax(seen.detach().numpy(), axis=0))
        return seen.gather(0, first[None])[0] / scale
    if kind == "sum":
        before = output[start - 1] if start else 0
        return (seen[-1] - before) / scale / (stop - start)
    return seen[-1] / scale


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


def any_case(seed):
    """Any network the types allow, codes for it, and a read-out of any kind and window."""
    rng = np.random.default_rng(seed)
    pair = PAIRS[seed % len(PAIRS)]
    net, codes = random_case(rng, pair=pair, hardware=seed % 2 == 0, extreme=seed % 5 == 0)
    changed = tuple(replace(p, scale=64.0 * (i + 1)) for i, p in enumerate(net.populations))
    steps = codes.shape[0] if codes.ndim == 3 else net.steps
    kind = net.readout.kind
    if rng.random() < 0.7:
        kind = str(rng.choice(["count", "sum", "mean_v", "last_v", "max_v"]))
    window = None
    if rng.random() < 0.5:
        start = int(rng.integers(0, steps))
        window = (start, int(rng.integers(start + 1, steps + 1)))
    readout = replace(net.readout, kind=kind, window=window)
    return replace(net, populations=changed, readout=readout), codes


def score_unit(net, steps):
    start, stop = net.readout.window or (0, steps)
    scale = net.population(net.readout.population).scale
    grows = stop - start if net.readout.kind in ("count", "sum", "mean_v") else 1
    return grows * (1.0 if net.readout.kind == "count" else scale)


def oracle_scores(net, codes):
    steps = codes.shape[0] if codes.ndim == 3 else net.steps
    quantity = "spikes" if net.readout.kind == "count" else "v"
    output = run_aligned(net, codes).records[f"{net.readout.population}/{quantity}"]
    return read_out(output, net.readout.kind, net.readout.window) / score_unit(net, steps)


def seeds(first):
    """One network for each pair of a neuron and a synapse; nine more in the slow part."""
    here = list(range(first, first + 10 * len(PAIRS)))
    slow = [pytest.param(seed, marks=pytest.mark.slow) for seed in here[len(PAIRS) :]]
    return [*here[: len(PAIRS)], *slow]


@pytest.mark.parametrize("seed", seeds(0))
def test_any_network_forward_is_the_literal_oracle(seed):
    net, codes = any_case(seed)
    expected = oracle_scores(net, codes)
    for given in (torch.tensor(codes), torch.tensor(codes).double()):
        scores = FixedGradient(net).scores(given)
        assert scores.dtype == torch.float64
        np.testing.assert_array_equal(scores.numpy(), expected)
    # Every neuron of every population fires as often as in the simulator.
    spikes = run_fixed(net, codes, record="spikes", threads=1).records
    for p in net.populations:
        counting = replace(net, readout=Readout(p.name, "count"))
        counted = FixedGradient(counting).scores(torch.tensor(codes)).numpy()
        np.testing.assert_array_equal(counted, spikes[f"{p.name}/spikes"].mean(axis=0))


@pytest.mark.parametrize("seed", seeds(1000 * len(PAIRS)))
def test_any_network_backward_is_a_naive_autograd_loop(seed):
    net, codes = any_case(seed)
    shape = ("superspike", "rectangle", "triangle")[seed % 3]
    width = (0.5, 1.0, 4.0)[seed // 3 % 3]
    double = [torch.tensor(codes).double().requires_grad_(True) for _ in range(2)]
    single = torch.tensor(codes).float().requires_grad_(True)
    engine = FixedGradient(net, width=width, shape=shape)
    naive = naive_scores(net, double[1], width, shape)
    # Where nothing that is read depends on the input, the loop has no history at all.
    expected = gradient_of(naive, double[1]) if naive.requires_grad else 0 * double[1].detach()
    largest = float(expected.abs().max())
    for point, tolerance in ((double[0], 1e-9), (single, 1e-5)):
        ours = engine.scores(point)
        np.testing.assert_allclose(ours.detach().numpy(), naive.detach().numpy(), rtol=1e-12)
        found = gradient_of(ours, point)
        assert found.dtype == point.dtype
        np.testing.assert_allclose(
            found.double().numpy(), expected.numpy(), rtol=tolerance, atol=tolerance * largest
        )


@pytest.mark.parametrize("seed", range(3000 * len(PAIRS), 3000 * len(PAIRS) + 12))
def test_smooth_shapes_adaptive_widths_and_both_precisions_are_a_naive_loop(seed):
    net, codes = any_case(seed)
    # Few neurons fire beside their threshold: every case has to have a gradient.
    shape = ("sigmoid", "gaussian", "superspike", "triangle")[seed % 4]
    adaptive = seed % 4 > 1 or seed % 3 == 0
    points = [torch.tensor(codes).double().requires_grad_(True) for _ in range(3)]
    width = adaptive_widths(net, points[0], 2.0) if adaptive else 2.0
    naive = naive_scores(net, points[0], width, shape)
    expected = gradient_of(naive, points[0]) if naive.requires_grad else 0 * points[0].detach()
    largest = float(expected.abs().max())
    for point, precision, tolerance in zip(
        points[1:], (None, "float32"), (1e-9, 1e-5), strict=True
    ):
        engine = FixedGradient(net, width=2.0, shape=shape, adaptive=adaptive, precision=precision)
        ours = engine.scores(point)
        np.testing.assert_allclose(ours.detach().numpy(), naive.detach().numpy(), rtol=1e-12)
        found = gradient_of(ours, point)
        assert found.dtype == torch.float64
        np.testing.assert_allclose(
            found.numpy(), expected.numpy(), rtol=tolerance, atol=tolerance * largest
        )


def test_the_gradients_of_any_network_are_not_all_zero():
    passing = 0
    for seed in range(1000 * len(PAIRS), 1000 * len(PAIRS) + 15):
        net, codes = any_case(seed)
        point = torch.tensor(codes).double().requires_grad_(True)
        scores = FixedGradient(net, shape="superspike").scores(point)
        passing += bool((gradient_of(scores, point) != 0).any())
    assert passing >= 9


@pytest.mark.parametrize("seed", range(20))
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


@pytest.mark.parametrize("seed", range(100, 112))
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
        FixedGradient(net, shape="square")
    with pytest.raises(InputError, match="width"):
        engine.scores(point, -1.0)


def test_an_unknown_precision_or_device():
    net, _ = network_and_codes(0)
    with pytest.raises(InputError, match="float32 or float64"):
        FixedGradient(net, precision="float16")
    with pytest.raises(InputError, match="no such device"):
        FixedGradient(net, device="tpu42")
