"""Networks of which Lava would compute another one are refused, with the number that changes."""

from dataclasses import replace

import numpy as np
import pytest
from oracles.random_networks import random_fixed_network

from neurodeploy.errors import NeurodeployError, RangeError
from neurodeploy.export.lava import run_lava
from neurodeploy.export.lava.acceptance import check_faithful, lava_prepared, require_faithful
from neurodeploy.network import (
    INPUT,
    ConstantEncoder,
    FixedPointNetwork,
    FixedPopulation,
    FixedSynapse,
    Readout,
)
from neurodeploy.network.fixed import ConvLayout

WEIGHTS = np.arange(-300, 301)


def prepare_by_hand(weight, sign_mode, bits):
    """One weight, in plain Python: clip, then drop low bits (down; toward zero if inhibitory)."""
    low, high = {"mixed": (-256, 255), "excitatory": (0, 255), "inhibitory": (-255, 0)}[sign_mode]
    clipped = min(max(int(weight), low), high)
    step = 2 ** (9 - bits if sign_mode == "mixed" else 8 - bits)
    if sign_mode == "inhibitory":
        return -(-clipped // step) * step
    return (clipped // step) * step


@pytest.mark.parametrize("sign_mode", ["mixed", "excitatory", "inhibitory"])
@pytest.mark.parametrize("bits", range(1, 9))
def test_prepared_weights(sign_mode, bits):
    expected = [prepare_by_hand(w, sign_mode, bits) for w in WEIGHTS]
    np.testing.assert_array_equal(lava_prepared(WEIGHTS, sign_mode, bits), expected)


def test_known_prepared_weights():
    np.testing.assert_array_equal(
        lava_prepared(np.array([3, -3, 300, -300]), "mixed", 8), [2, -4, 254, -256]
    )
    np.testing.assert_array_equal(
        lava_prepared(np.array([5, -5, 300]), "excitatory", 8), [5, 0, 255]
    )


def with_weight(net, value, **changes):
    synapse = net.synapses[0]
    weight = np.array(synapse.weight)
    weight[1, 2] = value
    changed = replace(synapse, weight=weight, **changes)
    return replace(net, synapses=(changed, *net.synapses[1:]))


@pytest.fixture
def net():
    return random_fixed_network(np.random.default_rng(2), layers=2, kind="lif", extreme=False)


@pytest.mark.parametrize(
    ("value", "changes"),
    [
        (3, {"sign_mode": "mixed"}),
        (256, {"sign_mode": "mixed"}),
        (-258, {"sign_mode": "mixed"}),
        (-1, {"sign_mode": "excitatory"}),
        (1, {"sign_mode": "inhibitory"}),
        (1, {"sign_mode": "excitatory", "weight_bits": 7}),
    ],
)
def test_weights_that_lava_would_change(net, value, changes):
    plain = replace(net.synapses[0], weight=np.zeros_like(net.synapses[0].weight), weight_bits=8)
    net = replace(net, synapses=(plain, *net.synapses[1:]))
    require_faithful(net)
    changed = with_weight(net, value, **changes)
    with pytest.raises(RangeError, match=rf"change 1 of .*\[1, 2\] from {value} "):
        require_faithful(changed)
    with pytest.raises(RangeError, match="Lava would change"):
        run_lava(changed, np.zeros((1, net.n_input), np.int32))


def test_bits_that_lava_mistreats(net):
    for bits in (0, 9):
        with pytest.raises(RangeError, match=f"weight_bits {bits}"):
            require_faithful(with_weight(net, 0, weight_bits=bits))


def with_first(net, **changes):
    return replace(net, populations=(replace(net.populations[0], **changes), *net.populations[1:]))


def test_what_no_chip_holds_needs_quirks(net):
    size = net.populations[0].size
    wide = with_first(
        net, bias=np.full(size, 40000), bias_exp=0, v_init=np.zeros(size), decay_v=np.zeros(size)
    )
    with pytest.raises(RangeError, match="bias mantissa"):
        require_faithful(wide)
    # Lava wraps it at 16 bits, and so does the type: nothing is changed.
    require_faithful(wide, lava_quirks=True)


def test_a_population_without_start_state(net):
    # A membrane that forgets at once ends its first step at the bias, whatever it started from.
    size = net.populations[0].size
    changed = with_first(
        net, bias=np.full(size, 5), decay_v=np.full(size, 4096), v_init=np.zeros(size)
    )
    with pytest.raises(RangeError, match="no start state.*always-on line"):
        require_faithful(changed)
    # Our own process waits for its first step.
    require_faithful(replace(changed, populations=(
        replace(changed.populations[0], refractory_steps=2), *changed.populations[1:],
    )))  # fmt: skip


def test_layers_need_not_follow_each_other(net):
    last = replace(net.populations[-1], latency=1)
    last = replace(last, bias=np.zeros(last.size), v_init=np.zeros(last.size))
    require_faithful(replace(net, populations=(*net.populations[:-1], last)))


def conv_network(*, bits=8, weight=2, input_shape=(1, 1, 400), stride=(1, 1), padding=(0, 0),
                 dilation=(1, 1), groups=1, kernel=(1, 1)):  # fmt: skip
    extent = [
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, p, d, k, s in zip(input_shape[1:], padding, dilation, kernel, stride, strict=True)
    ]
    channels = input_shape[0]
    layout = ConvLayout(stride, padding, dilation, groups, input_shape, (channels, *extent))
    size = int(np.prod(layout.output_shape))
    zeros = np.zeros(size)
    maps = FixedPopulation(
        "maps", ("maps",), "lif", zeros + 4095, zeros, zeros, 0, zeros + 9, zeros, zeros, 1, 1.0
    )
    kernel = np.full((channels, channels // groups, *kernel), weight)
    synapse = FixedSynapse("conv", INPUT, "maps", kernel, 0, "mixed", 8, 8, 0, layout)
    encoder, readout = ConstantEncoder(bits=bits), Readout("maps", "count")
    return FixedPointNetwork((maps,), (synapse,), int(np.prod(input_shape)), encoder, readout, 4)


@pytest.mark.parametrize(
    ("name", "value", "changes"),
    [
        ("stride", 128, {"stride": (1, 128)}),
        ("padding", 200, {"padding": (0, 200)}),
        ("dilation", 130, {"dilation": (1, 130), "kernel": (1, 2)}),
        ("kernel", 140, {"kernel": (1, 140)}),
        ("groups", 128, {"groups": 128, "input_shape": (128, 1, 2)}),
    ],
)
def test_geometry_beyond_eight_bits(name, value, changes):
    with pytest.raises(RangeError, match=rf"{name} {value}; Lava's Conv .* 127; .*sparse"):
        require_faithful(conv_network(**changes))


def test_convolution_weights():
    require_faithful(conv_network(weight=254))
    odd = conv_network(weight=255)
    with pytest.raises(RangeError, match="synapse conv: weight"):
        require_faithful(odd)
    require_faithful(odd, lava_quirks=True)
    # 65535 * 40000 does not fit the int32 that Lava makes of a sum.
    with pytest.raises(RangeError, match="a sum may reach 2621400000"):
        require_faithful(conv_network(weight=40000, bits=16), lava_quirks=True)


def test_delays(net):
    last, first = net.populations[-1], net.populations[0]
    weight = np.zeros((last.size, first.size), np.int32)

    def delayed(delay, **changes):
        extra = FixedSynapse("far", first.name, last.name, weight, 0, "mixed", delay=delay)
        return replace(net, synapses=(*net.synapses, replace(extra, **changes)))

    require_faithful(delayed(62))
    with pytest.raises(RangeError, match="delay is 63..63, the register holds 0..62"):
        require_faithful(delayed(63))
    require_faithful(delayed(63), lava_quirks=True)
    with pytest.raises(RangeError, match="delay 64; Lava takes"):
        require_faithful(delayed(64), lava_quirks=True)


def test_graded_sums_that_lava_adds_in_64_bits():
    zeros = np.zeros(3)
    layer = FixedPopulation(
        "layer", ("layer",), "lif", zeros + 4095, zeros, zeros, 0, zeros + 9, zeros, zeros, 1, 1.0
    )
    weight = np.full((3, 200), 254)
    synapse = FixedSynapse("s", INPUT, "layer", weight, -8, "mixed", 8, 16, 1)
    encoder, readout = ConstantEncoder(bits=16), Readout("layer", "count")
    net = FixedPointNetwork((layer,), (synapse,), 200, encoder, readout, 4)
    with pytest.raises(RangeError, match="DelayDense shifts it in 64 bits"):
        require_faithful(net)
    for harmless in ({"delay": 0}, {"weight_exp": 0}, {"weight": weight // 4 * 2}):
        require_faithful(replace(net, synapses=(replace(synapse, **harmless),)))


def test_one_error_lists_everything(net):
    changed = with_weight(net, 3, sign_mode="mixed", weight_bits=8)
    changed = with_first(changed, bias=np.full(net.populations[0].size, 5000), bias_exp=9)
    last = replace(changed.synapses[-1], weight_exp=9)
    changed = replace(changed, synapses=(*changed.synapses[:-1], last))
    with pytest.raises(RangeError) as caught:
        require_faithful(changed)
    text = str(caught.value)
    found = check_faithful(changed)
    assert len(found) >= 3
    assert f"{len(found)} reasons" in text
    assert text.count("\n") == len(found)
    for finding in found:
        assert finding.severity == "error"
        assert finding.remedy
        assert f"{finding.where}: {finding.what}; {finding.remedy}" in text
    assert len(check_faithful(changed, lava_quirks=True)) < len(found)


def test_input_is_checked_before_anything_starts(net):
    good = np.zeros((1, net.n_input), np.int32)
    for codes, keywords in [
        (good[:, 1:], {}),
        (good - 1, {}),
        (good + 0.5, {}),
        (good, {"record": ("v_pre",)}),
        (good, {"record": ("w",)}),
        (good, {"timing": "late"}),
        (good, {"steps": 0}),
        (good, {"workers": 0}),
    ]:
        with pytest.raises(NeurodeployError) as caught:
            run_lava(net, codes, **keywords)
        assert caught.value.exit_code == 2
