"""Reading a graph of 10^7 weights against ``nir.read``: time and peak memory, fresh processes.

Usage: ``python benchmarks/read_against_nir.py [--weights N] [--repeats N] [--json]``. Exit code 1
if the time is more than 2 times, or the peak memory more than 1.5 times, that of nir.read. Both
are the least of the repeats, and time is processor time: what else the machine does only adds.
The files are those nir writes: float32 weights, with gzip (its default) and without. Reading here
includes the checks of every value. Memory is the process's peak resident size; the ratio of what
reading adds to the imports is printed besides.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import nir
import numpy as np

TIME_LIMIT, MEMORY_LIMIT = 2.0, 1.5
LAYERS = 4

MEASURE = """
import json, resource, sys, time
{imports}
def peak():
    # Linux counts the parent's memory in ru_maxrss; VmHWM is this program's own.
    try:
        lines = open("/proc/self/status").read().splitlines()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 2**10
before = peak()
start = time.process_time()
graph = {call}
seconds = time.process_time() - start
print(json.dumps({{"seconds": seconds, "peak_mib": peak(), "added_mib": peak() - before}}))
"""
READERS = {
    "nir": ("import nir", "nir.read(sys.argv[1])"),
    "neurodeploy": (
        "from neurodeploy.graph import Contract, read",
        "read(sys.argv[1], Contract(dt=1e-3))",
    ),
}


def write_graph(path: Path, weights: int, compression: str | None) -> None:
    """Write layers of square matrices with ``weights`` weights in all."""
    n = max(1, round((weights / LAYERS) ** 0.5))
    rng = np.random.default_rng(0)
    nodes: dict[str, nir.NIRNode] = {"input": nir.Input({"input": np.array([n])})}
    for i in range(LAYERS):
        nodes[f"linear{i}"] = nir.Affine(
            rng.normal(0, n**-0.5, (n, n)).astype(np.float32), np.zeros(n, np.float32)
        )
        nodes[f"lif{i}"] = nir.LIF(
            *(np.full(n, value, np.float32) for value in (0.01, 10.0, 0.0, 1.0, 0.0))
        )
    nodes["output"] = nir.Output({"output": np.array([n])})
    names = list(nodes)
    nir.write(path, nir.NIRGraph(nodes, list(itertools.pairwise(names))), compression)


def measure(reader: str, path: Path) -> dict[str, float]:
    """Return seconds and MiB of one read in a process of its own."""
    imports, call = READERS[reader]
    program = MEASURE.format(imports=imports, call=call)
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], check=True, capture_output=True, text=True
    )
    result: dict[str, float] = json.loads(done.stdout)
    return result


def compare(weights: int, repeats: int, compression: str | None) -> dict[str, float]:
    """Return the least of both readers and their ratios, on one file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large.nir"
        write_graph(path, weights, compression)
        runs: dict[str, list[dict[str, float]]] = {reader: [] for reader in READERS}
        # Taking turns spreads what else the machine does over both.
        for _ in range(repeats):
            for reader, results in runs.items():
                results.append(measure(reader, path))
    document: dict[str, float] = {}
    for key in ("seconds", "peak_mib", "added_mib"):
        least = {r: min(run[key] for run in results) for r, results in runs.items()}
        for reader, value in least.items():
            document[f"{reader}_{key}"] = value
        document[f"ratio_{key}"] = least["neurodeploy"] / least["nir"]
    return document


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=int, default=10**7)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    limits = {"seconds": TIME_LIMIT, "peak_mib": MEMORY_LIMIT, "added_mib": None}
    documents = {}
    for name, compression in (("gzip", "gzip"), ("plain", None)):
        found = documents[name] = compare(arguments.weights, arguments.repeats, compression)
        for key, limit in limits.items() if not arguments.json else ():
            bound = "" if limit is None else f" (limit {limit})"
            theirs, ours, ratio = (found[f"{w}_{key}"] for w in (*READERS, "ratio"))
            line = f"{name:5} {key:10} nir {theirs:8.3f}  neurodeploy {ours:8.3f}"
            print(f"{line}  ratio {ratio:.2f}{bound}")
    if arguments.json:
        print(json.dumps(documents))
    return int(
        any(
            d["ratio_seconds"] > TIME_LIMIT or d["ratio_peak_mib"] > MEMORY_LIMIT
            for d in documents.values()
        )
    )


if __name__ == "__main__":
    sys.exit(main())
