"""Images as biases: the same spikes and membranes as graded messages, by the literal oracle."""

import dataclasses
from itertools import product

import numpy as np
import pytest
from oracles.literal_fixed import run_aligned
from oracles.random_networks import random_fixed_network

from neurodeploy.errors import ContractError, InputError, RangeError, ShapeError
from neurodeploy.network import (
    INPUT,
    ConstantEncoder,
    ConvLayout,
    FixedPointNetwork,
    FixedPopulation,
    FixedSynapse,
    RateEncoder,
    Readout,
    as_biases,
    fit_to_biases,
    has_start_v,
    in_form,
    with_start_v,
)
from neurodeploy.register_limits import RegisterLimits

STEPS = 7


def neurons(name, n, *, bias=0, threshold=400, latency=1, bias_exp=6, **changes):
    fields = {
        "name": name, "nir_nodes": (name,), "kind": "lif", "decay_u": np.full(n, 4095),
        "decay_v": np.full(n, 200), "bias": np.full(n, bias), "bias_exp": bias_exp,
        "v_threshold": np.full(n, threshold), "u_init": np.zeros(n), "v_init": np.zeros(n),
        "latency": latency, "scale": 1024.0,
    }  # fmt: skip
    fields |= changes
    for key in ("decay_u", "decay_v", "bias", "v_threshold", "u_init", "v_init"):
        fields[key] = np.asarray(fields[key], np.int32)
    return FixedPopulation(**fields)


def network(weight, exponent=0, bits=8, **changes):
    rng = np.random.default_rng(0)
    n, n_in = weight.shape
    populations = (neurons("a", n, **changes), neurons("b", 4, latency=2))
    synapses = (
        FixedSynapse(
            "in", INPUT, "a", weight, exponent, "mixed", message_bits=bits if bits > 1 else 0
        ),
        FixedSynapse("ab", "a", "b", 2 * rng.integers(-20, 60, (4, n)), 1, "mixed"),
    )
    encoder = ConstantEncoder(bits=bits, form="bias")
    return FixedPointNetwork(populations, synapses, n_in, encoder, Readout("b", "count"), STEPS)


def weights(seed, n=5, n_in=6, largest=40):
    return 2 * np.random.default_rng(seed).integers(-largest, largest, (n, n_in)).astype(np.int32)


def codes_of(net, seed, n=4):
    codes = np.random.default_rng(seed).integers(0, net.encoder.max_code + 1, (n, net.n_input))
    codes[0], codes[1] = 0, net.encoder.max_code
    return codes.astype(np.int32)


def check(net, codes):
    """Biases of each image against graded messages of all."""
    graded = run_aligned(net, codes, net.steps)
    for i, image in enumerate(codes):
        single = as_biases(net, image)
        assert all(s.source != INPUT for s in single.synapses)
        found = run_aligned(single, image[None], net.steps)
        for p, quantity in product(net.populations, ("spikes", "v", "v_pre")):
            key = f"{p.name}/{quantity}"
            assert np.array_equal(found.records[key][:, 0], graded.records[key][:, i]), key
    return graded


def test_sums_that_biases_hold_are_exact():
    for seed, exponent, bias in ((0, -5, 0), (1, -5, 5), (2, -6, -60)):
        net = network(weights(seed), exponent, bias=bias, threshold=600)
        fitted, (finding,) = fit_to_biases(net)
        assert finding.severity == "info"
        assert fitted.populations[0].v_threshold.tolist() == [600] * 5
        codes = codes_of(net, seed)
        graded, before = check(fitted, codes), run_aligned(net, codes, STEPS)
        assert all(np.array_equal(graded.records[k], v) for k, v in before.records.items())
        assert before.records["a/spikes"].any()


def test_a_finer_bias_keeps_its_own_exponent():
    net = network(weights(3, largest=4), -4, bias=36, bias_exp=2, threshold=40)
    fitted, (finding,) = fit_to_biases(net)
    assert finding.severity == "info"
    p = fitted.populations[0]
    assert p.bias_exp < 6
    assert (p.bias_shifted == 144).all()
    check(fitted, codes_of(net, 3))


@pytest.mark.parametrize("seed", range(4))
def test_sums_beyond_biases_make_units_coarser_by_no_more_than_needed(seed):
    net = network(weights(seed, largest=100), -2, bias=-40 * seed, threshold=15_000)
    fitted, (finding,) = fit_to_biases(net)
    k = finding.numbers["coarser_bits"]
    assert finding.severity == "warning"
    assert k > 0
    p, before = fitted.populations[0], net.populations[0]
    assert (p.v_threshold == np.rint(15_000 / 2**k)).all()
    assert p.scale == before.scale / 2**k
    assert np.array_equal(p.bias_shifted, 64 * np.rint(before.bias * 2.0**-k))
    sums = net.synapses[0].weight.astype(np.int64)
    for coarser, fits in ((k, True), (k - 1, False)):
        ends = [
            (np.where(sums * sign > 0, sums, 0).sum(1) * 255) >> (coarser + 2) for sign in (1, -1)
        ]
        own = np.rint(before.bias * 2.0**-coarser)
        inside = all(((own + e) >= -4096).all() and ((own + e) <= 4095).all() for e in ends)
        assert inside == fits
    codes = codes_of(net, seed)
    graded, exact = check(fitted, codes), run_aligned(net, codes, STEPS)
    agree = (graded.records["a/spikes"] == exact.records["a/spikes"]).mean()
    assert agree > 0.9
    assert exact.records["a/spikes"].any()


def test_random_networks_hold_images_as_biases():
    tried = 0
    for seed in range(8):
        net = random_fixed_network(np.random.default_rng(seed), steps=5)
        fed = {s.target for s in net.synapses if s.source == INPUT}
        populations = tuple(
            dataclasses.replace(p, decay_u=np.full(p.size, 4095, np.int32)) if p.name in fed else p
            for p in net.populations
        )
        net = dataclasses.replace(net, populations=populations)
        try:
            fitted, _ = fit_to_biases(net)
        except RangeError:  # a weight exponent below the register
            continue
        check(fitted, codes_of(net, seed, n=3))
        tried += 1
    assert tried > 4


def test_convolutions_keep_their_sums():
    layout = ConvLayout((1, 1), (1, 1), (1, 1), 1, (2, 4, 3), (3, 4, 3))
    kernel = 2 * np.random.default_rng(0).integers(-9, 9, (3, 2, 3, 3)).astype(np.int32)
    maps = neurons("a", 36, threshold=20_000, shape=(3, 4, 3))
    synapse = FixedSynapse("in", INPUT, "a", kernel, 0, "mixed", message_bits=8, layout=layout)
    net = FixedPointNetwork(
        (maps,), (synapse,), 24, ConstantEncoder(form="bias"), Readout("a", "count"), STEPS
    )
    fitted, (finding,) = fit_to_biases(net)
    k = finding.numbers["coarser_bits"]
    assert (k > 0, fitted.synapses[0].kind) == (True, "sparse")
    codes = codes_of(net, 1)
    # Every connection keeps its place, whatever its weight.
    ones = dataclasses.replace(synapse, weight=np.ones_like(kernel)).connections()
    assert (kernel == 0).any()
    matrices = []
    for layout in (ones, fitted.synapses[0].connections()):
        matrices.append(np.zeros((36, 24), int))
        matrices[-1][layout.target, layout.source] = layout.weight
    rows = np.repeat(np.arange(36), np.diff(fitted.synapses[0].layout.indptr))
    places = np.zeros((36, 24), int)
    places[rows, fitted.synapses[0].layout.indices] = 1
    assert np.array_equal(places, matrices[0])
    assert np.count_nonzero(matrices[1]) < places.sum() == ones.target.size
    # One step from rest: v is 64 times the sum.
    one = dataclasses.replace(
        net, populations=(dataclasses.replace(maps, v_threshold=np.full(36, 2**17 - 1, np.int32)),)
    )
    sums = run_aligned(one, codes, 1).records["a/v_pre"][0] >> 6
    shifted = run_aligned(fitted, codes, 1).records["a/v_pre"][0] >> 6
    assert np.array_equal(shifted, sums >> k)
    check(fitted, codes)


def test_a_form_says_which_start_states_it_lost():
    """Bias -101 falls from 113 to 0, no further than 113; in units 8 times as large 15 > 14."""
    net = network(weights(0, largest=100), -2)
    net = dataclasses.replace(
        net,
        populations=(
            neurons("a", 5, latency=2, decay_v=np.full(5, 410), threshold=113,
                    bias=[-101, -101, 0, -16, 101]),
            neurons("b", 4, latency=3),
        ),
        synapses=(dataclasses.replace(net.synapses[0], delay=1), net.synapses[1]),
    )  # fmt: skip
    assert has_start_v(net.populations[0])
    fitted, (said, lost) = in_form(net)
    assert said.numbers["coarser_bits"] == 3
    assert with_start_v(fitted.populations[0]).tolist() == [False, False, True, True, True]
    assert (lost.severity, lost.numbers) == ("warning", {"neurons": 2})
    # Nothing is said of what had none before.
    _, again = in_form(fitted)
    assert [f.severity for f in again] == ["info"]


def test_a_form_is_graded_or_stays_legal():
    net = network(weights(0), -5)
    graded = dataclasses.replace(net, encoder=ConstantEncoder())
    assert in_form(graded).value is graded
    assert in_form(net).value.populations[0].scale == net.populations[0].scale
    # Weights that only a convolution may have.
    layout = ConvLayout((1, 1), (0, 0), (1, 1), 1, (1, 2, 2), (1, 2, 2))
    maps = neurons("a", 4, threshold=20_000, shape=(1, 2, 2))
    synapse = FixedSynapse(
        "in", INPUT, "a", np.full((1, 1, 1, 1), 301), 0, "mixed", message_bits=8, layout=layout
    )
    wide = FixedPointNetwork(
        (maps,), (synapse,), 4, ConstantEncoder(form="bias"), Readout("a", "count"), STEPS
    )
    limits = RegisterLimits(conv_weight_bits=24)
    with pytest.raises(RangeError, match="301"):
        in_form(wide, limits)
    in_form(wide)  # was not legal to begin with


def test_what_no_bias_stands_for_is_refused():
    net = network(weights(0), -3)
    with pytest.raises(ContractError, match="changes from step to step"):
        fit_to_biases(dataclasses.replace(net, encoder=RateEncoder()))
    slow = network(weights(0), -3, decay_u=np.full(5, 1000))
    with pytest.raises(InputError, match="enters a synaptic current"):
        fit_to_biases(slow)
    late = dataclasses.replace(net.synapses[0], delay=1)
    with pytest.raises(InputError, match="arrives late by in"):
        fit_to_biases(dataclasses.replace(net, synapses=(late, net.synapses[1])))
    with pytest.raises(InputError, match="no synapse comes from the input"):
        fit_to_biases(dataclasses.replace(net, synapses=net.synapses[1:]))
    with pytest.raises(RangeError, match="would need weight exponent -18"):
        fit_to_biases(network(weights(0, n_in=200, largest=120), -8, bits=16))
    wide = network(weights(0, largest=100), 1)
    with pytest.raises(RangeError, match="does not hold the sum of this image"):
        as_biases(wide, np.full(6, 255))
    with pytest.raises(ShapeError, match="one image has 6 codes"):
        as_biases(net, np.zeros((2, 6), np.int32))
    with pytest.raises(RangeError, match="leaves 0..255"):
        as_biases(net, np.full(6, 256))
