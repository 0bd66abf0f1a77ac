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
from neurodeploy.export.norse.network import NorseNetwork
from neurodeploy.export.norse.stimulus import random_stimulus
from neurodeploy.graph import Graph
from neurodeploy.graph.nodes import INTEGRATORS, SPIKING
from neurodeploy.lowering import lower
from neurodeploy.network import Traces
from neurodeploy.simulate import run_float

FloatArray: TypeAlias = NDArray[np.float64]

#: Largest relative difference of values and membranes; spikes must be equal.
TOLERANCE = 1e-9
#: Relative distance from the threshold at which a spike hangs on rounding.
_TIE = 1e-12


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
    x = random_stimulus(twin, seed) if sample is None else _values(sample, network.input_shape)
    with torch.no_grad():
        outputs, membranes = twin.run_with_membranes(torch.from_numpy(x))
    net = lower(graph).value
    traces = run_float(
        net,
        x.reshape(*x.shape[:2], -1),
        steps=x.shape[0],
        record=("spikes", "v", "v_pre", "y"),
    )
    spikes, values, differences = {}, {}, []
    for name, output in outputs.items():
        wanted = _record(traces, graph, name)
        if wanted is None:
            continue
        got = output.numpy().reshape(wanted.shape)
        if isinstance(graph.nodes[name], SPIKING):
            spikes[name] = int(wanted.sum(dtype=np.int64))
            thresholds = net.population(name).v_threshold
            differences += _spike_difference(name, got, wanted, thresholds, traces)
            if name in membranes and graph.contract.reset != "subtract-late":
                differences += _membrane_difference(name, membranes[name].numpy(), traces)
        else:
            values[name], found = _value_difference(name, got, wanted, wanted)
            differences += found
    if differences:
        first = min(differences, key=lambda d: d.step)
        raise ExportRefusedError(
            f"from_nir: node {first.node!r} does not run in Norse's parts as in the graph: "
            f"{first.text}; {len({d.node for d in differences})} of {len(spikes) + len(values)} "
            "compared nodes differ"
        )
    silent = tuple(name for name, count in spikes.items() if not count)
    return NetworkCheck(x.shape[0], x.shape[1], spikes, values, silent)


def _record(traces: Traces, graph: Graph, name: str) -> NDArray[Any] | None:
    """Return what the float run says that node ``name`` put out, [T, B, N]; None: not recorded."""
    node = graph.nodes[name]
    quantity = (
        "spikes" if isinstance(node, SPIKING) else "v" if isinstance(node, INTEGRATORS) else "y"
    )
    return traces.records.get(f"{name}/{quantity}")


def _spike_difference(
    name: str, got: FloatArray, wanted: NDArray[Any], thresholds: FloatArray, traces: Traces
) -> list[_Difference]:
    wrong = got != wanted
    if not wrong.any():
        return []
    t, sample, neuron = (int(i) for i in np.argwhere(wrong)[0])
    text = (
        f"step {t}, sample {sample}, neuron {neuron}: {got[t, sample, neuron]:g} in place of "
        f"{wanted[t, sample, neuron]:g} spikes; {int(wrong.sum())} of {wrong.size} entries differ"
    )
    v_pre = traces.records.get(f"{name}/v_pre")
    if v_pre is not None:
        v, v_threshold = v_pre[t, sample, neuron], thresholds[neuron]
        text += f" (membrane before the reset {v:.17g}, threshold {v_threshold:.17g})"
        if abs(v - v_threshold) <= _TIE * abs(v_threshold):
            text += (
                ". The two are equal up to rounding, and Norse adds in another order: on this "
                "input the spike is no property of the graph; give another sample, or verify=False"
            )
    return [_Difference(t, name, text)]


def _membrane_difference(name: str, got: FloatArray, traces: Traces) -> list[_Difference]:
    """Compare membranes after the reset, on the scale of those before it."""
    wanted = traces.records[f"{name}/v"]
    before = traces.records[f"{name}/v_pre"]
    _, found = _value_difference(
        name, got.reshape(wanted.shape), wanted, before, what="the membrane is "
    )
    return found


def _value_difference(
    name: str, got: FloatArray, wanted: NDArray[Any], sizes: NDArray[Any], what: str = ""
) -> tuple[float, list[_Difference]]:
    """Return the largest relative difference, and where it is too large.

    What counts as large is measured by ``sizes``: how large they have been so far in the sample.
    """
    if not wanted.size:
        return 0.0, []
    size = np.maximum(np.abs(wanted), np.abs(sizes)).max(axis=2)
    scale = np.maximum(np.maximum.accumulate(size, axis=0), np.finfo(np.float64).tiny)[:, :, None]
    with np.errstate(invalid="ignore", over="ignore"):
        error = np.abs(got - wanted) / scale
    error[(got == wanted) | (np.isnan(got) & np.isnan(wanted))] = 0
    wrong = ~(error <= TOLERANCE)
    if not wrong.any():
        return float(error.max()), []
    t, sample, neuron = (int(i) for i in np.argwhere(wrong)[0])
    text = (
        f"step {t}, sample {sample}, neuron {neuron}: {what}{got[t, sample, neuron]:.12g} in "
        f"place of {wanted[t, sample, neuron]:.12g}; {int(wrong.sum())} of {wrong.size} entries "
        f"differ by more than {TOLERANCE:g}"
    )
    return float(np.nanmax(error)), [_Difference(t, name, text)]


def _values(sample: Any, input_shape: tuple[int, ...]) -> FloatArray:
    array = sample.detach().cpu().numpy() if isinstance(sample, torch.Tensor) else sample
    array = np.asarray(array)
    if array.dtype.kind not in "biuf":
        raise ShapeError(f"sample: holds {array.dtype}; needs numbers")
    array = array.astype(np.float64)
    if array.ndim < 2 or array.shape[2:] != input_shape or not array.size:
        shape = ", ".join(map(str, input_shape))
        raise ShapeError(f"sample: shape {array.shape}; needs [T, B, {shape}], not empty")
    return array
