"""Neurons whose comparator is stuck: they never fire, or fire whenever they may."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import InputError
from neurodeploy.network import V_THRESHOLD_MAX, FixedPopulation, Population
from neurodeploy.robustness.faults.fault import N, probability, stream

_Indices = NDArray[np.int64]
_Array = TypeVar("_Array", NDArray[np.int32], NDArray[np.float64])


@dataclass(frozen=True, slots=True)
class StuckAtZero:
    """A share of the neurons never fires. The strength is the share.

    In each population the share is rounded to whole neurons, half to even; which they are is a
    random order, of which a larger share takes more. The comparison with the threshold is stuck
    at "no": in fixed point the threshold is one above what v can reach, in float it is infinite.
    Such a threshold fits no chip's register, and ``check_legality`` says so: the network is for
    simulation, on the logical axis.

    Parameters
    ----------
    populations : tuple of str
        Where neurons get stuck; by default in all that fire, a counting read-out included.
    """

    populations: tuple[str, ...] = ()
    name: str = "stuck at 0"
    unit: str = "share of neurons"

    def apply(self, net: N, strength: float, seed: int) -> N:
        """Return the network with silent neurons; see ``NetworkFault.apply``."""
        return _with_stuck(net, self, strength, seed, _silent_fixed, _silent_float)


@dataclass(frozen=True, slots=True)
class StuckAtOne:
    """A share of the neurons fires at every step. The strength is the share.

    Which neurons, and ``populations``: as StuckAtZero. The comparison is stuck at "yes", so the
    neuron resets at every step too, and refractory steps still silence it. In fixed point the
    threshold is below all that v can reach, which no register holds (``check_legality`` says so).
    In float the membrane listens to nobody and is held by its own leak at one and a half
    thresholds, so it sends exactly one spike per step under every rule of reset. Membranes of
    stuck neurons mean nothing.
    """

    populations: tuple[str, ...] = ()
    name: str = "stuck at 1"
    unit: str = "share of neurons"

    def apply(self, net: N, strength: float, seed: int) -> N:
        """Return the network with neurons that always fire; see ``NetworkFault.apply``."""
        return _with_stuck(net, self, strength, seed, _firing_fixed, _firing_float)


def _with_stuck(
    net: N,
    fault: StuckAtZero | StuckAtOne,
    strength: float,
    seed: int,
    fixed: Callable[[FixedPopulation, _Indices], FixedPopulation],
    floating: Callable[[Population, _Indices], Population],
) -> N:
    share = probability(fault.name, strength)
    able = [p.name for p in net.populations if _fires(p)]
    if wrong := sorted(set(fault.populations) - set(able)):
        raise InputError(f"{fault.name}: {wrong} are no populations that fire; there are {able}")
    found: list[FixedPopulation | Population] = []
    for p in net.populations:
        if p.name not in (fault.populations or able):
            found.append(p)
            continue
        order = stream(seed, fault.name, p.name).permutation(p.size)
        stuck = order[: round(share * p.size)]
        found.append(fixed(p, stuck) if isinstance(p, FixedPopulation) else floating(p, stuck))
    return replace(net, populations=tuple(found))  # type: ignore[arg-type]


def _fires(p: FixedPopulation | Population) -> bool:
    return p.kind != "readout" if isinstance(p, FixedPopulation) else p.fires


def _set(values: _Array, at: _Indices, value: float) -> _Array:
    changed = values.copy()
    changed[at] = value
    return changed


def _silent_fixed(p: FixedPopulation, at: _Indices) -> FixedPopulation:
    return replace(p, v_threshold=_set(p.v_threshold, at, V_THRESHOLD_MAX + 1))


def _silent_float(p: Population, at: _Indices) -> Population:
    return replace(p, v_threshold=_set(p.v_threshold, at, np.inf))


def _firing_fixed(p: FixedPopulation, at: _Indices) -> FixedPopulation:
    # v is at least -(2^23 - 1), the threshold becomes -2^23.
    return replace(p, v_threshold=_set(p.v_threshold, at, -V_THRESHOLD_MAX - 1))


def _firing_float(p: Population, at: _Indices) -> Population:
    if p.kind == "threshold":
        return replace(p, v_threshold=_set(p.v_threshold, at, -np.inf))
    # A power of two, so that nothing is rounded, and above the membrane's lower limit.
    unit = 1.0
    while p.v_min is not None and unit / 2 < p.v_min:
        unit *= 2
    # After a spike v is half a unit, before the next one 1.5. Where the spike is paid for a step
    # later, v stays at 1.5: half of the way to 3.5 is what the spike takes.
    late = p.reset == "subtract-late"
    held = {
        "v_threshold": 1.0,
        "v_reset": 0.5,
        "v_init": -0.5 if late else 0.5,
        "v_leak": 3.5 if late else 1.5,
    }
    changed = {name: _set(getattr(p, name), at, unit * v) for name, v in held.items()}
    changed["decay_v"] = _set(p.decay_v, at, 0.5 if late else 1.0)
    changed["input_gain"] = _set(p.input_gain, at, 0.0)
    return replace(p, **changed)
