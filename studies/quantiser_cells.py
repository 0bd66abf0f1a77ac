"""One cell of the quantisers' study: a trained network, and one way to make integers of it.

Everything is tuned on the training folds: ranges, roundings, and the repair with its own attacks.
A cell is a file of its own, written whole or not at all.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from digits_conv import ConvModel
from digits_models import FOLDS, RADIUS, SEEDS, VARIANTS, StudyModel, data_of, trained
from numpy.typing import NDArray

from neurodeploy import hardware_profiles
from neurodeploy.files import write_json
from neurodeploy.graph import read
from neurodeploy.lowering import compose, lower
from neurodeploy.network import FixedPointNetwork, Network, decide, integers_hash
from neurodeploy.quantization import QuantizeConfig, config_for, quantize
from neurodeploy.quantization.partial_rounding import with_roundings
from neurodeploy.robustness import RobustnessConfig, check_overlap, evaluate
from neurodeploy.robustness.classifiers import NetworkClassifier
from neurodeploy.simulate import run_fixed, run_float
from neurodeploy.training import Splits
from neurodeploy.training.repair import RepairConfig, repair

PROFILE = "loihi2"
#: Trained with noise and the penalty (it loses most at 4 bits), against attacks, both with gains,
#: and a convolutional network. At this radius all of them are robust on 20 to 90 % of the images.
RECIPES = ("lif-gauss-penalty", "lif-at", "dlif-at-penalty", "conv-at")
EPOCHS = 8
SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Way:
    """How integers are made: width, the quantiser's choices, and who teaches the repair."""

    name: str
    bits: int
    measured: bool
    teacher: Literal["float", "labels"] | None = None

    @property
    def config(self) -> QuantizeConfig:
        """The quantiser's configuration: the joint search, or exponents by the largest weight."""
        if self.measured:
            return config_for(calibrated=True, weight_bits=self.bits)
        return QuantizeConfig(self.bits, weight_exponent="largest_weight")

    @property
    def repair(self) -> RepairConfig | None:
        """What fine-tunes the integers, or None."""
        if self.teacher is None:
            return None
        return RepairConfig(teacher=self.teacher, radius_codes=RADIUS, epochs=EPOCHS)


WAYS = (
    Way("8-search", 8, True),
    Way("6-search", 6, True),
    Way("4-naive", 4, False),
    Way("4-search", 4, True),
    Way("4-search-repaired", 4, True, "float"),
)


@dataclass(frozen=True, slots=True)
class Cell:
    """A trained network and a way."""

    recipe: str
    seed: int
    fold: int
    way: Way

    @property
    def model(self) -> StudyModel | ConvModel:
        """The network."""
        if self.recipe.startswith("conv"):
            return ConvModel(self.seed, self.fold)
        variant = {v.name: v for v in VARIANTS}[self.recipe]
        return StudyModel(variant, self.seed, self.fold)

    @property
    def key(self) -> str:
        """Name of its file."""
        return f"{self.model.key}-{self.way.name}"

    def path(self, folder: Path) -> Path:
        """Return where its result is kept."""
        return folder / "cells" / f"{self.key}.json"


def all_cells(
    *, seeds: int = SEEDS, folds: int = FOLDS, only: tuple[str, ...] = ()
) -> Iterator[Cell]:
    """Yield every cell; the first seed is whole before the next begins."""
    for seed in range(seeds):
        for fold in range(folds):
            for recipe in RECIPES:
                if not only or recipe in only:
                    for way in WAYS:
                        yield Cell(recipe, seed, fold, way)


def run_cell(cell: Cell, folder: Path, code: str, training: str) -> None:
    """Train what is not trained yet, make the integers, attack both, and write the cell's file."""
    begun = time.perf_counter()
    network, splits, index = loaded(cell.model, folder, training)
    net = integers_of(cell.way, network, splits)
    codes, labels = splits.test.codes(network.encoder, network.n_input), splits.test.labels
    check_overlap(net.calibration, codes)
    ready = time.perf_counter()
    result = evaluate(network, net, codes, labels, study_config(), threads=1)
    [row] = result.rows
    [found] = [r for r in result.evidence.rows if not r.key.startswith("check/")]
    document = {
        "schema": SCHEMA, "code": code, "training": training, "network": integers_hash(net)[:16],
        "recipe": cell.recipe, "seed": cell.seed, "fold": cell.fold, "way": cell.way.name,
        "index": index.tolist(),
        "clean": {
            "float": _text(decide(run_float(network, codes).scores()) == labels),
            "fixed": _text(decide(run_fixed(net, codes, threads=1).scores()) == labels),
        },
        "robust": {side: _text(found.robust[side]) for side in ("float", "fixed")},
        "failing": [line["line"] for line in row["sanity"] if not line["ok"]],
        "weak": row["attack_too_weak"],
        "layers": _agreement(network, net, codes),
        "gain": _gain_alone(network, net, codes, labels, found.rows),
        "seconds": {"ready": ready - begun, "attacks": time.perf_counter() - ready},
    }  # fmt: skip
    path = cell.path(folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, document)


def loaded(
    model: StudyModel | ConvModel, folder: Path, training: str
) -> tuple[Network, Splits, NDArray[np.int64]]:
    """Return the trained network, its data, and which images its test split holds."""
    if isinstance(model, ConvModel):
        graph = read(model.trained(folder, training), model.contract).value
        splits, index = model.data()
    else:
        graph = read(trained(model, folder, training)).value
        splits, index = data_of(model)
    return compose(lower(graph).value).value, splits, index


def integers_of(way: Way, network: Network, splits: Splits) -> FixedPointNetwork:
    """Return the integers that ``way`` makes of the network and the training split."""
    tuning = splits.train.codes(network.encoder, network.n_input)
    net: FixedPointNetwork = quantize(
        network, hardware_profiles.load(PROFILE), way.config, calibration=tuning,
        calibration_hashes=splits.train.hashes(network.encoder),
    ).value  # fmt: skip
    if way.repair is None:
        return net
    labels = splits.train.labels.astype(np.int64)
    repaired: FixedPointNetwork = repair(network, net, tuning, labels, way.repair).value
    return repaired


def study_config() -> RobustnessConfig:
    """Return the evaluation of every cell."""
    return RobustnessConfig(perturbations=("suite",), radii_codes=(RADIUS,), image_shape=(1, 8, 8))


def _agreement(
    network: Network, net: FixedPointNetwork, codes: NDArray[np.int32]
) -> dict[str, float]:
    """Return the share of equal spikes of each population on the clean images."""
    before = run_float(network, codes, record=("spikes",)).records
    after = run_fixed(net, codes, record=("spikes",), threads=1).records
    keys = [f"{p.name}/spikes" for p in network.populations if p.fires]
    return {key.split("/")[0]: float((before[key] == after[key]).mean()) for key in keys}


def _gain_alone(
    network: Network,
    net: FixedPointNetwork,
    codes: NDArray[np.int32],
    labels: NDArray[np.int64],
    points: Any,
) -> dict[str, Any] | None:
    """Return what rounding the gains alone does: equal spikes per layer, decisions on all points.

    ``robust``: of the float network with the gains that the integers store, on the same points as
    both networks met.
    """
    if all(p.gain is None for p in network.populations):
        return None
    rounded = with_roundings(network, net, ("gain",))
    before, after = (run_float(n, codes, record=("spikes",)).records for n in (network, rounded))
    keys = [f"{p.name}/spikes" for p in network.populations if p.gain is not None]
    deciding = NetworkClassifier(rounded)
    right = (deciding.predict(codes) == labels) & points.right(
        deciding.predict(points.points), labels
    )
    return {
        "layers": {k.split("/")[0]: float((before[k] == after[k]).mean()) for k in keys},
        "robust": _text(right),
    }


def code_of(cell: Cell, folder: Path) -> str:
    """Return the hash of the code that made a cell; empty if it is not there."""
    path = cell.path(folder)
    if not path.is_file():
        return ""
    found = json.loads(path.read_text(encoding="utf-8"))
    return str(found["code"]) if found["schema"] == SCHEMA else ""


def load_cell(cell: Cell, folder: Path) -> Mapping[str, Any]:
    """Return a finished cell; its masks are bool arrays."""
    found: dict[str, Any] = json.loads(cell.path(folder).read_text(encoding="utf-8"))
    for name in ("clean", "robust"):
        found[name] = {side: _mask(text) for side, text in found[name].items()}
    if found["gain"] is not None:
        found["gain"]["robust"] = _mask(found["gain"]["robust"])
    return found


def _text(mask: NDArray[np.bool_]) -> str:
    return "".join("1" if value else "0" for value in mask)


def _mask(text: str) -> NDArray[np.bool_]:
    return np.frombuffer(text.encode(), np.uint8) == ord("1")
