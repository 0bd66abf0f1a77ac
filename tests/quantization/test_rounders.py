"""Rounding with an eye on the membrane: never worse than the nearest, and a true optimum."""

import numpy as np
import pytest
from quantization.moments import uncentred
from quantization.small_networks import network_of

from neurodeploy.network import ConvLayout
from neurodeploy.quantization.incoming import Incoming
from neurodeploy.quantization.rounders import MembraneRounder, NearestRounder
from neurodeploy.quantization.rounding import weight_limits, weight_step

SYNAPSE = network_of(["a", "b"], [("a", "b", 0)]).synapses[0]


def arriving(values, layout=None):
    return Incoming(SYNAPSE, np.asarray(values, float), layout, 1.0)


def correlated(rng, k, groups=1):
    """Moments of inputs that mostly rise and fall together."""
    found = []
    for _ in range(groups):
        x = rng.normal(size=(200, 1)) + 0.3 * rng.normal(size=(200, k))
        found.append(x.T @ x / 200)
    return uncentred(*found)


@pytest.mark.parametrize("bits", [2, 3, 4, 6, 8])
@pytest.mark.parametrize("sign", ["mixed", "excitatory", "inhibitory"])
def test_never_worse_than_the_nearest_and_no_single_change_is_better(bits, sign):
    rng = np.random.default_rng(bits)
    values = rng.normal(size=(5, 9))
    values = {"mixed": values, "excitatory": abs(values), "inhibitory": -abs(values)}[sign]
    moments = correlated(rng, 9)
    rounder = MembraneRounder({SYNAPSE.name: moments}, adaptive=True)
    nearest = MembraneRounder({SYNAPSE.name: moments})
    incoming = arriving(values)
    best = rounder.best(incoming, bits)
    assert rounder.loss(incoming, best) <= rounder.loss(incoming, nearest.best(incoming, bits))
    step, (low, high) = weight_step(best.sign_mode, bits), weight_limits(best.sign_mode, bits)
    assert (best.mantissa % step == 0).all()
    assert best.mantissa.min() >= low
    assert best.mantissa.max() <= high
    c = moments.ridged().groups[0]

    def loss(mantissa, row):
        e = np.ldexp(mantissa.astype(float), -best.exponent) - values[row]
        return e @ c @ e

    for row in range(5):
        here = loss(best.mantissa[row], row)
        for j in range(9):
            for other in range(low, high + 1, step):
                moved = best.mantissa[row].copy()
                moved[j] = other
                assert loss(moved, row) >= here * (1 - 1e-9)


def test_correlated_inputs_gain_and_independent_ones_stay_at_the_nearest():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(20, 30))
    incoming = arriving(values)
    strong = correlated(rng, 30)
    adaptive, nearest = (MembraneRounder({SYNAPSE.name: strong}, adaptive=a) for a in (True, False))
    before = nearest.loss(incoming, nearest.best(incoming, 4))
    assert adaptive.loss(incoming, adaptive.best(incoming, 4)) < 0.7 * before
    alone = MembraneRounder({SYNAPSE.name: uncentred(np.diag(rng.uniform(1, 2, 30)))}, True)
    exponent = alone.best(incoming, 4).exponent
    np.testing.assert_array_equal(
        alone.at(incoming, exponent, 4).mantissa,
        NearestRounder().at(incoming, exponent, 4).mantissa,
    )


def test_groups_of_a_convolution_have_moments_of_their_own():
    rng = np.random.default_rng(1)
    kernel = rng.normal(size=(4, 2, 1, 3))
    layout = ConvLayout((1, 1), (0, 0), (1, 1), 2, (4, 1, 3), (4, 1, 1))
    moments = correlated(rng, 6, groups=2)
    rounder = MembraneRounder({SYNAPSE.name: moments}, adaptive=True)
    whole = rounder.at(arriving(kernel, layout), 5, 4)
    for g in range(2):
        part = MembraneRounder({SYNAPSE.name: uncentred(moments.groups[g])}, adaptive=True)
        alone = part.at(arriving(kernel[2 * g : 2 * g + 2].reshape(2, 6)), 5, 4)
        np.testing.assert_array_equal(
            whole.mantissa[2 * g : 2 * g + 2].reshape(2, 6), alone.mantissa
        )


def test_silent_and_zero_weights():
    rng = np.random.default_rng(2)
    silent = MembraneRounder({SYNAPSE.name: uncentred(np.zeros((3, 3)))}, adaptive=True)
    values = rng.normal(size=(2, 3))
    found = silent.best(arriving(values), 4)
    np.testing.assert_array_equal(
        found.mantissa, NearestRounder().at(arriving(values), found.exponent, 4).mantissa
    )
    assert not silent.best(arriving(np.zeros((2, 3))), 4).mantissa.any()
