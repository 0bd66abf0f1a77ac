"""A checked NIR graph together with its execution contract."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from neurodeploy.errors import InputError
from neurodeploy.findings import Finding, Result
from neurodeploy.graph.contract import (
    PLAIN_NIR_EULER,
    Contract,
    complete,
    contract_from_metadata,
)
from neurodeploy.graph.nir_file import metadata_of, read_nir_file
from neurodeploy.graph.nodes import LIF, Node, Output
from neurodeploy.graph.validation import validate


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """Nodes by name, edges, and a complete contract. ``nir_file`` holds the bytes as read."""

    nodes: Mapping[str, Node]
    edges: tuple[tuple[str, str], ...]
    contract: Contract
    metadata: Mapping[str, Any] = field(default_factory=dict)
    nir_file: bytes = b""

    def sources_of(self, name: str) -> tuple[str, ...]:
        """Return the nodes with an edge into ``name``, in file order."""
        return tuple(source for source, target in self.edges if target == name)


def read(
    path: str | Path, options: Contract | None = None, *, strict: bool = False
) -> Result[Graph]:
    """Read, validate and complete a NIR file.

    Parameters
    ----------
    path : path
        NIR file (HDF5).
    options : Contract
        What the caller says about how to run it; contradicting the file is an error.
    strict : bool
        Treat warnings as errors.

    Raises
    ------
    InputError, FileFormatError, UnsupportedNodeError, ContractError
        With every finding of severity error in one message.
    """
    where = str(path)
    nodes, edges, metadata, content = read_nir_file(path)
    said = contract_from_metadata(metadata_of(metadata, "neurodeploy"), where)
    options = options or Contract()
    findings = validate(nodes, edges, options.dt if said.dt is None else said.dt)
    stop_on_errors(where, findings)
    contract, more = complete(said, options, _defaults(nodes, edges), where)
    _check_readout(nodes, edges, contract, where)
    findings += more
    if strict:
        stop_on_errors(where, findings, ("error", "warning"))
    graph = Graph(nodes, tuple(edges), contract, metadata, content)
    return Result(graph, tuple(findings))


def stop_on_errors(
    where: str, findings: list[Finding], severities: tuple[str, ...] = ("error",)
) -> None:
    """Raise InputError listing all findings of the given severities, if there are any."""
    errors = [f for f in findings if f.severity in severities]
    if errors:
        lines = "\n  ".join(str(f) for f in errors)
        raise InputError(f"{where}: {len(errors)} findings stop here:\n  {lines}")


def _defaults(nodes: Mapping[str, Node], edges: list[tuple[str, str]]) -> Contract:
    last = _output_source(nodes, edges)
    kind = "count" if isinstance(nodes[last], LIF) else "sum"
    return dataclasses.replace(
        PLAIN_NIR_EULER,
        readout_node=last,
        readout_kind=kind,
        encoder="constant",
        encoder_low=0.0,
        encoder_high=1.0,
        encoder_bits=8,
    )


def _output_source(nodes: Mapping[str, Node], edges: list[tuple[str, str]]) -> str:
    output = next(name for name, node in nodes.items() if isinstance(node, Output))
    sources = [source for source, target in edges if target == output]
    if len(sources) != 1:
        raise InputError(
            f"the output has {len(sources)} incoming edges {sources}; needs exactly one"
        )
    return sources[0]


def _check_readout(
    nodes: Mapping[str, Node], edges: list[tuple[str, str]], contract: Contract, where: str
) -> None:
    last = _output_source(nodes, edges)
    if contract.readout_node != last:
        raise InputError(
            f"{where}: the read-out node is {contract.readout_node!r}, but the output is fed by "
            f"{last!r}; only the node before the output can be read"
        )
    spiking = isinstance(nodes[last], LIF)
    if spiking != (contract.readout_kind == "count"):
        what = "spikes: its read-out is count" if spiking else "does not spike: its read-out is sum"
        raise InputError(f"{where}: {last!r} {what}, not {contract.readout_kind}")
