"""Another unit of the membrane: the same neuron, integers between two powers of two."""

import dataclasses

import numpy as np
import pytest
from oracles.literal_fixed import run_aligned
from quantization.deployable import random_deployable

from neurodeploy import hardware_profiles
from neurodeploy.errors import InputError, RangeError
from neurodeploy.network import check_legality
from neurodeploy.quantization import QuantizeConfig, quantize, register_errors
from neurodeploy.quantization.membrane_units import FACTORS, best_factor, in_units
from neurodeploy.simulate import run_fixed, run_float

PROFILE = hardware_profiles.load("loihi2")


@pytest.mark.parametrize("seed", range(10))
def test_a_power_of_two_changes_no_spike_and_scales_every_membrane(seed):
    rng = np.random.default_rng(seed)
    network = random_deployable(rng)
    codes = rng.integers(0, network.encoder.max_code + 1, (6, network.n_input)).astype(np.int32)
    populations = tuple(in_units(p, 4.0) for p in network.populations)
    moved = dataclasses.replace(network, populations=populations)
    before, after = (run_float(n, codes, record=("spikes", "v")).records for n in (network, moved))
    for p in network.populations:
        factor = 4.0
        np.testing.assert_array_equal(after[f"{p.name}/v"], factor * before[f"{p.name}/v"])
        if p.fires:
            np.testing.assert_array_equal(after[f"{p.name}/spikes"], before[f"{p.name}/spikes"])


def test_the_best_factor():
    assert best_factor(lambda factor: abs(factor - 1.3)) == min(FACTORS, key=lambda f: abs(f - 1.3))
    assert best_factor(lambda factor: 1.0) == 1.0

    def fits_late(factor):
        if factor < 1.5:
            raise RangeError(f"no {factor}")
        return factor

    assert best_factor(fits_late) == 1.5

    def never(factor):
        raise RangeError(f"no {factor}")

    with pytest.raises(RangeError, match="no 1.0"):
        best_factor(never)


#: What is searched, by rounding and bias; the first is what it is compared with.
CONFIGS = (
    QuantizeConfig(weight_bits=4),
    *(
        QuantizeConfig(weight_bits=4, scale="search", rounding=rounding, bias=bias)
        for rounding, bias in (
            ("nearest", "own"), ("nearest", "corrected"), ("adaptive", "corrected"),
        )
    ),
)  # fmt: skip


def test_searched_networks_are_legal_exact_and_closer():
    """Random networks of every kind; the integers run as the literal rules say."""
    agreed = {config: [] for config in CONFIGS}
    scales = {config: set() for config in CONFIGS}
    for seed in range(14):
        rng = np.random.default_rng(100 + seed)
        network = random_deployable(rng)
        codes = rng.integers(0, network.encoder.max_code + 1, (24, network.n_input))
        before = run_float(network, codes, record=("spikes",)).records
        for config, found in agreed.items():
            try:
                net = quantize(network, PROFILE, config, calibration=codes).value
            except RangeError:
                continue
            assert not check_legality(net)
            traces = run_fixed(net, codes[:4], record=("spikes", "v"), threads=1)
            for key, values in run_aligned(net, codes[:4]).records.items():
                if key in traces.records:
                    np.testing.assert_array_equal(traces.records[key], values)
            after = run_fixed(net, codes, record=("spikes",), threads=1).records
            found += [float((before[k] == after[k]).mean()) for k in after if k in before]
            if config.scale == "search":
                scales[config] |= {np.log2(p.scale) % 1 for p in net.populations}
                # What registers hold is read back in the membrane's own units.
                errors = register_errors(network, net)
                assert all(e["v_threshold"] < 0.05 for e in errors.values())
    for config in CONFIGS[1:]:
        assert len(scales[config]) > 5
        assert np.mean(agreed[config]) > np.mean(agreed[CONFIGS[0]])


def test_the_same_integers_every_time_and_refusals():
    rng = np.random.default_rng(5)
    network = random_deployable(rng)
    codes = rng.integers(0, 256, (40, network.n_input))
    config = QuantizeConfig(weight_bits=4, scale="search", rounding="adaptive", bias="corrected")
    first, second = (quantize(network, PROFILE, config, calibration=codes).value for _ in range(2))
    for a, b in zip(first.synapses, second.synapses, strict=True):
        np.testing.assert_array_equal(a.weight, b.weight)
    with pytest.raises(InputError, match="calibration"):
        quantize(network, PROFILE, config)
    with pytest.raises(InputError, match="calibration"):
        quantize(network, PROFILE, QuantizeConfig(bias="corrected"))
    with pytest.raises(InputError, match="search"):
        QuantizeConfig(scale="fine")
    with pytest.raises(InputError, match="adaptive"):
        QuantizeConfig(rounding="best")
    # Without calibration the search still has weights and thresholds to go by.
    assert quantize(network, PROFILE, QuantizeConfig(weight_bits=4, scale="search")).value
