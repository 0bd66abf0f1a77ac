"""Stuck neurons and dropped spikes against literal runs whose spikes are changed by hand."""

from dataclasses import replace

import numpy as np
import pytest
from oracles.random_float_networks import random_network
from oracles.random_topologies import PAIRS, random_case
from robustness.fault_oracles import run_fixed_changed, run_float_changed

from neurodeploy.errors import InputError, ShapeError
from neurodeploy.network import check_legality
from neurodeploy.robustness.faults import DroppedSpikes, StuckAtOne, StuckAtZero
from neurodeploy.robustness.faults.fault import stream
from neurodeploy.simulate import run_fixed, run_float

FIXED_SEEDS = range(len(PAIRS))


def fixed_case(seed):
    rng = np.random.default_rng(seed)
    pair = PAIRS[seed % len(PAIRS)]
    return random_case(
        rng, pair=pair, held=True, hardware=seed % 2 == 0, extreme=seed % 5 == 0, layers=3
    )


def float_case(seed):
    """A random network whose numbers never round, so the two sums of a run agree to the bit."""
    rng = np.random.default_rng(seed)
    net = replace(random_network(rng, exact=True), steps=5)
    return net, rng.integers(0, 4, (3, net.n_input)).astype(np.int32)


def stuck_neurons(net, name, share, seed):
    """Which neurons are stuck, from the documented order."""
    found = {}
    for p in net.populations:
        fires = p.kind not in ("readout", "li", "relay", "delay")
        if fires:
            order = stream(seed, name, p.name).permutation(p.size)
            found[p.name] = order[: round(share * p.size)]
    return found


def check_fixed(net, faulty, codes, change, skip=None):
    """Every spike of all neurons, and every state of those that are not skipped."""
    expected = run_fixed_changed(net, codes, change)
    found = run_fixed(faulty, codes, record=("spikes", "u", "v", "v_pre"), threads=1)
    for key, values in found.records.items():
        wanted, name = expected[key], key.rsplit("/", 1)[0]
        if not key.endswith("/spikes") and skip is not None and name in skip:
            values, wanted = (np.delete(x, skip[name], axis=2) for x in (values, wanted))
        np.testing.assert_array_equal(values, wanted, err_msg=key)


@pytest.mark.parametrize("seed", FIXED_SEEDS)
def test_silent_neurons_send_nothing_and_all_else_follows(seed):
    net, codes = fixed_case(seed)
    share = [0.1, 0.4, 1.0][seed % 3]
    stuck = stuck_neurons(net, "stuck at 0", share, seed)

    def silence(name, _, spikes):
        changed = spikes.copy()
        changed[:, stuck.get(name, [])] = 0
        return changed

    faulty = StuckAtZero().apply(net, share, seed)
    check_fixed(net, faulty, codes, silence, stuck)


@pytest.mark.parametrize("seed", FIXED_SEEDS)
def test_firing_neurons_fire_at_every_step_and_all_else_follows(seed):
    net, codes = fixed_case(seed)
    net = replace(net, populations=tuple(replace(p, refractory_steps=0) for p in net.populations))
    share = [0.1, 0.4, 1.0][seed % 3]
    stuck = stuck_neurons(net, "stuck at 1", share, seed)

    def fire(name, _, spikes):
        changed = spikes.copy()
        changed[:, stuck.get(name, [])] = 1
        return changed

    faulty = StuckAtOne().apply(net, share, seed)
    check_fixed(net, faulty, codes, fire, stuck)


def test_refractory_steps_still_silence_a_neuron_that_always_fires():
    pair = next(p for p in PAIRS if "refractory" in p[0])
    net, codes = random_case(np.random.default_rng(3), pair=pair, held=True, layers=2)
    home = next(p for p in net.populations if p.refractory_steps)
    home = replace(home, reset_interval=0)
    net = replace(
        net, populations=tuple(home if p.name == home.name else p for p in net.populations)
    )
    faulty = StuckAtOne((home.name,)).apply(net, 1.0, 0)
    spikes = run_fixed(faulty, codes, record=("spikes",), threads=1).records[f"{home.name}/spikes"]
    steps = np.arange(len(spikes)) % (home.refractory_steps + 1) == 0
    np.testing.assert_array_equal(spikes, np.broadcast_to(steps[:, None, None], spikes.shape))


@pytest.mark.parametrize("one", [False, True])
@pytest.mark.parametrize("seed", range(40))
def test_stuck_neurons_of_any_float_network(seed, one):
    net, codes = float_case(seed)
    fault = StuckAtOne() if one else StuckAtZero()
    share = [0.2, 0.5, 1.0][seed % 3]
    stuck = stuck_neurons(net, fault.name, share, seed)

    def change(_, name, __, spikes):
        changed = spikes.copy()
        changed[stuck.get(name, [])] = float(one)
        return changed

    expected = run_float_changed(net, net.encoder.decode(codes), change)
    faulty = fault.apply(net, share, seed)
    found = run_float(faulty, codes, record=("spikes", "v", "y"))
    for p in net.populations:
        quantity = "spikes" if p.fires else ("v" if p.kind == "li" else "y")
        values = found.records[f"{p.name}/{quantity}"]
        np.testing.assert_array_equal(values, expected[p.name], err_msg=p.name)


def test_float_cases_hold_every_rule_of_reset_and_limit():
    """The test above is only worth something if each rule is in a neuron that gets stuck."""
    kinds = set()
    for seed in range(40):
        for p in float_case(seed)[0].populations:
            if p.fires:
                kinds |= {p.kind, p.reset, p.spikes, p.v_min is not None, p.decay_u is not None}
    assert kinds == {
        "lif", "threshold", "value", "subtract", "subtract-late", "subtract-once", "single",
        "multiple", True, False,
    }  # fmt: skip


def test_a_high_lower_limit_does_not_stop_a_stuck_float_neuron():
    for seed in range(40):
        net, codes = float_case(seed)
        high = tuple(replace(p, v_min=5.5) if p.kind == "lif" else p for p in net.populations)
        faulty = StuckAtOne().apply(replace(net, populations=high), 1.0, seed)
        for name, spikes in run_float(faulty, codes, record=("spikes",)).records.items():
            if faulty.population(name.rsplit("/", 1)[0]).fires:
                assert (spikes == 1).all(), name


def test_more_neurons_are_stuck_at_a_larger_share_and_none_at_zero():
    net, _ = fixed_case(1)
    for fault in (StuckAtZero(), StuckAtOne()):
        before = {p.name: np.zeros(p.size, bool) for p in net.populations}
        for share in (0.0, 0.05, 0.3, 0.31, 0.8, 1.0):
            faulty = fault.apply(net, share, 7)
            for old, new in zip(net.populations, faulty.populations, strict=True):
                stuck = old.v_threshold != new.v_threshold
                assert (stuck | ~before[old.name]).all()
                if old.kind != "readout":
                    assert stuck.sum() == round(share * old.size)
                before[old.name] = stuck


def test_only_the_named_populations_get_stuck():
    net, _ = fixed_case(2)
    first = net.populations[0]
    faulty = StuckAtZero((first.name,)).apply(net, 0.5, 0)
    assert faulty.populations[1:] == net.populations[1:]
    assert (faulty.populations[0].v_threshold != first.v_threshold).sum() == round(first.size / 2)
    with pytest.raises(InputError, match="no populations that fire"):
        StuckAtZero(("nobody",)).apply(net, 0.5, 0)
    with pytest.raises(InputError, match="no probability or share"):
        StuckAtOne().apply(net, 1.5, 0)


def test_stuck_neurons_are_no_network_for_a_chip():
    net, _ = fixed_case(0)
    assert not check_legality(net)
    for fault in (StuckAtZero(), StuckAtOne()):
        found = check_legality(fault.apply(net, 0.5, 0))
        assert found
        assert all("v_threshold" in f.what for f in found)


@pytest.mark.parametrize("seed", FIXED_SEEDS)
def test_dropped_spikes_of_any_fixed_network(seed):
    net, codes = fixed_case(seed)
    share = [0.1, 0.5, 0.9][seed % 3]
    lost = losses(net, codes, share, seed)
    expected = run_fixed_changed(net, codes, lambda name, t, s: s * ~lost[name][t])
    found = DroppedSpikes().run(net, codes, share, seed)
    for p in net.populations:
        np.testing.assert_array_equal(
            found.records[f"{p.name}/spikes"], expected[f"{p.name}/spikes"]
        )
    quantity = "spikes" if net.readout.kind == "count" else "v"
    np.testing.assert_array_equal(found.output, expected[f"{net.readout.population}/{quantity}"])


@pytest.mark.parametrize("seed", range(40))
def test_dropped_spikes_of_any_float_network(seed):
    net, codes = float_case(seed)
    share = [0.1, 0.5, 0.9][seed % 3]
    lost = losses(net, codes, share, seed)
    expected = run_float_changed(
        net, net.encoder.decode(codes), lambda i, name, t, s: s * ~lost[name][t, i]
    )
    found = DroppedSpikes().run(net, codes, share, seed)
    for p in net.populations:
        if p.fires:
            np.testing.assert_array_equal(found.records[f"{p.name}/spikes"], expected[p.name])
    home = net.population(net.readout.population)
    if home.fires and net.readout.kind != "count":
        return  # the literal run tells what was sent, not the membrane
    np.testing.assert_array_equal(found.output, expected[home.name])


def losses(net, codes, share, seed, keys=None):
    """The documented draw, sample by sample."""
    from neurodeploy.attacks.randomness import SampleRandom

    keys = range(len(codes)) if keys is None else keys
    found = {}
    for p in net.populations:
        own = int(stream(seed, "dropped spikes", p.name).integers(2**63))
        found[p.name] = np.zeros((net.steps, len(codes), p.size), bool)
        for i, key in enumerate(keys):
            random = SampleRandom(own, np.array([key]))
            for t in range(net.steps):
                found[p.name][t, i] = random.uniform(p.size, t)[0] < share
    return found


@pytest.mark.parametrize("case", [fixed_case, float_case])
def test_no_loss_is_the_plain_run_and_full_loss_leaves_nothing(case):
    net, codes = case(4)
    plain = run_fixed(net, codes, threads=1) if case is fixed_case else run_float(net, codes)
    np.testing.assert_array_equal(DroppedSpikes().scores(net, codes, 0.0, 1), plain.scores())
    for spikes in DroppedSpikes().run(net, codes, 1.0, 1).records.values():
        assert not spikes.any()


@pytest.mark.parametrize("case", [fixed_case, float_case])
def test_a_samples_losses_do_not_hang_on_its_neighbours(case):
    for seed in (4, 5, 6):
        net, codes = case(seed)
        all_scores = DroppedSpikes().scores(net, codes, 0.4, 1)
        keys = np.array([2, 0])
        found = DroppedSpikes().scores(net, codes[keys], 0.4, 1, keys=keys)
        np.testing.assert_array_equal(found, all_scores[keys])


def test_losses_are_as_frequent_as_asked_and_nested():
    net, codes = fixed_case(0)
    codes = np.repeat(codes, 40, axis=0)
    small, large = losses(net, codes, 0.2, 3), losses(net, codes, 0.5, 3)
    for name, lost in small.items():
        assert (large[name] | ~lost).all()
        assert abs(lost.mean() - 0.2) < 4 * np.sqrt(0.16 / lost.size)
        assert abs(large[name].mean() - 0.5) < 4 * np.sqrt(0.25 / lost.size)


def test_dropped_spikes_refuse_what_they_cannot_do():
    net, codes = fixed_case(0)
    with pytest.raises(InputError, match="no probability"):
        DroppedSpikes().scores(net, codes, -0.1, 0)
    with pytest.raises(ShapeError, match="no sample"):
        DroppedSpikes().scores(net, codes[:0], 0.1, 0)
    free = replace(float_case(0)[0], steps=None)
    with pytest.raises(InputError, match="how many steps"):
        DroppedSpikes().scores(free, float_case(0)[1], 0.1, 0)
