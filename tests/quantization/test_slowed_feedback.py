"""What the warning on feedback that is slower on the chip tells the user to do next."""

import numpy as np
from quantization.small_networks import network_of

from neurodeploy import hardware_profiles
from neurodeploy.quantization import quantize

LOIHI2 = hardware_profiles.load("loihi2")


def remedy(calibration):
    """Quantise a cycle of two neurons whose feedback is one step late: too fast for a chip."""
    net = network_of(("a", "b"), [("input", "a", 0), ("a", "b", 0), ("b", "a", 1)])
    _, findings = quantize(net, LOIHI2, calibration=calibration)
    (finding,) = [f for f in findings if "extra_steps" in f.numbers]
    return finding.remedy


def test_calibration_is_asked_for_only_where_it_was_not_given():
    assert remedy(None) == (
        "train with this feedback 2 steps late, or give --calibration data to see what it changes"
    )
    assert remedy(np.full((2, 1), 200)) == "train with this feedback 2 steps late"
