import dataclasses
import inspect

import pytest

from neurodeploy.errors import ContractError
from neurodeploy.graph.contract import CHOICES, Contract
from neurodeploy.graph.conventions import CONVENTIONS, Convention, convention

NAMES = ("snntorch", "sinabs", "spikingjelly", "norse", "rockpool", "lava-dl")


def test_the_presets_are_the_six_that_were_promised():
    assert tuple(CONVENTIONS) == NAMES
    assert all(convention(name) is CONVENTIONS[name] for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_word_is_a_contract_word(name):
    preset = convention(name)
    assert preset.name == name
    known = {field.name for field in dataclasses.fields(Contract)}
    for field, value in preset.fields.items():
        assert field in known
        if field in CHOICES:
            assert value in CHOICES[field]
    contract = preset.contract()
    said = {f: getattr(contract, f) for f in known if getattr(contract, f) is not None}
    assert said == dict(preset.fields)


@pytest.mark.parametrize("name", NAMES)
def test_every_preset_names_a_version_or_file_and_what_is_lost(name):
    preset = convention(name)
    assert "/" in preset.source or ".py" in preset.source
    assert preset.notes
    assert all(len(note) > 20 for note in preset.notes)


def test_what_the_tools_differ_in():
    assert convention("snntorch").fields["reset"] == "subtract-late"
    assert convention("snntorch").fields["dt"] == 1e-4
    assert convention("sinabs").fields["spikes"] == "multiple"
    assert convention("sinabs").fields["dt"] == 1.0
    assert convention("spikingjelly").fields["if_unit"] == "second"
    assert convention("norse").fields["dt"] == 1e-3
    assert "dt" not in convention("rockpool").fields  # hidden in r: the user says it


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ContractError) as error:
        convention("nest")
    assert "'nest'" in str(error.value)
    assert all(name in str(error.value) for name in NAMES)


def test_a_preset_cannot_be_changed():
    preset = convention("norse")
    with pytest.raises(TypeError):
        preset.fields["dt"] = 1.0
    with pytest.raises(dataclasses.FrozenInstanceError):
        preset.name = "other"
    with pytest.raises(TypeError):
        CONVENTIONS["other"] = preset


def test_a_wrong_word_in_a_preset_is_refused():
    with pytest.raises(ContractError, match="reset"):
        Convention("x", "nowhere 1.0", {"reset": "sometimes"}, ())


def test_the_words_that_change_numbers_are_said_or_left_open_on_purpose():
    numeric = {"dt", "reset", "decay", "spikes", "input_gain", "if_unit", "recurrent_cut", "v_min"}
    missing = {name: numeric - set(c.fields) for name, c in CONVENTIONS.items()}
    assert missing.pop("rockpool") == {"dt", "if_unit", "recurrent_cut"}
    assert not any(missing.values())
    assert inspect.signature(convention).return_annotation == "Convention"
