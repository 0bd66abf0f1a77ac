"""From the cells of the digits study to its table, its claims, and their intervals."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from digits_cells import BITS, INTERVAL_RADII, RADII, REFINED_RADII, Cell, all_cells, load_cell
from digits_models import FOLDS, RADIUS, SEEDS, VARIANTS, Variant
from numpy.typing import NDArray

from neurodeploy.robustness.config import CONFIDENCE, SIDES, Side
from neurodeploy.robustness.seed_clusters import clustered_drop, image_replicates, seed_variance
from neurodeploy.robustness.verdict import Strength, Verdict, judge

REPLICATES = 20_000
#: The drop up to which robustness survives deployment, as a fraction.
TOLERANCE = 0.02
#: Two variants are as good as equal within so many points.
EQUIVALENCE_POINTS = 1.5
#: Of the cells that a claim stands on, the share in which the attack may have been too weak.
WEAK_SHARE = 0.1
COLUMNS = (
    "variant", "seed", "fold", "bits", "measure", "n", "float", "fixed", "lost", "gained",
    "verdict", "weak", "network", "code",
)  # fmt: skip


def rows_of(cell: Cell, found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the table's lines about one cell: counts of images."""
    start = {
        "variant": cell.model.variant.name, "seed": cell.model.seed, "fold": cell.model.fold,
        "bits": cell.bits, "n": len(found["index"]), "network": found["network"],
        "code": found["code"],
    }  # fmt: skip
    measures = {"clean": found["clean"], **found["robust"]}
    rows = []
    for measure, sides in measures.items():
        a, b = sides["float"], sides["fixed"]
        row = found["rows"].get(measure, {})
        rows.append(
            {**start, "measure": measure, "float": int(a.sum()), "fixed": int(b.sum()),
             "lost": int((a & ~b).sum()), "gained": int((~a & b).sum()),
             "verdict": row.get("verdict", ""), "weak": int(row.get("attack_too_weak", False))}
        )  # fmt: skip
    for key, mask in found["certified"].items():
        rows.append({**start, "measure": f"certified/{key}", "fixed": int(mask.sum())})
    return rows


def table_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the rows as CSV; what does not apply is empty."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


@dataclass(frozen=True, slots=True)
class Estimate:
    """A difference in points with its interval (two-sided), and from how much it comes."""

    points: float
    low: float
    high: float
    seeds: int
    images: int

    def __str__(self) -> str:
        """Return for example ``+3.1 (1.2 .. 5.0; 3 seeds, 1797 images)``."""
        return (
            f"{self.points:+.1f} ({self.low:+.1f} .. {self.high:+.1f}; {self.seeds} seeds, "
            f"{self.images} images)"
        )


def estimate(
    difference: NDArray[np.float64], seed: int = 0, confidence: float = CONFIDENCE
) -> Estimate:
    """Return the mean of ``difference`` [seeds, images] and an interval over both.

    As ``robustness.seed_clusters``: a bootstrap over images with all their seeds, and a draw of
    Student's t for the choice of the seeds, with the spread that images do not explain. One seed
    says nothing about others: its interval is over images alone, and no claim stands on it.
    """
    seeds, images = difference.shape
    rng = np.random.default_rng(seed)
    by_image = difference.mean(axis=0)
    values = image_replicates(by_image, REPLICATES, rng)
    if seeds > 1:
        tau = np.sqrt(seed_variance(difference) / seeds)
        values = values + tau * rng.standard_t(seeds - 1, size=REPLICATES)
    low, high = np.quantile(values, [0.5 - confidence / 2, 0.5 + confidence / 2])
    return Estimate(
        100 * float(by_image.mean()), 100 * float(low), 100 * float(high), seeds, images
    )


class Results:
    """All finished cells of a folder."""

    def __init__(self, folder: Path, cells: Sequence[Cell] | None = None) -> None:
        wanted = list(all_cells()) if cells is None else cells
        found = ((cell, load_cell(cell, folder)) for cell in wanted)
        self.cells = {cell: part for cell, part in found if part is not None}

    def masks(self, variant: str, bits: int, pick: Any) -> NDArray[np.float64] | None:
        """Return ``pick`` of a variant's cells as [seeds, images], None if there is no cell.

        Seeds that lack folds which others have are left out.
        """
        seeds = self._by_seed(variant, bits, pick)
        return None if not seeds else _array(seeds, _whole(seeds))

    def difference(
        self, better: str, worse: str, bits: int, pick: Any, confidence: float = CONFIDENCE
    ) -> Estimate | None:
        """Estimate by how many points ``better`` is above ``worse``, over seeds and images."""
        a, b = self._by_seed(better, bits, pick), self._by_seed(worse, bits, pick)
        both = {seed: a[seed].keys() & b[seed].keys() for seed in a.keys() & b.keys()}
        if not any(both.values()):
            return None
        order = _whole({seed: dict.fromkeys(images, True) for seed, images in both.items()})
        return estimate(_array(a, order) - _array(b, order), confidence=confidence)

    def weak_cells(self, variants: Sequence[str], bits: int, strength: str) -> tuple[int, int]:
        """Return in how many cells of ``variants`` a sanity line of ``strength`` failed, of all."""
        rows = [
            found["rows"].get(strength, {})
            for cell, found in self.cells.items()
            if cell.model.variant.name in variants and cell.bits == bits
        ]
        return sum(bool(row.get("attack_too_weak")) for row in rows), len(rows)

    def weak_sides(self, variant: str, bits: int, strength: str) -> frozenset[Side]:
        """Return the networks for which a sanity line of ``strength`` failed in some cell.

        Cells that were made before sides were kept may mean either: both.
        """
        return frozenset(
            side
            for cell, found in self.cells.items()
            if cell.model.variant.name == variant and cell.bits == bits
            for row in [found["rows"].get(strength, {})]
            for side in row.get("weak", SIDES if row.get("attack_too_weak") else ())
        )

    def _by_seed(self, variant: str, bits: int, pick: Any) -> dict[int, dict[int, bool]]:
        """Return ``pick`` per seed and image."""
        seeds: dict[int, dict[int, bool]] = {}
        for cell, found in self.cells.items():
            mask = pick(found)
            if cell.model.variant.name == variant and cell.bits == bits and mask is not None:
                images = zip(found["index"], mask.tolist(), strict=True)
                seeds.setdefault(cell.model.seed, {}).update(images)
        return seeds


def _whole(seeds: Mapping[int, Mapping[int, bool]]) -> tuple[list[int], list[int]]:
    """Return the seeds with the most images, and the images that all of these have."""
    most = max(len(images) for images in seeds.values())
    whole = sorted(seed for seed, images in seeds.items() if len(images) == most)
    shared = set.intersection(*(set(seeds[seed]) for seed in whole))
    return whole, sorted(shared)


def _array(
    seeds: Mapping[int, Mapping[int, bool]], order: tuple[list[int], list[int]]
) -> NDArray[np.float64]:
    return np.array([[seeds[seed][image] for image in order[1]] for seed in order[0]], np.float64)


def robust(side: str, radius: int) -> Any:
    """Return a pick: robust against the suite within ``radius`` codes."""
    return lambda found: found["robust"][f"suite/{radius}"][side]


def certified(radius: int, method: str = "refined") -> Any:
    """Return a pick: proven within ``radius`` codes."""
    return lambda found: found["certified"].get(f"{method}/{radius}")


@dataclass(frozen=True, slots=True)
class Claim:
    """A sentence, what is measured for it, and what that would have to be."""

    sentence: str
    pairs: tuple[tuple[str, str], ...]
    pick: Any
    what: str
    wants: str  # "above", "below" or "equal"
    strength: str = ""  # the row whose sanity lines it stands on; none for proofs

    @property
    def confidence(self) -> float:
        """Of each pair's interval, so that all of them hold together in 95 % (Bonferroni)."""
        return 1 - (1 - CONFIDENCE) / len(self.pairs)

    def verdict(self, e: Estimate, weak_share: float = 0.0) -> str:
        """Return confirmed, refuted, or open, by the interval of one pair.

        Open below three seeds, and where the attack was too weak in more than a tenth of the cells.
        """
        if e.seeds < SEEDS or weak_share > WEAK_SHARE:
            return "open"
        if self.wants == "equal":
            if max(-e.low, e.high) <= EQUIVALENCE_POINTS:
                return "confirmed"
            outside = e.low > EQUIVALENCE_POINTS or e.high < -EQUIVALENCE_POINTS
            return "refuted" if outside else "open"
        sign = 1 if self.wants == "above" else -1
        low, high = sorted((sign * e.low, sign * e.high))
        return "confirmed" if low > 0 else "refuted" if high < 0 else "open"

    def whole(self, verdicts: Sequence[str]) -> str:
        """Return the verdict from those of its pairs: confirmed only if all are."""
        if "refuted" in verdicts:
            return "refuted"
        everyone = len(verdicts) == len(self.pairs) and set(verdicts) == {"confirmed"}
        return "confirmed" if everyone else "open"


def claims() -> tuple[Claim, ...]:
    """Return the five claims of the study."""
    both = ("lif", "dlif")

    def pairs(better: str, worse: str) -> tuple[tuple[str, str], ...]:
        return tuple((f"{n}-{better}", f"{n}-{worse}") for n in both)

    within, beyond = robust("fixed", RADIUS), robust("fixed", 2 * RADIUS)
    alone = tuple((f"dlif-{noise}", f"lif-{noise}") for noise in ("plain", "gauss", "at", "at2"))
    return (
        Claim("The penalty helps under Gaussian training.", pairs("gauss-penalty", "gauss"),
              within, f"robust within {RADIUS} codes, 8 bits", "above", f"suite/{RADIUS}"),
        Claim("Under adversarial training the penalty costs accuracy within the budget.",
              pairs("at-penalty", "at"), within, f"robust within {RADIUS} codes, 8 bits", "below",
              f"suite/{RADIUS}"),
        Claim("Training at twice the radius beats the penalty.", pairs("at2", "at-penalty"),
              beyond, f"robust within {2 * RADIUS} codes, 8 bits", "above",
              f"suite/{2 * RADIUS}"),
        Claim(f"DLIF alone changes nothing (within {EQUIVALENCE_POINTS} points).", alone, within,
              f"robust within {RADIUS} codes, 8 bits", "equal", f"suite/{RADIUS}"),
        Claim("The penalty raises certified accuracy.",
              (*pairs("gauss-penalty", "gauss"), *pairs("at-penalty", "at"),
               *pairs("at2-penalty", "at2")),
              certified(4), "proven within 4 codes, 8 bits", "above"),
    )  # fmt: skip


def report_text(results: Results, code: str) -> str:
    """Return the study as Markdown: shares per variant and width, then the claims."""
    lines = [
        "# Digits: does robustness survive deployment?", "",
        f"{len(results.cells)} of {sum(1 for _ in all_cells())} cells; code {code}. Accuracies in",
        "percent over all images and seeds of the cells that are there. The suite is the full",
        "cascade of attacks; every point found against either network counts for both.", "",
        *_shares(results), "", "## From float to integers", "",
        f"Lost: robust in float, not in integers. Verdict at {100 * TOLERANCE:g} points, Holm over",
        f"the strengths of one evaluation (the {len(RADII)} radii of one variant and width),",
        f"intervals over images and seeds. Weak: of the {FOLDS * SEEDS} cells of a line, those in",
        "which a sanity line of the attack failed; one is enough for no survival, and for no loss",
        "if it is about the float network, or does not say about which.", "",
        *_drops(results), "", "## Claims", "",
        f"The intervals of a claim's pairs hold together in {100 * CONFIDENCE:g} % (Bonferroni). A",
        "claim is confirmed if all its pairs are, and refuted if one is. A pair is open where the",
        f"attack was too weak in more than {100 * WEAK_SHARE:g} % of its cells.", "",
    ]  # fmt: skip
    for number, claim in enumerate(claims(), start=1):
        lines += [*_claim_lines(results, number, claim), ""]
    return "\n".join(lines)


def _claim_lines(results: Results, number: int, claim: Claim) -> list[str]:
    """Return the claim with its verdict, then one line per pair."""
    verdicts, lines = [], []
    for better, worse in claim.pairs:
        found = results.difference(better, worse, 8, claim.pick, claim.confidence)
        if found is None:
            lines.append(f"   - {better} minus {worse}: no cells")
            continue
        weak, count = results.weak_cells((better, worse), 8, claim.strength)
        share = weak / count
        verdicts.append(claim.verdict(found, share))
        doubt = f" (weak attack in {weak} of {count} cells, {100 * share:.0f} %)" if weak else ""
        lines.append(f"   - {better} minus {worse}: {found}: **{verdicts[-1]}**{doubt}")
    whole = claim.whole(verdicts)
    return [f"{number}. {claim.sentence} ({claim.what}) **{whole}**", "", *lines]


def _shares(results: Results) -> list[str]:
    head = ["variant", "bits", "clean", *(f"suite {r}" for r in RADII),
            *(f"proven {r}" for r in REFINED_RADII),
            *(f"intervals {r}" for r in INTERVAL_RADII)]  # fmt: skip
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for variant in VARIANTS:
        for bits in BITS:
            line = _share_line(results, variant, bits)
            if line:
                lines.append(line)
    return lines


def _share_line(results: Results, variant: Variant, bits: int) -> str:
    cells = [variant.name, str(bits)]
    picks: list[tuple[Any, Any]] = [
        (lambda f: f["clean"]["float"], lambda f: f["clean"]["fixed"]),
        *((robust("float", r), robust("fixed", r)) for r in RADII),
    ]
    for float_pick, fixed_pick in picks:
        a = results.masks(variant.name, bits, float_pick)
        b = results.masks(variant.name, bits, fixed_pick)
        if a is None or b is None:
            return ""
        cells.append(f"{100 * a.mean():.1f} → {100 * b.mean():.1f}")
    proofs = [(r, "refined") for r in REFINED_RADII] + [(r, "interval") for r in INTERVAL_RADII]
    for radius, method in proofs:
        mask = results.masks(variant.name, bits, certified(radius, method))
        cells.append("" if mask is None else f"{100 * mask.mean():.1f}")
    return "| " + " | ".join(cells) + " |"


def _drops(results: Results) -> list[str]:
    """Return one line per variant, width and radius: what deployment takes, over all seeds."""
    head = ["variant", "bits", "codes", "float", "lost", "gained", "drop", "95 %", "verdict",
            "weak"]  # fmt: skip
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for variant in VARIANTS:
        for bits in BITS:
            lines += _drop_lines(results, variant.name, bits)
    return lines


def _drop_lines(results: Results, name: str, bits: int) -> list[str]:
    """Return one line per radius. These are the strengths of one evaluation: Holm over them."""
    strengths, starts = [], []
    for radius in RADII:
        sides = [results.masks(name, bits, robust(side, radius)) for side in SIDES]
        if sides[0] is None or sides[1] is None:
            continue
        drop = clustered_drop(sides[0] > 0, sides[1] > 0, REPLICATES, radius)
        weak, _ = results.weak_cells((name,), bits, f"suite/{radius}")
        doubted = results.weak_sides(name, bits, f"suite/{radius}")
        strengths.append(Strength(float(sides[0].mean()), drop, doubted))
        starts.append((f"{name} | {bits} | {radius}", weak))
    verdicts = judge(strengths, TOLERANCE)
    return [
        f"| {start} | {_drop_cells(strength, verdict)} | {weak} |"
        for (start, weak), strength, verdict in zip(starts, strengths, verdicts, strict=True)
    ]


def _drop_cells(strength: Strength, verdict: Verdict) -> str:
    drop = strength.drop
    low, high = drop.interval(CONFIDENCE)
    return (
        f"{100 * strength.float_accuracy:.1f} | {100 * drop.lost / drop.n:.2f} | "
        f"{100 * drop.gained / drop.n:.2f} | {100 * drop.drop:.2f} | {100 * low:.2f} .. "
        f"{100 * high:.2f} | {verdict}"
    )
