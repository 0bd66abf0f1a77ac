r"""Randomised smoothing of the deployed integer network: an l2 certificate for another classifier.

The network f is a function of whole codes in 0..M. The smoothed classifier, for any real point z,
is ``G(z) = argmax_c P(f(clamp(round(z + N))) = c)`` with N a real Gaussian of ``sigma`` codes per
input. Rounding and clamping are part of the function that the noise meets, so the theorem of
Cohen, Rosenfeld and Kolter (ICML 2019) holds for G as it stands: if the top class has probability
above p > 1/2 at z, then G says the same at every point nearer than ``sigma * Phi^-1(p)``, whole
codes or not. A tie of f is a vote for no class; it counts against the top one.

At a whole z, ``round(z + N) = z + round(N)`` with probability 1. So it is exact, and not an
approximation, to draw ``round(N)`` from its own distribution on the integers and to clamp after
adding. No floating-point Gaussian is drawn at all, which is where smoothing in floats is unsound
(Voracek and Hein, "Sound Randomized Smoothing in Floating-Point Arithmetics", ICLR 2023).

What is certain: for each sample on its own, over the draws, a certificate is wrong with
probability at most ``alpha``, given ideal random bits. The lower limit of the probability
(Clopper and Pearson, one-sided) is taken for the table that is drawn from, and the distance of
that table from the exact distribution, times the number of inputs, is taken off it. Limit,
quantile and radius are rounded down, confirmed in decimal arithmetic (``smoothing_bounds``).

G is not the deployed network. It takes ``n0 + n`` passes per certified decision, and so much
energy.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from decimal import Decimal, localcontext
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.cost import Interval
from neurodeploy.errors import RangeError, ShapeError
from neurodeploy.network import FixedPointNetwork, Network, decide
from neurodeploy.robustness.certificates.smoothing_bounds import (
    clopper_pearson_below,
    normal_quantile_below,
)
from neurodeploy.robustness.certificates.smoothing_noise import GridGaussian, noise_stream
from neurodeploy.robustness.certificates.smoothing_votes import (
    Predict,
    Progress,
    VotePlan,
    question,
    vote_all,
)


@dataclass(frozen=True, slots=True)
class SmoothingConfig:
    """One smoothing run.

    Parameters
    ----------
    sigma_codes : float
        Standard deviation of the noise, in codes.
    n0, n : int
        Draws that choose the class, and further draws that estimate its probability.
    alpha : float
        Largest probability of a wrong certificate, per sample.
    seed : int
        0 .. 2**64 - 1. The draws of a sample depend on the seed and the sample's key alone.
    """

    sigma_codes: float
    n0: int = 100
    n: int = 10_000
    alpha: float = 1e-3
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not 0 < self.sigma_codes < float("inf"):
            raise RangeError(f"smoothing: sigma_codes {self.sigma_codes} must be positive, finite")
        if self.n0 < 1 or self.n < 1:
            raise RangeError(f"smoothing: n0 {self.n0} and n {self.n} must be at least 1")
        if not 0 < self.alpha < 0.5:
            raise RangeError(f"smoothing: alpha {self.alpha} must lie between 0 and 1/2")
        if not 0 <= self.seed < 2**64:
            raise RangeError(f"smoothing: seed {self.seed} must lie in 0 .. 2**64 - 1")

    @property
    def passes_per_decision(self) -> int:
        """Passes of the network for one certified decision."""
        return self.n0 + self.n


@dataclass(frozen=True, slots=True, eq=False)
class SmoothingResult:
    """Certificates of the smoothed classifier, which is not the deployed network itself.

    Parameters
    ----------
    config : SmoothingConfig
    code_step : float
        One code in input units.
    labels, top, count : int64 [B]
        The class, the one that noise makes most frequent (-1: every draw tied) and its votes among
        ``config.n`` draws.
    p_lower : float64 [B]
        Lower confidence limit of its probability.
    radius_codes : float64 [B]
        The decision is the same at every point up to this l2 distance, in codes; 0 where it
        abstains.
    abstain : bool [B]
        Whether no class is shown to have more than half of the probability.
    energy_per_pass_nj : Interval or None
        The cost model's estimate of one pass; for honest numbers, on noisy codes.
    """

    config: SmoothingConfig
    code_step: float
    labels: NDArray[np.int64]
    top: NDArray[np.int64]
    count: NDArray[np.int64]
    p_lower: NDArray[np.float64]
    radius_codes: NDArray[np.float64]
    abstain: NDArray[np.bool_]
    energy_per_pass_nj: Interval | None = None

    @property
    def passes_per_decision(self) -> int:
        """Passes of the network for one certified decision of this classifier."""
        return self.config.passes_per_decision

    @property
    def energy_per_decision_nj(self) -> Interval | None:
        """Estimated energy of one certified decision."""
        each = self.energy_per_pass_nj
        return None if each is None else each.scaled(float(self.passes_per_decision))

    @property
    def radius_input(self) -> NDArray[np.float64]:
        """The radii in input units, rounded down, [B]."""
        return np.asarray(self.radius_codes * self.code_step * (1 - 2.0**-50))

    @property
    def right(self) -> NDArray[np.bool_]:
        """Where it decides, and as the label says, [B]."""
        return np.asarray(~self.abstain & (self.top == self.labels))

    def certified_accuracy(self, radius_codes: float) -> float:
        """Return the share that is right and certified up to an l2 distance, in codes."""
        return float((self.right & (self.radius_codes >= radius_codes)).mean())

    def as_dict(self) -> dict[str, Any]:
        """Return settings, samples and cost as JSON types."""
        per_pass, per_decision = self.energy_per_pass_nj, self.energy_per_decision_nj
        return {
            "classifier": "smoothed; not the deployed network itself",
            "norm": "l2",
            **asdict(self.config),
            "code_step": self.code_step,
            "passes_per_decision": self.passes_per_decision,
            "energy_per_pass_nj": None if per_pass is None else per_pass.as_dict(),
            "energy_per_decision_nj": None if per_decision is None else per_decision.as_dict(),
            "accuracy": float(self.right.mean()),
            "abstained": int(self.abstain.sum()),
            "top": self.top.tolist(),
            "count": self.count.tolist(),
            "p_lower": self.p_lower.tolist(),
            "radius_codes": self.radius_codes.tolist(),
        }


def smooth(
    net: FixedPointNetwork | Network,
    codes: NDArray[Any],
    labels: NDArray[Any],
    config: SmoothingConfig,
    *,
    keys: NDArray[np.int64] | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
    checkpoint: str | Path | None = None,
    energy_per_pass_nj: Interval | None = None,
) -> SmoothingResult:
    """Certify the smoothed form of ``net`` on whole codes held for ``net.steps`` steps.

    Parameters
    ----------
    net : FixedPointNetwork or Network
        A float network sees the same noisy codes; its certificate is for its float64 arithmetic.
    codes : int [B, n_input], labels : int [B]
    keys : int64 [B] or None
        The samples' places in the data set; the draws of a sample follow from seed and key, so
        that the result on a subset is the subset of the result. Default: 0, 1, ...
    threads : int or None
        Samples at a time; default: the cores this process may use. Results do not depend on it.
    progress : callable (done, samples) or None
    checkpoint : path or None
        File (JSON) from which an interrupted run goes on.
    energy_per_pass_nj : Interval or None
        Estimate of one pass, for the result.

    Raises
    ------
    ShapeError, RangeError
        For samples that do not fit the network.
    InputError, FileFormatError
        For a checkpoint of something else.
    """
    # Imported here: kernels are compiled on import of the simulator.
    from neurodeploy.robustness.classifiers import fingerprint
    from neurodeploy.simulate import run_fixed, run_float

    def predict(points: NDArray[Any]) -> NDArray[np.int64]:
        if isinstance(net, FixedPointNetwork):
            return decide(run_fixed(net, points, threads=1).scores())
        return decide(run_float(net, points).scores())

    if np.ndim(codes) != 2 or np.shape(codes)[1] != net.n_input:
        raise ShapeError(f"smoothing: codes have shape {np.shape(codes)}; needs [B, {net.n_input}]")
    return smooth_classifier(
        predict,
        codes,
        labels,
        config,
        max_code=net.encoder.max_code,
        code_step=net.encoder.step,
        name=fingerprint(net),
        keys=keys,
        threads=threads,
        progress=progress,
        checkpoint=checkpoint,
        energy_per_pass_nj=energy_per_pass_nj,
    )


def smooth_classifier(
    predict: Predict,
    codes: NDArray[Any],
    labels: NDArray[Any],
    config: SmoothingConfig,
    *,
    max_code: int,
    code_step: float = 1.0,
    name: str = "",
    keys: NDArray[np.int64] | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
    checkpoint: str | Path | None = None,
    energy_per_pass_nj: Interval | None = None,
) -> SmoothingResult:
    """Certify any function ``predict`` from codes [D, n] to classes [D] (-1: no vote).

    ``name`` tells classifiers apart in a checkpoint. The rest is as in ``smooth``; ``predict`` is
    called from several threads.
    """
    from neurodeploy.simulate.fixed import available_threads

    codes, labels, keys = _checked(codes, labels, keys, max_code)
    noise = GridGaussian.of(config.sigma_codes, max_code)
    asked = question(codes, keys, net=name, max_code=max_code, **asdict(config))
    top, count = vote_all(
        predict,
        codes,
        keys,
        VotePlan(noise, config.n0, config.n, config.seed, max_code),
        threads=threads or available_threads(),
        progress=progress,
        checkpoint=None if checkpoint is None else Path(checkpoint),
        fingerprint=asked,
    )
    bounds = {k: _certified(int(k), config, noise, codes.shape[1]) for k in np.unique(count)}
    p_lower = np.array([bounds[k][0] for k in count])
    radius = np.array([bounds[k][1] for k in count])
    return SmoothingResult(
        config, code_step, labels, top, count, p_lower, radius, radius <= 0, energy_per_pass_nj
    )


def noisy_codes(
    codes: NDArray[Any],
    config: SmoothingConfig,
    max_code: int,
    *,
    draws: int = 1,
    keys: NDArray[np.int64] | None = None,
) -> NDArray[np.int32]:
    """Return what the network sees, [B * draws, n]: the first draws of each sample, in turn.

    For counting activity: a pass under noise costs another energy than one on a clean image.
    """
    array, _, numbers = _checked(codes, np.zeros(len(codes), np.int64), keys, max_code)
    noise = GridGaussian.of(config.sigma_codes, max_code)
    parts = [
        noise.noisy(code, draws, noise_stream(config.seed, int(key)), max_code)
        for code, key in zip(array, numbers, strict=True)
    ]
    return np.concatenate(parts).astype(np.int32)


def _certified(
    count: int, config: SmoothingConfig, noise: GridGaussian, n_input: int
) -> tuple[float, float]:
    """Return the lower limit of the top class's probability and the radius in codes."""
    limit = clopper_pearson_below(count, config.n, config.alpha)
    with localcontext() as context:
        context.prec = 60
        # Of the table, and so of the exact noise but for the distance between the two.
        exact = max(Decimal(0), Decimal(limit) - n_input * noise.distance)
    radius = config.sigma_codes * normal_quantile_below(exact)
    lower = float(np.nextafter(float(exact), 0.0))
    return lower, float(np.nextafter(radius, 0.0)) if radius > 0 else 0.0


def _checked(
    codes: NDArray[Any], labels: NDArray[Any], keys: NDArray[np.int64] | None, max_code: int
) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]:
    array, classes = np.asarray(codes), np.asarray(labels)
    if array.ndim != 2 or 0 in array.shape or classes.shape != array.shape[:1]:
        raise ShapeError(
            f"smoothing: codes {array.shape} and labels {classes.shape}; needs [B, n] and [B], "
            "with at least one sample"
        )
    if array.dtype.kind not in "iu" or array.min() < 0 or array.max() > max_code:
        raise RangeError(
            f"smoothing: codes are {array.dtype} in {array.min()}..{array.max()}; they must be "
            f"whole, 0..{max_code}"
        )
    numbers = np.arange(len(array)) if keys is None else np.asarray(keys, np.int64)
    if numbers.shape != classes.shape or (numbers < 0).any():
        raise ShapeError(
            f"smoothing: keys of shape {numbers.shape}; needs one number from 0 per sample"
        )
    return array.astype(np.int32), classes.astype(np.int64), numbers
