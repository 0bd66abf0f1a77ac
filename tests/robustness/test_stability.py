"""The stability gain: attained by one perturbation, exceeded by none, and the warning."""

import dataclasses
import json

import numpy as np
import pytest
from oracles.literal_float import apply
from scipy import sparse
from scipy.sparse.linalg import ArpackNoConvergence
from simulate_networks import network, population

from neurodeploy.network import (
    ALWAYS_ON,
    INPUT,
    ConvLayout,
    Convolution,
    FixedPopulation,
    FixedSynapse,
    Readout,
)
from neurodeploy.robustness.certificates import stability_norms
from neurodeploy.robustness.certificates.stability import WARNING, stability_gains
from neurodeploy.robustness.certificates.stability_norms import Norm, operator_norm
from neurodeploy.simulate import run_fixed


def layer(kind="lif", decay_u=4095, decay_v=41, size=5, **options):
    given = {
        "name": "p", "nir_nodes": ("p",), "kind": kind, "decay_u": np.full(size, decay_u),
        "decay_v": np.full(size, decay_v), "bias": 0, "bias_exp": 0, "v_threshold": 131071,
        "u_init": 0, "v_init": 0, "latency": 1, "scale": 4096.0,
    }  # fmt: skip
    return FixedPopulation(**{**given, **options})


def one_layer(p, weight, *, exponent=0, steps=8, bits=8, synapses=()):
    into = FixedSynapse("in", INPUT, p.name, weight, exponent, "mixed", message_bits=8)
    net = network([p], [into, *synapses], weight.shape[1], bits=bits, steps=steps)
    return dataclasses.replace(net, readout=Readout(p.name, "last_v"))


def weights(seed=0, shape=(5, 3)):
    return np.random.default_rng(seed).integers(-60, 60, shape) * 2


def response(p, weight, inputs):
    """Reset-free membranes [T, N], step by step, for inputs [T, n] in what synapses send."""
    kept_v, kept_u = (4096 - p.decay_v) / 4096, (4095 - p.decay_u) / 4096
    v = u = np.zeros(p.size)
    found = []
    for t, x in enumerate(inputs):
        a = weight @ x * 64 / p.scale
        if p.gain is not None:
            a = a * p.gain[min(t, p.gain.size - 1)] / 2**p.gain_shift
            v = kept_v * v + a
        else:
            u = kept_u * u + a
            v = kept_v * v + u
        found.append(v)
    return np.array(found)


def worst_input(p, weight, steps):
    """The perturbation [T, n] that is amplified most, from the matrix of the whole response."""
    n = weight.shape[1]
    columns = [response(p, weight, one.reshape(steps, n)).ravel() for one in np.eye(steps * n)]
    return np.linalg.svd(np.array(columns).T)[2][0].reshape(steps, n)


CASES = {
    "lif": {},
    "current": {"decay_u": 1500, "decay_v": 700},
    "dlif": {"kind": "dlif", "gain": np.array([70, 255, 12, 130]), "gain_shift": 6},
    "no memory": {"decay_v": 4096},
    "no leak": {"decay_v": 0},
}


@pytest.mark.parametrize("name", CASES)
def test_gain_is_attained_and_never_exceeded(name):
    p, weight, steps = layer(**CASES[name]), weights(), 8
    net = one_layer(p, weight, steps=steps)
    (found,) = stability_gains(net).layers
    gain = found.gain.upper * net.encoder.step  # per code, as synapses send it
    assert found.exact
    assert found.gain.upper <= found.gain.lower * (1 + 1e-8)
    worst = worst_input(p, weight, steps)
    attained = np.linalg.norm(response(p, weight, worst)) / np.linalg.norm(worst)
    assert attained == pytest.approx(gain, rel=1e-8)
    assert attained <= gain * (1 + 1e-13)
    rng = np.random.default_rng(1)
    for _ in range(50):
        x = rng.normal(size=(steps, 3))
        assert np.linalg.norm(response(p, weight, x)) <= gain * np.linalg.norm(x)


def test_the_integer_network_amplifies_as_much():
    """Two runs of the real simulator that differ by the worst perturbation, in whole codes."""
    p, weight, steps = layer(), weights() // 12 * 2, 8
    net = one_layer(p, weight, steps=steps)
    (found,) = stability_gains(net).layers
    worst = worst_input(p, weight, steps)
    codes = np.rint(127 + 120 * worst / np.abs(worst).max()).astype(int)
    runs = [
        run_fixed(net, c[:, None, :], record=("v_pre",)) for c in (codes, np.full_like(codes, 127))
    ]
    assert all(
        int(run.counts["p/clamps"].sum() + run.counts["p/spikes"].sum()) == 0 for run in runs
    )
    apart = [run.records["p/v_pre"][:, 0] / p.scale for run in runs]
    moved = np.linalg.norm(apart[0] - apart[1])
    energy = np.linalg.norm((codes - 127) * net.encoder.step)
    rounding = 2 * steps * p.size / p.scale
    assert moved <= found.gain.upper * energy + rounding
    assert moved >= 0.98 * found.gain.lower * energy


@pytest.mark.parametrize(
    ("decay", "steps", "exact", "closed"),
    [(2048, 8, 1.83, 1.41), (41, 8, 5.26, 10.0), (41, 16, 9.89, 10.0), (41, 64, 32.3, 10.0)],
)
def test_the_closed_form_is_no_bound(decay, steps, exact, closed):
    """Numbers as calculated in public for decay 0.5 and 0.99; 4096 stands for 1."""
    net = one_layer(layer(decay_v=decay), weights(), steps=steps)
    (found,) = stability_gains(net).layers
    assert found.time.upper == pytest.approx(exact, rel=3e-3)
    assert found.closed_form / found.weight.upper == pytest.approx(closed, rel=6e-3)
    assert (found.gain.lower > found.closed_form) == (exact > closed)


def test_long_horizons_approach_the_constant_input():
    net = one_layer(layer(decay_v=2048), weights(), steps=400)
    assert stability_gains(net).layers[0].time.upper == pytest.approx(2.0, rel=1e-3)
    assert stability_gains(net, steps=1).layers[0].time.upper == pytest.approx(1.0, rel=1e-9)


def test_unlike_decays_and_delays_give_a_bound():
    weight = weights()
    p = layer(decay_v=np.array([10, 2000, 4000, 300, 41]))
    p = dataclasses.replace(p, decay_v=np.array([10, 2000, 4000, 300, 41]))
    own = FixedSynapse("own", "p", "p", weights(2, (5, 5)), -3, "mixed")
    net = one_layer(p, weight, synapses=(own,))
    (found,) = stability_gains(net).layers
    assert not found.exact
    assert found.sources == ("input", "p")
    assert found.gain.lower == 0.0
    both = np.hstack([weight, weights(2, (5, 5)) / 8])
    worst = worst_input(p, both, 8)
    attained = np.linalg.norm(response(p, both, worst)) / np.linalg.norm(worst)
    # Per input unit: 255 times what a code adds.
    assert found.weight.upper == pytest.approx(
        np.linalg.norm(np.hstack([weight * 255, weights(2, (5, 5)) / 8]) * 64 / 4096, 2), rel=1e-9
    )
    assert found.time.upper * np.linalg.norm(both * 64 / 4096, 2) >= attained


def test_many_unlike_decays():
    size = 100
    p = layer(size=size, decay_v=np.arange(size) * 40)
    p = dataclasses.replace(p, decay_v=np.arange(size) * 40)
    (found,) = stability_gains(one_layer(p, weights(3, (size, 4)))).layers
    ones = np.tri(8)  # the slowest of them never decays
    assert found.time.upper == pytest.approx(np.linalg.norm(ones, 2), rel=1e-9)


def test_a_late_synapse_has_fewer_steps_to_act():
    weight = weights()
    late = FixedSynapse("in", INPUT, "p", weight, 0, "mixed", message_bits=8, delay=3)
    net = one_layer(layer(), weight)
    (found,) = stability_gains(dataclasses.replace(net, synapses=(late,))).layers
    (shorter,) = stability_gains(net, steps=5).layers
    assert found.exact
    assert found.time.upper == pytest.approx(shorter.time.upper, rel=1e-9)


def test_lines_are_no_input_and_silent_layers_have_no_gain():
    line = FixedSynapse(ALWAYS_ON, ALWAYS_ON, "p", np.full((5, 1), 200), 0, "excitatory")
    plain = one_layer(layer(), weights())
    with_line = one_layer(layer(), weights(), synapses=(line,))
    assert stability_gains(with_line) == stability_gains(plain)
    silent = stability_gains(one_layer(layer(), np.zeros((5, 3), int))).layers[0]
    assert silent.gain.upper == 0.0
    assert silent.gain.lower == 0.0


def test_a_convolution_is_its_matrix():
    rng = np.random.default_rng(0)
    layout = ConvLayout((1, 2), (1, 0), (1, 1), 1, (2, 5, 6), (3, 5, 2))
    kernel = rng.integers(-50, 50, (3, 2, 3, 3)) * 2
    conv = FixedSynapse("in", INPUT, "p", kernel, 0, "mixed", message_bits=8, layout=layout)
    p = layer(size=30, shape=(3, 5, 2))
    net = network([p], [conv], 60, bits=8, steps=8)
    (found,) = stability_gains(net).layers
    operator = Convolution(
        "c", kernel.astype(float), None, (1, 2), ((1, 1), (0, 0)), (1, 1), 1, (2, 5, 6), (3, 5, 2)
    )
    columns = [apply(operator, one, np.float64)[0] for one in np.eye(60)]
    matrix = np.array(columns).T * 64 / p.scale * 255
    assert found.weight.upper == pytest.approx(np.linalg.norm(matrix, 2), rel=1e-9)


# Norms -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(1, 1), (7, 3), (3, 7), (40, 40), (1, 9)])
@pytest.mark.parametrize("size", [1e-150, 1.0, 1e150])
def test_norm_holds_between_its_bounds(shape, size):
    matrix = np.random.default_rng(4).normal(size=shape) * size
    found = operator_norm(sparse.csr_array(matrix))
    exact = np.linalg.svd(matrix / size, compute_uv=False)[0]
    assert found.lower / size <= exact * (1 + 1e-14)
    assert found.upper / size >= exact * (1 - 1e-14)
    assert found.upper <= found.lower * (1 + 1e-7)


def test_norm_of_a_known_matrix():
    """Integers whose singular values are known: 2 is exact, and both bounds embrace it."""
    hadamard = sparse.csr_array(
        np.array([[1.0, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]])
    )
    found = operator_norm(hadamard)
    assert found.lower <= 2 <= found.upper
    assert operator_norm(sparse.csr_array((3, 4))) == Norm(0.0, 0.0)


def test_upper_bound_is_confirmed_not_assumed(monkeypatch):
    """A direction that misses the largest one: the lower bound is poor, the upper one holds."""
    matrix = np.diag([1.0, 5.0, 2.0])
    monkeypatch.setattr(
        stability_norms, "_largest_direction", lambda tall: np.array([0.0, 0.0, 1.0])
    )
    found = operator_norm(sparse.csr_array(matrix))
    assert found.lower == pytest.approx(2.0)
    assert found.upper >= 5.0


def test_matrices_of_middle_size(monkeypatch):
    matrix = np.random.default_rng(6).normal(size=(50, 60))
    exact = np.linalg.norm(matrix, 2)
    monkeypatch.setattr(stability_norms, "_SMALL_SIZE", 20)
    found = operator_norm(sparse.csr_array(matrix))
    assert found.lower <= exact <= found.upper <= found.lower * (1 + 1e-6)

    def fails(*args, **options):
        raise ArpackNoConvergence("no convergence", np.zeros(0), np.zeros((0, 0)))

    monkeypatch.setattr(stability_norms, "svds", fails)
    found = operator_norm(sparse.csr_array(matrix))
    assert found.lower <= exact <= found.upper <= 2 * exact


def test_large_matrices_have_a_sound_if_looser_bound(monkeypatch):
    matrix = np.random.default_rng(5).normal(size=(60, 50))
    monkeypatch.setattr(stability_norms, "EXACT_SIZE", 20)
    found = operator_norm(sparse.csr_array(matrix))
    exact = np.linalg.norm(matrix, 2)
    assert found.lower == pytest.approx(exact, rel=1e-6)
    assert found.lower <= exact <= found.upper
    assert found.upper < 10 * exact


def test_the_report_never_lacks_its_warning():
    hidden = population("hidden", 4)
    net = network(
        [hidden, population("out", 2, 2)],
        [
            FixedSynapse("in", INPUT, "hidden", weights(1, (4, 3)), 0, "mixed", message_bits=8),
            FixedSynapse("next", "hidden", "out", weights(2, (2, 4)), 0, "mixed"),
        ],
        3,
        bits=8,
    )
    document = stability_gains(net).as_dict()
    json.dumps(document, allow_nan=False)
    assert document["warning"] == WARNING
    assert "no predictor of robustness" in WARNING
    assert [layer["population"] for layer in document["layers"]] == ["hidden", "out"]
    no_leak = stability_gains(one_layer(layer(decay_v=0), weights())).as_dict()
    assert no_leak["layers"][0]["closed_form"] is None
