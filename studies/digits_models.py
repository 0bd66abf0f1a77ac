"""The networks of the digits study: what is trained, on which images, and where it is kept."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neurodeploy.export.nir import to_nir
from neurodeploy.training import (
    LossConfig,
    ModelConfig,
    PerturbationConfig,
    Splits,
    TrainingConfig,
    load_digits_fold,
    load_model,
    train,
)

FOLDS, SEEDS = 5, 3
#: Radius of adversarial training in input codes: 26 / 255 = 0.10 of the input range.
RADIUS = 26
DT_S = 1e-3
#: How the perturbed half of the loss is made; ``at2`` has twice the radius of ``at``.
NOISES = {
    "plain": PerturbationConfig(),
    "gauss": PerturbationConfig(kind="gaussian", sigma=0.1),
    "at": PerturbationConfig(kind="fgsm", radius_codes=RADIUS),
    "at2": PerturbationConfig(kind="fgsm", radius_codes=2 * RADIUS),
}


@dataclass(frozen=True, slots=True)
class Variant:
    """Neuron, noise of training, and whether the penalty (weight 1) is on."""

    neuron: str
    noise: str
    penalty: bool

    @property
    def name(self) -> str:
        """For example ``dlif-at-penalty``."""
        return f"{self.neuron}-{self.noise}" + ("-penalty" if self.penalty else "")

    def config(self, seed: int) -> TrainingConfig:
        """Return how it is trained."""
        return TrainingConfig(
            name=self.name,
            seed=seed,
            model=ModelConfig(neuron="dlif" if self.neuron == "dlif" else "lif"),
            perturbation=NOISES[self.noise],
            loss=LossConfig(alpha=1.0 if self.penalty else 0.0),
        )


#: The penalty works on a perturbation, so there is none without.
VARIANTS = tuple(
    Variant(neuron, noise, penalty)
    for noise in NOISES
    for penalty in (False, True)
    for neuron in ("lif", "dlif")
    if noise != "plain" or not penalty
)


@dataclass(frozen=True, slots=True)
class StudyModel:
    """One trained network."""

    variant: Variant
    seed: int
    fold: int

    @property
    def key(self) -> str:
        """Name of its file."""
        return f"{self.variant.name}-s{self.seed}-f{self.fold}"

    def path(self, folder: Path, code: str) -> Path:
        """Return where its NIR file is kept; networks of other code are other files."""
        return folder / "models" / code / f"{self.key}.nir"


def data_of(model: StudyModel) -> tuple[Splits, NDArray[np.int64]]:
    """Return the splits, and which images the test split holds."""
    return load_digits_fold(model.fold, FOLDS)


def trained(model: StudyModel, folder: Path, code: str) -> Path:
    """Train and export the network unless its file is there; return the file."""
    path = model.path(folder, code)
    if path.is_file():
        return path
    splits, _ = data_of(model)
    work = folder / "training" / code / model.key
    # Another order of the batches per fold as well as per seed.
    config = model.variant.config(1000 * model.fold + model.seed)
    result = train(config, work, resume=True, splits=splits)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{os.getpid()}-{path.name}")
    codes = splits.test.codes(splits.encoder, splits.test.images.shape[1])
    to_nir(load_model(result.model), codes, part, dt=DT_S, encoder=splits.encoder)
    part.replace(path)
    for left in work.iterdir():
        left.unlink()
    work.rmdir()
    return path
