"""Fixed-point simulator against Lava, in one run: the networks of ``networks.py``, T = 2000.

Lava's time is its stepping alone: build and stop excluded, nothing recorded. The simulator's is
the whole call, for many samples on two threads. The two alternate, and the best round of each is
compared, because whatever else runs on the machine slows single rounds. The end-to-end ratio, with
Lava's start-up, stands beside it, and so does the simulator's rate by processor time: on a busy
machine the two threads do not have a core each. Exit code 1 if a ratio is below the required one
or any value differs, 3 if there is no Lava runtime.

    python benchmarks/simulator_against_lava.py [--networks acb] [--json FILE] [--rounds N]
"""

from __future__ import annotations

import argparse
import platform
import sys
import time
from pathlib import Path
from typing import Any

import numba
import numpy as np
from networks import NETWORKS

from neurodeploy.errors import MissingComponentError
from neurodeploy.export.lava import run_lava, runtime, time_steps
from neurodeploy.files import write_json
from neurodeploy.network.agreement import compare_traces
from neurodeploy.simulate import run_fixed

REQUIRED = {"a": 7000.0, "b": 500.0, "c": 1500.0}
#: Samples of the simulator's batch, and steps that are compared value for value.
SAMPLES = {"a": 512, "b": 32, "c": 128}
COMPARED_STEPS = {"a": 2000, "b": 100, "c": 500}
THREADS = 2
STEPS = 2000
SEED = 2


def processor() -> str:
    """Return the processor's name."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def processor_flags() -> str:
    """Return the processor's vector instruction sets."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("flags"):
                flags = line.split(":", 1)[1].split()
                return " ".join(f for f in flags if f.startswith(("sse4", "avx", "amx", "fma")))
    except OSError:
        pass
    return "vector flags unknown"


def measure(key: str, rounds: int) -> dict[str, Any]:
    """Check equality, then time both in turn; return one document."""
    lava = runtime.require()
    network = NETWORKS[key]()
    net, samples = network.net, SAMPLES[key]
    codes = network.codes(np.random.default_rng(SEED), STEPS, samples)
    one, first = codes[:, :1], codes[: COMPARED_STEPS[key], :1]
    # The first call also compiles, so it is not timed.
    record = ("spikes", "u", "v")
    ours = run_fixed(net, first, record=record, timing="lava")
    agreement = compare_traces(ours, run_lava(net, first, record=record, timing="lava"))

    # Each entry: Lava stepping, Lava end to end, ours; in sample-steps per second.
    rates: list[tuple[float, float, float]] = []
    processor_rates: list[float] = []
    for _ in range(rounds):
        begun = time.perf_counter()
        lava_time = time_steps(net, one)
        lava_whole_s = time.perf_counter() - begun
        lava_rate = lava_time.hardware_steps / lava_time.stepping_s
        begun, processor_begun = time.perf_counter(), time.process_time()
        spikes = run_fixed(net, codes, timing="lava", threads=THREADS).counts
        ours_s = time.perf_counter() - begun
        hardware_steps = STEPS + net.max_latency
        worked_s = (time.process_time() - processor_begun) / THREADS
        processor_rates.append(samples * hardware_steps / worked_s)
        rates.append((lava_rate, hardware_steps / lava_whole_s, samples * hardware_steps / ours_s))
    stepping, whole, simulator = (max(column) for column in zip(*rates, strict=True))
    return {
        "network": key,
        "title": network.title,
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
        "simulator_by_processor_time_per_s": max(processor_rates),
        "rounds_per_s": [list(row) for row in rates],
        "ratio_stepping": simulator / stepping,
        "ratio_end_to_end": simulator / whole,
        "required_ratio": REQUIRED[key],
        "processor": processor(),
        "flags": processor_flags(),
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
        f"{result['network']}: {result['title']}, T = {result['steps']}, {result['samples']} "
        f"samples, best of {result['rounds']} rounds"
    )
    print(f"input density {100 * result['input_density']:.1f} %; firing: {rates}")
    print(
        f"u, v and spikes of all layers: {result['values_compared']} values compared, "
        f"{result['values_different']} differ"
    )
    print(f"{'':38}{'sample-steps/s':>16}{'ratio':>12}")
    name = f"simulator, {result['threads']} threads, whole call"
    print(f"{name:38}{result['simulator_per_s']:16,.0f}")
    busy = result["simulator_by_processor_time_per_s"]
    print(f"{'  had each thread had a core':38}{busy:16,.0f}")
    for label, rate, ratio in (
        ("Lava, stepping alone", "lava_stepping_per_s", "ratio_stepping"),
        ("Lava, end to end", "lava_end_to_end_per_s", "ratio_end_to_end"),
    ):
        print(f"{label:38}{result[rate]:16,.0f}{result[ratio]:11,.0f}x")
    missed = "" if result["ratio_stepping"] >= result["required_ratio"] else "   MISSED"
    print(f"required against stepping: {result['required_ratio']:,.0f}x{missed}\n", flush=True)


def main() -> int:
    """Measure, print, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", default="acb", help="which networks to run")
    parser.add_argument("--rounds", type=int, default=5, help="how often each side is timed")
    parser.add_argument("--json", type=Path, help="also write the results to this file")
    arguments = parser.parse_args()
    results = []
    print(f"{processor()}; {processor_flags()}\n")
    for key in arguments.networks:
        try:
            result = measure(key, arguments.rounds)
        except MissingComponentError as error:
            print(f"error: {error}", file=sys.stderr)
            return error.exit_code
        show(result)
        results.append(result)
    if arguments.json:
        write_json(arguments.json, {"schema": 2, "results": results})
    if any(r["values_different"] for r in results):
        print("FAILED: the results differ")
        return 1
    if any(r["ratio_stepping"] < r["required_ratio"] for r in results):
        print("FAILED: slower than required")
        return 1
    print("passed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
