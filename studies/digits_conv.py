"""The convolutional network of the digits studies: trained here, written as a NIR graph by hand.

1 x 8 x 8 -> 8 channels of 6 x 6 (kernel 3) -> 16 of 3 x 3 (kernel 3, stride 2, padding 1) -> 10.
Half of every batch's loss is against one step of the gradient's sign, as for the other networks
trained against attacks.
"""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass
from pathlib import Path

import nir
import numpy as np
import torch
from digits_models import DT_S, FOLDS, NOISES
from numpy.typing import NDArray
from torch import Tensor, nn

from neurodeploy.graph import Contract
from neurodeploy.neurons import LIFCell, SpikingSequence
from neurodeploy.training import Splits, load_digits_fold
from neurodeploy.training.losses import mixed_loss
from neurodeploy.training.perturb import perturb

STEPS, RETENTION, EPOCHS, BATCH, RATE = 8, 0.99, 40, 64, 4e-3
NAME = "conv-at"


class FlatConv2d(nn.Conv2d):
    """A convolution of images whose last axis is flat, [..., C * H * W]."""

    def __init__(self, shape: tuple[int, int, int], channels: int, **geometry: int) -> None:
        super().__init__(shape[0], channels, 3, **geometry)
        self.shape = shape

    def forward(self, x: Tensor) -> Tensor:
        """Return [..., C_out * H_out * W_out]."""
        images = super().forward(x.reshape(-1, *self.shape))
        return images.reshape(*x.shape[:-1], -1)


@dataclass(frozen=True, slots=True)
class ConvModel:
    """One trained convolutional network."""

    seed: int
    fold: int

    @property
    def name(self) -> str:
        """Of all its trainings."""
        return NAME

    @property
    def key(self) -> str:
        """Name of its file."""
        return f"{NAME}-s{self.seed}-f{self.fold}"

    def data(self) -> tuple[Splits, NDArray[np.int64]]:
        """Return the splits, and which images the test split holds."""
        return load_digits_fold(self.fold, FOLDS)

    def trained(self, folder: Path, code: str) -> Path:
        """Train and write the network unless its file is there; return the file."""
        path = folder / "models" / code / f"{self.key}.nir"
        if not path.is_file():
            splits, _ = self.data()
            model = _trained(splits.train.images, splits.train.labels, 1000 * self.fold + self.seed)
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_name(f".{os.getpid()}-{path.name}")
            nir.write(part, _graph(model))
            part.replace(path)
        return path

    @property
    def contract(self) -> Contract:
        """What the file does not say."""
        return Contract(dt=DT_S, steps=STEPS)


def _trained(images: NDArray[np.float64], labels: NDArray[np.int64], seed: int) -> SpikingSequence:
    torch.set_num_threads(1)
    draws = torch.Generator().manual_seed(seed)
    cells = [LIFCell(RETENTION, 1.0, 0.0) for _ in range(2)]
    # Initial weights come from torch's global generator, which is given back as it was.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = SpikingSequence(
            FlatConv2d((1, 8, 8), 8), cells[0],
            FlatConv2d((8, 6, 6), 16, stride=2, padding=1), cells[1],
            nn.Linear(144, 10), steps=STEPS,
        )  # fmt: skip
    x, y = torch.from_numpy(images.astype(np.float32)), torch.from_numpy(labels.copy())
    optimizer = torch.optim.Adam(model.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)
    for _ in range(EPOCHS):
        for index in torch.split(torch.randperm(len(y), generator=draws), BATCH):
            moved = perturb(model, x[index], y[index], NOISES["at"], draws)
            clean, perturbed = model.run(x[index]), model.run(moved)
            loss = mixed_loss(
                clean, perturbed, y[index], kappa=0.5, alpha=0.0, retention=cells[1].retention
            )
            optimizer.zero_grad()
            loss.total.backward()
            optimizer.step()
        schedule.step()
    return model


def _graph(model: SpikingSequence) -> nir.NIRGraph:
    """Return the network as NIR: the neurons' r is tau / dt, so that input counts as it is."""
    first, _, second, _, last = model

    def conv(module: FlatConv2d) -> nir.Conv2d:
        weight, bias = (p.detach().double().numpy() for p in (module.weight, module.bias))
        return nir.Conv2d(
            module.shape[1:], weight, module.stride, module.padding, module.dilation,
            module.groups, bias,
        )  # fmt: skip

    def lif(*shape: int) -> nir.LIF:
        values = (DT_S / (1 - RETENTION), 1 / (1 - RETENTION), 0.0, 1.0)
        return nir.LIF(*(np.full(shape, value) for value in values))

    nodes = {
        "input": nir.Input({"input": np.array((1, 8, 8))}),
        "conv1": conv(first),
        "lif1": lif(8, 6, 6),
        "conv2": conv(second),
        "lif2": lif(16, 3, 3),
        "flatten": nir.Flatten({"input": np.array((16, 3, 3))}, 0, -1),
        "readout": nir.Affine(*(p.detach().double().numpy() for p in (last.weight, last.bias))),
        "output": nir.Output({"output": np.array((10,))}),
    }
    names = list(nodes)
    return nir.NIRGraph(nodes, list(itertools.pairwise(names)))
