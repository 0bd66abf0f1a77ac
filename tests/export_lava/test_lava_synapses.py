"""Synapses on Lava where they are easiest to get wrong: geometry, delay slots, wraps."""

from dataclasses import replace

import numpy as np
import pytest
from oracles.literal_fixed import run_hardware

from neurodeploy.export.lava import LavaRun, run_lava_batch
from neurodeploy.export.lava.acceptance import check_faithful
from neurodeploy.network import (
    ALWAYS_ON,
    INPUT,
    ConstantEncoder,
    FixedPointNetwork,
    FixedPopulation,
    FixedSynapse,
    Readout,
)
from neurodeploy.network.fixed import ConvLayout, SparseLayout

pytestmark = [pytest.mark.lava, pytest.mark.usefixtures("runtime")]


def neurons(name, shape, latency=1, threshold=131072, **changes):
    """Membranes that show their last input: full decay, out of reach of the threshold."""
    size = int(np.prod(shape))
    fields = {
        "decay_u": np.full(size, 4095), "decay_v": np.full(size, 4096), "bias": np.zeros(size),
        "bias_exp": 0, "v_threshold": np.full(size, threshold), "u_init": np.zeros(size),
        "v_init": np.zeros(size), "latency": latency, "scale": 1.0, "shape": shape,
    }  # fmt: skip
    kind = "readout" if threshold > 131071 else "lif"
    return FixedPopulation(name, (name,), kind, **{**fields, **changes})


def network(populations, synapses, n_input, steps, bits=8):
    readout = Readout(populations[-1].name, "last_v")
    encoder = ConstantEncoder(bits=bits)
    return FixedPointNetwork(populations, synapses, n_input, encoder, readout, steps)


def check(cases, **options):
    """Run on Lava; all values are the oracle's. Return the oracle's runs."""
    runs = [LavaRun(net, codes, timing="lava", **options) for net, codes in cases]
    literals = []
    for (net, codes), lava in zip(cases, run_lava_batch(runs), strict=True):
        literal = run_hardware(net, codes)
        for key, values in lava.records.items():
            np.testing.assert_array_equal(values, literal.records[key], err_msg=key)
        literals.append(literal)
    return literals


def convolution(rng, input_shape, kernel, stride, padding, dilation, groups, channels, **changes):
    """One convolution of graded codes, seen in u and v of full decay."""
    extent = [
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, p, d, k, s in zip(input_shape[1:], padding, dilation, kernel, stride, strict=True)
    ]
    layout = ConvLayout(stride, padding, dilation, groups, input_shape, (channels, *extent))
    shape = (channels, input_shape[0] // groups, *kernel)
    weight = changes.pop("weight", None)
    weight = rng.integers(-128, 128, shape) * 2 if weight is None else np.full(shape, weight)
    synapse = FixedSynapse("in_maps", INPUT, "maps", weight, 0, "mixed", 8, 8, 0, layout)
    net = network(
        (neurons("maps", layout.output_shape),), (synapse,), int(np.prod(input_shape)), 5, **changes
    )
    codes = rng.integers(0, net.encoder.max_code + 1, (5, 2, net.n_input))
    return net, codes


def test_geometry_of_convolutions():
    rng = np.random.default_rng(0)
    geometries = [
        # input      kernel  stride  padding   dilation groups channels
        ((3, 7, 5), (3, 2), (2, 1), (0, 2), (1, 1), 1, 4),
        ((4, 6, 9), (2, 3), (1, 3), (1, 0), (2, 1), 2, 6),
        ((6, 5, 8), (1, 4), (3, 2), (2, 1), (1, 2), 3, 3),
        ((5, 4, 7), (3, 3), (1, 2), (3, 4), (3, 2), 5, 5),
        ((1, 1, 12), (1, 5), (1, 2), (0, 2), (1, 1), 1, 3),
        ((2, 11, 3), (11, 3), (1, 1), (0, 0), (1, 1), 1, 2),
    ]
    literals = check(
        [
            *(convolution(rng, *geometry) for geometry in geometries),
            # At the ends of eight bits.
            convolution(rng, (1, 2, 3), (2, 2), (127, 1), (127, 70), (1, 127), 1, 1),
            convolution(rng, (127, 1, 2), (1, 1), (1, 1), (0, 0), (1, 1), 127, 127),
            convolution(rng, (1, 1, 130), (1, 127), (1, 1), (0, 0), (1, 1), 1, 1),
            convolution(rng, (1, 1, 260), (1, 3), (1, 1), (0, 0), (1, 127), 1, 1),
        ]
    )
    shown = [(run.records["maps/v"] != 0).mean() > 0.5 for run in literals]
    assert all(shown[: len(geometries)])


def test_convolutions_wrap_at_24_bits():
    # 18 taps of 254 and codes of 16 bits: sums to 3e8. Weights that no chip holds: to 2^31.
    rng = np.random.default_rng(2)
    legal = convolution(rng, (2, 6, 6), (3, 3), (1, 1), (1, 1), (1, 1), 1, 3, bits=16)
    wide = convolution(rng, (2, 6, 6), (3, 3), (1, 1), (1, 1), (1, 1), 1, 3, bits=16, weight=1777)
    literals = check([legal, wide], lava_quirks=True)
    assert min(run.counts["maps/wraps"].sum() for run in literals) > 500


def sparse(weight, **fields):
    """Write a dense matrix as a sparse one; ``delay`` of its shape goes along."""
    target, source = np.nonzero(np.ones_like(weight) if fields.pop("full", False) else weight)
    indptr = np.searchsorted(target, np.arange(weight.shape[0] + 1))
    delay = fields.pop("delay", 0)
    delay = delay if isinstance(delay, int) else delay[target, source]
    layout = SparseLayout(indptr, source, weight.shape[1])
    return FixedSynapse(
        weight=weight[target, source], layout=layout, delay=delay, weight_bits=8, **fields
    )


def dense(weight, **fields):
    return FixedSynapse(weight=weight, weight_bits=8, **fields)


def delayed_cases(make):
    """Layers whose synapse, made by ``make``, has delays and exponents of all kinds."""
    rng = np.random.default_rng(4)
    for exponent, bits, delay in [
        (-3, 8, rng.integers(0, 63, (6, 12))),
        (-2, 0, rng.integers(0, 4, (6, 12))),
        (2, 8, rng.choice([0, 62], (6, 12))),
        (-5, 0, rng.choice([5, 7], (6, 12))),
        (0, 8, 62),
        (-1, 0, 1),
    ]:
        weight = rng.integers(-128, 128, (6, 12)) * 2
        weight[rng.random(weight.shape) < 0.3] = 0
        weight[2] = 0  # a target without any weight, a row without any place
        delay = delay if isinstance(delay, int) else np.where(weight == 0, 0, delay)
        synapse = make(
            weight, name="in_layer", source=INPUT, target="layer", weight_exp=exponent,
            sign_mode="mixed", message_bits=bits, delay=delay,
        )  # fmt: skip
        net = network((neurons("layer", (6,)),), (synapse,), 12, 70)
        yield net, rng.integers(0, 256, (70, 1, 12)) * (rng.random((70, 1, 12)) < 0.3)


def test_every_delay_and_the_floor_of_each_slot():
    cases = [*delayed_cases(dense), *delayed_cases(sparse)]
    literals = check(cases)
    assert all((run.records["layer/v"] != 0)[:, 0].any(axis=0).sum() >= 5 for run in literals)
    # Shifting the whole sum once is another network: floors do not add up.
    for k in (0, len(cases) // 2):
        first, codes = cases[k]
        merged = replace(first.synapses[0], delay=0)
        other = run_hardware(replace(first, synapses=(merged,)), codes)
        assert (other.records["layer/v"] != literals[k].records["layer/v"]).any()


def test_stored_zeros_with_and_without_delay():
    rng = np.random.default_rng(5)
    weight = np.zeros((4, 5), np.int64)
    weight[0, 1], weight[3, 4] = 6, -8
    delay = rng.integers(0, 3, weight.shape)
    cases = []
    for given in (0, 3, delay, np.where(weight == 0, delay + 1, 0)):
        synapse = sparse(
            weight, name="s", source=INPUT, target="layer", weight_exp=0, sign_mode="mixed",
            message_bits=8, delay=given, full=True,
        )  # fmt: skip
        net = network((neurons("layer", (4,)),), (synapse,), 5, 12)
        cases.append((net, rng.integers(0, 256, (12, 2, 5))))
    check(cases)


def wrapping_cases(make, delay):
    """600 inputs of up to 65535 with weights of up to 254: sums reach 9.9e9; then shifted left."""
    rng = np.random.default_rng(6)
    weight = rng.integers(0, 128, (5, 600)) * 2
    steps, each = 6, rng.integers(0, 2, weight.shape)
    synapse = make(
        weight, name="s", source=INPUT, target="layer", weight_exp=0 if make is dense else -2,
        sign_mode="mixed", message_bits=16, delay=each if delay == "each" else delay,
    )  # fmt: skip
    net = network((neurons("layer", (5,)),), (synapse,), 600, steps, bits=16)
    codes = rng.integers(0, 65536, (steps, 2, 600))
    return [(net, codes), (replace(net, synapses=(replace(synapse, weight_exp=5),)), codes)]


def case_of_two_synapses():
    """Two synapses of 1.6e9 each add up to more than an int32."""
    rng = np.random.default_rng(7)
    weight = np.full((3, 100), 254)
    synapses = tuple(
        dense(weight, name=f"s{i}", source=INPUT, target="layer", weight_exp=0,
              sign_mode="mixed", message_bits=16)
        for i in range(2)
    )  # fmt: skip
    net = network((neurons("layer", (3,)),), synapses, 100, 4, bits=16)
    return net, rng.integers(60000, 65536, (4, 2, 100))


def test_sums_and_their_parts_wrap_at_32_bits():
    kinds = [(dense, 0), (sparse, 0), (sparse, 3), (dense, 3), (dense, "each")]
    pairs = [wrapping_cases(make, delay) for make, delay in kinds]
    *wide, together = check([*(case for pair in pairs for case in pair), case_of_two_synapses()])
    assert all(literal.counts["layer/wraps"].sum() > 10 for literal in wide[::2])
    assert together.counts["layer/wraps"].min() > 0


def test_sources_of_many_kinds_into_one_population():
    """Input, always-on line, itself and a later layer, through all three kinds of synapse."""
    rng = np.random.default_rng(8)
    maps, shape = (2, 3, 4), (24, 24)
    layout = ConvLayout((1, 1), (1, 1), (1, 1), 1, maps, maps)
    kernel = rng.integers(-20, 40, (2, 2, 3, 3)) * 2
    ends = {"weight_exp": 0, "sign_mode": "mixed"}
    small = rng.integers(-10, 12, shape) * 2
    first = neurons("first", maps, 1, 90, decay_v=np.full(24, 400))
    second = neurons("second", maps, 2, 60, decay_v=np.full(24, 700))
    synapses = (
        FixedSynapse("conv", INPUT, "first", kernel, 0, "mixed", 8, 0, 0, layout),
        dense(small, name="skip", source=INPUT, target="second", delay=3, **ends),
        dense(rng.integers(0, 9, (24, 1)) * 2, name="on", source=ALWAYS_ON, target="second", **ends),
        FixedSynapse("again", "first", "first", -kernel, 0, "mixed", 8, 0, 0, layout),
        FixedSynapse("next", "first", "second", kernel, 0, "mixed", 8, 0, 0, layout),
        sparse(small * (rng.random(shape) < 0.4), name="self", source="second", target="second",
               delay=rng.integers(0, 5, shape), **ends),
        sparse(-np.abs(small), name="back", source="second", target="first", **ends),
    )  # fmt: skip
    net = network((first, second), synapses, 24, 30)
    codes = (rng.random((30, 3, 24)) < 0.2).astype(np.int32)
    (literal,) = check([(net, codes)])
    for name in ("first", "second"):
        assert 0.01 < literal.records[f"{name}/spikes"].mean() < 0.5


def test_what_is_refused_would_be_another_network(monkeypatch):
    rng = np.random.default_rng(10)
    weight = rng.integers(0, 128, (5, 600)) * 2
    delayed = dense(
        weight, name="s", source=INPUT, target="layer", weight_exp=-8, sign_mode="mixed",
        message_bits=16, delay=1,
    )  # fmt: skip
    net = network((neurons("layer", (5,)),), (delayed,), 600, 6, bits=16)
    wide, full = convolution(
        rng, (2, 6, 6), (3, 3), (1, 1), (1, 1), (1, 1), 1, 3, bits=16, weight=2777
    )
    cases = [
        (net, rng.integers(0, 65536, (6, 2, 600))),
        (wide, np.full_like(full, 65535)),
        convolution(rng, (128, 1, 1), (1, 1), (1, 1), (0, 0), (1, 1), 128, 128),
    ]
    for refused, _ in cases:
        assert len(check_faithful(refused, lava_quirks=True)) == 1
    monkeypatch.setattr("neurodeploy.export.lava.run.require_faithful", lambda *a, **k: None)
    runs = [LavaRun(net, codes, timing="lava") for net, codes in cases]
    for (net, codes), lava in zip(cases, run_lava_batch(runs), strict=True):
        name = net.populations[0].name
        literal = run_hardware(net, codes).records[f"{name}/v"]
        assert (lava.records[f"{name}/v"] != literal).sum() > 20


@pytest.mark.slow
def test_layers_of_thousands_of_neurons():
    rng = np.random.default_rng(9)
    shapes = [(2, 34, 34), (16, 17, 17), (16, 17, 17), (8, 9, 9)]
    strides, kernels, padding = (2, 1, 2), (5, 3, 3), (2, 1, 1)
    populations, synapses, source = [], [], INPUT
    for k in range(3):
        geometry = ConvLayout(
            (strides[k],) * 2, (padding[k],) * 2, (1, 1), 1, shapes[k], shapes[k + 1]
        )
        kernel = (shapes[k + 1][0], shapes[k][0], kernels[k], kernels[k])
        weight = rng.integers(-20, 40, kernel) * 2
        name = f"maps{k}"
        population = neurons(
            name, shapes[k + 1], k + 1, 150, decay_v=np.full(int(np.prod(shapes[k + 1])), 500)
        )
        populations.append(population)
        synapses.append(
            FixedSynapse(f"conv{k}", source, name, weight, 0, "mixed", 8, 0, 0, geometry)
        )
        source = name
    populations.append(neurons("classes", (10,), 4))
    last = rng.integers(-20, 30, (10, 8 * 81)) * 2
    synapses.append(
        dense(last, name="last", source=source, target="classes", weight_exp=0, sign_mode="mixed")
    )
    net = network(tuple(populations), tuple(synapses), 2 * 34 * 34, 6)
    codes = (rng.random((6, 2, 2 * 34 * 34)) < 0.1).astype(np.int32)
    (literal,) = check([(net, codes)])
    assert all(literal.records[f"maps{k}/spikes"].sum() > 100 for k in range(3))
