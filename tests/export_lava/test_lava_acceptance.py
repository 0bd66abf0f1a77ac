"""Networks of which Lava would compute another one are refused, with the number that changes."""

from dataclasses import replace

import numpy as np
import pytest
from oracles.random_networks import random_fixed_network

from neurodeploy.errors import InputError, NeurodeployError, RangeError
from neurodeploy.export.lava import run_lava
from neurodeploy.export.lava.acceptance import lava_prepared, require_faithful

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


def test_a_bias_beyond_sixteen_bits(net):
    first = net.populations[0]
    changed = replace(first, bias=np.full(first.size, 40000), v_init=np.zeros(first.size))
    with pytest.raises(RangeError, match="would wrap to 16 bits"):
        require_faithful(replace(net, populations=(changed, *net.populations[1:])))


def test_a_population_without_start_state(net):
    first = net.populations[0]
    # A membrane that forgets at once ends its first step at the bias, whatever it started from.
    changed = replace(
        first, bias=np.full(first.size, 5), decay_v=np.full(first.size, 4096),
        v_init=np.zeros(first.size),
    )  # fmt: skip
    with pytest.raises(RangeError, match="no start state"):
        require_faithful(replace(net, populations=(changed, *net.populations[1:])))


def test_layers_that_do_not_follow_each_other(net):
    last = replace(net.populations[-1], latency=3)
    last = replace(last, bias=np.zeros(last.size), v_init=np.zeros(last.size))
    with pytest.raises(InputError, match="one hardware step"):
        require_faithful(replace(net, populations=(*net.populations[:-1], last)))


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
    ]:
        with pytest.raises(NeurodeployError) as caught:
            run_lava(net, codes, **keywords)
        assert caught.value.exit_code == 2
