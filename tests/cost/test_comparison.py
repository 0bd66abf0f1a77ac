"""The ratio of two energies lies between the ratios of their counts, whatever the prices."""

import dataclasses
import json
import math

import pytest
from cost.hand_made import activity, layer, with_energy_sets
from hypothesis import given, settings
from hypothesis import strategies as st

from neurodeploy import hardware_profiles
from neurodeploy.cost import Count, compare, estimate
from neurodeploy.errors import InputError

LOIHI1, LOIHI2 = (hardware_profiles.load(n) for n in ("loihi1", "loihi2"))
COUNT = st.integers(0, 10**6)
PRICE = st.floats(0, 1e3, allow_subnormal=False)


def run(operations=100.0, zeros=0.0, active=10.0, spikes=5.0, events=20.0, out=7.0):
    hidden = layer(
        "hidden",
        64,
        steps=10,
        operations=operations,
        with_zeros=operations + zeros,
        events=events,
        active=active,
        spikes=spikes,
    )
    last = layer("out", 10, source="hidden", steps=10, operations=out, events=spikes)
    return activity(hidden, last, steps=10, events=events)


def priced(energies, prices):
    """Return the set with each known coefficient replaced by a random price."""
    changed = {}
    for name, price in zip(type(energies).__slots__, prices, strict=True):
        leaf = getattr(energies, name)
        if leaf.known:
            changed[name] = dataclasses.replace(leaf, low=price, typ=price, high=price)
    return dataclasses.replace(energies, **changed)


RUNS = st.tuples(*[COUNT] * 6).map(lambda counts: run(*map(float, counts)))


@pytest.mark.parametrize("chip", [LOIHI1, LOIHI2], ids=lambda p: p.id)
@settings(max_examples=150, deadline=None)
@given(first=RUNS, second=RUNS, prices=st.lists(PRICE, min_size=13, max_size=13))
def test_energy_ratio_is_inside_the_bound_for_any_prices(chip, first, second, prices):
    profile = with_energy_sets(chip, any=priced(chip.energy_sets["published"], prices))
    costs = [estimate(a, profile) for a in (first, second)]
    found = compare(*costs)
    ratios = found.energy_ratio["any"]
    if ratios is None:
        assert costs[1].energy_nj["core"].typ == 0
        return
    low, high = found.bound
    assert low * (1 - 1e-9) <= ratios["typ"] <= high * (1 + 1e-9)
    by_hand = costs[0].energy_nj["core"].typ / costs[1].energy_nj["core"].typ
    assert ratios["typ"] == pytest.approx(by_hand)


def test_bound_is_tight_when_one_price_is_all():
    # With all prices zero but one, the ratio is that count's own: no narrower bound can hold.
    chip = LOIHI1
    first, second = run(operations=300.0, spikes=1.0), run(operations=100.0, spikes=2.0)
    names = list(type(chip.energy_sets["published"]).__slots__)
    seen = []
    for only in ("synapse_dense", "spike"):
        prices = [float(name == only) for name in names]
        profile = with_energy_sets(chip, any=priced(chip.energy_sets["published"], prices))
        found = compare(estimate(first, profile), estimate(second, profile))
        seen.append(found.energy_ratio["any"]["typ"])
    assert seen == pytest.approx([307 / 107, 0.5])
    assert found.bound[0] == pytest.approx(0.5)
    assert found.bound[1] == pytest.approx(307 / 107)


def test_a_run_against_itself_is_one():
    cost = estimate(run(), LOIHI2)
    found = compare(cost, cost)
    assert found.bound == (1.0, 1.0)
    for ratios in found.energy_ratio.values():
        assert ratios == {"low": 1.0, "typ": 1.0, "high": 1.0}
    assert found.notes == ()


def test_ratio_is_the_first_over_the_second():
    found = compare(estimate(run(spikes=10.0), LOIHI2), estimate(run(spikes=5.0), LOIHI2))
    spikes = next(c for c in found.counts if c.name == "spikes")
    assert (spikes.count.typ, spikes.baseline.typ, spikes.ratio) == (10, 5, 2)


def test_a_count_known_in_bounds_widens_the_bound_and_says_so():
    unsure = Count(5.0, 10.0, 20.0)
    found = compare(estimate(run(active=unsure), LOIHI2), estimate(run(active=10.0), LOIHI2))
    assert found.bound == (0.5, 2.0)
    assert "record spikes" in found.notes[0]


def test_something_from_nothing_has_no_upper_bound():
    found = compare(estimate(run(spikes=3.0), LOIHI2), estimate(run(spikes=0.0), LOIHI2))
    assert found.bound[1] == math.inf
    document = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert document["bound"]["high"] is None
    spikes = next(c for c in document["counts"] if c["name"] == "spikes")
    assert spikes["ratio"] is None
    assert spikes["baseline"]["typ"] == 0


def test_nothing_against_nothing_says_nothing():
    quiet = run(spikes=0.0)
    found = compare(estimate(quiet, LOIHI2), estimate(quiet, LOIHI2))
    spikes = next(c for c in found.counts if c.name == "spikes")
    assert spikes.ratio is None
    assert found.bound == (1.0, 1.0)


def test_runs_of_different_length_are_flagged():
    longer = dataclasses.replace(run(), hardware_steps=20)
    found = compare(estimate(longer, LOIHI2), estimate(run(), LOIHI2))
    assert "hardware_steps (20, 10)" in found.notes[0]


def test_two_chips_are_not_compared():
    with pytest.raises(InputError, match=r"different profiles \(loihi1, loihi2\)"):
        compare(estimate(run(), LOIHI1), estimate(run(), LOIHI2))
