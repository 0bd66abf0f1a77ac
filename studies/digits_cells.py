"""One cell of the digits study: a network, its integers of one width, and what holds on its fold.

A cell is a file of its own, written whole or not at all: a study that was killed goes on with the
cells that are missing.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from digits_models import FOLDS, RADIUS, SEEDS, VARIANTS, StudyModel, data_of, trained
from numpy.typing import NDArray

from neurodeploy import hardware_profiles
from neurodeploy.files import write_json
from neurodeploy.graph import read
from neurodeploy.lowering import compose, lower
from neurodeploy.network import decide, integers_hash
from neurodeploy.quantization import QuantizeConfig, quantize
from neurodeploy.robustness import RobustnessConfig, check_overlap, evaluate
from neurodeploy.robustness.certificates import certify
from neurodeploy.simulate import run_fixed, run_float

PROFILE = "loihi2"
BITS = (8, 6, 4)
#: In the budget of adversarial training, and twice that.
RADII = (RADIUS, 2 * RADIUS)
#: Radii of the certificates; sixteen codes are one grey level of the digits. Intervals are quick;
#: the refinement is for the radius and the weights that the claims are about.
INTERVAL_RADII, REFINED_RADII, REFINED_BITS = (1, 4, 8, 16), (4,), 8
#: 2: ``network`` is a hash of the integers alone (1: of all that NET.h5 stores, the profile's text
#: too), and ``weak`` names the networks for which a sanity line failed (1: there is none).
SCHEMA = 2
READABLE = (1, SCHEMA)


@dataclass(frozen=True, slots=True)
class Cell:
    """A trained network and a weight width."""

    model: StudyModel
    bits: int

    @property
    def key(self) -> str:
        """Name of its file."""
        return f"{self.model.key}-{self.bits}bit"

    def path(self, folder: Path) -> Path:
        """Return where its result is kept."""
        return folder / "cells" / f"{self.key}.json"


def all_cells(
    *, seeds: int = SEEDS, folds: int = FOLDS, only: tuple[str, ...] = ()
) -> Iterator[Cell]:
    """Yield every cell; the first seed is whole before the next begins."""
    for seed in range(seeds):
        for fold in range(folds):
            for variant in VARIANTS:
                if not only or variant.name in only:
                    for bits in BITS:
                        yield Cell(StudyModel(variant, seed, fold), bits)


def run_cell(cell: Cell, folder: Path, code: str, training: str) -> None:
    """Train what is not trained yet, evaluate, certify, and write the cell's file.

    ``code`` and ``training`` are the hashes of the code that decides its numbers, and of the part
    of it that trains.
    """
    begun = time.perf_counter()
    nir_file = trained(cell.model, folder, training)
    splits, index = data_of(cell.model)
    network = compose(lower(read(nir_file).value).value).value
    codes = splits.test.codes(network.encoder, network.n_input)
    config = QuantizeConfig(weight_bits=cell.bits)
    tuning = splits.train.codes(network.encoder, network.n_input)
    hashes = splits.train.hashes(network.encoder)
    net, _ = quantize(
        network, hardware_profiles.load(PROFILE), config, calibration=tuning,
        calibration_hashes=hashes,
    )  # fmt: skip
    check_overlap(net.calibration, codes)
    labels, ready = splits.test.labels, time.perf_counter()
    result = evaluate(network, net, codes, labels, study_config(), threads=1)
    judged = time.perf_counter()
    proofs = [("interval", r) for r in INTERVAL_RADII]
    proofs += [("refined", r) for r in REFINED_RADII if cell.bits == REFINED_BITS]
    certified = {
        f"{method}/{r}": _text(certify(net, codes, labels, r, method=method).certified)
        for method, r in proofs
    }
    rows = {row.key: row for row in result.evidence.rows}
    document = {
        "schema": SCHEMA,
        "code": code,
        "training": training,
        "network": integers_hash(net)[:16],
        "variant": cell.model.variant.name,
        "seed": cell.model.seed,
        "fold": cell.model.fold,
        "bits": cell.bits,
        "index": index.tolist(),
        "clean": {
            "float": _text(decide(run_float(network, codes).scores()) == labels),
            "fixed": _text(decide(run_fixed(net, codes, threads=1).scores()) == labels),
        },
        "rows": {
            f"{row['perturbation']}/{row['radius_codes']}": {
                "verdict": row["verdict"],
                "attack_too_weak": row["attack_too_weak"],
                "weak": sorted({line["concerns"] for line in row["sanity"] if not line["ok"]}),
                "failing": [line["line"] for line in row["sanity"] if not line["ok"]],
                "transfer": row["transfer"],
            }
            for row in result.rows
        },
        "robust": {
            key: {side: _text(row.robust[side]) for side in ("float", "fixed")}
            for key, row in rows.items()
            if not key.startswith("check/")
        },
        "certified": certified,
        "seconds": {
            "ready": ready - begun,
            "attacks": judged - ready,
            "certificates": time.perf_counter() - judged,
        },
    }
    path = cell.path(folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, document)


def study_config() -> RobustnessConfig:
    """Return the evaluation of every cell."""
    return RobustnessConfig(
        perturbations=("gaussian", "suite"), radii_codes=RADII, image_shape=(1, 8, 8)
    )


def code_of(cell: Cell, folder: Path) -> str:
    """Return the hash of the code that made a cell; empty if it is not there."""
    path = cell.path(folder)
    if not path.is_file():
        return ""
    found = json.loads(path.read_text(encoding="utf-8"))
    return str(found["code"]) if found["schema"] in READABLE else ""


def load_cell(cell: Cell, folder: Path) -> Mapping[str, Any] | None:
    """Return a finished cell, None if it is not there; its masks are bool arrays."""
    path = cell.path(folder)
    if not path.is_file():
        return None
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    found["clean"] = {side: _mask(text) for side, text in found["clean"].items()}
    found["certified"] = {key: _mask(text) for key, text in found["certified"].items()}
    found["robust"] = {
        key: {side: _mask(text) for side, text in sides.items()}
        for key, sides in found["robust"].items()
    }
    return found


def _text(mask: NDArray[np.bool_]) -> str:
    return "".join("1" if value else "0" for value in mask)


def _mask(text: str) -> NDArray[np.bool_]:
    return np.frombuffer(text.encode(), np.uint8) == ord("1")
