"""A float network made ready to run: parameters as tensors, and the order of its populations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from neurodeploy.network.floating import Network, Population, Synapse
from neurodeploy.simulate.float_neurons import (
    DelayLine,
    Membrane,
    Neurons,
    Relay,
    check_spike_rule,
)
from neurodeploy.simulate.float_operators import LinearMap, linear_map
from neurodeploy.simulate.float_plan import Component, components, last_use
from neurodeploy.simulate.spike_functions import Surrogate, spike_function

Tensor = torch.Tensor
#: Called with the index of an operator and the values [M, size_in] that enter it.
OnEntering = Callable[[int, Tensor], None]


@dataclass(frozen=True, slots=True, eq=False)
class Connection:
    """A synapse whose operators are functions; ``index`` is its place in the network."""

    synapse: Synapse
    index: int
    maps: tuple[LinearMap, ...]

    def apply(self, values: Tensor, on_entering: OnEntering | None = None) -> Tensor:
        """Return what arrives [T, B, n_out] for values sent [T, B, n_in]."""
        if not self.maps:
            return values
        y = values.reshape(-1, values.shape[-1])
        for index, linear in enumerate(self.maps):
            if on_entering is not None:
                on_entering(index, y)
            y = linear(y)
        return y.reshape(*values.shape[:-1], -1)


@dataclass(frozen=True, slots=True, eq=False)
class ReadyNetwork:
    """Everything about a network that all samples share."""

    net: Network
    order: tuple[Component, ...]
    neurons: Mapping[str, Neurons]
    into: Mapping[str, tuple[Connection, ...]]
    last_use: Mapping[str, int]
    dtype: torch.dtype
    device: torch.device

    @property
    def longest_delays(self) -> dict[str, int]:
        """Longest delay in steps of each source of which some synapse carries earlier steps."""
        longest: dict[str, int] = {}
        for s in self.net.synapses:
            if s.late:
                longest[s.source] = max(longest.get(s.source, 0), s.delay_steps)
        return longest


def ready_network(
    net: Network,
    dtype: torch.dtype,
    device: torch.device,
    surrogate: Surrogate | None = None,
    *,
    differentiable: bool = False,
) -> ReadyNetwork:
    """Return ``net`` ready to run in ``dtype`` on ``device``.

    ``differentiable`` membranes are made of torch operations; with a ``surrogate`` spikes have a
    slope. Otherwise membranes on the CPU are compiled.

    Raises
    ------
    InputError
        If a population's rules contradict each other.
    """
    order = components(net)
    compiled = device.type == "cpu" and not differentiable
    maps: dict[int, LinearMap] = {}
    into: dict[str, list[Connection]] = {p.name: [] for p in net.populations}
    for index, s in enumerate(net.synapses):
        for operator in s.operators:
            if id(operator) not in maps:
                maps[id(operator)] = linear_map(
                    operator, dtype, device, differentiable=differentiable
                )
        chain = tuple(maps[id(operator)] for operator in s.operators)
        into[s.target].append(Connection(s, index, chain))
    return ReadyNetwork(
        net=net,
        order=order,
        neurons={p.name: _neurons(p, dtype, device, surrogate, compiled) for p in net.populations},
        into={name: tuple(found) for name, found in into.items()},
        last_use=last_use(net, order),
        dtype=dtype,
        device=device,
    )


def _neurons(
    p: Population,
    dtype: torch.dtype,
    device: torch.device,
    surrogate: Surrogate | None,
    compiled: bool,
) -> Neurons:
    check_spike_rule(p)
    if p.kind == "delay":
        return DelayLine(p, dtype, device)
    if p.kind in ("relay", "threshold"):
        return Relay(p, dtype, device, spike_function(False, surrogate))
    if compiled:
        # Imported here: compiled kernels take a while to load, and a GPU does not need them.
        from neurodeploy.simulate.float_compiled import CompiledMembrane

        return CompiledMembrane(p, dtype)
    return Membrane(p, dtype, device, spike_function(p.spikes == "multiple", surrogate))
