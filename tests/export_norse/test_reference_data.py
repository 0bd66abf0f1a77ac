"""The NIR paper's graphs as Norse modules: their published spikes."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from neurodeploy.export.norse import from_nir
from neurodeploy.graph import Contract, read

REFERENCE = Path(
    os.environ.get("NEURODEPLOY_REFERENCE", Path(__file__).parents[3] / "shared/reference")
)
PAPER = REFERENCE / "nir_paper"
pytestmark = pytest.mark.skipif(
    not PAPER.is_dir(), reason="NEURODEPLOY_REFERENCE names no reference data"
)
DT = 1e-4


def imported(name, sample=None, **words):
    graph = read(PAPER / name, Contract(dt=DT, **words)).value
    return from_nir(graph, sample=sample, dtype=torch.float64)


@pytest.fixture
def braille():
    with np.load(PAPER / "03_rnn/braille_test_sample0.npz") as stored:
        return {name: stored[name] for name in stored.files}


def braille_input(stored):
    return stored["input"][:, None, :].astype(np.float64)


def rasters(network, x, hidden):
    """Return the hidden raster [256, hidden] and the output's [256, 7]."""
    outputs = {n: y.detach().numpy()[:, 0] for n, y in network.run(torch.tensor(x)).items()}
    (lif1,) = (outputs[n] for n in network.spiking if outputs[n].shape == (256, hidden))
    return lif1, outputs[network.output_name]


def test_single_neuron():
    rows = np.loadtxt(PAPER / "01_lif/lif_norse.csv", delimiter=",")
    x = rows[:, :1, None]
    network = imported("01_lif/lif_norse.nir", sample=x)
    spikes = network(torch.tensor(x)).detach().numpy().ravel()
    assert np.flatnonzero(spikes).tolist() == [460, 510, 710, 760]


def test_braille_with_bias(braille):
    x = braille_input(braille)
    network = imported("03_rnn/braille_noDelay_bias_zero.nir", sample=x)
    hidden, out = rasters(network, x, 38)
    assert (hidden != braille["noDelay_bias_zero__value__lif1"]).sum() == 0
    assert hidden.sum() == 119
    assert (out != braille["noDelay_bias_zero__value__out"]).sum() == 0
    assert out.sum(0).astype(int).tolist() == [10, 160, 112, 113, 103, 68, 121]


def test_braille_with_the_bias_one_step_later(braille):
    x = braille_input(braille)
    network = imported("03_rnn/braille_noDelay_bias_zero.nir", x, recurrent_cut="affine")
    hidden, _ = rasters(network, x, 38)
    raster = np.load(PAPER / "03_rnn/norse_activity_noDelay_bias_zero.npy").squeeze()
    assert raster.sum() == 118
    assert (hidden != raster[:, :38]).sum() == 0


@pytest.mark.parametrize(("reset", "spikes", "counts"), [
    ("value", 103, [0, 41, 13, 14, 4, 19, 16]),
    ("subtract", 120, [0, 64, 23, 19, 4, 24, 22]),
])  # fmt: skip
def test_braille_without_bias(braille, reset, spikes, counts):
    x = braille_input(braille)
    network = imported("03_rnn/braille_noDelay_noBias_subtract.nir", x, reset=reset)
    hidden, out = rasters(network, x, 40)
    assert hidden.sum() == spikes
    assert (hidden != braille[f"noDelay_noBias_subtract__{reset}__lif1"]).sum() == 0
    assert (out != braille[f"noDelay_noBias_subtract__{reset}__out"]).sum() == 0
    assert out.sum(0).astype(int).tolist() == counts


def test_convolutional_network_on_random_input():
    network = imported("02_cnn/cnn_sinabs.nir", if_unit="step")
    assert len(network.check.spikes) >= 5
    assert all(count > 0 for count in network.check.spikes.values())
