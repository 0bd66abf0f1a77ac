"""Predicted flips against those that the integers make."""

import dataclasses
import json

import numpy as np
import pytest
from robustness.exact_reals import CHIP, cases

from neurodeploy.errors import RangeError
from neurodeploy.network import (
    INPUT,
    ConstantEncoder,
    Convolution,
    Network,
    Population,
    Readout,
    Synapse,
)
from neurodeploy.quantization import QuantizeConfig, quantize_network
from neurodeploy.robustness.certificates import deviation_flips
from neurodeploy.robustness.certificates.deviation_flips import measured_flips, predict_flips
from neurodeploy.simulate import run_fixed, run_float


def layered(seed, kind="lif", sizes=(16, 40, 30, 4), steps=8):
    """A network as they are trained: slow membranes, many inputs, thresholds of 1."""
    rng = np.random.default_rng(seed)
    populations, synapses = [], []
    for i, (n_in, n) in enumerate(zip(sizes, sizes[1:], strict=False)):
        last = i == len(sizes) - 2
        options = {"gain": rng.uniform(0.6, 1.8, steps)} if kind == "dlif" and not last else {}
        if kind == "current" and not last:
            options = {"decay_u": np.full(n, 0.6), "w_in": np.ones(n)}
        populations.append(
            Population(
                f"p{i}", (f"p{i}",), "li" if last else "lif", np.full(n, 0.0 if last else 0.05),
                np.ones(n), np.zeros(n), np.full(n, np.inf if last else 1.0), np.zeros(n),
                np.zeros(n), rng.normal(0, 0.05, n), **options,
            )
        )  # fmt: skip
        weight = rng.normal(0.3 / n_in, 1.2 / np.sqrt(n_in), (n, n_in))
        source = INPUT if i == 0 else f"p{i - 1}"
        synapses.append(Synapse.dense(f"s{i}", source, f"p{i}", weight))
    encoder = ConstantEncoder(bits=8)
    return Network(
        tuple(populations), tuple(synapses), sizes[0], encoder,
        Readout(populations[-1].name, "last_v"), steps,
    )  # fmt: skip


def both(kind, bits, seeds=range(3), **options):
    """Return predicted and measured flips of each population, added up over networks."""
    predicted, measured = {}, {}
    for seed in seeds:
        network = layered(seed, kind)
        net = quantize_network(network, CHIP, QuantizeConfig(bits)).value
        codes = np.random.default_rng(seed).integers(0, 256, (40, 16))
        guess = predict_flips(network, net, codes, draws=3, seed=seed, **options)
        found = measured_flips(network, net, codes)
        for name in guess.flips:
            predicted[name] = predicted.get(name, 0) + guess.flips[name].mean()
            measured[name] = measured.get(name, 0) + found.flips[name][0]
    return predicted, measured


@pytest.mark.parametrize("kind", ["lif", "dlif", "current"])
@pytest.mark.parametrize("bits", [4, 8])
def test_prediction_is_close(kind, bits):
    predicted, measured = both(kind, bits)
    for name, count in measured.items():
        assert count > 20
        assert predicted[name] == pytest.approx(count, rel=0.35)


def test_half_the_steps_would_be_seen(monkeypatch):
    monkeypatch.setattr(
        deviation_flips, "_error", lambda size, generator: generator.uniform(-0.2, 0.2, size)
    )
    predicted, measured = both("lif", 4)
    assert predicted["p0"] < 0.6 * measured["p0"]


def test_no_rounding_no_flips(monkeypatch):
    monkeypatch.setattr(deviation_flips, "_error", lambda size, generator: np.zeros(size))
    predicted, _ = both("dlif", 4, seeds=range(1))
    assert set(predicted.values()) == {0.0}


def test_the_integers_are_not_run(monkeypatch):
    """The values of the stored weights play no part: only their steps do."""
    network = layered(0)
    net = quantize_network(network, CHIP).value
    codes = np.random.default_rng(0).integers(0, 256, (20, 16))
    zeroed = tuple(dataclasses.replace(s, weight=s.weight * 0) for s in net.synapses)
    blank = dataclasses.replace(net, synapses=zeroed)
    assert (
        predict_flips(network, blank, codes).as_dict()
        == predict_flips(network, net, codes).as_dict()
    )


def test_seeds_and_draws():
    network = layered(0)
    net = quantize_network(network, CHIP, QuantizeConfig(4)).value
    codes = np.random.default_rng(0).integers(0, 256, (20, 16))
    one, same, other = (predict_flips(network, net, codes, seed=s, draws=3) for s in (1, 1, 2))
    assert (one.flips["p0"] == same.flips["p0"]).all()
    assert (one.flips["p0"] != other.flips["p0"]).any()
    assert one.flips["p0"].shape == one.decisions.shape == (3,)
    json.dumps(one.as_dict(), allow_nan=False)
    assert one.as_dict()["populations"]["p0"]["agreement"] == one.agreement("p0") < 1
    with pytest.raises(RangeError, match="draws"):
        predict_flips(network, net, codes, draws=0)


def test_measured_flips_are_those_of_two_runs():
    network = layered(1)
    net = quantize_network(network, CHIP, QuantizeConfig(4)).value
    codes = np.random.default_rng(0).integers(0, 256, (20, 16))
    found = measured_flips(network, net, codes)
    one = run_float(network, codes, record=("spikes",)).records
    two = run_fixed(net, codes, record=("spikes",)).records
    for name in ("p0", "p1"):
        assert found.flips[name][0] == (one[f"{name}/spikes"] != two[f"{name}/spikes"]).sum() > 0
    assert "p2" not in found.flips


def test_every_kind_of_connection():
    """Loops, lines, sparse matrices and convolutions run, and their weights are disturbed."""
    for network, net, codes in cases(6, seed=31):
        found = predict_flips(network, net, codes, draws=2)
        assert set(found.flips) == {p.name for p in network.populations if p.fires}
    rng = np.random.default_rng(0)
    kernel = rng.normal(0, 0.5, (3, 1, 3, 3))
    conv = Convolution(
        "c", kernel, None, (1, 1), ((1, 1), (1, 1)), (1, 1), 1, (1, 4, 4), (3, 4, 4)
    )  # fmt: skip
    first = layered(0, sizes=(16, 48, 4))
    synapses = (Synapse("s0", INPUT, "p0", (conv,)), first.synapses[1])
    shaped = dataclasses.replace(first.populations[0], shape=(3, 4, 4))
    network = dataclasses.replace(
        first, populations=(shaped, first.populations[1]), synapses=synapses, input_shape=(1, 4, 4)
    )
    net = quantize_network(network, CHIP, QuantizeConfig(4)).value
    codes = rng.integers(0, 256, (40, 16))
    guess = predict_flips(network, net, codes, draws=8).flips["p0"].mean()
    assert guess == pytest.approx(measured_flips(network, net, codes).flips["p0"][0], rel=0.6)
