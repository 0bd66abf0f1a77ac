"""A network trained against attacks on the digits, its 8-bit version, and the test images."""

from __future__ import annotations

import numpy as np

from neurodeploy import hardware_profiles
from neurodeploy.lowering import compose
from neurodeploy.network import load_samples
from neurodeploy.pipeline.model import load_model
from neurodeploy.pipeline.training_run import train_and_export
from neurodeploy.quantization import QuantizeConfig, quantize
from neurodeploy.robustness import NetworkClassifier
from neurodeploy.training import recipe


def trained_pair(folder):
    """Train, export and quantise; return both classifiers, codes [360, 64] and labels."""
    trained = train_and_export(recipe("lif-at", seed=0), folder)
    network = compose(load_model(trained.nir).require_network()).value
    tuning, test = (load_samples(trained.data[split]) for split in ("train", "test"))
    fixed = quantize(
        network,
        hardware_profiles.load("loihi2"),
        QuantizeConfig(weight_bits=8),
        calibration=tuning.codes(network.encoder, network.n_input),
    ).value
    codes = test.codes(network.encoder, network.n_input)
    classifiers = {
        "float": NetworkClassifier(network),
        "fixed": NetworkClassifier(fixed, threads=1),
    }
    return classifiers, codes, test.labels.astype(np.int64)
