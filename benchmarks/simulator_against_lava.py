"""Fixed-point simulator against Lava, in one run: 64-128-10 dense, 10 % input density, T = 2000.

Lava's time is its stepping alone: build and stop excluded, nothing recorded. The simulator's is
the whole call, for many samples on two threads. The two alternate, and the best round of each is
compared, because whatever else runs on the machine slows single rounds. The end-to-end ratio, with
Lava's start-up, stands beside it. Exit code 1 if the ratio is below the required one or any value
differs, 3 if there is no Lava runtime.

    python benchmarks/simulator_against_lava.py [--json FILE] [--samples N] [--rounds N]
"""

from __future__ import annotations

import argparse
import platform
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numba
import numpy as np

from neurodeploy.errors import MissingComponentError
from neurodeploy.export.lava import run_lava, runtime, time_steps
from neurodeploy.files import write_json
from neurodeploy.network import (
    INPUT,
    ConstantEncoder,
    FixedPointNetwork,
    FixedPopulation,
    FixedSynapse,
    Readout,
)
from neurodeploy.network.agreement import compare_traces
from neurodeploy.simulate import run_fixed

REQUIRED_RATIO = 3000
THREADS = 2
STEPS = 2000
DENSITY = 0.1
SIZES = (64, 128, 10)
#: Thresholds at which both layers fire at 6 to 8 % for the seed below.
THRESHOLDS = (1200, 2500)
SEED = 1


def benchmark_network(rng: np.random.Generator) -> FixedPointNetwork:
    """Return a current-based network with mixed 8-bit weights; u and v both leak."""
    populations = tuple(
        FixedPopulation(
            name=name, nir_nodes=(name,), kind="lif", decay_u=2000,
            decay_v=np.full(size, 400), bias=0, bias_exp=0, v_threshold=threshold,
            u_init=0, v_init=0, latency=latency, scale=1.0,
        )
        for name, size, threshold, latency in zip(
            ("hidden", "output"), SIZES[1:], THRESHOLDS, (1, 2), strict=True
        )
    )  # fmt: skip
    first, second = (rng.integers(-127, 128, (n_out, n_in)) * 2 for n_in, n_out in pairwise(SIZES))
    return FixedPointNetwork(
        populations=populations,
        synapses=(
            FixedSynapse("input_hidden", INPUT, "hidden", first, 0, "mixed"),
            FixedSynapse("hidden_output", "hidden", "output", second, 0, "mixed"),
        ),
        n_input=SIZES[0],
        encoder=ConstantEncoder(bits=1),
        readout=Readout("output", "count"),
        steps=STEPS,
    )


def processor() -> str:
    """Return the processor's name."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def measure(samples: int, rounds: int) -> dict[str, Any]:
    """Check equality, then time both in turn; return one document."""
    lava = runtime.require()
    rng = np.random.default_rng(SEED)
    net = benchmark_network(rng)
    codes = (rng.random((STEPS, samples, SIZES[0])) < DENSITY).astype(np.uint8)
    one = codes[:, :1]
    # The first call also compiles, so it is not timed.
    record = ("spikes", "u", "v")
    ours = run_fixed(net, one, record=record, timing="lava")
    agreement = compare_traces(ours, run_lava(net, one, record=record, timing="lava"))

    # Each entry: Lava stepping, Lava end to end, ours; in sample-steps per second.
    rates: list[tuple[float, float, float]] = []
    for _ in range(rounds):
        begun = time.perf_counter()
        lava_time = time_steps(net, one)
        lava_whole_s = time.perf_counter() - begun
        lava_rate = lava_time.hardware_steps / lava_time.stepping_s
        begun = time.perf_counter()
        run_fixed(net, codes, timing="lava", threads=THREADS)
        ours_s = time.perf_counter() - begun
        hardware_steps = STEPS + net.max_latency
        rates.append((lava_rate, hardware_steps / lava_whole_s, samples * hardware_steps / ours_s))
    stepping, whole, simulator = (max(column) for column in zip(*rates, strict=True))
    spikes = run_fixed(net, codes, threads=THREADS).counts
    return {
        "schema": 1,
        "network": "-".join(str(size) for size in SIZES),
        "steps": STEPS,
        "samples": samples,
        "threads": THREADS,
        "rounds": rounds,
        "input_density": float(codes.mean()),
        "rates": {
            p.name: float(spikes[f"{p.name}/spikes"].mean()) / STEPS / p.size
            for p in net.populations
        },
        "values_compared": agreement.compared,
        "values_different": agreement.mismatches,
        "lava_stepping_per_s": stepping,
        "lava_end_to_end_per_s": whole,
        "simulator_per_s": simulator,
        "rounds_per_s": [list(row) for row in rates],
        "ratio_stepping": simulator / stepping,
        "ratio_end_to_end": simulator / whole,
        "required_ratio": REQUIRED_RATIO,
        "processor": processor(),
        "versions": {
            "python": platform.python_version(),
            "numpy": np.__version__,
            "numba": numba.__version__,
            "lava": dict(lava.versions),
        },
    }


def show(result: dict[str, Any]) -> None:
    """Print the document as a table."""
    rates = ", ".join(f"{name} {100 * rate:.1f} %" for name, rate in result["rates"].items())
    print(
        f"{result['network']} dense, T = {result['steps']}, {result['samples']} samples, "
        f"best of {result['rounds']} rounds"
    )
    print(f"input density {100 * result['input_density']:.1f} %; firing: {rates}")
    print(f"{result['processor']}, {result['versions']}")
    print(
        f"u, v and spikes of all layers: {result['values_compared']} values compared, "
        f"{result['values_different']} differ\n"
    )
    print(f"{'':38}{'sample-steps/s':>16}{'ratio':>12}")
    name = f"simulator, {result['threads']} threads, whole call"
    print(f"{name:38}{result['simulator_per_s']:16,.0f}")
    for label, rate, ratio in (
        ("Lava, stepping alone", "lava_stepping_per_s", "ratio_stepping"),
        ("Lava, end to end", "lava_end_to_end_per_s", "ratio_end_to_end"),
    ):
        print(f"{label:38}{result[rate]:16,.0f}{result[ratio]:11,.0f}x")
    print(f"\nrequired against stepping: {result['required_ratio']}x")


def main() -> int:
    """Measure, print, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="also write the result to this file")
    parser.add_argument("--samples", type=int, default=512, help="samples of the simulator's batch")
    parser.add_argument("--rounds", type=int, default=5, help="how often each side is timed")
    arguments = parser.parse_args()
    try:
        result = measure(arguments.samples, arguments.rounds)
    except MissingComponentError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    show(result)
    if arguments.json:
        write_json(arguments.json, result)
    if result["values_different"]:
        print("FAILED: the results differ")
        return 1
    if result["ratio_stepping"] < REQUIRED_RATIO:
        print("FAILED: slower than required")
        return 1
    print("passed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
