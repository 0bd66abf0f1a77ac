"""Expectation over transformations: attacks on a classifier that draws random numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from neurodeploy.attacks.classifier import Codes, Labels
from neurodeploy.errors import InputError

if TYPE_CHECKING:
    import torch


class StochasticClassifier(Protocol):
    """A classifier that decides by one random draw."""

    @property
    def max_code(self) -> int:
        """Largest code; codes run from 0."""

    def scores_of_draw(self, codes: torch.Tensor, seed: int) -> torch.Tensor:
        """Return logits [B, classes] of the draw ``seed``, differentiable by ``codes`` [B, n].

        A sample's logits must not depend on its place in the batch.
        """


@dataclass(frozen=True, slots=True)
class Expectation:
    """The classifier whose scores are the mean over given draws of a stochastic one.

    Its gradient is the mean of the gradients of all draws, so any attack on it is an attack with
    expectation over transformations (Athalye et al., ICML 2018). It decides by the mean too: the
    same inputs, the same draws, the same decision.

    Parameters
    ----------
    inner : StochasticClassifier
    seeds : tuple of int
        One draw each.

    Raises
    ------
    InputError
        Without seeds.
    """

    inner: StochasticClassifier
    seeds: tuple[int, ...]

    def __post_init__(self) -> None:
        """Check that there is a draw."""
        if not self.seeds:
            raise InputError("expectation over draws: no seeds given; at least one is needed")

    @property
    def max_code(self) -> int:
        """Largest code."""
        return self.inner.max_code

    def scores(self, codes: torch.Tensor) -> torch.Tensor:
        """Return the mean logits [B, classes], differentiable with respect to ``codes``."""
        total = self.inner.scores_of_draw(codes, self.seeds[0])
        for seed in self.seeds[1:]:
            total = total + self.inner.scores_of_draw(codes, seed)
        return total / len(self.seeds)

    def predicted_scores(self, codes: Codes) -> NDArray[np.float64]:
        """Return the mean logits without gradient."""
        import torch

        with torch.no_grad():
            found = self.scores(torch.from_numpy(codes.astype(np.float64)))
        return np.asarray(found.cpu().numpy())

    def predict(self, codes: Codes) -> Labels:
        """Return the class of the highest mean logit [B]; -1 where the top is tied."""
        scores = self.predicted_scores(codes)
        at_top = scores == scores.max(axis=1, keepdims=True)
        return np.where(at_top.sum(axis=1) == 1, scores.argmax(axis=1), -1)
