"""A small NIR model and data for tests of the command line and of the pipeline."""

import nir
import numpy as np

from neurodeploy.graph import Contract
from neurodeploy.network import Samples, save_samples

N_IN, N_HIDDEN, N_OUT = 16, 12, 4


def write_model(path, seed=0, metadata=True):
    rng = np.random.default_rng(seed)

    def lif(n):
        return nir.LIF(
            tau=np.full(n, 0.02), r=np.full(n, 20.0), v_leak=np.zeros(n),
            v_threshold=np.ones(n), v_reset=np.zeros(n),
        )  # fmt: skip

    nodes = {
        "input": nir.Input({"input": np.array([N_IN])}),
        "affine1": nir.Affine(rng.normal(0, 0.5, (N_HIDDEN, N_IN)), rng.normal(0, 0.05, N_HIDDEN)),
        "lif1": lif(N_HIDDEN),
        "readout": nir.Affine(rng.normal(0, 1, (N_OUT, N_HIDDEN)), np.zeros(N_OUT)),
        "output": nir.Output({"output": np.array([N_OUT])}),
    }
    names = list(nodes)
    contract = Contract(
        dt=1e-3, steps=6, reset="value", decay="euler", spikes="single", input_gain="r",
        if_unit="second", recurrent_cut="spikes", delay_rounding="error", v_min="none",
        readout_node="readout", readout_kind="sum", encoder="constant", encoder_low=0.0,
        encoder_high=1.0, encoder_bits=8, source_tool="test",
    )  # fmt: skip
    meta = {"neurodeploy": contract.as_metadata()} if metadata else {}
    nir.write(path, nir.NIRGraph(nodes, list(zip(names, names[1:], strict=False)), metadata=meta))
    return path


def write_data(path, seed, n=40, model=None):
    """Random images; labels are what the float model says, so that accuracy means something.

    Classes that it never says are the labels of the first images: every class has a sample.
    """
    images = np.random.default_rng(seed).random((n, N_IN))
    labels = np.zeros(n, dtype=np.int64)
    if model is not None:
        import neurodeploy as nd

        scores = nd.run(nd.read(model), images=images).scores()
        labels = scores.argmax(axis=1)
        silent = np.setdiff1d(np.arange(scores.shape[1]), labels)[:n]
        labels[: silent.size] = silent
    save_samples(path, Samples(images, labels))
    return path
