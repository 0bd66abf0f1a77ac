"""Known answers of Lava's fixed_pt models, asked of the installed Lava itself.

If one of them differs, the installed Lava is not the one whose integers this package reproduces.
The last ones belong to our own processes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.proc.dense.process import DelayDense, Dense
from lava.proc.io.sink import RingBuffer as Sink
from lava.proc.io.source import RingBuffer as Source
from lava.proc.lif.process import LIF
from lava.utils.weightutils import SignMode

from neurodeploy.export.lava_processes.dlif import DLIF
from neurodeploy.export.lava_processes.extended_lif import ExtendedLIF
from neurodeploy.export.lava_processes.layer_recorder import LayerRecorder
from neurodeploy.export.lava_worker.watchdog import Watchdog

Array = np.ndarray[Any, Any]
V_MAX = 2**23 - 1
_STEPS = 5
_NEVER = 131072


def run_golden_vectors(folder: Path, watchdog: Watchdog) -> list[dict[str, Any]]:
    """Return ``{"name", "expected", "found", "ok"}`` per known answer (lists of int)."""
    answers = {
        **_lif_answers(folder, watchdog),
        **_synapse_answers(watchdog),
        **_dlif_answers(folder, watchdog),
        **_extended_answers(folder, watchdog),
    }
    return [
        {"name": name, "expected": expected, "found": found, "ok": found == expected}
        for name, (expected, found) in answers.items()
    ]


def _lif_answers(folder: Path, watchdog: Watchdog) -> dict[str, tuple[list[int], list[int]]]:
    """One LIF population in which every neuron is a case of its own, fed without a synapse."""
    #         u      v  du    dv  a         bias   bias_exp  vth
    cases = [
        (1000, 0, -1, 4096, 0, 0, 0, _NEVER),
        (1000, 0, 0, 4096, 0, 0, 0, _NEVER),
        (1000, 0, 2048, 4096, 0, 0, 0, _NEVER),
        (1000, 0, 4095, 4096, 0, 0, 0, _NEVER),
        (0, 0, 4095, 4096, 203_200, 0, 0, _NEVER),
        (0, 0, 4095, 4096, 30_480_000, 0, 0, _NEVER),
        (2**25, 2**25, -1, 0, 0, 0, 0, _NEVER),
        (0, 0, 4095, 4096, 0, 20_000, 6, _NEVER),
        (0, 0, 4095, 4096, 0, 1.7, 0, _NEVER),
        (0, 0, 4095, 4096, 0, -1.7, 0, _NEVER),
        (0, 0, 4095, 4096, 1, 0, 0, 1),
        (0, 0, 4095, 4096, 1, 0, 0, 0),
    ]
    u0, v0, du, dv, a, bias, bias_exp, vth = (np.array(column) for column in zip(*cases))  # noqa: B905
    neurons = LIF(shape=(len(cases),), u=u0, v=v0, du=du, dv=dv, vth=vth,
                  bias_mant=bias, bias_exp=bias_exp)  # fmt: skip
    got = _record(neurons, a, ("u", "v", "spikes"), folder, watchdog)
    u, v, spikes = (got[q] for q in ("u", "v", "spikes"))
    return {
        "u=1000, du=-1/0/2048/4095: u'": ([1000, 999, 499, 0], _ints(u[0, 0:4])),
        "a=203200 wraps u once: u'": ([-3_772_416], _ints(u[0, 4:5])),
        "a=30480000 leaves 24 bits: u', v'": ([1_933_942_784, V_MAX], _ints([u[0, 5], v[0, 5]])),
        "u=v=2^25, du=-1: u', v'": ([16_777_216, V_MAX], _ints([u[0, 6], v[0, 6]])),
        "bias_mant=20000, bias_exp=6: v'": ([1_280_000], _ints(v[0, 7:8])),
        "bias_mant=1.7/-1.7: bias": ([1, -1], _ints(v[0, 8:10])),
        "vth=1/0, a=1: spikes in 5 steps": ([0, 5], _ints(spikes[:, 10:12].sum(axis=0))),
    }


def _synapse_answers(watchdog: Watchdog) -> dict[str, tuple[list[int], list[int]]]:
    """Several synapses behind one source that sends 5, -3, 0, 2 at the first step."""
    data = np.zeros((4, _STEPS), np.int32)
    data[:, 0] = [5, -3, 0, 2]
    source = Source(data=data)
    first_line = np.array([1, 0, 0, 0])
    synapses = {
        "mixed": Dense(weights=np.array([[3.9, -3.9, 300.0, -300.0]]), num_weight_bits=8),
        "shifted": Dense(weights=np.outer([-6, 2], first_line), weight_exp=-2),
        "excitatory": Dense(weights=np.array([[5, -5, 300, 0]]), sign_mode=SignMode.EXCITATORY),
        "binary": Dense(weights=10 * np.eye(4, dtype=int)),
        "graded": Dense(weights=10 * np.eye(4, dtype=int), num_message_bits=8),
        "delayed": DelayDense(
            weights=np.outer([3, 5], first_line),
            delays=np.array([[1] * 4, [4] * 4]),
            max_delay=2,
        ),
    }
    sinks = {}
    for name, synapse in synapses.items():
        source.s_out.connect(synapse.s_in)
        sinks[name] = Sink(shape=synapse.a_out.shape, buffer=_STEPS)
        synapse.a_out.connect(sinks[name].a_in)
    _run(source, watchdog)
    sums = {name: np.asarray(sink.data.get()) for name, sink in sinks.items()}
    prepared = {name: np.asarray(synapses[name].weights.get()) for name in ("mixed", "excitatory")}
    watchdog.end()
    source.stop()
    return {
        "weights 3.9 -3.9 300 -300, mixed": ([2, -4, 254, -256], _ints(prepared["mixed"][0])),
        "weights 5 -5 300, excitatory": ([5, 0, 255], _ints(prepared["excitatory"][0, :3])),
        "weights -6 2, weight_exp=-2: a": ([-2, 0], _ints(sums["shifted"][:, 1])),
        "binary, w=10, inputs 5 -3 0 2: a": ([10, 10, 0, 10], _ints(sums["binary"][:, 1])),
        "graded, w=10, inputs 5 -3 0 2: a": ([50, -30, 0, 20], _ints(sums["graded"][:, 1])),
        "delays 1 4, max_delay 2, weights 3 5: a": (
            [0, 0, 3, 0, 0, 0, 0, 0, 0, 0],
            _ints(sums["delayed"].ravel()),
        ),
    }


def _dlif_answers(folder: Path, watchdog: Watchdog) -> dict[str, tuple[list[int], list[int]]]:
    """Wait one step, then gains 3 and 5 with shift 2; 33 >> 2 is 8 and -33 >> 2 is -9."""
    whole = np.full(3, 4096)
    neurons = DLIF(
        decay_v=whole, bias=np.array([1, -1, 1]), threshold=np.array([_NEVER, _NEVER, 8]),
        v=np.zeros(3, np.int32), gain=np.array([3, 5]), gain_shift=2, latency=1,
    )  # fmt: skip
    got = _record(neurons, np.array([10, -10, 10]), ("v", "spikes"), folder, watchdog)
    return {
        "dlif, a+b=11, gain 3 5, shift 2: v": ([0, 512, 832, 832, 832], _ints(got["v"][:, 0])),
        "dlif, a+b=-11: v": ([0, -576, -896, -896, -896], _ints(got["v"][:, 1])),
        "dlif, vth=8: spikes": ([0, 0, 1, 1, 1], _ints(got["spikes"][:, 2])),
    }


def _extended_answers(folder: Path, watchdog: Watchdog) -> dict[str, tuple[list[int], list[int]]]:
    """640 a step (10 << 6), no leak, threshold 1024 (16 << 6); a spike costs the next step."""
    zeros = np.zeros(1, np.int32)
    neurons = ExtendedLIF(
        decay_u=zeros + 4095, decay_v=zeros, bias=zeros, threshold=zeros + 16, u=zeros, v=zeros,
        subtract=True, refractory_steps=1, reset_interval=4, reset_offset=1, latency=0,
    )  # fmt: skip
    got = _record(neurons, np.array([10]), ("u", "v", "spikes"), folder, watchdog)
    return {
        "subtract, wait 1, reset every 4: v": ([640, 256, 256, 896, 640], _ints(got["v"])),
        "subtract, wait 1, reset every 4: s": ([0, 1, 0, 0, 0], _ints(got["spikes"])),
    }


def _record(
    neurons: Any, a: Array, quantities: tuple[str, ...], folder: Path, watchdog: Watchdog
) -> dict[str, Array]:
    """Feed ``a`` at every step straight into ``neurons``; return what they did, [steps, N]."""
    source = Source(data=np.tile(a[:, None], (1, _STEPS)))
    source.s_out.connect(neurons.a_in)
    paths = {q: str(folder / f"golden-{type(neurons).__name__}-{q}.npy") for q in quantities}
    recorder = LayerRecorder(size=a.size, steps=_STEPS, paths=paths)
    neurons.s_out.connect(recorder.s_in)
    for quantity in quantities:
        if quantity != "spikes":
            getattr(recorder, quantity).connect_var(getattr(neurons, quantity))
    _run(source, watchdog)
    watchdog.end()
    source.stop()
    return {q: np.load(path, allow_pickle=False) for q, path in paths.items()}


def _run(entry: Any, watchdog: Watchdog) -> None:
    entry.create_runtime(run_cfg=Loihi2SimCfg(select_tag="fixed_pt"))
    watchdog.begin()
    entry.run(RunSteps(num_steps=_STEPS))


def _ints(values: Any) -> list[int]:
    return [int(value) for value in np.asarray(values).ravel()]
