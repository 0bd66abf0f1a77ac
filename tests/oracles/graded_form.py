"""Writes the gains of a fixed-point network on graded messages, without changing what it means."""

from dataclasses import replace

import numpy as np
from oracles.literal_synapses import shifted_sum

from neurodeploy.network import ALWAYS_ON, INPUT, ConvLayout, has_start_v
from neurodeploy.network.graded_gain import DRIVE_LIMIT, largest_drive


def as_graded(net, *, legal=True):
    """Return ``net`` with every gain graded, all logical delays as before; None where it cannot be.

    Latencies double, and synapses wait for what that is too much. ``legal``: None too where a sum
    may leave the width that the form has.
    """
    gained = {p.name for p in net.populations if p.kind == "dlif"}
    late = {INPUT: 0, **{p.name: 2 * max(p.latency, 1) for p in net.populations}}
    bias = {p.name: np.array(p.bias, np.int64) for p in net.populations}
    synapses = []
    for s in net.synapses:
        if s.source == ALWAYS_ON:
            if s.target not in gained:
                synapses.append(s)
                continue
            # A line has one event per step: its shifted weight is a bias of the sum.
            column = s.weight.reshape(-1, 1) if s.layout is None else None
            if (
                column is None
                or np.abs(column[:, 0]).max(initial=0) << max(s.weight_exp, 0) > 2**22
            ):
                return None
            bias[s.target] += shifted_sum(column.T.astype(np.int64), s.weight_exp)[0][0]
            continue
        wait = net.logical_delay(s) - late[s.source] - 1 - (s.target in gained) + late[s.target]
        conv_waits = isinstance(s.layout, ConvLayout) and wait.any()
        if wait.min(initial=0) < 0 or wait.max(initial=0) > 62 or conv_waits:
            return None
        synapses.append(replace(s, delay=wait if wait.ndim else int(wait)))
    populations = []
    for p in net.populations:
        # Periodic resets are counted in hardware steps.
        moved = p.reset_offset + late[p.name] - p.latency if p.reset_interval else 0
        fields = {"latency": late[p.name], "reset_offset": moved}
        if p.name in gained:
            fields |= {"gain_form": "graded", "bias": bias[p.name]}
        populations.append(replace(p, **fields))
    graded = replace(net, populations=tuple(populations), synapses=tuple(synapses))
    if not all(has_start_v(p) for p in graded.populations):
        return None
    drives = [largest_drive(graded, p) for p in graded.populations if p.is_graded]
    return None if legal and max(drives, default=0) >= DRIVE_LIMIT else graded
