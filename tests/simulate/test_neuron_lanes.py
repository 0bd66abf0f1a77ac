"""Decays in vector instructions: every factor, and states at which rounding could show."""

import os
import subprocess
import sys

import numpy as np
import pytest

from neurodeploy.network import V_MAX
from neurodeploy.simulate import population_kernels

KEPT = "import test_neuron_lanes as t; t.test_decays_are_exact()"


def decayed(x, keep):
    """Return ``D(x, keep)`` in int64."""
    return np.sign(x) * ((np.abs(x) * keep) >> 12)


def states(rng, keep):
    """Return states around products that are whole multiples of 4096, the ends, and others."""
    size = keep.size
    whole = rng.integers(1, 2**11, size) * 4096 // np.gcd(keep, 4096).clip(1)
    x = np.stack(
        [
            *(whole + d for d in (-1, 0, 1)),
            *(np.full(size, V_MAX - d) for d in (0, 1, 2)),
            *rng.integers(0, V_MAX + 1, (6, size)),
            *rng.integers(0, 2**13, (2, size)),
        ]
    )
    return np.concatenate([x, -x]).clip(-V_MAX, V_MAX)


def test_decays_are_exact():
    """All 4097 factors of v, and all 4096 of u, with and without traces."""
    rng = np.random.default_rng(3)
    keep_v = np.arange(4112).clip(0, 4096)
    keep_u = rng.permutation(keep_v.clip(0, 4095))
    u, v = states(rng, keep_u), states(rng, keep_v)
    u[0] = 2**23  # a legal value, unlike its negative
    batch, size = u.shape
    for traced in (False, True):
        found_u, found_v = u.astype(np.int32), v.astype(np.int32)
        traces = [np.zeros((1 if traced else 0, batch, size), np.int32) for _ in range(3)]
        counters = np.zeros((batch, 2), np.int64), np.zeros((batch, size), np.int64)
        parameters = (keep_u, keep_v, np.zeros(size), np.full(size, V_MAX))
        population_kernels.step_lif(
            np.zeros((batch, 1, size), np.int32), (found_u, found_v),
            tuple(p.astype(np.int32) for p in parameters), True, np.zeros(1, np.uint8),
            np.zeros((batch, 1, -(-size // 64) * 64), np.uint8), 0, counters, tuple(traces),
        )  # fmt: skip
        kept = decayed(u, keep_u)
        full = decayed(v, keep_v) + kept
        np.testing.assert_array_equal(found_u, kept)
        np.testing.assert_array_equal(found_v, full.clip(-V_MAX, V_MAX))
        np.testing.assert_array_equal(counters[0][:, 1], (np.abs(full) > V_MAX).sum(axis=1))
        assert not counters[0][:, 0].any()


@pytest.mark.slow
def test_decays_are_exact_on_processors_without_wide_vectors():
    """Compiled for a plain processor, where no product is rounded by its own rule."""
    environment = {**os.environ, "NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}
    paths = (os.path.dirname(__file__), *sys.path)
    environment["PYTHONPATH"] = os.pathsep.join(p for p in paths if p)
    done = subprocess.run(
        [sys.executable, "-c", KEPT], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
