"""Lava against oracle and simulator over every neuron, synapse, delay and topology there is.

Networks are drawn for pairs of a neuron and the synapse that feeds it, and fitted so that every
layer fires at 1 to 50 % on its codes. u, v and spikes are compared on both time axes.
"""

import numpy as np
import pytest
from export_lava.network_coverage import Coverage
from oracles.literal_fixed import logical_records, run_aligned, run_hardware
from oracles.random_synapses import SYNAPSES
from oracles.random_topologies import PAIRS, random_case

from neurodeploy.export.lava import LavaRun, compare, run_lava_batch
from neurodeploy.export.lava.acceptance import check_faithful
from neurodeploy.simulate import run_fixed

pytestmark = [pytest.mark.lava, pytest.mark.usefixtures("runtime")]
RECORD = ("u", "v", "spikes")
#: Both processors of a small machine; Lava's processes mostly wait for each other.
WORKERS = 2
#: Pairs that hundreds of neurons over hundreds of steps are soon fitted for.
WIDE = [(neuron, synapse) for neuron in ("lif", "cuba", "dlif", "if") for synapse in SYNAPSES]


def threes(rng):
    """Return all pairs in eight groups of three, a read-out last."""
    firing = [pair for pair in PAIRS if pair[0] != "readout"]
    firing = [firing[i] for i in rng.permutation(len(firing))]
    readouts = [pair for pair in PAIRS if pair[0] == "readout"]
    chosen = [(firing.pop(), firing.pop(), pair) for pair in readouts]
    return chosen + [tuple(firing[i : i + 3]) for i in range(0, len(firing), 3)]


def wide(pair):
    """Return a network of two layers of hundreds of neurons, and codes for hundreds of steps.

    The seed is one whose delays cost Lava little: it gives a million values in two seconds.
    """
    rng = np.random.default_rng([5, 0])
    return random_case(rng, pair=pair, layers=2, steps=400, samples=1, wide=True)


def assert_on_both_axes(net, codes, lava):
    """Lava's hardware steps are the references', and its logical ones those without latency."""
    hardware, aligned = run_hardware(net, codes), run_aligned(net, codes)
    assert {key for key in hardware.records if not key.endswith("v_pre")} == set(lava.records)
    cut = logical_records(net, lava, net.steps)
    for key, values in lava.records.items():
        wrong = int((values != hardware.records[key]).sum())
        assert wrong == 0, f"{key}: {wrong} of {values.size} values differ"
        assert (cut[key] == aligned.records[key]).all(), f"{key}: on the logical axis"
    for key, values in lava.counts.items():
        np.testing.assert_array_equal(values, hardware.counts[key], err_msg=key)
    simulated = run_fixed(net, codes, record=RECORD, timing="lava")
    result = compare(lava, simulated)
    assert result.ok, result.first
    assert result.compared == sum(values.size for values in lava.records.values())
    simulated = run_fixed(net, codes, record=RECORD, timing="aligned")
    assert {key: int((cut[key] != simulated.records[key]).sum()) for key in cut} == dict.fromkeys(
        lava.records, 0
    )
    return aligned


def check(cases, seen, *, every=4):
    """Run all cases on Lava, each ``every``-th one once more with Lava's own aligned traces."""
    runs = [LavaRun(net, codes, timing="lava") for net, codes in cases]
    again = [LavaRun(net, codes, timing="aligned") for net, codes in cases[::every]]
    traces = run_lava_batch([*runs, *again], workers=WORKERS)
    for (net, codes), lava in zip(cases, traces, strict=False):
        seen.add(net, assert_on_both_axes(net, codes, lava))
        seen.compared += sum(values.size for values in lava.records.values())
    for (net, codes), lava in zip(cases[::every], traces[len(cases) :], strict=True):
        simulated = run_fixed(net, codes, record=RECORD, timing="aligned")
        assert compare(lava, simulated).ok
        np.testing.assert_array_equal(lava.output, simulated.output)


def test_every_pair_of_neuron_and_synapse():
    rng = np.random.default_rng(1)
    seen = Coverage()
    cases = [random_case(rng, pairs=pairs, layers=3, samples=2) for pairs in threes(rng)]
    check([*cases, wide(("cuba", "sparse"))], seen)
    assert seen.compared >= 1e6, seen.compared
    assert set(PAIRS) <= set(seen.pairs)
    assert seen.useful_share() == 1.0
    for feature in (
        "residual", "cycle", "graded", "stride", "padding", "groups", "dilation", "conv chain",
        "bias in v", "bias in u", "dense one delay", "dense each delay", "sparse one delay",
        "sparse each delay", "exponent -1", "exponent 1", "decay_u per neuron",
        "decay_v per neuron", "v_threshold per neuron", "bias per neuron",
    ):  # fmt: skip
        assert seen.features[feature] > 0, feature
    assert min(seen.counts[c] for c in ("wraps", "clamps", "spikes")) > 0


@pytest.mark.slow
def test_three_hundred_networks():
    seen = Coverage()
    for seed in range(10, 22):
        rng = np.random.default_rng(seed)
        check([random_case(rng, pair=pair, samples=2) for pair in PAIRS], seen, every=8)
    check([wide(pair) for pair in WIDE], seen, every=8)
    assert seen.networks >= 300
    assert seen.compared >= 1e7, seen.compared
    assert min(seen.pairs[pair] for pair in PAIRS) >= 5, seen.pairs
    assert seen.useful_share() == 1.0, np.sort(seen.rates)
    assert min(seen.counts[c] for c in ("wraps", "clamps")) >= 1000, seen.counts
    assert min(seen.features[f"depth {n}"] for n in range(1, 7)) >= 10, seen.features
    kinds = [f"{k} {m}" for k in ("dense", "sparse", "conv")
             for m in ("mixed", "excitatory", "inhibitory")]  # fmt: skip
    delays = [f"{k} {s} delay" for k in ("dense", "sparse") for s in ("one", "each")]
    per_neuron = [f"{f} per neuron" for f in ("decay_u", "decay_v", "v_threshold", "bias")]
    others = [
        "recurrent dense", "recurrent sparse", "recurrent conv", "cycle", "residual", "conv chain",
        "graded", "bias in v", "bias in u", "bias of dlif", "start values", "groups", "stride",
        "padding", "dilation", "exponent -1", "exponent 0", "exponent 1",
    ]  # fmt: skip
    for feature in (*kinds, *delays, *per_neuron, *others):
        assert seen.features[feature] >= 20, (feature, seen.features)
    assert seen.features["delay 62"] >= 3, seen.features


@pytest.mark.slow
def test_what_no_chip_holds_is_computed_as_lava_does():
    # Start values of u, biases that wrap at 16 bits, negative bias exponents, wide convolutions.
    rng = np.random.default_rng(77)
    cases = [
        random_case(rng, pair=pair, samples=2, hardware=False, layers=1)
        for pair in PAIRS
        for _ in range(4)
    ]
    cases = [case for case in cases if not check_faithful(case[0], lava_quirks=True)]
    illegal = [case for case in cases if check_faithful(case[0])]
    assert len(illegal) >= 10
    runs = [LavaRun(net, codes, timing="lava", lava_quirks=True) for net, codes in illegal]
    traces = run_lava_batch(runs, workers=WORKERS)
    for (net, codes), lava in zip(illegal, traces, strict=True):
        assert_on_both_axes(net, codes, lava)
