"""The NIR paper's graphs through reader, lowering and float run, against the stored results.

Which convention reproduces which file is in the README of the reference data.
"""

import os
from pathlib import Path

import numpy as np
import pytest
from oracles import literal_graph

from neurodeploy.graph import Contract, read
from neurodeploy.lowering import lower
from neurodeploy.simulate import run_float

REFERENCE = Path(
    os.environ.get("NEURODEPLOY_REFERENCE", Path(__file__).parents[3] / "shared/reference")
)
PAPER = REFERENCE / "nir_paper"
pytestmark = pytest.mark.skipif(
    not PAPER.is_dir(), reason="NEURODEPLOY_REFERENCE names no reference data"
)
DT = 1e-4


def run_paper(file, x, **words):
    """Return the traces of a graph of the paper on ``x`` [T, B, N]."""
    graph = read(PAPER / file, Contract(dt=DT, **words)).value
    return run_float(lower(graph).value, x, record=("spikes", "v", "v_pre"))


# -- 01: one neuron -------------------------------------------------------------------------------


def stored(name):
    """Return membrane and spikes of one platform, and the input that all share."""
    table = np.loadtxt(PAPER / f"01_lif/lif_{name}.csv", delimiter=",")
    return table[:, 1], table[:, 2] > 0


def single_lif(file="lif_norse.nir", node="1", **words):
    x = np.loadtxt(PAPER / "01_lif/lif_norse.csv", delimiter=",")[:, 0]
    assert x.sum() == 34
    records = run_paper(f"01_lif/{file}", x[:, None, None], **words).records
    return (records[f"{node}/{key}"][:, 0, 0] for key in ("spikes", "v", "v_pre"))


@pytest.mark.parametrize(
    ("platform", "factor", "late", "error"),
    [
        ("norse", 1, 0, 2.5e-8),
        ("snntorch", 25, 0, 1e-6),
        ("spinnaker2", 25, 0, 5e-4),
        ("lava_cpu_float", 1, 1, 1.7e-4),
        ("exact", 0, 0, None),
        ("nengo", 0, 0, None),
        ("spyx", 0, 1, None),
    ],
)
def test_single_lif(platform, factor, late, error):
    spikes, v, _ = single_lif()
    assert np.flatnonzero(spikes).tolist() == [460, 510, 710, 760]
    membrane, fired = stored(platform)
    length = len(v) - late
    assert np.array_equal(fired[late:], spikes[:length] > 0)
    if error is not None:
        assert np.abs(membrane[late:] - factor * v[:length]).max() < error


@pytest.mark.parametrize("platform", ["sinabs", "rockpool"])
def test_single_lif_with_exponential_decay_and_subtraction(platform):
    words = {"decay": "exponential", "reset": "subtract", "input_gain": "one"}
    spikes, v, _ = single_lif("lif_rockpool.nir", "1_LIFNeuronTorch", **words)
    membrane, fired = stored(platform)
    assert np.flatnonzero(spikes).tolist() == [450, 500, 710, 760]
    assert np.array_equal(fired, spikes > 0)
    assert np.abs(membrane - v).max() < 2e-8


@pytest.mark.parametrize("file", ["lif_rockpool.nir", "two_lif_neurons.nir"])
def test_odd_but_legal_graphs_run(file):
    x = (np.random.default_rng(0).random((300, 2, 1)) < 0.2).astype(float)
    traces = run_paper(f"01_lif/{file}", x)
    graph = literal_graph.load(PAPER / "01_lif" / file)
    oracle = literal_graph.run(graph, x, {"dt": DT})
    fired = 0
    for name in oracle.v:
        assert np.array_equal(traces.records[f"{name}/spikes"], oracle.outputs[name])
        assert np.allclose(traces.records[f"{name}/v"], oracle.v[name], rtol=1e-9, atol=1e-12)
        fired += oracle.outputs[name].sum()
    assert fired > 0


# -- 02: the convolutional network -------------------------------------------------------------------


def test_cnn_shapes():
    graph = read(PAPER / "02_cnn/cnn_sinabs.nir", Contract(dt=DT)).value
    shapes = {name: tuple(shape) for name, (_, shape) in graph.shapes.items()}
    assert shapes == {
        "input": (2, 34, 34), "0": (16, 16, 16), "1": (16, 16, 16), "2": (16, 16, 16),
        "3": (16, 16, 16), "4": (16, 8, 8), "5": (8, 8, 8), "6": (8, 8, 8), "7": (8, 4, 4),
        "8": (128,), "9": (256,), "10": (256,), "11": (10,), "12": (10,), "output": (10,),
    }  # fmt: skip


@pytest.mark.parametrize("words", [{"if_unit": "step"}, {"if_unit": "step", "reset": "subtract", "spikes": "multiple"}])  # fmt: skip
def test_cnn_run(words):
    x = 3.0 * (np.random.default_rng(2).random((6, 1, 2, 34, 34)) < 0.2)
    traces = run_paper("02_cnn/cnn_sinabs.nir", x.reshape(6, 1, -1), **words)
    graph = literal_graph.load(PAPER / "02_cnn/cnn_sinabs.nir")
    oracle = literal_graph.run(graph, x, {"dt": DT, **words}, ["1", "3", "6", "10", "12"])
    assert oracle.closest > 1e-12
    for name, v in oracle.v.items():
        spikes = traces.records[f"{name}/spikes"]
        assert np.array_equal(spikes, oracle.outputs[name].reshape(spikes.shape))
        assert spikes.sum() > 0
        got = traces.records[f"{name}/v"]
        assert np.allclose(got, v.reshape(spikes.shape), rtol=1e-9, atol=1e-12)


# -- 03: Braille letters ----------------------------------------------------------------------------

#: graph, convention, stored hidden layer, steps it is late, its spikes, output counts
BRAILLE = {
    "snntorch": ("bias_zero", {}, "snntorch_activity_noDelay_bias_zero", 0, 119,
                 [10, 160, 112, 113, 103, 68, 121]),
    "norse": ("bias_zero", {"recurrent_cut": "affine"}, "norse_activity_noDelay_bias_zero", 0, 118,
              None),
    "spyx": ("bias_zero", {"reset": "subtract"}, "spyx_activity_noDelay_bias_zero", 1, 151, None),
    "snntorch noBias": ("noBias_subtract", {"reset": "subtract-once"},
                        "snntorch_activity_noDelay_noBias_subtract", 0, 118,
                        [0, 51, 21, 18, 3, 17, 22]),
    "spyx noBias": ("noBias_subtract", {"reset": "subtract"},
                    "spyx_activity_noDelay_noBias_subtract", 1, 120, [0, 64, 23, 19, 4, 24, 22]),
    "norse noBias": ("noBias_subtract", {}, "norse_activity_noDelay_noBias_subtract", 0, 103,
                     [0, 41, 13, 14, 4, 19, 16]),
}  # fmt: skip


def braille_input():
    return np.load(PAPER / "03_rnn/braille_test_sample0.npz")["input"][:, None].astype(float)


@pytest.mark.parametrize("row", BRAILLE)
def test_braille(row):
    file, words, activity, late, spikes, counts = BRAILLE[row]
    traces = run_paper(f"03_rnn/braille_noDelay_{file}.nir", braille_input(), **words)
    hidden, output = (traces.records[f"{n}/spikes"][:, 0] for n in ("lif1.lif", "lif2"))
    want = np.load(PAPER / f"03_rnn/{activity}.npy")
    assert want.sum() == spikes
    assert not want[:late].any()
    assert np.count_nonzero(want[late:] != hidden[: len(hidden) - late]) == 0
    if counts:
        assert output.sum(axis=0).tolist() == counts
    assert output.sum(axis=0).argmax() == 1
    assert traces.scores().argmax(axis=1).tolist() == [1]


def test_braille_output_layer_is_the_references():
    stored_spikes = np.load(PAPER / "03_rnn/braille_test_sample0.npz")
    for key, words in {
        "noDelay_bias_zero__value": {},
        "noDelay_bias_zero__subtract": {"reset": "subtract"},
        "noDelay_noBias_subtract__value": {},
        "noDelay_noBias_subtract__subtract": {"reset": "subtract"},
        "noDelay_noBias_subtract__snn_subtract": {"reset": "subtract-once"},
    }.items():
        graph = key.split("__")[0]
        records = run_paper(f"03_rnn/braille_{graph}.nir", braille_input(), **words).records
        assert np.array_equal(records["lif1.lif/spikes"][:, 0], stored_spikes[f"{key}__lif1"])
        assert np.array_equal(records["lif2/spikes"][:, 0], stored_spikes[f"{key}__out"])
