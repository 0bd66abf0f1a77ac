"""Overflow modes: wrap as Lava, saturate, raise."""

import re

import numpy as np
import pytest
from oracles.random_networks import random_codes, random_fixed_network

from neurodeploy.errors import InputError, RangeError
from neurodeploy.network import (
    INPUT,
    V_MAX,
    ConstantEncoder,
    FixedPointNetwork,
    FixedPopulation,
    FixedSynapse,
    Readout,
)
from neurodeploy.simulate import run_fixed


def drive_network(weight, exponent=0, decay_u=0, decay_v=200, v_threshold=2**17, steps=6):
    weight = np.asarray(weight)
    population = FixedPopulation(
        name="n", nir_nodes=("n",), kind="lif", decay_u=decay_u,
        decay_v=np.full(weight.shape[0], decay_v), bias=0, bias_exp=0, v_threshold=v_threshold,
        u_init=0, v_init=0, latency=1, scale=1.0,
    )  # fmt: skip
    return FixedPointNetwork(
        populations=(population,),
        synapses=(FixedSynapse("s", INPUT, "n", weight, exponent, "mixed", message_bits=16),),
        n_input=weight.shape[1],
        encoder=ConstantEncoder(bits=16),
        readout=Readout("n", "last_v"),
        steps=steps,
    )


def literal_saturating_run(weight, exponent, decay_u, decay_v, code, steps):
    """One neuron in Python integers; u and v clip at 24 bits, sums at 32."""

    def clip(x, high):
        return max(-high, min(high, x))

    def decay(x, k):
        return (abs(x) * k >> 12) * (1 if x >= 0 else -1)

    u = v = clipped_u = clipped_v = 0
    rows = []
    for _ in range(steps):
        total = weight * code
        a = max(-(2**31), min(2**31 - 1, total << exponent if exponent > 0 else total >> -exponent))
        full_u = decay(u, 4095 - decay_u) + a * 64
        u = clip(full_u, V_MAX)
        clipped_u += u != full_u
        full_v = decay(v, 4096 - decay_v) + u
        v = clip(full_v, V_MAX)
        clipped_v += v != full_v
        rows.append((u, v))
    return rows, clipped_u, clipped_v


@pytest.mark.parametrize("weight", [254, -256, 2])
@pytest.mark.parametrize("exponent", [-8, 0, 7])
@pytest.mark.parametrize("decay_u", [0, 2000, 4095])
def test_saturating_clips_u_where_lava_would_wrap_it(weight, exponent, decay_u):
    net = drive_network([[weight]], exponent, decay_u)
    for code in (0, 1, 800, 65535):
        traces = run_fixed(net, np.array([[code]]), record=("u", "v"), overflow="saturate")
        rows, clipped_u, clipped_v = literal_saturating_run(weight, exponent, decay_u, 200, code, 6)
        assert traces.records["n/u"][:, 0, 0].tolist() == [u for u, _ in rows]
        assert traces.records["n/v"][:, 0, 0].tolist() == [v for _, v in rows]
        assert traces.counts["n/wraps"].tolist() == [clipped_u]
        assert traces.counts["n/clamps"].tolist() == [clipped_v]


def test_saturating_and_wrapping_differ_only_where_something_overflows():
    for seed in range(10):
        rng = np.random.default_rng(seed)
        net = random_fixed_network(rng, extreme=False)
        codes = random_codes(rng, net, 3)
        wrapped = run_fixed(net, codes, record=("u", "v", "spikes"))
        saturated = run_fixed(net, codes, record=("u", "v", "spikes"), overflow="saturate")
        overflows = sum(v for k, v in wrapped.counts.items() if k.endswith("/wraps"))
        for sample in np.flatnonzero(overflows == 0):
            for key, values in wrapped.records.items():
                np.testing.assert_array_equal(
                    saturated.records[key][:, sample], values[:, sample], err_msg=key
                )


def test_raise_names_the_population_and_the_counts():
    net = drive_network([[254]], exponent=0, decay_u=4095, decay_v=4096)
    quiet = run_fixed(net, np.array([[100]]), overflow="raise")
    assert quiet.counts["n/wraps"].tolist() == [0]
    counted = run_fixed(net, np.array([[800]])).counts
    expected = f"population n: {counted['n/wraps'][0]} wraps, {counted['n/clamps'][0]} clamps"
    assert counted["n/wraps"][0] == 6
    with pytest.raises(RangeError, match=re.escape(expected)):
        run_fixed(net, np.array([[800]]), overflow="raise")


def test_raise_also_refuses_a_clipped_membrane():
    net = drive_network([[254]], decay_u=4095, decay_v=0, steps=50)
    counts = run_fixed(net, np.array([[400]])).counts
    assert counts["n/wraps"].tolist() == [0]
    assert counts["n/clamps"][0] > 0
    with pytest.raises(RangeError, match="0 wraps"):
        run_fixed(net, np.array([[400]]), overflow="raise")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"overflow": "ignore"}, "overflow: 'ignore'"),
        ({"timing": "hardware"}, "timing: 'hardware'"),
        ({"threads": 0}, "threads: 0"),
        ({"record": ("spike",)}, "spike"),
    ],
)
def test_unknown_options_are_refused(options, message):
    net = drive_network([[2]])
    with pytest.raises(InputError, match=message):
        run_fixed(net, np.array([[1]]), **options)
