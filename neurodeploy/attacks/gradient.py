"""The loss that attacks raise, and its gradient per sample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from neurodeploy.attacks.classifier import Classifier, Codes, Labels
from neurodeploy.errors import RangeError

Loss = Literal["cross_entropy", "margin"]
#: Samples per backward pass: bounds memory, and changes no result beyond summation order.
CHUNK = 1024


@dataclass(frozen=True, slots=True, eq=False)
class LossGradient:
    """Loss [B], its gradient by the codes [B, n], and whether the scores are wrong or tied [B]."""

    loss: NDArray[np.float64]
    gradient: NDArray[np.float64]
    wrong: NDArray[np.bool_]


def loss_gradient(
    classifier: Classifier, codes: Codes, labels: Labels, width: float, loss: Loss
) -> LossGradient:
    """Return loss and gradient at whole ``codes``, each sample by itself.

    The loss is summed over samples, so no sample's gradient depends on its neighbours.

    Raises
    ------
    RangeError
        If a label has no score.
    """
    chunks = [
        _chunk(classifier, codes[start : start + CHUNK], labels[start : start + CHUNK], width, loss)
        for start in range(0, max(codes.shape[0], 1), CHUNK)
    ]
    return LossGradient(
        np.concatenate([c.loss for c in chunks]),
        np.concatenate([c.gradient for c in chunks]),
        np.concatenate([c.wrong for c in chunks]),
    )


def _chunk(
    classifier: Classifier, codes: Codes, labels: Labels, width: float, loss: Loss
) -> LossGradient:
    if codes.shape[0] == 0:
        return LossGradient(np.zeros(0), np.zeros(codes.shape), np.zeros(0, dtype=np.bool_))
    point = torch.from_numpy(codes.astype(np.float64)).requires_grad_(True)
    scores = classifier.scores(point, width)
    if labels.max() >= scores.shape[-1]:
        raise RangeError(
            f"attack: label {labels.max()} has no score; the classifier has "
            f"{scores.shape[-1]} classes, 0..{scores.shape[-1] - 1}"
        )
    target = torch.from_numpy(labels).to(scores.device)
    true, best_other = _true_and_best_other(scores, target)
    if loss == "margin":
        losses = best_other - true
    else:
        losses = torch.nn.functional.cross_entropy(scores, target, reduction="none")
    (gradient,) = torch.autograd.grad(losses.sum(), point)
    return LossGradient(
        losses.detach().cpu().numpy().astype(np.float64),
        gradient.cpu().numpy().astype(np.float64),
        # A tie at the top counts as wrong.
        (best_other >= true).detach().cpu().numpy(),
    )


def _true_and_best_other(
    scores: torch.Tensor, target: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the score of the true class and the largest of the others, both [B]."""
    index = target[:, None]
    true = scores.gather(1, index)[:, 0]
    others = scores.scatter(1, index, float("-inf"))
    return true, others.max(dim=1).values
