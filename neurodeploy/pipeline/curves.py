"""What else changes with strength: proofs, layers, energy, and accuracy on broken hardware."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.cost import estimate
from neurodeploy.errors import InputError
from neurodeploy.hardware_profiles import Profile
from neurodeploy.network import FixedPointNetwork, Network, decide
from neurodeploy.pipeline.running_cost import breaking_points, fixed_activity
from neurodeploy.pipeline.settings import StageProgress
from neurodeploy.robustness import RobustnessResult
from neurodeploy.robustness.certificates import certify
from neurodeploy.robustness.faults import (
    DecayMismatch,
    DroppedSpikes,
    Fault,
    StuckAtOne,
    StuckAtZero,
    ThresholdMismatch,
    WeightBitFlips,
    WeightNoise,
    fault_curve,
)
from neurodeploy.robustness.sample_clusters import independent_share, sample_clusters
from neurodeploy.robustness.statistics import wilson
from neurodeploy.simulate import run_fixed, run_float

#: Faults and the strengths they are shown at; zero is the healthy network.
FAULTS: tuple[tuple[Fault, tuple[float, ...]], ...] = (
    (WeightBitFlips(), (0.0, 0.001, 0.005, 0.01, 0.02)),
    (WeightNoise(), (0.0, 0.02, 0.05, 0.1)),
    (StuckAtZero(), (0.0, 0.05, 0.1, 0.2)),
    (StuckAtOne(), (0.0, 0.05, 0.1, 0.2)),
    (DroppedSpikes(), (0.0, 0.1, 0.2, 0.4)),
    (ThresholdMismatch(), (0.0, 0.05, 0.1, 0.2)),
    (DecayMismatch(), (0.0, 0.05, 0.1, 0.2)),
)


@dataclass(frozen=True, slots=True)
class CurvesConfig:
    """What is measured beside the attacks.

    Parameters
    ----------
    certified_radii_codes : tuple of int
        Radii of the certificates, in the l-infinity ball; rising.
    fault_seeds : int
        Draws of each fault.
    faults : tuple of str
        Names of those that are shown; see ``FAULTS``.
    """

    certified_radii_codes: tuple[int, ...] = (1, 2, 4, 8, 16)
    fault_seeds: int = 3
    faults: tuple[str, ...] = tuple(fault.name for fault, _ in FAULTS)

    def __post_init__(self) -> None:
        """Check radii and seeds."""
        radii = self.certified_radii_codes
        if any(int(r) != r or r < 1 for r in radii) or list(radii) != sorted(set(radii)):
            raise InputError(
                f"certified_radii_codes {radii} must be whole numbers from 1 on, rising"
            )
        if self.fault_seeds < 1:
            raise InputError(f"fault_seeds {self.fault_seeds} must be at least 1")
        known = [fault.name for fault, _ in FAULTS]
        if unknown := [name for name in self.faults if name not in known]:
            raise InputError(f"faults {unknown} do not exist; there are {', '.join(known)}")


def measure_curves(
    network: Network,
    net: FixedPointNetwork,
    result: RobustnessResult,
    profile: Profile,
    config: CurvesConfig | None = None,
    *,
    threads: int | None = None,
    progress: StageProgress | None = None,
) -> dict[str, Any]:
    """Measure everything on the samples of ``result``; return JSON types.

    ``certified``: shares proven by intervals alone and refined. ``agreement`` (share of equal
    spikes per population that fires, and of equal decisions) and ``energy``: on
    the clean samples (radius 0) and, per radius, on one point per sample, which breaks the
    integers where any does. ``faults``: both networks under the same draws. Intervals take copies
    of one sample together (``sample_clusters.py``).
    """
    config = config or CurvesConfig()
    evidence, seed = result.evidence, result.config.seed
    codes, labels = evidence.codes, evidence.labels
    report = progress or (lambda stage, done, total: None)
    stages = len(config.certified_radii_codes) + len(result.config.radii_codes) + 1
    total, done = stages + len(config.faults), 0

    def tick() -> None:
        nonlocal done
        report("curves", done, total)
        done += 1

    certified = []
    worth = independent_share(sample_clusters(codes, labels))
    for radius in config.certified_radii_codes:
        tick()
        if radius <= evidence.max_code:
            certified.append(_certified(net, codes, labels, radius, worth))
    attack = _strongest(result)
    agreement, energy = [], []
    for strength in (0.0, *result.config.radii_codes):
        tick()
        points = breaking_points(net, result, attack, strength) if strength else codes
        agreement.append({"radius_codes": strength, **_agreement(network, net, points)})
        cost = estimate(fixed_activity(net, points, threads), profile).summary()
        energy.append({"radius_codes": strength, **cost})
    faults = []
    for fault, strengths in FAULTS:
        if fault.name not in config.faults:
            continue
        tick()
        seeds = [seed + k for k in range(config.fault_seeds)]
        faults.append(_fault(network, net, fault, codes, labels, strengths, seeds, threads))
    return {
        "schema": 1,
        "attack": attack,
        "n": int(labels.size),
        "certified": certified,
        "agreement": agreement,
        "energy": energy,
        "faults": faults,
    }


def _certified(
    net: FixedPointNetwork,
    codes: NDArray[np.int32],
    labels: NDArray[np.int64],
    radius: int,
    worth: float,
) -> dict[str, Any]:
    found: dict[str, Any] = {"radius_codes": radius}
    for method in ("interval", "refined"):
        proven = int(certify(net, codes, labels, radius, method=method).certified.sum())
        found[method] = proven / labels.size
        found[f"{method}_ci95"] = list(wilson(proven * worth, labels.size * worth))
    return found


def _agreement(
    network: Network, net: FixedPointNetwork, points: NDArray[np.int32]
) -> dict[str, Any]:
    """Return the share of equal spikes of every population that fires, and of equal decisions.

    Two ties are equal decisions.
    """
    a = run_float(network, points, record=("spikes",))
    b = run_fixed(net, points, record=("spikes",))
    shares = {
        p.name: float((a.records[key] == b.records[key]).mean())
        for p in net.populations
        if p.kind != "readout" and (key := f"{p.name}/spikes") in a.records and key in b.records
    }
    equal = decide(a.scores()) == decide(b.scores())
    return {"populations": shares, "decisions": float(equal.mean())}


def _fault(
    network: Network,
    net: FixedPointNetwork,
    fault: Fault,
    codes: NDArray[np.int32],
    labels: NDArray[np.int64],
    strengths: Sequence[float],
    seeds: Sequence[int],
    threads: int | None,
) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": fault.name,
        "unit": fault.unit,
        "strengths": list(strengths),
        "seeds": list(seeds),
    }
    for side, one in (("float", network), ("fixed", net)):
        curve = fault_curve(one, fault, codes, labels, strengths, seeds, threads=threads)
        found[side] = {
            "accuracy": curve.accuracy.tolist(),
            "ci95": [list(interval) for interval in curve.interval()],
            "spread": [None if np.isnan(x) else float(x) for x in curve.spread],
        }
    return found


def _strongest(result: RobustnessResult) -> str:
    """Return the attack after whose points most is lost: the last that is no noise."""
    named = [row["perturbation"] for row in result.rows if row["norm"] is not None]
    return str(named[-1] if named else result.rows[-1]["perturbation"])
