"""Neuron nodes as populations: the contract's words become numbers per neuron."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import ContractError, UnsupportedNodeError
from neurodeploy.graph import IF, LI, LIF, Contract, CubaLI, CubaLIF, Delay, Graph, I, Threshold
from neurodeploy.lowering.delays import delay_in_steps
from neurodeploy.network import Population, stateless
from neurodeploy.network.floating import ResetKind, SpikeRule


def population_of(graph: Graph, name: str, absorbed: tuple[str, ...]) -> Population:
    """Return the population of node ``name``; ``absorbed`` are the linear nodes before it.

    Raises
    ------
    UnsupportedNodeError
        If the node has no state, threshold or delay.
    ContractError
        If ``dt`` is missing, or a delay is no whole number of steps.
    """
    node, contract = graph.nodes[name], graph.contract
    shape = graph.shapes[name][1]
    nir_nodes = (*absorbed, name)

    def values(array: Any) -> NDArray[np.float64]:
        return np.broadcast_to(np.asarray(array, dtype=np.float64), shape).reshape(-1)

    zeros = np.zeros(int(np.prod(shape, dtype=np.int64)))
    if isinstance(node, Threshold):
        threshold = values(node.threshold)
        return stateless(
            name, "threshold", zeros, nir_nodes=nir_nodes, v_threshold=threshold, shape=shape
        )
    if isinstance(node, Delay):
        steps = np.broadcast_to(delay_in_steps(node.delay, contract), shape).reshape(-1)
        return stateless(name, "delay", zeros, nir_nodes=nir_nodes, delay_steps=steps, shape=shape)
    if not isinstance(node, (I, LI, IF, LIF, CubaLI, CubaLIF)):
        raise UnsupportedNodeError(f"node {name!r}: {type(node).__name__} is no neuron")
    spiking = isinstance(node, (IF, LIF, CubaLIF))
    r = values(node.r)
    if isinstance(node, (I, IF)):
        decay_v = zeros
        unit = _seconds(contract, name) if contract.if_unit == "second" else 1.0
        input_gain = r * unit
    else:
        decay_v = _decay(node.tau if isinstance(node, (LI, LIF)) else node.tau_mem, graph, name)
        decay_v = values(decay_v)
        input_gain = r * decay_v
    if contract.input_gain == "one":
        input_gain = zeros + 1
    current = node if isinstance(node, (CubaLI, CubaLIF)) else None
    return Population(
        name=name,
        nir_nodes=nir_nodes,
        kind="lif" if spiking else "li",
        decay_v=decay_v,
        input_gain=input_gain,
        v_leak=zeros if isinstance(node, (I, IF)) else values(node.v_leak),
        v_threshold=(
            values(node.v_threshold) if isinstance(node, (IF, LIF, CubaLIF)) else zeros + np.inf
        ),
        v_reset=values(node.v_reset) if isinstance(node, (IF, LIF, CubaLIF)) else zeros,
        v_init=zeros,
        bias=zeros,
        gain=node.dlif_gain if isinstance(node, (IF, LIF, CubaLIF)) else None,
        decay_u=None if current is None else values(_decay(current.tau_syn, graph, name)),
        w_in=None if current is None else values(current.w_in),
        reset=cast(ResetKind, contract.reset) if spiking else "value",
        spikes=cast(SpikeRule, contract.spikes) if spiking else "single",
        v_min=float(contract.v_min) if isinstance(contract.v_min, (int, float)) else None,
        shape=shape,
    )


def _decay(tau_s: NDArray[Any], graph: Graph, name: str) -> NDArray[np.float64]:
    """Return the share lost per step."""
    ratio = _seconds(graph.contract, name) / np.asarray(tau_s, dtype=np.float64)
    return -np.expm1(-ratio) if graph.contract.decay == "exponential" else ratio


def _seconds(contract: Contract, name: str) -> float:
    if contract.dt is None:
        raise ContractError(f"node {name!r}: needs dt in seconds; give --dt")
    return contract.dt
