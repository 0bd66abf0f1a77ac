"""A network in deployable form as a NIR graph: one linear node per synapse, neurons as they were.

Convolutions stay convolutions where their source and target keep a shape; all else is a matrix.
Feedback and delays become Delay nodes. The contract is the graph's own, so the file runs as it did.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import InputError, ResourceError
from neurodeploy.graph import Graph
from neurodeploy.graph.nir_writer import nir_bytes
from neurodeploy.graph.nodes import Node
from neurodeploy.graph.raw import RawGraph, RawNode, RawScope
from neurodeploy.lowering import is_population
from neurodeploy.network import (
    INPUT,
    Convolution,
    Dense,
    FixedSynapse,
    Network,
    Population,
    Sparse,
    Synapse,
)
from neurodeploy.quantization.incoming import conv_layout

Floats = NDArray[np.float64]
Shape = tuple[int, ...]
#: Most weights of a matrix that is written.
_MOST = 2**24
#: Of a bias: what neurons of one channel may differ in and still share it, relatively.
_SHARED = 1e-9


def written_graph(graph: Graph, network: Network) -> bytes:
    """Return ``network`` as the bytes of a NIR file.

    Parameters
    ----------
    graph : Graph
        The graph that it was lowered from: neurons, contract and metadata come from there.
    network : Network
        In deployable form; its thresholds, leaks, gains, biases and weights are written.

    Raises
    ------
    InputError
        If a bias has no node to stand in, or the read-out is of values that no node gives.
    ResourceError
        For a matrix of more than 2**24 weights.
    """
    return nir_bytes(_Writer(graph, network).raw())


class _Writer:
    """Nodes and edges so far."""

    def __init__(self, graph: Graph, network: Network) -> None:
        self._graph, self._network = graph, network
        self._nodes: dict[str, RawNode] = {}
        self._edges: list[tuple[str, str]] = []
        self._populations = {p.name: p for p in network.populations}
        self._neurons = {
            n for n in self._populations if n in graph.nodes and is_population(graph, n)
        }
        self._convolved = self._that_stay()
        self._input, self._output = _flat(graph.input_name), _flat(graph.output_name)

    def raw(self) -> RawGraph:
        """Write everything."""
        self._add(self._input, "Input", {"shape": np.array(self._shape(INPUT))})
        for p in self._network.populations:
            left = self._synapses(p)
            if p.name in self._neurons:
                node = self._graph.nodes[p.name]
                metadata = dict(node.metadata)
                if p.gain is None:
                    metadata.pop("dlif_gain", None)
                values = self._parameters(node, p, left)
                self._add(_flat(p.name), type(node).__name__, values, metadata)
        read = self._network.readout.population
        end = self._end(self._populations[read])
        self._add(self._output, "Output", {"shape": np.array(self._shape(read))})
        if end != self._output:
            self._edges.append((end, self._output))
        contract = self._graph.contract
        if contract.readout_node is not None:
            contract = dataclasses.replace(contract, readout_node=_flat(contract.readout_node))
        metadata = {**self._graph.metadata, "neurodeploy": contract.as_metadata()}
        return RawGraph({"": RawScope("", self._nodes, tuple(self._edges), metadata)})

    def _that_stay(self) -> set[str]:
        """Return the synapses written as convolutions: both their ends keep a shape."""
        stay = {s.name for s in self._network.synapses if isinstance(s.operators[0], Convolution)}
        while True:
            shaped = {
                p.name
                for p in self._network.populations
                if len(p.shape) > 1
                and self._into(p)
                and all(s.name in stay for s in self._into(p))
                and (not p.bias.any() or not all(s.late for s in self._into(p)))
            }
            left = {
                s.name
                for s in self._network.synapses
                if s.name in stay
                and isinstance(c := s.operators[0], Convolution)
                and (s.source == INPUT or s.source in shaped)
                and s.target in shaped
                and _as_volume(self._plain_shape(s.source)) == c.input_shape
                and _as_volume(self._plain_shape(s.target)) == c.output_shape
            }
            if left == stay:
                self._shaped = shaped
                return stay
            stay = left

    def _into(self, p: Population) -> tuple[Synapse, ...]:
        return self._network.synapses_into(p.name)

    def _plain_shape(self, name: str) -> Shape:
        if name == INPUT:
            return tuple(self._graph.shapes[self._graph.input_name][1])
        return self._populations[name].shape

    def _shape(self, name: str) -> Shape:
        """Return the shape in which a source or population is written."""
        if name == INPUT or name in self._shaped:
            return self._plain_shape(name)
        return (self._populations[name].size,)

    def _end(self, p: Population) -> str:
        """Return the node that holds what a population is, or for a read-out what it sums."""
        if p.name in self._neurons:
            return _flat(p.name)
        node = str(self._graph.contract.readout_node)
        if p.name != node or p.name != self._network.readout.population:
            raise InputError(
                f"population {p.name}: is read from values that no node of a written graph gives; "
                "read spikes or a membrane (--readout-kind count, last_v or mean_v)"
            )
        return _flat(node)

    def _synapses(self, p: Population) -> Floats:
        """Write what enters a population; return the biases that no linear node can hold."""
        end, incoming = self._end(p), self._into(p)
        is_output = end == self._output and p.name not in self._neurons
        alone = p.name not in self._neurons and len(incoming) == 1 and not is_output
        if p.name not in self._neurons and not alone and not is_output:
            self._add(end, "Scale", {"scale": np.ones(self._shape(p.name))})
        # A bias behind a delay would begin late.
        holder = next((s for s in incoming if not s.late), None)
        left = np.zeros(p.size)
        if holder is None and (p.bias.any() or not incoming):
            # A matrix of zeros from the input: it holds the bias, and the neuron is reached.
            zeros = np.zeros((p.size, self._network.n_input))
            operator = Dense(f"{p.name}.bias", zeros)
            line = Synapse(operator.node, INPUT, p.name, (operator,))
            self._linear(line, p, p.bias, end, alone=not incoming and p.name not in self._neurons)
        for s in incoming:
            bias = np.zeros(p.size)
            if s is holder:
                bias, left = self._held(s, p)
            self._linear(s, p, bias, end, alone=alone)
        return left

    def _held(self, s: Synapse, p: Population) -> tuple[Floats, Floats]:
        """Return the bias that the node of ``s`` can hold, and what is left of it."""
        if s.name not in self._convolved:
            return p.bias, np.zeros(p.size)
        per_channel = p.bias.reshape(p.shape[0], -1)
        shared = np.broadcast_to(per_channel[:, :1], per_channel.shape)
        if np.ptp(per_channel, axis=1).max() > _SHARED * np.abs(p.bias).max():
            shared = np.broadcast_to(np.median(per_channel, axis=1)[:, None], per_channel.shape)
        return shared.reshape(-1).copy(), (per_channel - shared).reshape(-1)

    def _linear(self, s: Synapse, p: Population, bias: Floats, end: str, *, alone: bool) -> None:
        source, shape = (
            (self._input if s.source == INPUT else _flat(s.source)),
            self._shape(s.source),
        )
        name = end if alone else self._free(s)
        if s.late:
            dt = self._graph.contract.dt
            if dt is None:
                raise InputError(f"synapse {s.name}: its delay is in seconds; give --dt")
            values = {"delay": np.full(shape, s.delay_steps * dt)}
            source = self._after(source, f"{name}.delay", "Delay", values)
        if s.name in self._convolved:
            self._after(source, name, *self._convolution(s, bias))
        else:
            if len(shape) > 1:
                flat = {"input_type": np.array(shape), "start_dim": 0, "end_dim": -1}
                source = self._after(source, f"{name}.flatten", "Flatten", flat)
            weight = _matrix(s)
            known = {"weight": weight, "bias": bias} if bias.any() else {"weight": weight}
            self._after(source, name, "Affine" if bias.any() else "Linear", known)
        if name != end:
            self._edges.append((name, end))

    def _convolution(self, s: Synapse, bias: Floats) -> tuple[str, dict[str, Any]]:
        c = cast(Convolution, s.operators[0])
        per_channel = bias.reshape(c.output_shape[0], -1)[:, 0]
        common = {"groups": c.groups, "bias": per_channel}
        pads = [before for before, _ in c.padding]
        if len(self._shape(s.source)) == 2:
            return "Conv1d", common | {
                "input_shape": c.input_shape[2], "weight": c.weight[:, :, 0],
                "stride": c.stride[1], "padding": pads[1], "dilation": c.dilation[1],
            }  # fmt: skip
        return "Conv2d", common | {
            "input_shape": np.array(c.input_shape[1:]), "weight": c.weight,
            "stride": np.array(c.stride), "padding": np.array(pads),
            "dilation": np.array(c.dilation),
        }  # fmt: skip

    def _parameters(self, node: Node, p: Population, left: Floats) -> dict[str, Any]:
        """Return the node's fields with the population's threshold and leak."""
        shape, given = self._shape(p.name), self._plain_shape(p.name)
        values = {
            f.name: np.broadcast_to(np.asarray(getattr(node, f.name), np.float64), given).reshape(
                shape
            )
            for f in dataclasses.fields(node)
            if f.name != "metadata"
        }
        if "v_threshold" in values:
            values["v_threshold"] = p.v_threshold.reshape(shape)
        elif "threshold" in values:
            values["threshold"] = p.v_threshold.reshape(shape)
        leak = p.v_leak
        if left.any():
            through_leak = "v_leak" in values and p.decay_u is None and p.gain is None
            if not through_leak or not (p.decay_v > 0).all():
                raise InputError(
                    f"population {p.name}: neurons of one channel have biases of their own, which "
                    "no convolution of NIR holds; quantise with --bias own, or without --fine-tune"
                )
            leak = leak + p.input_gain * left / p.decay_v
        if "v_leak" in values:
            values["v_leak"] = leak.reshape(shape)
        return values

    def _after(self, source: str, name: str, kind: str, values: Mapping[str, Any]) -> str:
        self._add(name, kind, values)
        self._edges.append((source, name))
        return name

    def _add(
        self,
        name: str,
        kind: str,
        values: Mapping[str, Any],
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        self._nodes[name] = RawNode(name, kind, values, metadata or {})

    def _free(self, s: Synapse) -> str:
        """Return a name for a synapse's node: that of the node it was, if nobody else has it."""
        taken = {
            *self._nodes, self._input, self._output, *map(_flat, self._populations),
            _flat(str(self._graph.contract.readout_node)),
        }  # fmt: skip
        target = self._populations[s.target]
        absorbed = [n for n in target.nir_nodes if n != target.name]
        # A lone node keeps its name.
        lone = len(absorbed) == 1 and len(self._into(target)) == 1
        name = _flat(absorbed[0] if lone else s.operators[0].node)
        if name in taken or "*" in name or len(name) > 64:
            name = _flat(s.name)
        while name in taken:
            name += "+"
        return name


def _flat(name: str) -> str:
    """Return a name without the slashes of nested graphs, which files keep for folders."""
    return name.replace("/", ".")


def _as_volume(shape: Shape) -> Shape:
    """Return the shape of a signal over one axis as that of an image of one row."""
    return (shape[0], 1, shape[1]) if len(shape) == 2 else shape


def _matrix(s: Synapse) -> Floats:
    operator = s.operators[0]
    size = operator.size_out * operator.size_in
    if size > _MOST:
        raise ResourceError(
            f"synapse {s.name}: its connections are no convolution any more, and a matrix of "
            f"{operator.size_out} x {operator.size_in} has {size} weights; at most {_MOST} are "
            "written"
        )
    if isinstance(operator, Convolution):
        return _written_out(operator)
    if isinstance(operator, Sparse):
        found = np.zeros((operator.size_out, operator.size_in))
        rows = np.repeat(np.arange(operator.size_out), np.diff(operator.indptr))
        found[rows, operator.indices] = operator.weight
        return found
    return np.asarray(operator.weight)  # type: ignore[union-attr]


def _written_out(c: Convolution) -> Floats:
    """Return the matrix of a convolution."""
    # A kernel that holds its own numbers tells which of its elements each connection is.
    numbers = np.arange(1, c.weight.size + 1, dtype=np.int32).reshape(c.weight.shape)
    numbered = FixedSynapse("", "", "", numbers, 0, "excitatory", layout=conv_layout(c))
    ends = numbered.connections()
    found = np.zeros((c.size_out, c.size_in))
    found[ends.target, ends.source] = c.weight.reshape(-1)[ends.weight - 1]
    return found
