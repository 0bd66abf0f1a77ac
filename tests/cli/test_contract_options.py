"""How a graph is read can be said on the command line: every contract word, convention, repair."""

import dataclasses
import json

import nir_samples as samples
import numpy as np
import pytest
from nir_samples import affine, chain, lif

from neurodeploy.cli import main
from neurodeploy.cli.options import contract_options, contract_parser
from neurodeploy.graph import Contract


@pytest.fixture
def path(tmp_path):
    return samples.write_chain(tmp_path / "net.nir", affine(), lif())


def inspected(capsys, *arguments):
    code = main(["inspect", *map(str, arguments), "--json"])
    shown = capsys.readouterr()
    return code, json.loads(shown.out) if code == 0 else shown.err


def test_every_contract_field_has_an_option():
    known = {action.dest for action in contract_parser()._actions}
    assert {f.name for f in dataclasses.fields(Contract)} - known == {"source_tool"}


@pytest.mark.parametrize(
    ("words", "field", "value"),
    [
        (["--v-min", "none"], "v_min", "none"),
        (["--v-min", "-0.5"], "v_min", -0.5),
        (["--readout-window", "3:9"], "readout_window", (3, 9)),
        (["--if-unit", "step"], "if_unit", "step"),
        (["--recurrent-cut", "affine"], "recurrent_cut", "affine"),
        (["--delay-rounding", "floor"], "delay_rounding", "floor"),
    ],
)
def test_words_become_contract_fields(words, field, value):
    assert getattr(contract_options(contract_parser().parse_args(words)), field) == value


@pytest.mark.parametrize("words", [["--v-min", "low"], ["--readout-window", "3"], ["--dt", "soon"]])
def test_words_of_another_form_are_refused(words, capsys):
    with pytest.raises(SystemExit) as error:
        contract_parser().parse_args(words)
    assert error.value.code == 2
    assert words[0] in capsys.readouterr().err


def test_a_convention_and_an_option_over_it(path, capsys):
    _, document = inspected(capsys, path, "--convention", "snntorch", "--reset", "value")
    assert document["contract"]["reset"] == "value"
    assert document["contract"]["dt"] == 1e-4


def test_an_unknown_convention_exits_2_with_the_known_ones(path, capsys):
    assert main(["inspect", str(path), "--convention", "nest"]) == 2
    assert "choose from snntorch" in capsys.readouterr().err


def test_the_repair_is_an_option(tmp_path, capsys):
    nodes, edges = chain(affine(), lif())
    wrong = [tuple("old" if end == "n1" else end for end in edge) for edge in edges]
    path = samples.write_nir(tmp_path / "net.nir", nodes, wrong)
    assert main(["inspect", str(path), "--dt", "1e-3"]) == 2
    assert "'old'" in capsys.readouterr().err
    code, document = inspected(capsys, path, "--dt", "1e-3", "--repair")
    assert code == 0
    assert ["n0", "n1"] in document["edges"]


def test_a_quantised_network_takes_neither(tmp_path, capsys):
    for words in (["--convention", "norse"], ["--repair"]):
        out = ["--input", "x.npz", "--backend", "fixed", "--out", "t.npz"]
        assert main(["run", str(tmp_path / "net.h5"), *out, *words]) == 2
        assert "drop --convention and --repair" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("node", "dt"),
    [
        ({"type": "Delay", "delay": [1e308, 1e308]}, "1e-300"),
        (lif(tau=[1e-320, 1e-320]), "1e-3"),
    ],
)
def test_numbers_beyond_float64_are_words_in_the_document(tmp_path, capsys, node, dt):
    node = {k: v if isinstance(v, str) else np.asarray(v) for k, v in node.items()}
    path = samples.write_chain(tmp_path / "net.nir", node, n_in=(2,))
    assert main(["inspect", str(path), "--dt", dt, "--json"]) == 2
    document = json.loads(capsys.readouterr().out)
    (error,) = [f for f in document["findings"] if f["severity"] == "error"]
    assert "inf" in error["numbers"].values()
    assert "1 finding stops here" in document["error"]
