"""Energy at three boundaries: nesting, monotonicity, honest gaps, wording."""

import dataclasses
import json

import numpy as np
import pytest
from cost.hand_made import (
    UNKNOWN_MW,
    UNKNOWN_NS,
    UNKNOWN_PJ,
    activity,
    layer,
    number,
    profile_with,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from neurodeploy import hardware_profiles
from neurodeploy.cost import Count, estimate, format_estimate

LOIHI1, LOIHI2 = (hardware_profiles.load(n) for n in ("loihi1", "loihi2"))
BOUNDARIES = ("core", "core+management", "total")


def small(**changes):
    values = {"operations": 3000.0, "spikes": 40.0, "active": 500.0, "steps": 10, **changes}
    hidden = layer("hidden", 128, **values)
    out = layer("out", 10, source="hidden", operations=400.0, active=60.0, steps=10)
    return activity(hidden, out, steps=10, events=200.0, n_output=10)


def test_core_energy_is_the_sum_of_counts_times_coefficients():
    cost = estimate(small(), LOIHI2)
    picojoule = 3400 * 35.5 + 1380 * 51.2 + 560 * 21.6 + 40 * 69.3 + 40 * 111.0 + 40 * 3.0
    assert cost.energy_nj["core"].typ == pytest.approx(picojoule / 1000)
    published = 3400 * 23.6 + 1380 * 52 + 560 * 29 + 40 * 1.7 + 40 * 3.0
    by_set = cost.energy_nj_by_set
    assert by_set["published"]["core"].typ == pytest.approx(published / 1000)


def test_interval_is_the_envelope_over_the_sets_and_typ_is_of_the_default_set():
    cost = estimate(small(), LOIHI2)
    for boundary in BOUNDARIES:
        sets = [by[boundary] for by in cost.energy_nj_by_set.values()]
        whole = cost.energy_nj[boundary]
        assert whole.low == min(x.low for x in sets)
        assert whole.high == max(x.high for x in sets)
        assert whole.typ == cost.energy_nj_by_set["silicon-fit"][boundary].typ


@pytest.mark.parametrize("profile", [LOIHI1, LOIHI2], ids=lambda p: p.id)
def test_boundaries_nest(profile):
    energy = estimate(small(), profile).energy_nj
    for name in ("low", "typ", "high"):
        inner, middle, outer = (getattr(energy[b], name) for b in BOUNDARIES)
        assert 0 < inner < middle < outer


def test_zero_weights_are_counted_as_the_chip_counts_them():
    sparse_matrix = small(operations=3000.0, with_zeros=9000.0)
    two = next(t for t in estimate(sparse_matrix, LOIHI2).terms["published"])
    assert (two.count.mean().low, two.count.mean().typ) == (3400, 3400)
    assert two.count.mean().high == 9400
    one = next(t for t in estimate(sparse_matrix, LOIHI1).terms["published"])
    assert one.count.mean().as_dict() == {"low": 9400, "typ": 9400, "high": 9400}


def test_spread_over_inputs_is_that_of_the_typical_core_energy():
    operations = np.array([1000.0, 2000.0, 6000.0])
    varied = activity(layer(size=4, operations=operations, spikes=np.zeros(3)), events=np.zeros(3))
    cost = estimate(varied, LOIHI2)
    joules = (operations * 35.5 + 4 * 51.2) / 1000
    spread = cost.core_nj_over_inputs
    assert spread.mean == pytest.approx(joules.mean())
    assert spread.p5 == pytest.approx(np.percentile(joules, 5))
    assert spread.p95 == pytest.approx(np.percentile(joules, 95))
    assert spread.mean == pytest.approx(cost.energy_nj["core"].typ)


def test_unknown_synapse_energy_gives_no_number():
    profile = profile_with("loihi2", energy_sets__silicon_fit__synapse_dense=UNKNOWN_PJ)
    cost = estimate(small(), profile)
    assert cost.partial
    assert all(cost.energy_nj[b] is None for b in BOUNDARIES)
    assert cost.energy_nj_by_set["silicon-fit"]["core"] is None
    assert cost.energy_nj_by_set["published"]["core"] is not None
    assert cost.core_nj_over_inputs is None
    assert cost.summary()["energy_nj"] == {"low": None, "typ": None, "high": None}
    blocking = [m for m in cost.missing if m.blocks]
    assert [(m.energy_set, m.name, m.count) for m in blocking] == [
        ("silicon-fit", "synapse_dense", 3400)
    ]
    assert "unknown" in format_estimate(cost)
    json.dumps(cost.as_dict(), allow_nan=False)


def test_unknown_format_that_no_synapse_uses_is_not_missed():
    profile = profile_with("loihi2", energy_sets__silicon_fit__synapse_conv=UNKNOWN_PJ)
    assert estimate(small(), profile).energy_nj == estimate(small(), LOIHI2).energy_nj


def test_unknown_static_power_leaves_the_inner_boundaries():
    cost = estimate(small(), profile_with("loihi2", power__static_per_chip=UNKNOWN_MW))
    reference = estimate(small(), LOIHI2)
    assert cost.energy_nj["total"] is None
    for boundary in BOUNDARIES[:2]:
        assert cost.energy_nj[boundary] == reference.energy_nj[boundary]


def test_unknown_time_leaves_the_core_alone():
    cost = estimate(small(), profile_with("loihi2", timing_sets__scaled__neuron=UNKNOWN_NS))
    assert cost.latency.inference_us is None
    assert cost.latency.missing == ("timing_sets.scaled.neuron",)
    assert cost.energy_nj["core"] == estimate(small(), LOIHI2).energy_nj["core"]
    assert cost.energy_nj["core+management"] is None
    assert cost.energy_nj["total"] is None
    assert cost.as_dict()["latency_us"] is None
    assert "timing_sets.scaled.neuron: unknown time" in format_estimate(cost)


def test_what_nobody_published_is_listed_with_its_count():
    cost = estimate(small(), LOIHI2)
    missing = {(m.name, m.boundary): m for m in cost.missing}
    assert set(missing) == {
        ("barrier", "core"),
        ("input_event", "management"),
        ("output_read", "management"),
    }
    assert missing["barrier", "core"].count == 10
    assert missing["input_event", "management"].count == 200
    assert not any(m.blocks for m in cost.missing)


def test_links_are_missed_only_when_a_network_needs_several_chips():
    many = activity(layer("big", 2**21, spikes=5.0), layer("sink", 1, source="big"))
    cost = estimate(many, LOIHI2)
    assert cost.mapping.chips > 1
    assert "link" in {m.name for m in cost.missing}
    static = {t.name: t.count.mean().typ for t in cost.terms["published"]}["static_per_chip"]
    assert static == pytest.approx(cost.mapping.chips * cost.latency.inference_us.typ)


def test_latency_bounds_by_hand():
    times = LOIHI2.timing_sets["scaled"]
    step = estimate(small(), LOIHI2).latency.step_us
    neuron, active = times.neuron.interval("us"), times.neuron_active.interval("us")
    barrier, management = times.barrier.interval("us"), times.management.interval("us")
    fixed = [a + b for a, b in zip(barrier, management, strict=True)]
    # Slowest layer, overlapped: 128 neurons a step against 300 operations.
    neurons_us = 128 * neuron[0] + 50 * active[0]
    assert step.low == pytest.approx(max(neurons_us, 300 * 0.62e-3) + fixed[0])
    typical = 300 * 0.7e-3 + 128 * neuron[1] + 50 * active[1] + 4 * (3e-3 + 0.51e-3)
    assert step.typ == pytest.approx(typical + fixed[1])
    assert estimate(small(), LOIHI2).latency.inference_us.typ == pytest.approx(10 * step.typ)


@pytest.mark.parametrize("profile", [LOIHI1, LOIHI2], ids=lambda p: p.id)
@settings(max_examples=30, deadline=None)
@given(
    counts=st.tuples(*[st.integers(0, 10**6)] * 3),
    more=st.tuples(*[st.integers(0, 10**6)] * 3),
)
def test_doing_more_never_costs_less(profile, counts, more):
    names = ("operations", "spikes", "active")
    less = estimate(small(**dict(zip(names, counts, strict=True))), profile)
    summed = [a + b for a, b in zip(counts, more, strict=True)]
    greater = estimate(small(**dict(zip(names, summed, strict=True))), profile)
    for boundary in BOUNDARIES:
        for name in ("low", "typ", "high"):
            a, b = (getattr(c.energy_nj[boundary], name) for c in (less, greater))
            assert a <= b * (1 + 1e-12)


@settings(max_examples=30, deadline=None)
@given(few=st.integers(1, 200), fewer=st.integers(0, 199))
def test_splitting_over_more_cores_never_lowers_messages(few, fewer):
    def messages(neurons_per_core):
        body = number(neurons_per_core, "count")
        profile = profile_with("loihi2", limits__neurons_per_core=body)
        cost = estimate(small(), profile)
        listed = {t.name: t for t in cost.terms["silicon-fit"]}
        return cost.mapping.n_cores, listed["message"].count.mean().typ

    (cores, sent), (more_cores, more_sent) = messages(few), messages(max(1, few - fewer))
    assert more_cores >= cores
    assert more_sent >= sent


def test_cores_hold_neurons_and_stored_weights():
    wide = activity(layer("wide", 100, n_source=2000))
    # 200,000 weights of 8 bits are 1.6 Mbit; a core holds 1 Mibit.
    assert estimate(wide, LOIHI2).mapping.cores["wide"] == 2
    shared = activity(layer("wide", 100, n_source=2000, synapse_format="conv"))
    assert estimate(shared, LOIHI2).mapping.cores["wide"] == 1


def test_summary_is_the_core_boundary():
    cost = estimate(small(), LOIHI2)
    assert cost.summary() == {
        "boundary": "core",
        "energy_nj": cost.energy_nj["core"].as_dict(),
        "synaptic_operations": 3400.0,
        "neuron_updates": 1380.0,
        "spikes": 40.0,
    }


def test_wording_is_that_of_an_estimate():
    wording = estimate(small(), LOIHI2).wording
    assert wording.startswith("core dynamic energy estimate, inherited coefficients")
    assert "0.91-1.09x with conv-format constants, 1.36x with sparse-format" in wording
    assert "does not validate sparse, recurrent or input-bound networks" in wording
    assert "measurement already known" in wording
    assert "uses dense-format constants, which the anchor does not test" in wording
    assert "Static and management power dominated" in wording


def test_notes_name_the_approximations():
    unsure = small(active=Count(1.0, 2.0, 3.0))
    aligned = dataclasses.replace(unsure, timing="aligned")
    dlif = dataclasses.replace(unsure.layers[0], kind="dlif")
    cost = estimate(dataclasses.replace(aligned, layers=(dlif, *unsure.layers[1:])), LOIHI2)
    text = " ".join(cost.notes)
    for part in ("drain are not counted", "bounded, not counted", "DLIF neurons (hidden)"):
        assert part in text
    assert "Not modelled: congestion" in text
    assert "one layer per group of cores" in text


def test_as_dict_is_json_with_sources_of_every_term():
    document = json.loads(json.dumps(estimate(small(), LOIHI2).as_dict(), allow_nan=False))
    assert document["kind"] == "estimate"
    assert set(document["energy_nj"]) == set(BOUNDARIES)
    sets = {term["set"] for term in document["terms"]}
    assert sets == {"published", "silicon-fit"}
    for term in document["terms"]:
        if term["coefficient"]["typ"] is not None:
            assert term["source"] in document["sources"]
            assert term["grade"] in {"A", "B"}
            assert term["unit"] in {"pJ", "mW"}
    core = sum(
        t["energy_nj"]["typ"]
        for t in document["terms"]
        if t["set"] == "silicon-fit" and t["boundary"] == "core" and t["energy_nj"]
    )
    assert core == pytest.approx(document["energy_nj"]["core"]["typ"])


def test_text_has_counts_energies_gaps_and_never_says_measured_of_itself():
    text = format_estimate(estimate(small(), LOIHI2))
    assert text.startswith("Estimated cost per inference on Loihi 2 (status: inherited)")
    for part in ("synaptic operations", "core+management", "Missing from every number", "sanafe"):
        assert part in text
    assert "measured" not in text.split("Missing from")[0].replace(", measured)", "")
