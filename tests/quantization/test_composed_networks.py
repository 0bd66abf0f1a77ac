"""Random float networks with relays, delays and chains, composed and then quantised."""

import dataclasses

import numpy as np
import pytest
from oracles.literal_fixed import logical_records, run_aligned, run_hardware
from oracles.random_float_networks import random_network

from neurodeploy import hardware_profiles
from neurodeploy.errors import RangeError, UnsupportedNodeError
from neurodeploy.lowering import compose
from neurodeploy.network import ConstantEncoder, check_legality
from neurodeploy.quantization import (
    describe_synapses,
    quantize,
    register_errors,
    solve_latencies,
    with_extra_steps,
)
from neurodeploy.simulate import run_fixed, run_float

LOIHI2 = hardware_profiles.load("loihi2")


def holdable(network):
    """Change what no integers hold, so that most networks get further than their refusal."""
    populations = []
    for p in network.populations:
        if p.kind in ("relay", "delay"):
            p = dataclasses.replace(p, bias=0 * p.bias)
        elif p.kind != "threshold":
            subtracts = p.reset == "subtract" and p.gain is None
            keeps_gain = p.decay_u is None and p.kind == "lif"
            drifts = p.gain is None and p.decay_u is None
            p = dataclasses.replace(
                p, spikes="single", v_min=None, reset="subtract" if subtracts else "value",
                gain=p.gain if keeps_gain else None, v_leak=p.v_leak if drifts else p.v_reset,
                v_init=p.v_init if subtracts else p.v_reset,
                v_threshold=np.maximum(p.v_threshold, p.v_reset + 0.1),
            )  # fmt: skip
        populations.append(p)
    membranes = {p.name for p in populations if p.kind == "li"}
    synapses = []
    for s in network.synapses:
        if s.source in membranes:
            continue
        operators = tuple(
            dataclasses.replace(o, bias=None) if o.bias is not None else o for o in s.operators
        )
        synapses.append(dataclasses.replace(s, silent_first=False, operators=operators))
    return dataclasses.replace(
        network, populations=tuple(populations), synapses=tuple(synapses),
        steps=network.steps or 5, encoder=ConstantEncoder(0.0, 1.5, 2),
    )  # fmt: skip


def check(seed):
    """Return the share of spikes that differ from float per population, or None if refused."""
    rng = np.random.default_rng(seed)
    drawn = random_network(
        rng, populations=int(rng.integers(2, 7)), readout=str(rng.choice(["count", "sum"]))
    )
    meant = holdable(drawn)
    codes = rng.integers(0, 4, (meant.steps, 2, meant.n_input))
    try:
        network = compose(meant).value
        net = quantize(network, LOIHI2, calibration=codes).value
    except (UnsupportedNodeError, RangeError):
        return None
    assert not check_legality(net)
    describe_synapses(network, net)
    assert all(e["decay"] < 3e-4 for e in register_errors(network, net).values())
    fixed = run_aligned(net, codes)
    traces = run_fixed(net, codes, record=("spikes", "u", "v", "v_pre"), threads=1)
    hardware = logical_records(net, run_hardware(net, codes), meant.steps)
    for key, rows in fixed.records.items():
        np.testing.assert_array_equal(traces.records[key], rows)
        np.testing.assert_array_equal(hardware[key], rows)
    possible = with_extra_steps(network, solve_latencies(network, 62).extra)
    expected = run_float(possible, codes, record=("spikes",)).records
    return [
        float((expected[f"{p.name}/spikes"] != fixed.records[f"{p.name}/spikes"]).mean())
        for p in net.populations
        if p.kind != "readout"
    ]


def check_many(seeds, at_least):
    got_through = [found for seed in seeds if (found := check(seed)) is not None]
    assert len(got_through) >= at_least
    # Thresholds of zero in a cycle make some networks follow every rounding.
    differing = np.concatenate(got_through)
    assert differing.mean() < 0.02
    assert (differing > 0.1).mean() < 0.03


def test_composed_networks_are_exact_on_hardware_and_close_to_float():
    check_many(range(60), 15)


@pytest.mark.slow
def test_many_composed_networks():
    check_many(range(1000, 1500), 150)
