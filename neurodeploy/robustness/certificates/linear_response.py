"""Membranes between resets as weighted sums over time, with every rounding bounded.

From the last reset on (step q, 0 for the start), while nothing wraps or is clipped, a membrane is

    v[t] = sum_s weight[q, s] a[s] + rest,   least[q] <= rest <= most[q]

with real weights of at least 0. Each decay ``D(x, k)`` is ``x k / 4096`` and an error below 1, none
for k = 0 and k = 4096; the one floor of a dlif takes less than 64 (one alignment step) off. A
current u is never reset: its part is a sum over all steps.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from neurodeploy.network import ALIGN_BITS, DECAY_BITS, FixedPopulation
from neurodeploy.robustness.certificates.intervals import Integers
from neurodeploy.robustness.certificates.neuron_bounds import gain_at
from neurodeploy.robustness.certificates.trains import Reals

_KEEP_ALL = 1 << DECAY_BITS
_ALIGN = 1 << ALIGN_BITS
_UNIT = 2.0**-52
_LARGEST_PART = 2**29


class Response(NamedTuple):
    """Membranes at one step t of neurons with equal decays, by last reset q = 0 .. t - 1.

    ``weights`` [t, T]: of a[s]. ``least``, ``most`` [t, neurons]: bounds of all else, rounded
    outward.
    """

    weights: Reals
    least: Reals
    most: Reals


def is_linear(p: FixedPopulation) -> bool:
    """Whether ``p`` resets to zero on a spike, in no other way, and v cannot leave 32 bits."""
    plain = p.reset == "zero" and p.refractory_steps == 0 and p.reset_interval == 0
    # Beside these, v adds up numbers of 24 bits. That its sum wraps is counted nowhere.
    largest = max(int(np.abs(x.astype(np.int64)).max()) for x in (p.bias_shifted, p.v_init))
    return plain and largest < _LARGEST_PART


def alike(p: FixedPopulation) -> list[Integers]:
    """Return the neurons of ``p`` in groups of equal decays."""
    decay_u = np.zeros_like(p.decay_v) if p.kind == "dlif" else p.decay_u
    _, group = np.unique(np.stack([decay_u, p.decay_v]), axis=1, return_inverse=True)
    group = np.ravel(group)
    return [np.flatnonzero(group == g) for g in range(int(group.max()) + 1)]


def response(p: FixedPopulation, neurons: Integers, t: int, steps: int) -> Response:
    """Return the membranes at step ``t`` of ``neurons``, alike, in a run of ``steps`` steps."""
    keep = 4096 - int(p.decay_v[neurons[0]])
    left = _powers(keep, t)
    # Row q: what is still there at t of what was added to v at steps 1 .. t; from q + 1 on.
    added = np.where(np.arange(t)[None] >= np.arange(t)[:, None], left[::-1], 0.0)
    total = added.sum(axis=1)[:, None]
    error = total * _truncates(keep)
    start = np.zeros((t, neurons.size))
    start[0] = left[-1] * (keep / _KEEP_ALL) * p.v_init[neurons]
    weights = np.zeros((t, steps))
    if p.kind == "dlif":
        gain = np.array([gain_at(p, s) for s in range(1, t + 1)]) / 2.0**p.gain_shift
        weights[:, :t] = added * gain * _ALIGN
        parts = [start, weights.sum(axis=1)[:, None] * p.bias[neurons]]
        floor = total * _ALIGN * (1 - 2.0**-p.gain_shift)
        return _rounded(weights, parts, error + floor, error)
    keep_u = 4095 - int(p.decay_u[neurons[0]])
    current = _powers(keep_u, t)
    lag = np.arange(t)[:, None] - np.arange(t)[None]
    # flows[q, s]: what is there at t of what was added to u at s.
    flows = added @ np.where(lag >= 0, current[np.maximum(lag, 0)], 0.0)
    weights[:, :t] = flows * _ALIGN
    first = (added @ current)[:, None] * (keep_u / _KEEP_ALL) * p.u_init[neurons]
    parts = [start, first, total * p.bias_shifted[neurons]]
    error = error + flows.sum(axis=1)[:, None] * _truncates(keep_u)
    return _rounded(weights, parts, error, error)


def _rounded(weights: Reals, parts: list[Reals], below: Reals, above: Reals) -> Response:
    """Add the parts and the errors up, and what rounding of floats can make of them."""
    operations = 8 * weights.shape[1] + 64
    size = np.sum([np.abs(part) for part in parts], axis=0) + below + above
    slack = size * (operations * _UNIT)
    middle = np.sum(parts, axis=0)
    return Response(weights, middle - below - slack, middle + above + slack)


def _powers(keep: int, count: int) -> Reals:
    """Return what is left of 1 after 0 .. count - 1 steps."""
    powers: Reals = np.power(keep / _KEEP_ALL, np.arange(count))
    return powers


def _truncates(keep: int) -> int:
    return int(keep not in (0, _KEEP_ALL))
