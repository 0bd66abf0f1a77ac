"""A gain on graded messages: the same integers one synapse later, its lines and its limits."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracles.graded_form import as_graded
from oracles.literal_fixed import run_aligned, run_hardware
from oracles.random_networks import random_codes, random_fixed_network

from neurodeploy import hardware_profiles
from neurodeploy.errors import InputError, RangeError
from neurodeploy.hardware_profiles import limits_of
from neurodeploy.network import (
    ALWAYS_ON,
    FixedSynapse,
    check_legality,
    load_network,
    network_hash,
    save_network,
)
from neurodeploy.network.graded_gain import BIAS_MAX, DRIVE_LIMIT, bias_lines, largest_drive
from neurodeploy.simulate import run_fixed

QUANTITIES = ("spikes", "u", "v", "v_pre")


def networks(seeds, *, legal=True, **choices):
    """Yield (network, the same with graded gains, codes) for the seeds where that can be."""
    for seed in seeds:
        rng = np.random.default_rng(seed)
        net = random_fixed_network(rng, **choices)
        graded = as_graded(net, legal=legal)
        if graded is not None and any(p.is_graded for p in graded.populations):
            yield net, graded, random_codes(rng, net, 3, held=False)


def dlif(seed=0):
    """Return a one-layer network whose gain is graded."""
    return next(networks(range(100 * seed, 100 * seed + 100), kind="dlif", layers=1))[1]


@pytest.mark.parametrize(
    ("seeds", "choices"),
    [
        (range(6), {"kind": "dlif", "layers": 2, "steps": 9}),
        ((2,), {"pair": ("dlif", "dense"), "layers": 2}),
        ((2, 7), {"pair": ("dlif", "sparse"), "layers": 2}),
    ],
)
def test_both_forms_compute_the_same_integers(seeds, choices):
    """In the simulator, by literal rules on the logical axis, and by those of Lava's processes."""
    tried, gains = 0, []
    for net, graded, codes in networks(seeds, legal=False, **choices):
        before = run_aligned(net, codes)
        expected = run_hardware(graded, codes)
        for timing, oracle in (("aligned", before), ("lava", expected)):
            traces = run_fixed(graded, codes, record=QUANTITIES, timing=timing)
            for key, values in traces.records.items():
                np.testing.assert_array_equal(values, oracle.records[key], err_msg=key)
        for key, values in expected.counts.items():
            if key.endswith("/operations"):
                np.testing.assert_array_equal(traces.counts[key], values, err_msg=key)
        tried += 1
        short_and_biased = [(p.gain.size < net.steps, p.bias.any()) for p in graded.populations
                            if p.is_graded]  # fmt: skip
        gains += short_and_biased
    assert tried >= len(seeds) // 2
    if len(seeds) > 2:
        # Gains that end before the sample does, and biases, are among them.
        assert any(short for short, _ in gains)
        assert any(biased for _, biased in gains)


@given(st.lists(st.integers(-BIAS_MAX, BIAS_MAX), min_size=1, max_size=20))
def test_lines_carry_any_bias_exactly(bias):
    weights, payloads = bias_lines(np.array(bias, np.int32))
    assert weights.shape == (len(bias), payloads.size)
    assert payloads.size <= 3
    # Even, as Lava's mixed weights are, and what a message of 24 bits holds.
    assert not (weights % 2).any()
    assert weights.min(initial=0) >= -256
    assert weights.max(initial=0) <= 254
    carried = (weights.astype(np.int64) @ payloads.astype(np.int64)) >> 1
    assert carried.tolist() == bias


def test_no_bias_takes_no_line():
    weights, payloads = bias_lines(np.zeros(4, np.int32))
    assert (weights.shape, payloads.shape) == ((4, 0), (0,))


@pytest.mark.parametrize("seed", range(6))
def test_no_input_drives_more_than_the_bound(seed):
    """The bound is reached up to floors, by the code that is worst for one neuron."""
    net = dlif(seed)
    p = net.populations[0]
    bound = largest_drive(net, p)
    worst = 0
    for i in range(p.size):
        for sign in (1, -1):
            a = int(p.bias[i])
            for s in net.synapses:
                most = net.encoder.max_code if s.message_bits else 1
                total = sum(int(w) * most for w in s.weight[i] if w * sign > 0)
                a += total << s.weight_exp if s.weight_exp > 0 else total >> -s.weight_exp
            worst = max(worst, abs(a * int(p.gain.max()) >> p.gain_shift))
    assert worst <= bound <= worst + 1


def test_a_drive_beyond_the_width_is_refused_with_numbers():
    seed = next(
        s for s in range(100)
        if as_graded(random_fixed_network(np.random.default_rng(s), kind="dlif", extreme=True))
        is None
    )  # fmt: skip
    net = as_graded(
        random_fixed_network(np.random.default_rng(seed), kind="dlif", extreme=True), legal=False
    )
    found = [f for f in check_legality(net) if "graded drive" in f.what]
    assert found
    assert found[0].numbers["used"][1] >= DRIVE_LIMIT
    assert "--remap microcode" in found[0].remedy


def test_a_chip_without_payloads_refuses_it_and_one_with_takes_it():
    net = dlif()
    says = {
        name: [f.what for f in check_legality(net, limits_of(hardware_profiles.load(name)))]
        for name in ("loihi1", "loihi2", "lava")
    }
    assert any("needs graded messages of 18 bits, loihi1 has messages that are spikes alone" in t
               for t in says["loihi1"])  # fmt: skip
    assert not any("graded" in t or "dlif" in t for t in says["loihi2"] + says["lava"])


def test_the_form_is_stored_and_older_files_have_none(tmp_path):
    net = dlif()
    plain = replace(
        net, populations=(replace(net.populations[0], gain_form="microcode"),),
        synapses=tuple(replace(s, delay=s.delay + 1) for s in net.synapses),
    )  # fmt: skip
    for each, form in ((net, "graded"), (plain, "microcode")):
        save_network(each, tmp_path / f"{form}.h5")
        read = load_network(tmp_path / f"{form}.h5")
        assert read.populations[0].gain_form == form
        assert network_hash(read) == network_hash(each)
    # A file that does not say is microcode: nothing is written for it.
    assert b"gain_form" in (tmp_path / "graded.h5").read_bytes()
    assert b"gain_form" not in (tmp_path / "microcode.h5").read_bytes()


def test_what_the_form_cannot_be():
    net = dlif()
    p = net.populations[0]
    with pytest.raises(RangeError, match="2 at least"):
        replace(p, latency=1)
    with pytest.raises(RangeError, match="no dlif has a gain in the form 'sideways'"):
        replace(p, gain_form="sideways")
    with pytest.raises(RangeError, match="no lif has a gain in the form 'graded'"):
        replace(p, kind="lif", gain=None, gain_shift=0)
    line = FixedSynapse("line", ALWAYS_ON, p.name, np.ones((p.size, 1), np.int32), 0, "excitatory")
    with pytest.raises(InputError, match="has a line for its bias"):
        replace(net, synapses=(*net.synapses, line))
