"""What the quantiser may choose, and what it chooses where nothing is said."""

import numpy as np
import pytest
from quantization.test_quantize import LOIHI2, codes_for, random_network

from neurodeploy.errors import InputError
from neurodeploy.network import network_hash
from neurodeploy.quantization import QuantizeConfig, config_for, quantize


def test_with_samples_the_measured_way_is_the_default():
    assert config_for(calibrated=True) == QuantizeConfig(scale="search", rounding="adaptive")
    assert config_for(calibrated=False) == QuantizeConfig()
    chosen = config_for(calibrated=True, rounding="nearest", weight_bits=4, scale=None)
    assert chosen == QuantizeConfig(4, scale="search")
    assert config_for(calibrated=True, weight_exponent="largest_weight") == QuantizeConfig(
        weight_exponent="largest_weight"
    )


def test_quantize_takes_that_default():
    network = random_network(3)
    codes = codes_for(network)

    def digest(config, calibration):
        return network_hash(quantize(network, LOIHI2, config, calibration=calibration).value)

    measured = QuantizeConfig(scale="search", rounding="adaptive")
    assert digest(None, codes) == digest(measured, codes) != digest(QuantizeConfig(), codes)
    assert digest(None, None) == digest(QuantizeConfig(), None)


@pytest.mark.parametrize(
    "chosen", [{"scale": "search"}, {"rounding": "adaptive"}, {"bias": "corrected"}]
)
def test_an_exponent_of_its_own_goes_with_nothing_that_measures(chosen):
    with pytest.raises(InputError, match="largest_weight with scale .*power_of_two"):
        QuantizeConfig(weight_exponent="largest_weight", **chosen)


def test_the_largest_weight_decides_the_exponent():
    network = random_network(5)
    naive = quantize(network, LOIHI2, QuantizeConfig(4, weight_exponent="largest_weight")).value
    best = quantize(network, LOIHI2, QuantizeConfig(4)).value
    finer = 0
    for a, b in zip(naive.synapses, best.synapses, strict=True):
        # The largest weight is not clipped: it is within half a step of the float one.
        assert np.abs(a.weight).max() > 0
        finer += int(b.weight_exp < a.weight_exp)
    assert finer > 0
