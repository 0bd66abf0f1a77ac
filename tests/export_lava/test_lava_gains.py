"""Gains on graded messages and in bit planes: on Lava from stock processes, with no mismatch."""

from dataclasses import replace

import numpy as np
import pytest
from oracles.graded_form import as_graded
from oracles.random_networks import random_codes, random_fixed_network
from quantization.gained_networks import gained_network

from neurodeploy import hardware_profiles
from neurodeploy.export.lava import LavaRun, run_lava_batch, verify_against
from neurodeploy.export.lava.verify import compare
from neurodeploy.network import load_network, save_network
from neurodeploy.quantization import QuantizeConfig, quantize
from neurodeploy.simulate import run_fixed

pytestmark = [pytest.mark.lava, pytest.mark.usefixtures("runtime")]
QUANTITIES = ("u", "v", "spikes")
LOIHI1, LOIHI2 = (hardware_profiles.load(name) for name in ("loihi1", "loihi2"))


def check(cases):
    """Run (network, codes, timing) on Lava; return how many values are equal, which all must be."""
    runs = [LavaRun(net, codes, timing=timing) for net, codes, timing in cases]
    references = [
        run_fixed(net, codes, record=QUANTITIES, timing=timing) for net, codes, timing in cases
    ]
    results = [compare(a, b) for a, b in zip(run_lava_batch(runs), references, strict=True)]
    assert [str(r.first) for r in results if r.mismatches] == []
    return sum(r.compared for r in results)


def quantised(seed, remap, profile, gain_bits, samples=2, **choices):
    """Return (network, codes, timing) of a float network whose gains are ``remap``."""
    network = gained_network(seed, **choices)
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 2**network.encoder.bits, (network.steps, samples, network.n_input))
    config = QuantizeConfig(remap=remap, gain_bits=gain_bits)
    net, _ = quantize(network, profile, config, calibration=codes)
    return net, codes.astype(np.int32), ("aligned", "lava")[seed % 2]


def drawn(seeds):
    """Yield networks with registers as no quantiser would choose them, where they can be graded."""
    for seed in seeds:
        rng = np.random.default_rng(seed)
        net = as_graded(random_fixed_network(rng, kind="dlif", extreme=False, layers=2, steps=8))
        if net is not None:
            yield net, random_codes(rng, net, 2, held=False), ("aligned", "lava")[seed % 2]


def test_graded_gains_are_equal_on_lava():
    """Codes and spikes in, feedback, delays, starts; gains of 4 to 8 bits, shorter than samples."""
    cases = [
        quantised(0, "graded", LOIHI2, 8, v_reset=-0.02, delay=2),
        quantised(1, "graded", LOIHI2, 4, code_bits=1, feedback=True),
    ]
    assert all(p.is_graded for net, _, _ in cases for p in net.populations if p.gain is not None)
    assert any(p.v_init.any() for p in cases[0][0].populations)
    assert check(cases) > 2_000


@pytest.mark.slow
def test_many_graded_gains_are_equal_on_lava():
    cases = [
        quantised(
            seed, "graded", LOIHI2, 4 + seed % 5, code_bits=(8, 1)[seed % 2],
            feedback=seed % 3 == 0, delay=seed % 4,
        )
        for seed in range(100, 106)
    ]  # fmt: skip
    cases += drawn(range(14))
    assert len(cases) >= 8
    for chosen in ("bias", "v_init"):
        assert any(getattr(p, chosen).any() for net, _, _ in cases for p in net.populations)
    assert check(cases) > 8_000


@pytest.mark.slow
def test_verify_finds_a_graded_gain_that_is_one_off():
    net, codes, _ = quantised(5, "graded", LOIHI2, 8)
    reference = run_fixed(net, codes, record=QUANTITIES)
    first = net.populations[0]
    gain = np.array(first.gain)
    gain[2] += 1
    changed = replace(net, populations=(replace(first, gain=gain), *net.populations[1:]))
    result = verify_against(changed, codes, reference)
    assert not result.ok
    assert (result.first.population, result.first.t) == (first.name, 3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seed", "gain_bits", "choices"),
    [(7, 8, {"low": -0.5}), (8, 4, {"feedback": True, "delay": 2})],
)
def test_bit_planes_are_equal_on_lava(tmp_path, seed, gain_bits, choices):
    net, codes, timing = quantised(seed, "bitplane", LOIHI1, gain_bits, code_bits=1, **choices)
    assert {p.kind for p in net.populations} == {"lif", "readout"}
    assert not any(s.message_bits for s in net.synapses)
    # What is stored is all there is: no field of a gain is left.
    save_network(net, tmp_path / "net.h5")
    assert check([(load_network(tmp_path / "net.h5"), codes, timing)]) > 2_000
