"""The float network with some of the integers' roundings: what each of them costs by itself.

Arithmetic stays float64, so that nothing but the named roundings differs from the float network.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import InputError
from neurodeploy.network import (
    ALIGN_BITS,
    ALWAYS_ON,
    INPUT,
    FixedPointNetwork,
    FixedPopulation,
    Network,
    Population,
    Sparse,
    Synapse,
    decide,
)
from neurodeploy.quantization.incoming import drive_of, input_factor
from neurodeploy.quantization.plain import reset_origin, threshold_distance
from neurodeploy.quantization.prediction import stored_biases
from neurodeploy.quantization.rounded_weights import rounded_synapse
from neurodeploy.quantization.sign_split import as_split
from neurodeploy.simulate import run_float

#: What is stored rounded. Floors of sums, truncated decays and clips are no values.
STORED = ("weights", "bias", "threshold", "decay", "gain")


@dataclass(frozen=True, slots=True)
class RoundingLoss:
    """What one rounding alone does on some samples.

    ``turned``: share of neuron-steps whose spike differs from the float network's, per population
    that fires; ``decisions``: share of samples decided otherwise.
    """

    rounding: str
    turned: dict[str, float]
    decisions: float


def rounding_losses(
    network: Network, net: FixedPointNetwork, codes: NDArray[np.int32]
) -> tuple[RoundingLoss, ...]:
    """Switch on one rounding at a time, then all that are stored, and count what changes.

    Parameters
    ----------
    network, net
        The composed float network and the integers made from it, on the same time.
    codes : int array [B, n_input] (held) or [T, B, n_input]
    """
    before = run_float(network, codes, record=("spikes",))
    decided = decide(before.scores())
    found = []
    for which in (*((name,) for name in STORED), STORED):
        after = run_float(with_roundings(network, net, which), codes, record=("spikes",))
        turned = {
            p.name: float(
                (before.records[f"{p.name}/spikes"] != after.records[f"{p.name}/spikes"]).mean()
            )
            for p in network.populations
            if p.fires
        }
        changed = float((decide(after.scores()) != decided).mean())
        found.append(RoundingLoss(which[0] if len(which) == 1 else "all stored", turned, changed))
    return tuple(found)


def with_roundings(network: Network, net: FixedPointNetwork, roundings: Collection[str]) -> Network:
    """Return ``network`` with the values that ``net`` stores for those of ``STORED`` named.

    Raises
    ------
    InputError
        For another rounding, or integers that lack a synapse.
    """
    if unknown := set(roundings) - set(STORED):
        raise InputError(f"roundings {sorted(unknown)} not known; choose of {', '.join(STORED)}")
    chosen, network = frozenset(roundings), as_split(network, net)
    synapses = {s.name: s for s in network.synapses}
    if "weights" in chosen:
        for p in network.populations:
            for s in network.synapses_into(p.name):
                if s.source != ALWAYS_ON:
                    synapses[s.name] = _stored(network, net, p, s)
    populations = tuple(_stored_registers(p, net, chosen) for p in network.populations)
    rounded = replace(network, populations=populations, synapses=tuple(synapses.values()))
    # The low end of an input range is part of the biases: with other weights it was another one.
    biased = tuple(_with_drive(network, rounded, net, p, chosen) for p in populations)
    return replace(rounded, populations=biased)


def _stored(
    network: Network, net: FixedPointNetwork, population: Population, synapse: Synapse
) -> Synapse:
    """Return the synapse with its stored weights, without the population's own factor."""
    matrix = rounded_synapse(network, net, population, synapse).stored.tocsr()
    matrix.sort_indices()
    unit = network.encoder.step if synapse.source == INPUT else 1.0
    rows = np.repeat(input_factor(population) * unit, np.diff(matrix.indptr))
    values = np.divide(matrix.data, rows, out=np.zeros_like(matrix.data), where=rows != 0)
    indptr, indices = matrix.indptr.astype(np.int32), matrix.indices.astype(np.int32)
    operator = Sparse(synapse.name, values, indptr, indices, int(matrix.shape[1]))
    return replace(synapse, operators=(operator,))


def _stored_registers(
    p: Population, net: FixedPointNetwork, roundings: frozenset[str]
) -> Population:
    """Return the population with its stored thresholds, decays and gains."""
    fixed = net.population(p.name)
    changed: dict[str, Any] = {}
    if "threshold" in roundings and p.fires:
        finite = np.isfinite(threshold_distance(p))
        meant = fixed.v_threshold * 2.0**ALIGN_BITS / fixed.scale + reset_origin(p)
        changed["v_threshold"] = np.where(finite, meant, p.v_threshold)
    if "decay" in roundings:
        changed |= _stored_decays(p, fixed)
    if "gain" in roundings and fixed.gain is not None:
        changed["gain"] = np.ldexp(fixed.gain.astype(np.float64), -fixed.gain_shift)
    return replace(p, **changed)


def _with_drive(
    network: Network,
    rounded: Network,
    net: FixedPointNetwork,
    p: Population,
    roundings: frozenset[str],
) -> Population:
    """Return ``p`` of the rounded network with its own biases, or the stored ones."""
    own, now = drive_of(network, network.population(p.name)), drive_of(rounded, p)
    wanted = stored_biases(net, p) if "bias" in roundings else own.into_sum + own.into_v
    error = wanted - now.into_sum - now.into_v
    if not error.any():
        return p
    factor = input_factor(p)
    more = np.divide(error, factor, out=np.zeros(p.size), where=factor != 0)
    return replace(p, bias=p.bias + more)


def _stored_decays(p: Population, fixed: FixedPopulation) -> dict[str, Any]:
    """Return stored decays, and what keeps everything else that they enter as it was."""
    decay = fixed.decay_v / 4096
    pull = p.decay_v * (p.v_leak - reset_origin(p))
    leak = np.divide(pull, decay, out=np.zeros(p.size), where=decay != 0) + reset_origin(p)
    changed: dict[str, Any] = {"decay_v": decay, "v_leak": np.where(decay != 0, leak, p.v_leak)}
    if p.decay_u is not None and p.w_in is not None:
        lost = (fixed.decay_u + 1) / 4096
        changed |= {"decay_u": lost, "w_in": p.w_in * p.decay_u / lost}
    return changed
