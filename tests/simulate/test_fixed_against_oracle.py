"""The simulator against the literal int64 oracle: every value of every layer, no tolerance."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from oracles.literal_fixed import logical_records, run_aligned, run_hardware
from oracles.random_networks import random_codes, random_fixed_network
from oracles.random_neurons import HIGHEST_RATE, LOWEST_RATE, NEURONS, startable
from oracles.random_synapses import SYNAPSES
from oracles.random_topologies import random_case

from neurodeploy.network import (
    INPUT,
    V_MAX,
    ConstantEncoder,
    ConvLayout,
    FixedPointNetwork,
    FixedPopulation,
    FixedSynapse,
    Readout,
    SparseLayout,
)
from neurodeploy.simulate import run_fixed

QUANTITIES = ("spikes", "u", "v", "v_pre")
ORACLES = {"aligned": run_aligned, "lava": run_hardware}
#: Networks of each pair of a neuron and a synapse: 9 * 24 = 216 in the fast part.
FAST, SLOW = 9, 60


def assert_equal(net, codes, timing, steps=None, threads=1):
    """Compare all records and counts; return what the oracle computed."""
    expected = ORACLES[timing](net, codes, steps)
    traces = run_fixed(net, codes, steps=steps, record=QUANTITIES, timing=timing, threads=threads)
    assert set(traces.records) == set(expected.records)
    assert set(traces.counts) == set(expected.counts)
    for key, values in expected.records.items():
        np.testing.assert_array_equal(traces.records[key], values, err_msg=f"{timing} {key}")
    for key, values in expected.counts.items():
        np.testing.assert_array_equal(traces.counts[key], values, err_msg=f"{timing} {key}")
    return expected


def neuron_of(p):
    """Return which of NEURONS a population is, by its parameters."""
    if p.kind != "lif":
        return p.kind
    if p.reset == "subtract":
        return "subtract"
    if p.refractory_steps or p.reset_interval:
        return "refractory" if p.refractory_steps else "periodic"
    if (p.decay_u < 4095).any():
        return "cuba"
    return "if" if not p.decay_v.any() else "lif"


class Seen:
    """What the random networks have covered."""

    def __init__(self):
        self.networks, self.values = 0, 0
        self.pairs, self.events, self.features = Counter(), Counter(), Counter()

    def add(self, net, run):
        self.networks += 1
        self.values += sum(v.size for v in run.records.values())
        for key, count in run.counts.items():
            self.events[key.rsplit("/", 1)[1]] += int(count.sum())
        order = {p.name: i for i, p in enumerate(net.populations)}
        into = {(neuron_of(net.population(s.target)), s.kind) for s in net.synapses}
        self.pairs.update(into)
        for s in net.synapses:
            self.features["graded"] += s.message_bits > 0
            self.features["delay of each weight"] += len(s.delays) > 1
            self.features["always-on"] += s.source == "always_on"
            self.features["recurrence"] += s.source == s.target
            self.features["cycle"] += order.get(s.source, -1) > order[s.target]
            self.features["skip"] += order.get(s.source, 99) < order[s.target] - 1
            self.features["long delay"] += max(s.delays) > 40

    def assert_rates(self, net, run):
        """Every layer that can fire does so at 1 to 50 % on the logical axis."""
        for p in net.populations:
            rate = run.records[f"{p.name}/spikes"].mean()
            assert p.kind == "readout" or LOWEST_RATE <= rate <= HIGHEST_RATE, p.name


def compare_networks(neuron, count, samples, first_seed):
    """Compare ``count`` networks for each synapse that ``neuron`` can have, in both timings."""
    seen = Seen()
    for synapse in SYNAPSES:
        for k in range(count):
            seed = first_seed + k
            pair = NEURONS.index(neuron), SYNAPSES.index(synapse)
            net, codes = random_case(
                np.random.default_rng([seed, *pair]),
                pair=(neuron, synapse),
                samples=samples + k % 3,
            )
            try:
                for timing in ("aligned", "lava"):
                    run = assert_equal(net, codes, timing, threads=1 + k % 2)
                    if timing == "aligned":
                        seen.assert_rates(net, run)
                        seen.add(net, run)
                    else:
                        seen.values += sum(v.size for v in run.records.values())
            except AssertionError as error:
                raise AssertionError(f"seed {seed} of {neuron}, {synapse}: {error}") from error
    return seen


@pytest.mark.parametrize("neuron", NEURONS)
def test_networks_of_every_kind_agree_in_every_value(neuron):
    # Over the eight neurons: 216 networks, 10^6 values, 1000 wraps, 1000 clamps at the very least.
    seen = compare_networks(neuron, FAST, samples=2, first_seed=0)
    assert seen.networks == 3 * FAST
    assert seen.values >= 200_000
    assert min(seen.events["wraps"], seen.events["clamps"]) >= 1000
    for synapse in SYNAPSES:
        assert seen.pairs[neuron, synapse] >= 5
    wanted = {"graded", "delay of each weight", "always-on", "recurrence", "cycle", "skip"}
    assert min(seen.features[name] for name in wanted) >= 3


@pytest.mark.slow
@pytest.mark.parametrize("neuron", NEURONS)
def test_many_networks_of_every_kind_agree_in_every_value(neuron):
    seen = compare_networks(neuron, SLOW, samples=8, first_seed=1000)
    assert seen.values >= 5_000_000
    assert seen.features["long delay"] >= 3


@pytest.mark.parametrize("seed", range(30))
def test_networks_that_no_chip_or_start_state_can_hold_agree_on_the_logical_axis(seed):
    # Start values of u, biases that wrap at 16 bits, negative bias exponents, wide convolutions.
    net, codes = random_case(np.random.default_rng([500, seed]), hardware=False)
    assert_equal(net, codes, "aligned")


@pytest.mark.parametrize("seed", range(20))
def test_extreme_networks_agree(seed):
    rng = np.random.default_rng([700, seed])
    net, codes = random_case(rng, extreme=True, held=True, samples=4)
    codes[0], codes[1] = 0, net.encoder.max_code
    for timing in ("aligned", "lava"):
        assert_equal(net, codes, timing, steps=40)


@pytest.mark.parametrize("samples", [1, 2, 7, 33])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_and_batches_change_nothing(threads, samples):
    for seed in range(2):
        rng = np.random.default_rng([800, seed, samples])
        net, codes = random_case(rng, samples=samples, held=bool(seed % 2))
        for timing in ("aligned", "lava"):
            assert_equal(net, codes, timing, threads=threads)


@pytest.mark.parametrize("offset", [0, 1, 7, 1000])
@pytest.mark.parametrize("interval", [1, 2, 5, 100])
def test_periodic_resets_of_every_interval_agree(interval, offset):
    rng = np.random.default_rng([850, interval, offset])
    net, codes = random_case(rng, pair=("refractory", "dense"), layers=2, extreme=False)
    resets = {"reset_interval": interval, "reset_offset": offset}
    populations = []
    for p in net.populations:
        if p.kind != "dlif":
            # Neurons that wait keep their start values: no reset before their own first step.
            starts = {n: rng.integers(-(2**16), 2**16, p.size) for n in ("u_init", "v_init")}
            p = startable(replace(p, **resets, **(starts if p.waits else {})))
        populations.append(p)
    net = replace(net, populations=tuple(populations))
    for timing in ("aligned", "lava"):
        assert_equal(net, codes, timing)


@pytest.mark.parametrize("delays", ["none", "weight"])
@pytest.mark.parametrize("kind", SYNAPSES)
def test_the_largest_sums_leave_32_bits_and_are_counted(kind, delays):
    # 320 inputs * 65535 * 254 * 2^7 wraps in the sum and again in the shift.
    if kind == "conv" and delays == "weight":
        pytest.skip("a convolution has no delays")
    rng = np.random.default_rng(3)
    population = FixedPopulation(
        name="n", nir_nodes=("n",), kind="lif", decay_u=rng.integers(0, 4096, 9),
        decay_v=rng.integers(0, 4097, 9), bias=0, bias_exp=0, v_threshold=1000, u_init=0,
        v_init=0, latency=1, scale=1.0, shape=(9, 1, 1),
    )  # fmt: skip
    dlif = replace(population, name="d", kind="dlif", gain=np.array([255, 1]), gain_shift=0)
    # Parts that fit 32 bits one by one, and leave them when they are added.
    added = replace(population, name="m")
    weight = rng.integers(64, 128, (9, 320)) * 2
    weight[:3] *= -1
    weight[6:] *= rng.choice([-1, 1], (3, 320))
    delay, layout = 0, None
    if delays == "weight":
        delay = rng.choice(3, weight.shape, p=[0.96, 0.02, 0.02])
    if kind == "sparse":
        layout = SparseLayout(np.arange(10) * 320, np.tile(np.arange(320), 9), 320)
        weight, delay = weight.ravel(), np.ravel(delay) if delays == "weight" else 0
    if kind == "conv":
        weight = weight.reshape(9, 20, 4, 4)
        layout = ConvLayout((1, 1), (0, 0), (1, 1), 1, (20, 4, 4), (9, 1, 1))
    parts = [("n", 7), ("n", -3), ("d", 7), ("d", -3), ("m", 0), ("m", 0)]
    net = FixedPointNetwork(
        populations=(population, dlif, added),
        synapses=tuple(
            FixedSynapse(
                f"{target}{k}", INPUT, target, weight // (2 if target == "m" else 1),
                0 if kind == "conv" else e, "mixed", message_bits=16, delay=delay, layout=layout,
            )
            for k, (target, e) in enumerate(parts)
        ),
        n_input=320,
        encoder=ConstantEncoder(bits=16),
        readout=Readout("n", "count"),
        steps=12,
    )  # fmt: skip
    codes = rng.integers(2**15, 2**16, (12, 4, 320))
    for timing in ("aligned", "lava"):
        assert_equal(net, codes, timing)
    counts = run_fixed(net, codes).counts
    assert all((counts[f"{name}/wraps"] > 0).all() for name in "ndm")


@pytest.mark.parametrize("kind", ["dense", "sparse"])
@pytest.mark.parametrize(
    ("parts", "u", "wraps"),
    [
        # Each 1 stands for a part of 2^31 - 32768; two leave 32 bits, four may come back.
        ([1, 0, 0, 0], -(2**21), 1),
        ([1, 1, 0, 0], -65536 * 64, 1),
        ([1, 1, -1, -1], 0, 1),
        ([1, -1, 0, 0], 0, 0),
        ([1, -1, 1, -1], 0, 0),
    ],
)
@pytest.mark.parametrize("apart", ["synapses", "delays"])
def test_parts_that_leave_32_bits_while_they_are_added_agree(parts, u, wraps, kind, apart):
    # Apart as synapses, or as the delays of one; held codes bring all of them from step 4 on.
    weights = np.repeat(np.array(parts) * 128, 2)[None]
    delays = np.repeat(np.arange(4), 2)[None]
    population = FixedPopulation(
        name="n", nir_nodes=("n",), kind="lif", decay_u=[4095], decay_v=[4096], bias=0, bias_exp=0,
        v_threshold=2**17, u_init=0, v_init=0, latency=1, scale=1.0,
    )  # fmt: skip
    layout = None if kind == "dense" else SparseLayout([0, 8], np.arange(8), 8)
    synapses = []
    for k in range(4 if apart == "synapses" else 1):
        weight = weights * (delays == k) if apart == "synapses" else weights
        delay = delays if apart == "delays" else np.zeros_like(delays)
        if layout is not None:
            weight, delay = weight[0], delay[0]
        fields = {"message_bits": 16, "delay": delay, "layout": layout}
        synapses.append(FixedSynapse(f"s{k}", INPUT, "n", weight, 7, "mixed", **fields))
    net = FixedPointNetwork(
        populations=(population,), synapses=tuple(synapses), n_input=8,
        encoder=ConstantEncoder(bits=16), readout=Readout("n", "sum"), steps=5,
    )  # fmt: skip
    codes = np.full((1, 8), 65535)
    for timing in ("aligned", "lava"):
        run = assert_equal(net, codes, timing)
        assert run.records["n/u"][4, 0, 0] == u
        if apart == "synapses" and timing == "aligned":
            assert run.counts["n/wraps"].tolist() == [5 * wraps]


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("kind", ["lif", "dlif"])
@pytest.mark.parametrize("conv", [True, False])
def test_sums_at_the_ends_of_24_bits_agree(conv, kind, sign):
    # A convolution's sum of exactly 2^23 or -2^23; a dense one of 2^17, a u of 2^23.
    layout = ConvLayout((1, 1), (0, 0), (1, 1), 1, (1, 1, 2), (1, 1, 1)) if conv else None
    weight = np.full((1, 1, 1, 2), 128) if conv else np.full((1, 2), 2)
    synapse = FixedSynapse(
        "s", INPUT, "n", sign * weight, 0, "mixed", message_bits=16, layout=layout
    )  # fmt: skip
    dlif = {"gain": [1], "gain_shift": 3 if conv else 0} if kind == "dlif" else {}
    population = FixedPopulation(
        name="n", nir_nodes=("n",), kind=kind, decay_u=[4095], decay_v=[4096], bias=0, bias_exp=0,
        v_threshold=2**17 - 1, u_init=0, v_init=0, latency=1, scale=1.0, **dlif,
    )  # fmt: skip
    net = FixedPointNetwork(
        populations=(population,), synapses=(synapse,), n_input=2,
        encoder=ConstantEncoder(bits=16), readout=Readout("n", "count"), steps=5,
    )  # fmt: skip
    codes = np.array([[65535, 0], [65535, 1], [65535, 2], [65534, 1], [65535, 65535]])[:, None]
    for timing in ("aligned", "lava"):
        assert_equal(net, codes, timing)


@pytest.mark.parametrize("parameter", ["u_init", "v_init"])
@pytest.mark.parametrize("value", [2**31 - 1, -(2**31) + 1, V_MAX + 1, -V_MAX - 1, V_MAX, -V_MAX])
def test_extreme_start_states_agree(parameter, value):
    rng = np.random.default_rng(11)
    net = random_fixed_network(rng, layers=1, kind="lif", readout=False)
    changed = replace(net.populations[0], **{parameter: np.full(net.populations[0].size, value)})
    net = replace(net, populations=(changed,))
    assert_equal(net, random_codes(rng, net, 3), "aligned")


@pytest.mark.parametrize("seed", range(12))
def test_the_logical_axis_is_the_hardware_axis_shifted_by_the_latency(seed):
    net, codes = random_case(np.random.default_rng([900, seed]), layers=3)
    aligned = run_fixed(net, codes, record=QUANTITIES).records
    hardware = logical_records(net, run_hardware(net, codes), net.steps)
    for key, values in hardware.items():
        np.testing.assert_array_equal(aligned[key], values, err_msg=key)


def test_a_large_layer_and_a_long_run_cross_every_block_boundary():
    # More steps than a block, more samples than a chunk, sizes beside the padding of 64.
    rng = np.random.default_rng(21)
    net = random_fixed_network(rng, layers=2, readout=False)
    codes = random_codes(rng, net, 3, held=True)
    for timing in ("aligned", "lava"):
        assert_equal(net, codes, timing, steps=600)
    for seed in range(3):
        net, codes = random_case(np.random.default_rng([22, seed]), layers=2, held=True)
        assert_equal(net, codes, "lava", steps=400)


@pytest.mark.parametrize("size", [1, 63, 64, 65, 200])
def test_every_remainder_of_the_padded_masks_agrees(size):
    rng = np.random.default_rng(size)
    weight = rng.integers(-127, 128, (size, size)) * 2
    populations = tuple(
        FixedPopulation(
            name=name, nir_nodes=(name,), kind="lif", decay_u=4095, decay_v=np.full(size, 400),
            bias=10, bias_exp=6, v_threshold=300, u_init=0, v_init=0, latency=latency, scale=1.0,
        )
        for name, latency in (("a", 1), ("b", 2))
    )  # fmt: skip
    net = FixedPointNetwork(
        populations=populations,
        synapses=(
            FixedSynapse("s", INPUT, "a", weight, 0, "mixed"),
            FixedSynapse("t", "a", "b", weight, 0, "mixed"),
        ),
        n_input=size,
        encoder=ConstantEncoder(),
        readout=Readout("b", "count"),
        steps=9,
    )
    codes = rng.integers(0, 2, (9, 4, size))
    for timing in ("aligned", "lava"):
        assert_equal(net, codes, timing)
