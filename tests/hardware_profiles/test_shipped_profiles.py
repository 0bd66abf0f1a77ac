"""The profiles that come with neurodeploy: every number has an origin, and the right value."""

import importlib.util
from dataclasses import replace
from pathlib import Path

import pytest

from neurodeploy import hardware_profiles
from neurodeploy.errors import ProfileError
from neurodeploy.hardware_profiles import SourcedChoice, SourcedValue, limits_of
from neurodeploy.register_limits import CHIP_LIMITS

SHIPPED = hardware_profiles.names()
CHIPS = ("loihi1", "loihi2")
UNITS = {"pJ", "nJ", "ns", "us", "mW", "bits", "bytes", "count"}


def numbers(name):
    profile = hardware_profiles.load(name)
    return [leaf for leaf in profile.leaves() if isinstance(leaf, SourcedValue)]


def test_both_chips_and_the_simulator_are_shipped():
    assert SHIPPED == ("lava", "loihi1", "loihi2")


@pytest.mark.parametrize("name", SHIPPED)
def test_every_known_number_has_an_origin(name):
    profile = hardware_profiles.load(name)
    known = [leaf for leaf in numbers(name) if leaf.known]
    assert len(known) > (50 if name in CHIPS else 13)
    for leaf in known:
        assert leaf.source in profile.sources, leaf.path
        assert leaf.locator, leaf.path
        assert leaf.grade in {"A", "B"}, leaf.path
        assert leaf.unit in UNITS, leaf.path
        assert leaf.basis, leaf.path
        assert leaf.correlation_group, leaf.path
        assert leaf.low <= leaf.typ <= leaf.high, leaf.path


@pytest.mark.parametrize("name", SHIPPED)
def test_every_unknown_number_says_why(name):
    unknown = [leaf for leaf in numbers(name) if not leaf.known]
    assert {leaf.path.split(".")[-1] for leaf in unknown} >= {"barrier", "link", "input_event"}
    for leaf in unknown:
        assert leaf.note, leaf.path
        assert leaf.unit in UNITS, leaf.path
        assert leaf.low is None
        assert leaf.high is None


@pytest.mark.parametrize("name", CHIPS)
def test_a_price_of_zero_is_only_ever_a_modelling_choice(name):
    priced = [x for x in numbers(name) if x.known and x.unit in {"pJ", "nJ", "ns", "us", "mW"}]
    zeros = [x for x in priced if x.low == 0]
    assert zeros
    assert {x.basis for x in zeros} == {"modelling-choice"}


@pytest.mark.parametrize("name", SHIPPED)
def test_every_choice_but_unknown_has_an_origin(name):
    profile = hardware_profiles.load(name)
    choices = [x for x in profile.leaves() if isinstance(x, SourcedChoice)]
    assert len(choices) >= 8
    for choice in choices:
        if choice.value != ("unknown",):
            assert choice.source in profile.sources, choice.path
            assert choice.grade in {"A", "B"}, choice.path


def test_loihi1_energies_are_the_published_ones():
    sets = hardware_profiles.load("loihi1").energy_sets
    published, fit = sets["published"], sets["silicon-fit"]
    assert published.synapse_dense.typ == published.synapse_conv.typ == 23.6
    assert (published.neuron.typ, published.neuron_active.typ) == (52.0, 81.0 - 52.0)
    assert (published.tile.typ, published.hop_x.typ, published.hop_y.typ) == (1.7, 3.0, 4.0)
    assert (published.message.typ, published.spike.typ) == (0.0, 0.0)
    assert [fit.synapse(f).typ for f in ("dense", "sparse", "conv")] == [35.5, 33.6, 24.0]
    assert (fit.neuron.typ, fit.neuron_active.typ) == (51.2, 21.6)
    assert (fit.spike.typ, fit.message.typ, fit.message_in.typ) == (69.3, 111.0, 0.0)
    assert (fit.hop_x.typ, fit.hop_y.typ) == (3.0, 4.2)


def test_loihi2_inherits_energies_unscaled_with_a_wider_top():
    one, two = hardware_profiles.load("loihi1"), hardware_profiles.load("loihi2")
    assert two.status == "inherited"
    inherited = 0
    for name, energies in two.energy_sets.items():
        for field in type(energies).__slots__:
            ours, theirs = getattr(energies, field), getattr(one.energy_sets[name], field)
            assert ours.typ == theirs.typ, ours.path
            if ours.known and ours.typ > 0:
                assert ours.basis == "inherited", ours.path
                assert ours.high == pytest.approx(1.5 * ours.typ, rel=1e-3), ours.path
                inherited += 1
    assert inherited == 17


def test_loihi2_times_and_powers():
    profile = hardware_profiles.load("loihi2")
    times = profile.timing_sets["scaled"]
    assert times.synapse_dense.interval("ns") == (0.62, 0.70, 1.05)
    assert times.barrier.interval("ns")[1] == pytest.approx(200.0)
    assert profile.power.static_per_chip.interval("mW") == (232.0, 257.0, 282.0)
    assert profile.power.management_per_chip.interval("mW")[:2] == (20.0, 65.0)


@pytest.mark.parametrize("name", CHIPS)
def test_numerics_that_quantisation_relies_on(name):
    n = hardware_profiles.load(name).numerics
    assert int(n.weight_bits) == 8
    assert (int(n.weight_exponent_min), int(n.weight_exponent_max)) == (-8, 7)
    assert set(n.weight_sign_modes.value) == {"mixed", "excitatory", "inhibitory"}
    assert (int(n.decay_bits), int(n.state_bits)) == (12, 24)
    assert (int(n.v_threshold_mantissa_bits), int(n.v_threshold_shift)) == (17, 6)
    assert (int(n.bias_mantissa_bits), int(n.bias_exponent_bits)) == (13, 3)
    assert int(n.graded_payload_bits) == {"loihi1": 0, "loihi2": 24}[name]
    assert (str(n.u_overflow), str(n.v_overflow)) == ("wrap", "saturate")


def test_the_registers_of_both_chips_are_the_common_ones():
    one, two = (limits_of(hardware_profiles.load(name)) for name in CHIPS)
    assert replace(two, target=CHIP_LIMITS.target) == CHIP_LIMITS
    assert (one.message_bits, one.own_neurons) == (0, False)
    # 8 thresholds and 32 pairs of decays on each of 128 cores.
    assert (one.threshold_settings, one.decay_settings) == (1024, 4096)
    alike = {"target", "message_bits", "own_neurons", "threshold_settings", "decay_settings"}
    common = {name: getattr(two, name) for name in alike}
    assert replace(one, **common) == two


def test_the_simulator_holds_more_than_a_chip_and_costs_nothing_that_is_known():
    profile = hardware_profiles.load("lava")
    wide, chip = limits_of(profile), CHIP_LIMITS
    for name in ("weight_exp_max", "bias_mantissa_bits", "bias_exp_max", "message_bits",
                 "delay_max", "refractory_max", "conv_weight_bits"):  # fmt: skip
        assert getattr(wide, name) > getattr(chip, name), name
    assert (wide.weight_exp_min, wide.decay_u_min) == (-31, -1)
    assert (wide.weight_bits, wide.v_threshold_max) == (8, 2**17 - 1)
    assert not profile.priced
    assert all(hardware_profiles.load(name).priced for name in CHIPS)
    priced = [x for x in numbers("lava") if x.unit in {"pJ", "nJ", "ns", "us", "mW"}]
    assert len(priced) == 13 + 10 + 5
    assert not any(x.known for x in priced)


def test_a_profile_written_before_a_key_means_what_both_chips_hold():
    text = hardware_profiles.load("loihi2").text
    for key in ("conv_weight_bits", "decay_u_min", "refractory_steps_max"):
        start = text.index(f"[numerics.{key}]")
        text = text[:start] + text[text.index("[", start + 1) :]
    older = hardware_profiles.parse(text)
    assert not older.numerics.decay_u_min.known
    assert limits_of(older) == limits_of(hardware_profiles.load("loihi2"))
    assert hardware_profiles.limits_in(text) == limits_of(older)
    assert hardware_profiles.limits_in("") == CHIP_LIMITS


def test_a_chip_of_other_states_is_refused():
    text = hardware_profiles.load("loihi2").text
    start = text.index("value = 24", text.index("[numerics.state_bits]"))
    narrow = hardware_profiles.parse(f"{text[:start]}value = 16{text[start + 10 :]}")
    with pytest.raises(ProfileError, match=r"numerics\.state_bits: is 16.*written for 24"):
        limits_of(narrow)


def test_text_reads_back_to_the_same_profile():
    profile = hardware_profiles.load("loihi2")
    again = hardware_profiles.parse(profile.text)
    assert again.text_hash == profile.text_hash
    assert list(again.leaves()) == list(profile.leaves())


def test_a_profile_of_ones_own_is_read_by_path(tmp_path):
    shipped = hardware_profiles.load("loihi2")
    path = tmp_path / "mine.toml"
    path.write_text(shipped.text.replace('id = "loihi2"', 'id = "mine"'), encoding="utf-8")
    assert hardware_profiles.load(path).id == hardware_profiles.load(str(path)).id == "mine"


def test_rows_for_a_table_cover_every_leaf():
    profile = hardware_profiles.load("loihi2")
    rows = hardware_profiles.value_rows(profile)
    assert len(rows) == len(list(profile.leaves()))
    row = next(r for r in rows if r["key"] == "energy_sets.silicon-fit.message")
    assert (row["typ"], row["unit"], row["source"], row["grade"]) == (111.0, "pJ", "sanafe", "A")
    assert next(r for r in rows if r["key"] == "numerics.u_overflow")["value"] == "wrap"


def test_units_convert_within_a_dimension_and_nowhere_else():
    profile = hardware_profiles.load("loihi1")
    memory = profile.limits.synapse_memory_per_core
    assert memory.interval("bits") == (1048576.0,) * 3
    assert profile.energy_sets["published"].neuron.interval("nJ")[1] == pytest.approx(0.052)
    with pytest.raises(ProfileError, match=r"is in bytes.*ns"):
        memory.interval("ns")


def test_the_folder_refuses_to_be_imported_under_another_name():
    folder = Path(hardware_profiles.__file__)
    spec = importlib.util.spec_from_file_location("hardware_profiles", folder)
    with pytest.raises(ImportError, match=r"import neurodeploy\.hardware_profiles"):
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
