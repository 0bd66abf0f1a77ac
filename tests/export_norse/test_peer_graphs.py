"""Graphs that other tools wrote, as Norse modules: those tools' own spikes, or a named refusal."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from neurodeploy.errors import UnsupportedNodeError
from neurodeploy.export.norse import from_nir
from neurodeploy.graph import Contract, read

FIXTURES = Path(__file__).parents[1] / "peers/fixtures"
CASES = sorted(path.stem for path in FIXTURES.glob("*.nir"))
LACKING = {
    ("spikes", "multiple"): "several spikes per step",
    ("reset", "subtract-once"): "subtract-once",
}


def lacking(words):
    """Return what Norse lacks of a contract."""
    found = [text for (key, word), text in LACKING.items() if words.get(key) == word]
    return found + ["lower limit of the membrane"] * isinstance(words.get("v_min"), float)


@pytest.mark.parametrize("name", CASES)
def test_the_tool_s_own_spikes(name):
    with np.load(FIXTURES / f"{name}.npz", allow_pickle=False) as stored:
        arrays = dict(stored)
    words = json.loads(str(arrays["contract"]))
    graph = read(FIXTURES / f"{name}.nir", Contract(**words)).value
    refused = lacking(words)
    if refused:
        with pytest.raises(UnsupportedNodeError) as error:
            from_nir(graph)
        assert all(text in str(error.value) for text in refused)
        return
    x = arrays["x"].astype(np.float64)
    network = from_nir(graph, sample=x, dtype=torch.float64, trainable=False)
    outputs = network.run(torch.tensor(x))
    layers = {key[6:]: array for key, array in arrays.items() if key.startswith("layer.")}
    assert layers
    for layer, expected in layers.items():
        got = outputs[layer].numpy().reshape(expected.shape)
        if expected.dtype == np.uint8:
            assert (got != expected).sum() == 0, layer
        else:
            # The tools compute in float32.
            np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


def test_most_of_them_are_run():
    contracts = [np.load(FIXTURES / f"{name}.npz")["contract"] for name in CASES]
    run = sum(not lacking(json.loads(str(words))) for words in contracts)
    assert run > 0.75 * len(CASES) > 35
