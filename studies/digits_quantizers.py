"""Which way to quantise keeps robustness: a first look, with three attacks at one radius.

Networks of the digits study (trained if they are not there), every way of quantising, points
found against either network counted for both. Shares are means over the networks, in percent.
Repairs learn on the training split, attacked at the same radius.
Moments of clean samples alone (no ridge) are there to show what they cost.

    python studies/digits_quantizers.py [--out DIR] [--bits N ...] [--networks NAME-sSEED-fFOLD ...]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
from code_hash import code_hash
from digits_models import RADIUS, VARIANTS, StudyModel, data_of, trained

from neurodeploy import hardware_profiles
from neurodeploy.attacks import APGD, Ball
from neurodeploy.graph import read
from neurodeploy.lowering import compose, lower
from neurodeploy.network import FixedPointNetwork, Network
from neurodeploy.quantization import QuantizeConfig, input_moments, quantize
from neurodeploy.robustness import NetworkClassifier, Surrogate
from neurodeploy.robustness.cascade import run_cascade
from neurodeploy.robustness.suite import MemberPlan, Suite
from neurodeploy.simulate import run_fixed, run_float
from neurodeploy.training.repair import RepairConfig, repair

#: Of a repair.
EPOCHS = 8

NETWORKS = (
    "lif-at-s0-f0", "lif-at-s0-f1", "dlif-at-s0-f0", "dlif-at-penalty-s0-f0", "lif-gauss-s0-f0",
    "dlif-gauss-penalty-s0-f1", "lif-plain-s0-f0",
)  # fmt: skip
#: Name, scale, rounding, bias, whether moments have their ridge, who teaches the repair, threshold.
WAYS = (
    ("nearest", "power_of_two", "nearest", "own", True, None, "own"),
    ("nearest, searched scale", "search", "nearest", "own", True, None, "own"),
    ("nearest, corrected bias", "power_of_two", "nearest", "corrected", True, None, "own"),
    ("adaptive, clean moments alone", "search", "adaptive", "own", False, None, "own"),
    ("adaptive", "search", "adaptive", "own", True, None, "own"),
    ("adaptive, corrected bias", "search", "adaptive", "corrected", True, None, "own"),
    ("nearest, repaired by float", "power_of_two", "nearest", "own", True, "float", "own"),
    ("nearest, repaired by labels", "power_of_two", "nearest", "own", True, "labels", "own"),
    ("adaptive, bias, by float", "search", "adaptive", "corrected", True, "float", "own"),
    ("adaptive, bias, by labels", "search", "adaptive", "corrected", True, "labels", "own"),
    ("nearest, balanced thresholds", "power_of_two", "nearest", "own", True, None, "balanced"),
    ("adaptive, balanced thresholds", "search", "adaptive", "own", True, None, "balanced"),
    ("adaptive, unit per neuron", "search", "adaptive", "own", True, None, "own"),
    ("adaptive, split signs", "search", "adaptive", "own", True, None, "own"),
    ("adaptive, units, split signs", "search", "adaptive", "own", True, None, "own"),
)
#: What some of them choose beside that.
FINER: dict[str, dict[str, Any]] = {
    "adaptive, unit per neuron": {"granularity": "neuron"},
    "adaptive, split signs": {"sign_split": "auto"},
    "adaptive, units, split signs": {"granularity": "neuron", "sign_split": "auto"},
}
_SUITE = Suite(
    "short",
    (
        MemberPlan(APGD(15, loss="margin"), Surrogate("superspike", 0.25), 0),
        MemberPlan(APGD(15, loss="margin"), Surrogate("triangle", 0.25), 1),
        MemberPlan(APGD(15, loss="dlr"), Surrogate("superspike", 0.125), 2),
    ),
)


def main(arguments: list[str] | None = None) -> int:
    """Print one line per width and way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("study-out"), help="where networks are")
    parser.add_argument("--bits", type=int, nargs="*", default=(8, 6, 4))
    parser.add_argument("--networks", nargs="*", default=NETWORKS)
    given = parser.parse_args(arguments)
    code = code_hash(Path(__file__).with_name("digits_models.py"))
    loaded = [_loaded(name, given.out, code) for name in given.networks]
    print(f"{len(loaded)} networks, l-infinity {RADIUS} codes")
    print(f"{'bits':>4} {'way':30} {'lost':>6} {'gained':>6} {'drop':>6}  spikes agree")
    for bits in given.bits:
        for name, scale, rounding, bias, ridge, teacher, threshold in WAYS:
            config = QuantizeConfig(
                bits, scale=scale, rounding=rounding, bias=bias, threshold=threshold,
                **FINER.get(name, {}),
            )  # fmt: skip
            with _ridge(ridge):
                rows = [_judged(*parts, config, teacher) for parts in loaded]
            lost, gained, *agreement = 100 * np.mean(rows, axis=0)
            layers = " ".join(f"{share:.2f}" for share in agreement)
            print(f"{bits:4} {name:30} {lost:6.2f} {gained:6.2f} {lost - gained:6.2f}  {layers}")
    return 0


@contextmanager
def _ridge(on: bool) -> Iterator[None]:
    """Leave the ridge out of all moments for a while."""
    before = input_moments.RIDGE
    input_moments.RIDGE = before if on else 1e-9  # type: ignore[misc]
    try:
        yield
    finally:
        input_moments.RIDGE = before  # type: ignore[misc]


def _loaded(
    name: str, folder: Path, code: str
) -> tuple[Network, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    variant, seed, fold = name.rsplit("-", 2)
    found = {v.name: v for v in VARIANTS}[variant]
    model = StudyModel(found, int(seed[1:]), int(fold[1:]))
    network = compose(lower(read(trained(model, folder, code)).value).value).value
    splits, _ = data_of(model)
    tuning, test = (s.codes(network.encoder, network.n_input) for s in (splits.train, splits.test))
    labels = (s.labels.astype(np.int64) for s in (splits.train, splits.test))
    return network, tuning, test, *labels


def _judged(
    network: Network, tuning: np.ndarray, codes: np.ndarray, tuning_labels: np.ndarray,
    labels: np.ndarray, config: QuantizeConfig, teacher: Literal["float", "labels"] | None,
) -> list[float]:  # fmt: skip
    """Return the shares lost and gained, and the agreement of spikes on clean samples per layer."""
    net: FixedPointNetwork = quantize(
        network, hardware_profiles.load("loihi2"), config, calibration=tuning
    ).value
    if teacher is not None:
        settings = RepairConfig(teacher=teacher, radius_codes=RADIUS, epochs=EPOCHS)
        net = repair(network, net, tuning, tuning_labels, settings).value
    both = NetworkClassifier(network), NetworkClassifier(net, threads=1)
    ball = Ball("linf", RADIUS, network.encoder.max_code)
    rows = [
        run_cascade(_SUITE, [1, 2, 3], c, codes, labels, ball, lambda _: None).rows for c in both
    ]
    robust = []
    for c in both:
        right = c.predict(codes) == labels
        for found in rows:
            right &= found.right(c.predict(found.points), labels)
        robust.append(right)
    before = run_float(network, codes, record=("spikes",)).records
    after = run_fixed(net, codes, record=("spikes",)).records
    firing = [f"{p.name}/spikes" for p in network.populations if p.fires]
    agreement = [float((before[key] == after[key]).mean()) for key in firing]
    lost, gained = robust[0] & ~robust[1], robust[1] & ~robust[0]
    return [float(lost.mean()), float(gained.mean()), *agreement]


if __name__ == "__main__":
    sys.exit(main())
