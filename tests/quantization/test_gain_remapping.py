"""Folding a DLIF gain into its mean: exact where it is constant, measured where it is not."""

from dataclasses import replace

import numpy as np
import pytest
from oracles.literal_fixed import run_aligned, run_hardware
from quantization.gained_networks import gained_network
from quantization.test_quantize import LOIHI2, codes_for, population, random_network

from neurodeploy import hardware_profiles
from neurodeploy.errors import InputError, RangeError
from neurodeploy.network import INPUT, ConstantEncoder, Network, Readout, Synapse
from neurodeploy.quantization import (
    QuantizeConfig,
    describe_synapses,
    quantize,
    quantize_network,
    register_errors,
)
from neurodeploy.quantization.gain_choice import remap_gains
from neurodeploy.quantization.gain_remapping import fold, mean_gain
from neurodeploy.quantization.latencies import solve_latencies
from neurodeploy.simulate import run_fixed, run_float

QUANTITIES = ("spikes", "u", "v", "v_pre")
LOIHI1, LAVA = (hardware_profiles.load(name) for name in ("loihi1", "lava"))


def with_gains(network, **gains):
    populations = tuple(
        replace(p, gain=gains[p.name]) if p.name in gains else p for p in network.populations
    )
    return replace(network, populations=populations)


def mapped(network, remap, profile, blocks=None, bits=8):
    """Return (network, graded populations), findings."""
    given = None if blocks is None else lambda: blocks
    value, findings = remap_gains(network, remap, profile, bits, given)
    return (value.network, value.graded), findings


def gain_of(findings, name):
    """Return the one finding on the gain of population ``name`` that remapping made."""
    (found,) = [
        f for f in findings if f.where == f"population {name}" and f.what.startswith("gain ")
        and "kept in" not in f.what
    ]  # fmt: skip
    return found


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("gain", [0.3, 1.0, 1.7])
def test_a_constant_gain_folds_exactly(seed, gain):
    network = with_gains(random_network(seed), a=np.full(5, gain), b=np.array([gain]))
    codes = codes_for(network)
    for remap in ("fold", "auto"):
        (folded, graded), findings = mapped(network, remap, LOIHI1, [codes])
        assert [p.gain for p in folded.populations] == [None] * 3
        assert not graded
        for name in ("a", "b"):
            numbers = gain_of(findings, name).numbers
            assert (numbers["differing"], numbers["agreement"]) == (0, 1.0)
            assert numbers["compared"] == network.steps * len(codes) * network.population(name).size
            assert numbers["mean"] == pytest.approx(gain)
            assert numbers["deviation"] == pytest.approx(0.0, abs=1e-12)
        a, b = (run_float(n, codes, record=("spikes",)).records for n in (network, folded))
        assert a["a/spikes"].any()
        assert all((a[key] == b[key]).all() for key in a)


def test_the_same_integers_as_those_of_a_gain_multiplied_in_by_hand():
    """Power-of-two gains: the folded weights are the same numbers, so are all integers."""
    network = with_gains(random_network(4), a=np.full(3, 0.5), b=np.full(3, 2.0))
    by_hand = tuple(
        replace(
            s,
            operators=tuple(
                replace(o, weight=o.weight * {"a": 0.5, "b": 2.0}.get(s.target, 1.0))
                for o in s.operators
            ),
        )
        for s in network.synapses
    )
    biased = tuple(
        replace(p, gain=None, bias=p.bias * {"a": 0.5, "b": 2.0}.get(p.name, 1.0))
        for p in network.populations
    )
    codes = codes_for(network)
    folded, _ = quantize(network, LOIHI2, QuantizeConfig(remap="fold"), calibration=codes)
    expected, _ = quantize(
        replace(network, populations=biased, synapses=by_hand),
        LOIHI2,
        QuantizeConfig(),
        calibration=codes,
    )
    for s, e in zip(folded.synapses, expected.synapses, strict=True):
        assert (s.weight == e.weight).all()
        assert s.weight_exp == e.weight_exp
    for p, e in zip(folded.populations, expected.populations, strict=True):
        assert (p.kind, p.scale, p.bias_exp) == (e.kind, e.scale, e.bias_exp)
        assert (p.bias == e.bias).all()
        assert (p.v_threshold == e.v_threshold).all()


@pytest.mark.parametrize("seed", range(5))
def test_the_agreement_is_a_naive_count(seed):
    network = random_network(seed, gain=True)
    codes = codes_for(network, 37)
    halves = [codes[:20], codes[20:]]
    (folded, _), findings = mapped(network, "fold", LOIHI2, halves)
    records = [run_float(n, codes, record=("spikes",)).records for n in (network, folded)]
    for name in ("a", "b"):
        real, mean = (r[f"{name}/spikes"] for r in records)
        equal = total = 0
        for t in range(real.shape[0]):
            for b in range(real.shape[1]):
                for i in range(real.shape[2]):
                    equal += int(real[t, b, i] == mean[t, b, i])
                    total += 1
        numbers = gain_of(findings, name).numbers
        assert numbers["agreement"] == pytest.approx(equal / total, abs=1e-15)
        assert (numbers["differing"], numbers["compared"]) == (total - equal, total)
        assert equal < total
        assert gain_of(findings, name).severity == "warning"


def steep_and_flat():
    """``a`` almost constant, ``b`` from 0.1 to 4: one is worth folding, the other is not."""
    wild = np.array([0.1, 4.0, 0.1, 4.0, 0.2, 3.0, 0.1, 4.0])
    flat = 1.2 + 0.001 * np.cos(np.arange(8))
    return with_gains(random_network(7), a=flat, b=wild)


def test_auto_folds_the_flat_gain_and_gates_the_wild_one_where_there_are_spikes_alone():
    network = steep_and_flat()
    codes = codes_for(network)
    net, findings = quantize(network, LOIHI1, QuantizeConfig(remap="auto"), calibration=codes)
    assert [net.population(n).kind for n in ("a", "b")] == ["lif", "lif"]
    folded, gated = gain_of(findings, "a"), gain_of(findings, "b")
    assert "folded into its mean 1.2, an approximation" in folded.what
    assert folded.numbers["agreement"] >= 0.98
    assert gated.what.startswith("gain in ")
    assert gated.numbers["gates"] == gated.numbers["planes"] * network.population("a").size
    assert "98% are needed" in gated.what
    assert gated.numbers["agreement"] >= 0.99
    # What folding would have cost is what it costs.
    both = fold(network, ["a", "b"])
    real, mean = (
        run_float(n, codes, record=("spikes",)).records["b/spikes"] for n in (network, both)
    )
    assert f"{(real == mean).mean():.2%} of the spikes would agree" in gated.what


def test_auto_takes_what_is_exact_where_a_target_has_it():
    network = steep_and_flat()
    codes = codes_for(network)
    for profile, form in ((LOIHI2, "graded"), (LAVA, "microcode")):
        for calibration in (codes, None):
            net, findings = quantize(
                network, profile, QuantizeConfig(remap="auto"), calibration=calibration
            )
            assert [net.population(n).gain_form for n in ("a", "b")] == [form] * 2
            assert all(gain_of(findings, n).severity == "info" for n in ("a", "b"))
            assert gain_of(findings, "a").numbers.get("steps", 0) == (form == "graded")


def test_auto_that_has_no_way_says_every_reason():
    network = steep_and_flat()
    wild = np.array([0.1, 4.0, 0.1, 4.0])
    with pytest.raises(RangeError) as caught:
        quantize(
            with_gains(network, a=wild, b=wild), LOIHI1, QuantizeConfig(remap="auto"),
            calibration=codes_for(network),
        )  # fmt: skip
    said = str(caught.value)
    assert "population a: input codes of 8 bits enter it" in said
    assert "--remap graded or fold, or an encoder of 1 bit" in said
    assert "of the spikes would agree with the real gain, 98% are needed" in said
    with pytest.raises(RangeError, match="no calibration samples tell what folding it would cost"):
        quantize(network, LOIHI1, QuantizeConfig(remap="auto"))


def test_fold_without_samples_says_that_nothing_was_measured():
    network = steep_and_flat()
    net, findings = quantize(network, LOIHI2, QuantizeConfig(remap="fold"))
    assert [net.population(n).kind for n in ("a", "b")] == ["lif", "lif"]
    assert "no calibration samples tell" in gain_of(findings, "b").what
    assert "agreement" not in gain_of(findings, "b").numbers


def test_the_default_keeps_gains_as_before():
    network = steep_and_flat()
    net, findings = quantize(network, LOIHI2, calibration=codes_for(network))
    assert [net.population(n).kind for n in ("a", "b")] == ["dlif", "dlif"]
    assert [net.population(n).gain_form for n in ("a", "b")] == ["microcode"] * 2
    assert not any("fold" in f.what for f in findings)
    assert mapped(network, "microcode", LOIHI2)[0] == (network, frozenset())


@pytest.mark.parametrize("seed", range(6))
def test_the_folded_integers_are_what_the_literal_rules_give(seed):
    network = random_network(seed, gain=True)
    codes = codes_for(network, 24, seed)
    net, _ = quantize(network, LOIHI2, QuantizeConfig(remap="fold"), calibration=codes)
    assert all(p.kind != "dlif" for p in net.populations)
    for timing, oracle in (("aligned", run_aligned), ("lava", run_hardware)):
        expected = oracle(net, codes)
        traces = run_fixed(net, codes, record=QUANTITIES, timing=timing)
        assert set(traces.records) == set(expected.records)
        assert traces.records["a/spikes"].any()
        for key, values in expected.records.items():
            np.testing.assert_array_equal(traces.records[key], values, err_msg=key)


@pytest.mark.parametrize(("seed", "bits"), [(0, 4), (1, 6), (2, 8)])
@pytest.mark.parametrize("choices", [{}, {"delay": 3}, {"v_reset": -0.02}, {"code_bits": 1}])
def test_graded_gains_are_the_integers_of_microcode(seed, bits, choices):
    """Bit for bit, also in steps beyond the gain's last; with other latencies, and no warning."""
    network = gained_network(seed, **choices)
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 2**network.encoder.bits, (network.steps, 12, network.n_input))
    made = {
        remap: quantize(
            network, LOIHI2, QuantizeConfig(remap=remap, gain_bits=bits), calibration=codes
        )
        for remap in ("microcode", "graded")
    }
    (micro, before), (graded, after) = made["microcode"], made["graded"]
    assert [p.gain_form for p in graded.populations[:2]] == ["graded"] * 2
    late = {p.name: p.latency for p in graded.populations}
    assert [late[n] - micro.population(n).latency for n in ("a", "b", "read")] == [1, 2, 2]
    longer = np.concatenate([codes, codes])
    records = [run_fixed(n, longer, record=QUANTITIES).records for n in (micro, graded)]
    assert records[0]["b/spikes"].any()
    for key, values in records[0].items():
        np.testing.assert_array_equal(records[1][key], values, err_msg=key)
    warnings = [{f.what for f in found if f.severity == "warning"} for found in (before, after)]
    assert warnings[0] == warnings[1]


def test_a_gain_on_messages_slows_feedback_and_that_is_said_and_measured():
    network = gained_network(3, feedback=True)
    codes = np.random.default_rng(0).integers(0, 256, (8, 12, network.n_input))
    net, findings = quantize(network, LOIHI2, QuantizeConfig(remap="graded"), calibration=codes)
    slower = {f.where: f.numbers["extra_steps"] for f in findings if "extra_steps" in f.numbers}
    # One of its own for a -> a, which had time for a synapse; b -> a passes two of them.
    assert slower == {"synapse a->a.late": 1, "synapse b->a.late": 2}
    assert any("the extra steps on feedback" in f.what for f in findings)
    # Feed-forward is as it was: what is slower is nothing but these two.
    assert {s.name: int(net.logical_delay(s)) for s in net.synapses} == {
        "input->a": 0, "a->b": 0, "b->read": 0, "a->a.late": 2, "b->a.late": 4,
    }  # fmt: skip


def test_auto_folds_rather_than_slow_feedback_down_where_that_costs_little():
    network = gained_network(3, feedback=True)
    flat = with_gains(network, a=1.2 + 0.001 * np.arange(5))
    codes = np.random.default_rng(0).integers(0, 256, (8, 12, network.n_input))
    net, _ = quantize(flat, LOIHI2, QuantizeConfig(remap="auto"), calibration=codes)
    assert net.population("a").kind == "lif"
    net, _ = quantize(network, LOIHI2, QuantizeConfig(remap="auto"), calibration=codes)
    assert net.population("a").gain_form == "graded"


@pytest.mark.parametrize(
    ("gain", "steps", "mean"),
    [
        ([1.0, 2.0, 3.0], 3, 2.0),
        ([1.0, 2.0, 3.0], 2, 1.5),
        ([1.0, 2.0, 3.0], 6, 15 / 6),
        ([5.0], 4, 5.0),
        ([1.0, 3.0], 1, 1.0),
    ],
)
def test_the_mean_is_over_the_steps_of_a_sample_and_the_last_gain_holds(gain, steps, mean):
    gains = np.array(gain)
    assert mean_gain(gains, steps) == pytest.approx(mean)
    network = replace(with_gains(random_network(1), a=gains), steps=steps)
    before = network.population("a").input_gain
    folded = fold(network, ["a"]).population("a")
    assert folded.gain is None
    assert folded.input_gain == pytest.approx(before * mean)


@pytest.mark.parametrize("remap", ["fold", "microcode", "graded", "bitplane", "auto"])
@pytest.mark.parametrize("profile", [LOIHI1, LOIHI2, LAVA], ids=lambda p: p.id)
def test_negative_gains_are_an_error_with_a_way_out(remap, profile):
    network = with_gains(random_network(2), a=np.array([1.0, -0.5]), b=np.array([-1.0, -2.0]))
    network = replace(network, encoder=ConstantEncoder(0.0, 1.0, 1))
    codes = codes_for(network) >> 7
    with pytest.raises(RangeError, match=r"(?s)population a.*population b") as caught:
        quantize(network, profile, QuantizeConfig(remap=remap), calibration=codes)
    assert "train with a positive gain" in str(caught.value).split("population b")[0]
    assert "train with a positive gain" in str(caught.value).split("population b")[1]


def test_a_gain_of_zero_throughout_has_no_fold_and_one_of_some_zeros_has():
    network = with_gains(random_network(2), a=np.zeros(4))
    with pytest.raises(RangeError, match=r"population a: gain 0\.\.0 has no mean"):
        fold(network, ["a"])
    some = with_gains(random_network(2), a=np.array([0.0, 2.0]))
    assert mean_gain(some.population("a").gain, 4) == 1.5
    net, _ = quantize(some, LOIHI2, QuantizeConfig(remap="fold"))
    assert net.population("a").kind == "lif"


def test_an_unknown_remapping_is_refused():
    text = "remap 'halve': choose microcode or graded or bitplane or fold or auto"
    with pytest.raises(InputError, match=text):
        QuantizeConfig(remap="halve")


def test_tables_measure_folded_weights_and_biases_against_the_folded_network():
    """The error of a stored weight is its rounding, not the gain that it took in."""
    network = with_gains(random_network(3), a=np.full(4, 1.7), b=np.full(4, 0.4))
    net, _ = quantize(network, LOIHI2, QuantizeConfig(remap="fold"))
    folded = fold(network, ["a", "b"])
    assert describe_synapses(network, net) == describe_synapses(folded, net)
    assert register_errors(network, net) == register_errors(folded, net)
    assert all(0 < row["error_rms"] < 0.01 for row in describe_synapses(network, net))


def test_a_chip_without_microcode_takes_the_fold_and_not_the_gain():
    """Loihi 1 has stock neurons alone, and no graded input: one is an error, one is said."""
    network = random_network(1, gain=True)
    with pytest.raises(
        RangeError, match=r"2 registers beyond what loihi1 holds.*(?s:.)*--remap fo"
    ):
        quantize_network(network, LOIHI1)
    net, findings = quantize(network, LOIHI1, QuantizeConfig(remap="fold"))
    assert [p.kind for p in net.populations] == ["lif", "lif", "readout"]
    (said,) = [f for f in findings if f.where == "encoder"]
    assert "8 bits enter as graded messages, and loihi1 has spikes alone" in said.what


def test_auto_does_not_blame_a_gain_that_is_worse_than_none():
    """A fold upstream that is fine by itself may not be paid for by a population after it."""
    rng = np.random.default_rng(0)
    flat = 1 + 0.02 * rng.standard_normal(8)
    populations = (
        population("a", 20, rng, gain=flat),
        population("b", 20, rng, gain=flat[::-1]),
        population("read", 3, rng, "li"),
    )
    names = [INPUT, "a", "b", "read"]
    sizes = [10, 20, 20, 3]
    synapses = tuple(
        Synapse.dense(f"{s}->{t}", s, t, rng.normal(0, 2 / np.sqrt(i), (o, i)))
        for s, t, i, o in zip(names, names[1:], sizes, sizes[1:], strict=False)
    )
    network = Network(
        populations, synapses, 10, ConstantEncoder(0.0, 1.0, 8), Readout("read", "sum"), 8
    )
    network = replace(network, encoder=ConstantEncoder(0.0, 1.0, 1))
    codes = codes_for(network) >> 7
    (folded, _), findings = mapped(network, "auto", LOIHI1, [codes])
    chosen = [n for n in ("a", "b") if gain_of(findings, n).what.startswith("gain folded")]
    real, mean = (run_float(n, codes, record=("spikes",)).records for n in (network, folded))
    assert chosen
    for name in chosen:
        share = (real[f"{name}/spikes"] == mean[f"{name}/spikes"]).mean()
        assert share >= 0.98
        assert gain_of(findings, name).numbers["agreement"] == pytest.approx(share, abs=1e-15)


def test_feedback_that_two_gains_would_slow_together_folds_one_of_them():
    """The way back has one step to spare: one gain on messages fits, two do not."""
    network = gained_network(4)
    populations = tuple(
        p if p.gain is None else replace(p, gain=1 + (p.gain - 1) * 1e-3)
        for p in network.populations
    )
    back = Synapse.dense(
        "back", "b", "a", np.full((network.population("a").size, network.population("b").size), 0.1)
    )
    slack = replace(
        network, populations=populations,
        synapses=(*network.synapses, replace(back, delay_steps=3)),
    )  # fmt: skip
    codes = np.random.default_rng(0).integers(0, 256, (12, network.n_input))
    mapped = remap_gains(slack, "auto", LOIHI2, 8, lambda: iter([codes])).value
    assert mapped.graded == {"a"}
    assert mapped.network.population("b").gain is None
    assert not solve_latencies(mapped.network, 62, mapped.drive_steps).extra
    both = solve_latencies(slack, 62, {"a": 1, "b": 1}).extra
    assert both
