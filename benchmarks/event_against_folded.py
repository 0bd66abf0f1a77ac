"""Synapses by events against synapses over all steps at once, by density.

A folded layer multiplies all steps of all samples by its weights in one float32 product. It is
exact while no sum can reach 2^24, which is checked, and its cost does not depend on the input. The
event kernels' cost does. Networks of one such layer, one thread, processor time, best of several
rounds:

* by events: the whole call of ``run_fixed``, with no synapse folded;
* folded: the same call on silence (neurons, reading and hashing codes), plus torch's product
  (a matrix, or a channels-last convolution) with the codes made float32 and the sums int32;
* as planned: the whole call of ``run_fixed`` as it is, a line of its own for convolutions.

    python benchmarks/event_against_folded.py [--rounds N]
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from networks import one_layer
from numpy.typing import NDArray
from simulator_against_lava import processor

from neurodeploy.network import ConvLayout, FixedPointNetwork
from neurodeploy.simulate import folded_conv, run_fixed

DENSITIES = (0.01, 0.05, 0.1, 0.3, 0.6, 1.0)
#: Sums below which float32 adds whole numbers exactly.
EXACT = 2**24
SEED = 1


@dataclass(frozen=True)
class Case:
    """A layer and the size of a run; ``bits`` of its codes."""

    title: str
    shape: tuple[int, ...]
    layout: ConvLayout | None
    steps: int
    samples: int
    bits: int = 1


def _same(channels: int, out: int, size: int) -> ConvLayout:
    return ConvLayout((1, 1), (1, 1), (1, 1), 1, (channels, size, size), (out, size, size))


_STRIDED = ConvLayout((2, 2), (2, 2), (1, 1), 1, (2, 34, 34), (16, 17, 17))
CASES = (
    Case("dense 64-128", (128, 64), None, 128, 64),
    Case("dense 700-256", (256, 700), None, 64, 32),
    Case("conv 2x34x34, 16k5 stride 2", (16, 2, 5, 5), _STRIDED, 100, 4),
    Case("conv 16x17x17, 16k3", (16, 16, 3, 3), _same(16, 16, 17), 100, 4),
    Case("conv 64x32x32, 64k3", (64, 64, 3, 3), _same(64, 64, 32), 16, 1),
    Case("dense 700-256, 4-bit codes", (256, 700), None, 64, 8, bits=4),
    Case("conv 16x17x17, 16k3, 4-bit codes", (16, 16, 3, 3), _same(16, 16, 17), 50, 2, bits=4),
)


def folded(case: Case, weight: NDArray[np.int32], codes: NDArray[np.uint8]) -> Callable[[], Any]:
    """Return the product of all steps; refuse one that need not be exact."""
    rows = weight.astype(np.int64).reshape(weight.shape[0], -1)
    bound = max(int(np.maximum(sign * rows, 0).sum(axis=1).max()) for sign in (1, -1))
    if bound * (2**case.bits - 1) >= EXACT:
        raise SystemExit(f"{case.title}: sums may reach 2^24")
    matrix, given = torch.tensor(weight.astype(np.float32)), torch.tensor(codes)
    layout = case.layout
    if layout is None:
        return lambda: (given.reshape(-1, given.shape[-1]).float() @ matrix.t()).int()
    matrix = matrix.to(memory_format=torch.channels_last)
    channels, height, width = layout.input_shape
    # Channels last in memory already, as the codes of a layer before it would be.
    images = given.reshape(-1, height, width, channels).permute(0, 3, 1, 2)
    return lambda: torch.nn.functional.conv2d(
        images.float(), matrix, None, layout.stride, layout.padding
    ).int()


def measure(case: Case, rounds: int) -> tuple[list[float], list[float]]:
    """Return seconds per sample-step: folded and by events at each density; and as planned."""
    rng = np.random.default_rng(SEED)
    net = one_layer(rng, case.shape, case.layout, case.bits)
    shape = (case.steps, case.samples, net.n_input)
    codes = [
        np.where(rng.random(shape) < d, rng.integers(1, 2**case.bits, shape), 0).astype(np.uint8)
        for d in (0.0, *DENSITIES)
    ]
    product = folded(case, net.synapses[0].weight, codes[-1])
    runs: list[Callable[[], Any]] = [product]
    runs += [partial(by_events, net, c) for c in codes]
    runs += [partial(run_fixed, net, c, threads=1) for c in codes[1:]]
    best = [float("inf")] * len(runs)
    for round_ in range(rounds + 1):
        for i, run in enumerate(runs):
            begun = time.thread_time()
            run()
            if round_:  # the first one allocates
                best[i] = min(best[i], time.thread_time() - begun)
    product_s, silent_s, *rest = (b / case.steps / case.samples for b in best)
    events, planned = rest[: len(DENSITIES)], rest[len(DENSITIES) :]
    return [product_s + silent_s, *events], planned


def by_events(net: FixedPointNetwork, codes: NDArray[np.uint8]) -> None:
    """Run with every synapse event by event."""
    before, folded_conv.FOLD_FROM = folded_conv.FOLD_FROM, float("inf")
    try:
        run_fixed(net, codes, threads=1)
    finally:
        folded_conv.FOLD_FROM = before


def main() -> int:
    """Measure and print a table in Markdown, in microseconds per sample-step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20, help="how often each is timed")
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    print(f"{processor()}; torch {torch.__version__}; microseconds per sample-step\n")
    columns = [f"{100 * d:.0f} %" for d in DENSITIES]
    print("| layer | folded | " + " | ".join(columns) + " |")
    print("| --- |" + " --- |" * (1 + len(columns)))
    with torch.inference_mode():
        for case in CASES:
            row, planned = ([f"{1e6 * s:.2f}" for s in line] for line in measure(case, rounds))
            print(f"| {case.title} | {' | '.join(row)} |", flush=True)
            if case.layout is not None:
                print(f"| as planned | | {' | '.join(planned)} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
