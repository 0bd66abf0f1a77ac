"""Draw the README's picture from a folder that `make demo` wrote.

    python docs/make_robustness_picture.py demo-out docs/robustness.svg

One panel per network and perturbation: accuracy against strength, float and fixed point, with 95 %
intervals. The figure says which run it shows.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt

FLOAT, FIXED = "#0072b2", "#d55e00"
TITLES = {
    "lif": "plain LIF",
    "lif-at": "LIF, adversarial training",
    "dlif-mppd": "DLIF, perturbation penalty",
}


def draw(results: dict[str, Any], out: Path) -> None:
    """Draw the Gaussian and the PGD-20 rows of every network."""
    models = results["models"]
    perturbations = [("pgd20", "PGD-20 radius"), ("gaussian", "noise sigma")]
    # A fixed salt and no date keep the bytes equal for equal results.
    plt.rcParams.update({"svg.hashsalt": "neurodeploy", "svg.fonttype": "none", "font.size": 9})
    figure, axes = plt.subplots(
        len(perturbations), len(models), figsize=(8.4, 5.0), sharey=True, squeeze=False
    )
    for column, (name, facts) in enumerate(models.items()):
        for row, (perturbation, label) in enumerate(perturbations):
            ax = axes[row][column]
            panel(ax, [r for r in facts["robustness"] if r["perturbation"] == perturbation])
            ax.set_xlabel(f"{label} (codes of 256)")
            if row == 0:
                ax.set_title(TITLES.get(name, name))
            if column == 0:
                ax.set_ylabel("robust accuracy (%)")
    axes[0][0].legend(frameon=False, loc="upper right")
    n = next(iter(models.values()))["robustness"][0]["n"]
    figure.suptitle(
        f"scikit-learn digits, {n} test images, seed {results['seed']}: "
        "each point counts images right under every pooled attack; 95 % intervals",
        fontsize=9,
    )
    figure.tight_layout()
    figure.savefig(out, metadata={"Date": None})


def panel(ax: Any, rows: list[dict[str, Any]]) -> None:
    """Draw one panel; the two curves are shifted by a third of a code so that both can be seen."""
    for side, colour, marker, shift in (("float", FLOAT, "o", -0.4), ("fixed", FIXED, "s", 0.4)):
        x = [row["radius_codes"] + shift for row in rows]
        y = [100 * row[side] for row in rows]
        low = [100 * (row[side] - row[f"{side}_ci95"][0]) for row in rows]
        high = [100 * (row[f"{side}_ci95"][1] - row[side]) for row in rows]
        label = "float64" if side == "float" else "Loihi integers"
        ax.errorbar(
            x,
            y,
            yerr=[low, high],
            color=colour,
            marker=marker,
            markersize=4,
            capsize=2,
            label=label,
        )
    ax.set_ylim(0, 100)
    ax.set_xlim(left=0)
    ax.grid(alpha=0.25)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="folder written by `make demo`")
    parser.add_argument("out", type=Path, help="SVG to write")
    arguments = parser.parse_args()
    text = (arguments.folder / "results.json").read_text(encoding="utf-8")
    draw(json.loads(text), arguments.out)
