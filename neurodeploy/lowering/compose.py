"""The network in the form that targets hold: one operator per synapse, biases in neurons.

A composition of linear maps is exact as a linear map; in float64 it may differ from the chain in
the last bit.
"""

from __future__ import annotations

from neurodeploy.errors import UnsupportedNodeError
from neurodeploy.findings import Finding, Result
from neurodeploy.lowering.biases import MoveBiases, late_biases
from neurodeploy.lowering.conditions import DEPLOYABLE_FORM
from neurodeploy.lowering.delay_synapses import DelaysToSynapses
from neurodeploy.lowering.passes import Pass
from neurodeploy.lowering.per_neuron import NamePerNeuron
from neurodeploy.lowering.products import MAX_WEIGHTS, Products
from neurodeploy.lowering.relay_paths import RelaysToPaths
from neurodeploy.lowering.single_operators import ChainsToOperators, ParallelsToSums
from neurodeploy.lowering.threshold_neurons import ThresholdsToNeurons
from neurodeploy.network import Network


def compose(network: Network, *, max_elements: int = MAX_WEIGHTS) -> Result[Network]:
    """Return the network in deployable form; one that has it already comes back as it is.

    Every synapse has one operator without a bias: a Dense matrix, a Convolution (two axes, as many
    zeros before as after each), or a Sparse matrix; ``delay_steps`` holds feedback and delays.
    Biases are in the populations. There are no relays, delays or thresholds left. A lone matrix
    stays as it is, to the last bit. The order of synapses into a population, and of a sum's terms,
    is that of the given network.

    Parameters
    ----------
    network : Network
        As ``lower`` gives it.
    max_elements : int
        Largest number of weights in all matrices that are multiplied out or added up.

    Raises
    ------
    UnsupportedNodeError
        For biases that begin after the first step (``recurrent-cut affine``, or behind a Delay),
        a read-out of a sum or a Delay, and cycles of Delays without a neuron.
    ResourceError
        If the matrices would have more than ``max_elements`` weights.
    """
    if is_deployable_form(network):
        return Result(network)
    if late := late_biases(network):
        raise UnsupportedNodeError(late_bias_message(late))
    findings: tuple[Finding, ...] = ()
    for step in lowering_passes(max_elements):
        network, found = step.run(network)
        findings += found
    return Result(network, findings)


def lowering_passes(max_elements: int = MAX_WEIGHTS) -> tuple[Pass, ...]:
    """Return the passes of ``compose``, in order."""
    products = Products(max_elements)
    return (
        MoveBiases(),
        ThresholdsToNeurons(),
        DelaysToSynapses(),
        RelaysToPaths(products),
        ChainsToOperators(products),
        ParallelsToSums(products),
        NamePerNeuron(),
    )


def is_deployable_form(network: Network) -> bool:
    """Whether a network has the form that ``compose`` gives."""
    return not any(condition.violations(network) for condition in DEPLOYABLE_FORM)


def late_bias_message(late: dict[str, str]) -> str:
    """Return the message of the error about biases that begin late."""
    lines = "\n  ".join(f"{name}: {how}" for name, how in late.items())
    return f"{len(late)} synapses or nodes make a bias begin late:\n  {lines}"
