"""Deliberate mistakes in the deviation certificate: each of them breaks a promise that is checked."""

import dataclasses

import numpy as np
import pytest
from robustness.exact_reals import CHIP, cases, single, violations

from neurodeploy.quantization import quantize_network
from neurodeploy.robustness.certificates import deviation_budget, deviation_enclosure
from neurodeploy.robustness.certificates.deviation import certify_deviation
from neurodeploy.robustness.certificates.deviation_budget import BudgetRun, PopulationBudget
from neurodeploy.robustness.certificates.deviation_enclosure import Enclosure
from neurodeploy.robustness.certificates.deviation_real import RealRun


def total_violations(**options):
    total = dict.fromkeys(("membrane", "spikes", "difference", "guarantee"), 0)
    for network, net, codes in cases(6, **options):
        for key, count in violations(network, net, codes[:3]).items():
            total[key] += count
    return total


def without(monkeypatch, **zeroed):
    """Compute budgets with some terms replaced."""
    plain = PopulationBudget.of

    def of(pair, network):
        budget = plain(pair, network)
        made = {name: change(budget) for name, change in zeroed.items()}
        return dataclasses.replace(budget, **made)

    monkeypatch.setattr(PopulationBudget, "of", of)


def synapses_without(field, value):
    def change(budget):
        return tuple(dataclasses.replace(s, **{field: value(s)}) for s in budget.synapses)

    return change


MUTANTS = {
    "weight rounding": ({"synapses": synapses_without("rounding", lambda s: s.rounding * 0)}, {}),
    "half the weight rounding": (
        {"synapses": synapses_without("rounding", lambda s: s.rounding * 0.5)},
        {},
    ),
    "spikes that may differ": (
        {"synapses": synapses_without("weight", lambda s: s.weight * 0)},
        {},
    ),
    "truncation": ({"truncates_v": lambda b: np.zeros_like(b.truncates_v)}, {"grid": True}),
    "truncation of the current": (
        {"truncates_u": lambda b: np.zeros_like(b.truncates_u)},
        {"grid": True, "hidden": ("cuba", "cuba")},
    ),
    "bias": ({"bias": lambda b: b.bias * 0, "sum_bias": lambda b: b.sum_bias * 0}, {}),
    "what was there": ({"kept_v": lambda b: b.kept_v * 0}, {}),
    "the current that was there": (
        {"kept_u": lambda b: b.kept_u * 0},
        {"hidden": ("cuba", "cuba")},
    ),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_forgotten_term_is_seen(monkeypatch, name):
    changes, options = MUTANTS[name]
    assert total_violations(seed=3, **options)["difference"] == 0
    without(monkeypatch, **changes)
    found = total_violations(seed=3, **options)
    assert found["difference"] > 0


def test_a_forgotten_decay_error_is_seen(monkeypatch):
    """One neuron whose weight, bias and threshold are exact, and whose decay is not."""
    network = single(decay=0.3, weight=0.5, high=15.0)
    net = quantize_network(network, CHIP).value
    codes = np.arange(16)[:, None]
    assert violations(network, net, codes)["difference"] == 0
    without(monkeypatch, decay_v=lambda b: b.decay_v * 0, truncates_v=lambda b: b.truncates_v * 0.0)
    assert violations(network, net, codes)["difference"] > 0


def test_a_forgotten_floor_is_seen(monkeypatch):
    """Stored weights that are the real ones, and an exponent that floors every sum."""
    plain = quantize_network(single(decay=0.5, weight=0.5, high=15.0), CHIP).value
    floored = tuple(
        dataclasses.replace(s, weight=np.array([[6]]), weight_exp=-5) if s.name == "in" else s
        for s in plain.synapses
    )
    net = dataclasses.replace(plain, synapses=floored)
    weight = 6 * 64 / 32 / net.population("p").scale
    network = single(decay=0.5, weight=weight, high=15.0)
    codes = np.arange(16)[:, None]
    assert violations(network, net, codes)["difference"] == 0
    without(monkeypatch, synapses=synapses_without("floors", lambda s: 0.0))
    assert violations(network, net, codes)["difference"] > 0


def test_a_forgotten_threshold_error_is_seen(monkeypatch):
    """The real threshold lies between two codes' membranes, the stored one above both."""
    network = single(decay=1.0, weight=1.0, threshold=np.nextafter(0.4, 0), steps=1)
    net = quantize_network(network, CHIP).value
    codes = np.arange(16)[:, None]
    assert violations(network, net, codes)["guarantee"] == 0
    stored = net.population("p").v_threshold * 64.0

    def coarse(budget):
        shift = 2.0 ** np.ceil(np.log2(stored)) / 4
        return budget.threshold + Enclosure.exactly(shift)

    without(monkeypatch, threshold=coarse)
    assert violations(network, net, codes)["guarantee"] > 0


def test_a_forgotten_gain_error_is_seen(monkeypatch):
    options = {"seed": 3, "hidden": ("dlif", "dlif")}
    assert total_violations(**options)["difference"] == 0
    monkeypatch.setattr(BudgetRun, "_after_gain", lambda self, b, arriving, t: arriving)
    assert total_violations(**options)["difference"] > 0


def test_a_forgotten_reset_branch_is_seen(monkeypatch):
    def hopeful(b, v_pre, fired, error, spikes):
        return np.where(fired, 0.0, error)

    monkeypatch.setattr(deviation_budget, "_after", hopeful)
    found = total_violations(seed=3)
    assert found["difference"] > 0


def test_rounding_to_nearest_is_seen(monkeypatch):
    for name in ("up", "down"):
        monkeypatch.setattr(deviation_enclosure, name, np.asarray)
    found = total_violations(seed=3)
    assert found["membrane"] > 0


def test_an_unknown_spike_taken_for_silence_is_seen(monkeypatch):
    """A real membrane above the threshold by less than any enclosure can tell."""
    network = single(decay=0.5, weight=0.5, threshold=np.nextafter(2.0, 0), steps=4, high=15.0)
    net = quantize_network(network, CHIP).value
    codes = np.arange(16)[:, None]
    assert any(d is not None for d in certify_deviation(network, net, codes).proven.first)
    assert violations(network, net, codes)["spikes"] == 0
    plain = RealRun._fired

    def silent(self, p, v):
        spikes = plain(self, p, v)
        return dataclasses.replace(spikes, possible=spikes.sure)

    monkeypatch.setattr(RealRun, "_fired", silent)
    assert violations(network, net, codes)["spikes"] > 0
