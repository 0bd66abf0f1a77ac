"""One network of the digits study at 8 bits, attacked several times: each run has seeds of its own.

A sanity line says that an attack may have been too weak. What a claim is worth then is seen by
attacking again: an image counts as robust if no run's points break it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from digits_cells import PROFILE, study_config
from digits_models import FOLDS, RADIUS, SEEDS, VARIANTS, StudyModel, data_of, trained

from neurodeploy import hardware_profiles
from neurodeploy.files import write_json
from neurodeploy.graph import read
from neurodeploy.lowering import compose, lower
from neurodeploy.quantization import QuantizeConfig, quantize
from neurodeploy.robustness import evaluate

#: Better, worse: training at twice the radius against the penalty, beyond the budget.
PAIRS = (("lif-at2", "lif-at-penalty"), ("dlif-at2", "dlif-at-penalty"))
RUNS, BITS, CODES = 3, 8, 2 * RADIUS
SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Cell:
    """A trained network and a run of the attack."""

    variant: str
    seed: int
    fold: int
    run: int

    @property
    def model(self) -> StudyModel:
        """The network."""
        return StudyModel({v.name: v for v in VARIANTS}[self.variant], self.seed, self.fold)

    @property
    def key(self) -> str:
        """Name of its file."""
        return f"{self.model.key}-run{self.run}"

    def path(self, folder: Path) -> Path:
        """Return where its result is kept."""
        return folder / "cells" / f"{self.key}.json"


def all_cells(*, seeds: int = SEEDS, folds: int = FOLDS, runs: int = RUNS) -> Iterator[Cell]:
    """Yield every cell."""
    for seed in range(seeds):
        for fold in range(folds):
            for pair in PAIRS:
                for variant in pair:
                    for run in range(runs):
                        yield Cell(variant, seed, fold, run)


def run_cell(cell: Cell, folder: Path, code: str, training: str) -> None:
    """Train what is not trained yet, attack, and write the cell's file."""
    network = compose(lower(read(trained(cell.model, folder, training)).value).value).value
    splits, index = data_of(cell.model)
    tuning, codes = (s.codes(network.encoder, network.n_input) for s in (splits.train, splits.test))
    chip = hardware_profiles.load(PROFILE)
    net = quantize(network, chip, QuantizeConfig(BITS), calibration=tuning).value
    config = replace(
        study_config(), perturbations=("suite",), radii_codes=(CODES,), seed=1000 * cell.run
    )
    result = evaluate(network, net, codes, splits.test.labels, config, threads=1)
    [row] = result.rows
    [found] = [r for r in result.evidence.rows if not r.key.startswith("check/")]
    document = {
        "schema": SCHEMA, "code": code, "index": index.tolist(),
        "robust": "".join("1" if value else "0" for value in found.robust["fixed"]),
        "weak": sorted({line["concerns"] for line in row["sanity"] if not line["ok"]}),
    }  # fmt: skip
    path = cell.path(folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, document)


def code_of(cell: Cell, folder: Path) -> str:
    """Return the hash of the code that made a cell; empty if it is not there."""
    path = cell.path(folder)
    if not path.is_file():
        return ""
    found = json.loads(path.read_text(encoding="utf-8"))
    return str(found["code"]) if found["schema"] == SCHEMA else ""
