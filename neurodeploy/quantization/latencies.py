"""When each population does its steps on the chip, and which synapses wait so that paths match.

A synapse costs one hardware step. A population at latency l does its logical step t in hardware
step t + l, so a synapse that is felt ``delay_steps`` logical steps after it was sent waits for
``delay_steps - latency(source) - 1 + latency(target)`` hardware steps more. None can wait for less
than zero steps: ``latency(target) >= latency(source) + 1 - delay_steps``. The latencies are the
longest paths over these constraints. A population with a step of its own between its synapses and
its membrane (a gain on graded messages) adds that to the 1 of each synapse into it. Feedback may be
slower on the chip than in the network (a cycle that no latencies satisfy): it then gets extra
logical steps, by name.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from neurodeploy.errors import RangeError
from neurodeploy.findings import Finding
from neurodeploy.network import ALWAYS_ON, INPUT, Network, Synapse

#: The always-on line needs one step to arrive, so no population can be earlier.
_EARLIEST = 1
_NO_STEPS: Mapping[str, int] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Timeline:
    """Latency of every population, delay and extra logical steps of every synapse, by name."""

    latency: Mapping[str, int]
    delay: Mapping[str, int]
    extra: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class _Constraint:
    """``latency(target) >= latency(source) + weight``."""

    source: str
    target: str
    weight: int


def solve_latencies(
    network: Network, longest_delay: int, drive_steps: Mapping[str, int] = _NO_STEPS
) -> Timeline:
    """Return the smallest latencies, and the delays and extra steps that go with them.

    Parameters
    ----------
    network : Network
        Deployable: every population fires or is read out.
    longest_delay : int
        Hardware steps that a synapse of the chip can wait.
    drive_steps : mapping of population to int
        Hardware steps of its own (``FixedPopulation.drive_steps``); none by default.

    Raises
    ------
    RangeError
        If a synapse must wait for longer.
    """
    order = {p.name: i for i, p in enumerate(network.populations)}
    inner = [s for s in network.synapses if s.source in order]
    backward = [s for s in inner if order[s.source] >= order[s.target]]
    feedback = {s.name for s in backward}

    def felt(s: Synapse, extra: int = 0) -> _Constraint:
        own = 1 + drive_steps.get(s.target, 0)
        return _Constraint(s.source, s.target, own - s.delay_steps - extra)

    constraints = [felt(s) for s in inner if s.name not in feedback]
    # Sources first: one pass then settles all forward paths.
    constraints.sort(key=lambda c: order[c.source])
    extra: dict[str, int] = {}
    for s in backward:
        back = _longest_from(s.target, constraints).get(s.source)
        cycle = None if back is None else back + felt(s).weight
        if cycle is not None and cycle > 0:
            extra[s.name] = cycle
        constraints.append(felt(s, extra.get(s.name, 0)))
    earliest = {name: _EARLIEST + drive_steps.get(name, 0) for name in order}
    latency = _settled(earliest, constraints)
    at = {INPUT: 0, **latency}
    delay = {
        s.name: at[s.target] - at[s.source] - felt(s, extra.get(s.name, 0)).weight
        for s in network.synapses
        if s.source != ALWAYS_ON
    }
    _require_short(network.synapses, delay, longest_delay)
    return Timeline(latency, delay, extra)


def with_extra_steps(network: Network, extra: Mapping[str, int]) -> Network:
    """Return ``network`` with the logical delay of each named synapse raised by its extra steps."""
    if not extra:
        return network
    synapses = tuple(
        dataclasses.replace(s, delay_steps=s.delay_steps + extra.get(s.name, 0))
        for s in network.synapses
    )
    return dataclasses.replace(network, synapses=synapses)


def latency_findings(
    network: Network, timeline: Timeline, *, measured: bool = False
) -> list[Finding]:
    """Name the feedback that is slower on the chip, and the synapses that wait for others.

    ``measured``: what slower feedback changes is measured, on calibration data.
    """
    findings = []
    for s in network.synapses:
        where = f"synapse {s.name}"
        if steps := timeline.extra.get(s.name):
            text = (
                f"feedback from {s.source!r} to {s.target!r} takes {steps} logical steps more on "
                f"the chip than the {s.delay_steps} of the network: every synapse of the cycle "
                "costs one step"
            )
            remedy = f"train with this feedback {s.delay_steps + steps} steps late"
            if not measured:
                remedy += ", or give --calibration data to see what it changes"
            findings.append(Finding("warning", where, text, remedy, {"extra_steps": steps}))
        if steps := timeline.delay.get(s.name):
            text = f"waits {steps} hardware steps, so that it arrives with the longer paths"
            if s.delay_steps:
                text = f"waits {steps} hardware steps for its delay of {s.delay_steps} steps"
            findings.append(Finding("info", where, text, "", {"delay": steps}))
    return findings


def _longest_from(start: str, constraints: Iterable[_Constraint]) -> dict[str, int]:
    """Return the longest path from ``start`` to each population that it leads to."""
    return _settled({start: 0}, constraints)


def _settled(lengths: dict[str, int], constraints: Iterable[_Constraint]) -> dict[str, int]:
    """Raise ``lengths`` until all constraints hold (Bellman and Ford); no cycle is positive."""
    changed = True
    while changed:
        changed = False
        for c in constraints:
            if c.source not in lengths:
                continue
            reached = lengths[c.source] + c.weight
            if reached > lengths.get(c.target, reached - 1):
                lengths[c.target] = reached
                changed = True
    return lengths


def _require_short(synapses: tuple[Synapse, ...], delay: Mapping[str, int], longest: int) -> None:
    late = [s for s in synapses if delay.get(s.name, 0) > longest]
    if late:
        lines = "\n  ".join(
            f"synapse {s.name}: {s.source!r} to {s.target!r} must wait {delay[s.name]} steps "
            f"({s.delay_steps} of them its own delay)"
            for s in late
        )
        raise RangeError(
            f"{len(late)} synapses wait longer than the {longest} steps that the chip holds:\n"
            f"  {lines}\n  put a relay on the way (IF neurons that fire once per spike; each "
            f"holds a further {longest} steps), or use shorter delays"
        )
