"""Networks as classifiers, and the whole evaluation on small spiking networks."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from neurodeploy.attacks import PGD, Ball, BernoulliCode, Expectation
from neurodeploy.errors import InputError, ShapeError
from neurodeploy.network import (
    INPUT,
    V_THRESHOLD_MAX,
    ConstantEncoder,
    FixedPointNetwork,
    FixedPopulation,
    FixedSynapse,
    Network,
    Population,
    Readout,
    Synapse,
    decide,
)
from neurodeploy.robustness import (
    NetworkClassifier,
    RobustnessConfig,
    evaluate,
    replay,
    save_evidence,
)
from neurodeploy.robustness.classifiers import fingerprint
from neurodeploy.robustness.surrogates import Surrogate
from neurodeploy.simulate import FixedGradient, run_fixed, run_float

N_INPUT, HIDDEN, CLASSES, STEPS, WEIGHT_UNIT = 12, 20, 4, 5, 40


def networks(seed=0, gain=None):
    """A float network, and the same one in integers (input weights rounded to even mantissas)."""
    rng = np.random.default_rng(seed)
    mantissa = 2 * rng.integers(-40, 41, (HIDDEN, N_INPUT))
    out = 2 * rng.integers(-60, 61, (CLASSES, HIDDEN))
    encoder = ConstantEncoder()
    # One code is 1/255 in the float network: weights and threshold are in the same unit.
    threshold = 6 * 255 * WEIGHT_UNIT
    ones = np.ones(HIDDEN)
    lif = Population(
        "lif", ("lif",), "lif", 0.05 * ones, ones, 0 * ones, threshold / 255 * ones, 0 * ones,
        0 * ones, 0 * ones, gain,
    )  # fmt: skip
    last = np.ones(CLASSES)
    readout = Population(
        "out", ("out",), "li", 0 * last, last, 0 * last, np.inf * last, 0 * last, 0 * last,
        0 * last,
    )  # fmt: skip
    noise = rng.uniform(-0.9, 0.9, mantissa.shape)
    synapses = (
        Synapse.dense("a", INPUT, "lif", mantissa + noise),
        Synapse.dense("b", "lif", "out", out.astype(float)),
    )
    float_net = Network((lif, readout), synapses, N_INPUT, encoder, Readout("out", "sum"), STEPS)
    fixed_lif = FixedPopulation(
        "lif", ("lif",), "lif", 4095, np.full(HIDDEN, 205), 0, 0, threshold, 0, 0, 1, 64.0 * 255
    )
    fixed_out = FixedPopulation(
        "out", ("out",), "readout", 4095, np.zeros(CLASSES), 0, 0, V_THRESHOLD_MAX + 1, 0, 0, 2,
        64.0,
    )  # fmt: skip
    fixed_net = FixedPointNetwork(
        (fixed_lif, fixed_out),
        (
            FixedSynapse("a", INPUT, "lif", mantissa, 0, "mixed", message_bits=8),
            FixedSynapse("b", "lif", "out", out, 0, "mixed"),
        ),
        N_INPUT,
        encoder,
        Readout("out", "sum"),
        STEPS,
    )
    return float_net, fixed_net


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(9)
    codes = rng.integers(0, 256, (80, N_INPUT)).astype(np.int32)
    labels = decide(run_float(networks()[0], codes).scores())
    assert len(set(labels.tolist())) >= 3
    return codes, np.maximum(labels, 0)


def test_predictions_are_those_of_the_simulator_and_of_the_gradient_s_forward(data):
    codes, _ = data
    float_net, fixed_net = networks()
    expected = {
        "float": decide(run_float(float_net, codes).scores()),
        "fixed": decide(run_fixed(fixed_net, codes).scores()),
    }
    for side, net in (("float", float_net), ("fixed", fixed_net)):
        classifier = NetworkClassifier(net)
        predicted = classifier.predict(codes)
        assert predicted.dtype == np.int64
        assert (predicted == expected[side]).all()
        scores = classifier.under(Surrogate()).scores(torch.from_numpy(codes.astype(np.float64)))
        assert (decide(scores.detach().numpy()) == predicted).all()
    agree = (expected["float"] == expected["fixed"]).mean()
    assert 0.7 < agree < 1, "the two networks are close, but not the same"


def test_batches_change_nothing(data, monkeypatch):
    codes, _ = data
    classifier = NetworkClassifier(networks()[1])
    whole = classifier.predict(codes)
    monkeypatch.setattr("neurodeploy.robustness.classifiers.BATCH", 7)
    assert (classifier.predict(codes) == whole).all()
    assert classifier.predict(codes[:0]).shape == (0,)
    with pytest.raises(ShapeError, match="takes"):
        classifier.predict(codes[:, :5])


def test_gradients_have_a_width(data):
    codes, _ = data
    for net in networks():
        classifier = NetworkClassifier(net)
        gradients = []
        for width in (0.25, 2.0):
            point = torch.from_numpy(codes.astype(np.float64)).requires_grad_(True)
            scores = classifier.under(Surrogate(width=width)).scores(point)
            gradients.append(torch.autograd.grad(scores[:, 0].sum(), point)[0])
        assert gradients[0].abs().sum() > 0
        assert not torch.allclose(gradients[0], gradients[1])


def test_evaluation_of_spiking_networks_and_its_replay(data, tmp_path):
    codes, labels = data
    float_net, fixed_net = networks()
    config = RobustnessConfig(
        ("gaussian", "fgsm", "pgd5"), (4, 12), bootstrap=1000, seed=1, allow_empty_classes=True
    )
    threads = torch.get_num_threads()
    result = evaluate(float_net, fixed_net, codes, labels, config)
    assert torch.get_num_threads() == threads
    assert any(0 < row["float"] < 1 and row["lost"] > 0 for row in result.rows)
    path = tmp_path / "evidence.npz"
    save_evidence(path, result.evidence)
    found = replay(path, float_net, fixed_net)
    assert found.ok, found.differences
    for row in result.rows:
        again = found.rows[f"{row['perturbation']}/{row['radius_codes']}"]
        assert all(again[k] == row[k] for k in ("float", "fixed", "lost", "gained"))


def test_replay_notices_a_changed_network_even_where_it_decides_alike(data, tmp_path):
    codes, labels = data
    float_net, fixed_net = networks()
    config = RobustnessConfig(
        ("gaussian",), (4,), noise_draws=1, bootstrap=1000, allow_empty_classes=True
    )
    result = evaluate(float_net, fixed_net, codes, labels, config)
    path = tmp_path / "evidence.npz"
    save_evidence(path, result.evidence)
    relabelled = dataclasses.replace(fixed_net, contract={"dt": 1.0})
    found = replay(path, fixed_net=relabelled)
    assert len(found.differences) == 1
    assert "fixed network: hash" in found.differences[0]
    weight = np.array(fixed_net.synapses[1].weight)
    weight[1] = 0  # the class that wins most often
    synapses = (fixed_net.synapses[0], dataclasses.replace(fixed_net.synapses[1], weight=weight))
    found = replay(path, float_net, dataclasses.replace(fixed_net, synapses=synapses))
    assert any("samples differ" in text for text in found.differences)


def test_fingerprint_covers_every_parameter_of_a_float_network():
    net = networks(gain=np.array([1.0, 1.5]))[0]
    prints = {fingerprint(net)}
    first = net.populations[0]
    for name in ("decay_v", "input_gain", "v_leak", "v_threshold", "v_reset", "v_init", "bias"):
        changed = dataclasses.replace(first, **{name: getattr(first, name) + 0.01})
        prints.add(fingerprint(dataclasses.replace(net, populations=(changed, net.populations[1]))))
    changed = dataclasses.replace(first, gain=None)
    prints.add(fingerprint(dataclasses.replace(net, populations=(changed, net.populations[1]))))
    weight = np.array(net.synapses[0].weight)
    weight[0, 0] += 1e-9
    first_synapse = net.synapses[0]
    synapse = Synapse.dense(first_synapse.name, first_synapse.source, first_synapse.target, weight)
    prints.add(fingerprint(dataclasses.replace(net, synapses=(synapse, net.synapses[1]))))
    prints.add(fingerprint(dataclasses.replace(net, steps=STEPS + 1)))
    prints.add(fingerprint(dataclasses.replace(net, encoder=ConstantEncoder(high=2.0))))
    prints.add(fingerprint(dataclasses.replace(net, readout=Readout("out", "max_v"))))
    assert len(prints) == 13
    assert fingerprint(net) == fingerprint(networks(gain=np.array([1.0, 1.5]))[0])


def test_networks_must_share_one_grid(data):
    codes, labels = data
    float_net, fixed_net = networks()
    other = dataclasses.replace(float_net, encoder=ConstantEncoder(high=2.0))
    with pytest.raises(InputError, match="must share one input grid"):
        evaluate(other, fixed_net, codes, labels)


def test_another_device_predicts_the_same_integers(data):
    """The torch path, here on the CPU under another name."""
    codes, _ = data
    net = networks()[1]
    usual, other = NetworkClassifier(net), NetworkClassifier(net, device="cpu:0")
    assert (other.predicted_scores(codes) == usual.predicted_scores(codes)).all()
    assert (other.predict(codes) == usual.predict(codes)).all()


@dataclasses.dataclass(frozen=True)
class RateCoded:
    """A fixed-point network behind a rate code: every draw sees other spikes."""

    gradient: FixedGradient
    code: BernoulliCode

    @property
    def max_code(self):
        return self.code.max_code

    def scores_of_draw(self, codes, seed):
        return self.gradient.scores(self.code.spikes(codes, seed) * self.max_code)


def test_expectation_over_draws_attacks_a_rate_coded_network(data):
    codes, _ = data
    coded = RateCoded(FixedGradient(networks()[1], width=0.5), BernoulliCode(STEPS, 255))
    fresh = Expectation(coded, tuple(range(100, 140)))
    labels = np.maximum(fresh.predict(codes), 0)
    left = []
    for seeds in ((1,), tuple(range(8))):
        attacked = Expectation(coded, seeds)
        outcome = PGD(8, restarts=1).run(attacked, codes, labels, Ball("linf", 20, 255), 3)
        left.append((fresh.predict(outcome.codes) == labels).mean())
    assert left[1] < left[0] < 1, "what breaks eight draws at once breaks more of the others"
