"""The inner loop of joint bounds: slopes for the lines that bound trains, found by descent."""

from __future__ import annotations

from typing import Any

import numpy as np

from neurodeploy.simulate.compiling import compiled

#: Slopes, as shares of the chord, at which lines are tabulated; and how the descent goes.
SHARES = 7
LARGEST_SHARE = 1.5
_ROUNDS = 7
_FIRST_SHARE = 0.35
_STRIDE = 0.2


@compiled(
    "void(int64[::1], float64[:,::1], int64[::1], float64[:,::1], float64[:,::1],"
    "float64[:,:,::1], float64[:,:,::1], UniTuple(float64[:,::1], 2), float64[:,::1], float64,"
    "float64[::1])"
)
def descend(
    sample: Any, weight: Any, row: Any, chord: Any, offset: Any, above: Any, below: Any,
    matrices: Any, radius: Any, floor: Any, best: Any,
) -> None:  # fmt: skip
    """Write upper bounds of ``sum_j w_j F_j(a_j)`` to ``best`` [P]; see ``joint_drive``.

    Problem p: weights ``weight[row[p]]`` [N] of sample ``sample[p]``. For any shares l_j, with
    slopes c_j = l_j chord_j, ``F_j(a) <= above_j(l_j) + c_j (a - middle_j)`` and ``>= below_j``
    likewise; the inputs a_j are a matrix (``matrices``: it and its transpose) times messages within
    ``radius``, less up to ``floor``.
    ``above`` and ``below`` [B, SHARES, N] are tabulated over l; between entries, lines bound them.
    """
    matrix, transposed = matrices
    n, m = matrix.shape
    share, slope, momentum, size = np.empty(n), np.empty(n), np.empty(n), np.empty(n)
    pull, total, reach = np.empty(n), np.empty(n), np.empty(m)
    spacing = LARGEST_SHARE / (SHARES - 1)
    for p in range(sample.size):
        b, w = sample[p], weight[row[p]]
        share[:] = _FIRST_SHARE
        momentum[:] = 0.0
        size[:] = 0.0
        lowest = np.inf
        for turn in range(_ROUNDS + 1):
            bound = 0.0
            reach[:] = 0.0
            for j in range(n):
                place = min(int(share[j] / spacing), SHARES - 2)
                part = share[j] / spacing - place
                if w[j] > 0.0:
                    left, right = above[b, place, j], above[b, place + 1, j]
                else:
                    left, right = below[b, place, j], below[b, place + 1, j]
                bound += w[j] * (left + part * (right - left))
                c = w[j] * chord[b, j]
                slope[j] = c
                pull[j] = w[j] * (right - left) / spacing + c * offset[b, j]
                g = c * share[j]
                bound += g * offset[b, j]
                if g < 0.0:
                    bound -= g * floor
                    pull[j] -= c * floor
                if g != 0.0:
                    for x in range(m):
                        reach[x] += g * matrix[j, x]
            total[:] = 0.0
            for x in range(m):
                bound += abs(reach[x]) * radius[b, x]
                lead = radius[b, x] if reach[x] > 0.0 else -radius[b, x]
                if lead != 0.0:
                    for j in range(n):
                        total[j] += lead * transposed[x, j]
            lowest = min(lowest, bound)
            if turn == _ROUNDS:
                break
            stride = _STRIDE / (1.0 + 0.35 * turn)
            for j in range(n):
                if slope[j] == 0.0:
                    continue
                gradient = pull[j] + slope[j] * total[j]
                momentum[j] = 0.7 * momentum[j] + 0.3 * gradient
                size[j] = 0.9 * size[j] + 0.1 * gradient * gradient
                step = momentum[j] / (1.0 - 0.7 ** (turn + 1))
                step /= np.sqrt(size[j] / (1.0 - 0.9 ** (turn + 1))) + 1e-300
                share[j] = min(max(share[j] - stride * step, 0.0), LARGEST_SHARE)
        best[p] = lowest


@compiled(
    "void(int64[:,::1], int64[:,::1], int64[::1], float64[:,::1], float64[:,::1], float64[::1],"
    "float64[::1], float64[:,::1], float64[:,:,::1], float64[:,:,::1])"
)
def envelopes(
    first: Any, last: Any, start: Any, lowest: Any, highest: Any, least: Any, most: Any,
    chord: Any, above: Any, below: Any,
) -> None:  # fmt: skip
    """Tabulate how far each neuron's train sums lie above and below lines of each slope.

    Sample b allows neuron j the inputs ``lowest[b, j]`` .. ``highest[b, j]``, which meet the
    stretches ``first[b, j]`` .. ``last[b, j]``; stretch s begins at ``start[s]`` and its sums lie
    within ``least[s]`` .. ``most[s]``. Writes ``chord`` [B, N], ``above``, ``below``
    [B, SHARES, N]; lines turn about the middle of the inputs.
    """
    for b in range(first.shape[0]):
        for j in range(first.shape[1]):
            i, k = first[b, j], last[b, j]
            low, high = lowest[b, j], highest[b, j]
            middle = (low + high) / 2.0
            c = 0.0
            if high > low:
                c = (least[k] + most[k] - least[i] - most[i]) / 2.0 / (high - low)
            chord[b, j] = c
            for g in range(SHARES):
                slope = c * (LARGEST_SHARE / (SHARES - 1)) * g
                top, bottom = -np.inf, np.inf
                for s in range(i, k + 1):
                    begin = max(low, float(start[s]))
                    end = high if s == k else float(start[s + 1] - 1)
                    for a in (begin, end):
                        top = max(top, most[s] - slope * (a - middle))
                        bottom = min(bottom, least[s] - slope * (a - middle))
                above[b, g, j] = top
                below[b, g, j] = bottom
