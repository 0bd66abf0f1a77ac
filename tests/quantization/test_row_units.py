"""A membrane unit for every neuron: the same neurons, rows that fill their mantissas."""

import dataclasses

import numpy as np
import pytest
from oracles.literal_fixed import run_aligned
from quantization.deployable import random_deployable

from neurodeploy import hardware_profiles
from neurodeploy.errors import InputError, RangeError
from neurodeploy.network import (
    ConstantEncoder,
    FixedPopulation,
    Network,
    Population,
    Readout,
    Synapse,
    Traces,
    check_legality,
    compare_traces,
)
from neurodeploy.network.network_file import integers_hash, load_network, network_hash
from neurodeploy.quantization import (
    QuantizeConfig,
    describe_populations,
    describe_synapses,
    quantize,
    register_errors,
)
from neurodeploy.quantization.diagnosis import diagnose
from neurodeploy.simulate import run_fixed, run_float

LOIHI2 = hardware_profiles.load("loihi2")
NEURON = {"granularity": "neuron", "scale": "search"}
CODES = np.random.default_rng(0).integers(0, 256, (40, 9)).astype(np.int32)


def network(weight, threshold=1.0, kind="count", high=1.0):
    zeros = np.zeros(len(weight))
    layer = Population(
        "a", ("a",), "lif", zeros + 0.5, zeros + 1, zeros, zeros + threshold, zeros, zeros, zeros
    )
    return Network(
        (layer,), (Synapse.dense("s", "input", "a", weight),), np.shape(weight)[1],
        ConstantEncoder(0.0, high, 8), Readout("a", kind), 6,
    )  # fmt: skip


def made(net, bits=4, profile=LOIHI2, **config):
    return quantize(net, profile, QuantizeConfig(bits, **config), calibration=CODES)


def agreement(net, fixed, codes=CODES):
    before = run_float(net, codes, record=("spikes",)).records
    after = run_fixed(fixed, codes, record=("spikes",), threads=1).records
    return np.mean([(before[key] == after[key]).mean() for key in after if key in before])


def test_rows_of_one_shape_and_many_sizes_are_stored_exactly():
    shape = np.array([7, -7, 5, -3, 1, 0, 2, -6, 4]) / 8
    sizes = 2.0 ** np.array([0, -1, -2, -5])
    net = network(shape * sizes[:, None], 256 * sizes, high=255.0)
    fixed = made(net, granularity="neuron").value
    (row,) = describe_synapses(net, fixed)
    assert row["error_max"] == 0
    assert describe_synapses(net, made(net).value)[0]["error_max"] > 0.03
    (p,) = fixed.populations
    np.testing.assert_array_equal(p.scales * sizes, p.scales[0])
    np.testing.assert_array_equal(p.v_threshold, p.v_threshold[0])
    assert agreement(net, fixed) > agreement(net, made(net).value)


def test_an_outlier_harms_its_own_row_alone():
    weight = np.random.default_rng(0).normal(0, 0.5, (12, 9))
    weight[0, 0] = 1e4
    net = network(weight)
    whole, own = made(net, 8).value, made(net, 8, **NEURON).value
    for fixed, live in ((whole, 1), (own, 12)):
        assert (fixed.synapses[0].weight != 0).any(axis=1).sum() == live
    assert agreement(net, own) > 0.99 > 0.9 > agreement(net, whole)


def test_random_networks_are_legal_exact_and_closer(tmp_path):
    agreed, several = {"population": [], "neuron": []}, 0
    for seed in (1, 3):
        rng = np.random.default_rng(seed)
        net = random_deployable(rng, layers=3)
        codes = rng.integers(0, 256, (16, net.n_input)).astype(np.int32)
        for granularity, found in agreed.items():
            config = QuantizeConfig(4, scale="search", granularity=granularity)
            fixed = quantize(net, LOIHI2, config, calibration=codes).value
            found.append(agreement(net, fixed, codes))
        assert not check_legality(fixed)
        traces = run_fixed(fixed, codes[:3], record=("spikes", "v"), threads=1)
        for key, values in run_aligned(fixed, codes[:3]).records.items():
            if key in traces.records:
                np.testing.assert_array_equal(traces.records[key], values)
        # What is read by its membrane has one unit, and so has every channel of a convolution.
        assert isinstance(fixed.population("read").scale, float)
        several += sum(not isinstance(p.scale, float) for p in fixed.populations)
        for p in fixed.populations:
            for s in fixed.synapses_into(p.name):
                if s.kind == "conv":
                    assert np.ptp(p.scales.reshape(s.layout.output_shape[0], -1), axis=1).max() == 0
        assert all(e["v_threshold"] < 0.05 for e in register_errors(net, fixed).values())
        diagnose(net, fixed, codes)
        _reads_back(net, fixed, codes, tmp_path)
    assert several >= 3
    assert np.mean(agreed["neuron"]) > np.mean(agreed["population"])


def _reads_back(net, fixed, codes, folder):
    """A file keeps every scale; traces tell membranes from it."""
    fixed.save(folder / "net.h5")
    again = load_network(folder / "net.h5")
    assert network_hash(again) == network_hash(fixed)
    for a, b in zip(again.populations, fixed.populations, strict=True):
        np.testing.assert_array_equal(a.scales, b.scales)
    before = run_float(net, codes[:3], record=("v",))
    run_fixed(fixed, codes[:3], record=("v",), threads=1).save(folder / "run.npz")
    after = Traces.load(folder / "run.npz")
    for p, row in zip(fixed.populations, describe_populations(fixed), strict=True):
        key = f"{p.name}/v"
        membrane = after.records[key] / p.scales + p.origin
        apart = np.abs(membrane - before.records[key])
        (told,) = (r for r in compare_traces(before, after, scaled=True).records
                   if r.population == p.name)  # fmt: skip
        assert told.mismatches == (apart != 0).sum()
        if not isinstance(p.scale, float):
            assert row["scale"] == [p.scales.min(), p.scales.max()]


def test_who_keeps_one_unit_and_why():
    weight = np.random.default_rng(1).normal(0, 0.5, (12, 9)) * np.arange(1, 13)[:, None]
    assert not isinstance(made(network(weight), **NEURON).value.populations[0].scale, float)
    # Read by its membrane: its values are compared with each other.
    assert isinstance(made(network(weight, kind="sum"), **NEURON).value.populations[0].scale, float)
    text = hardware_profiles.load("loihi1").text
    one = text.replace('[numerics.v_threshold_per_neuron]\nvalue = "limited"',
                       '[numerics.v_threshold_per_neuron]\nvalue = "no"')  # fmt: skip
    assert one != text
    for profile, kept in ((text, False), (one, True)):
        fixed, findings = made(network(weight), profile=hardware_profiles.parse(profile), **NEURON)
        (p,) = fixed.populations
        assert isinstance(p.scale, float) == kept
        told = [f.what for f in findings if "membrane unit" in f.what]
        assert len(told) == 1
        assert ("different thresholds than the target has" in told[0]) == kept
        assert np.unique(p.v_threshold).size <= (1 if kept else 1024)


def test_the_same_units_every_time():
    weight = np.random.default_rng(2).normal(0, 0.5, (12, 9))
    nets = [made(network(weight), rounding="adaptive", **NEURON).value for _ in range(2)]
    assert network_hash(nets[0]) == network_hash(nets[1])


def test_scales_that_are_none():
    base = made(network(np.random.default_rng(3).normal(0, 0.5, (3, 9)))).value
    (p,) = base.populations
    same = dataclasses.replace(p, scale=np.full(3, p.scale))
    assert same.scale == p.scale
    for bad in (0.0, -1.0, np.inf, [1.0, 2.0, 0.0]):
        with pytest.raises(RangeError, match="positive"):
            dataclasses.replace(p, scale=bad)
    moved: FixedPopulation = dataclasses.replace(p, scale=[1.0, 2.0, 3.0])
    other = dataclasses.replace(base, populations=(moved,))
    assert network_hash(other) != network_hash(base)
    with pytest.raises(InputError, match="3 scales"):
        dataclasses.replace(other, readout=Readout("a", "max_v"))
    # Integers stay what they are, whatever they stand for.
    assert integers_hash(other) == integers_hash(base)
