"""The losses that attacks raise, and their gradient per sample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from neurodeploy.attacks.classifier import Classifier, Codes, Labels
from neurodeploy.errors import RangeError

Loss = Literal["cross_entropy", "margin", "dlr"]
#: Samples per backward pass: bounds memory, and changes no result beyond summation order.
CHUNK = 1024
#: Keeps the quotient of the DLR loss finite where its scores are equal.
_TINY = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class LossGradient:
    """Loss [B], its gradient by the codes [B, n], and whether the scores are wrong or tied [B]."""

    loss: NDArray[np.float64]
    gradient: NDArray[np.float64]
    wrong: NDArray[np.bool_]


def loss_gradient(
    classifier: Classifier,
    codes: Codes,
    labels: Labels,
    loss: Loss,
    targets: Labels | None = None,
) -> LossGradient:
    """Return loss and gradient at whole ``codes``, each sample by itself.

    The loss is summed over samples, so no sample's gradient depends on its neighbours. With scores
    z, true class y and the order z_(1) >= z_(2) >= ...:

    - ``cross_entropy``;
    - ``margin``: max_(i != y) z_i - z_y, or z_t - z_y for a target t;
    - ``dlr``: the margin divided by z_(1) - z_(3), which no scale or shift of the scores changes;
      with a target, divided by z_(1) - (z_(3) + z_(4)) / 2. Source: Croce and Hein, ICML 2020.
      Where there are fewer classes the lowest score stands for a missing one, and with two classes
      it is the plain margin.

    Parameters
    ----------
    targets : int64 [B] or None
        The class to reach, for ``margin`` and ``dlr``.

    Raises
    ------
    RangeError
        If a label has no score.
    """
    chunks = [
        _chunk(
            classifier,
            codes[start : start + CHUNK],
            labels[start : start + CHUNK],
            loss,
            None if targets is None else targets[start : start + CHUNK],
        )
        for start in range(0, max(codes.shape[0], 1), CHUNK)
    ]
    return LossGradient(
        np.concatenate([c.loss for c in chunks]),
        np.concatenate([c.gradient for c in chunks]),
        np.concatenate([c.wrong for c in chunks]),
    )


def _chunk(
    classifier: Classifier, codes: Codes, labels: Labels, loss: Loss, targets: Labels | None
) -> LossGradient:
    if codes.shape[0] == 0:
        return LossGradient(np.zeros(0), np.zeros(codes.shape), np.zeros(0, dtype=np.bool_))
    point = torch.from_numpy(codes.astype(np.float64)).requires_grad_(True)
    scores = classifier.scores(point)
    if labels.max() >= scores.shape[-1]:
        raise RangeError(
            f"attack: label {labels.max()} has no score; the classifier has "
            f"{scores.shape[-1]} classes, 0..{scores.shape[-1] - 1}"
        )
    target = torch.from_numpy(labels).to(scores.device)
    aim = None if targets is None else torch.from_numpy(targets).to(scores.device)
    true, best_other = _true_and_best_other(scores, target)
    if loss == "cross_entropy":
        losses = torch.nn.functional.cross_entropy(scores, target, reduction="none")
    else:
        rival = best_other if aim is None else scores.gather(1, aim[:, None])[:, 0]
        losses = rival - true
        if loss == "dlr":
            losses = losses / _spread(scores, targeted=aim is not None)
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


def _spread(scores: torch.Tensor, targeted: bool) -> torch.Tensor | float:
    """Return what the DLR loss divides by, [B]."""
    classes = scores.shape[1]
    if classes == 2:
        return 1.0
    ordered = scores.sort(dim=1, descending=True).values
    low = ordered[:, 2]
    if targeted:
        low = (low + ordered[:, min(3, classes - 1)]) / 2
    return ordered[:, 0] - low + _TINY
