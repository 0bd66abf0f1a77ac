"""The proof of an imported network: its spikes against our own float run of the same graph."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from neurodeploy.errors import ExportRefusedError, ShapeError
from neurodeploy.export.norse_modules import DelayLine
from neurodeploy.export.norse_network import NorseNetwork
from neurodeploy.graph import Graph
from neurodeploy.graph.nodes import SPIKING
from neurodeploy.lowering import lower
from neurodeploy.network import Traces
from neurodeploy.simulate import run_float

FloatArray: TypeAlias = NDArray[np.float64]

#: Largest relative difference of values that do not spike; spikes must be equal.
TOLERANCE = 1e-9
#: Stimuli are tried at these powers of 2, until every neuron that can fire has fired.
_LADDERS = (range(-2, 14, 2), range(14, 30, 2), range(-18, -2, 2))
_STEPS = 40
_DENSITY = 0.4


@dataclass(frozen=True, slots=True)
class NetworkCheck:
    """What was compared, and found equal.

    Parameters
    ----------
    steps, samples : int
        Size of the stimulus.
    spikes : mapping of node to int
        Spikes of each spiking node; none of its entries differs.
    values : mapping of node to float
        Largest relative difference of each node that sends values.
    silent : tuple of str
        Spiking nodes that never fired: for them little is proven.
    """

    steps: int
    samples: int
    spikes: Mapping[str, int] = field(default_factory=dict)
    values: Mapping[str, float] = field(default_factory=dict)
    silent: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Difference:
    step: int
    node: str
    text: str


def check_network(
    network: NorseNetwork, graph: Graph, sample: Any = None, *, seed: int = 0
) -> NetworkCheck:
    """Compare every node of ``network`` with the float run of ``graph``, both in float64.

    Parameters
    ----------
    network : NorseNetwork
        A float32 network's weights are rounded; compare it before that.
    graph : Graph
    sample : array or tensor [T, B, *input_shape]
        Input values per step. By default random sparse ones, from weak to strong.
    seed : int
        Of the random stimulus.

    Raises
    ------
    ExportRefusedError
        Naming the node that differs first, the step and the numbers.
    ShapeError
        If the sample does not fit.
    """
    twin = copy.deepcopy(network).double()
    x = _stimulus(twin, seed) if sample is None else _values(sample, network.input_shape)
    ours = _outputs(twin, x)
    flat = x.reshape(*x.shape[:2], -1)
    traces = run_float(
        lower(graph).value, flat, steps=x.shape[0], record=("spikes", "v", "v_pre", "y")
    )
    spikes, values, differences = {}, {}, []
    for name, output in ours.items():
        wanted = _record(traces, name)
        if wanted is None:
            continue
        got = output.reshape(wanted.shape)
        if isinstance(graph.nodes[name], SPIKING):
            spikes[name] = int(wanted.sum(dtype=np.int64))
            found = _spike_difference(name, got, wanted, traces)
        else:
            values[name], found = _value_difference(name, got, wanted)
        differences += [] if found is None else [found]
    if differences:
        first = min(differences, key=lambda d: d.step)
        raise ExportRefusedError(
            f"from_nir: node {first.node!r} does not run in Norse's parts as in the graph: "
            f"{first.text}; {len(differences)} of {len(spikes) + len(values)} compared nodes differ"
        )
    silent = tuple(name for name, count in spikes.items() if not count)
    return NetworkCheck(x.shape[0], x.shape[1], spikes, values, silent)


def _record(traces: Traces, name: str) -> NDArray[Any] | None:
    """Return what the float run says that node ``name`` put out, [T, B, N]."""
    for quantity in ("spikes", "y", "v"):
        found = traces.records.get(f"{name}/{quantity}")
        if found is not None:
            return found
    return None


def _spike_difference(
    name: str, got: FloatArray, wanted: NDArray[Any], traces: Traces
) -> _Difference | None:
    wrong = got != wanted
    if not wrong.any():
        return None
    t, sample, neuron = (int(i) for i in np.argwhere(wrong)[0])
    text = (
        f"step {t}, sample {sample}, neuron {neuron}: {got[t, sample, neuron]:g} in place of "
        f"{wanted[t, sample, neuron]:g} spikes; {int(wrong.sum())} of {wrong.size} entries differ"
    )
    v_pre = traces.records.get(f"{name}/v_pre")
    if v_pre is not None:
        text += f" (membrane before the reset {v_pre[t, sample, neuron]:.17g})"
    return _Difference(t, name, text)


def _value_difference(
    name: str, got: FloatArray, wanted: NDArray[Any]
) -> tuple[float, _Difference | None]:
    if not wanted.size:
        return 0.0, None
    # What is exact depends on how large the values have been so far in the same sample.
    size = np.abs(wanted).max(axis=2, initial=0)
    scale = np.maximum(np.maximum.accumulate(size, axis=0), np.finfo(np.float64).tiny)[:, :, None]
    with np.errstate(invalid="ignore", over="ignore"):
        error = np.abs(got - wanted) / scale
    error[(got == wanted) | (np.isnan(got) & np.isnan(wanted))] = 0
    wrong = ~(error <= TOLERANCE)
    if not wrong.any():
        return float(error.max()), None
    t, sample, entry = (int(i) for i in np.argwhere(wrong)[0])
    text = (
        f"step {t}, sample {sample}, entry {entry}: {got[t, sample, entry]:.12g} in place of "
        f"{wanted[t, sample, entry]:.12g}; {int(wrong.sum())} of {wrong.size} entries differ by "
        f"more than {TOLERANCE:g}"
    )
    return float(np.nanmax(error)), _Difference(t, name, text)


def _outputs(network: NorseNetwork, x: FloatArray) -> dict[str, FloatArray]:
    with torch.no_grad():
        outputs = network.run(torch.from_numpy(x))
    return {name: output.numpy() for name, output in outputs.items()}


def _values(sample: Any, input_shape: tuple[int, ...]) -> FloatArray:
    array = sample.detach().cpu().numpy() if isinstance(sample, torch.Tensor) else sample
    array = np.array(array, dtype=np.float64)
    if array.ndim < 2 or array.shape[2:] != input_shape or not array.size:
        shape = ", ".join(map(str, input_shape))
        raise ShapeError(f"sample: shape {array.shape}; needs [T, B, {shape}], not empty")
    return array


def _stimulus(network: NorseNetwork, seed: int) -> FloatArray:
    """Return the first random stimulus for which all spiking nodes fire, or the best of them.

    Samples differ in size by powers of 4, so that some sample is neither silent nor saturated; in
    every second one the values have both signs.
    """
    longest = [m.longest for m in network.modules() if isinstance(m, DelayLine)]
    steps = _STEPS + min(sum(longest), 4 * _STEPS)
    best, fewest = None, None
    for k, ladder in enumerate(_LADDERS):
        rng = np.random.default_rng([seed, k])
        x = _draw(rng, steps, ladder, network.input_shape)
        fired = _fired(network, x)
        silent = sum(not any_spike for any_spike in fired)
        if fewest is None or silent < fewest:
            best, fewest = x, silent
        if not silent:
            break
    if best is None:
        raise ShapeError("no stimulus to try")
    return best


def _draw(
    rng: np.random.Generator, steps: int, ladder: range, input_shape: tuple[int, ...]
) -> FloatArray:
    shape = (steps, len(ladder), *input_shape)
    x = rng.uniform(0.5, 1.5, shape) * (rng.random(shape) < _DENSITY)
    x[:, 1::2] *= rng.choice([-1.0, 1.0], x[:, 1::2].shape)
    strength = np.array([2.0**k for k in ladder])
    return np.asarray(x * strength.reshape(-1, *(1 for _ in input_shape)))


def _fired(network: NorseNetwork, x: FloatArray) -> list[bool]:
    """Return, per spiking node, whether any neuron fired."""
    return [bool(y.any()) for n, y in _outputs(network, x).items() if n in network.spiking]
