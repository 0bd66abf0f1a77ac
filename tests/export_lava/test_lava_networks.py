"""Runs on Lava as users ask for them: samples, jobs, windows, verification, timing."""

from dataclasses import replace

import numpy as np
import pytest
from oracles.literal_fixed import run_aligned
from oracles.random_networks import random_codes, random_fixed_network

from neurodeploy.errors import InputError
from neurodeploy.export.lava import LavaRun, run_lava, run_lava_batch, time_steps, verify_against
from neurodeploy.simulate import run_fixed

pytestmark = [pytest.mark.lava, pytest.mark.usefixtures("runtime")]


def test_samples_do_not_leak_into_each_other():
    # One network per sample is the slow way that certainly keeps samples apart.
    rng = np.random.default_rng(8)
    net = random_fixed_network(rng, layers=3, steps=12, kind="lif", extreme=False)
    codes = random_codes(rng, net, 4, held=False)
    runs = [LavaRun(net, codes), *(LavaRun(net, codes[:, i : i + 1]) for i in range(4))]
    together, *alone = run_lava_batch(runs)
    for key, values in together.records.items():
        np.testing.assert_array_equal(
            values, np.concatenate([one.records[key] for one in alone], axis=1), err_msg=key
        )
    for key, values in together.counts.items():
        np.testing.assert_array_equal(values, np.concatenate([one.counts[key] for one in alone]))


def test_long_input_is_cut_into_jobs(monkeypatch):
    rng = np.random.default_rng(21)
    net = random_fixed_network(rng, layers=2, steps=6)
    codes = random_codes(rng, net, 5, held=True)
    whole = run_lava(net, codes)
    monkeypatch.setattr(
        "neurodeploy.export.lava.prepared_run._INPUT_BYTES", 2 * 4 * net.n_input * 8
    )
    cut = run_lava(net, codes)
    assert set(cut.records) == set(whole.records)
    for key, values in whole.records.items():
        np.testing.assert_array_equal(values, cut.records[key])


def test_traces_are_like_those_of_the_simulator():
    rng = np.random.default_rng(3)
    net = random_fixed_network(rng, layers=2, readout=True)
    codes = random_codes(rng, net, 3, held=True)
    for timing in ("aligned", "lava"):
        fixed = run_fixed(net, codes, record=("u", "v", "spikes"), timing=timing)
        lava = run_lava(net, codes, timing=timing)
        assert set(lava.records) == set(fixed.records)
        for key, values in fixed.records.items():
            assert lava.records[key].dtype == values.dtype
            np.testing.assert_array_equal(lava.records[key], values)
        assert lava.output.dtype == fixed.output.dtype
        np.testing.assert_array_equal(lava.scores(), fixed.scores())
        for key, values in lava.counts.items():
            np.testing.assert_array_equal(values, fixed.counts[key], err_msg=key)
        same = ("timing", "steps", "readout", "contract", "populations", "input_hash")
        assert {k: lava.meta[k] for k in same} == {k: fixed.meta[k] for k in same}
        assert lava.meta["backend"] == "lava"


@pytest.mark.parametrize("kind", ["count", "last_v", "mean_v", "max_v"])
def test_a_window_is_read_as_the_simulator_does(kind):
    rng = np.random.default_rng(31)
    net = random_fixed_network(rng, layers=2, steps=9, readout=kind != "count", kind="lif")
    net = replace(net, readout=replace(net.readout, kind=kind, window=(3, 7)))
    codes = random_codes(rng, net, 3, held=False)
    fixed, lava = run_fixed(net, codes), run_lava(net, codes, record=())
    assert lava.records == {}
    np.testing.assert_array_equal(lava.scores(), fixed.scores())
    assert lava.meta["populations"] == fixed.meta["populations"]
    if kind == "count":
        spikes = run_aligned(net, codes).records[f"{net.readout.population}/spikes"]
        np.testing.assert_array_equal(lava.scores(), spikes[3:7].sum(axis=0))


def test_verify_against_the_simulator():
    rng = np.random.default_rng(4)
    net = random_fixed_network(rng, layers=3, steps=8)
    codes = random_codes(rng, net, 4, held=True)
    fixed = run_fixed(net, codes, steps=9, record=("u", "v", "spikes"))
    result = verify_against(net, codes, fixed)
    assert result.ok
    assert result.samples == 4
    assert result.compared == sum(values.size for values in fixed.records.values())
    assert result.first is None


def test_verify_finds_one_changed_bias():
    rng = np.random.default_rng(6)
    net = random_fixed_network(rng, layers=2, steps=6, kind="lif", readout=False)
    codes = random_codes(rng, net, 3, held=True)
    first = net.populations[0]
    bias = np.array(first.bias)
    bias[2] += 1
    changed = replace(net, populations=(replace(first, bias=bias), *net.populations[1:]))
    result = verify_against(net, codes, run_fixed(changed, codes, record=("u", "v", "spikes")))
    assert not result.ok
    assert (result.first.population, result.first.quantity) == (first.name, "v")
    assert (result.first.t, result.first.neuron) == (1, 2)
    assert result.first.reference - result.first.lava == 2**first.bias_exp
    assert str(result.first) in result.as_dict()["first"]


def test_verify_refuses_other_input():
    rng = np.random.default_rng(4)
    net = random_fixed_network(rng, layers=1, steps=4)
    codes = random_codes(rng, net, 2, held=True)
    reference = run_fixed(net, codes, record=("v",))
    with pytest.raises(InputError, match="other input"):
        verify_against(net, codes[::-1], reference)
    with pytest.raises(InputError, match="none of u, v, spikes"):
        verify_against(net, codes, run_fixed(net, codes))


def test_steps_can_be_timed_without_recording():
    rng = np.random.default_rng(9)
    net = random_fixed_network(rng, layers=2, steps=5)
    timing = time_steps(net, random_codes(rng, net, 3, held=True), steps=7)
    assert timing.hardware_steps == 3 * (7 + net.max_latency)
    assert 0 < timing.stepping_s < 60
    assert timing.build_s > 0
