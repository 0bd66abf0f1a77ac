"""Rows that vanish, and weights that are clipped: what is done about them, and what is said."""

import numpy as np
import pytest

from neurodeploy import hardware_profiles
from neurodeploy.network import ConstantEncoder, Network, Population, Readout, Synapse
from neurodeploy.quantization import QuantizeConfig, quantize
from neurodeploy.quantization.dead_rows import revived
from neurodeploy.quantization.input_moments import Moments
from neurodeploy.quantization.rounding import quantize_weight_at, weight_step
from neurodeploy.simulate import run_fixed, run_float

LOIHI2 = hardware_profiles.load("loihi2")


def correlated(rng, size):
    """Moments of inputs that mostly come together."""
    x = rng.uniform(0.5, 1, (50, 1)) + rng.normal(0, 0.2, (50, size))
    return x.T @ x / 50


@pytest.mark.parametrize("seed", range(4))
def test_a_row_comes_back_where_one_step_is_nearer_and_only_there(seed):
    rng = np.random.default_rng(seed)
    values = rng.normal(0.03, 0.08, (60, 9))
    values[0] *= 50
    values[1] = 0
    known = correlated(rng, 9)
    nearest = quantize_weight_at(values, 6, 4)
    found = revived(values, nearest, Moments((known,), (np.zeros(9),), 1.0), 4)
    step = weight_step(nearest.sign_mode, 4)
    back = 0
    for row, (wanted, before, after) in enumerate(
        zip(values, nearest.mantissa, found.mantissa, strict=True)
    ):
        tried = before.copy()
        largest = np.abs(wanted).argmax()
        tried[largest] = np.sign(wanted[largest]) * step
        losses = [(m / 64 - wanted) @ known @ (m / 64 - wanted) for m in (before, tried)]
        helps = not before.any() and wanted.any() and losses[1] < losses[0]
        np.testing.assert_array_equal(after, tried if helps else before, err_msg=str(row))
        back += helps
    assert 3 < back < (~nearest.mantissa.any(axis=1)).sum()
    # Inputs that know nothing of each other: the nearest is best.
    alone = Moments((np.diag(known).copy(),), (np.zeros(9),), 1.0)
    assert revived(values, nearest, alone, 4) is nearest


def test_a_kernel_of_several_groups():
    rng = np.random.default_rng(7)
    values = np.concatenate([rng.uniform(0.2, 0.4, (2, 3, 2, 2)), rng.normal(8, 1, (2, 3, 2, 2))])
    moments = tuple(correlated(rng, 12) for _ in range(2))
    nearest = quantize_weight_at(values, 2, 4)
    assert not nearest.mantissa[:2].any()
    found = revived(values, nearest, Moments(moments, (np.zeros(12),) * 2, 1.0), 4)
    assert (found.mantissa[:2] != 0).sum() == 2
    np.testing.assert_array_equal(found.mantissa[2:], nearest.mantissa[2:])
    left = found.mantissa / 4 - values
    assert found.rms_error == pytest.approx(np.sqrt(np.mean(left**2)))


def network(weight):
    zeros = np.zeros(len(weight))
    layer = Population(
        "a", ("a",), "lif", zeros + 0.5, zeros + 1, zeros, zeros + 20, zeros, zeros, zeros
    )
    return Network(
        (layer,), (Synapse.dense("s", "input", "a", weight),), np.shape(weight)[1],
        ConstantEncoder(0.0, 1.0, 8), Readout("a", "count"), 6,
    )  # fmt: skip


def test_beside_an_outlier_the_others_keep_a_weight():
    rng = np.random.default_rng(3)
    weight = rng.uniform(5, 15, (12, 9))
    weight[0, 0] = 1e4
    codes = rng.integers(0, 256, (40, 9)).astype(np.int32)
    net = network(weight)
    before = run_float(net, codes, record=("spikes",)).records["a/spikes"]
    agreed = []
    for scale in ("power_of_two", "search"):
        fixed, findings = quantize(net, LOIHI2, QuantizeConfig(8, scale=scale), calibration=codes)
        (told,) = (f for f in findings if "round to zero" in f.what)
        live = int((fixed.synapses[0].weight != 0).any(axis=1).sum())
        # Without a measure the nearest stays what it is.
        assert told.numbers == {"neurons": 11, "kept": 0 if scale == "power_of_two" else 11}
        assert live == (1 if scale == "power_of_two" else 12)
        after = run_fixed(fixed, codes, record=("spikes",), threads=1).records["a/spikes"]
        agreed.append((before == after).mean())
    assert agreed[1] > agreed[0] + 0.2


def test_clipped_weights_are_counted():
    rng = np.random.default_rng(4)
    weight = rng.uniform(0.5, 1, (20, 30))
    weight[3, 4], weight[5, 6] = 1.6, 3.0
    codes = rng.integers(0, 256, (20, 30)).astype(np.int32)
    fixed, findings = quantize(network(weight), LOIHI2, QuantizeConfig(4), calibration=codes)
    (synapse,), (p,) = fixed.synapses, fixed.populations
    reach = 240 * 2.0 ** (synapse.weight_exp + 6) / p.scale * 255
    (told,) = (f for f in findings if "clipped" in f.what)
    assert told.where == "synapse s"
    assert told.numbers["clipped"] == (weight > reach * 1.1).sum() > 0
    assert told.numbers["times"] == pytest.approx(3.0 / (reach * 255 / 240), rel=1e-6)
    assert told.numbers["weights"] == 600
    weight[weight > 1] = 1.0
    _, findings = quantize(network(weight), LOIHI2, QuantizeConfig(4), calibration=codes)
    assert not [f for f in findings if "clipped" in f.what]
