"""From the cells of the quantisers' study to its table and what it was asked to show."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from digits_models import FOLDS, SEEDS
from digits_table import estimate
from numpy.typing import NDArray
from quantiser_cells import RECIPES, WAYS, Cell, load_cell

from neurodeploy.robustness.seed_clusters import clustered_drop
from neurodeploy.robustness.statistics import PairedDrop

REPLICATES = 20_000
CONFIDENCE = 0.95
#: Largest drop in points that its upper limit may reach, by way.
DROP_LIMITS = {"8-search": 1.0, "6-search": 2.0, "4-search-repaired": 3.0}
#: Largest share lost at 8 bits, and by gains of 8 bits alone, in percent.
LOST_LIMIT, GAIN_LOST_LIMIT = 2.0, 1.0
GAIN_AGREEMENT = 99.0
P_LIMIT = 0.01
COLUMNS = (
    "recipe", "seed", "fold", "way", "n", "clean_float", "clean_fixed", "robust_float",
    "robust_fixed", "lost", "gained", "weak", "network", "code",
)  # fmt: skip

Masks = NDArray[np.float64]


def rows_of(cells: Mapping[Cell, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return one line per cell: counts of images."""
    return [_row(cell, found) for cell, found in cells.items()]


def _row(cell: Cell, found: Mapping[str, Any]) -> dict[str, Any]:
    a, b = (found["robust"][side] for side in ("float", "fixed"))
    return {
        "recipe": cell.recipe, "seed": cell.seed, "fold": cell.fold, "way": cell.way.name,
        "n": a.size, "clean_float": int(found["clean"]["float"].sum()),
        "clean_fixed": int(found["clean"]["fixed"].sum()), "robust_float": int(a.sum()),
        "robust_fixed": int(b.sum()), "lost": int((a & ~b).sum()),
        "gained": int((~a & b).sum()), "weak": int(found["weak"]), "network": found["network"],
        "code": found["code"],
    }  # fmt: skip


class Results:
    """Finished cells; masks are [seeds, images] over the seeds that have the most folds."""

    def __init__(self, folder: Path, cells: Sequence[Cell]) -> None:
        self.cells = {cell: load_cell(cell, folder) for cell in cells}

    def masks(self, recipe: str, way: str, pick: Callable[[Any], Any]) -> Masks:
        """Return ``pick`` of the cells; shape (0, 0) without any."""
        seeds: dict[int, dict[int, float]] = {}
        for cell, found in self._of(recipe, way):
            images = zip(found["index"], pick(found), strict=True)
            seeds.setdefault(cell.seed, {}).update((i, float(value)) for i, value in images)
        most = max((len(images) for images in seeds.values()), default=0)
        whole = [images for _, images in sorted(seeds.items()) if len(images) == most]
        order = sorted(set.intersection(*map(set, whole))) if whole else []
        return np.array([[images[i] for i in order] for images in whole]).reshape(
            len(whole), len(order)
        )

    def weak(self, recipe: str, way: str) -> tuple[int, int]:
        """Return in how many cells a sanity line of the attack failed, of all."""
        found = [bool(cell["weak"]) for _, cell in self._of(recipe, way)]
        return sum(found), len(found)

    def layers(self, recipe: str, way: str, gain: bool = False) -> dict[str, float]:
        """Return the mean share of equal spikes per layer, or None with no cells."""
        shares: dict[str, list[float]] = {}
        for _, found in self._of(recipe, way):
            part = found["gain"] if gain else found
            for name, share in (part or {"layers": {}})["layers"].items():
                shares.setdefault(name, []).append(share)
        return {name: float(np.mean(values)) for name, values in shares.items()}

    def drop(self, recipe: str, way: str) -> PairedDrop | None:
        """Return the drop of robust accuracy, clustered over seeds."""
        a, b = (self.masks(recipe, way, robust(side)) for side in ("float", "fixed"))
        return clustered_drop(a > 0, b > 0, REPLICATES, 0) if a.size else None

    def _of(self, recipe: str, way: str) -> Iterator[tuple[Cell, Mapping[str, Any]]]:
        for cell, found in self.cells.items():
            if cell.recipe == recipe and cell.way.name == way:
                yield cell, found


def robust(side: str) -> Callable[[Any], Any]:
    """Return a pick: robust on every point."""
    return lambda found: found["robust"][side]


def lost(found: Any) -> Any:
    """Pick: robust in float, not in integers."""
    return found["robust"]["float"] & ~found["robust"]["fixed"]


def lost_by_gain(found: Any) -> Any:
    """Pick: robust in float, not with rounded gains and all else in float, on the same points."""
    return found["robust"]["float"] & ~found["gain"]["robust"]


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that was to be shown, for one recipe."""

    wanted: str
    found: str
    holds: bool | None  # None: undecided

    @property
    def verdict(self) -> str:
        """In words."""
        return {True: "holds", False: "does not hold", None: "undecided"}[self.holds]


def lines_of(results: Results, recipe: str) -> list[Line]:
    """Return what was to be shown about a recipe, as far as there are cells.

    Undecided with cells missing; and nothing holds that stands on an attack that was too weak.
    """
    lines = _lines(results, recipe)
    counts = [results.weak(recipe, way.name) for way in WAYS]
    if any(count != FOLDS * SEEDS for _, count in counts):
        return [replace(line, holds=None) for line in lines]
    doubted = any(weak for weak, _ in counts)
    return [replace(line, holds=None) if line.holds and doubted else line for line in lines]


def _lines(results: Results, recipe: str) -> list[Line]:
    lines = []
    for way, limit in DROP_LIMITS.items():
        drop = results.drop(recipe, way)
        if drop is not None:
            upper = 100 * drop.upper(CONFIDENCE)
            text = f"{100 * drop.drop:+.2f}, at most {upper:.2f} (one-sided 95 %)"
            lines.append(Line(f"{way}: drop at most {limit:g} points", text, upper <= limit))
    if (drop := results.drop(recipe, "8-search")) is not None:
        share = 100 * drop.lost / drop.n
        line = Line(
            f"8-search: lost at most {LOST_LIMIT:g} %", f"{share:.2f} %", share <= LOST_LIMIT
        )
        lines.append(line)
    return [*lines, *_against_naive(results, recipe), *_gain_lines(results, recipe)]


def _against_naive(results: Results, recipe: str) -> list[Line]:
    naive, search, repaired = (
        results.masks(recipe, way, lost) for way in ("4-naive", "4-search", "4-search-repaired")
    )
    if not naive.size or naive.shape != search.shape or naive.shape != repaired.shape:
        return []
    p = sign_flip_p(naive - search)
    numbers = f"{100 * search.mean():.2f} % and {100 * naive.mean():.2f} %, p = {p:.2g}"
    wanted = f"4-search loses fewer than 4-naive, paired p < {P_LIMIT:g}"
    fewer = Line(wanted, numbers, bool(search.mean() < naive.mean() and p < P_LIMIT))
    ratio = repaired.mean() / naive.mean() if naive.any() else np.inf
    excess = estimate(repaired - naive / 2)
    half = Line(
        "4-search-repaired loses at most half of 4-naive",
        f"{100 * repaired.mean():.2f} %, {ratio:.2f} of it; minus half: {excess}",
        True if excess.high <= 0 else False if excess.low > 0 else None,
    )
    return [fewer, half]


def _gain_lines(results: Results, recipe: str) -> list[Line]:
    layers = results.layers(recipe, "8-search", gain=True)
    if not layers:
        return []
    least = 100 * min(layers.values())
    shares = ", ".join(f"{name} {100 * share:.3f}" for name, share in layers.items())
    gone = 100 * float(results.masks(recipe, "8-search", lost_by_gain).mean())
    return [
        Line(f"8-bit gains: {GAIN_AGREEMENT:g} % of spikes agree", shares, least >= GAIN_AGREEMENT),
        Line(f"8-bit gains: lost at most {GAIN_LOST_LIMIT:g} %", f"{gone:.2f} %",
             gone <= GAIN_LOST_LIMIT),
    ]  # fmt: skip


def sign_flip_p(difference: Masks, seed: int = 0) -> float:
    """Return the chance of a mean as high as that of ``difference`` [seeds, images], by signs.

    An image with all its seeds is one unit: under no difference its sum is as likely the other way
    around. One-sided; no less than one in the number of draws.
    """
    sums = difference.sum(axis=0)
    sums = sums[sums != 0]
    rng = np.random.default_rng(seed)
    signs = rng.choice((-1.0, 1.0), size=(REPLICATES, sums.size))
    return float((1 + ((signs @ sums) >= sums.sum()).sum()) / (1 + REPLICATES))


def report_text(results: Results, total: int, code: str, radius: int) -> str:
    """Return the study as Markdown: one line per recipe and way, then what was to be shown."""
    head = ["recipe", "way", "clean", f"robust within {radius}", "lost", "gained", "drop",
            "at most", "spikes agree", "weak"]  # fmt: skip
    table = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    shown: list[str] = []
    for recipe in RECIPES:
        for way in WAYS:
            drop = results.drop(recipe, way.name)
            if drop is not None:
                table.append(_table_line(results, recipe, way.name, drop))
        lines = lines_of(results, recipe)
        shown += [f"- {recipe}: {x.wanted}: {x.found}: **{x.verdict}**" for x in lines]
    return "\n".join(
        [
            "# Digits: which way to make integers keeps robustness", "",
            f"{len(results.cells)} of {total} cells; code {code}. Five folds over all 1797 images,",
            "three training seeds; percent, from float to integers. Everything is tuned on the",
            "training folds. The suite is the full cascade of attacks; every point found against",
            "either network counts for both. Naive: exponents by the largest weight, nearest",
            "rounding. Search: searched scales and adaptive rounding. Repaired: fine-tuned on the",
            "training folds to decide as the float network does, clean and attacked. At most:",
            "one-sided 95 % limit of the drop, over images and seeds. Weak: cells in which a",
            "sanity line of the attack failed: nothing that stands on them holds.", "", *table,
            "", "## What was to be shown", "",
            *shown, "",
        ]
    )  # fmt: skip


def _table_line(results: Results, recipe: str, way: str, drop: PairedDrop) -> str:
    clean, under = (
        " → ".join(f"{100 * results.masks(recipe, way, pick(side)).mean():.1f}"
                   for side in ("float", "fixed"))
        for pick in (lambda side: lambda found: found["clean"][side], robust)
    )  # fmt: skip
    agree = ", ".join(f"{100 * share:.2f}" for share in results.layers(recipe, way).values())
    weak, count = results.weak(recipe, way)
    numbers = f"{100 * drop.lost / drop.n:.2f} | {100 * drop.gained / drop.n:.2f}"
    points = f"{100 * drop.drop:.2f} | {100 * drop.upper(CONFIDENCE):.2f}"
    cells = (recipe, way, clean, under, numbers, points, agree, f"{weak} of {count}")
    return f"| {' | '.join(cells)} |"
