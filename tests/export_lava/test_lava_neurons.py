"""Neurons on Lava beyond the plain LIF: periodic resets, our extensions, start values, restarts."""

from dataclasses import replace

import numpy as np
import pytest
from oracles.literal_fixed import run_hardware
from oracles.random_topologies import PAIRS, random_case

from neurodeploy.export.lava import LavaRun, run_lava_batch
from neurodeploy.export.lava.launch import Limits
from neurodeploy.export.lava.prepared_run import Job
from neurodeploy.network import (
    ConstantEncoder,
    FixedPointNetwork,
    FixedPopulation,
    FixedSynapse,
    Readout,
)

pytestmark = [pytest.mark.lava, pytest.mark.usefixtures("runtime")]
N = 12


def chain(rng, *, steps=25, second=None, **changes):
    """Two layers that fire, recurrent, with biases; ``changes`` go to both of them."""
    fields = {
        "decay_u": rng.integers(500, 4096, N), "decay_v": rng.integers(50, 600, N),
        "bias": rng.integers(-40, 60, N), "bias_exp": 3, "v_threshold": rng.integers(60, 200, N),
        "u_init": np.zeros(N), "v_init": np.zeros(N), "scale": 1.0, **changes,
    }  # fmt: skip
    populations = tuple(
        FixedPopulation(f"layer{k}", (f"layer{k}",), "lif", latency=k, **{**fields, **extra})
        for k, extra in ((1, {}), (2, second or {}))
    )
    synapses = tuple(
        FixedSynapse(f"{a}_{b}", a, b, rng.integers(-30, 50, (N, n)) * 2, 0, "mixed", 8)
        for a, b, n in (("input", "layer1", 8), ("layer1", "layer2", N), ("layer2", "layer1", N))
    )
    net = FixedPointNetwork(
        populations, synapses, 8, ConstantEncoder(), Readout("layer2", "count"), steps
    )
    return net, (rng.random((steps, 3, 8)) < 0.2).astype(np.int32)


def check(cases, **options):
    runs = [LavaRun(net, codes, timing="lava") for net, codes in cases]
    literals = []
    for (net, codes), lava in zip(cases, run_lava_batch(runs, **options), strict=True):
        literal = run_hardware(net, codes)
        for key, values in lava.records.items():
            np.testing.assert_array_equal(values, literal.records[key], err_msg=key)
        literals.append(literal)
    return literals


def test_periodic_resets_of_the_stock_process():
    rng = np.random.default_rng(0)
    cases = [
        chain(rng, bias=np.zeros(N), reset_interval=interval, reset_offset=offset,
              second={"reset_offset": other})
        for interval, offset, other in [(1, 0, 0), (2, 1, 0), (3, 0, 2), (7, 9, 4)]
    ]  # fmt: skip
    # A bias has a start state where no reset falls into the waiting steps.
    cases.append(chain(rng, reset_interval=6, reset_offset=5, second={"reset_offset": 10}))
    without = [
        replace(net, populations=tuple(replace(p, reset_interval=0) for p in net.populations))
        for net, _ in cases
    ]
    for literal, net, (_, codes) in zip(check(cases), without, cases, strict=True):
        plain = run_hardware(net, codes)
        assert (plain.records["layer1/v"] != literal.records["layer1/v"]).any()


@pytest.mark.parametrize("reset", ["zero", "subtract"])
def test_extensions_with_and_without_periodic_resets(reset):
    rng = np.random.default_rng(1)
    cases = []
    for refractory, interval in [(0, 0), (1, 0), (5, 0), (0, 4), (3, 5), (64, 6)]:
        if reset == "zero" and not refractory:
            continue
        cases.append(
            chain(
                rng,
                reset=reset,
                refractory_steps=refractory,
                reset_interval=interval,
                reset_offset=3,
                u_init=rng.integers(-5000, 5000, N),
                v_init=rng.integers(-5000, 5000, N),
            )
        )
    for literal in check(cases):
        assert literal.records["layer1/spikes"].sum() > 20


def test_the_two_ways_to_start_a_sample_are_equal(monkeypatch):
    """Writing all states and building the network anew give the oracle's integers alike."""
    rng = np.random.default_rng(2)
    threes = [PAIRS[i::8][:3] for i in (1, 4, 6)]
    cases = [random_case(rng, pairs=pairs, samples=2, layers=3) for pairs in threes]
    net, codes = chain(rng, reset_interval=7, reset_offset=3)
    cases.append((net, codes[:, :2]))
    assert sum(max(s.delays) > 0 for net, _ in cases for s in net.synapses) >= 2
    write = Job.write
    for how in ("set", "fresh"):

        def forced(self, folder, *, record=True, how=how):
            return {**write(self, folder, record=record), "restart": how}

        monkeypatch.setattr(Job, "write", forced)
        check(cases, workers=2)


def test_which_way_to_start_a_sample(runtime, tmp_path):
    """Small networks are written to, large ones built anew; resets out of step force it."""
    rng = np.random.default_rng(3)
    small, codes = chain(rng, steps=6)
    far = chain(rng, steps=6, reset_interval=101)[0]
    near = chain(rng, steps=6, reset_interval=3, second={"reset_interval": 4})[0]
    size = 40_000
    wide = FixedPopulation(
        "layer1", ("layer1",), "lif", np.full(size, 4095), np.full(size, 9), np.zeros(size), 0,
        np.full(size, 50), np.zeros(size), np.zeros(size), 1, 1.0,
    )  # fmt: skip
    synapse = FixedSynapse("s", "input", "layer1", np.full((size, 8), 20), 0, "mixed")
    large = FixedPointNetwork(
        (wide,), (synapse,), 8, ConstantEncoder(), Readout("layer1", "count"), 6
    )
    from neurodeploy.export.lava.run import _prepare

    jobs = []
    for i, net in enumerate((small, far, near, large)):
        run = _prepare(LavaRun(net, codes[:6], record=("spikes",)), f"run{i}")
        jobs += [job.write(tmp_path) for job in run.jobs_within(float("inf"))]
    (result,) = runtime.run_all([jobs], tmp_path, limits=Limits(300))
    assert [job["restart"] for job in result["jobs"]] == ["set", "fresh", "set", "fresh"]
    # Idle steps that only keep resets in step are no steps of a sample.
    assert [job["hardware_steps"] for job in result["jobs"]] == [24, 24, 24, 21]
    assert np.load(tmp_path / "run3-0" / "0-spikes.npy").shape == (21, size)
