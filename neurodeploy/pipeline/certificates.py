"""Proofs beside the attacks: equal decisions, gains of layers, and the smoothed classifier."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.cost import estimate
from neurodeploy.errors import InputError
from neurodeploy.hardware_profiles import Profile
from neurodeploy.network import FixedPointNetwork, Network, decide
from neurodeploy.pipeline.running_cost import fixed_activity
from neurodeploy.pipeline.settings import StageProgress
from neurodeploy.quantization.gain_remapping import folded_gains
from neurodeploy.robustness import RobustnessResult
from neurodeploy.robustness.certificates import (
    SmoothingConfig,
    certify_deviation,
    noisy_codes,
    smooth,
    stability_gains,
)
from neurodeploy.robustness.certificates.smoothing_bounds import (
    clopper_pearson_below,
    normal_quantile_below,
)
from neurodeploy.robustness.sample_clusters import independent_share, sample_clusters
from neurodeploy.robustness.statistics import wilson
from neurodeploy.simulate import run_fixed

#: Neuron-steps of samples that one call looks at: what it keeps of each costs some ten bytes.
_CALL_VALUES = 2**24
#: Radii of the smoothed classifier where none are asked for, in standard deviations.
_RADII_SIGMAS = (0.5, 1.0, 1.5, 2.0, 2.5, 3.0)


@dataclass(frozen=True, slots=True)
class CertificatesConfig:
    """Which proofs about the deployed integers are made.

    Parameters
    ----------
    deviation : bool
        Which decisions are provably those of the float network in exact real arithmetic.
    stability : bool
        The gain of each layer over the steps that run.
    """

    deviation: bool = True
    stability: bool = True


@dataclass(frozen=True, slots=True)
class SmoothingSettings:
    """The smoothed classifier, if it is asked for; its seed is that of the evaluation.

    Parameters
    ----------
    sigma_codes : float or None
        Standard deviation of the noise, in codes. None: no smoothing.
    n0, n, alpha
        As in ``SmoothingConfig``.
    radii_codes : tuple of float
        Radii of the l2 ball, rising; none: 0.5, 1, ... 3 standard deviations, as far as so many
        draws can certify.
    samples : int or None
        The first so many samples alone; None: all.
    """

    sigma_codes: float | None = None
    n0: int = 100
    n: int = 10_000
    alpha: float = 1e-3
    radii_codes: tuple[float, ...] = ()
    samples: int | None = None

    def __post_init__(self) -> None:
        """Check the ranges."""
        sigma = 1.0 if self.sigma_codes is None else self.sigma_codes
        SmoothingConfig(sigma, self.n0, self.n, self.alpha)  # refuses what is out of range
        needed = math.floor(-math.log2(self.alpha)) + 1  # alpha ** (1 / n) > 1/2
        if self.n < needed:
            raise InputError(
                f"smoothing: n {self.n} draws certify nothing at alpha {self.alpha:g}; needs at "
                f"least {needed}, better some thousands"
            )
        radii = self.radii_codes
        if any(not 0 < r < math.inf for r in radii) or list(radii) != sorted(set(radii)):
            raise InputError(f"smoothing: radii_codes {radii} must be positive and rising")
        if self.samples is not None and self.samples < 1:
            raise InputError(f"smoothing: samples {self.samples} must be at least 1")

    @property
    def asked(self) -> bool:
        """Whether there is anything to do."""
        return self.sigma_codes is not None

    def run(self, seed: int) -> SmoothingConfig:
        """Return what the library is asked for.

        Raises
        ------
        InputError
            Without sigma, or for a seed out of range.
        """
        if self.sigma_codes is None:
            raise InputError(
                "smoothing: sigma_codes is missing; name the standard deviation of the noise in "
                "codes, e.g. sigma_codes = 26"
            )
        return SmoothingConfig(self.sigma_codes, self.n0, self.n, self.alpha, seed)


def measure_certificates(
    network: Network,
    net: FixedPointNetwork,
    result: RobustnessResult,
    profile: Profile,
    config: CertificatesConfig,
    smoothing: SmoothingSettings,
    *,
    threads: int | None = None,
    progress: StageProgress | None = None,
) -> dict[str, Any]:
    """Prove on the clean samples of ``result``; return JSON types, None for what is not asked.

    ``deviation``: see ``certify_deviation``; or ``{"refused": why}``. ``stability``: see
    ``stability_gains``. ``smoothing``: see ``smooth``, with the energy of passes under noise.
    Samples are called by ``evidence.index``; intervals take copies of one sample together.
    """
    codes, labels = result.evidence.codes, result.evidence.labels
    report = progress or (lambda stage, done, total: None)
    found: dict[str, Any] = {"deviation": None, "stability": None, "smoothing": None}
    if config.deviation:
        found["deviation"] = _deviation(network, net, codes, result.evidence.index, report)
    if config.stability:
        report("stability", 0, 1)
        found["stability"] = stability_gains(net).as_dict()
        report("stability", 1, 1)
    if smoothing.asked:
        count = smoothing.samples
        asked = smoothing.run(result.config.seed)
        smoothed = _smoothing(
            net, codes[:count], labels[:count], asked, smoothing.radii_codes, profile,
            threads, report,
        )  # fmt: skip
        found["smoothing"] = {**smoothed, "index": result.evidence.index[:count].tolist()}
    return found


def _deviation(
    network: Network,
    net: FixedPointNetwork,
    codes: NDArray[np.int32],
    index: NDArray[np.int64],
    report: StageProgress,
) -> dict[str, Any]:
    """Count the decisions, some samples at a time: memory stays bounded."""
    each = net.steps * sum(p.size for p in net.populations)
    block = max(1, _CALL_VALUES // each)
    equal, different = np.zeros(len(codes), bool), np.zeros(len(codes), bool)
    for first in range(0, len(codes), block):
        report("deviation", first, len(codes))
        part = slice(first, first + block)
        try:
            proven = certify_deviation(network, net, codes[part])
        except InputError as error:  # of a network that has no such proof: nothing to mend here
            return {"refused": str(error)}
        equal[part], different[part] = proven.equal, proven.different
    report("deviation", len(codes), len(codes))
    undecided = ~(equal | different)
    return {
        "n": len(codes),
        "equal": int(equal.sum()),
        "different": int(different.sum()),
        "undecided": int(undecided.sum()),
        "folded_gains": folded_gains(network, net),
        "different_samples": index[different].tolist(),
        "undecided_samples": index[undecided].tolist(),
    }


def _smoothing(
    net: FixedPointNetwork,
    codes: NDArray[np.int32],
    labels: NDArray[np.int64],
    config: SmoothingConfig,
    radii: tuple[float, ...],
    profile: Profile,
    threads: int | None,
    report: StageProgress,
) -> dict[str, Any]:
    noisy = noisy_codes(codes, config, net.encoder.max_code)
    result = smooth(
        net,
        codes,
        labels,
        config,
        threads=threads,
        progress=lambda done, total: report("smoothing", done, total),
        energy_per_pass_nj=estimate(fixed_activity(net, noisy, threads), profile).energy_nj["core"],
    )
    n, certified, most = int(labels.size), [], _largest_radius(config)
    worth = independent_share(sample_clusters(codes, labels))
    reached = tuple(r for k in _RADII_SIGMAS if (r := k * config.sigma_codes) <= most)
    for radius in (0.0, *(radii or reached)):
        share = result.certified_accuracy(radius)
        ci95 = list(wilson(round(share * n) * worth, n * worth))
        certified.append({"radius_codes": radius, "accuracy": share, "ci95": ci95})
    deployed = decide(run_fixed(net, codes, threads=threads).scores()) == labels
    return {
        **result.as_dict(),
        "n_samples": n,
        "confidence": 1 - config.alpha,
        "largest_radius_codes": most,
        "certified": certified,
        "deployed_accuracy": float(deployed.mean()),
    }


def _largest_radius(config: SmoothingConfig) -> float:
    """Return what is certified where all draws agree: no radius is larger."""
    limit = Decimal(clopper_pearson_below(config.n, config.n, config.alpha))
    return config.sigma_codes * normal_quantile_below(limit)
