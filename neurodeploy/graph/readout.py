"""Where the decision is read when nothing says it, and whether what is said can be read."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence

from neurodeploy.errors import ContractError
from neurodeploy.graph.contract import Contract
from neurodeploy.graph.finding_list import FindingList, short
from neurodeploy.graph.nodes import INTEGRATORS, SPIKING, Junction, Node, Threshold

Edge = tuple[str, str]


def default_readout_node(
    nodes: Mapping[str, Node], edges: Sequence[Edge], output: str
) -> str | None:
    """Return the only node before the output, or the output itself where edges meet there."""
    sources: dict[str, list[str]] = {}
    for source, target in edges:
        sources.setdefault(target, []).append(source)
    node, seen = output, set()
    while node not in seen and (node == output or isinstance(nodes.get(node), Junction)):
        seen.add(node)
        before = sources.get(node, [])
        if len(before) != 1:
            return output if before or node != output else None
        node = before[0]
    return node if node in nodes else None


def default_readout_kind(node: Node | None) -> str | None:
    """Return how a node is read by default: spikes are counted, membranes averaged, sums summed."""
    if node is None:
        return None
    if isinstance(node, SPIKING):
        return "count"
    return "mean_v" if isinstance(node, INTEGRATORS) else "sum"


def check_readout(nodes: Mapping[str, Node], contract: Contract, findings: FindingList) -> None:
    """Name a read-out node that does not exist, or has neither the spikes nor the membrane."""
    name = contract.readout_node
    if name is None:
        return
    node = nodes.get(name)
    if node is None:
        close = difflib.get_close_matches(name, list(nodes)[:500], n=3)
        findings.error(
            "contract",
            f"the read-out node {name!r} does not exist",
            f"nearest: {short(close)}" if close else f"nodes: {short(nodes)}",
            raises=ContractError,
        )
    elif contract.readout_kind == "count" and not isinstance(node, SPIKING):
        findings.error(
            "contract",
            f"the read-out counts spikes, but {name!r} is a {type(node).__name__}, which has none",
            "give --readout-kind sum, mean_v, last_v or max_v",
            raises=ContractError,
        )
    elif isinstance(node, Threshold) and contract.readout_kind not in ("count", "sum"):
        findings.error(
            "contract",
            f"the read-out is {contract.readout_kind}, but {name!r} is a Threshold, which has no "
            "membrane",
            "give --readout-kind count",
            raises=ContractError,
        )
