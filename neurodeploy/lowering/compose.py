"""Chains of operators and relays multiplied out into one matrix per pair of populations.

A composition of linear maps is exact as a linear map; in float64 it may differ from the chain in
the last bit. Targets that hold nothing but weights and neurons need it.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from neurodeploy.errors import ResourceError, UnsupportedNodeError
from neurodeploy.findings import Finding, Result
from neurodeploy.lowering.matrices import Matrix, matrix_of
from neurodeploy.network import ALWAYS_ON, INPUT, Dense, Network, Population, Synapse, output_bias

#: Largest sum of matrix elements that is made, 1 GiB in float64.
MAX_ELEMENTS = 2**27


class _Source(NamedTuple):
    name: str
    late: bool


class _Input(NamedTuple):
    """What reaches a population: a matrix per source, and a bias.

    ``lone``: sources whose matrix is an operator of the graph as it is. ``silent``: synapses whose
    biases are missing in the first step.
    """

    matrices: dict[_Source, Matrix]
    bias: NDArray[np.float64]
    lone: dict[_Source, Dense]
    silent: tuple[str, ...]


def compose(network: Network, *, max_elements: int = MAX_ELEMENTS) -> Result[Network]:
    """Return the network with one matrix per connected pair, without relays and inner biases.

    A lone matrix stays as it is, to the last bit. Parallel connections are added up, biases move
    into the populations.

    Raises
    ------
    UnsupportedNodeError
        For connections that are silent in the first step with a bias (``recurrent-cut affine``).
    ResourceError
        If the matrices would have more than ``max_elements`` elements.
    """
    if all(s.is_dense for s in network.synapses):
        return Result(network)
    relays: dict[str, _Input] = {}
    sizes = {INPUT: network.n_input, ALWAYS_ON: 1, **{p.name: p.size for p in network.populations}}
    silent: list[str] = []
    populations: list[Population] = []
    synapses: list[Synapse] = []
    findings: list[Finding] = []
    elements = 0
    for p in network.populations:
        reaching = _reaching(network, p, relays, sizes)
        silent += reaching.silent
        if p.kind == "relay":
            relays[p.name] = reaching
            continue
        populations.append(dataclasses.replace(p, bias=reaching.bias))
        for source, matrix in reaching.matrices.items():
            elements += matrix.shape[0] * matrix.shape[1]
            if elements > max_elements:
                raise ResourceError(
                    f"population {p.name}: as single matrices the network has {elements} weights, "
                    f"more than {max_elements} (its connection from {source.name} alone "
                    f"{matrix.shape[0]} x {matrix.shape[1]}); use a smaller network"
                )
            weight = reaching.lone[source].weight if source in reaching.lone else matrix.toarray()
            name = f"{source.name}->{p.name}"
            operator = Dense(name, weight)
            synapses.append(
                Synapse(name, source.name, p.name, (operator,), delay_steps=int(source.late))
            )
        findings += _findings(network, p)
    if silent:
        raise UnsupportedNodeError(
            f"synapses {', '.join(dict.fromkeys(silent))}: their biases are missing in the first "
            "step (recurrent-cut affine), which no single bias can say; use recurrent-cut spikes"
        )
    composed = dataclasses.replace(
        network, populations=tuple(populations), synapses=tuple(synapses)
    )
    return Result(composed, tuple(findings))


def _reaching(
    network: Network, p: Population, relays: dict[str, _Input], sizes: dict[str, int]
) -> _Input:
    """Add up what the synapses into ``p`` bring, relays before them multiplied out."""
    matrices: dict[_Source, Matrix] = {}
    lone: dict[_Source, Dense] = {}
    silent: list[str] = []
    bias = np.array(p.bias)
    for s in network.synapses_into(p.name):
        before = relays.get(s.source)
        constant = np.zeros(sizes[s.source]) if before is None else before.bias
        for operator in s.operators:
            own = output_bias(operator)
            constant = matrix_of(operator) @ constant + (0.0 if own is None else own)
        if s.silent_first and constant.any():
            silent.append(s.name)
        bias = bias + constant
        starts = {_Source(s.source, s.late): None} if before is None else before.matrices
        for source, start in starts.items():
            matrix = _chained(s, start, p.size)
            single = _single(s) if before is None and source not in matrices else None
            matrices[source] = matrices[source] + matrix if source in matrices else matrix
            lone.pop(source, None)
            if single is not None:
                lone[source] = single
    return _Input(matrices, bias, lone, (*silent, *_silent_before(network, p, relays)))


def _silent_before(network: Network, p: Population, relays: dict[str, _Input]) -> tuple[str, ...]:
    found = (relays[s.source].silent for s in network.synapses_into(p.name) if s.source in relays)
    return tuple(name for names in found for name in names)


def _single(s: Synapse) -> Dense | None:
    """Return the only operator of a synapse if it is one matrix."""
    only = s.operators[0] if len(s.operators) == 1 else None
    return only if isinstance(only, Dense) and only.weight.ndim == 2 else None


def _chained(s: Synapse, start: Matrix | None, size: int) -> Matrix:
    matrix = start
    for operator in s.operators:
        step = matrix_of(operator)
        matrix = step if matrix is None else step @ matrix
    return scipy.sparse.csr_array(scipy.sparse.eye_array(size)) if matrix is None else matrix


def _findings(network: Network, p: Population) -> list[Finding]:
    """Name what was multiplied out, so that nobody looks for it on the chip."""
    found = []
    for s in network.synapses_into(p.name):
        if not s.operators:
            text = f"fed directly by [{s.source!r}]; an identity matrix stands in as its synapse"
            found.append(Finding("info", f"node {p.name!r}", text))
        elif len(s.operators) > 1 or (s.operators and not isinstance(s.operators[0], Dense)):
            nodes = ", ".join(o.node for o in s.operators)
            text = f"{nodes} are multiplied out into one matrix {p.size} x {s.operators[0].size_in}"
            found.append(Finding("info", f"node {p.name!r}", text))
    return found
