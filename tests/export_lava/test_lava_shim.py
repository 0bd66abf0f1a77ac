"""The official runtime (Python 3.10) and the shimmed one (3.11, 3.12) compute the same integers."""

import numpy as np
import pytest
from oracles.random_networks import random_codes, random_fixed_network

from neurodeploy.errors import MissingComponentError
from neurodeploy.export.lava import LavaRun, run_lava_batch
from neurodeploy.export.lava import runtime as lava_runtime


@pytest.fixture(scope="module", params=["present", pytest.param("install", marks=pytest.mark.slow)])
def both(request, runtime):
    """Both runtimes; the slow form installs the one that is missing."""
    if request.param == "install":
        try:
            for mode in ("official", "shim"):
                lava_runtime.install(mode)
        except MissingComponentError as error:
            pytest.skip(f"only the {runtime.mode} runtime can be had here: {error}")
    found = {mode: lava_runtime.find(mode) for mode in ("official", "shim")}
    missing = [mode for mode, one in found.items() if one is None]
    if missing:
        pytest.skip(
            f"the {missing[0]} runtime is absent; the slow form of this test installs it, as does "
            f"neurodeploy.export.lava.runtime.install({missing[0]!r})"
        )
    return found


@pytest.mark.lava
def test_same_integers(both):
    assert both["official"].versions["python"].startswith("3.10.")
    assert both["shim"].versions["python"].startswith(("3.11.", "3.12."))
    same = ("lava-nc", "numpy", "h5py", "scipy", "networkx")
    for package in same:
        assert both["official"].versions[package] == both["shim"].versions[package]
    rng = np.random.default_rng(17)
    nets = [random_fixed_network(rng, kind=kind, layers=3) for kind in ("lif", "dlif", None)]
    runs = [LavaRun(net, random_codes(rng, net, 2), timing="lava") for net in nets]
    traces = {mode: run_lava_batch(runs, mode=mode) for mode in both}
    compared = 0
    for official, shim in zip(traces["official"], traces["shim"], strict=True):
        assert (official.meta["lava_mode"], shim.meta["lava_mode"]) == ("official", "shim")
        assert set(official.records) == set(shim.records)
        for key, values in official.records.items():
            np.testing.assert_array_equal(values, shim.records[key], err_msg=key)
            compared += values.size
    assert compared > 10_000
    spikes = sum(int(v.sum()) for t in traces["official"] for v in t.counts.values())
    assert spikes > 100


@pytest.mark.lava
def test_both_know_the_golden_vectors(both):
    for mode in both:
        status = lava_runtime.status(mode=mode)
        assert status.ok, status.detail
        assert status.mode == mode
