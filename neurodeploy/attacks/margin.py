"""The margin of exact scores: what attacks without gradients lower."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neurodeploy.attacks.classifier import Classifier, Codes, Labels
from neurodeploy.errors import RangeError


def margins(classifier: Classifier, codes: Codes, labels: Labels) -> NDArray[np.float64]:
    """Return the score of the true class minus the largest other one, [B], by an exact run.

    0 and less is wrong: a tie at the top is no decision.

    Raises
    ------
    RangeError
        If a label has no score.
    """
    scores = np.asarray(classifier.predicted_scores(codes), np.float64)
    classes = scores.shape[-1]
    if labels.size and labels.max() >= classes:
        raise RangeError(
            f"attack: label {labels.max()} has no score; the classifier has {classes} classes, "
            f"0..{classes - 1}"
        )
    rows = np.arange(labels.size)
    true = scores[rows, labels]
    others = scores.copy()
    others[rows, labels] = -np.inf
    return np.asarray(true - others.max(axis=1, initial=-np.inf))
