"""Rewriting a graph whose DLIF nodes carry gain metadata into a form every tool runs right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from neurodeploy.errors import InputError, UnsupportedNodeError
from neurodeploy.export.gain.builder import PortableBuilder
from neurodeploy.export.gain.chain import ChainBuilder, sequential_path
from neurodeploy.export.gain.graph import PORTABLE_KEY, GainGraph, gain_graph
from neurodeploy.export.gain.layout import LAYOUT_SCHEMA, InputLayout
from neurodeploy.export.gain.quantisation import NodeGain, quantise_gain
from neurodeploy.export.gain.unit_r import with_unit_r
from neurodeploy.export.gain.wiring import wire
from neurodeploy.files import content_hash
from neurodeploy.findings import Finding, Result
from neurodeploy.graph import Contract, Graph
from neurodeploy.graph.nodes import Node, array_fields

FORMS = ("bit-planes", "stimulus")


@dataclass(frozen=True, slots=True, eq=False)
class PortableGain:
    """A NIR graph in a portable form; ``gain_file.write_graph`` writes it.

    Parameters
    ----------
    nodes, edges, metadata
        The graph. The neurons of the graph before keep their names (a slash becomes a dot).
    contract : Contract
        That of the graph before; its encoder is about the input before.
    form : {"bit-planes", "stimulus"}
    bits : int
        B of the bit planes (0 in the form ``stimulus``).
    binary_input : bool
        Whether the input counts as spikes.
    unit_r : bool
        Whether r of LIF nodes was moved into the weights.
    sequential : bool
        Whether lines are carried along one path (else they join it from the side).
    gains : tuple of NodeGain
        Each DLIF node before, and the gain it has now.
    layout : InputLayout
        What each input channel carries.
    names : mapping
        Node names before to names now.
    and_neurons, relay_neurons : int
        Neurons added: in layers of their own, or behind the neurons that a population had before.
    """

    nodes: Mapping[str, Node]
    edges: tuple[tuple[str, str], ...]
    metadata: Mapping[str, Any]
    contract: Contract
    form: str
    bits: int
    binary_input: bool
    unit_r: bool
    sequential: bool
    gains: tuple[NodeGain, ...]
    layout: InputLayout
    names: Mapping[str, str]
    and_neurons: int
    relay_neurons: int


@dataclass(frozen=True, slots=True)
class Measured:
    """What a proof measured on ``samples`` inputs of ``steps`` steps, per DLIF node.

    ``ignored``: share of spikes that a tool without our metadata gets wrong against the gain used
    (0, or there would be no file). ``rounded``: share of spikes that differ between the trained
    gain and the gain used.
    """

    samples: int
    steps: int
    ignored: Mapping[str, float] = field(default_factory=dict)
    rounded: Mapping[str, float] = field(default_factory=dict)


def to_portable_gain(
    graph: Graph,
    form: str,
    *,
    bits: int = 8,
    extra_channels: bool = True,
    binary_input: bool = False,
    unit_r: bool = False,
    measured: Measured | None = None,
) -> Result[PortableGain]:
    """Rewrite a graph whose DLIF nodes carry ``dlif_gain`` metadata into a portable form.

    Parameters
    ----------
    graph : Graph
        With the mean gain in the weights and p / mean in the metadata (the exporter's default).
    form : {"bit-planes", "stimulus"}
    bits : int
        Bits of the rounded gain, 1 to 16. A bit that is never set costs nothing.
    extra_channels : bool
        False: refuse what needs more input channels than the graph has.
    binary_input : bool
        Every stimulus is 0 or 1, so ``bit-planes`` gates the input like any spike.
    unit_r : bool
        Move r of LIF nodes into the weights: Norse 1.1.0 drops it (snnTorch wants r = tau / dt).
    measured : Measured
        Written into the metadata.

    Raises
    ------
    InputError
        For an unknown form, a graph without a gain, or one that is already portable.
    UnsupportedNodeError
        Naming the nodes whose gain has no such form.
    RangeError, ContractError
        For a gain that rounds to zero; for a contract under which no AND neuron is exact.
    """
    if form not in FORMS:
        raise InputError(
            f"gain form {form!r} not known; choose {' or '.join(FORMS)} (the form metadata is what "
            "such a graph has already)"
        )
    source = with_unit_r(gain_graph(graph)) if unit_r else gain_graph(graph)
    builder = PortableBuilder(source, binary_input=binary_input and form == "bit-planes")
    gains = tuple(_node_gains(builder, form, bits))
    path = sequential_path(source)
    if path is not None:
        chain = ChainBuilder(source, path)
        layout = chain.build(gains)
        made: ChainBuilder | PortableBuilder = chain
    else:
        if form == "bit-planes":
            _refuse_loops(source, gains)
        for gain in gains:
            builder.replace_gain(gain)
        layout = wire(builder)
        made = builder
    if layout.extra_channels and not extra_channels:
        names = ", ".join(repr(gain.name) for gain in gains)
        raise UnsupportedNodeError(
            f"gain form {form}: the gain of {names} needs {layout.extra_channels} more input "
            "channels, which extra_channels=False forbids; allow them, or use the metadata form"
        )
    portable = PortableGain(
        nodes=made.nodes,
        edges=tuple(made.edges),
        metadata={},
        contract=source.contract,
        form=form,
        bits=bits if form == "bit-planes" else 0,
        binary_input=builder.binary_input,
        unit_r=unit_r,
        sequential=path is not None,
        gains=gains,
        layout=layout,
        names=source.names,
        and_neurons=made.and_neurons,
        relay_neurons=made.relay_neurons,
    )
    metadata = {
        **source.metadata,
        "neurodeploy": source.contract.as_metadata(),
        PORTABLE_KEY: _document(portable, measured),
    }
    object.__setattr__(portable, "metadata", metadata)
    return Result(portable, tuple(_findings(portable, measured)))


def _node_gains(builder: PortableBuilder, form: str, bits: int) -> list[NodeGain]:
    """Decide for each DLIF node how its gain is carried."""
    gains, deep = [], []
    for name, values in builder.graph.gains.items():
        spiking, _ = builder.leaves(name)
        if spiking and form == "stimulus":
            deep.append(f"{name!r} (fed by {', '.join(map(repr, spiking))})")
        if spiking and form == "bit-planes":
            gains.append(quantise_gain(name, values, bits))
        else:
            gains.append(NodeGain(name, values))
    if deep:
        raise UnsupportedNodeError(
            f"gain form stimulus: only a node fed by the input alone can have its gain there; not "
            f"{', '.join(deep)}; use bit-planes or metadata"
        )
    return gains


def _refuse_loops(graph: GainGraph, gains: tuple[NodeGain, ...]) -> None:
    """Refuse loops that a gated node lies on or reaches.

    Which connection of a loop is the late one depends on each node's distance from the input, and
    gate lines shorten it.
    """
    gained = [gain.name for gain in gains]
    below = set(gained).union(*(graph.reachable(name) for name in gained))
    loop = sorted(name for name in below if name in graph.reachable(name))
    if loop:
        raise UnsupportedNodeError(
            f"gain form bit-planes: the loop through {', '.join(map(repr, loop))} lies behind a "
            "gain; gate lines would change which of its connections is the late one; use the "
            "metadata form"
        )


def graph_hash(
    nodes: Mapping[str, Node], edges: tuple[tuple[str, str], ...], layout: InputLayout
) -> str:
    """Hash what the stimulus and the spikes depend on: parameters, edges, and the layout."""
    arrays: dict[str, Any] = {
        f"node/{name}/{key}": value
        for name, node in nodes.items()
        for key, value in array_fields(node).items()
    }
    for number, block in enumerate(layout.blocks):
        arrays[f"block/{number}/{block.carries}/{block.first}/{block.count}"] = block.factor
    arrays |= {f"edge/{source}/{target}": np.zeros(0) for source, target in edges}
    return content_hash(arrays)


def _document(portable: PortableGain, measured: Measured | None) -> dict[str, Any]:
    nodes: dict[str, Any] = {}
    for gain in portable.gains:
        entry: dict[str, Any] = {
            "form": gain.form,
            "values": gain.values,
            "quantisation-error": gain.quantisation_error,
        }
        if gain.mantissas is not None:
            entry |= {"mantissas": gain.mantissas, "exponent": gain.exponent}
        if measured is not None:
            entry |= {
                "ignored-metadata-error": measured.ignored[gain.name],
                "rounded-gain-error": measured.rounded[gain.name],
            }
        nodes[gain.name] = entry
    document: dict[str, Any] = {
        "schema": LAYOUT_SCHEMA,
        "form": portable.form,
        "bits": portable.bits,
        "binary-input": portable.binary_input,
        "unit-r": portable.unit_r,
        **portable.layout.as_metadata(),
        "extra-channels": portable.layout.extra_channels,
        "and-neurons": portable.and_neurons,
        "relay-neurons": portable.relay_neurons,
        "sequential": portable.sequential,
        "nodes": nodes,
        "hash": graph_hash(portable.nodes, portable.edges, portable.layout),
    }
    if measured is not None:
        document["measured"] = {"samples": measured.samples, "steps": measured.steps}
    return document


def _findings(portable: PortableGain, measured: Measured | None) -> list[Finding]:
    extra, relays = portable.and_neurons, portable.relay_neurons
    channels, before = portable.layout.extra_channels, portable.layout.shape[0]
    where = f"gain form {portable.form}"
    text = (
        f"the portable gain costs {extra} AND neurons, {relays} relay neurons and {channels} input "
        f"channels beside {before}"
    )
    remedy = "" if _same_stimulus(portable) else "run it on portable_stimulus(x, file)"
    numbers: dict[str, Any] = {
        "and_neurons": extra,
        "relay_neurons": relays,
        "extra_channels": channels,
    }
    found = [Finding("info", where, text, remedy, numbers)]
    if channels and not portable.sequential:
        text = (
            "the graph is not one path of flat nodes, so lines join it from the side; nirtorch "
            "2.6, which Norse 1.1.0 imports with, runs some joins a step late"
        )
        found.append(Finding("warning", where, text, "run it with a tool that orders nodes"))
    for gain in portable.gains:
        node = f"node {gain.name!r}"
        if gain.mantissas is None:
            found.append(Finding("info", node, "its gain is in the stimulus, unrounded"))
            continue
        error = gain.quantisation_error
        text = f"gain rounded to {portable.bits} bits: up to {error:.2%} off"
        numbers = {"bits": portable.bits, "relative_error": error, "planes": len(gain.planes())}
        if measured is not None:
            share = measured.rounded[gain.name]
            text += f", which changes {share:.2%} of its spikes on the samples"
            numbers["changed_spikes"] = share
        found.append(Finding("info", node, text, "", numbers))
    return found


def _same_stimulus(portable: PortableGain) -> bool:
    layout = portable.layout
    return layout.is_plain and bool((layout.blocks[0].factor == 1).all())
