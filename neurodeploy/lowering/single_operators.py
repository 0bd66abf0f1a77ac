"""Every synapse as one operator, and parallel matrices as one."""

from __future__ import annotations

import dataclasses

from neurodeploy.findings import Finding, Result
from neurodeploy.lowering.conditions import (
    BIASES_IN_NEURONS,
    NEVER_SILENT,
    NO_PARALLELS,
    NO_RELAYS,
    SINGLE_OPERATORS,
    is_single,
)
from neurodeploy.lowering.passes import Pass
from neurodeploy.lowering.products import Products
from neurodeploy.network import (
    INPUT,
    Convolution,
    Dense,
    Network,
    Operator,
    Sparse,
    Synapse,
)


class ChainsToOperators(Pass):
    """Chains are multiplied out; a lone operator that a target holds stays to the last bit."""

    name = "chains into operators"
    needs = (BIASES_IN_NEURONS, NEVER_SILENT, NO_RELAYS)
    gives = (SINGLE_OPERATORS,)

    def __init__(self, products: Products) -> None:
        self._products = products

    def change(self, network: Network) -> Result[Network]:
        """Return the network with one operator per synapse.

        Raises
        ------
        ResourceError
            If the products hold more weights than the limit.
        """
        sizes = {INPUT: network.n_input, **{p.name: p.size for p in network.populations}}
        synapses, findings = [], []
        for s in network.synapses:
            size = s.operators[0].size_in if s.operators else sizes[s.source]
            single = self._products.single(s.name, s.operators, size)
            findings += _finding(s, single)
            if not _is_empty(single):
                synapses.append(dataclasses.replace(s, operators=(single,)))
        return Result(dataclasses.replace(network, synapses=tuple(synapses)), tuple(findings))


class ParallelsToSums(Pass):
    """Matrices of one source, target and delay are added up; convolutions stay beside them."""

    name = "parallels into sums"
    needs = (SINGLE_OPERATORS,)
    gives = (SINGLE_OPERATORS, NO_PARALLELS)

    def __init__(self, products: Products) -> None:
        self._products = products

    def change(self, network: Network) -> Result[Network]:
        """Return the network without parallel matrices.

        Raises
        ------
        ResourceError
            If the sums hold more weights than the limit.
        """
        groups: dict[object, list[Synapse]] = {}
        for s in network.synapses:
            groups.setdefault(_place(s), []).append(s)
        synapses, findings = [], []
        for same in groups.values():
            first = same[0]
            if len(same) > 1:
                total = self._products.added(first.name, [s.operators[0] for s in same])
                first = dataclasses.replace(first, operators=(total,))
                text = f"{len(same)} connections from {first.source!r} are added up"
                findings.append(Finding("info", f"node {first.target!r}", text))
            if not _is_empty(first.operators[0]):
                synapses.append(first)
        names = _names(synapses)
        renamed = tuple(_renamed(s, name) for s, name in zip(synapses, names, strict=True))
        return Result(dataclasses.replace(network, synapses=renamed), tuple(findings))


def _is_empty(operator: Operator) -> bool:
    """Whether a product has no weight at all, so that its synapse carries nothing."""
    return isinstance(operator, Sparse) and not operator.weight.size


def _place(s: Synapse) -> object:
    """Return what synapses have in common that are added up; a convolution stays alone."""
    alone = isinstance(s.operators[0], Convolution)
    return s.name if alone else (s.source, s.target, s.delay_steps)


def _names(synapses: list[Synapse]) -> list[str]:
    """Return ``source->target``, with delay and number where one pair has several synapses."""
    pairs: dict[tuple[str, str], list[int]] = {}
    for s in synapses:
        pairs.setdefault((s.source, s.target), []).append(s.delay_steps)
    seen: dict[tuple[str, str, int], int] = {}
    names = []
    for s in synapses:
        delays = pairs[s.source, s.target]
        name = f"{s.source}->{s.target}"
        if len(delays) > 1:
            key = (s.source, s.target, s.delay_steps)
            seen[key] = seen.get(key, 0) + 1
            name += f"@{s.delay_steps}" + (f"#{seen[key]}" if seen[key] > 1 else "")
        names.append(name)
    return names


def _renamed(s: Synapse, name: str) -> Synapse:
    if s.name == name:
        return s
    operator = dataclasses.replace(s.operators[0], node=name)
    return dataclasses.replace(s, name=name, operators=(operator,))


def _finding(s: Synapse, single: Operator) -> list[Finding]:
    """Name what was multiplied out, so that nobody looks for it on the chip."""
    where = f"node {s.target!r}"
    if not s.operators:
        text = f"fed directly by [{s.source!r}]; an identity matrix stands in as its synapse"
        return [Finding("info", where, text)]
    if len(s.operators) == 1 and is_single(s.operators[0]):
        return []
    nodes = ", ".join(o.node for o in s.operators)
    shape = f"{single.size_out} x {single.size_in}"
    kind = "convolution" if isinstance(single, Convolution) else "matrix"
    weights = int((single.weight != 0).sum()) if isinstance(single, (Dense, Sparse)) else 0
    stored = f" ({weights} non-zero weights)" if weights else ""
    if _is_empty(single):
        stored = " without any weight, so nothing of them is left"
    text = f"{nodes} are multiplied out into one {kind} {shape}{stored}"
    return [Finding("info", where, text)]
