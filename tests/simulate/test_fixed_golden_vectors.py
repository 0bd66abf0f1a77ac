"""Numbers that Lava itself produced, one neuron or one synapse at a time."""

import numpy as np
import pytest

from neurodeploy.network import (
    INPUT,
    V_MAX,
    ConstantEncoder,
    FixedPointNetwork,
    FixedPopulation,
    FixedSynapse,
    Readout,
)
from neurodeploy.simulate import run_fixed

QUANTITIES = ("spikes", "u", "v", "v_pre")


def one_layer(
    weight,
    *,
    exponent=0,
    sign_mode="mixed",
    message_bits=16,
    decay_u=4095,
    decay_v=4096,
    bias=0,
    bias_exp=0,
    v_threshold=2**17,
    u_init=0,
    v_init=0,
    steps=1,
):
    weight = np.asarray(weight)
    population = FixedPopulation(
        name="n",
        nir_nodes=("n",),
        kind="lif",
        decay_u=decay_u,
        decay_v=np.full(weight.shape[0], decay_v),
        bias=bias,
        bias_exp=bias_exp,
        v_threshold=v_threshold,
        u_init=u_init,
        v_init=v_init,
        latency=1,
        scale=1.0,
    )
    synapse = FixedSynapse("s", INPUT, "n", weight, exponent, sign_mode, message_bits=message_bits)
    return FixedPointNetwork(
        populations=(population,),
        synapses=(synapse,),
        n_input=weight.shape[1],
        encoder=ConstantEncoder(bits=16),
        readout=Readout("n", "last_v"),
        steps=steps,
    )


def first(net, codes, quantity):
    """Return the quantity after the first step, for one sample."""
    traces = run_fixed(net, np.array([codes]), record=QUANTITIES)
    return traces.records[f"n/{quantity}"][0, 0].tolist()


@pytest.mark.parametrize(("decay_u", "u"), [(-1, 1000), (0, 999), (2048, 499), (4095, 0)])
def test_decay_of_u_truncates_toward_zero_and_has_an_offset_of_one(decay_u, u):
    net = one_layer([[0]], decay_u=decay_u, u_init=1000)
    assert first(net, [0], "u") == [u]


@pytest.mark.parametrize(("decay_u", "u"), [(-1, -1000), (0, -999), (2048, -499), (4095, 0)])
def test_decay_of_a_negative_u_is_the_mirror_image(decay_u, u):
    net = one_layer([[0]], decay_u=decay_u, u_init=-1000)
    assert first(net, [0], "u") == [u]


def test_u_wraps_once():
    net = one_layer([[254]])
    assert first(net, [800], "u") == [-3_772_416]


def test_a_single_wrap_can_leave_u_outside_24_bits_and_v_saturates():
    net = one_layer([[254]], exponent=3)
    assert first(net, [15_000], "u") == [1_933_942_784]
    assert first(net, [15_000], "v") == [V_MAX]


def test_states_outside_24_bits_step_as_in_lava():
    net = one_layer([[0]], decay_u=-1, u_init=2**25, v_init=2**25, decay_v=0)
    assert first(net, [0], "u") == [16_777_216]
    assert first(net, [0], "v") == [V_MAX]


def test_bias_is_not_aligned_and_its_width_is_not_enforced():
    net = one_layer([[0]], bias=20_000, bias_exp=6)
    assert first(net, [0], "v") == [1_280_000]


def test_a_negative_exponent_floors_the_sum():
    net = one_layer([[-6, 0], [0, 2]], exponent=-2, message_bits=0)
    assert first(net, [1, 1], "u") == [-2 * 64, 0]


def test_a_negative_exponent_floors_the_sum_and_not_each_weight():
    net = one_layer([[2, 2]], exponent=-2, message_bits=0)
    assert first(net, [1, 1], "u") == [1 * 64]


@pytest.mark.parametrize(("code", "u"), [(5, 640), (0, 0), (2, 640)])
def test_a_spike_has_no_payload(code, u):
    net = one_layer([[10]], message_bits=0)
    assert first(net, [code], "u") == [u]


def test_the_threshold_is_strict():
    net = one_layer([[1]], sign_mode="excitatory", v_threshold=1, steps=50)
    traces = run_fixed(net, np.array([[1]]), record=QUANTITIES)
    assert (traces.records["n/v"] == 64).all()
    assert traces.counts["n/spikes"].tolist() == [0]


def test_one_above_the_threshold_fires_and_resets_v_but_not_u():
    net = one_layer([[1]], sign_mode="excitatory", v_threshold=1, bias=1, steps=3)
    traces = run_fixed(net, np.array([[1]]), record=QUANTITIES)
    assert traces.records["n/spikes"][:, 0, 0].tolist() == [1, 1, 1]
    assert traces.records["n/v_pre"][:, 0, 0].tolist() == [65, 65, 65]
    assert traces.records["n/v"][:, 0, 0].tolist() == [0, 0, 0]
    assert traces.records["n/u"][:, 0, 0].tolist() == [64, 64, 64]


@pytest.mark.parametrize("start", [2**23, -(2**23) + 1, 2**23 - 1])
def test_the_range_of_u_is_closed_above_and_open_below(start):
    # 2^23 is a value that u can hold; -2^23 becomes 2^23.
    net = one_layer([[0]], decay_u=-1, u_init=start)
    assert first(net, [0], "u") == [start]


def test_the_lowest_24_bit_number_wraps_to_the_highest():
    net = one_layer([[0]], decay_u=-1, u_init=-(2**23))
    traces = run_fixed(net, np.array([[0]]), record=("u",))
    assert traces.records["n/u"][0, 0, 0] == 2**23
    assert traces.counts["n/wraps"].tolist() == [1]


def test_dlif_multiplies_the_whole_sum_and_floors_once():
    # (3 + 2) * 5 >> 2 = 6; floors of the two products would add to 5.
    population = FixedPopulation(
        name="n", nir_nodes=("n",), kind="dlif", decay_u=0, decay_v=np.full(2, 4096),
        bias=[2, -2], bias_exp=0, v_threshold=2**17, u_init=0, v_init=0, latency=1, scale=1.0,
        gain=[5, 7], gain_shift=2,
    )  # fmt: skip
    net = FixedPointNetwork(
        populations=(population,),
        synapses=(FixedSynapse("s", INPUT, "n", [[3], [-3]], 0, "mixed", message_bits=8),),
        n_input=1,
        encoder=ConstantEncoder(),
        readout=Readout("n", "last_v"),
        steps=4,
    )
    traces = run_fixed(net, np.array([[1]]), record=("v",))
    x = traces.records["n/v"][:, 0] >> 6
    # 25 >> 2, then 35 >> 2: the last gain holds. -25 >> 2 = -7 and -35 >> 2 = -9.
    assert x.tolist() == [[6, -7], [8, -9], [8, -9], [8, -9]]
    assert "n/u" not in run_fixed(net, np.array([[1]]), record=QUANTITIES).records
