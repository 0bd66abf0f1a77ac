"""What the profile of Lava's simulator calls legal is what Lava computes, at the registers' ends."""

from dataclasses import replace

import numpy as np
import pytest
from export_lava.test_lava_neurons import N, chain
from oracles.literal_fixed import run_hardware
from oracles.random_nir import write_random_nir

from neurodeploy import hardware_profiles
from neurodeploy.errors import RangeError
from neurodeploy.export.lava import LavaRun, run_lava_batch
from neurodeploy.hardware_profiles import limits_in
from neurodeploy.network import check_legality
from neurodeploy.pipeline.model import load_model, quantized
from neurodeploy.simulate import run_fixed

pytestmark = [pytest.mark.lava, pytest.mark.usefixtures("runtime")]
LAVA = hardware_profiles.load("lava").text


def beyond_chips():
    """Networks legal for Lava's simulator that no chip holds, by what is beyond it."""
    rng = np.random.default_rng(3)
    ends = np.where(np.arange(N) % 2, 32767, -32768)
    large = {"bias_exp": 0, "v_threshold": np.full(N, 600), "decay_v": np.full(N, 900)}
    yield "bias mantissa", chain(rng, bias=ends // 2, **large)
    yield "decay_u", chain(rng, decay_u=np.full(N, -1))
    yield "bias_exp", chain(rng, bias=np.tile([-2, 1, 0, 2], N // 4), bias_exp=8,
                            v_threshold=np.full(N, 40), decay_v=np.full(N, 900))  # fmt: skip
    for what, fields in (
        ("weight_exp", {"weight_exp": 9, "weight": rng.integers(-2, 3, (N, 8)) * 2}),
        ("weight_exp", {"weight_exp": -11}),
        ("weight_exp", {"weight_exp": -31}),
        ("delay", {"delay": 63}),
    ):
        net, codes = chain(rng, steps=80)
        first = replace(net.synapses[0], **fields)
        yield what, (replace(net, synapses=(first, *net.synapses[1:])), codes)


def test_registers_beyond_a_chips_are_legal_and_computed_alike():
    cases = [(what, replace(net, profile=LAVA), codes) for what, (net, codes) in beyond_chips()]
    for what, net, _ in cases:
        assert check_legality(net, limits_in(net.profile)) == ()
        found = check_legality(net)
        assert found
        assert {f.what.split(" is ")[0].split(" (")[0] for f in found} == {what}
        with pytest.raises(RangeError, match=what):
            # The same integers without a profile are held against a chip.
            run_lava_batch([LavaRun(replace(net, profile=""), np.zeros((1, 8), np.int32))])
    runs = [LavaRun(net, codes, timing="lava") for _, net, codes in cases]
    fired = 0
    for (what, net, codes), lava in zip(cases, run_lava_batch(runs), strict=True):
        expected = run_hardware(net, codes)
        fast = run_fixed(net, codes, record=("u", "v", "spikes"), timing="lava")
        for key, values in lava.records.items():
            np.testing.assert_array_equal(values, expected.records[key], err_msg=f"{what} {key}")
            np.testing.assert_array_equal(fast.records[key], values, err_msg=f"{what} {key}")
        fired += sum(values.any() for key, values in lava.records.items() if "spikes" in key)
    assert fired >= len(cases)


def test_models_quantised_for_lava_are_equal_on_lava(tmp_path):
    runs, references = [], []
    for seed in range(900, 906):
        model = load_model(write_random_nir(tmp_path / f"{seed}.nir", seed))
        try:
            net = quantized(model, "lava").require_fixed()
        except RangeError:
            continue
        codes = np.random.default_rng(seed).integers(0, net.encoder.max_code + 1, (2, net.n_input))
        runs.append(LavaRun(net, codes))
        references.append(run_fixed(net, codes, record=("u", "v", "spikes")))
    assert len(runs) >= 3
    for lava, fast in zip(run_lava_batch(runs), references, strict=True):
        for key, values in lava.records.items():
            np.testing.assert_array_equal(values, fast.records[key], err_msg=key)
