"""Train, quantise and pack the networks of this folder: `python tests/robustness/networks/make.py`.

Needs Norse. Equal seeds give equal networks on one version of torch; the files are what tests use.
"""

from __future__ import annotations

import dataclasses
import gzip
import tempfile
from pathlib import Path

import neurodeploy as nd
from neurodeploy.network import load_samples
from neurodeploy.pipeline.training_run import train_and_export
from neurodeploy.training import LossConfig, ModelConfig, PerturbationConfig, TrainingConfig, recipe

HERE = Path(__file__).parent
#: Of the recipes, and of the split of the digits.
SEED = 0


def configurations() -> dict[str, TrainingConfig]:
    """Return what is trained, by file name."""
    adversarial = TrainingConfig(
        name="dlif-at-mppd",
        seed=SEED,
        model=ModelConfig(neuron="dlif"),
        perturbation=PerturbationConfig(kind="fgsm"),
        loss=LossConfig(alpha=0.3),
    )
    return {
        "lif": recipe("lif", seed=SEED),
        "dlif-mppd": recipe("dlif-mppd", seed=SEED),
        "dlif-at-mppd": adversarial,
    }


def make(name: str, config: TrainingConfig) -> Path:
    """Write ``<name>.h5.gz``: the network for Loihi 2 at 8 bits, without its NIR file."""
    with tempfile.TemporaryDirectory() as folder:
        trained = train_and_export(config, Path(folder))
        images = load_samples(trained.data["train"]).images
        graph = nd.read(trained.nir)
        net = nd.quantize(graph, profile="loihi2", calibration=images).value
        bare = dataclasses.replace(net, nir_file=b"", profile="", contract={}, calibration=())
        path = Path(folder) / "net.h5"
        bare.save(path)
        packed = HERE / f"{name}.h5.gz"
        packed.write_bytes(gzip.compress(path.read_bytes(), mtime=0))
    return packed


if __name__ == "__main__":
    for each, wanted in configurations().items():
        make(each, wanted)
