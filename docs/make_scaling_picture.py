"""Measure and draw how time and memory of the fixed-point simulator grow.

    python docs/make_scaling_picture.py docs/scaling.svg

Every point is a process of its own: the N-MNIST-like network of `benchmarks/networks.py`, one
thread, nothing recorded, 10 % of the input active, codes read from a file, 8 MiB of scratch at
most. Time is processor time of the call; memory is the most that the call holds at a time, as
Python's tracemalloc sees numpy's arrays, in a second call.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
from networks import event_image_network

MEMORY = 8 * 2**20
LENGTHS, SAMPLES = (100, 200, 400, 800, 1600), (8, 16, 32, 64, 128)
FIXED_LENGTH, FIXED_SAMPLES = 200, 8

CODE = """
import json, sys, time, tracemalloc
import numpy as np
from neurodeploy.network import load_network
from neurodeploy.simulate import run_fixed
net, codes = load_network({network!r}), np.lib.format.open_memmap({codes!r}, "r")
run_fixed(net, np.array(codes[:10, :2]), threads=1, memory_bytes={memory})
begun = time.process_time()
run_fixed(net, codes, threads=1, memory_bytes={memory})
seconds = time.process_time() - begun
tracemalloc.start()
run_fixed(net, codes, threads=1, memory_bytes={memory})
print(json.dumps({{"seconds": seconds, "mib": tracemalloc.get_traced_memory()[1] / 2**20}}))
"""


def measure(folder: Path, steps: int, samples: int) -> dict[str, float]:
    """Run one point in a process of its own."""
    path = folder / "codes.npy"
    shape = (steps, samples, 2 * 34 * 34)
    codes = np.lib.format.open_memmap(path, "w+", np.uint8, shape)
    rng = np.random.default_rng(0)
    for t in range(steps):
        codes[t] = rng.random(shape[1:]) < 0.1
    codes.flush()
    code = CODE.format(network=str(folder / "net.h5"), codes=str(path), memory=MEMORY)
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def draw(by_steps: list[dict[str, float]], by_samples: list[dict[str, float]], out: Path) -> None:
    """Draw time and memory against steps and samples."""
    import matplotlib

    matplotlib.use("svg")
    import matplotlib.pyplot as plt

    plt.rcParams.update({"svg.hashsalt": "neurodeploy", "svg.fonttype": "none", "font.size": 9})
    figure, axes = plt.subplots(2, 2, figsize=(7.2, 4.6), sharex="col", sharey="row")
    columns = (
        (LENGTHS, by_steps, f"steps ({FIXED_SAMPLES} samples)"),
        (SAMPLES, by_samples, f"samples ({FIXED_LENGTH} steps)"),
    )
    for column, (x, points, label) in enumerate(columns):
        seconds = [p["seconds"] for p in points]
        slope = np.mean(np.array(seconds) / np.array(x))
        axes[0][column].plot([0, x[-1]], [0, slope * x[-1]], color="#999999", linewidth=1)
        axes[0][column].plot(x, seconds, "o", color="#0072b2")
        axes[1][column].plot(x, [p["mib"] for p in points], "o", color="#0072b2")
        axes[1][column].axhline(MEMORY / 2**20, color="#d55e00", linewidth=1)
        axes[1][column].set_xlabel(label)
    axes[0][0].set_ylabel("processor time (s)")
    axes[1][0].set_ylabel("added memory (MiB)")
    axes[1][0].text(LENGTHS[0], MEMORY / 2**20 - 0.9, "memory_bytes", color="#d55e00")
    axes[0][0].set_ylim(bottom=0)
    axes[1][0].set_ylim(bottom=0, top=1.15 * MEMORY / 2**20)
    figure.tight_layout()
    figure.savefig(out, metadata={"Date": None})


def main() -> None:
    """Measure every point and write the picture."""
    out = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        event_image_network().net.save(folder / "net.h5")
        by_steps = [measure(folder, steps, FIXED_SAMPLES) for steps in LENGTHS]
        by_samples = [measure(folder, FIXED_LENGTH, samples) for samples in SAMPLES]
    draw(by_steps, by_samples, out)


if __name__ == "__main__":
    main()
