"""Robust training in Norse on bundled data.

Fine-tuning of integers is apart, in ``training.repair``: training needs no quantiser.
"""

from neurodeploy.training.checkpoint import load_model, save_model
from neurodeploy.training.config import (
    RECIPES,
    LossConfig,
    ModelConfig,
    OptimizerConfig,
    PerturbationConfig,
    TrainingConfig,
    demo_configs,
    recipe,
)
from neurodeploy.training.config_file import config_from_dict, read_config
from neurodeploy.training.data import Splits, load_digits, load_digits_fold
from neurodeploy.training.trainer import EpochRecord, TrainingResult, accuracy, train

__all__ = [
    "RECIPES",
    "EpochRecord",
    "LossConfig",
    "ModelConfig",
    "OptimizerConfig",
    "PerturbationConfig",
    "Splits",
    "TrainingConfig",
    "TrainingResult",
    "accuracy",
    "config_from_dict",
    "demo_configs",
    "load_digits",
    "load_digits_fold",
    "load_model",
    "read_config",
    "recipe",
    "save_model",
    "train",
]
