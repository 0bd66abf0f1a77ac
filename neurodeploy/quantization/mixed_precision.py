"""Weights of several widths: as many bits for each synapse as the target's memory leaves it.

What a width costs is the expected squared error of the membranes beside the squared membranes
themselves, as the moments of the inputs tell both (``input_moments.py``); every population counts
alike. The widths are those of the least sum that fits.

Counted are the weights: zeros of a matrix too, a convolution's kernel once, indices and headers
not, as nobody has published their widths for every chip.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from neurodeploy.errors import InputError, ResourceError
from neurodeploy.findings import Finding, Result
from neurodeploy.hardware_profiles import Profile
from neurodeploy.network import ALWAYS_ON, FixedPointNetwork, Network
from neurodeploy.quantization.incoming import Incoming, incoming_of
from neurodeploy.quantization.rounders import MembraneRounder
from neurodeploy.quantization.scale_loss import cheap_measure, row_losses

FEWEST_BITS = 2
#: States kept of the search for the least sum; where there are more, steps of memory get coarser.
_STATES = 4096
#: Tries where lines, or convolutions written out, take more than was counted.
_TRIES = 8


@dataclass(frozen=True, slots=True)
class WidthChoice:
    """One synapse: how many weights it stores, and its loss by width from ``FEWEST_BITS`` up."""

    name: str
    weights: int
    losses: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class WeightMemory:
    """What weights may take.

    Parameters
    ----------
    bits : int
    core_bits : int
        Of one core; each population has cores of its own. 0 where a budget was given.
    owner : str
        Whose it is, for messages.
    """

    bits: int
    core_bits: int
    owner: str

    def excess(self, used: Mapping[str, int]) -> int:
        """Return by how many bits the weights of all populations are too many."""
        over = sum(used.values()) - self.bits
        if self.core_bits:
            cores = sum(math.ceil(bits / self.core_bits) for bits in used.values())
            over = max(over, cores * self.core_bits - self.bits)
        return over


def memory_of(profile: Profile, memory_bytes: int | None) -> WeightMemory:
    """Return a budget, or what the synaptic memory of all cores certainly holds.

    Raises
    ------
    InputError
        If there is neither.
    """
    if memory_bytes is not None:
        return WeightMemory(8 * memory_bytes, 0, "the budget")
    per_core = profile.limits.synapse_memory_per_core.interval("bits")
    cores = profile.limits.cores_per_chip.interval("count")
    if per_core is None or cores is None:
        raise InputError(
            f"weight_bits auto: {profile.id} has no synaptic memory to fit; give --weight-memory "
            "BYTES, or --weight-bits 2 to 8"
        )
    core_bits, count = int(per_core[0]), int(cores[0])
    owner = f"the {count} cores of {profile.id}"
    return WeightMemory(core_bits * count, core_bits, owner)


def fit_widths(
    network: Network,
    measured: MembraneRounder,
    memory: WeightMemory,
    most_bits: int,
    build: Callable[[Mapping[str, int]], Result[FixedPointNetwork]],
) -> Result[FixedPointNetwork]:
    """Return the network that ``build`` makes of the best widths that fit, with findings.

    Raises
    ------
    ResourceError
        If it does not fit at two bits.
    """
    choices = width_choices(network, measured, most_bits)
    limit = memory.bits
    for _ in range(_TRIES):
        widths = least_loss(choices, limit, memory)
        net, findings = build(widths)
        used = used_bits(net)
        excess = memory.excess(used)
        if excess <= 0:
            return Result(net, (*findings, *_told(choices, widths, used, memory)))
        known, choices = choices, _as_built(choices, net)
        lines = sum(s.weight.size * s.weight_bits for s in net.synapses if s.source == ALWAYS_ON)
        below = min(limit, memory.bits - lines)
        limit = below if below < limit or known != choices else limit - excess
    raise ResourceError(
        f"weights take {sum(used.values()) / 8:.0f} bytes, {memory.owner} holds "
        f"{memory.bits / 8:.0f}: what biases on lines and convolutions written out as sparse "
        "matrices take was more each time; give --weight-bits 2 to 8"
    )


def width_choices(
    network: Network, measured: MembraneRounder, most_bits: int
) -> tuple[WidthChoice, ...]:
    """Return every synapse with what each width would cost."""
    found = []
    for p in network.populations:
        incoming = [
            incoming_of(network, p, s)
            for s in network.synapses_into(p.name)
            if s.source != ALWAYS_ON
        ]
        cheap = cheap_measure(measured, incoming)
        size = sum(float(row_losses(cheap, i, i.values).sum()) for i in incoming) or 1.0
        found += [_choice(i, cheap, size, most_bits) for i in incoming]
    return tuple(found)


def _as_built(choices: Sequence[WidthChoice], net: FixedPointNetwork) -> tuple[WidthChoice, ...]:
    """Return the choices with as many weights as there were: convolutions may be written out."""
    sizes = {s.name: s.weight.size for s in net.synapses}
    return tuple(replace(c, weights=max(c.weights, sizes[c.name])) for c in choices)


def _choice(arriving: Incoming, cheap: MembraneRounder, size: float, most_bits: int) -> WidthChoice:
    losses = []
    for bits in range(FEWEST_BITS, most_bits + 1):
        rounded = cheap.best(arriving, bits)
        error = np.ldexp(rounded.mantissa.astype(np.float64), -rounded.exponent) - arriving.values
        losses.append(float(row_losses(cheap, arriving, error).sum()) / size)
    # A wider format holds what a narrower one does.
    least = np.minimum.accumulate(losses)
    return WidthChoice(arriving.synapse.name, arriving.values.size, tuple(least.tolist()))


def least_loss(
    choices: Sequence[WidthChoice], limit_bits: int, memory: WeightMemory
) -> dict[str, int]:
    """Return the widths of the least summed loss that take at most ``limit_bits``; the same always.

    Of equal sums the smaller one. Exact, up to 1/4096 of the memory where there are more than so
    many ways that none is better than in both.

    Raises
    ------
    ResourceError
        If two bits each are too many.
    """
    fewest = sum(c.weights for c in choices) * FEWEST_BITS
    if fewest > limit_bits:
        raise ResourceError(
            f"{fewest // FEWEST_BITS} weights of {FEWEST_BITS} bits take {fewest / 8:.0f} bytes, "
            f"{memory.owner} holds {memory.bits / 8:.0f}; use a smaller network, sparse "
            "connections, or another chip"
        )
    states: list[tuple[int, float, tuple[int, ...]]] = [(0, 0.0, ())]
    rest = fewest
    for choice in choices:
        rest -= choice.weights * FEWEST_BITS
        grown = [
            (used + choice.weights * bits, loss + more, (*widths, bits))
            for used, loss, widths in states
            for bits, more in enumerate(choice.losses, FEWEST_BITS)
            if used + choice.weights * bits + rest <= limit_bits
        ]
        states = _front(grown, limit_bits)
    return dict(zip((c.name for c in choices), states[-1][2], strict=True))


def _front(
    grown: list[tuple[int, float, tuple[int, ...]]], limit_bits: int
) -> list[tuple[int, float, tuple[int, ...]]]:
    """Return the states that no smaller one is as good as, ascending by memory."""
    front: list[tuple[int, float, tuple[int, ...]]] = []
    for state in sorted(grown):
        if not front or state[1] < front[-1][1]:
            front.append(state)
    if len(front) <= _STATES:
        return front
    # The best of every step of memory, and always the smallest of all.
    coarse = {state[0] * _STATES // max(limit_bits, 1): state for state in front}
    return [front[0], *(s for s in coarse.values() if s is not front[0])]


def used_bits(net: FixedPointNetwork) -> dict[str, int]:
    """Return what the weights into each population take."""
    return {
        p.name: sum(s.weight.size * s.weight_bits for s in net.synapses_into(p.name))
        for p in net.populations
    }


def _told(
    choices: Sequence[WidthChoice],
    widths: Mapping[str, int],
    used: Mapping[str, int],
    memory: WeightMemory,
) -> list[Finding]:
    found = []
    for c in choices:
        bits = widths[c.name]
        loss = c.losses[bits - FEWEST_BITS]
        text = (
            f"{c.weights} weights of {bits} bits: rounding adds {loss:.3%} to the squared membrane"
        )
        numbers = {"bits": bits, "weights": c.weights, "loss": loss}
        found.append(Finding("info", f"synapse {c.name}", text, "", numbers))
    total = sum(used.values())
    text = (
        f"weights take {total / 8:.0f} of {memory.bits / 8:.0f} bytes that {memory.owner} "
        f"hold{'' if memory.core_bits else 's'} ({total / memory.bits:.1%}), indices not counted"
    )
    numbers = {"bytes": total / 8, "limit_bytes": memory.bits / 8}
    return [*found, Finding("info", "weights", text, "", numbers)]
