"""A malformed profile is refused with its file, the key path, the value and a remedy."""

import re

import pytest

from neurodeploy import hardware_profiles
from neurodeploy.errors import ProfileError

TEXT = hardware_profiles.load("loihi2").text
LEAF = "energy_sets.silicon-fit.neuron"


def edited(path, change):
    """Return the shipped text with one table's body changed."""
    start = TEXT.index(f"[{path}]\n") + len(path) + 3
    end = TEXT.index("\n\n", start)
    return TEXT[:start] + change(TEXT[start:end]) + TEXT[end:]


def line(key, new):
    """Return a change that replaces the line of ``key``, or removes it."""
    return lambda body: re.sub(rf"(?m)^{key} = .*\n?", f"{new}\n" if new else "", body)


def without_numbers(extra):
    return lambda body: extra + re.sub(r"(?m)^(low|typ|high) = .*\n", "", body)


CASES = {
    "order": (LEAF, line("low", "low = 99.0"), r"low 99, typ 51.2, high 76.8 are out of order"),
    "order above": (LEAF, line("high", "high = 1.0"), r"out of order; order them low <= typ"),
    "unit": (LEAF, line("unit", 'unit = "fJ"'), r"unit: is 'fJ'; use one of: pJ, nJ"),
    "unit of another kind": (LEAF, line("unit", 'unit = "ns"'), r"'ns'; use one of: pJ, nJ"),
    "no unit": (LEAF, line("unit", ""), r"unit: is missing"),
    "no source": (LEAF, line("source", ""), r"source: is missing"),
    "unlisted source": (LEAF, line("source", 'source = "me"'), r"source: is 'me'.*davies2018"),
    "no locator": (LEAF, line("locator", 'locator = " "'), r"locator: is missing"),
    "grade C": (LEAF, line("grade", 'grade = "C"'), r"grade C with basis 'inherited'"),
    "grade D": (LEAF, line("grade", 'grade = "D"'), r"grade: is 'D'; use one of: A, B, C"),
    "basis": (LEAF, line("basis", 'basis = "guessed"'), r"basis: is 'guessed'; use one of"),
    "misspelt key": (LEAF, lambda body: f'notes = "x"\n{body}', r"notes: is no key.*'note'"),
    "zero": (LEAF, line("low", "low = 0.0"), r"low is 0, and unknown is not zero; .*unknown"),
    "negative": (LEAF, line("low", "low = -1.0"), r"low is -1"),
    "nan": (LEAF, line("typ", "typ = nan"), r"typ: is nan; write `unknown = true`"),
    "infinite": (LEAF, line("high", "high = inf"), r"high: is inf"),
    "text for a number": (LEAF, line("typ", 'typ = "51.2"'), r"typ: is '51.2', not a number"),
    "truth for a number": (LEAF, line("typ", "typ = true"), r"typ: is True, not a number"),
    "no typ": (LEAF, line("typ", ""), r"typ: is missing"),
    "value and low": (LEAF, lambda b: f"value = 1.0\n{b}", r"both `value` and low/typ/high"),
    "unknown with numbers": (LEAF, lambda b: f"unknown = true\n{b}", r"is unknown and has low"),
    "unknown is not true": (LEAF, without_numbers("unknown = 1\n"), r"unknown: is 1; write true"),
    "word": ("numerics.u_overflow", line("value", 'value = "clip"'), r"'clip'; use one of: wrap"),
    "source year": ("sources.sanafe", line("year", 'year = "2025"'), r"year: is '2025'"),
    "source key": ("sources.sanafe", lambda b: f'url = "x"\n{b}', r"sources.sanafe.url: is no key"),
}


@pytest.mark.parametrize(("path", "change", "message"), CASES.values(), ids=CASES)
def test_a_changed_leaf_is_refused_with_its_key_path(path, change, message):
    text = edited(path, change)
    assert text != TEXT
    with pytest.raises(ProfileError, match=message) as caught:
        hardware_profiles.parse(text, label="mine.toml")
    assert str(caught.value).startswith(f"mine.toml: {path}")


def test_grade_c_needs_an_assumption_and_a_reviewer():
    def change(reviewer):
        def apply(body):
            body = re.sub('grade = "A"', 'grade = "C"', body)
            return re.sub('basis = ".*"', 'basis = "assumed"', body) + reviewer

        return apply

    with pytest.raises(ProfileError, match=r"reviewer ''"):
        hardware_profiles.parse(edited(LEAF, change("")))
    text = edited(LEAF, change('\nreviewer = "A. N. Other"'))
    leaf = hardware_profiles.parse(text).energy_sets["silicon-fit"].neuron
    assert (leaf.grade, leaf.reviewer) == ("C", "A. N. Other")


def test_unknown_without_a_note_is_refused():
    def change(body):
        return re.sub(r"(?m)^note = .*$", "", without_numbers("unknown = true\n")(body))

    with pytest.raises(ProfileError, match=rf"{LEAF}\.note: is missing"):
        hardware_profiles.parse(edited(LEAF, change))


TOP = {
    "schema": ("schema_version = 1", "schema_version = 9", r"schema_version: is 9"),
    "status": ('status = "inherited"', 'status = "fine"', r"status: is 'fine'; use one of"),
    "set": ('default_energy_set = "silicon-fit"', 'default_energy_set = "x"', r"published, silic"),
    "toml": ("schema_version = 1", "schema_version = ", r"is not TOML: .*line"),
    "key": ("schema_version = 1", "schema_version = 1\nnames = 1", r"names: is no key.*'name'"),
    "leaf": ("[power.input_event]", "[power.input_events]", r"power\.input_events: is no key"),
    "no id": ('id = "loihi2"\n', "", r"id: is missing"),
    "list": ("not_modelled = [\n", "not_modelled = [\n1,\n", r"not_modelled: is \[1"),
}


@pytest.mark.parametrize(("old", "new", "message"), TOP.values(), ids=TOP)
def test_a_changed_head_is_refused(old, new, message):
    assert old in TEXT
    with pytest.raises(ProfileError, match=message):
        hardware_profiles.parse(TEXT.replace(old, new))


def test_limits_alone_leave_out_prices_all_or_none():
    lava = hardware_profiles.load("lava").text
    with pytest.raises(ProfileError, match=r"energy_sets: is missing"):
        hardware_profiles.parse(lava.replace('"limits-only"', '"published"'))
    with pytest.raises(ProfileError, match=r"energy_sets: is missing"):
        hardware_profiles.parse(
            lava.replace("not_modelled", 'default_energy_set = "x"\nnot_modelled')
        )


def test_a_missing_leaf_is_named():
    start = TEXT.index("[limits.neurons_per_core]")
    end = TEXT.index("[", start + 1)
    with pytest.raises(ProfileError, match=r"limits\.neurons_per_core: is missing.*unknown = true"):
        hardware_profiles.parse(TEXT[:start] + TEXT[end:])


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(
        ProfileError, match=r"'loihi3' does not exist; there are: lava, loihi1, loihi2"
    ):
        hardware_profiles.load("loihi3")


def test_a_path_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(ProfileError, match=r"none\.toml: cannot be read: .*lava, loihi1, loihi2"):
        hardware_profiles.load(tmp_path / "none.toml")


def test_a_file_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "binary.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ProfileError, match=r"binary\.toml: cannot be read"):
        hardware_profiles.load(path)


def test_an_unknown_or_broken_number_is_no_integer():
    profile = hardware_profiles.load("loihi2")
    with pytest.raises(ProfileError, match=r"limits\.in_axons_per_core: is unknown"):
        int(profile.limits.in_axons_per_core)
    with pytest.raises(ProfileError, match=r"35\.5 pJ; needs a whole number"):
        int(profile.energy_sets["silicon-fit"].synapse_dense)
