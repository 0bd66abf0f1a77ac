"""The same integers on any number of threads: matrices large enough to be shared among them."""

import json
import os
import subprocess
import sys

import nir
import numpy as np
import pytest
from small_models import write_model

from neurodeploy.network import Samples, save_samples

WIDE, HIDDEN, CLASSES = 640, 96, 10


def write_wide(folder):
    """Write a network of 640 inputs and samples whose inputs go together, as pixels do."""
    rng = np.random.default_rng(0)
    graph = nir.read(write_model(folder / "small.nir"))
    contract = graph.metadata
    nodes = {
        "input": nir.Input({"input": np.array([WIDE])}),
        "affine1": nir.Affine(rng.normal(0, 0.15, (HIDDEN, WIDE)), rng.normal(0, 0.1, HIDDEN)),
        "lif1": nir.LIF(
            tau=np.full(HIDDEN, 3e-3), r=np.ones(HIDDEN), v_leak=np.zeros(HIDDEN),
            v_threshold=np.ones(HIDDEN), v_reset=np.zeros(HIDDEN),
        ),
        "readout": nir.Affine(rng.normal(0, 0.3, (CLASSES, HIDDEN)), np.zeros(CLASSES)),
        "output": nir.Output({"output": np.array([CLASSES])}),
    }  # fmt: skip
    names = list(nodes)
    edges = list(zip(names, names[1:], strict=False))
    nir.write(folder / "wide.nir", nir.NIRGraph(nodes, edges, metadata=contract))
    images = rng.random((300, 12)) @ rng.random((12, WIDE))
    images = np.clip(images / images.max() + rng.normal(0, 0.02, images.shape), 0, 1)
    samples = Samples(images, rng.integers(0, CLASSES, 300))
    save_samples(folder / "train.npz", samples)


#: What a library of matrix products sums otherwise on two threads than on one.
PRODUCTS = """
import hashlib
import numpy as np
from neurodeploy.quantization.exact_products import gram, product
rng = np.random.default_rng(0)
a, b = rng.normal(size=(512, 784)), rng.normal(size=(784, 128))
c, d = rng.normal(size=(1000, 3072)), rng.normal(size=(3072, 300))
found = (product(a, b), product(c, d), gram(a), gram(d))
print(*(hashlib.sha256(np.ascontiguousarray(x)).hexdigest() for x in found))
"""


def environment(threads):
    counts = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    return {**os.environ, **dict.fromkeys(counts, str(threads))}


def hash_with(folder, threads, *options):
    """Return the content hash that another process writes with so many threads."""
    command = [
        sys.executable, "-m", "neurodeploy", "quantize", "wide.nir", "--profile", "loihi2",
        "--out", f"net{threads}.h5", "--calibration", "train.npz", "--weight-bits", "4",
        "--scale", "search", "--rounding", "adaptive", "--bias", "corrected", "--json",
        "--threads", str(threads), *options,
    ]  # fmt: skip
    done = subprocess.run(
        command, cwd=folder, env=environment(threads), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["content_hash"]


@pytest.mark.slow
def test_one_thread_and_two_write_the_same_network(tmp_path):
    write_wide(tmp_path)
    tune = ("--fine-tune", "float", "--fine-tune-epochs", "2", "--fine-tune-penalty", "0.1")
    found = {n: hash_with(tmp_path, n, *tune, "--threshold", "balanced") for n in (1, 2)}
    assert found[1] == found[2]


@pytest.mark.slow
def test_large_products_are_the_same_to_the_last_bit():
    one, two = (
        subprocess.run(
            [sys.executable, "-c", PRODUCTS], env=environment(n), capture_output=True, check=True
        ).stdout
        for n in (1, 2)
    )
    assert one == two
    assert len(one.split()) == 4
