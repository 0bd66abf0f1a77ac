"""Write a folder as a run would: random but plausible, in the schema that the report reads.

The spikes come from a small leaky network and its coarsely rounded copy, so that rasters and
membranes look like the real ones. ``python tests/report/plausible_run.py DIR`` writes one by hand.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

MODELS = {"lif": "lost", "lif-at": "survives", "dlif-gaussian-mppd": "undecided"}
RADII = (13, 26, 38, 51, 77)
PERTURBATIONS = ("gaussian", "fgsm", "pgd20")
SIZES = {"lif1": 128, "lif2": 64, "readout": 10}
STEPS, N_TEST, N_DRAWN = 8, 360, 3


def write_run(
    folder: Path, *, models: dict[str, str] | None = None, seed: int = 0, lava: bool = True
) -> Path:
    """Write summary.json, results.json and figures.npz for ``models`` (name: verdict)."""
    rng = np.random.default_rng(seed)
    models = MODELS if models is None else models
    folder.mkdir(parents=True, exist_ok=True)
    facts = {name: model_facts(rng, verdict, lava) for name, verdict in models.items()}
    results = {**run_facts(seed, lava), "models": facts}
    summary = {
        "schema": 1,
        "seed": seed,
        "versions": results["versions"],
        "lava": results["lava"],
        "models": {name: model_summary(f) for name, f in facts.items()},
    }
    arrays: dict[str, Any] = {}
    for name in models:
        arrays.update(figure_arrays(rng, name))
    (folder / "results.json").write_text(json.dumps(results, indent=1))
    (folder / "summary.json").write_text(json.dumps(summary, indent=1))
    np.savez_compressed(folder / "figures.npz", **arrays)
    return folder


def run_facts(seed: int, lava: bool) -> dict[str, Any]:
    """Return what results.json says about the whole run."""
    runtime = {"available": True, "mode": "official", "detail": "lava-nc 0.10.0, Python 3.10.13"}
    if not lava:
        runtime = {"available": False, "mode": "absent", "detail": "no Python 3.10 was found"}
    return {
        "schema": 1,
        "title": "Demo: three networks on handwritten digits",
        "created": "2026-11-22T14:03:11+00:00",
        "command": f"neurodeploy demo --out results --seed {seed}",
        "seed": seed,
        "quick": False,
        "versions": {
            "neurodeploy": "0.1.0",
            "python": "3.11.9",
            "torch": "2.13.0",
            "norse": "1.1.0",
        },
        "profile": {"name": "loihi2", "status": "inherited", "text_hash": "5f" * 32},
        "threat_model": {
            "radii_codes": list(RADII),
            "max_code": 255,
            "norm": "linf",
            "support": "image",
            "stage": "after encoding: whole input codes, the same grid for both networks",
            "noise": "gaussian noise has sigma = radius and no ball; rounded, then clipped",
            "clip": [0, 255],
        },
        "tolerance_points": 2.0,
        "settings": {"profile": "loihi2", "robustness": {"widths": [1.0, 2.0], "restarts": 1}},
        "lava": runtime,
        "data": {"name": "digits", "n_train": 1077, "n_calibration": 360, "n_test": N_TEST},
        "assumptions": [
            "A tie at the top of the read-out counts as wrong, in accuracy and under attack alike.",
            "Both networks see the same integer input codes.",
            "Energy and latency are estimates from counts and sourced constants.",
        ],
    }


def model_facts(rng: np.random.Generator, verdict: str, lava: bool) -> dict[str, Any]:
    """Return one model's entry of results.json."""
    rows = [row for p in PERTURBATIONS for row in robustness_rows(rng, p, verdict)]
    check = {"samples": 16, "compared": 77_824, "mismatches": 0, "first": None}
    return {
        "clean_accuracy": {
            "float": 349 / 360,
            "fixed": 348 / 360,
            "n": N_TEST,
            "float_ci95": [0.947, 0.983],
            "fixed_ci95": [0.944, 0.981],
            "ties": {"float": 0, "fixed": 1},
        },
        "verdict": verdict,
        "verdict_text": f"In the words of the protocol this model is {verdict} & that is that.",
        "robustness": rows,
        "sanity": [
            {"line": "gradients are not zero", "ok": True, "detail": "holds 20 of 20 times"},
            {
                "line": "PGD is not weaker than FGSM",
                "ok": verdict != "undecided",
                "detail": "pgd20 at 38 codes, fixed: 61.9 % under pgd20, 61.1 % under fgsm",
            },
        ],
        "fidelity": {
            "norse_vs_float_mismatches": 0,
            "float32_flips": 3,
            "norse_compared": 552_960,
            "export": {
                "samples": N_TEST,
                "steps": STEPS,
                "compared": 552_960,
                "mismatches": 0,
                "float32_flips": 3,
                "first_flip_margin": 4.2e-7,
                "mean_gain_error": {"lif1": 0.089},
            },
            "training": {"accuracies": {"train": 0.9517, "test": 0.9028}, "selected_epoch": 15},
            "decisions_equal": 358,
            "lava": check if lava else None,
            "layers": [layer_row(rng, name, size) for name, size in SIZES.items()],
        },
        "cost": cost_facts(rng),
        "quantisation": [
            {
                "synapse": f"{source}->{target}",
                "weight_bits": 8,
                "weight_exp": int(rng.integers(-3, 3)),
                "sign_mode": "mixed",
                "message_bits": 8 if source == "input" else 0,
                "shape": [SIZES[target], SIZES.get(source, 64)],
                "zero_weights": int(rng.integers(0, 200)),
                "error_rms": float(rng.uniform(0.001, 0.004)),
                "error_max": float(rng.uniform(0.004, 0.01)),
            }
            for source, target in (("input", "lif1"), ("lif1", "lif2"), ("lif2", "readout"))
        ],
        "populations": [population_row(rng, name, size) for name, size in SIZES.items()],
        "overflow": [
            {"population": name, "wraps": 0, "clamps": 4 * (name == "lif2") * (verdict == "lost")}
            for name in SIZES
        ],
        "findings": [
            {
                "severity": "info",
                "where": "lif1",
                "what": "exponent -2 chosen",
                "remedy": "",
                "numbers": {},
            },
            {
                "severity": "warning",
                "where": "lif2",
                "what": "12 of 8192 weights were clipped",
                "remedy": "use another exponent",
                "numbers": {"clipped": 12},
            },
        ],
        "files": {
            "nir": "model.nir",
            "network": "model.h5",
            "network_hash": "ab" * 32,
            "evidence": "model.evidence.npz",
        },
        "contract": {"dt": 0.001, "steps": STEPS, "reset": "value", "readout": "readout, sum"},
        "overlap_allowed": False,
    }


def robustness_rows(
    rng: np.random.Generator, perturbation: str, verdict: str
) -> list[dict[str, Any]]:
    """Return five rows: accuracy falls with the radius, the two networks differ a little."""
    steep = {"gaussian": 90.0, "fgsm": 45.0, "pgd20": 32.0}[perturbation]
    rows = []
    for radius in RADII:
        share = 0.97 / (1 + np.exp((radius - steep) / 9.0))
        right = round(N_TEST * share)
        lost = min(
            right, int(rng.integers(1, 8)) + (22 if verdict == "lost" and radius == 26 else 0)
        )
        gained = min(int(rng.integers(0, 6)), N_TEST - right)
        inside = 0.2 <= right / N_TEST <= 0.9
        rows.append(
            robustness_row(
                rng, perturbation, radius, right, lost, gained, verdict if inside else ""
            )
        )
    return rows


def robustness_row(
    rng: np.random.Generator,
    perturbation: str,
    radius: int,
    right: int,
    lost: int,
    gained: int,
    verdict: str,
) -> dict[str, Any]:
    """Return one row with every extra key."""
    n, fixed = N_TEST, right - lost + gained
    drop, half = (lost - gained) / n, 1.96 * np.sqrt(lost + gained + 1) / n
    own = verdict if verdict != "lost" or drop > 0.04 else "survives"
    return {
        "perturbation": perturbation,
        "radius_codes": radius,
        "float": right / n,
        "fixed": fixed / n,
        "lost": lost / n,
        "gained": gained / n,
        "drop_ci95": [drop - half, drop + half],
        "n": n,
        "verdict": own or "uninformative",
        "drop": drop,
        "drop_lower95": drop - 0.84 * half,
        "drop_upper95": drop + 0.84 * half,
        "p_lost": 0.3,
        "float_ci95": binomial(right, n),
        "fixed_ci95": binomial(fixed, n),
        "lost_ci95": binomial(lost, n),
        "gained_ci95": binomial(gained, n),
        "retention": (right - lost) / right if right else None,
        "retention_ci95": [0.9, 1.0],
        "informative": bool(verdict),
        "needed_n": 1480 if own == "undecided" else None,
        "null": {"lost": 2 / n, "gained": 1 / n, "drop": 1 / n, "drop_ci95": [-2 / n, 4 / n]},
        "ties": {"float": 0, "fixed": 1},
        "members": [
            {
                "name": f"{side} width {width}",
                "attacked": side,
                "width": width,
                "float": min(1.0, right / n + float(rng.uniform(0, 0.03))),
                "fixed": min(1.0, fixed / n + float(rng.uniform(0, 0.03))),
                "zero_gradient_share": 0.001,
            }
            for side in ("float", "fixed")
            for width in (1.0, 2.0)
        ],
        "attack_too_weak": False,
        "sanity": [{"line": "attack luck is small", "ok": True, "detail": "fine"}],
    }


def binomial(successes: int, n: int) -> list[float]:
    """Return a rough 95 % interval of a share."""
    share = successes / n
    half = 1.96 * np.sqrt(max(share * (1 - share), 1 / n) / n)
    return [float(max(0.0, share - half)), float(min(1.0, share + half))]


def layer_row(rng: np.random.Generator, name: str, size: int) -> dict[str, Any]:
    """Return agreement of one layer; the read-out fires nothing."""
    if name == "readout":
        return {
            "population": name,
            "agreement": 1.0,
            "mismatches": 0,
            "compared": STEPS * N_TEST * size,
            "first_difference": None,
            "rate_float": 0.0,
            "rate_fixed": 0.0,
            "v_error": float(rng.uniform(0.001, 0.01)),
        }
    agreement = float(rng.uniform(0.96, 0.995))
    rate = float(rng.uniform(0.15, 0.4))
    return {
        "population": name,
        "agreement": agreement,
        "mismatches": round((1 - agreement) * STEPS * N_TEST * size),
        "compared": STEPS * N_TEST * size,
        "first_difference": {"t": 2, "sample": 4, "neuron": 17, "a": 1.0, "b": 0.0},
        "rate_float": rate,
        "rate_fixed": rate * float(rng.uniform(0.98, 1.03)),
        "v_error": float(rng.uniform(0.001, 0.01)),
    }


def population_row(rng: np.random.Generator, name: str, size: int) -> dict[str, Any]:
    """Return one population's registers."""
    threshold = 131_072 if name == "readout" else int(rng.integers(90, 4000))
    return {
        "name": name,
        "kind": "readout" if name == "readout" else "lif",
        "size": size,
        "latency": {"lif1": 1, "lif2": 2, "readout": 3}[name],
        "scale": float(rng.uniform(1e4, 9e4)),
        "origin": 0.0,
        "v_threshold": [threshold, threshold],
        "decay_v": [41, 41],
        "bias": [-180, 220],
        "bias_exp": 4,
        "gain": [87, 120, 133, 140, 141, 139, 128, 130] if name == "lif1" else None,
        "gain_shift": 7 if name == "lif1" else 0,
    }


def cost_facts(rng: np.random.Generator) -> dict[str, Any]:
    """Return the cost entry: estimates and counts, clean and attacked, and their ratios."""
    rise = float(rng.uniform(1.02, 1.2))
    clean, attacked = cost_estimate(1.0), cost_estimate(rise)
    return {
        "clean": {"fixed": clean, "float": activity("float", 0.99)},
        "attacked": {
            "perturbation": "pgd20",
            "radius_codes": 38,
            "fixed": attacked,
            "float": activity("float", 0.99 * rise),
        },
        "ratios": [
            {
                "what": "attacked to clean, fixed point",
                "counts": [
                    {
                        "name": "synaptic_operations (dense)",
                        "count": triple(41_230.0 * rise),
                        "baseline": triple(41_230.0),
                        "low": rise,
                        "ratio": rise,
                        "high": rise,
                    },
                    {
                        "name": "neuron_updates",
                        "count": triple(2222.0),
                        "baseline": triple(2222.0),
                        "low": 1.0,
                        "ratio": 1.0,
                        "high": 1.0,
                    },
                ],
                "bound": {"low": 1.0, "high": rise},
                "energy_ratio": {"silicon-fit": triple(0.4 * rise + 0.6), "published": None},
                "notes": ["Updates with input are known only in bounds."],
            }
        ],
        "summary": {
            "boundary": "core",
            "energy_nj": clean["energy_nj"]["core"],
            "synaptic_operations": 41_230.0,
            "neuron_updates": 2222.0,
            "spikes": 431.5,
        },
    }


def triple(typ: float, factor: float = 1.0) -> dict[str, float]:
    """Return low, typ and high around ``typ``."""
    return {"low": typ / factor, "typ": typ, "high": typ * factor}


def activity(arithmetic: str, factor: float) -> dict[str, Any]:
    """Return counts as a cost estimate lists them."""
    means = {"synaptic_operations": 41_230.0, "neuron_updates": 2222.0, "spikes": 431.5}
    totals = {
        key: {"mean": v * factor, "p5": v * 0.8, "p95": v * 1.2, "low": v, "high": v, "exact": True}
        for key, v in means.items()
    }
    return {"arithmetic": arithmetic, "timing": "lava", "samples": N_TEST, "totals": totals}


def cost_estimate(factor: float) -> dict[str, Any]:
    """Return one estimate in the shape of CostEstimate.as_dict()."""
    terms = (
        ("synapse_dense", "synaptic operations, dense format", 41_230.0 * factor, 23.6, "core"),
        ("neuron", "neuron updates (every neuron, every step)", 2222.0, 52.0, "core"),
        ("hop_x", "hops east-west", 431.5 * factor, None, "core"),
        ("static_per_chip", "time of an inference (chips, us times chips)", 13.1, 232.0, "static"),
    )
    listed = [
        {
            "set": name,
            "term": term,
            "description": description,
            "boundary": boundary,
            "count": triple(n),
            "coefficient": triple(price, 1.5) if price else dict.fromkeys(("low", "typ", "high")),
            "unit": "mW" if boundary == "static" else "pJ",
            "source": "sanafe",
            "locator": "arch/loihi.yaml",
            "grade": "A",
            "basis": "inherited",
            "correlation_group": "core",
            "energy_nj": triple(n * price / (1 if boundary == "static" else 1000), 1.5)
            if price
            else None,
        }
        for name in ("published", "silicon-fit")
        for term, description, n, price, boundary in terms
    ]
    return {
        "kind": "estimate",
        "profile": {"id": "loihi2", "name": "Loihi 2", "status": "inherited"},
        "combination": "low, typ and high take all counts and coefficients at their bounds",
        "default_energy_set": "silicon-fit",
        "partial": True,
        "energy_nj": {
            "core": triple(1088.6 * factor, 1.5),
            "core+management": triple(4230.0 * factor, 3.0),
            "total": triple(9120.0 * factor, 4.0),
        },
        "latency_us": triple(13.1 * factor, 2.0),
        "step_us": triple(1.19 * factor, 2.0),
        "terms": listed,
        "missing": [
            {
                "set": name,
                "term": "hop_x",
                "boundary": "core",
                "count": 431.5 * factor,
                "reason": "never published for this chip",
                "blocks": False,
            }
            for name in ("published", "silicon-fit")
        ],
        "missing_times": ["timing_sets.scaled.link"],
        "wording": "core dynamic energy estimate, inherited coefficients (profile loihi2); nearest "
        "anchor: PilotNet-LIF on Loihi 2, 0.91-1.09x.",
        "notes": ["Mapping: one layer per group of cores; a compiler may need more."],
        "mapping": {
            "description": "3 cores on 1 chip",
            "cores": dict.fromkeys(SIZES, 1),
            "chips": 1,
        },
        "activity": activity("fixed", factor),
        "sources": {
            "sanafe": {"title": "SANA-FE", "year": 2025, "locator": "TCAD 44(8)", "note": "fits"}
        },
    }


def model_summary(facts: dict[str, Any]) -> dict[str, Any]:
    """Return one model's entry of summary.json."""
    keys = (
        "perturbation",
        "radius_codes",
        "float",
        "fixed",
        "lost",
        "gained",
        "drop_ci95",
        "n",
        "verdict",
    )
    clean, fidelity = facts["clean_accuracy"], facts["fidelity"]
    return {
        "clean_accuracy": {"float": clean["float"], "fixed": clean["fixed"]},
        "verdict": facts["verdict"],
        "robustness": [{key: row[key] for key in keys} for row in facts["robustness"]],
        "fidelity": {"norse_vs_float_mismatches": 0, "lava": fidelity["lava"]},
        "cost": facts["cost"].get("summary", {}),
    }


def figure_arrays(rng: np.random.Generator, name: str) -> dict[str, Any]:
    """Run a random leaky network and a rounded copy on blurred random images."""
    images = np.clip(rng.normal(0.2, 0.5, (N_DRAWN, 64)), 0, 1)
    arrays: dict[str, Any] = {
        f"{name}/images": images.reshape(N_DRAWN, 8, 8),
        f"{name}/labels": np.arange(N_DRAWN),
        f"{name}/samples": np.array([3, 41, 97]),
        f"{name}/float_decision": np.array([0, 1, 2]),
        f"{name}/fixed_decision": np.array([0, 7, -1]),
    }
    inputs = {"float": np.repeat(images[None], STEPS, axis=0)}
    inputs["fixed"] = inputs["float"]
    for layer, size in SIZES.items():
        weight = rng.normal(0.06, 0.35, (size, inputs["float"].shape[2])) / 2
        spikes, v = {}, {}
        for side, w in (("float", weight), ("fixed", np.round(weight * 24) / 24)):
            spikes[side], v[side] = leaky(inputs[side], w, np.inf if layer == "readout" else 1.0)
        neurons = np.array([1, 2, 5])
        for side in ("float", "fixed"):
            arrays[f"{name}/{layer}/{side}_v"] = v[side][:, :, neurons]
            if layer != "readout":
                arrays[f"{name}/{layer}/{side}_spikes"] = spikes[side]
        arrays[f"{name}/{layer}/neurons"] = neurons
        arrays[f"{name}/{layer}/v_threshold"] = np.full(3, np.nan if layer == "readout" else 1.0)
        inputs = {side: s.astype(float) for side, s in spikes.items()}
    return arrays


def leaky(x: Any, weight: Any, threshold: float) -> tuple[Any, Any]:
    """Return spikes (uint8) and membranes after reset, [T, S, N] each."""
    v = np.zeros((x.shape[1], weight.shape[0]))
    spikes, membranes = [], []
    for step in x:
        v = 0.9 * v + step @ weight.T
        fired = v > threshold
        v = np.where(fired, 0.0, v)
        spikes.append(fired.astype(np.uint8))
        membranes.append(v.copy())
    return np.stack(spikes), np.stack(membranes)


if __name__ == "__main__":
    write_run(Path(sys.argv[1]), lava="--no-lava" not in sys.argv)
