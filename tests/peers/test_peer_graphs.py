"""Graphs written by other tools give those tools' own spikes."""

import json
import os
from pathlib import Path

import nir
import numpy as np
import pytest
from peers import literal

from neurodeploy.graph import Contract, read
from neurodeploy.graph.conventions import convention
from neurodeploy.lowering import lower
from neurodeploy.simulate import run_float

FIXTURES = Path(__file__).parent / "fixtures"
CASES = sorted(path.stem for path in FIXTURES.glob("*.nir"))
REFERENCE = Path(
    os.environ.get("NEURODEPLOY_REFERENCE", Path(__file__).parents[3] / "shared/reference")
)
#: Another word for each that changes what a network does.
OTHER = {
    "reset": ("value", "subtract", "subtract-late", "subtract-once"),
    "decay": ("euler", "exponential"),
    "spikes": ("single", "multiple"),
    "input_gain": ("r", "one"),
    "recurrent_cut": ("spikes", "affine"),
}


class Fixture:
    def __init__(self, name):
        self.path = FIXTURES / f"{name}.nir"
        with np.load(self.path.with_suffix(".npz"), allow_pickle=False) as file:
            arrays = dict(file)
        self.x, self.output = arrays["x"], arrays["output"]
        self.layers = {k[6:]: v for k, v in arrays.items() if k.startswith("layer.")}
        self.words = json.loads(str(arrays["contract"]))
        self.preset = json.loads(str(arrays["preset"]))
        self.extra = json.loads(str(arrays["extra"]))
        self.versions = json.loads(str(arrays["versions"]))

    def words_of_preset(self):
        return {**convention(self.path.stem.split("_")[0]).fields, **self.extra}


def differing(expected, got):
    """Count entries; spikes must be equal, membranes close (the tools compute in float32)."""
    assert got.shape == expected.shape
    if expected.dtype == np.uint8:
        return int((got != expected).sum())
    return int((~np.isclose(got, expected, rtol=1e-5, atol=1e-5)).sum())


def run_ours(fixture, words):
    steps, batch = fixture.x.shape[:2]
    graph = read(fixture.path, Contract(**words, steps=steps)).value
    network = lower(graph).value
    values = fixture.x.reshape(steps, batch, -1).astype(np.float64)
    traces = run_float(network, values, record=("spikes", "v"))
    result = {}
    for name, expected in fixture.layers.items():
        quantity = "spikes" if expected.dtype == np.uint8 else "v"
        result[name] = traces.records[f"{name}/{quantity}"].reshape(expected.shape)
    return result


def test_every_tool_has_its_fixtures():
    tools = {name.split("_")[0] for name in CASES}
    assert tools == {"snntorch", "sinabs", "spikingjelly", "norse", "lava-dl"}
    assert len(CASES) >= 50
    assert sum(path.stat().st_size for path in FIXTURES.iterdir()) < 3_000_000


@pytest.mark.parametrize("name", CASES)
def test_float_run_equals_the_tool_under_the_stated_contract(name):
    fixture = Fixture(name)
    for layer, got in run_ours(fixture, fixture.words).items():
        assert differing(fixture.layers[layer], got) == 0, layer


@pytest.mark.parametrize("name", [n for n in CASES if Fixture(n).preset])
def test_float_run_equals_the_tool_under_its_convention(name):
    fixture = Fixture(name)
    for layer, got in run_ours(fixture, fixture.words_of_preset()).items():
        assert differing(fixture.layers[layer], got) == 0, layer


@pytest.mark.parametrize("name", CASES)
def test_a_literal_reading_of_the_contract_equals_the_tool(name):
    fixture = Fixture(name)
    graph = nir.read(fixture.path, type_check=False)
    outputs, closest = literal.run(graph, fixture.x, fixture.words)
    assert closest > 1e-6  # no decision hangs on rounding
    for layer, expected in fixture.layers.items():
        assert differing(expected, outputs[layer]) == 0, layer
    assert np.array_equal(fixture.output, fixture.layers[list(fixture.layers)[-1]])


@pytest.mark.parametrize("name", CASES)
def test_the_words_of_a_preset_are_those_of_the_fixture_where_they_matter(name):
    fixture = Fixture(name)
    if not fixture.preset:
        pytest.skip("made with settings that the preset does not have")
    graph = nir.read(fixture.path, type_check=False)
    outputs, _ = literal.run(graph, fixture.x, fixture.words_of_preset())
    for layer, expected in fixture.layers.items():
        assert differing(expected, outputs[layer]) == 0, layer


@pytest.mark.parametrize("field", OTHER)
def test_each_word_is_seen_by_some_fixture(field):
    # A fixture that any word satisfies shows nothing: for every pair (right word, wrong word) that
    # the tools use, at least one fixture must differ under the wrong one.
    seen = {}
    for name in CASES:
        fixture = Fixture(name)
        right = fixture.words.get(field, literal.PLAIN[field])
        graph = nir.read(fixture.path, type_check=False)
        for wrong in OTHER[field]:
            if wrong == right or seen.get((right, wrong)):
                continue
            outputs, _ = literal.run(graph, fixture.x, {**fixture.words, field: wrong})
            differs = any(differing(v, outputs[k]) for k, v in fixture.layers.items())
            seen[right, wrong] = seen.get((right, wrong), False) or differs
    assert seen
    assert all(seen.values()), seen


@pytest.mark.parametrize("name", ["sinabs_lif_v_min", "sinabs_if_v_min"])
def test_the_lower_limit_is_seen(name):
    fixture = Fixture(name)
    graph = nir.read(fixture.path, type_check=False)
    outputs, _ = literal.run(graph, fixture.x, {**fixture.words, "v_min": "none"})
    assert any(differing(v, outputs[k]) for k, v in fixture.layers.items())


@pytest.mark.skipif(not REFERENCE.is_dir(), reason="NEURODEPLOY_REFERENCE names no reference data")
def test_the_rockpool_convention_gives_rockpools_stored_spikes():
    folder = REFERENCE / "nir_paper/01_lif"
    table = np.loadtxt(folder / "lif_rockpool.csv", delimiter=",")
    words = {**convention("rockpool").fields, "dt": 1e-4}
    x = (table[:, 0] > 0).astype(float)[:, None, None]
    graph = nir.read(folder / "lif_rockpool.nir", type_check=False)
    outputs, _ = literal.run(graph, x, words)
    literal_spikes = np.flatnonzero(outputs["1_LIFNeuronTorch"]).tolist()
    assert literal_spikes == np.flatnonzero(table[:, 2]).tolist() == [450, 500, 710, 760]
    ours = lower(read(folder / "lif_rockpool.nir", Contract(**words, steps=len(x))).value).value
    spikes = run_float(ours, x, record=("spikes",)).records["1_LIFNeuronTorch/spikes"]
    assert np.flatnonzero(spikes).tolist() == literal_spikes
