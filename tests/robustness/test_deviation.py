"""Integers against the float network in exact reals: an oracle of fractions, and mutants."""

import dataclasses
import json
from fractions import Fraction

import numpy as np
import pytest
from oracles.literal_float import apply
from robustness.exact_reals import Exact, cases, single, sparse_operator, violations

from neurodeploy import hardware_profiles
from neurodeploy.errors import InputError, RangeError, ShapeError, UnsupportedNodeError
from neurodeploy.network import (
    Convolution,
    Synapse,
    decide,
)
from neurodeploy.quantization import QuantizeConfig, quantize
from neurodeploy.quantization.gain_remapping import fold, folded_gains
from neurodeploy.robustness.certificates.deviation import OPEN, certify_deviation
from neurodeploy.robustness.certificates.deviation_enclosure import Enclosure, ExactMatrix
from neurodeploy.robustness.certificates.deviation_flips import predict_flips
from neurodeploy.robustness.certificates.deviation_pairs import real_matrix
from neurodeploy.simulate import run_fixed, run_float

CHIP = hardware_profiles.load("loihi2")


@pytest.mark.parametrize("grid", [False, True])
def test_every_state_and_spike_is_contained(grid):
    for network, net, codes in cases(8, seed=1 + grid, grid=grid):
        assert violations(network, net, codes) == {
            "membrane": 0, "spikes": 0, "difference": 0, "guarantee": 0,
        }  # fmt: skip


@pytest.mark.parametrize("grid", [False, True])
def test_decisions_against_the_oracle(grid):
    known = differs = by_budget = open_ones = 0
    for network, net, codes in cases(24, seed=5 + grid, grid=grid):
        result = certify_deviation(network, net, codes)
        assert (result.fixed == decide(run_fixed(net, codes).scores())).all()
        true = np.array([Exact(network, c).decision() for c in codes])
        decided = result.real != OPEN
        assert (result.real[decided] == true[decided]).all()
        assert (result.fixed[result.equal] == true[result.equal]).all()
        assert (result.fixed[result.different] != true[result.different]).all()
        assert (result.fixed[result.budget.equal] == true[result.budget.equal]).all()
        assert not (result.budget.equal & ~result.equal & decided).any()
        known, differs = known + decided.sum(), differs + result.different.sum()
        by_budget += result.budget.equal.sum()
        open_ones += (~decided).sum()
    # The test sees every kind of outcome; ties of membranes are rightly left open.
    assert known > 100
    assert differs >= 2
    assert by_budget >= 5
    assert open_ones < 40


def test_guaranteed_spikes_and_first_doubt_are_what_they_say():
    for network, net, codes in cases(10, seed=11):
        result = certify_deviation(network, net, codes)
        records = run_fixed(net, codes, record=("spikes", "v_pre")).records
        oracle = [Exact(network, c) for c in codes]
        order = [p for p in network.populations if p.fires]
        for b, exact in enumerate(oracle):
            differing = [
                (p.name, i, t + 1)
                for t in range(net.steps)
                for p in order
                for i in range(p.size)
                if records[f"{p.name}/spikes"][t, b, i] != exact.spikes[p.name][t][i]
            ]
            first = result.proven.first[b]
            if differing:
                # Nothing before the first difference is doubted, unless a threshold is hit.
                assert first is not None
                at = (first.step, [p.name for p in order].index(first.population), first.neuron)
                name, neuron, step = differing[0]
                assert at <= (step, [p.name for p in order].index(name), neuron)
            for p in order:
                equal = net.steps * p.size - sum(d[0] == p.name for d in differing)
                assert result.proven.spikes[p.name][b] <= equal
                assert result.budget.spikes[p.name][b] <= result.proven.spikes[p.name][b]
            doubt = result.budget.first[b]
            if doubt is not None and not result.overflow[b]:
                fixed = net.population(doubt.population)
                v = records[f"{doubt.population}/v_pre"][doubt.step - 1, b, doubt.neuron]
                edge = int(fixed.v_threshold[doubt.neuron]) * 64
                assert doubt.margin == abs(int(v) - edge) / fixed.scale
                near = doubt.bound + abs(
                    edge / fixed.scale
                    - network.population(doubt.population).v_threshold[doubt.neuron]
                    + fixed.origin[doubt.neuron]
                )
                assert doubt.margin <= near * (1 + 1e-9)


# Arithmetic and refusals -------------------------------------------------------------------------


def test_enclosure_arithmetic_against_fractions():
    rng = np.random.default_rng(0)
    x, y = (rng.normal(size=300) * 10.0 ** rng.integers(-12, 12, 300) for _ in "xy")
    a, b = (Enclosure(z, z + np.abs(z) * rng.random(300) * (i % 2)) for i, z in enumerate((x, y)))
    for result, rule in (
        (a + b, Fraction.__add__),
        (a - b, Fraction.__sub__),
        (a * b, Fraction.__mul__),
    ):
        for i in range(300):
            ends = [
                rule(Fraction(p), Fraction(q))
                for p in (a.low[i], a.high[i])
                for q in (b.low[i], b.high[i])
            ]
            assert Fraction(result.low[i]) < min(ends) <= max(ends) < Fraction(result.high[i])


def test_sums_against_fractions():
    rng = np.random.default_rng(1)
    weight = rng.normal(size=(7, 90)) * 10.0 ** rng.integers(-9, 9, (7, 90))
    operator = sparse_operator(weight)
    low = rng.normal(size=(3, 90))
    x = Enclosure(low, low + rng.random((3, 90)) * (rng.random((3, 90)) < 0.5))
    found = ExactMatrix.of(real_matrix(Synapse("s", "a", "b", (operator,)))).times(x)
    for b, i in np.ndindex(3, 7):
        parts = [
            sorted(Fraction(w) * Fraction(end) for end in (x.low[b, j], x.high[b, j]))
            for j, w in enumerate(weight[i])
        ]
        exact = sum(p[0] for p in parts), sum(p[1] for p in parts)
        assert Fraction(found.low[b, i]) <= exact[0]
        assert exact[1] <= Fraction(found.high[b, i])
        room = 1e-12 * float(np.abs(weight[i]) @ np.abs(x.magnitude[b]))
        assert found.high[b, i] - found.low[b, i] <= float(exact[1] - exact[0]) + room


def test_a_convolution_is_its_matrix():
    rng = np.random.default_rng(2)
    operator = Convolution(
        "c", rng.normal(size=(4, 1, 3, 2)), None, (2, 1), ((1, 1), (0, 0)), (1, 2), 2,
        (2, 5, 6), (4, 3, 4),
    )  # fmt: skip
    x = rng.normal(size=60)
    expected, _ = apply(operator, x, np.float64)
    matrix = real_matrix(Synapse("s", "a", "b", (operator,)))
    np.testing.assert_allclose(matrix @ x, expected, rtol=1e-12, atol=1e-12)


def test_float64_decides_as_the_reals_here():
    for network, net, codes in cases(5, seed=21):
        result = certify_deviation(network, net, codes)
        known = result.real >= 0
        assert (decide(run_float(network, codes).scores())[known] == result.real[known]).all()


def test_blocks_do_not_matter_and_results_are_plain(monkeypatch):
    from neurodeploy.robustness.certificates import deviation

    network, net, codes = next(cases(1, seed=2))
    whole = certify_deviation(network, net, codes)
    monkeypatch.setattr(deviation, "_BLOCK_VALUES", 1)
    seen = []
    split = certify_deviation(network, net, codes, progress=lambda d, n: seen.append((d, n)))
    assert json.dumps(split.as_dict(), allow_nan=False) == json.dumps(whole.as_dict())
    assert split.proven.first == whole.proven.first
    assert seen[-1] == (len(codes), len(codes))


def test_an_overflow_leaves_no_budget():
    network, net, codes = next(cases(1, seed=2, hidden=("lif", "lif")))
    loud = tuple(
        dataclasses.replace(s, weight_exp=7) if s.name == "in" else s for s in net.synapses
    )
    result = certify_deviation(network, dataclasses.replace(net, synapses=loud), codes)
    assert result.overflow.any()
    assert not result.budget.equal[result.overflow].any()
    assert all((n[result.overflow] == 0).all() for n in result.budget.spikes.values())


def test_refusals():
    network, net, codes = next(cases(1, seed=2, hidden=("lif", "lif")))
    with pytest.raises(ShapeError, match="codes"):
        certify_deviation(network, net, codes[:, :2])
    with pytest.raises(RangeError, match="whole"):
        certify_deviation(network, net, codes + 1000)
    with pytest.raises(RangeError, match="whole"):
        certify_deviation(network, net, codes * 1.0)
    other = dataclasses.replace(network, steps=network.steps + 1)
    with pytest.raises(InputError, match="steps"):
        certify_deviation(other, net, codes)
    fewer = dataclasses.replace(net, synapses=net.synapses[1:])
    with pytest.raises(InputError, match="no such synapse"):
        certify_deviation(network, fewer, codes)
    renamed = tuple(
        dataclasses.replace(s, name="odd") if s.name == "next" else s for s in network.synapses
    )
    with pytest.raises(InputError, match="no such synapse"):
        certify_deviation(dataclasses.replace(network, synapses=renamed), net, codes)
    with pytest.raises(InputError, match="populations"):
        certify_deviation(single(0.5, 0.5), net, codes)
    limited = dataclasses.replace(network.populations[0], v_min=0.0)
    odd = dataclasses.replace(network, populations=(limited, *network.populations[1:]))
    with pytest.raises(UnsupportedNodeError):
        certify_deviation(odd, net, codes)


def test_folded_gains_are_compared_with_the_folded_network():
    """The proof is about rounding: gains are folded in both, and the oracle says the same."""
    rng = np.random.default_rng(8)
    compared = 0
    for network, _, codes in cases(9, seed=31):
        codes = codes[:3]
        gained = [p.name for p in network.populations if p.gain is not None]
        loud = [
            dataclasses.replace(p, gain=rng.uniform(0.4, 1.6, network.steps)) if p.name in gained
            else p
            for p in network.populations
        ]  # fmt: skip
        network = dataclasses.replace(network, populations=tuple(loud))
        if not gained:
            continue
        net = quantize(network, CHIP, QuantizeConfig(8, remap="fold")).value
        assert folded_gains(network, net) == gained
        folded = fold(network, gained)
        result = certify_deviation(network, net, codes)
        assert result.as_dict() == certify_deviation(folded, net, codes).as_dict()
        true = np.array([Exact(folded, c).decision() for c in codes])
        decided = result.real != OPEN
        assert (result.real[decided] == true[decided]).all()
        assert (result.fixed[result.equal] == true[result.equal]).all()
        compared += int(decided.sum())
        guess = predict_flips(network, net, codes, draws=1)
        assert guess.flips == predict_flips(folded, net, codes, draws=1).flips
    assert compared > 5
