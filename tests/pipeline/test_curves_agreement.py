"""Agreement over strength: equal spikes per population and equal decisions, counted naively."""

import numpy as np
import pytest
from small_models import write_model

from neurodeploy import hardware_profiles
from neurodeploy.lowering import compose
from neurodeploy.network import decide
from neurodeploy.pipeline.curves import CurvesConfig, measure_curves
from neurodeploy.pipeline.model import load_model
from neurodeploy.pipeline.running_cost import breaking_points
from neurodeploy.quantization import QuantizeConfig, quantize
from neurodeploy.robustness import RobustnessConfig, evaluate
from neurodeploy.simulate import run_fixed, run_float

LOIHI2 = hardware_profiles.load("loihi2")


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    path = write_model(tmp_path_factory.mktemp("curves") / "m.nir", seed=3)
    network = compose(load_model(path).require_network()).value
    net = quantize(network, LOIHI2, QuantizeConfig(weight_bits=3)).value
    rng = np.random.default_rng(4)
    codes = rng.integers(0, 256, (80, net.n_input)).astype(np.int32)
    labels = decide(run_float(network, codes).scores())
    labels = np.where(labels < 0, 0, labels)
    result = evaluate(
        network,
        net,
        codes,
        labels,
        RobustnessConfig(("uniform",), (40,), bootstrap=1000, allow_empty_classes=True),
        threads=1,
    )
    config = CurvesConfig(certified_radii_codes=(), faults=())
    curves = measure_curves(network, net, result, LOIHI2, config, threads=1)
    return network, net, codes, result, curves


def test_spikes_and_decisions_are_counted_at_every_strength(measured):
    network, net, codes, result, curves = measured
    points = {0.0: codes}
    for radius in result.config.radii_codes:
        points[radius] = breaking_points(net, result, curves["attack"], radius)
    assert [entry["radius_codes"] for entry in curves["agreement"]] == list(points)
    for entry in curves["agreement"]:
        given = points[entry["radius_codes"]]
        a = run_float(network, given, record=("spikes",))
        b = run_fixed(net, given, record=("spikes",))
        same = 0
        for one, other in zip(a.scores(), b.scores(), strict=True):
            winners = [
                set(np.flatnonzero(scores == scores.max()).tolist()) for scores in (one, other)
            ]
            # A tie is one decision, whichever classes it is between.
            same += winners[0] == winners[1] or min(map(len, winners)) > 1
        assert entry["decisions"] == same / len(given)
        assert set(entry["populations"]) == {p.name for p in net.populations if p.kind != "readout"}
        for name, share in entry["populations"].items():
            x, y = a.records[f"{name}/spikes"], b.records[f"{name}/spikes"]
            equal = sum(int(p == q) for p, q in zip(x.ravel(), y.ravel(), strict=True))
            assert share == pytest.approx(equal / x.size, abs=1e-12)
    shares = [entry["decisions"] for entry in curves["agreement"]]
    assert min(shares) < 1
