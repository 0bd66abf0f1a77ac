"""Lava against oracle and simulator over every neuron, synapse, delay and topology there is.

Each network is drawn for one pair of a neuron and the synapse that feeds it, and fitted so that
every layer fires at 1 to 50 % on its codes. u, v and spikes are compared on both time axes.
"""

from collections import Counter

import numpy as np
import pytest
from oracles import random_topologies
from oracles.literal_fixed import logical_records, run_aligned, run_hardware
from oracles.random_topologies import PAIRS, random_case

from neurodeploy.export.lava import LavaRun, compare, run_lava_batch
from neurodeploy.export.lava.acceptance import check_faithful
from neurodeploy.network import ALWAYS_ON, INPUT
from neurodeploy.simulate import run_fixed

pytestmark = [pytest.mark.lava, pytest.mark.usefixtures("runtime")]
RECORD = ("u", "v", "spikes")


def draw(seed, repeats, samples, **options):
    rng = np.random.default_rng(seed)
    return [
        random_case(rng, pair=pair, samples=samples, **options)
        for pair in PAIRS
        for _ in range(repeats)
    ]


def seconds_of_a_sample(net):
    """Roughly what a sample costs Lava: each process, and each delayed matrix, at each step."""
    processes = 2 * len(net.populations) + len(net.synapses) + 1
    delayed = 0.0
    for s in (s for s in net.synapses if max(s.delays) > 0):
        per_delay = 1e-4 if s.kind == "sparse" else 1e-8 * s.size_in * s.size_out
        delayed += 1e-3 * (s.kind == "sparse") + per_delay * (max(s.delays) + 1)
    return (net.steps + net.max_latency) * (4e-4 * processes + delayed)


def with_more_samples(rng, net, codes, seconds):
    """Fill about ``seconds`` of Lava's with samples whose inputs are those drawn, in new order."""
    drawn = codes.shape[-2]
    wanted = int(np.clip(seconds / seconds_of_a_sample(net), drawn, 40))
    more = [
        codes[..., rng.integers(drawn), rng.permutation(codes.shape[-1])]
        for _ in range(wanted - drawn)
    ]
    return np.concatenate([codes, *(m[..., None, :] for m in more)], axis=-2)


def wide_shape(rng, maps):
    """Hundreds of neurons: what Lava needs for a step hardly depends on them."""
    if maps or rng.random() < 0.2:
        return (int(rng.integers(2, 5)), int(rng.integers(9, 13)), int(rng.integers(9, 13)))
    return (int(rng.integers(250, 400)),)


def values_of_a_sample(net):
    steps = net.steps + net.max_latency
    return steps * sum(p.size * (2 if p.kind == "dlif" else 3) for p in net.populations)


def draw_wide(seed, monkeypatch, keep, pairs=PAIRS):
    """Return the ``keep`` wide networks that give most values a second, with many samples each."""
    monkeypatch.setattr(random_topologies, "_free_shape", wide_shape)
    rng = np.random.default_rng(seed)
    cases = [random_case(rng, pair=pair, layers=2, steps=16, samples=3) for pair in pairs]
    monkeypatch.undo()
    cases.sort(key=lambda case: -values_of_a_sample(case[0]) / seconds_of_a_sample(case[0]))
    return [(net, with_more_samples(rng, net, codes, 10.0)) for net, codes in cases[:keep]]


def neuron_of(p):
    """Name the neuron as ``PAIRS`` does."""
    if p.kind != "lif":
        return p.kind
    if p.reset == "subtract":
        return "subtract"
    if p.refractory_steps:
        return "refractory"
    if p.reset_interval:
        return "periodic"
    if (p.decay_u < 4095).any():
        return "cuba"
    return "if" if not p.decay_v.any() else "lif"


class Tally:
    """What the networks held and what they did, over all that was compared."""

    def __init__(self):
        self.compared = self.networks = 0
        self.pairs, self.features, self.counts = Counter(), Counter(), Counter()
        self.rates = []

    def add(self, net, literal):
        self.networks += 1
        self.features[f"depth {max(p.latency for p in net.populations)}"] += 1
        for p in net.populations:
            into = net.synapses_into(p.name)
            self.pairs.update({(neuron_of(p), s.kind) for s in into if s.source != ALWAYS_ON})
            if p.kind != "readout":
                self.rates.append(literal.records[f"{p.name}/spikes"].mean())
            self.features["bias of LIF"] += p.kind != "dlif" and p.bias.any()
            self.features["decays per neuron"] += np.unique(p.decay_v).size > 1
            self.features["thresholds per neuron"] += np.unique(p.v_threshold).size > 1
        for s in net.synapses:
            self._add_synapse(net, s)
        for key, values in literal.counts.items():
            self.counts[key.rsplit("/", 1)[1]] += int(values.sum())

    def _add_synapse(self, net, s):
        order = {p.name: i for i, p in enumerate(net.populations)}
        back = s.source in order and order[s.source] >= order[s.target]
        self.features["cycle"] += back and s.source != s.target
        self.features[f"recurrent {s.kind}"] += back and s.source == s.target
        self.features["always on"] += s.source == ALWAYS_ON
        self.features["graded"] += s.message_bits > 0 and s.source == INPUT
        self.features[f"{s.kind} {s.sign_mode}"] += 1
        if s.kind == "conv":
            g = s.layout
            self.features["groups"] += g.groups > 1
            self.features["stride"] += max(g.stride) > 1
            self.features["padding"] += max(g.padding) > 0
            self.features["dilation"] += max(g.dilation) > 1
        else:
            style = "one" if isinstance(s.delay, int) else "each"
            self.features[f"{s.kind} {style} delay"] += max(s.delays) > 0
            self.features[f"exponent {int(np.sign(s.weight_exp))}"] += 1


def check(cases, tally, *, timeout_s):
    """Run all cases on Lava; every value of u, v and spikes must be that of both references."""
    runs = [LavaRun(net, codes, timing="lava") for net, codes in cases]
    traces = run_lava_batch(runs, workers=2, timeout_s=timeout_s)
    for i, ((net, codes), lava) in enumerate(zip(cases, traces, strict=True)):
        hardware, aligned = run_hardware(net, codes), run_aligned(net, codes)
        cut = logical_records(net, hardware, net.steps)
        assert {key for key in hardware.records if not key.endswith("v_pre")} == set(lava.records)
        for key, values in lava.records.items():
            wrong = int((values != hardware.records[key]).sum())
            assert wrong == 0, f"network {i}, {key}: {wrong} of {values.size} values differ"
            # The oracle's two axes agree too: Lava's logical steps are those without latency.
            assert (cut[key] == aligned.records[key]).all(), f"network {i}, {key}"
            tally.compared += values.size
        for key, values in lava.counts.items():
            np.testing.assert_array_equal(values, hardware.counts[key], err_msg=key)
        simulated = run_fixed(net, codes, record=RECORD, timing="lava")
        result = compare(lava, simulated)
        assert result.ok, f"network {i}: {result.first}"
        assert result.compared == sum(values.size for values in lava.records.values())
        tally.add(net, aligned)


def test_every_pair_of_neuron_and_synapse(monkeypatch):
    wide = draw_wide(2, monkeypatch, keep=2, pairs=PAIRS[::4])
    tally = Tally()
    check([*draw(seed=1, repeats=1, samples=2), *wide], tally, timeout_s=300)
    assert tally.compared >= 1e6, tally.compared
    assert set(PAIRS) <= set(tally.pairs)
    rates = np.array(tally.rates)
    assert ((rates >= 0.01) & (rates <= 0.5)).all()
    for feature in (
        "cycle", "always on", "graded", "stride", "padding", "groups", "dilation", "bias of LIF",
        "dense one delay", "dense each delay", "sparse one delay", "sparse each delay",
        "exponent -1", "exponent 1", "decays per neuron", "thresholds per neuron",
    ):  # fmt: skip
        assert tally.features[feature] > 0, feature
    assert min(tally.counts[c] for c in ("wraps", "clamps", "spikes")) > 0


def test_the_logical_axis_of_every_neuron():
    rng = np.random.default_rng(3)
    cases = [random_case(rng, pair=pair, samples=2, layers=3) for pair in PAIRS[::5]]
    runs = [LavaRun(net, codes, timing="aligned") for net, codes in cases]
    for (net, codes), lava in zip(cases, run_lava_batch(runs, workers=2), strict=True):
        literal = run_aligned(net, codes)
        for key, values in lava.records.items():
            np.testing.assert_array_equal(values, literal.records[key], err_msg=key)
        result = compare(lava, run_fixed(net, codes, record=RECORD))
        assert result.ok, result.first


@pytest.mark.slow
def test_many_networks_of_every_kind(monkeypatch):
    tally = Tally()
    for seed in range(10, 14):
        check(draw(seed=seed, repeats=2, samples=3), tally, timeout_s=900)
    check(draw_wide(14, monkeypatch, keep=8), tally, timeout_s=900)
    assert tally.networks >= 190
    assert tally.compared >= 1e7, tally.compared
    assert min(tally.pairs[pair] for pair in PAIRS) >= 5, tally.pairs
    rates = np.array(tally.rates)
    # Some are fitted on three samples of forty: inputs in a new order hardly change a rate.
    assert ((rates >= 0.01) & (rates <= 0.5)).mean() >= 0.97, np.sort(rates)
    assert min(tally.counts[c] for c in ("wraps", "clamps")) >= 1000, tally.counts
    kinds = [f"{k} {m}" for k in ("dense", "sparse", "conv")
             for m in ("mixed", "excitatory", "inhibitory")]  # fmt: skip
    recurrent = ["recurrent dense", "recurrent sparse", "recurrent conv", "cycle"]
    assert min(tally.features[f] for f in (*kinds, *recurrent)) >= 5, tally.features


@pytest.mark.slow
def test_what_no_chip_holds_is_computed_as_lava_does():
    # Start values of u, biases that wrap at 16 bits, negative bias exponents, wide convolutions.
    cases = draw(seed=77, repeats=4, samples=2, hardware=False, layers=1)
    cases = [case for case in cases if not check_faithful(case[0], lava_quirks=True)]
    illegal = [case for case in cases if check_faithful(case[0])]
    assert len(illegal) >= 10
    runs = [LavaRun(net, codes, timing="lava", lava_quirks=True) for net, codes in illegal]
    for (net, codes), lava in zip(illegal, run_lava_batch(runs, workers=2), strict=True):
        literal = run_hardware(net, codes)
        for key, values in lava.records.items():
            np.testing.assert_array_equal(values, literal.records[key], err_msg=key)
        simulated = run_fixed(net, codes, record=RECORD, timing="lava")
        assert compare(lava, simulated).ok
