"""The front door: from a NIR file, a ``nir.NIRGraph`` or a Graph to a checked Graph.

``survey`` says everything that can be said about a graph, broken ones included; ``read`` stops at
the first place where nothing more can be found out, with all errors in one message.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from neurodeploy.errors import ContractError, InputError
from neurodeploy.findings import Finding, Result
from neurodeploy.graph.completion import CONTRACT, complete
from neurodeploy.graph.contract import Contract, contract_from_metadata
from neurodeploy.graph.conventions import Convention
from neurodeploy.graph.conventions import convention as convention_named
from neurodeploy.graph.finding_list import FindingList
from neurodeploy.graph.graph import Graph, Origin
from neurodeploy.graph.inlining import FlatGraph, inline, repaired
from neurodeploy.graph.limits import ReadLimits
from neurodeploy.graph.nir_file import read_nir_file
from neurodeploy.graph.nir_objects import is_nir_graph, read_nir_object
from neurodeploy.graph.nir_writer import ObjectOrigin
from neurodeploy.graph.nodes import Input, Node, Output, Shape
from neurodeploy.graph.raw import RawGraph
from neurodeploy.graph.readout import check_readout, default_readout_kind, default_readout_node
from neurodeploy.graph.shapes import ShapeInference
from neurodeploy.graph.structure import check_cycles, check_edges, check_ends, useful_nodes
from neurodeploy.graph.validation import check_node

#: Key of the contract in a graph's metadata.
METADATA_KEY = "neurodeploy"


@dataclass(frozen=True, slots=True, eq=False)
class Survey:
    """All that is known about a graph, whether it can be used or not.

    Parameters
    ----------
    where : str
        File name, or "graph" for an object.
    kinds : mapping of name to str
        Type word of every node as found, also of unknown ones.
    nodes : mapping of name to node
        The nodes that could be built, those that influence nothing included.
    edges : tuple of (source, target)
        Edges between existing nodes.
    shapes : mapping of name to (input shape, output shape)
        Where they could be inferred.
    contract : Contract, optional
        None if what was said makes no contract.
    findings : tuple of Finding
        Everything noticed.
    version : str, optional
        The NIR version in the file.
    graph : Graph, optional
        None if any finding is an error.
    """

    where: str
    kinds: Mapping[str, str] = field(default_factory=dict)
    nodes: Mapping[str, Node] = field(default_factory=dict)
    edges: tuple[tuple[str, str], ...] = ()
    shapes: Mapping[str, tuple[Shape, Shape]] = field(default_factory=dict)
    contract: Contract | None = None
    findings: tuple[Finding, ...] = ()
    version: str | None = None
    graph: Graph | None = None


def read(
    source: str | Path | Any,
    options: Contract | None = None,
    *,
    strict: bool = False,
    convention: str | None = None,
    repair: bool = False,
    limits: ReadLimits | None = None,
) -> Result[Graph]:
    """Read, check and complete a NIR graph.

    Parameters
    ----------
    source : path, nir.NIRGraph or Graph
        A NIR file (HDF5) of NIR 0.1 to 1.0.8, a graph in memory, or a graph that was read before
        (its contract then counts as said by the file).
    options : Contract
        What the caller says about how to run it. It replaces what the file says; only a ``dt``
        that contradicts the file's is an error.
    strict : bool
        Treat warnings as errors.
    convention : str
        The preset of the tool that wrote the file, for what neither file nor options say.
    repair : bool
        Correct the one defect that can be corrected without a guess: edges to a name that no node
        has, where exactly one node has no edge.
    limits : ReadLimits
        How much the file may hold.

    Raises
    ------
    InputError, FileFormatError, UnsupportedNodeError, ShapeError, ContractError
        With every finding of severity error in one message; the class is the one that all
        errors share.
    """
    findings = FindingList()
    found = _survey(source, options or Contract(), convention, repair, limits, findings)
    findings.stop_on_errors(found.where, strict=strict)
    if found.graph is None:  # every way to None leaves an error
        raise InputError(f"{found.where}: cannot be read")
    return Result(found.graph, findings.findings)


def survey(
    source: str | Path | Any,
    options: Contract | None = None,
    *,
    convention: str | None = None,
    repair: bool = False,
    limits: ReadLimits | None = None,
) -> Survey:
    """Say everything that can be said about a graph; a broken file gives findings, no exception.

    Parameters
    ----------
    source, options, convention, repair, limits
        As for ``read``.
    """
    findings = FindingList()
    try:
        return _survey(source, options or Contract(), convention, repair, limits, findings)
    except InputError as error:
        where = str(source) if isinstance(source, (str, Path)) else "graph"
        text = str(error).removeprefix(f"{where}: ")
        findings.error("file", text, raises=type(error))
        return Survey(where, findings=findings.findings)


def _survey(
    source: Any,
    options: Contract,
    convention: str | None,
    repair: bool,
    limits: ReadLimits | None,
    findings: FindingList,
) -> Survey:
    limits = limits or ReadLimits()
    preset = None if convention is None else convention_named(convention)
    if isinstance(source, Graph):
        findings.extend(source.findings)
        flat = FlatGraph(
            source.nodes, source.edges, {n: type(node).__name__ for n, node in source.nodes.items()}
        )
        return _check(
            _Found("graph", flat, source.metadata, source.contract, source.origin, None),
            options, preset, limits, findings,
        )  # fmt: skip
    raw, where, origin = _raw(source, limits, findings)
    if repair:
        raw, changed = repaired(raw, findings)
        origin = ObjectOrigin(raw) if changed else origin
    flat = inline(raw, findings)
    said = _said(raw, findings)
    found = _Found(where, flat, raw.top.metadata, said, origin, raw.version)
    check_ends(
        {name: flat.kinds[name] for name in raw.top.members if name in flat.kinds},
        flat.edges,
        findings,
    )
    return _check(found, options, preset, limits, findings)


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """A flat graph and what came with it."""

    where: str
    flat: FlatGraph
    metadata: Mapping[str, Any]
    said: Contract
    origin: Origin | None
    version: str | None


def _raw(source: Any, limits: ReadLimits, findings: FindingList) -> tuple[RawGraph, str, Origin]:
    if isinstance(source, (str, Path)):
        raw, origin = read_nir_file(source, limits, findings)
        return raw, str(source), origin
    if is_nir_graph(source):
        raw = read_nir_object(source, limits, findings)
        return raw, "graph", ObjectOrigin(raw)
    raise InputError(f"read: takes a path, a nir.NIRGraph or a Graph, not {type(source).__name__}")


def _said(raw: RawGraph, findings: FindingList) -> Contract:
    """Return the contract in the outermost graph's metadata."""
    for name, scope in raw.scopes.items():
        if name and METADATA_KEY in scope.metadata:
            text = "the contract of a nested graph is ignored; the outermost graph's holds"
            findings.warning(f"node {name!r}", text)
    tree = raw.top.metadata.get(METADATA_KEY, {})
    try:
        if not isinstance(tree, Mapping):
            raise ContractError(
                f"file: metadata {METADATA_KEY} is no group, but {type(tree).__name__}"
            )
        return contract_from_metadata(tree, "file")
    except ContractError as error:
        text = str(error).removeprefix("file: ").removeprefix("contract: ")
        findings.error(CONTRACT, text, "correct the file's metadata", raises=ContractError)
        return Contract()


def _check(
    found: _Found,
    options: Contract,
    preset: Convention | None,
    limits: ReadLimits,
    findings: FindingList,
) -> Survey:
    flat = found.flat
    check_edges(flat.edges, findings)
    nodes = dict(flat.nodes)
    inference = ShapeInference(nodes, flat.edges, findings, limits.max_bytes // 8)
    shapes = inference.infer()
    start = next((n for n, node in nodes.items() if isinstance(node, Input)), None)
    end = next((n for n, node in nodes.items() if isinstance(node, Output)), None)
    contract = _complete(found, options, preset, end, findings)
    known = contract or Contract()
    for name, node in nodes.items():
        check_node(name, node, known, limits.max_bytes // 8, findings)
    check_cycles(nodes, flat.edges, known, findings)
    if contract is not None and end is not None:
        check_readout(nodes, contract, findings)
    kept = set(nodes)
    if flat.is_whole and start is not None and end is not None and contract is not None:
        ends = [end, contract.readout_node] if contract.readout_node in nodes else [end]
        kept = useful_nodes(flat.kinds, flat.edges, start, [e for e in ends if e], findings)
    graph = None
    if contract is not None and not findings.has_errors:
        graph = Graph(
            nodes={name: node for name, node in nodes.items() if name in kept},
            edges=tuple((a, b) for a, b in flat.edges if a in kept and b in kept),
            shapes={name: shape for name, shape in shapes.items() if name in kept},
            contract=contract,
            metadata=found.metadata,
            origin=found.origin,
            findings=findings.findings,
        )
    return Survey(
        found.where, flat.kinds, nodes, flat.edges, shapes, contract, findings.findings,
        found.version, graph,
    )  # fmt: skip


def _complete(
    found: _Found,
    options: Contract,
    preset: Convention | None,
    end: str | None,
    findings: FindingList,
) -> Contract | None:
    """Return the complete contract; the default read-out depends on the graph."""
    nodes = found.flat.nodes
    node = options.readout_node or found.said.readout_node
    guess = None if end is None else default_readout_node(nodes, found.flat.edges, end)
    kind = default_readout_kind(nodes.get(node or guess or ""))
    return complete(found.said, options, preset, (guess, kind), findings)
