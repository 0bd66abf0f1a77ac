"""Weight faults and mismatch against literal formulas, one weight and one neuron at a time."""

from dataclasses import fields, replace

import numpy as np
import pytest
from oracles.random_float_networks import random_network
from oracles.random_topologies import PAIRS, random_case

from neurodeploy.errors import InputError, RangeError
from neurodeploy.network import (
    Convolution,
    Dense,
    FixedSynapse,
    Sparse,
    check_legality,
)
from neurodeploy.robustness.faults import (
    DecayMismatch,
    ThresholdMismatch,
    WeightBitFlips,
    WeightNoise,
)
from neurodeploy.robustness.faults.fault import stream
from neurodeploy.simulate import run_fixed

SEEDS = range(len(PAIRS))


def fixed_net(seed):
    return random_case(np.random.default_rng(seed), pair=PAIRS[seed], held=True)[0]


def float_net(seed):
    return random_network(np.random.default_rng(seed))


def operators(net):
    return [
        o for s in net.synapses for o in s.operators if isinstance(o, Dense | Sparse | Convolution)
    ]


def as_bits(weight, synapse):
    """The bits of one weight in its memory, lowest first, by text."""
    step = {"mixed": 2, "excitatory": 1, "inhibitory": 1}[synapse.sign_mode] * 2 ** (
        8 - synapse.weight_bits
    )
    assert weight % step == 0
    value = abs(weight) // step
    if synapse.sign_mode == "mixed" and weight < 0:
        value = 2**synapse.weight_bits - value
    return f"{value:0{synapse.weight_bits}b}"[::-1]


def from_bits(bits, synapse):
    step = {"mixed": 2, "excitatory": 1, "inhibitory": 1}[synapse.sign_mode] * 2 ** (
        8 - synapse.weight_bits
    )
    value = int(bits[::-1], 2)
    if synapse.sign_mode == "mixed":
        return step * (value - (2 ** len(bits) if bits[-1] == "1" else 0))
    return step * (value if synapse.sign_mode == "excitatory" else -value)


@pytest.mark.parametrize("seed", SEEDS)
def test_flips_of_any_fixed_network_bit_by_bit(seed):
    net, share = fixed_net(seed), [0.05, 0.3, 1.0][seed % 3]
    faulty = WeightBitFlips().apply(net, share, seed)
    assert not check_legality(faulty)
    for old, new in zip(net.synapses, faulty.synapses, strict=True):
        numbers = stream(seed, "weight bit flips", old.name)
        shape = old.weight.shape
        draws = [numbers.random(shape).ravel() for _ in range(old.weight_bits)]
        for i, weight in enumerate(old.weight.ravel().tolist()):
            bits = as_bits(weight, old)
            flipped = "".join(
                ("1" if b == "0" else "0") if draws[k][i] < share else b for k, b in enumerate(bits)
            )
            assert new.weight.ravel()[i] == from_bits(flipped, old), (old.name, i)
        for field in fields(old):
            if field.name not in ("weight", "delay"):
                assert getattr(new, field.name) == getattr(old, field.name)
        np.testing.assert_array_equal(new.delay, old.delay)
    assert faulty.populations == net.populations


def test_the_networks_have_every_layout_sign_and_some_widths():
    synapses = [s for seed in SEEDS for s in fixed_net(seed).synapses]
    assert {s.kind for s in synapses} == {"dense", "sparse", "conv"}
    assert {s.sign_mode for s in synapses} == {"mixed", "excitatory", "inhibitory"}
    assert len({s.weight_bits for s in synapses}) >= 5


@pytest.mark.parametrize("sign", ["mixed", "excitatory", "inhibitory"])
@pytest.mark.parametrize("bits", range(1, 9))
def test_every_weight_with_every_bit_flipped_is_a_weight_again(sign, bits):
    from neurodeploy.network.registers import WEIGHT_RANGE

    low, high, step = WEIGHT_RANGE[sign]
    step *= 2 ** (8 - bits)
    weights = np.array([w for w in range(low, high + 1) if w % step == 0])
    synapse = FixedSynapse("s", "input", "out", weights[None], 0, sign, bits)
    for position in range(bits):
        net = one_synapse(synapse)
        once = WeightBitFlips(position).apply(net, 1.0, 0)
        assert not check_legality(once)
        moved = once.synapses[0].weight - synapse.weight
        top = sign == "mixed" and position == bits - 1
        assert set(np.abs(moved).ravel().tolist()) == {step * 2**position}, top
        assert sorted(once.synapses[0].weight.ravel()) == weights.tolist()
        twice = WeightBitFlips(position).apply(once, 1.0, 5)
        np.testing.assert_array_equal(twice.synapses[0].weight, synapse.weight)


def one_synapse(synapse):
    from neurodeploy.network import ConstantEncoder, FixedPointNetwork, FixedPopulation, Readout

    size, given = synapse.size_out, synapse.size_in
    p = FixedPopulation("out", ("out",), "lif", 4095, np.full(size, 300), 0, 0, 900, 0, 0, 1, 1.0)
    return FixedPointNetwork((p,), (synapse,), given, ConstantEncoder(), Readout("out", "count"), 4)


def test_flips_of_one_position_are_those_of_all():
    net = fixed_net(0)
    every = WeightBitFlips().apply(net, 0.3, 2)
    by_position = [WeightBitFlips(k).apply(net, 0.3, 2) for k in range(8) if can_flip(net, k)]
    for i, synapse in enumerate(net.synapses):
        step = {"mixed": 2}.get(synapse.sign_mode, 1) * 2 ** (8 - synapse.weight_bits)
        mask = 2**synapse.weight_bits - 1
        code = synapse.weight // step & mask
        if synapse.sign_mode == "inhibitory":
            code = -synapse.weight // step

        def changed(other, code=code, step=step, mask=mask, i=i, synapse=synapse):
            weight = other.synapses[i].weight
            found = -weight // step if synapse.sign_mode == "inhibitory" else weight // step & mask
            return found ^ code

        together = np.zeros_like(code)
        for k, other in enumerate(by_position):
            assert (changed(other) & ~(1 << k) == 0).all()
            together |= changed(other)
        np.testing.assert_array_equal(changed(every), together)


def can_flip(net, position):
    return position < max(s.weight_bits for s in net.synapses)


def test_flips_are_nested_and_as_frequent_as_asked():
    weights = np.zeros((200, 300), np.int64)
    net = one_synapse(FixedSynapse("s", "input", "out", weights, 0, "excitatory"))
    before = np.zeros_like(weights)
    for share in (0.0, 0.001, 0.01, 0.1, 0.5, 1.0):
        flips = WeightBitFlips().apply(net, share, 11).synapses[0].weight
        assert (flips & before == before).all()
        ones = np.unpackbits(flips.astype(np.uint8)).mean()
        bits = 8 * weights.size
        assert abs(ones - share) <= 4 * np.sqrt(share * (1 - share) / bits)
        before = flips
    other = WeightBitFlips().apply(net, 0.5, 12).synapses[0].weight
    assert (
        abs(
            np.unpackbits(
                (other ^ WeightBitFlips().apply(net, 0.5, 11).synapses[0].weight).astype(np.uint8)
            ).mean()
            - 0.5
        )
        < 0.01
    )


@pytest.mark.parametrize("bits", [2, 5, 8])
@pytest.mark.parametrize("seed", range(12))
def test_flips_of_any_float_network(seed, bits):
    net = float_net(seed)
    fault = WeightBitFlips(float_bits=bits)
    unchanged = fault.apply(net, 0.0, seed)
    faulty = fault.apply(net, 0.25, seed)
    for s_old, s_zero, s_new in zip(net.synapses, unchanged.synapses, faulty.synapses, strict=True):
        turn = 0
        for old, zero, new in zip(s_old.operators, s_zero.operators, s_new.operators, strict=True):
            if not isinstance(old, Dense | Sparse | Convolution):
                assert new is old
                continue
            np.testing.assert_array_equal(zero.weight, old.weight)
            name = s_old.name if turn == 0 else f"{s_old.name}/{turn}"
            turn += 1
            numbers = stream(seed, "weight bit flips", name)
            draws = [numbers.random(old.weight.shape).ravel() for _ in range(bits)]
            largest = 2 ** (bits - 1) - 1
            step = np.abs(old.weight).max() / largest if old.weight.size else 0.0
            for i, w in enumerate(old.weight.ravel()):
                if step == 0:
                    assert new.weight.ravel()[i] == w
                    continue
                code = round(w / step)
                text = f"{code % 2**bits:0{bits}b}"[::-1]
                value = 0
                for k, b in enumerate(text):
                    bit = (b == "1") != (draws[k][i] < 0.25)
                    value += bit * (-(2**k) if k == bits - 1 else 2**k)
                assert new.weight.ravel()[i] == w + (value - code) * step
            if old.bias is not None:
                np.testing.assert_array_equal(new.bias, old.bias)


def test_flips_refuse_what_no_memory_holds():
    odd = one_synapse(FixedSynapse("s", "input", "out", np.array([[3, 2]]), 0, "mixed"))
    wide = one_synapse(FixedSynapse("s", "input", "out", np.array([[300, 2]]), 0, "excitatory"))
    for net in (odd, wide):
        for fault in (WeightBitFlips(), WeightNoise()):
            with pytest.raises(RangeError, match="cannot hold"):
                fault.apply(net, 0.1, 0)
    good = one_synapse(FixedSynapse("s", "input", "out", np.array([[4, 8]]), 0, "mixed", 7))
    with pytest.raises(InputError, match="no such position"):
        WeightBitFlips(7).apply(good, 0.1, 0)
    with pytest.raises(InputError, match="no probability"):
        WeightBitFlips().apply(good, 1.1, 0)
    with pytest.raises(InputError, match="float_bits"):
        WeightBitFlips(float_bits=1)
    with pytest.raises(InputError, match="position"):
        WeightBitFlips(-1)


@pytest.mark.parametrize("seed", SEEDS)
def test_noise_of_any_fixed_network(seed):
    net = fixed_net(seed)
    unchanged = WeightNoise().apply(net, 0.0, seed)
    faulty = WeightNoise().apply(net, 0.4, seed)
    assert not check_legality(faulty)
    for old, zero, new in zip(net.synapses, unchanged.synapses, faulty.synapses, strict=True):
        np.testing.assert_array_equal(zero.weight, old.weight)
        step = {"mixed": 2}.get(old.sign_mode, 1) * 2 ** (8 - old.weight_bits)
        low, high = {"mixed": (-256, 256 - step), "excitatory": (0, 256 - step),
                     "inhibitory": (step - 256, 0)}[old.sign_mode]  # fmt: skip
        z = stream(seed, "weight noise", old.name).standard_normal(old.weight.shape)
        largest = max(abs(int(w)) for w in old.weight.ravel())
        for i, w in enumerate(old.weight.ravel().tolist()):
            exact = w / step + largest / step * 0.4 * z.ravel()[i]
            expected = min(max(round(exact) * step, low), high)
            assert new.weight.ravel()[i] == expected


def test_noise_of_float_networks_has_the_spread_asked_for():
    for seed in range(12):
        net = float_net(seed)
        zero, faulty = (WeightNoise().apply(net, s, seed) for s in (0.0, 0.3))
        for old, same, new in zip(operators(net), operators(zero), operators(faulty), strict=True):
            np.testing.assert_array_equal(old.weight, same.weight)
            if old.weight.size and np.abs(old.weight).max() > 0:
                relative = (new.weight - old.weight) / np.abs(old.weight).max()
                assert np.abs(relative).max() < 0.3 * 5.5
    z = (WeightNoise().apply(big_float(), 0.1, 0).synapses[0].operators[0].weight - 1) / 0.1
    assert abs(z.mean()) < 0.02
    assert abs(z.std() - 1) < 0.02
    with pytest.raises(InputError, match="relative spread"):
        WeightNoise().apply(big_float(), float("inf"), 0)


def big_float():
    from neurodeploy.network import ConstantEncoder, Network, Readout, Synapse, stateless

    relay = stateless("out", "relay", np.zeros(200))
    return Network(
        (relay,), (Synapse.dense("s", "input", "out", np.ones((200, 200))),), 200,
        ConstantEncoder(), Readout("out", "sum"), 3,
    )  # fmt: skip


@pytest.mark.parametrize("seed", SEEDS)
def test_mismatch_of_any_fixed_network_neuron_by_neuron(seed):
    net = fixed_net(seed)
    for fault, registers in (
        (ThresholdMismatch(), {"v_threshold": 2**17 - 1}),
        (DecayMismatch(), {"decay_v": 4096, "decay_u": 4095}),
    ):
        zero, faulty = fault.apply(net, 0.0, seed), fault.apply(net, 0.6, seed)
        assert not check_legality(faulty)
        for p, same, q in zip(net.populations, zero.populations, faulty.populations, strict=True):
            for field, limit in registers.items():
                what = fault.name if field == "v_threshold" else f"{fault.name}/{field}"
                z = stream(seed, what, p.name).standard_normal(p.size)
                for i, old in enumerate(getattr(p, field).tolist()):
                    assert getattr(same, field)[i] == old
                    expected = old if old >= limit else min(round(old * np.exp(0.6 * z[i])), limit)
                    assert getattr(q, field)[i] == expected
            assert q.kind == p.kind
            np.testing.assert_array_equal(q.bias, p.bias)
        run_fixed(faulty, np.zeros((2, net.n_input), np.int32), threads=1)


@pytest.mark.parametrize("seed", range(20))
def test_mismatch_of_any_float_network_neuron_by_neuron(seed):
    net = float_net(seed)
    for sigma in (0.0, 0.3):
        thresholds = ThresholdMismatch().apply(net, sigma, seed)
        decays = DecayMismatch().apply(net, sigma, seed)
        for p, a, b in zip(
            net.populations, thresholds.populations, decays.populations, strict=True
        ):
            z = stream(seed, "threshold mismatch", p.name).standard_normal(p.size)
            for i in range(p.size):
                base = p.v_reset[i] if p.kind == "lif" and p.reset == "value" else 0.0
                distance = (p.v_threshold[i] - base) * np.exp(sigma * z[i])
                expected = base + distance if np.isfinite(distance) else p.v_threshold[i]
                assert a.v_threshold[i] == pytest.approx(expected, rel=1e-12, abs=1e-12)
            for field in ("decay_v", "decay_u"):
                if getattr(p, field) is None:
                    assert getattr(b, field) is None
                    continue
                z = stream(seed, f"decay mismatch/{field}", p.name).standard_normal(p.size)
                expected = np.minimum(getattr(p, field) * np.exp(sigma * z), 1)
                np.testing.assert_allclose(getattr(b, field), expected, rtol=1e-12)
            np.testing.assert_array_equal(b.input_gain, p.input_gain)
            if sigma == 0:
                np.testing.assert_array_equal(a.v_threshold, p.v_threshold)
                np.testing.assert_array_equal(b.decay_v, p.decay_v)


def test_what_forgets_at_once_or_never_fires_stays_so():
    net = fixed_net(0)
    edges = replace(
        net.populations[0], kind="lif", gain=None, gain_shift=0, v_threshold=2**17 - 1,
        decay_v=np.full(net.populations[0].size, 4096), decay_u=4095, refractory_steps=0,
    )  # fmt: skip
    edge_net = replace(net, populations=(edges, *net.populations[1:]))
    for fault in (ThresholdMismatch(), DecayMismatch()):
        found = fault.apply(edge_net, 2.0, 3).populations[0]
        for field in ("v_threshold", "decay_v", "decay_u"):
            np.testing.assert_array_equal(getattr(found, field), getattr(edges, field))
    # An absurd spread stays finite and in its register.
    assert not check_legality(ThresholdMismatch().apply(net, 1e6, 3))
    assert not check_legality(DecayMismatch().apply(net, 1e6, 3))


def test_twice_the_seed_is_the_same_fault_and_another_seed_another_one():
    net = fixed_net(0)
    for fault in (WeightNoise(), WeightBitFlips()):
        a, b, c = (fault.apply(net, 0.4, seed).synapses for seed in (1, 1, 2))
        assert all((x.weight == y.weight).all() for x, y in zip(a, b, strict=True))
        assert any((x.weight != y.weight).any() for x, y in zip(a, c, strict=True))
