"""A NIR graph as one trainable torch module made of Norse's cells and torch's layers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from neurodeploy.errors import ShapeError, UnsupportedNodeError
from neurodeploy.export.norse.cells import Surrogate
from neurodeploy.export.norse.layers import module_of
from neurodeploy.export.norse.modules import DelayLine, State, zero_state
from neurodeploy.export.norse.schedule import Evaluation, Schedule, Seen, View, schedule
from neurodeploy.graph import Graph
from neurodeploy.graph.nodes import SPIKING


class NetworkState(NamedTuple):
    """What one step hands to the next.

    ``nodes``: states of the nodes that have one; ``before``: outputs that feedback connections
    carry to the next step.
    """

    nodes: dict[View, State]
    before: dict[View, Tensor]


class NorseNetwork(torch.nn.Module):
    """Runs a graph step by step; weights and biases are parameters, neuron constants buffers.

    Built by ``from_nir``. ``forward`` computes what the Output depends on; ``run`` every node.

    Parameters
    ----------
    graph : Graph
    surrogate : Surrogate
        Norse's surrogate gradient for all spikes.

    Attributes
    ----------
    dt : float
        Length of a step in seconds.
    input_shape, output_shape : tuple of int
        Without time and batch.
    node_names : tuple of str
        All nodes, in the order in which a step computes them.
    spiking : frozenset of str
        Names of the nodes that send spikes.
    check : NetworkCheck or None
        What ``from_nir`` compared.

    Raises
    ------
    UnsupportedNodeError
        Naming every node that Norse cannot express, and why.
    ContractError
        For a cycle without a state, or a delay that is no whole number of steps.
    """

    def __init__(self, graph: Graph, surrogate: Surrogate | None = None) -> None:
        super().__init__()
        self.dt = graph.contract.dt
        self.input_name = graph.input_name
        self.output_name = graph.output_name
        self.input_shape = tuple(graph.shapes[graph.input_name][1])
        self.output_shape = tuple(graph.shapes[graph.output_name][1])
        self.spiking = frozenset(n for n, node in graph.nodes.items() if isinstance(node, SPIKING))
        self.check: Any = None
        self._shapes = {name: (tuple(a), tuple(b)) for name, (a, b) in graph.shapes.items()}
        self._to_output = schedule(graph, [graph.output_name])
        self._to_all = schedule(graph, graph.nodes)
        self.node_names = tuple(e.view.node for e in self._to_all.evaluations if not e.view.late)
        modules = _modules(graph, surrogate or Surrogate())
        self._keys = _module_keys(modules)
        self.nodes = torch.nn.ModuleDict(
            {self._keys[name]: module for name, module in modules.items()}
        )

    def node(self, name: str) -> torch.nn.Module:
        """Return the module of a NIR node (dots in names cannot stand in torch's own names).

        Raises
        ------
        KeyError
            If there is no such node, or it has no module (Input, Output, inner doors).
        """
        return self.nodes[self._keys[name]]

    def forward(self, x: Tensor) -> Tensor:
        """Return the Output of every step, [T, B, *output_shape], for x [T, B, *input_shape]."""
        self._check_input(x)
        state = self.initial_state(x[0])
        outputs = []
        for t in range(x.shape[0]):
            y, state = self.step(x[t], state)
            outputs.append(y)
        return torch.stack(outputs)

    def step(self, x: Tensor, state: NetworkState | None = None) -> tuple[Tensor, NetworkState]:
        """Do one step on x [B, *input_shape]; no state starts a sample."""
        state = self.initial_state(x) if state is None else state
        values, state = self._advance(self._to_output, x, state)
        return values[View(self.output_name, frozenset())], state

    def run(self, x: Tensor) -> dict[str, Tensor]:
        """Return the output of every node, [T, B, *shape] by name, for x [T, B, *input_shape]."""
        return self.run_with_membranes(x)[0]

    def run_with_membranes(self, x: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return every node's output, and the membrane of every spiking neuron after each step.

        The membrane is Norse's own: with a late reset it is not the contract's.
        """
        self._check_input(x)
        state = self.initial_state(x[0])
        outputs: dict[str, list[Tensor]] = {name: [] for name in self.node_names}
        membranes: dict[str, list[Tensor]] = {name: [] for name in self.spiking}
        for t in range(x.shape[0]):
            values, state = self._advance(self._to_all, x[t], state)
            for name, some in outputs.items():
                some.append(values[View(name, frozenset())])
            for name, some in membranes.items():
                last = state.nodes.get(View(name, frozenset()), (None,))[-1]
                if hasattr(last, "v"):
                    some.append(last.v)
        return _stacked(outputs), _stacked(membranes)

    def initial_state(self, x: Tensor) -> NetworkState:
        """Return the state at the start of a sample for x [B, *input_shape]: all zero."""
        nodes = {}
        for evaluation in self._to_all.evaluations:
            module = self._module(evaluation.view.node)
            if module is None:
                continue
            state = zero_state(module, self._zero(evaluation.view.node, x, side=0))
            if state is not None:
                nodes[evaluation.view] = state
        before = {view: self._zero(view.node, x, side=1) for view in self._to_all.remembered}
        return NetworkState(nodes, before)

    def extra_repr(self) -> str:
        """Return shapes and step length for ``repr``."""
        return f"{self.input_shape} -> {self.output_shape}, dt={self.dt}"

    def _advance(
        self, plan: Schedule, x: Tensor, state: NetworkState
    ) -> tuple[dict[View, Tensor], NetworkState]:
        values: dict[View, Tensor] = {}
        nodes = dict(state.nodes)
        for evaluation in plan.evaluations:
            view = evaluation.view
            if view.node == self.input_name:
                values[view] = x
                continue
            module = self._module(view.node)
            if evaluation.waits and isinstance(module, DelayLine):
                values[view] = module.read(nodes[view])
                continue
            total = self._sum(evaluation, values, state.before, x)
            if module is None:
                values[view] = total
            elif view in nodes:
                values[view], nodes[view] = module(total, nodes[view])
            else:
                values[view] = module(total)
        self._fill_delays(plan, values, nodes, state, x)
        before = {view: values.get(view, old) for view, old in state.before.items()}
        return values, NetworkState(nodes, before)

    def _fill_delays(
        self,
        plan: Schedule,
        values: dict[View, Tensor],
        nodes: dict[View, State],
        state: NetworkState,
        x: Tensor,
    ) -> None:
        """Give this step's input to the delays whose output was read from their past."""
        for evaluation in plan.evaluations:
            module = self._module(evaluation.view.node)
            if evaluation.waits and isinstance(module, DelayLine):
                total = self._sum(evaluation, values, state.before, x)
                nodes[evaluation.view] = module.push(total, nodes[evaluation.view])

    def _sum(
        self, evaluation: Evaluation, values: dict[View, Tensor], before: Any, x: Tensor
    ) -> Tensor:
        arriving = [_value(seen, values, before) for seen in evaluation.sources]
        if not arriving:
            return self._zero(evaluation.view.node, x, side=0)
        total = arriving[0]
        for value in arriving[1:]:
            total = total + value
        return total

    def _module(self, name: str) -> torch.nn.Module | None:
        key = self._keys.get(name)
        return None if key is None else self.nodes[key]

    def _zero(self, name: str, x: Tensor, side: int) -> Tensor:
        # Not new_zeros: to_nir follows the plain function.
        return torch.zeros((x.shape[0], *self._shapes[name][side]), dtype=x.dtype, device=x.device)

    def _check_input(self, x: Tensor) -> None:
        if x.ndim < 2 or tuple(x.shape[2:]) != self.input_shape or not x.shape[0]:
            raise ShapeError(
                f"input: shape {tuple(x.shape)}; needs [T, B, "
                f"{', '.join(map(str, self.input_shape))}] with at least one step"
            )


def _stacked(rows: dict[str, list[Tensor]]) -> dict[str, Tensor]:
    return {name: torch.stack(some) for name, some in rows.items() if some}


def _value(seen: Seen, values: dict[View, Tensor], before: dict[View, Tensor]) -> Tensor:
    return before[seen.view] if seen.before else values[seen.view]


def _modules(graph: Graph, surrogate: Surrogate) -> dict[str, torch.nn.Module]:
    """Build every node's module; name all nodes that have none."""
    modules, refused = {}, []
    for name, node in graph.nodes.items():
        try:
            module = module_of(graph, name, surrogate)
        except UnsupportedNodeError as error:
            refused.append(f"node {name!r} ({type(node).__name__}): {error}")
            continue
        if module is not None:
            modules[name] = module
    if refused:
        listed = "\n  ".join(refused)
        raise UnsupportedNodeError(
            f"from_nir: {len(refused)} of {len(graph.nodes)} nodes cannot be built of Norse's "
            f"parts:\n  {listed}\nneurodeploy's own float run takes them (nd.run with "
            "backend='float')"
        )
    return modules


def _module_keys(names: Iterable[str]) -> dict[str, str]:
    """Return a name in ``ModuleDict`` per node: no dots, no name that the class uses itself."""
    keys: dict[str, str] = {}
    taken = set(dir(torch.nn.ModuleDict()))
    for name in names:
        key = name.replace(".", "/")
        while key in taken or not key:
            key += "_"
        taken.add(key)
        keys[name] = key
    return keys
