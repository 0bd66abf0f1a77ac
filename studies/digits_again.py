"""Training at twice the radius against the penalty, attacked again and again.

In the digits study sanity lines fail in more than a tenth of these cells, so its claim is open.
Here each network is attacked in several runs with seeds of their own; what any run breaks counts.

    python studies/digits_again.py [--out DIR] [--workers N] [--runs N] [--seeds N] [--folds N]
        [--table DIR]
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from again_cells import CODES, PAIRS, RUNS, all_cells, code_of
from cell_runner import run_missing
from code_hash import code_hash
from digits_models import FOLDS, SEEDS
from digits_table import Estimate, estimate
from numpy.typing import NDArray

from neurodeploy.files import write_text

#: Both pairs hold together in 95 % (Bonferroni).
CONFIDENCE = 1 - 0.05 / len(PAIRS)


def main(arguments: list[str] | None = None) -> int:
    """Run what is missing; return 0, or 130 if interrupted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("study-out"), help="folder of the cells")
    parser.add_argument("--workers", type=int, default=2, help="processes, one thread each")
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--folds", type=int, default=FOLDS)
    parser.add_argument("--table", type=Path, default=Path("studies"), help="where results go")
    given = parser.parse_args(arguments)
    here = Path(__file__).parent
    code, training = (code_hash(here / f"{name}.py") for name in ("again_cells", "digits_models"))
    cells = list(all_cells(seeds=given.seeds, folds=given.folds, runs=given.runs))
    missing = [cell for cell in cells if code_of(cell, given.out) != code]
    try:
        run_missing("again_cells", missing, given.out, given.workers, None, (code, training))
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; the same command goes on\n")
        return 130
    found = {variant: masks(given, variant) for pair in PAIRS for variant in pair}
    count = given.runs * given.seeds * given.folds
    given.table.mkdir(parents=True, exist_ok=True)
    target = given.table / "digits_again.md"
    write_text(target, report_text(found, weak_cells(given), count, code))
    print(target)
    return 0


def masks(given: argparse.Namespace, variant: str) -> NDArray[np.bool_]:
    """Return who is robust in each run, [runs, seeds, images]."""
    rows = []
    for run in range(given.runs):
        by_seed: list[dict[int, bool]] = [{} for _ in range(given.seeds)]
        for cell in all_cells(seeds=given.seeds, folds=given.folds, runs=given.runs):
            if cell.variant == variant and cell.run == run:
                document = json.loads(cell.path(given.out).read_text(encoding="utf-8"))
                right = (mark == "1" for mark in document["robust"])
                by_seed[cell.seed].update(zip(document["index"], right, strict=True))
        rows.append([[images[i] for i in sorted(images)] for images in by_seed])
    return np.array(rows, bool)


def weak_cells(given: argparse.Namespace) -> dict[str, tuple[int, int]]:
    """Return in how many runs of each variant a line about float, and about fixed, failed."""
    found = dict.fromkeys((variant for pair in PAIRS for variant in pair), (0, 0))
    for cell in all_cells(seeds=given.seeds, folds=given.folds, runs=given.runs):
        weak = json.loads(cell.path(given.out).read_text(encoding="utf-8"))["weak"]
        a, b = found[cell.variant]
        found[cell.variant] = (a + ("float" in weak), b + ("fixed" in weak))
    return found


def report_text(
    found: dict[str, NDArray[np.bool_]], weak: dict[str, tuple[int, int]], cells: int, code: str
) -> str:
    """Return shares after one run, two, ..., and the claim for each pair."""
    runs = len(next(iter(found.values())))
    lines = [
        "# Attacked again: training at twice the radius against the penalty", "",
        f"Integers of 8 bits, {CODES} codes, the full suite in {runs} runs with other seeds; code",
        f"{code}. Percent robust against all first runs. Weak: of {cells} runs, those in which",
        "a sanity line about the float network failed, and about the integers.", "",
        "| variant | " + " | ".join(f"1 to {n + 1}" for n in range(runs)) + " | weak |",
        "|" + " --- |" * (runs + 2),
    ]  # fmt: skip
    for variant, robust in found.items():
        shares = " | ".join(f"{100 * share:.2f}" for share in left(robust))
        lines.append(f"| {variant} | {shares} | {weak[variant][0]}, {weak[variant][1]} |")
    lines += [
        "", "A pair is confirmed if it would still be with as many more images broken in the",
        "network of the larger radius as its last run broke, and none in the other.", "",
    ]  # fmt: skip
    for better, worse in PAIRS:
        e, margin = difference(found[better], found[worse]), last_found(found[better])
        lines.append(
            f"- {better} minus {worse}: {e}, margin {margin:.2f}: **{verdict(e, margin)}**"
        )
    return "\n".join([*lines, ""])


def left(robust: NDArray[np.bool_]) -> list[float]:
    """Return the share that is robust after one run, two, and so on."""
    return [float(robust[: n + 1].all(axis=0).mean()) for n in range(len(robust))]


def last_found(robust: NDArray[np.bool_]) -> float:
    """Return how many points the last run broke that none before it did; all with one run."""
    shares = [1.0, *left(robust)]
    return 100 * (shares[-2] - shares[-1])


def difference(better: NDArray[np.bool_], worse: NDArray[np.bool_]) -> Estimate:
    """Return by how many points ``better`` is above ``worse``, over seeds and images."""
    a, b = (robust.all(axis=0).astype(np.float64) for robust in (better, worse))
    return estimate(a - b, confidence=CONFIDENCE)


def verdict(e: Estimate, margin: float) -> str:
    """Return whether the claim holds for a pair, with this much less for the better one."""
    if e.seeds < SEEDS:
        return "open"
    return "confirmed" if e.low > margin else "refuted" if e.high < 0 else "open"


if __name__ == "__main__":
    sys.exit(main())
