"""One compiled membrane for all float rules: a block of steps of many samples, no gradients.

The arithmetic is that of ``float_neurons``, operation by operation, so both give the same bits
(the compiler may not fuse products into sums). Each loop touches few arrays, so that it becomes
vector instructions; a row of a sample stays in the first cache level.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from neurodeploy.simulate.compiling import compiled

#: Neurons per inner loop: state, parameters and scratch of so many fit the first cache level.
_BLOCK = 256
#: Rows of ``numbers`` and of ``state``.
DECAY_V, V_LEAK, INPUT_GAIN, BIAS, V_THRESHOLD, V_RESET, DECAY_U = range(7)
V, U, SPIKES_BEFORE = range(3)
RESETS = {"value": 0, "subtract": 1, "subtract-late": 2, "subtract-once": 3}
_SUBTRACT_LATE, _SUBTRACT_ONCE = RESETS["subtract-late"], RESETS["subtract-once"]


def _signature(f: str) -> str:
    block = f"{f}[:,:,::1]"
    return (
        f"void({block}, int64, {f}[:,::1], {f}[:,::1], {f}[::1], UniTuple(int64, 4), "
        f"{block}, {block}, {f}[:,::1], UniTuple({f}[:,:,:], 3))"
    )


@compiled(_signature("float64"), _signature("float32"))
def step_membranes(
    x: Any, first_step: Any, numbers: Any, gains: Any, v_min: Any, rule: Any,
    state: Any, sent: Any, events: Any, traces: Any,
) -> None:  # fmt: skip
    """Step ``lif`` or ``li`` neurons through a block; the rule is Population's.

    Parameters
    ----------
    x : float [T or 1, B, N]
        Synaptic input without bias; one row where it is the same at every step.
    first_step : int
        Number of the block's first step, for the gain.
    numbers : float [7, N]
        Parameters, in the order named above.
    gains : float [G, N]
        Factor on x at each step (the last one holds): ``g * w_in`` with a current, else
        ``g * input_gain``.
    v_min : float [1] or [0]
    rule : (has a current, fires: 0 no, 1 single, 2 multiple spikes, reset, T)
    state : float [3, B, N]
        v, u, and the spikes of the step before. Changed in place.
    sent : float [T, B, N]
        Receives spikes, or v if it does not fire.
    events : float [B, N]
        Added to: steps in which the neuron spiked.
    traces : (u, v, v_pre), float [T, B, N], or of size 0
        Receive what they are named after.
    """
    has_current, fires, reset, steps = rule
    trace_u, trace_v, trace_pre = traces
    zero, one = numbers.dtype.type(0), numbers.dtype.type(1)
    scratch = np.empty((3, _BLOCK), numbers.dtype)
    for b in range(sent.shape[1]):
        for low in range(0, sent.shape[2], _BLOCK):
            high = min(low + _BLOCK, sent.shape[2])
            size = high - low
            decay_v, leak = numbers[DECAY_V, low:high], numbers[V_LEAK, low:high]
            gain_u, bias = numbers[INPUT_GAIN, low:high], numbers[BIAS, low:high]
            threshold, v_reset = numbers[V_THRESHOLD, low:high], numbers[V_RESET, low:high]
            decay_u = numbers[DECAY_U, low:high]
            v, u, before = state[V, b, low:high], state[U, b, low:high], state[2, b, low:high]
            fired = events[b, low:high]
            y, lowered, n = scratch[0, :size], scratch[1, :size], scratch[2, :size]
            for t in range(steps):
                xs = x[t if x.shape[0] > 1 else 0, b, low:high]
                gain = gains[min(first_step + t, gains.shape[0] - 1), low:high]
                for i in range(size):
                    y[i] = v[i] + decay_v[i] * (leak[i] - v[i])
                if has_current:
                    for i in range(size):
                        u[i] = u[i] + decay_u[i] * (gain[i] * (xs[i] + bias[i]) - u[i])
                    for i in range(size):
                        y[i] = y[i] + gain_u[i] * u[i]
                    if trace_u.size:
                        trace_u[t, b, low:high] = u
                else:
                    for i in range(size):
                        y[i] = y[i] + gain[i] * (xs[i] + bias[i])
                out = sent[t, b, low:high]
                if fires == 0:
                    if trace_pre.size:
                        trace_pre[t, b, low:high] = y
                    for i in range(size):
                        v[i] = y[i]
                    if v_min.size:
                        for i in range(size):
                            v[i] = v_min[0] if v[i] < v_min[0] else v[i]
                    for i in range(size):
                        out[i] = v[i]
                    if trace_v.size:
                        trace_v[t, b, low:high] = v
                    continue
                # What is compared with the threshold: y, or y lowered by one threshold.
                compared = y
                if reset == _SUBTRACT_LATE:
                    for i in range(size):
                        y[i] = y[i] - before[i] * threshold[i] if before[i] > zero else y[i]
                elif reset == _SUBTRACT_ONCE:
                    for i in range(size):
                        lowered[i] = y[i] - threshold[i] if v[i] > threshold[i] else y[i]
                    compared = lowered
                if fires == 1:
                    for i in range(size):
                        n[i] = one if compared[i] > threshold[i] else zero
                else:
                    for i in range(size):
                        level = np.floor(compared[i] / threshold[i])
                        n[i] = level if level > zero else zero
                if reset == 0:
                    for i in range(size):
                        v[i] = v_reset[i] if n[i] > zero else y[i]
                elif reset == _SUBTRACT_LATE:
                    for i in range(size):
                        v[i] = y[i]
                    for i in range(size):
                        before[i] = n[i]
                else:
                    for i in range(size):
                        v[i] = y[i] - n[i] * threshold[i] if n[i] > zero else y[i]
                if v_min.size:
                    for i in range(size):
                        v[i] = v_min[0] if v[i] < v_min[0] else v[i]
                for i in range(size):
                    out[i] = n[i]
                for i in range(size):
                    fired[i] += one if n[i] > zero else zero
                if trace_v.size:
                    trace_v[t, b, low:high] = v
                if trace_pre.size:
                    trace_pre[t, b, low:high] = compared
