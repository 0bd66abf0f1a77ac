"""The fixed-point oracle against numbers worked out by hand, and its two ways against each other."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from oracles.literal_fixed import logical_records, run_aligned, run_hardware
from oracles.literal_synapses import lava_convolution, literal_terms
from oracles.random_synapses import random_geometry
from oracles.random_topologies import PAIRS, random_case

from neurodeploy.network import (
    ConstantEncoder,
    ConvLayout,
    FixedPointNetwork,
    FixedPopulation,
    FixedSynapse,
    Readout,
)

#: No memory in u, none lost in v, never fires.
SILENT_IF = FixedPopulation(
    name="n", nir_nodes=("n",), kind="lif", decay_u=4095, decay_v=[0], bias=0, bias_exp=0,
    v_threshold=2**17, u_init=0, v_init=0, latency=1, scale=1.0,
)  # fmt: skip


def network(*populations, synapses, n_input=1):
    return FixedPointNetwork(
        populations=populations, synapses=tuple(synapses), n_input=n_input,
        encoder=ConstantEncoder(bits=16), readout=Readout(populations[-1].name, "sum"), steps=8,
    )  # fmt: skip


def dense(weight, source="input", target="n", **fields):
    weight = np.atleast_2d(weight)
    where = {"name": f"{source}_{target}", "source": source, "target": target}
    return FixedSynapse(**{**where, "weight_exp": 0, "sign_mode": "mixed", **fields}, weight=weight)


def both(net, codes, key):
    """Run both ways; return the logical record of the only sample's first neuron."""
    codes = np.asarray(codes)
    codes = codes.reshape(len(codes), 1, -1)
    aligned, hardware = run_aligned(net, codes), run_hardware(net, codes)
    values = aligned.records[key][:, 0, 0].tolist()
    assert logical_records(net, hardware, len(codes))[key][:, 0, 0].tolist() == values
    return values


def test_a_delay_of_d_is_felt_d_steps_later():
    net = network(SILENT_IF, synapses=[dense([3, 5], delay=np.array([[1, 4]]))], n_input=2)
    codes = [[1, 1]] + [[0, 0]] * 6
    assert both(net, codes, "n/u") == [0, 3 * 64, 0, 0, 5 * 64, 0, 0]
    # Sent in hardware step 1, seen in 1 + 1 + delay.
    hardware = run_hardware(net, np.array(codes)[:, None]).records["n/u"][:, 0, 0]
    assert hardware.tolist() == [0, 0, 3 * 64, 0, 0, 5 * 64, 0, 0]


def test_every_delay_has_a_floor_of_its_own():
    codes = [[1, 0], [0, 1], [0, 0]]
    apart = dense([3, 3], weight_exp=-2, delay=np.array([[1, 0]]))
    assert both(network(SILENT_IF, synapses=[apart], n_input=2), codes, "n/u") == [0, 0, 0]
    together = dense([3, 3], weight_exp=-2)
    codes = [[1, 1]]
    assert both(network(SILENT_IF, synapses=[together], n_input=2), codes, "n/u") == [64]
    down = dense([-3, -3], weight_exp=-2, delay=np.array([[1, 0]]))
    codes = [[1, 0], [0, 1]]
    assert both(network(SILENT_IF, synapses=[down], n_input=2), codes, "n/u") == [0, -128]


def firing(**fields):
    return replace(SILENT_IF, v_threshold=[1], **fields)


@pytest.mark.parametrize(
    ("fields", "v_pre", "spikes"),
    [
        # The threshold is 64 and strict; each step adds 64.
        ({}, [64, 128, 64, 128, 64, 128], [0, 1, 0, 1, 0, 1]),
        ({"refractory_steps": 2}, [64, 128, 0, 0, 64, 128], [0, 1, 0, 0, 0, 1]),
        ({"reset": "subtract"}, [64, 128, 128, 128, 128, 128], [0, 1, 1, 1, 1, 1]),
        (
            {"reset": "subtract", "refractory_steps": 1},
            [64, 128, 64, 128, 64, 128],
            [0, 1, 0, 1, 0, 1],
        ),
        # Hardware steps 4 and 7 reset, logical steps 3 and 6 of a population of latency 1.
        (
            {"reset_interval": 3, "reset_offset": 4, "refractory_steps": 5},
            [64, 128, 64, 128, 0, 64],
            [0, 1, 0, 1, 0, 0],
        ),
    ],
)
def test_neurons_by_hand(fields, v_pre, spikes):
    net = network(firing(**fields), synapses=[dense(1)])
    codes = np.ones((6, 1))
    assert both(net, codes, "n/v_pre") == v_pre
    assert both(net, codes, "n/spikes") == spikes


def test_a_periodic_reset_clears_u_and_v_before_the_step():
    p = replace(SILENT_IF, decay_u=[-1], reset_interval=3, reset_offset=1)
    net = network(p, synapses=[dense(1)])
    # u keeps everything: 64, 128, then from zero again.
    assert both(net, [1, 1, 0, 1, 0], "n/u") == [64, 128, 0, 64, 64]
    assert both(net, [1, 1, 0, 1, 0], "n/v") == [64, 192, 0, 64, 128]


def test_a_waiting_neuron_misses_resets_and_biases_before_its_first_step():
    p = firing(bias=[10], refractory_steps=1, latency=3, v_init=[5])
    net = network(p, synapses=[dense(0, delay=2)])
    hardware = run_hardware(net, np.zeros((2, 1, 1)))
    assert hardware.records["n/v"][:, 0, 0].tolist() == [5, 5, 5, 15, 25]


@pytest.mark.parametrize(
    ("weights", "codes", "total", "wraps"),
    [
        # 254 * 65535 = 16 645 890 is beyond 2^23; 2^23 itself becomes -2^23; 2^23 - 128 stays.
        ([254, 0], [65535, 0], 16_645_890 - 2**24, 1),
        ([128, 128], [65535, 1], -(2**23), 1),
        ([128, 128], [65535, 0], 2**23 - 128, 0),
    ],
)
def test_a_convolution_wraps_at_24_bits(weights, codes, total, wraps):
    layout = ConvLayout((1, 1), (0, 0), (1, 1), 1, (1, 1, 2), (1, 1, 1))
    synapse = FixedSynapse(
        "s", "input", "d", np.reshape(weights, (1, 1, 1, 2)), 0, "mixed", message_bits=16,
        layout=layout,
    )  # fmt: skip
    # A gain of 1 / 128: the neuron itself loses nothing.
    dlif = replace(SILENT_IF, name="d", kind="dlif", gain=np.array([1]), gain_shift=7)
    net = network(dlif, synapses=[synapse], n_input=2)
    assert both(net, [codes], "d/v_pre") == [(total >> 7) << 6]
    for run in (run_aligned, run_hardware):
        assert run(net, np.array([[codes]])).counts["d/wraps"].tolist() == [wraps]


@pytest.mark.parametrize(
    ("bias", "bias_exp", "added"),
    [(40_000, 0, -25_536), (20_000, 6, 1_280_000), (-3, -1, -2), (3, -1, 1), (-1, -31, -1)],
)
def test_biases_wrap_at_16_bits_and_round_down(bias, bias_exp, added):
    p = replace(SILENT_IF, bias=[bias], bias_exp=bias_exp)
    assert both(network(p, synapses=[dense(0)]), [0], "n/v") == [added]


def test_a_neuron_kicked_once_kicks_itself_at_every_step():
    net = network(firing(), synapses=[dense(2), dense(2, source="n")])
    assert both(net, [0, 1, 0, 0, 0], "n/spikes") == [0, 1, 1, 1, 1]


def test_a_longer_path_of_equal_logical_time_is_felt_in_the_same_step():
    first = firing(name="a", latency=1)
    second = replace(SILENT_IF, latency=4)
    net = network(
        first,
        second,
        synapses=[
            dense(2, target="a"),
            dense(7, source="a", delay=2),
            dense(5, delay=3),
        ],
    )
    assert both(net, [0, 1, 0, 0], "n/u") == [0, 12 * 64, 0, 0]


def test_operations_count_what_is_sent_though_it_never_arrives():
    net = network(SILENT_IF, synapses=[dense([3, 0, 5], delay=62)], n_input=3)
    run = run_aligned(net, np.ones((4, 1, 3)))
    assert run.counts["input_n/operations"].tolist() == [8]
    assert not run.records["n/u"].any()


def test_convolutions_are_those_of_torch():
    for seed in range(100):
        rng = np.random.default_rng(seed)
        shape = tuple(int(n) for n in rng.integers(1, 8, 3))
        layout, kernel_shape = random_geometry(rng, shape)
        kernel = rng.integers(-300, 300, kernel_shape)
        data = rng.integers(0, 256, (3, *shape))
        expected = torch.nn.functional.conv2d(
            torch.tensor(data), torch.tensor(kernel), None, layout.stride, layout.padding,
            layout.dilation, layout.groups,
        ).numpy()  # fmt: skip
        assert expected.shape[1:] == layout.output_shape
        flat, expected = data.reshape(3, -1), expected.reshape(3, -1)
        assert (lava_convolution(flat, kernel, layout) == expected).all()
        synapse = FixedSynapse("s", "a", "b", kernel, 0, "mixed", layout=layout)
        matrix = np.zeros((synapse.size_out, synapse.size_in), np.int64)
        for target, source, weight, _ in literal_terms(synapse):
            matrix[target, source] += weight
        assert (flat @ matrix.T == expected).all()


@pytest.mark.parametrize("pair", PAIRS)
def test_both_ways_agree_step_for_step(pair):
    for seed in range(3):
        net, codes = random_case(np.random.default_rng([seed, *map(len, pair)]), pair=pair)
        aligned, hardware = run_aligned(net, codes), run_hardware(net, codes)
        cut = logical_records(net, hardware, net.steps)
        assert set(cut) == set(aligned.records)
        for key, values in aligned.records.items():
            np.testing.assert_array_equal(cut[key], values, err_msg=key)
