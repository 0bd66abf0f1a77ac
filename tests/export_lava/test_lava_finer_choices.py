"""Units of their own and split signs on Lava: equal in every u, v and spike."""

import numpy as np
import pytest
from quantization.deployable import random_deployable

from neurodeploy import hardware_profiles
from neurodeploy.errors import RangeError
from neurodeploy.export.lava import LavaRun, run_lava_batch
from neurodeploy.export.lava.verify import compare
from neurodeploy.quantization import QuantizeConfig, quantize
from neurodeploy.simulate import run_fixed

pytestmark = [pytest.mark.lava, pytest.mark.usefixtures("runtime")]
LOIHI2 = hardware_profiles.load("loihi2")


@pytest.mark.slow
def test_units_and_split_signs_are_equal_on_lava():
    runs, references, several, halves = [], [], 0, 0
    for seed in range(6):
        rng = np.random.default_rng(400 + seed)
        net = random_deployable(rng, layers=3)
        codes = rng.integers(0, 256, (16, net.n_input)).astype(np.int32)
        config = QuantizeConfig(4, scale="search", granularity="neuron", sign_split="auto")
        try:
            fixed = quantize(net, LOIHI2, config, calibration=codes).value
        except RangeError:
            continue
        several += sum(not isinstance(p.scale, float) for p in fixed.populations)
        halves += sum(s.name.endswith("+") for s in fixed.synapses)
        runs.append(LavaRun(fixed, codes[:2]))
        references.append(run_fixed(fixed, codes[:2], record=("u", "v", "spikes")))
    results = [compare(a, b) for a, b in zip(run_lava_batch(runs), references, strict=True)]
    assert [str(r.first) for r in results if r.mismatches] == []
    assert several >= 6
    assert halves >= 10
    assert sum(r.compared for r in results) > 10_000
