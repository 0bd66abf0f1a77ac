"""Fixed-point simulator against Norse's float forward pass, in one run, one thread each.

The networks of ``networks.py``: the simulator runs their integers; Norse runs float networks of
the same layers, with current-based neurons (LIFCell, LIFRecurrentCell), a loop over time, and the
same input. Both sides are timed by turns, by processor time, and the best round of each is
compared. Exit code 1 if a ratio is below the required one.

    python benchmarks/simulator_against_norse.py [--networks abcd] [--rounds N] [--json FILE]
"""

from __future__ import annotations

import argparse
import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import norse.torch as norse
import numpy as np
import torch
from networks import NETWORKS, BenchmarkNetwork
from simulator_against_lava import processor, processor_flags
from torch.nn import functional

from neurodeploy.files import write_json
from neurodeploy.simulate import run_fixed

REQUIRED = {"a": 8.0, "b": 4.0, "c": 5.0, "d": 1.9}
#: Steps, samples of the simulator, samples of Norse; each where its side is about fastest.
SIZES = {"a": (200, 512, 128), "b": (100, 64, 8), "c": (200, 256, 64), "d": (8, 16, 2)}


class FloatForward:
    """Norse's side: the same layers in float32; the firing rates do not change its cost."""

    def __init__(self, network: BenchmarkNetwork) -> None:
        self._layers: list[tuple[Any, ...]] = []
        for kind, *rest in network.float_layers:
            weights = [torch.tensor(w, dtype=torch.float32) / 254 for w in rest[:1]]
            if kind == "recurrent":
                cell: Any = norse.LIFRecurrentCell(rest[0].shape[1], rest[0].shape[0])
                self._layers.append((kind, cell))
            elif kind in ("pool", "flatten"):
                self._layers.append((kind,))
            else:
                self._layers.append((kind, norse.LIFCell(), weights[0], *rest[1:]))
        self._shape = network.net.input_shape

    @torch.no_grad()
    def __call__(self, codes: torch.Tensor, steps: int) -> torch.Tensor:
        """Run codes [T, B, n], or [B, n] held, and return the spike counts of the last layer."""
        states: list[Any] = [None] * len(self._layers)
        total = torch.zeros(())
        for t in range(steps):
            x = (codes if codes.ndim == 2 else codes[t]).float()
            x = x.reshape(x.shape[0], *self._shape)
            for i, (kind, *layer) in enumerate(self._layers):
                if kind == "pool":
                    x = 4 * functional.avg_pool2d(x, 2)
                elif kind == "flatten":
                    x = x.flatten(1)
                elif kind == "recurrent":
                    x, states[i] = layer[0](x, states[i])
                else:
                    cell, weight, *geometry = layer
                    if kind == "conv":
                        x = functional.conv2d(x, weight, None, *geometry)
                    else:
                        x = functional.linear(x, weight)
                    x, states[i] = cell(x, states[i])
            total = total + x
        return total


def measure(key: str, rounds: int) -> dict[str, Any]:
    """Time both sides in turn; return one document."""
    network = NETWORKS[key]()
    steps, samples, float_samples = SIZES[key]
    rng = np.random.default_rng(2)
    codes = network.codes(rng, steps, samples)
    float_codes = torch.tensor(network.codes(rng, steps, float_samples))
    forward = FloatForward(network)

    def ours() -> Any:
        return run_fixed(network.net, codes, steps=steps, threads=1)

    # The first calls also compile and allocate, so they are not timed.
    counts = ours().counts
    forward(float_codes, steps)
    times: dict[str, list[float]] = {"simulator": [], "norse": []}
    for _ in range(rounds):
        for name, run, batch in (
            ("simulator", ours, samples),
            ("norse", lambda: forward(float_codes, steps), float_samples),
        ):
            begun = time.process_time()
            run()
            times[name].append(batch * steps / (time.process_time() - begun))
    best = {name: max(rates) for name, rates in times.items()}
    return {
        "network": key,
        "title": network.title,
        "steps": steps,
        "samples": {"simulator": samples, "norse": float_samples},
        "rates": {
            p.name: float(counts[f"{p.name}/spikes"].mean()) / steps / p.size
            for p in network.net.populations
        },
        "per_s": best,
        "rounds_per_s": times,
        "ratio": best["simulator"] / best["norse"],
        "required_ratio": REQUIRED[key],
    }


def main() -> int:
    """Measure, print, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", default="abcd", help="which networks to run")
    parser.add_argument("--rounds", type=int, default=7, help="how often each side is timed")
    parser.add_argument("--json", type=Path, help="also write the result to this file")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{processor()}; {processor_flags()}")
    print(f"norse {version('norse')}, torch {torch.__version__}, one thread\n")
    print(f"{'network':28}{'simulator st/s':>16}{'Norse st/s':>14}{'ratio':>9}{'required':>10}")
    results = []
    for key in arguments.networks:
        result = measure(key, arguments.rounds)
        results.append(result)
        verdict = "" if result["ratio"] >= result["required_ratio"] else "   MISSED"
        print(
            f"{key} {result['title']:26}{result['per_s']['simulator']:16,.0f}"
            f"{result['per_s']['norse']:14,.0f}{result['ratio']:8.1f}x"
            f"{result['required_ratio']:9.1f}x{verdict}",
            flush=True,
        )
    if arguments.json:
        document = {
            "schema": 1,
            "results": results,
            "processor": processor(),
            "flags": processor_flags(),
            "versions": {
                "python": platform.python_version(),
                "numpy": np.__version__,
                "torch": torch.__version__,
                "norse": version("norse"),
            },
        }
        write_json(arguments.json, document)
    return 1 if any(r["ratio"] < r["required_ratio"] for r in results) else 0


if __name__ == "__main__":
    sys.exit(main())
