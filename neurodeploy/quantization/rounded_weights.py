"""What a synapse's integers stand for beside its float weights, as sparse matrices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from neurodeploy.errors import InputError
from neurodeploy.network import ALIGN_BITS, FixedPointNetwork, Network, Population, Synapse
from neurodeploy.network.fixed_synapse import FixedSynapse
from neurodeploy.quantization.incoming import incoming_of


@dataclass(frozen=True, slots=True, eq=False)
class RoundedSynapse:
    """One synapse in membrane units per spike or code.

    Parameters
    ----------
    source : str
    delay_steps : int
        Logical steps that it waits.
    weight, stored : sparse [out, in]
        What float weights and integers add.
    floors : bool
        Whether the integer sum is floored, by half a unit of ``a`` on average.
    """

    source: str
    delay_steps: int
    weight: sparse.csr_array
    stored: sparse.csr_array
    floors: bool


def rounded_synapse(
    network: Network, net: FixedPointNetwork, population: Population, synapse: Synapse
) -> RoundedSynapse:
    """Return both sides of ``synapse``, convolutions written out.

    Raises
    ------
    InputError
        If the integers have no such synapse.
    """
    fixed = next((s for s in net.synapses if s.name == synapse.name), None)
    if fixed is None:
        raise InputError(f"synapse {synapse.name}: the integers have no such synapse")
    incoming = incoming_of(network, population, synapse, written_out=True)
    layout, values = incoming.layout, incoming.values
    shape = (population.size, fixed.size_in)
    if layout is None:
        weight = sparse.csr_array(values)
    else:
        weight = sparse.csr_array((values, layout.indices, layout.indptr), shape=shape)  # type: ignore[union-attr]
    unit = np.ldexp(1.0, fixed.weight_exp + ALIGN_BITS) / net.population(population.name).scales
    return RoundedSynapse(
        synapse.source, synapse.delay_steps, weight, stored_matrix(fixed, unit), _floors(fixed)
    )


def stored_matrix(fixed: FixedSynapse, unit: NDArray[np.float64]) -> sparse.csr_array:
    """Return the mantissas times the ``unit`` of their target [out] as a matrix [out, in]."""
    ends = fixed.connections()
    shape = (fixed.size_out, fixed.size_in)
    values = ends.weight.astype(np.float64) * unit[ends.target]
    return sparse.csr_array((values, (ends.target, ends.source)), shape=shape)


def _floors(fixed: FixedSynapse) -> bool:
    """Whether a right shift drops bits of the sum: trailing zeros of the mantissas may prevent."""
    if fixed.weight_exp >= 0 or not fixed.weight.any():
        return False
    return bool((fixed.weight & ((1 << -fixed.weight_exp) - 1)).any())
