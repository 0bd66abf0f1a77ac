"""Turning what was met at every step into fixed edges with one lag each, or a named refusal."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import UnsupportedNodeError
from neurodeploy.export.nir.cells import CELL_TYPES, Neuron, read_neuron, step_length
from neurodeploy.export.nir.output import Reading
from neurodeploy.export.nir.rows import STATIC, Pattern
from neurodeploy.export.nir.sites import Link, Operation, Recorder, Site

#: What is said of a model without spikes.
NO_CELLS = (
    "model: has no spiking cell; there is nothing to deploy. Cells are followed as modules: in "
    "place of Norse's step functions, such as lif_feed_forward_step, use LIFCell and its like"
)


@dataclass(frozen=True, slots=True, eq=False)
class Edge:
    """``source`` is read with ``pattern``, ``lag`` steps late.

    ``before``: the operation on zeros that stood for the source at the first ``lag`` steps, if
    any; without one the source added nothing there.
    """

    source: int
    pattern: Pattern
    lag: int = 0
    before: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class TraceNode:
    """A node of the traced network: an operation, a neuron, the input or the output.

    ``constant`` [inputs] is added to its input, or None. ``before``: for an operation on zeros,
    the like of its sources by operation key and pattern. ``calls``: which calls of its module were
    its steps (``lead`` 1: one step each, 2: many).
    """

    number: int
    path: str
    taken: tuple[int, ...]
    shape: tuple[int, ...]
    edges: tuple[Edge, ...]
    operation: Operation | None = None
    neuron: Neuron | None = None
    constant: NDArray[np.float64] | None = None
    calls: tuple[int, ...] = ()
    lead: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class TracedNetwork:
    """All nodes the output depends on. ``steps``: length of the traced run.

    ``output`` is the node that stands for what the model returns; ``zeros`` maps an operation on
    zeros to its key and to those inside it. ``membrane``: the output reads the membrane of a
    spiking cell, not its spikes; ``maximum``: it takes the largest value over the steps.
    """

    nodes: dict[int, TraceNode]
    output: int
    input: int
    steps: int
    dt: float
    zeros: dict[int, tuple[str, dict[bytes, int]]]
    membrane: bool = False
    maximum: bool = False


def settle(
    recorder: Recorder,
    reading: Reading,
    steps: int,
    dt: float | None,
    fallback_dt: float | None = None,
) -> TracedNetwork:
    """Fix the network behind ``reading``; ``dt`` and ``fallback_dt`` as for ``step_length``.

    Raises
    ------
    UnsupportedNodeError
        If a node reads something at some steps and not at others, or a cell misses steps.
    ContractError
        If the step length is missing or contradictory.
    """
    reached = _reached(recorder, reading.site.number)
    sites = [recorder.sites[n] for n in sorted(reached)]
    cells = [s for s in sites if s.module is not None]
    if not any(CELL_TYPES[type(s.module)].spikes for s in cells):
        raise UnsupportedNodeError(NO_CELLS)
    for site in cells:
        if site.length != steps:
            raise UnsupportedNodeError(
                f"{site.path}: runs {site.length} of {steps} steps in one go: at some steps it is "
                "not called, or called without the state its last call returned"
            )
    dt = step_length([(s.path, s.module) for s in cells], dt, fallback_dt)
    neurons = {s.number: read_neuron(s.path, s.module, s.shape, s.start, dt) for s in cells}
    membrane = False
    nodes = {}
    for site in sites:
        if site.parent >= 0:
            continue
        edges = tuple(_edge(recorder, site, link) for link in sorted_links(site))
        for edge in edges:
            parent = recorder.sites[edge.source].parent
            if parent >= 0:
                _require_membrane(recorder, site, edge)
                membrane = True
        _require_all_before(recorder, site, edges)
        edges = tuple(
            Edge(recorder.sites[e.source].parent, e.pattern, e.lag, e.before)
            if recorder.sites[e.source].parent >= 0
            else e
            for e in edges
        )
        nodes[site.number] = TraceNode(
            site.number,
            site.path,
            site.taken or site.shape,
            site.shape,
            edges,
            site.operation,
            neurons.get(site.number),
            _with_origins(site, edges, neurons, membrane),
            tuple(site.calls),
            site.lead,
        )
    inputs = [s.number for s in sites if s.name == "input"]
    if not inputs:
        raise UnsupportedNodeError("model: its output does not depend on its input")
    zeros = _zeros(recorder)
    return TracedNetwork(
        nodes,
        reading.site.number,
        inputs[0],
        steps,
        dt,
        zeros,
        membrane,
        reading.kind == "max" and not membrane,
    )


def sorted_links(site: Site) -> list[Link]:
    """Return the site's links in a fixed order."""
    return sorted(site.links, key=lambda link: (link.node, link.lag, link.pattern))


def _reached(recorder: Recorder, number: int) -> set[int]:
    reached: set[int] = set()
    left = [number]
    while left:
        site = recorder.sites[left.pop()]
        if site.number in reached:
            continue
        reached.add(site.number)
        left += [link.node for link in site.links]
        left += [site.parent] if site.parent >= 0 else []
    return reached


def _edge(recorder: Recorder, site: Site, link: Link) -> Edge:
    """Check that a link holds at every step with a past; find what stood for it before."""
    source = recorder.sites[link.node]
    lag = 0 if link.lag == STATIC else link.lag
    wanted = {step for step in site.steps if step >= lag}
    if site.steps and site.links[link] != wanted:
        missing = sorted(wanted - site.links[link])[:5]
        raise UnsupportedNodeError(
            f"{site.path}: reads {source.path} ({lag} steps back) in one way at some steps and in "
            f"another, or not at all, at steps {missing}; NIR has one rule for all steps"
        )
    before = None
    for (number, pattern), steps in site.before.items():
        zero = recorder.sites[number]
        alike = zero.operation is not None and source.operation is not None
        if alike and zero.operation.key == source.operation.key and pattern == link.pattern:  # type: ignore[union-attr]
            if steps != {step for step in site.steps if step < lag}:
                raise UnsupportedNodeError(
                    f"{site.path}: {source.path} is fed zeros at steps {sorted(steps)[:5]} only"
                )
            before = number
    return Edge(link.node, recorder.patterns[link.pattern], lag, before)


def _require_all_before(recorder: Recorder, site: Site, edges: tuple[Edge, ...]) -> None:
    used = {edge.before for edge in edges}
    for number, _ in site.before:
        if site.kind == "step" and number not in used:
            raise UnsupportedNodeError(
                f"{site.path}: {recorder.sites[number].path} is fed zeros at the first step and "
                "nothing that can be followed later; a sample of more steps may show it"
            )


def _require_membrane(recorder: Recorder, site: Site, edge: Edge) -> None:
    source = recorder.sites[edge.source]
    if source.name != "v" or site.name != "output" or edge.lag:
        raise UnsupportedNodeError(
            f"{site.path}: reads {source.path}; NIR passes on spikes of a spiking node only (its "
            "membrane can be a read-out)"
        )


def _with_origins(
    site: Site, edges: tuple[Edge, ...], neurons: dict[int, Neuron], membrane: bool
) -> NDArray[np.float64] | None:
    """Add what a shifted membrane lacks to the constant of those who read it."""
    total = site.constant
    for edge in edges:
        neuron = neurons.get(edge.source)
        reads_v = neuron is not None and (
            neuron.kind.endswith("LI") or (membrane and site.name == "output")
        )
        if neuron is None or not reads_v or not neuron.origin.any():
            continue
        flat = neuron.origin.reshape(-1)
        feature = edge.pattern.feature
        read = np.where(feature >= 0, flat[np.maximum(feature, 0)] * edge.pattern.factor, 0.0)
        total = read if total is None else total + read
    return total


def _zeros(recorder: Recorder) -> dict[int, tuple[str, dict[bytes, int]]]:
    found: dict[int, tuple[str, dict[bytes, int]]] = {}
    for site in recorder.sites:
        if site.kind == "before" and site.operation is not None:
            inner: dict[bytes, int] = {pattern: number for number, pattern in site.before}
            found[site.number] = (site.operation.key, inner)
    return found
