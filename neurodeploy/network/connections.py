"""Which connections a network, float or fixed, may have: names, ends, shapes, update order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from neurodeploy.errors import InputError, ShapeError
from neurodeploy.network.encoding import Readout

#: Names of the two sources that are not populations: the stimulus, and a line that is 1 at every
#: step (it carries a bias that fits no neuron's own bias register).
INPUT = "input"
ALWAYS_ON = "always_on"


def named(populations: tuple[Any, ...], name: str) -> Any:
    """Return the member of ``populations`` called ``name``; InputError lists those there are."""
    for population in populations:
        if population.name == name:
            return population
    known = ", ".join(p.name for p in populations[:50])
    raise InputError(f"population {name!r} does not exist; there are: {known}")


def check_connections(
    populations: tuple[Any, ...],
    synapses: tuple[Any, ...],
    n_input: int,
    readout: Readout,
    is_late: Callable[[Any], bool],
) -> None:
    """Check names, ends, shapes and update order of a network, float or fixed.

    A synapse from a population to itself or to one updated before it must be late (``is_late``:
    what it brings was sent at least one step before), or come from a delay of at least one step.

    Raises
    ------
    InputError
        For a doubled name, an unknown end, or a synapse that runs against the update order.
    ShapeError
        For a weight whose shape does not fit its ends.
    """
    order = {p.name: i for i, p in enumerate(populations)}
    if len(order) != len(populations) or {INPUT, ALWAYS_ON} & set(order):
        raise InputError(
            f"network: population names {sorted(order)} must be unique, "
            f"and not {INPUT!r} or {ALWAYS_ON!r}"
        )
    sizes = {INPUT: n_input, ALWAYS_ON: 1, **{p.name: p.size for p in populations}}
    for synapse in synapses:
        where = f"synapse {synapse.name}"
        for end in (synapse.source, synapse.target):
            if end not in sizes:
                raise InputError(f"{where}: end {end!r} does not exist")
        expected = (sizes[synapse.target], sizes[synapse.source])
        given = synapse.shape_between(sizes)
        if given != expected:
            raise ShapeError(
                f"{where}: weight {given} does not fit {synapse.source!r} -> "
                f"{synapse.target!r}, which needs {expected}"
            )
        if synapse.source in order and order[synapse.source] >= order[synapse.target]:
            source = populations[order[synapse.source]]
            if not (is_late(synapse) or _sends_the_past(source)):
                raise InputError(
                    f"{where}: runs from {synapse.source!r} to {synapse.target!r}, against the "
                    "update order, and is not late"
                )
    named(populations, readout.population)


def _sends_the_past(population: Any) -> bool:
    """Whether what a population sends depends on earlier steps alone."""
    delay_steps = getattr(population, "delay_steps", None)
    return delay_steps is not None and bool((delay_steps >= 1).all())
