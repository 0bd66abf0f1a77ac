"""One layer under held codes whose box can be enumerated: true extremes of what it sends together."""

from __future__ import annotations

import numpy as np
from oracles.enumerate_inputs import all_points
from oracles.literal_fixed import run_aligned
from oracles.random_synapses import random_weights

from neurodeploy.network import (
    ConstantEncoder,
    FixedPointNetwork,
    FixedPopulation,
    FixedSynapse,
    Readout,
)
from neurodeploy.robustness.certificates import refined_run
from neurodeploy.robustness.certificates.drive_table import drive_table
from neurodeploy.robustness.certificates.inputs import ball
from neurodeploy.robustness.certificates.synapse_bounds import slots_into

NEURONS, STEPS = 24, 6


def layer(rng) -> FixedPointNetwork:
    """Draw a population that fires at various rates, with the always-on line now and then."""
    n_input, exponent = int(rng.integers(2, 5)), int(rng.integers(-4, 2))
    dlif = bool(rng.random() < 0.5)
    scale = 128 * 60 * n_input**0.5 * 2.0**exponent
    ends = {"target": "n", "weight_exp": exponent, "sign_mode": "mixed"}
    synapses = [
        FixedSynapse(
            "in", "input", weight=random_weights(rng, (NEURONS, n_input), "mixed", 8),
            message_bits=8, **ends,
        )
    ]  # fmt: skip
    if rng.random() < 0.3:
        synapses.append(
            FixedSynapse(
                "on", "always_on", weight=random_weights(rng, (NEURONS, 1), "mixed", 8), **ends
            )
        )
    neurons = FixedPopulation(
        name="n", nir_nodes=("n",), kind="dlif" if dlif else "lif",
        decay_u=np.full(NEURONS, 4095 if rng.random() < 0.5 else 2000),
        decay_v=np.full(NEURONS, int(rng.choice([0, 41, 1000]))),
        bias=rng.integers(0, 1 + int(scale), NEURONS) if dlif else np.zeros(NEURONS), bias_exp=0,
        v_threshold=np.rint(scale * rng.uniform(0.3, 2.0, NEURONS)).astype(int),
        u_init=0, v_init=0, latency=1, scale=1.0,
        gain=rng.integers(100, 160, STEPS) if dlif else None, gain_shift=7 if dlif else 0,
    )  # fmt: skip
    return FixedPointNetwork(
        (neurons,), tuple(synapses), n_input=n_input, encoder=ConstantEncoder(),
        readout=Readout("n", "count"), steps=STEPS,
    )  # fmt: skip


def joint_bounds(seed: int) -> tuple[bool, float]:
    """Return whether some true sum leaves its joint bounds, and by what share those are narrower."""
    rng = np.random.default_rng([11, seed])
    net = layer(rng)
    centre = rng.integers(0, 256, (3, net.n_input)).astype(np.int32)
    box = ball(net, centre, int(rng.integers(1, 4)))
    p, slots = net.populations[0], slots_into(net, "n")
    a, left = refined_run.synaptic_input(p, slots, box, {})
    table = drive_table(p, a[0], STEPS)
    listed = table.trains(a[0])
    drive = refined_run.joint_drive(listed, table.start, a[0], slots, box, left[0])
    weights = rng.random(STEPS) if rng.random() < 0.7 else rng.normal(size=STEPS)
    rows = rng.normal(size=(6, NEURONS)) * (rng.random((6, NEURONS)) < 0.7)
    rise, fall = drive.gains(weights, rows, np.ones((3, 6), bool))
    least, most = (x[0] for x in listed.sums(weights[None]))
    up, down = np.maximum(rows, 0).T, np.minimum(rows, 0).T
    low, high = least @ up + most @ down, most @ up + least @ down
    wrong = False
    for b in range(3):
        points = all_points(box.codes.lo[b], box.codes.hi[b])
        spikes = run_aligned(net, points).records["n/spikes"]
        sums = np.tensordot(weights, spikes.astype(float), 1) @ rows.T
        wrong |= bool((sums.max(axis=0) > (high - fall)[b] + 1e-9).any())
        wrong |= bool((sums.min(axis=0) < (low + rise)[b] - 1e-9).any())
    return wrong, float((rise + fall).sum() / max((high - low).sum(), 1e-9))
