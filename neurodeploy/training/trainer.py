"""Training: Adam with a cosine schedule, selection on the validation split, resumable.

The same configuration gives the same network: every random choice comes from generators made from
the seed, and the arithmetic runs on one thread. A resumed run gives the same network as an
uninterrupted one.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neurodeploy.errors import InputError
from neurodeploy.files import write_json
from neurodeploy.network import decide
from neurodeploy.network.samples import Samples
from neurodeploy.neurons import DLIFCell, SpikingSequence
from neurodeploy.training.checkpoint import (
    load_tensors,
    part,
    save_model,
    save_tensors,
    stored_config,
    tensor_text,
    text_tensor,
)
from neurodeploy.training.config import TrainingConfig
from neurodeploy.training.data import Splits, load_digits
from neurodeploy.training.losses import LossParts, mixed_loss
from neurodeploy.training.models import build_model
from neurodeploy.training.perturb import perturb

MODEL_FILE = "model.pt"
CHECKPOINT_FILE = "checkpoint.pt"
RESULT_FILE = "training.json"


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """One epoch: losses averaged over the batches, accuracies (0 to 1) on the validation split.

    ``validation_perturbed`` equals ``validation_clean`` where the recipe has no perturbation.
    """

    epoch: int
    epochs: int
    learning_rate: float
    loss: float
    clean_loss: float
    perturbed_loss: float
    penalty: float
    validation_clean: float
    validation_perturbed: float
    selected: bool


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """A trained network on disk and how it came about.

    Parameters
    ----------
    config : TrainingConfig
    model : Path
        File of the selected network; ``load_model`` reads it.
    selected_epoch : int
        The epoch (from 1) with the best validation accuracy.
    accuracies : mapping
        Clean accuracy (0 to 1) of the selected network on ``train``, ``validation``, ``test``.
    history : tuple of EpochRecord
    """

    config: TrainingConfig
    model: Path
    selected_epoch: int
    accuracies: Mapping[str, float]
    history: tuple[EpochRecord, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the result as JSON types."""
        return {
            "config": self.config.as_dict(),
            "model": self.model.name,
            "selected_epoch": self.selected_epoch,
            "accuracies": dict(self.accuracies),
            "history": [dataclasses.asdict(record) for record in self.history],
        }


def train(
    config: TrainingConfig,
    out: str | Path,
    *,
    resume: bool = False,
    progress: Callable[[EpochRecord], None] | None = None,
    splits: Splits | None = None,
) -> TrainingResult:
    """Train a network and write it to ``out``.

    Writes ``model.pt`` (the selected network), ``training.json`` (configuration, accuracies,
    history) and, after every epoch, ``checkpoint.pt``. The network with the best validation
    accuracy is selected (``kappa`` times clean plus ``1 - kappa`` times perturbed; the later of
    equals). The test split is used once, for the accuracy in the result.

    Parameters
    ----------
    config : TrainingConfig
    out : path
        Folder; made if absent.
    resume : bool
        Go on from ``checkpoint.pt`` if there is one.
    progress : callable
        Gets every epoch's record. An exception from it stops the run; it can be resumed.
    splits : Splits
        Data; by default the bundled digits, split by ``config.seed``.

    Raises
    ------
    InputError
        If the checkpoint belongs to another configuration, or the data does not fit the model.
    """
    out = Path(out)
    splits = load_digits(config.seed) if splits is None else splits
    _check_fit(config, splits)
    with _one_thread():
        run = _Run(config, splits)
        if resume and (out / CHECKPOINT_FILE).is_file():
            run.restore(out / CHECKPOINT_FILE)
        for epoch in range(len(run.history), config.optimizer.epochs):
            record = run.epoch(epoch)
            run.save(out / CHECKPOINT_FILE)
            if progress is not None:
                progress(record)
        return _finish(run, out)


def accuracy(model: SpikingSequence, samples: Samples) -> float:
    """Return the share of ``samples`` decided rightly; a tie at the top counts as wrong."""
    with torch.no_grad():
        return _share_right(model(_images(samples)), samples)


class _Run:
    """The moving parts of one training run."""

    def __init__(self, config: TrainingConfig, splits: Splits) -> None:
        seeds = np.random.SeedSequence(config.seed).generate_state(4, np.uint64)
        weights, order, noise, validation = (int(seed >> np.uint64(1)) for seed in seeds)
        self.config = config
        self.splits = splits
        self.model = build_model(config.model, torch.Generator().manual_seed(weights))
        self.order = torch.Generator().manual_seed(order)
        self.noise = torch.Generator().manual_seed(noise)
        self.validation_seed = validation
        settings = config.optimizer
        self.optimizer = torch.optim.Adam(
            self.model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        self.history: list[EpochRecord] = []
        self.best = self._snapshot()

    def epoch(self, epoch: int) -> EpochRecord:
        """Train for one epoch (0-based), validate, and keep the network if it is the best."""
        settings = self.config.optimizer
        rate = settings.learning_rate * 0.5 * (1 + math.cos(math.pi * epoch / settings.epochs))
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        images, labels = _images(self.splits.train), _labels(self.splits.train)
        order = torch.randperm(len(labels), generator=self.order)
        batches = [
            self._step(images[index], labels[index])
            for index in torch.split(order, settings.batch_size)
        ]
        loss, clean_loss, perturbed_loss, penalty = torch.tensor(batches).double().mean(0).tolist()
        clean, perturbed = self._validate()
        record = EpochRecord(
            epoch=epoch + 1,
            epochs=settings.epochs,
            learning_rate=rate,
            loss=loss,
            clean_loss=clean_loss,
            perturbed_loss=perturbed_loss,
            penalty=penalty,
            validation_clean=clean,
            validation_perturbed=perturbed,
            selected=self._is_best(clean, perturbed),
        )
        self.history.append(record)
        if record.selected:
            self.best = self._snapshot()
        return record

    def _step(self, images: Tensor, labels: Tensor) -> list[float]:
        moved = perturb(self.model, images, labels, self.config.perturbation, self.noise)
        losses = self._losses(images, moved, labels)
        self.optimizer.zero_grad(set_to_none=True)
        losses.total.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        for cell in self.model.cells():
            if isinstance(cell, DLIFCell):
                cell.project_()
        return [
            part.item() for part in (losses.total, losses.clean, losses.perturbed, losses.penalty)
        ]

    def _losses(self, images: Tensor, moved: Tensor | None, labels: Tensor) -> LossParts:
        return mixed_loss(
            self.model.run(images),
            None if moved is None else self.model.run(moved),
            labels,
            kappa=self.config.loss.kappa,
            alpha=self.config.loss.alpha,
            retention=self.model.cells()[-1].retention,
        )

    def _validate(self) -> tuple[float, float]:
        """Return clean and perturbed accuracy; every epoch meets the same noise."""
        samples = self.splits.validation
        images, labels = _images(samples), _labels(samples)
        noise = torch.Generator().manual_seed(self.validation_seed)
        moved = perturb(self.model, images, labels, self.config.perturbation, noise)
        with torch.no_grad():
            clean = _share_right(self.model(images), samples)
            if moved is None:
                return clean, clean
            return clean, _share_right(self.model(moved), samples)

    def _is_best(self, clean: float, perturbed: float) -> bool:
        kappa = self.config.loss.kappa

        def merit(clean: float, perturbed: float) -> float:
            return kappa * clean + (1 - kappa) * perturbed

        return all(
            merit(clean, perturbed) >= merit(r.validation_clean, r.validation_perturbed)
            for r in self.history
        )

    def _snapshot(self) -> dict[str, Tensor]:
        return {name: tensor.clone() for name, tensor in self.model.state_dict().items()}

    def save(self, path: Path) -> None:
        """Write everything that the next epoch depends on."""
        tensors = {
            "config": text_tensor(self.config.as_dict()),
            "history": text_tensor([dataclasses.asdict(record) for record in self.history]),
            "generator/order": self.order.get_state(),
            "generator/noise": self.noise.get_state(),
        }
        tensors |= {f"model/{name}": t for name, t in self.model.state_dict().items()}
        tensors |= {f"best/{name}": t for name, t in self.best.items()}
        for index, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"adam/{index}/{name}": tensor for name, tensor in state.items()}
        save_tensors(path, "checkpoint", tensors)

    def restore(self, path: Path) -> None:
        """Take up the state that ``save`` wrote."""
        tensors = load_tensors(path, "checkpoint")
        if stored_config(path, tensors) != self.config:
            raise InputError(
                f"{path}: belongs to another configuration; resume with the one it was started "
                "with, or train without resuming (which overwrites it)"
            )
        self.model.load_state_dict(part(tensors, "model/"))
        self.best = part(tensors, "best/")
        self.order.set_state(tensors["generator/order"])
        self.noise.set_state(tensors["generator/noise"])
        self.history = [EpochRecord(**record) for record in tensor_text(tensors["history"])]
        states: dict[int, dict[str, Tensor]] = {}
        for name, tensor in part(tensors, "adam/").items():
            index, key = name.split("/")
            states.setdefault(int(index), {})[key] = tensor
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": states, "param_groups": groups})


def _finish(run: _Run, out: Path) -> TrainingResult:
    run.model.load_state_dict(run.best)
    save_model(out / MODEL_FILE, run.model, run.config)
    accuracies = {
        name: accuracy(run.model, getattr(run.splits, name))
        for name in ("train", "validation", "test")
    }
    selected = max(record.epoch for record in run.history if record.selected)
    result = TrainingResult(run.config, out / MODEL_FILE, selected, accuracies, tuple(run.history))
    write_json(out / RESULT_FILE, result.as_dict())
    return result


def _check_fit(config: TrainingConfig, splits: Splits) -> None:
    width, classes = splits.train.images.shape[1], int(splits.train.labels.max()) + 1
    if (width, classes) != (config.model.n_input, config.model.n_classes):
        raise InputError(
            f"model: {config.model.n_input} inputs and {config.model.n_classes} classes do not fit "
            f"the data ({width} values per image, {classes} classes)"
        )


def _images(samples: Samples) -> Tensor:
    return torch.from_numpy(samples.images.astype(np.float32))


def _labels(samples: Samples) -> Tensor:
    return torch.from_numpy(samples.labels.copy())


def _share_right(scores: Tensor, samples: Samples) -> float:
    return float((decide(scores.numpy()) == samples.labels).mean())


@contextmanager
def _one_thread() -> Iterator[None]:
    """Run on one thread: these matrices are too small for more, and sums keep their order."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
