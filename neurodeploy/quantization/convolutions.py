"""Which convolutions stay one on the chip, and which are written out as a sparse matrix.

Lava's Conv has no exponent and no delay; a convolution that needs either becomes sparse, up to a
size. Beyond it a relay population is the way out: neurons that pass on each spike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from neurodeploy.errors import ResourceError
from neurodeploy.findings import Finding
from neurodeploy.network import ALWAYS_ON, Convolution, Network, Population, Synapse
from neurodeploy.quantization.exponents import EASY_LOSS, HARD_LOSS, Demanded, misfits
from neurodeploy.quantization.incoming import (
    Incoming,
    connection_count,
    incoming_of,
    shares_kernels,
)
from neurodeploy.quantization.rounding import Bits

#: Bounds of a population for the synapses given.
DemandOf = Callable[[Sequence[Incoming]], Demanded]


def arriving_at(
    network: Network,
    population: Population,
    delay: Mapping[str, int],
    demand: DemandOf,
    *,
    bits: Bits,
    limit: int,
) -> tuple[list[Incoming], list[Finding]]:
    """Return what enters ``population``, convolutions written out where they must be.

    Parameters
    ----------
    delay : mapping of synapse to int
        Hardware steps that it waits.
    demand : callable
        Bounds of the population.
    bits : int, or mapping of synapse to int
        Width of a weight.
    limit : int
        Largest number of connections that is written out.

    Raises
    ------
    ResourceError
        For a convolution that can neither stay one nor be written out.
    """
    synapses = [s for s in network.synapses_into(population.name) if s.source != ALWAYS_ON]
    reasons = {s.name: text for s in synapses if (text := _own_reason(population, s, delay))}
    too_large = {s.name for s in synapses if _connections(s) > limit}
    for name in reasons.keys() & too_large:
        raise _refused(_named(synapses, name), reasons[name], limit)
    # Each convolution that leaves frees the scale for the others.
    while True:
        incoming = [
            incoming_of(network, population, s, written_out=s.name in reasons) for s in synapses
        ]
        wanted = misfits(incoming, bits, demand(incoming), EASY_LOSS)
        leaving = {name: text for name, text in wanted.items() if name not in too_large}
        if not leaving:
            break
        reasons |= leaving
    for name, text in misfits(incoming, bits, demand(incoming), HARD_LOSS).items():
        raise _refused(_named(synapses, name), text, limit)
    findings = [_finding(_named(synapses, name), text) for name, text in reasons.items()]
    return incoming, findings


def _own_reason(population: Population, synapse: Synapse, delay: Mapping[str, int]) -> str:
    """Return why a convolution must be written out whatever the scale, or nothing."""
    operator = synapse.operators[0]
    if not isinstance(operator, Convolution):
        return ""
    if delay[synapse.name]:
        return f"it waits {delay[synapse.name]} hardware steps, and Lava's Conv has no delay"
    if not shares_kernels(population, operator):
        return "neurons of one channel take it with different factors (r, tau or w_in)"
    return ""


def _connections(synapse: Synapse) -> int:
    operator = synapse.operators[0]
    return connection_count(operator) if isinstance(operator, Convolution) else 0


def _named(synapses: Sequence[Synapse], name: str) -> Synapse:
    return next(s for s in synapses if s.name == name)


def _finding(synapse: Synapse, reason: str) -> Finding:
    count = _connections(synapse)
    text = f"convolution written out as a sparse matrix of {count} connections: {reason}"
    return Finding("info", f"synapse {synapse.name}", text, "", {"connections": count})


def _refused(synapse: Synapse, reason: str, limit: int) -> ResourceError:
    return ResourceError(
        f"synapse {synapse.name}: a convolution that the chip cannot hold as it is ({reason}), and "
        f"as a sparse matrix it has {_connections(synapse)} connections, more than {limit}; put a "
        "relay population on the way (IF neurons of the source's shape that pass on each spike, "
        "with the delay or the scale on their own synapse), give --calibration data, or raise the "
        "limit (QuantizeConfig.sparse_limit)"
    )
