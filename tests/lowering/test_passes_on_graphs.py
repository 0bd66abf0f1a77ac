"""After every pass a network does what the literal interpreter says about its graph."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from lowering.pass_checks import assert_same, campaign, neuron_records, stages
from oracles import literal_graph

from neurodeploy.graph import Contract, read
from neurodeploy.lowering import compose, lower, obstacles
from neurodeploy.network import Convolution, Dense, Sparse
from neurodeploy.simulate import run_float

FIXTURES = Path(__file__).parents[1] / "peers" / "fixtures"
PEERS = sorted(path.stem for path in FIXTURES.glob("*.nir"))
REFERENCE = Path(
    os.environ.get("NEURODEPLOY_REFERENCE", Path(__file__).parents[3] / "shared/reference")
)
PAPER = REFERENCE / "nir_paper"
needs_reference = pytest.mark.skipif(
    not PAPER.is_dir(), reason="NEURODEPLOY_REFERENCE names no reference data"
)
FEATURES = {
    "Affine", "Linear", "Scale", "Conv1d", "Conv2d", "SumPool2d", "AvgPool2d", "Flatten",
    "Threshold", "Delay", "I", "LI", "IF", "LIF", "CubaLI", "CubaLIF", "NIRGraph", "residual",
    "self-loop", "back", "delayed cycle", "gain", "groups", "same", "valid", "batched matrix",
    "subtract", "subtract-late", "subtract-once", "multiple", "exponential", "affine",
    # What the networks hold in the end.
    "Dense", "Sparse", "Convolution", "delayed",
}  # fmt: skip


def check_campaign(ends, seen, seeds):
    assert not FEATURES - set(seen)
    # Most graphs go the whole way, and ties are rare.
    assert ends["checked"] > 0.6 * len(seeds), ends
    assert ends["late bias"] > 0.03 * len(seeds), ends
    assert ends["tie"] < 0.01 * len(seeds), ends
    assert 0.03 < seen["active"] / seen["steps of neurons"] < 0.9


def test_a_hundred_random_graphs(tmp_path):
    seeds = range(130)
    ends, seen = campaign(seeds, tmp_path)
    check_campaign(ends, seen, seeds)


@pytest.mark.slow
def test_thousands_of_random_graphs(tmp_path):
    seeds = range(10_000, 16_000)
    ends, seen = campaign(seeds, tmp_path)
    check_campaign(ends, seen, seeds)


@pytest.mark.parametrize("name", PEERS)
def test_graphs_of_other_tools(name):
    with np.load(FIXTURES / f"{name}.npz", allow_pickle=False) as arrays:
        x, words = arrays["x"], json.loads(str(arrays["contract"]))
        layers = {k[6:]: v for k, v in arrays.items() if k.startswith("layer.")}
    x = x.reshape(*x.shape[:2], -1).astype(np.float64)
    network = lower(read(FIXTURES / f"{name}.nir", Contract(**words, steps=len(x))).value).value
    before, _ = neuron_records(network, x)
    for step, stage in stages(network):
        after, _ = neuron_records(stage, x)
        assert_same(after, before, f"{name}, after {step}")
        for layer, spikes in layers.items():
            if spikes.dtype == np.uint8:
                got = after[f"{layer}/spikes"].reshape(spikes.shape)
                assert (got != spikes).sum() == 0, (layer, step)


# -- graphs of the NIR paper ----------------------------------------------------------------------


@needs_reference
def test_the_digits_network_stays_convolutions():
    words = Contract(dt=1e-4, steps=8, if_unit="step")
    graph = read(PAPER / "02_cnn/cnn_sinabs.nir", words).value
    network = lower(graph).value
    composed, _ = compose(network)
    operators = [s.operators[0] for s in composed.synapses]
    assert [type(o) for o in operators] == [Convolution, Convolution, Convolution, Dense, Dense]
    # The pools lie in the strides and kernels; no matrix has the size of a map.
    assert [o.weight.size for o in operators] == [800, 2304, 8 * 16 * 36, 256 * 512, 2560]
    assert not obstacles(composed)
    rng = np.random.default_rng(0)
    x = (rng.random((8, 2, network.n_input)) < 0.2).astype(float)
    before, output = neuron_records(network, x)
    for step, stage in stages(network):
        after, read_out = neuron_records(stage, x)
        assert_same(after, before, step)
        assert (read_out == output).all()
    spikes = [v.mean() for k, v in before.items() if k.endswith("spikes")]
    assert min(spikes) > 0.001


@needs_reference
def test_braille_keeps_its_spikes():
    x = np.load(PAPER / "03_rnn/braille_test_sample0.npz")["input"][:, None].astype(float)
    path = PAPER / "03_rnn/braille_noDelay_bias_zero.nir"
    network = compose(lower(read(path, Contract(dt=1e-4, steps=len(x))).value).value).value
    literal = literal_graph.run(literal_graph.load(path), x, {"dt": 1e-4}, ["lif1.lif", "lif2"])
    records = run_float(network, x, record=("spikes",)).records
    assert records["lif1.lif/spikes"].sum() == 119
    for name, wanted in literal.outputs.items():
        assert (records[f"{name}/spikes"] == wanted).all()
    back = next(s for s in network.synapses if s.source == s.target)
    assert back.delay_steps == 1
    # The bias of the recurrent affine acts from the first step on, with that of the feed-forward.
    assert network.population("lif1.lif").bias.min() < -1


@needs_reference
@pytest.mark.parametrize("file", ["lif_norse", "lif_rockpool", "two_lif_neurons"])
def test_single_neurons(file):
    network = lower(read(PAPER / f"01_lif/{file}.nir", Contract(dt=1e-4, steps=900)).value).value
    table = np.loadtxt(PAPER / "01_lif/lif_norse.csv", delimiter=",")
    x = table[:, 0][:, None, None]
    before, _ = neuron_records(network, x)
    for step, stage in stages(network):
        assert_same(neuron_records(stage, x)[0], before, step)
    assert all(isinstance(s.operators[0], (Dense, Sparse)) for s in compose(network).value.synapses)
