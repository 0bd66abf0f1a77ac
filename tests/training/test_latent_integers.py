"""What integers learn leaves every state within what was proven of it before."""

import numpy as np
import pytest
from quantization.deployable import random_deployable

from neurodeploy import hardware_profiles
from neurodeploy.errors import NeurodeployError
from neurodeploy.network import (
    ALIGN_BITS,
    INPUT,
    V_MAX,
    ConstantEncoder,
    Convolution,
    FixedSynapse,
    Network,
    Population,
    Readout,
    Synapse,
)
from neurodeploy.quantization import QuantizeConfig, quantize
from neurodeploy.quantization.incoming import SIGNS, Drive, Incoming
from neurodeploy.quantization.population_scale import demand_of, scale_at
from neurodeploy.quantization.rounding import RoundedWeight
from neurodeploy.simulate import run_fixed
from neurodeploy.simulate.weight_gradient import ParameterGradients
from neurodeploy.training.latent_integers import LatentIntegers
from neurodeploy.training.repair import _wanted

PROFILE = hardware_profiles.load("loihi2")
#: Neurons that keep much and neurons that keep little: a sum means more to the former.
MIXED = np.array([0.9, 0.8, 0.5, 0.3, 0.05, 0.02])


def demands(net, steps=None):
    """What the quantiser's proof says of the integers, in units of ``a``, per population."""
    found = {}
    for p in net.populations:
        zeros, gained = np.zeros(p.size), p.gain is not None
        neurons = Population(
            p.name, (p.name,), "lif", p.decay_v / 4096, zeros + 1, zeros, zeros + 1, zeros,
            p.v_init / 2**ALIGN_BITS, zeros, decay_u=None if gained else (p.decay_u + 1) / 4096,
            w_in=None if gained else zeros + 1,
        )  # fmt: skip
        into_v = zeros if gained else p.bias_shifted / 2**ALIGN_BITS
        arriving = list(net.synapses_into(p.name))
        if gained:
            # As a synapse it is rounded already, and no room is left for that.
            bias = FixedSynapse("bias", "always_on", p.name, p.bias[:, None], 0, "mixed")
            arriving.append(bias)
        highest = {INPUT: net.encoder.max_code}
        found[p.name] = demand_of(
            neurons,
            [Incoming(s, s.weight, s.layout, highest.get(s.source, 1)) for s in arriving],
            [RoundedWeight(s.weight, -s.weight_exp, s.sign_mode, 0, 0) for s in arriving],
            Drive(zeros, into_v), float(p.gain.max() / 2**p.gain_shift) if gained else 1.0,
            steps or net.steps, None,
        )  # fmt: skip
    return found


def no_more(after, before):
    """Whether nothing can go further; rounding of this sum's own order aside."""
    return all(
        getattr(after[name], state) <= getattr(before[name], state) * (1 + 1e-12)
        for name in before
        for state in ("u_bound", "v_bound")
    )


def learned(network, net, rng, towards, count=8, steps=0):
    """Networks on the way where gradients lead up, down or anywhere."""
    latent = LatentIntegers(net, _wanted(network, net), steps)

    def slope(shape):
        drawn = rng.normal(0, 1, shape)
        return drawn if not towards else -towards * np.abs(drawn)

    for _ in range(count):
        weights = {s.name: slope(s.weight.shape) for s in net.synapses}
        biases = {p.name: slope(p.size) for p in net.populations}
        latent.step(ParameterGradients(np.zeros((1, net.n_input)), weights, biases), 0.2)
        yield latent.network()


def one_layer(operators, decay, *, steps=20, encoder=None, **parts):
    zeros = np.zeros(np.size(decay))
    given = {"input_gain": zeros + 1, "bias": zeros, "shape": zeros.shape, **parts}
    p = Population(
        "a", ("a",), "lif", decay + zeros, given["input_gain"], zeros, zeros + 1, zeros, zeros,
        given["bias"], gain=given.get("gain"), shape=given["shape"],
    )  # fmt: skip
    synapses = tuple(
        Synapse(f"s{i}", "input", "a", (made,)) if isinstance(made, Convolution)
        else Synapse.dense(f"s{i}", "input", "a", made)
        for i, made in enumerate(operators)
    )  # fmt: skip
    n_input = 32 if given["shape"] != zeros.shape else operators[0].shape[1]
    return Network(
        (p,), synapses, n_input, encoder or ConstantEncoder(), Readout("a", "count"), steps,
        input_shape=(2, 4, 4) if n_input == 32 else (n_input,),
    )  # fmt: skip


def dense_layer(rng, decay, **parts):
    return one_layer([rng.normal(0, 0.4, (6, 20))], decay, **parts)


def conv_layer(rng, *, dense):
    """Every position of a map keeps another share, and a second synapse may join."""
    kernel = Convolution(
        "c", rng.normal(0, 0.5, (3, 2, 3, 3)), None, (1, 1), ((1, 1), (1, 1)), (1, 1), 1,
        (2, 4, 4), (3, 4, 4),
    )  # fmt: skip
    also = [rng.normal(0, 0.3, (48, 32))] if dense else []
    decay = rng.choice(MIXED, 48)
    return one_layer([kernel, *also], decay, shape=(3, 4, 4), bias=rng.normal(0, 0.2, 48))


LAYERS = {
    "split": (lambda rng: dense_layer(rng, 0.3 + np.zeros(6)), {"sign_split": "auto"}),
    "mixed decays": (lambda rng: dense_layer(rng, MIXED), {}),
    "mixed, split": (lambda rng: dense_layer(rng, MIXED), {"sign_split": "auto"}),
    "units of their own": (lambda rng: dense_layer(rng, MIXED), {"granularity": "neuron"}),
    "biases": (lambda rng: dense_layer(rng, MIXED, bias=rng.normal(0, 2.0, 6)), {}),
    "gain": (
        lambda rng: dense_layer(
            rng, MIXED, gain=rng.uniform(0.4, 1.9, 5), bias=rng.normal(0, 1.0, 6)
        ),
        {"sign_split": "auto"},
    ),
    "convolution": (lambda rng: conv_layer(rng, dense=False), {"sign_split": "auto"}),
    "convolution and matrix": (lambda rng: conv_layer(rng, dense=True), {}),
}


@pytest.mark.parametrize("towards", [1, -1, 0])
@pytest.mark.parametrize("name", LAYERS)
def test_what_was_proven_stays_proven(name, towards):
    make, ways = LAYERS[name]
    rng = np.random.default_rng(3)
    network = make(rng)
    codes = rng.integers(0, 256, (30, network.n_input)).astype(np.int32)
    net = quantize(network, PROFILE, QuantizeConfig(4, **ways), calibration=codes).value
    if "sign_split" in ways and network.populations[0].gain is None:
        assert any(s.name.endswith(SIGNS) for s in net.synapses)
    before = demands(net)
    proven = scale_at(0, before["a"])
    assert proven.u_proven
    assert proven.v_proven
    moved = 0.0
    for now in learned(network, net, rng, towards):
        assert no_more(demands(now), before)
        pairs = zip(now.synapses, net.synapses, strict=True)
        moved = max(moved, *((s.weight != old.weight).mean() for s, old in pairs))
    assert moved > 0.05


@pytest.mark.parametrize("name", ["split", "mixed decays", "mixed, split"])
def test_the_worst_input_of_each_neuron_never_saturates(name):
    """Without any proof: the samples that push each neuron down as far as codes can."""
    make, ways = LAYERS[name]
    rng = np.random.default_rng(0)
    network = make(rng)
    codes = rng.integers(0, 256, (30, network.n_input)).astype(np.int32)
    net = quantize(network, PROFILE, QuantizeConfig(4, **ways), calibration=codes).value
    for now in learned(network, net, rng, -1):
        total = sum(np.ldexp(s.weight, s.weight_exp) for s in now.synapses)
        worst = np.where(total < 0, now.encoder.max_code, 0).astype(np.int32)
        v = run_fixed(now, worst, record=("v_pre",), threads=1).records["a/v_pre"]
        assert np.abs(v.astype(np.int64)).max() < V_MAX


def test_a_neuron_of_small_sums_may_take_those_of_others_that_forget_as_fast():
    rng = np.random.default_rng(0)
    weight = rng.normal(0, 0.4, (6, 20))
    weight[[0, 5]] /= 8
    network = one_layer([weight], np.array([0.5, 0.5, 0.5, 0.5, 0.5, 0.02]))
    net = quantize(network, PROFILE, QuantizeConfig(4)).value
    ways = (net, *learned(network, net, rng, 1))
    sums = np.array([np.maximum(n.synapses[0].weight, 0).sum(axis=1) for n in ways])
    grown = sums.max(axis=0) / sums[0]
    assert grown[0] > 4
    assert grown[5] < 2


def test_long_samples_count():
    """A slow neuron of small sums overtakes a fast one of large sums in a longer sample."""
    weight = np.random.default_rng(0).uniform(0.1, 0.4, (6, 20))
    weight[3:] /= 40
    decay = np.array([0.5, 0.5, 0.5, 0.0, 0.0, 0.0])
    network = one_layer([weight], decay, steps=2)
    net = quantize(network, PROFILE, QuantizeConfig(4)).value
    before, holds = demands(net, 400), {}
    for steps in (0, 400):
        rng = np.random.default_rng(1)
        ways = learned(network, net, rng, 1, steps=steps)
        holds[steps] = all(no_more(demands(now, 400), before) for now in ways)
    assert holds == {0: False, 400: True}


def test_random_networks_stay_within_their_demands():
    ran = moved = 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        network = random_deployable(rng, steps=8, layers=3)
        codes = rng.integers(0, 256, (20, network.n_input)).astype(np.int32)
        config = QuantizeConfig(4, sign_split="auto" if seed % 2 else "never")
        try:
            net = quantize(network, PROFILE, config, calibration=codes).value
        except NeurodeployError:
            continue
        ran += 1
        before, found = demands(net), 0
        for now in learned(network, net, rng, (1, -1, 0)[seed % 3], count=4):
            assert no_more(demands(now), before)
            pairs = zip(now.synapses, net.synapses, strict=True)
            found += any((a.weight != b.weight).any() for a, b in pairs)
            for p, old in zip(now.populations, net.populations, strict=True):
                assert np.abs(p.bias).max() <= np.abs(old.bias).max()
        moved += found > 0
    assert ran >= 5
    assert moved >= 4
