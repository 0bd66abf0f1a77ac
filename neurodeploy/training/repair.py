"""Repair: fine-tuning of integers through their own exact forward pass.

Rounding turns spikes; here weights and biases move, one mantissa at a time, until the integers
decide again as the float network does, on clean samples and on attacked ones. Every forward pass
is that of the deployed integers; gradients go straight through the rounding of weights and through
surrogates of the spikes. All of it runs on one thread, so that the same integers come out on any
number of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy, kl_div, log_softmax

from neurodeploy.errors import InputError, RangeError, ShapeError
from neurodeploy.findings import Finding, Result
from neurodeploy.network import (
    ALIGN_BITS,
    ALWAYS_ON,
    FixedPointNetwork,
    Network,
    SparseLayout,
)
from neurodeploy.quantization.incoming import incoming_of, per_weight
from neurodeploy.quantization.sign_split import as_split
from neurodeploy.simulate import WeightGradient, run_float
from neurodeploy.simulate.gradient_readout import ReadoutGradient
from neurodeploy.simulate.weight_gradient import GradientRun, ParameterGradients
from neurodeploy.training.latent_integers import LatentIntegers
from neurodeploy.training.membrane_penalty import MembranePenalty

Codes = NDArray[np.int32]
Teacher = Literal["float", "labels"]
Perturbation = Literal["adversarial", "gaussian", "none"]
#: Every so many-th sample is held out, to say which epoch was best.
_HELD_OUT = 5
_FEWEST = 20
#: The teacher's scores count in this part of their unit: what threads change in them is less.
_SCORE_GRID = 2.0**-12


@dataclass(frozen=True, slots=True)
class RepairConfig:
    """How integers are fine-tuned.

    Parameters
    ----------
    teacher : {"float", "labels"}
        What they learn: the float network's own scores, or the labels.
    perturbation : {"adversarial", "gaussian", "none"}
        The other half of every batch: one step of the gradient's sign against the integers, or
        noise of the radius as standard deviation; ``none``: clean samples alone.
    penalty : float
        Weight of what the perturbation does to the free membrane of the last layer that spikes:
        its mean square, in thresholds (``membrane_penalty.py``). Source: "Robust Stable Spiking
        Neural Networks", ICML 2024, whose loss adds it to the cross-entropies.
    radius_codes : int
    epochs, batch_size : int
    learning_rate : float
        In steps of a mantissa; falls to zero along a cosine.
    width : float
        Of the triangle that stands for a spike's derivative, in thresholds.
    seed : int
    """

    teacher: Teacher = "float"
    perturbation: Perturbation = "adversarial"
    penalty: float = 0.0
    radius_codes: int = 26
    epochs: int = 4
    batch_size: int = 64
    learning_rate: float = 0.01
    width: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the choices and ranges."""
        if self.teacher not in ("float", "labels"):
            raise InputError(f"repair: teacher {self.teacher!r}; choose float or labels")
        if self.perturbation not in ("adversarial", "gaussian", "none"):
            raise InputError(
                f"repair: perturbation {self.perturbation!r}; choose adversarial, gaussian or none"
            )
        if not 0 <= self.penalty < math.inf:
            raise RangeError(f"repair: penalty {self.penalty} must be finite and not negative")
        if self.penalty and self.perturbation == "none":
            raise InputError(
                f"repair: penalty {self.penalty} is about a perturbation, and there is none; take "
                "adversarial or gaussian"
            )
        if min(self.epochs, self.batch_size, self.radius_codes) < 1:
            raise RangeError(
                f"repair: epochs {self.epochs}, batch_size {self.batch_size} and radius_codes "
                f"{self.radius_codes} must be at least 1"
            )
        if not (0 < self.learning_rate < 10 and self.width > 0):
            raise RangeError(
                f"repair: learning_rate {self.learning_rate} must lie in 0..10 and width "
                f"{self.width} be positive"
            )

    def as_dict(self) -> dict[str, Any]:
        """Return the configuration as JSON types, with the version of its schema."""
        return {"schema": 1, **asdict(self)}


def repair(
    network: Network,
    net: FixedPointNetwork,
    codes: Codes,
    labels: NDArray[np.int64] | None = None,
    config: RepairConfig | None = None,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Result[FixedPointNetwork]:
    """Fine-tune ``net`` until it decides more like its teacher.

    One sample in five is held out; the epoch that is nearest to the teacher there, clean and
    perturbed, by the divergence of its scores (and the penalty, if it has a weight), and decides no
    more otherwise than the start, is kept; without one the start: what does not help changes
    nothing. Registers hold what they held: mantissas stay in their format, biases and the states
    that any input can cause below the largest of their population.

    Parameters
    ----------
    network, net : Network, FixedPointNetwork
        The composed float network, and the integers that were made from it.
    codes : int array [B, n_input] (held) or [T, B, n_input]
        Tuning samples, never those of an evaluation.
    labels : int array [B]
        For the teacher ``labels``.
    progress : callable
        Called as ``progress(epoch, epochs)`` after each.

    Raises
    ------
    InputError
        For too few samples, or labels that are missing.
    """
    config = config or RepairConfig()
    chosen, kept = 0, net
    with _one_thread():
        run = _Repair(network, net, np.asarray(codes), labels, config)
        first = best = run.merit(net)
        for epoch in range(config.epochs):
            now = run.epoch()
            found = run.merit(now)
            if found.loss < best.loss and found.agreement >= first.agreement:
                best, chosen, kept = found, epoch + 1, now
            if progress is not None:
                progress(epoch + 1, config.epochs)
    text = f"no epoch of {config.epochs} was nearer to the teacher than the start"
    if chosen:
        text = (
            f"fine-tuned on {run.count} samples, epoch {chosen} of {config.epochs}: on held-out "
            f"ones, clean and perturbed, the scores' divergence from the teacher went from "
            f"{first.divergence:.4g} to {best.divergence:.4g}, equal decisions went from "
            f"{first.agreement:.1%} to {best.agreement:.1%}"
        )
        if config.penalty:
            text += f", the penalty from {first.penalty:.4g} to {best.penalty:.4g}"
    pairs = zip(kept.synapses, net.synapses, strict=True)
    numbers = {
        "epoch": chosen,
        "divergence": [first.divergence, best.divergence],
        "agreement": [first.agreement, best.agreement],
        "penalty": [first.penalty, best.penalty],
        "weights_changed": sum(int((a.weight != b.weight).sum()) for a, b in pairs),
    }
    return Result(kept, (Finding("info", "repair", text, "", numbers),))


@dataclass(frozen=True, slots=True)
class _Merit:
    """On held-out samples: mean divergence from the teacher's scores, share of equal decisions.

    ``penalty``: unweighted, 0 where it has no weight; ``loss``: the divergence with it.
    """

    divergence: float
    agreement: float
    penalty: float
    loss: float


class _Repair:
    """The moving parts of one repair."""

    def __init__(
        self,
        network: Network,
        net: FixedPointNetwork,
        codes: Codes,
        labels: NDArray[np.int64] | None,
        config: RepairConfig,
    ) -> None:
        if codes.ndim not in (2, 3) or codes.shape[-1] != net.n_input:
            raise ShapeError(f"repair: codes have shape {codes.shape}, needs [B, {net.n_input}]")
        self.count = codes.shape[-2]
        if self.count < _FEWEST:
            raise InputError(f"repair: {self.count} samples; give at least {_FEWEST}")
        highest = net.encoder.max_code
        if config.perturbation != "none" and config.radius_codes > highest:
            raise RangeError(
                f"repair: radius_codes {config.radius_codes} is beyond the codes 0..{highest}; "
                "take a smaller one, or perturbation none"
            )
        if config.teacher == "labels" and (labels is None or len(labels) != self.count):
            raise InputError(f"repair: the teacher labels needs {self.count} labels")
        self._network, self._config, self._codes = network, config, codes
        self._labels = None if labels is None else torch.from_numpy(labels.astype(np.int64))
        self._random = np.random.default_rng(config.seed)
        order = self._random.permutation(self.count)
        self._held_out, self._own = order[::_HELD_OUT], np.delete(order, np.s_[::_HELD_OUT])
        longest = len(codes) if codes.ndim == 3 else 0
        self._latent = LatentIntegers(net, _wanted(network, net), longest)
        self._steps = config.epochs * math.ceil(self._own.size / config.batch_size)
        self._done = 0
        steps = len(codes) if codes.ndim == 3 else network.steps or 1
        self._penalty = MembranePenalty(net) if config.penalty else None
        self._unit = ReadoutGradient(network.readout, steps, 1.0).unit

    def epoch(self) -> FixedPointNetwork:
        """Go once through the samples; return the network after it."""
        order = self._random.permutation(self._own)
        for index in np.array_split(order, math.ceil(order.size / self._config.batch_size)):
            now = self._latent.network()
            gradient = WeightGradient(now, width=self._config.width)
            x = self._codes[..., index, :]
            run = gradient.run(x, self._looked_at)
            total = run.backward(self._by_scores(run, x, index))
            if self._config.perturbation != "none":
                moved = self._moved(gradient, x, index, self._random)
                other = gradient.run(moved, self._looked_at)
                by_inputs = {}
                if self._penalty is not None:
                    _, by = self._penalised(run, other)
                    # Of both halves the mean is taken below.
                    by_inputs = {self._penalty.population: 2 * self._config.penalty * by}
                by_scores = self._by_scores(other, moved, index)
                total = _mean(total, other.backward(by_scores, by_inputs))
            rate = self._config.learning_rate * (1 + math.cos(math.pi * self._done / self._steps))
            self._done += 1
            self._latent.step(total, rate / 2)
        return self._latent.network()

    def merit(self, net: FixedPointNetwork) -> _Merit:
        """Judge a network on held-out samples, clean and perturbed."""
        index, gradient = self._held_out, WeightGradient(net, width=self._config.width)
        points = [self._codes[..., index, :]]
        if self._config.perturbation != "none":
            # Every network meets the same draws.
            noise = np.random.default_rng(self._config.seed + 1)
            points.append(self._moved(gradient, points[0], index, noise))
        apart, equal, runs = [], [], []
        for x in points:
            run, targets = gradient.run(x, self._looked_at), self._targets(x, index)
            apart.append(kl_div(log_softmax(run.scores, 1), targets, reduction="none").sum(1))
            equal.append(run.scores.argmax(dim=1) == targets.argmax(dim=1))
            runs.append(run)
        divergence = float(torch.cat(apart).mean())
        penalty = 0.0 if self._penalty is None else self._penalised(*runs)[0]
        loss = divergence + self._config.penalty * penalty
        return _Merit(divergence, float(torch.cat(equal).double().mean()), penalty, loss)

    @property
    def _looked_at(self) -> tuple[str, ...]:
        return () if self._penalty is None else (self._penalty.population,)

    def _penalised(self, clean: GradientRun, moved: GradientRun) -> tuple[float, Tensor]:
        """Return the penalty and its gradient by the perturbed input."""
        if self._penalty is None:
            return 0.0, torch.zeros(0)
        name = self._penalty.population
        return self._penalty.of(clean.inputs[name], moved.inputs[name])

    def _targets(self, x: Codes, index: NDArray[np.int64]) -> Tensor:
        """Return what the teacher says to points [..], as shares [B, classes]."""
        scores = torch.from_numpy(np.asarray(run_float(self._network, x).scores(), np.float64))
        if self._config.teacher == "float" or self._labels is None:
            known = torch.round(scores / (self._unit * _SCORE_GRID)) * _SCORE_GRID
            return torch.softmax(known, dim=1)
        return torch.nn.functional.one_hot(self._labels[index], scores.shape[1]).double()

    def _by_scores(self, run: GradientRun, x: Codes, index: NDArray[np.int64]) -> Tensor:
        """Return the gradient of the mean cross-entropy by the scores."""
        return _by_scores(run.scores, self._targets(x, index)) / index.size

    def _moved(
        self,
        gradient: WeightGradient,
        x: Codes,
        index: NDArray[np.int64],
        random: np.random.Generator,
    ) -> Codes:
        """Return perturbed copies, whole codes within range (and radius, if adversarial)."""
        config, highest = self._config, self._network.encoder.max_code
        if config.perturbation == "gaussian":
            noisy = x + random.normal(0, config.radius_codes, x.shape)
            return np.asarray(np.clip(np.rint(noisy), 0, highest), np.int32)
        start = np.clip(x + random.integers(-1, 2, x.shape), 0, highest).astype(np.int32)
        run = gradient.run(start)
        slope = run.backward(self._by_scores(run, x, index)).codes
        moved = start + config.radius_codes * np.sign(slope)
        moved = np.clip(moved, x - config.radius_codes, x + config.radius_codes)
        return np.asarray(np.clip(moved, 0, highest), np.int32)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Compute on one thread, where sums keep their order."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _by_scores(scores: Tensor, targets: Tensor) -> Tensor:
    """Return the gradient of the cross-entropy to ``targets``, summed over samples."""
    given = scores.detach().clone().requires_grad_()
    (found,) = torch.autograd.grad(cross_entropy(given, targets, reduction="sum"), given)
    return found


def _mean(a: ParameterGradients, b: ParameterGradients) -> ParameterGradients:
    """Return half of both."""
    weights, biases = (
        {name: (one[name] + other[name]) / 2 for name in one}
        for one, other in ((a.weights, b.weights), (a.biases, b.biases))
    )
    return ParameterGradients(a.codes, weights, biases)


def _wanted(network: Network, net: FixedPointNetwork) -> Mapping[str, NDArray[np.float64]]:
    """Return float weights in units of the mantissas, in the layout of the integers."""
    fixed, network = {s.name: s for s in net.synapses}, as_split(network, net)
    found = {}
    for p in network.populations:
        for s in network.synapses_into(p.name):
            if s.source == ALWAYS_ON or s.name not in fixed:
                continue
            own = fixed[s.name]
            incoming = incoming_of(network, p, s, written_out=isinstance(own.layout, SparseLayout))
            scale = per_weight(net.population(p.name).scales, incoming.layout)
            unit = scale / np.ldexp(1.0, own.weight_exp + ALIGN_BITS)
            found[s.name] = incoming.values * unit
    return found
