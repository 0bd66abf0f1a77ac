"""What to train, as frozen types, and the recipes to start from."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from neurodeploy.errors import InputError, RangeError

#: Radius of adversarial training in input codes of 8 bits: 26 / 255 = 0.10 of the input range.
RADIUS_CODES = 26


def _at_least(table: str, config: Any, limit: float, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        if not limit <= value < float("inf"):
            label = f"{table}.{name}" if table else name
            raise RangeError(f"{label} = {value}: must be at least {limit} and finite")


def _positive(table: str, config: Any, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        if not 0 < value < float("inf"):
            raise RangeError(f"{table}.{name} = {value}: must be positive and finite")


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """Sizes and neurons of the network.

    ``retention`` is the share of the membrane kept per step; ``surrogate_alpha`` belongs to
    Norse's triangle surrogate (1: half-width 1, unit area, the base method's).
    """

    neuron: Literal["lif", "dlif"] = "lif"
    n_input: int = 64
    hidden: tuple[int, ...] = (128, 64)
    n_classes: int = 10
    steps: int = 8
    retention: float = 0.99
    v_threshold: float = 1.0
    v_reset: float = 0.0
    surrogate_alpha: float = 1.0

    def __post_init__(self) -> None:
        """Check the ranges."""
        _at_least("model", self, 1, "n_input", "n_classes", "steps")
        _positive("model", self, "v_threshold", "surrogate_alpha")
        if not self.hidden or min(self.hidden) < 1:
            raise RangeError(f"model.hidden = {self.hidden}: needs at least one layer of 1 or more")
        if not 0 <= self.retention < 1:
            raise RangeError(f"model.retention = {self.retention}: must be in 0 <= r < 1")
        if self.v_reset > self.v_threshold:
            raise RangeError(
                f"model.v_reset = {self.v_reset} lies above v_threshold {self.v_threshold}"
            )


@dataclass(frozen=True, slots=True)
class PerturbationConfig:
    """How the perturbed branch of the loss is made.

    ``sigma`` (Gaussian) and ``jitter`` (start of the sign step) are standard deviations in input
    units; ``radius_codes`` is the step of ``fgsm`` in input codes of ``bits`` bits.
    """

    kind: Literal["none", "gaussian", "fgsm"] = "none"
    sigma: float = 0.1
    radius_codes: int = RADIUS_CODES
    jitter: float = 0.001
    bits: int = 8

    def __post_init__(self) -> None:
        """Check the ranges."""
        _at_least("perturbation", self, 0, "sigma", "jitter")
        if not 1 <= self.bits <= 16:
            raise RangeError(f"perturbation.bits = {self.bits}: an input code has 1 to 16 bits")
        if not 0 <= self.radius_codes < 2**self.bits:
            raise RangeError(
                f"perturbation.radius_codes = {self.radius_codes}: "
                f"must be 0 to {2**self.bits - 1} at {self.bits} bits"
            )

    @property
    def radius(self) -> float:
        """Radius in input units (range 0 to 1)."""
        return self.radius_codes / float(2**self.bits - 1)


@dataclass(frozen=True, slots=True)
class LossConfig:
    """``kappa``: share of the clean cross-entropy; ``alpha``: weight of the penalty."""

    kappa: float = 0.5
    alpha: float = 0.0

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not 0 <= self.kappa <= 1:
            raise RangeError(f"loss.kappa = {self.kappa}: must be between 0 and 1")
        _at_least("loss", self, 0, "alpha")


@dataclass(frozen=True, slots=True)
class OptimizerConfig:
    """Adam with a cosine schedule down to 0 over ``epochs``."""

    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    epochs: int = 60
    batch_size: int = 64

    def __post_init__(self) -> None:
        """Check the ranges."""
        _at_least("optimizer", self, 1, "epochs", "batch_size")
        _positive("optimizer", self, "learning_rate")
        _at_least("optimizer", self, 0, "weight_decay")


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """Everything a training run depends on; equal configurations give equal networks."""

    name: str = "lif"
    seed: int = 0
    model: ModelConfig = field(default_factory=ModelConfig)
    perturbation: PerturbationConfig = field(default_factory=PerturbationConfig)
    loss: LossConfig = field(default_factory=LossConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)

    def __post_init__(self) -> None:
        """Check the seed, and that the penalty has a perturbation to work on."""
        _at_least("", self, 0, "seed")
        if self.loss.alpha > 0 and self.perturbation.kind == "none":
            raise InputError(
                f"loss.alpha = {self.loss.alpha} needs a perturbed branch; set perturbation.kind "
                "to gaussian or fgsm"
            )

    def as_dict(self) -> dict[str, Any]:
        """Return the configuration as JSON types."""
        document = dataclasses.asdict(self)
        document["model"]["hidden"] = list(self.model.hidden)
        return document


#: Named starting points. Every value in them can be overridden.
RECIPES: Mapping[str, TrainingConfig] = {
    "lif": TrainingConfig(name="lif"),
    "lif-at": TrainingConfig(name="lif-at", perturbation=PerturbationConfig(kind="fgsm")),
    "dlif-mppd": TrainingConfig(
        name="dlif-mppd",
        model=ModelConfig(neuron="dlif"),
        perturbation=PerturbationConfig(kind="gaussian"),
        loss=LossConfig(alpha=1.0),
    ),
}


def recipe(name: str, *, seed: int = 0) -> TrainingConfig:
    """Return the recipe called ``name`` with ``seed``; InputError lists the recipes."""
    if name not in RECIPES:
        raise InputError(f"recipe {name!r} does not exist; there are: {', '.join(RECIPES)}")
    return dataclasses.replace(RECIPES[name], seed=seed)


def demo_configs(seed: int) -> dict[str, TrainingConfig]:
    """Return the three networks of the demo by name, all with ``seed``."""
    return {name: recipe(name, seed=seed) for name in RECIPES}
