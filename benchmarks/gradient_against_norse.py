"""Gradients through the integers against Norse's backpropagation through time, one thread each.

The networks of ``networks.py``, T = 100, spike input: forward and backward with respect to the
input, weights frozen, both in float32 with the SuperSpike surrogate. Norse runs float networks of
the same layers with current-based neurons, in two forms, of which the faster counts: synapses on
all steps at once and neurons (LIF, LIFRecurrent) that loop over time, or one loop over the steps of
all layers (LIFCell, LIFRecurrentCell). Sides are timed by turns, by processor time, and the best
round of each is compared, because whatever else runs on the machine slows single rounds. Exit code
1 if a ratio is below the required one.

    python benchmarks/gradient_against_norse.py [--networks acb] [--rounds N] [--json FILE]
"""

from __future__ import annotations

import argparse
import platform
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import norse.torch as norse
import numpy as np
import torch
from networks import NETWORKS, BenchmarkNetwork
from simulator_against_lava import processor, processor_flags
from simulator_against_norse import FloatForward
from torch.nn import functional

from neurodeploy.files import write_json
from neurodeploy.simulate import FixedGradient, run_fixed

REQUIRED = {"a": 8.0, "c": 6.0, "b": 5.0}
SAMPLES = {"a": 128, "c": 64, "b": 8}
STEPS = 100


class FloatNetwork:
    """Norse's side: the same layers in float32."""

    def __init__(self, network: BenchmarkNetwork) -> None:
        self._layers: list[tuple[Any, ...]] = []
        for kind, *rest in network.float_layers:
            weights = [torch.tensor(w, dtype=torch.float32) / 254 for w in rest[:1]]
            neurons: Any = None
            if kind == "recurrent":
                neurons = norse.LIFRecurrent(rest[0].shape[1], rest[0].shape[0])
                for parameter in neurons.parameters():
                    parameter.requires_grad_(False)
            elif kind not in ("pool", "flatten"):
                neurons = norse.LIF()
            self._layers.append((kind, neurons, *weights, *rest[1:]))
        self._shape = network.net.input_shape

    def scores(self, codes: torch.Tensor) -> torch.Tensor:
        """Return the spike counts of the last layer for codes [T, B, n]."""
        x = codes.reshape(*codes.shape[:2], *self._shape)
        for kind, neurons, *rest in self._layers:
            flat = x.flatten(0, 1)
            if kind == "pool":
                flat = 4 * functional.avg_pool2d(flat, 2)
            elif kind == "flatten":
                flat = flat.flatten(1)
            elif kind == "conv":
                flat = functional.conv2d(flat, rest[0], None, *rest[1:])
            elif kind == "dense":
                flat = functional.linear(flat, rest[0])
            x = flat.unflatten(0, codes.shape[:2])
            if neurons is not None:
                x, _ = neurons(x)
        return x.sum(dim=0)


class CellNetwork(FloatForward):
    """Norse's side as one loop over time, differentiable by the input alone."""

    def __init__(self, network: BenchmarkNetwork) -> None:
        super().__init__(network)
        for kind, *layer in self._layers:
            if kind == "recurrent":
                layer[0].requires_grad_(False)

    def scores(self, codes: torch.Tensor) -> torch.Tensor:
        """Return the spike counts of the last layer for codes [T, B, n]."""
        forward = FloatForward.__call__.__wrapped__  # its decorator stops gradients
        return forward(self, codes, codes.shape[0])


def timed(
    scores: Callable[[torch.Tensor], torch.Tensor], codes: torch.Tensor
) -> tuple[float, float]:
    """Return the processor seconds of forward, and of forward and backward."""
    point = codes.clone().requires_grad_(True)
    begun = time.process_time()
    total = scores(point).sum()
    forward = time.process_time() - begun
    total.backward()
    whole = time.process_time() - begun
    if not point.grad.abs().sum() > 0:
        raise RuntimeError("no gradient reached the input")
    return forward, whole


def measure(key: str, rounds: int) -> dict[str, Any]:
    """Time both sides in turn; return one document."""
    network = NETWORKS[key](STEPS)
    drawn = network.codes(np.random.default_rng(2), STEPS, SAMPLES[key])
    codes = torch.tensor(drawn, dtype=torch.float32)
    sides = {
        "gradient": FixedGradient(network.net, shape="superspike").scores,
        "norse, folded": FloatNetwork(network).scores,
        "norse, by steps": CellNetwork(network).scores,
    }
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    # The first round also compiles and allocates, so it does not count.
    for _ in range(rounds + 1):
        for name, scores in sides.items():
            times[name].append(timed(scores, codes))
    forward, whole = (
        {name: min(t[i] for t in found[1:]) for name, found in times.items()} for i in (0, 1)
    )
    for found in (forward, whole):
        found["norse"] = min(found["norse, folded"], found["norse, by steps"])
    counts = run_fixed(network.net, drawn, steps=STEPS).counts
    return {
        "network": key,
        "title": network.title,
        "steps": STEPS,
        "samples": SAMPLES[key],
        "rates": {
            p.name: float(counts[f"{p.name}/spikes"].mean()) / STEPS / p.size
            for p in network.net.populations
        },
        "forward_s": forward,
        "forward_and_backward_s": whole,
        "rounds_s": {name: [t[1] for t in found[1:]] for name, found in times.items()},
        "ratio": whole["norse"] / whole["gradient"],
        "required_ratio": REQUIRED[key],
    }


def main() -> int:
    """Measure, print, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", default="acb", help="which networks to run")
    parser.add_argument("--rounds", type=int, default=9, help="how often each side is timed")
    parser.add_argument("--json", type=Path, help="also write the result to this file")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{processor()}; {processor_flags()}")
    print(f"norse {version('norse')}, torch {torch.__version__}, one thread, T = {STEPS}\n")
    print(
        f"{'network':28}{'forward':>10}{'both':>10}{'Norse, both':>14}{'ratio':>8}{'required':>10}"
    )
    results = []
    for key in arguments.networks:
        result = measure(key, arguments.rounds)
        results.append(result)
        whole = result["forward_and_backward_s"]
        verdict = "" if result["ratio"] >= result["required_ratio"] else "   MISSED"
        print(
            f"{key} {result['title']:26}{1e3 * result['forward_s']['gradient']:7.1f} ms"
            f"{1e3 * whole['gradient']:7.1f} ms{1e3 * whole['norse']:11.1f} ms"
            f"{result['ratio']:7.1f}x{result['required_ratio']:9.1f}x{verdict}",
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
