"""The contract: file, options, convention, defaults, and what is said about each of them."""

import dataclasses
import json

import h5py
import nir
import nir_samples as samples
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nir_samples import affine, chain, end, lif
from small_models import write_model

from neurodeploy.errors import ContractError, InputError
from neurodeploy.graph import (
    CONVENTIONS,
    PLAIN_NIR_EULER,
    Contract,
    contract_from_metadata,
    read,
)
from neurodeploy.graph.contract import CHOICES

FULL = Contract(dt=1e-3, steps=4)
LI = {"type": "LI", "tau": np.full(2, 0.01), "r": np.ones(2), "v_leak": np.zeros(2)}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.nir"


def write(path, *layers, metadata=None, **words):
    said = {"neurodeploy": {"schema": 1, **words}} if words else metadata
    return samples.write_chain(path, *(layers or (affine(), lif())), metadata=said)


def about(findings, severity):
    return {key for f in findings if f.severity == severity for key in f.numbers}


# -- metadata ------------------------------------------------------------------------------------

finite = st.floats(-1e6, 1e6)
words = {
    name: st.none() | st.sampled_from(choices)
    for name, choices in CHOICES.items()
    if not name.startswith("encoder")
}
low = st.none() | st.floats(min_value=-1e6, max_value=-1e-3)
OWN = {
    None: {"encoder_low": low, "encoder_seed": st.none() | st.integers(0, 2**63 - 1)},
    "constant": {
        "encoder_low": low,
        "encoder_form": st.none() | st.sampled_from(["graded", "bias"]),
    },
    "rate": {"encoder_low": low, "encoder_seed": st.none() | st.integers(0, 2**63 - 1)},
    "latency": {"encoder_low": low},
    "events": {"encoder_low": st.none() | st.just(0.0)},
}


def contracts_of(encoder):
    return st.builds(
        Contract,
        dt=st.none() | st.floats(1e-9, 1e3),
        steps=st.none() | st.integers(100, 10**6),
        v_min=st.none() | st.just("none") | finite,
        readout_node=st.none() | st.text("ab.", min_size=1),
        readout_window=st.none() | st.tuples(st.integers(0, 40), st.integers(41, 99)),
        encoder=st.just(encoder),
        encoder_high=st.none() | st.floats(min_value=0.5, max_value=1e6),
        encoder_bits=st.none() | st.integers(1, 16),
        source_tool=st.none() | st.text("ab ", min_size=1),
        **words,
        **OWN[encoder],
    )


contracts = st.one_of([contracts_of(encoder) for encoder in OWN])


@given(contracts)
def test_metadata_and_contract_are_inverse(contract):
    document = contract.as_metadata()
    assert document["schema"] == 1
    assert contract_from_metadata(document, "here") == contract
    assert contract_from_metadata(json.loads(json.dumps(document)), "here") == contract


def test_every_word_survives_a_file_that_nir_wrote(path):
    contract = Contract(
        dt=1e-3, steps=80, reset="subtract-late", decay="exponential", spikes="multiple",
        input_gain="one", if_unit="step", recurrent_cut="affine", delay_rounding="floor",
        v_min=-1.5, readout_node="lif", readout_kind="mean_v", readout_window=(3, 70),
        encoder="constant", encoder_low=-1.0, encoder_high=1.0, encoder_bits=4,
        encoder_form="bias", source_tool="x",
    )  # fmt: skip
    nodes = {
        "input": nir.Input({"input": np.array([2])}),
        "lif": nir.LIF(*(np.full(2, v) for v in (0.01, 1.0, 0.0, 1.0, 0.0))),
        "output": nir.Output({"output": np.array([2])}),
    }
    edges = [("input", "lif"), ("lif", "output")]
    nir.write(path, nir.NIRGraph(nodes, edges, metadata={"neurodeploy": contract.as_metadata()}))
    graph, findings = read(path)
    assert graph.contract == contract
    assert not findings
    assert nir.read(path).metadata["neurodeploy"]["readout"]["kind"] == "mean_v"


@pytest.mark.parametrize(
    "metadata",
    [
        {"schema": 99},
        {"dt": 1e-3},
        {"schema": 1, "colour": "red"},
        {"schema": 1, "dt": "soon"},
        {"schema": 1, "steps": 2.5},
        {"schema": 1, "reset": 1},
        {"schema": 1, "readout": {"window": np.array([1, 2, 3])}},
        {"schema": 1, "readout": {"window": np.array([0.5, 2.0])}},
        {"schema": 1, "v-min": "low"},
    ],
)
def test_bad_metadata_are_named(path, metadata):
    samples.write_chain(path, affine(), lif(), metadata={"neurodeploy": metadata})
    with pytest.raises(ContractError, match="neurodeploy/"):
        read(path, FULL)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"schema": 1, "reset": "hard"}, "--reset is 'hard'; choose from value"),
        ({"schema": 1, "dt": -1.0}, "must be positive"),
        ({"schema": 1, "readout": {"window": np.array([5, 5])}}, "0 <= start < stop"),
    ],
)
def test_words_of_the_file_that_make_no_sense_are_named(path, metadata, message):
    samples.write_chain(path, affine(), lif(), metadata={"neurodeploy": metadata})
    with pytest.raises(ContractError, match=message):
        read(path, FULL)


def test_metadata_that_is_no_group_is_named(path):
    samples.write_chain(path, affine(), lif(), metadata={"neurodeploy": 3})
    with pytest.raises(ContractError, match="is no group"):
        read(path, FULL)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"reset": "hard"}, "choose from value, subtract"),
        ({"dt": 0.0}, "positive"),
        ({"dt": np.inf}, "finite"),
        ({"steps": 0}, "at least 1 step"),
        ({"v_min": "low"}, "a number or none"),
        ({"v_min": np.nan}, "a number or none"),
        ({"readout_window": (3, 2)}, "start < stop"),
        ({"readout_window": (0, 9), "steps": 8}, "ends at step 9, a sample has 8"),
        ({"encoder_low": 1.0, "encoder_high": 1.0}, "not below"),
        ({"encoder_bits": 0}, "1 to 16 bits"),
        ({"encoder_bits": 17}, "1 to 16 bits"),
        ({"encoder_low": np.nan}, "must be finite"),
        ({"dt": "1e-3"}, r"--dt is '1e-3' \(str\), needs a number"),
        ({"dt": 10**400}, "--dt is 1000.*needs a number"),
        ({"dt": True}, r"--dt is True \(bool\)"),
        ({"steps": "8"}, "--steps is '8'"),
        ({"steps": 2.5}, r"--steps is 2.5 \(float\), needs a whole number"),
        ({"encoder_bits": 7.5}, "--encoder-bits is 7.5"),
        ({"readout_window": 5}, r"--readout-window is 5 \(int\), needs \[start, stop\]"),
        ({"readout_window": (1,)}, r"needs \[start, stop\]"),
        ({"readout_window": ("a", 3)}, "--readout-window is 'a'"),
        ({"v_min": [1]}, "--v-min is .* a number or none"),
        ({"readout_node": 5}, "--readout-node is 5"),
        ({"reset": ["value"]}, "--reset is"),
    ],
)
def test_words_that_make_no_sense_are_refused(words, message):
    with pytest.raises(ContractError, match=message):
        Contract(**words)


def test_numbers_of_numpy_become_pythons_own():
    contract = Contract(
        dt=np.float32(0.5), steps=np.int64(8), v_min=np.array(-1.0), readout_window=np.array([1, 4])
    )
    assert contract == Contract(dt=0.5, steps=8, v_min=-1.0, readout_window=(1, 4))
    assert json.loads(json.dumps(contract.as_metadata()))["readout"] == {"window": [1, 4]}


# -- merging -------------------------------------------------------------------------------------


def test_without_dt_the_option_is_named(path):
    with pytest.raises(ContractError, match="--dt"):
        read(write(path))


def test_steps_may_stay_open(path):
    graph, _ = read(write(path), Contract(dt=1e-3))
    assert graph.contract.steps is None


def test_assumptions_are_all_said(path):
    graph, findings = read(write(path), Contract(dt=1e-3))
    plain = {f.name for f in dataclasses.fields(Contract) if getattr(PLAIN_NIR_EULER, f.name)}
    assert about(findings, "info") == plain
    assert about(findings, "warning") == {
        "readout_node", "readout_kind", "encoder", "encoder_low", "encoder_high", "encoder_bits",
    }  # fmt: skip
    for name in plain:
        assert getattr(graph.contract, name) == getattr(PLAIN_NIR_EULER, name)


def test_an_option_replaces_the_files_word_with_a_warning(path):
    write(path, dt=1e-3, reset="value", steps=4)
    graph, findings = read(path, Contract(reset="subtract", steps=9))
    assert graph.contract.reset == "subtract"
    assert graph.contract.steps == 9
    replaced = [f.what for f in findings if "replaces" in f.what]
    assert len(replaced) == 2
    assert any("reset = 'subtract' replaces the file's 'value'" in text for text in replaced)


def test_dt_may_not_be_contradicted(path):
    write(path, dt=1e-4)
    with pytest.raises(ContractError, match=r"0\.0001.*0\.001"):
        read(path, Contract(dt=1e-3))


def test_a_dt_that_a_float32_rounded_is_the_same(path):
    write(path, dt=float(np.float32(1e-3)))
    graph, _ = read(path, Contract(dt=1e-3))
    assert graph.contract.dt == 1e-3


def test_a_convention_fills_what_nothing_says(path):
    graph, findings = read(write(path), convention="sinabs")
    for name, value in CONVENTIONS["sinabs"].fields.items():
        assert getattr(graph.contract, name) == value
    assert any(f.where == "convention sinabs" for f in findings)
    assert {"reset", "decay", "dt"} <= about(findings, "info")


def test_the_file_beats_a_convention_and_an_option_beats_both(path):
    write(path, dt=1e-3, decay="euler")
    graph, findings = read(path, Contract(reset="value"), convention="sinabs")
    assert (graph.contract.dt, graph.contract.decay) == (1e-3, "euler")
    assert graph.contract.reset == "value"
    assert graph.contract.spikes == "multiple"
    against = [f.what for f in findings if f.severity == "warning" and "the file holds" in f.what]
    assert len(against) == 2
    assert not any("reset" in text for text in against)


def test_an_unknown_convention_lists_the_known_ones(path):
    with pytest.raises(ContractError, match="choose from snntorch"):
        read(write(path), FULL, convention="nest")


@pytest.mark.parametrize(
    ("word", "guessed"),
    [
        ("constant", {"low": 0.0, "high": 1.0, "bits": 8}),
        ("rate", {"low": 0.0, "high": 1.0, "bits": 8, "seed": 0}),
        ("latency", {"low": 0.0, "high": 1.0, "bits": 8}),
        ("events", {"low": 0.0, "high": 1.0, "bits": 1}),
    ],
)
def test_what_each_encoder_needs_is_assumed_and_said(path, word, guessed):
    graph, findings = read(write(path), Contract(dt=1e-3, encoder=word))
    assert graph.contract.as_metadata()["encoder"] == {"kind": word, **guessed}
    said = {f"encoder_{name}" for name in guessed}
    assert {name for name in about(findings, "warning") if "encoder" in name} == said


def test_an_encoder_that_replaces_another_takes_nothing_of_its_own_along(path):
    write(path, dt=1e-3, encoder={"kind": "rate", "seed": 3})
    assert read(path, Contract(dt=1e-3)).value.contract.encoder_seed == 3
    assert read(path, Contract(dt=1e-3, encoder="latency")).value.contract.encoder_seed is None
    write(path, dt=1e-3, encoder={"kind": "constant", "form": "bias"})
    assert read(path, Contract(dt=1e-3)).value.contract.encoder_form == "bias"
    assert read(path, Contract(dt=1e-3, encoder="rate")).value.contract.encoder_form is None


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"encoder": "latency", "encoder_seed": 1}, "belongs to --encoder rate, not to latency"),
        ({"encoder": "rate", "encoder_form": "bias"}, "belongs to --encoder constant, not to rate"),
        ({"encoder": "rate", "encoder_seed": -1}, r"encoder-seed is -1; needs 0 .. 2\*\*63 - 1"),
        ({"encoder_form": "current"}, "choose from graded, bias"),
    ],
)
def test_words_of_another_encoder_are_refused(fields, text):
    with pytest.raises(ContractError, match=text):
        Contract(**fields)


def test_events_begin_at_0_whatever_an_older_file_says(path):
    for said, options in (
        ({"kind": "events", "low": -1.0}, {}),
        ({"kind": "constant", "low": -1.0}, {"encoder": "events"}),
        ({"kind": "events"}, {"encoder_low": -1.0}),
    ):
        write(path, dt=1e-3, encoder=said)
        with pytest.raises(ContractError, match="begins at 0: say --encoder-low 0, or --encoder c"):
            read(path, Contract(**options))
    write(path, dt=1e-3, encoder={"kind": "events", "low": -1.0})
    held = read(path, Contract(encoder="constant")).value.contract
    assert (held.encoder, held.encoder_low) == ("constant", -1.0)
    assert read(path, Contract(encoder_low=0.0)).value.contract.encoder == "events"


def test_strict_stops_on_guesses_and_not_on_plain_words(path):
    with pytest.raises(InputError, match="encoder") as error:
        read(write(path), FULL, strict=True)
    assert "reset is not in the file" not in str(error.value)


# -- the read-out --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layers", "node", "kind"),
    [
        ((affine(), lif()), "n1", "count"),
        ((affine(), {"type": "Threshold", "threshold": np.ones(2)}), "n1", "count"),
        ((affine(), LI), "n1", "mean_v"),
        ((lif(3), affine()), "n1", "sum"),
        ((affine(), lif(), {"type": "Scale", "scale": np.ones(2)}), "n2", "sum"),
    ],
)
def test_the_default_read_out_follows_the_node_before_the_output(path, layers, node, kind):
    graph, _ = read(write(path, *layers), FULL)
    assert (graph.contract.readout_node, graph.contract.readout_kind) == (node, kind)


def test_where_edges_meet_at_the_output_it_is_read_itself(path):
    nodes, edges = chain(affine(), lif())
    samples.write_nir(path, nodes, [*edges, ("n0", "output")])
    graph, _ = read(path, FULL)
    assert (graph.contract.readout_node, graph.contract.readout_kind) == ("output", "sum")


def test_the_default_kind_fits_the_node_that_was_named(path):
    write(path, affine(), lif(), affine(2, 2))
    assert read(path, FULL).value.contract.readout_kind == "sum"
    named = Contract(dt=1e-3, readout_node="n1")
    assert read(path, named).value.contract.readout_kind == "count"


@pytest.mark.parametrize("kind", ["sum", "mean_v", "last_v", "max_v"])
@pytest.mark.parametrize("node", ["n0", "n1", "output", "input"])
def test_any_node_may_be_read(path, node, kind):
    graph, _ = read(write(path), Contract(dt=1e-3, readout_node=node, readout_kind=kind))
    assert (graph.contract.readout_node, graph.contract.readout_kind) == (node, kind)


def test_counting_needs_spikes(path):
    with pytest.raises(ContractError, match="'n0' is a Affine, which has none"):
        read(write(path), Contract(dt=1e-3, readout_node="n0", readout_kind="count"))


def test_a_read_out_node_that_does_not_exist_names_the_nearest(path):
    nodes = {"input": end("Input", 3), "hidden": affine(), "output": end("Output", 2)}
    samples.write_nir(path, nodes, [("input", "hidden"), ("hidden", "output")])
    with pytest.raises(ContractError, match="'hiden' does not exist .nearest: 'hidden'"):
        read(path, Contract(dt=1e-3, readout_node="hiden"))


@pytest.mark.parametrize("kind", ["compound", "empty group"])
def test_a_word_that_cannot_be_read_is_no_default(tmp_path, kind):
    path = write_model(tmp_path / "net.nir")
    with h5py.File(path, "a") as file:
        words = file["node/metadata/neurodeploy"]
        del words["reset"]
        if kind == "compound":
            words["reset"] = np.zeros(1, dtype=[("a", "f8"), ("b", "i4")])
        else:
            words.create_group("reset")
    with pytest.raises(InputError, match="reset"):
        read(path)
