"""Proofs beside the attacks: every number is the library's, whatever the blocks."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from small_models import write_data, write_model

from neurodeploy import hardware_profiles
from neurodeploy.cost import estimate
from neurodeploy.errors import InputError
from neurodeploy.network import load_samples
from neurodeploy.pipeline import certificates
from neurodeploy.pipeline.certificates import (
    CertificatesConfig,
    SmoothingSettings,
    measure_certificates,
)
from neurodeploy.pipeline.curves import CurvesConfig, measure_curves
from neurodeploy.pipeline.model import load_model, quantized
from neurodeploy.pipeline.running_cost import fixed_activity
from neurodeploy.pipeline.sweep_file import read_sweep
from neurodeploy.quantization import QuantizeConfig
from neurodeploy.robustness import RobustnessConfig, evaluate
from neurodeploy.robustness.certificates import (
    SmoothingConfig,
    certify_deviation,
    noisy_codes,
    smooth,
)
from neurodeploy.robustness.statistics import wilson

NO_SMOOTHING = SmoothingSettings()
NOTHING = CertificatesConfig(deviation=False, stability=False)
SMOOTHING = SmoothingSettings(sigma_codes=15.0, n0=20, n=150, samples=25)


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificates")
    path = write_model(folder / "m.nir", seed=3)
    samples = load_samples(write_data(folder / "d.npz", 1, n=60, model=path))
    model = quantized(load_model(path), "loihi2", QuantizeConfig(weight_bits=3))
    network, net = model.require_network(), model.require_fixed()
    codes = samples.codes(network.encoder, network.n_input)
    config = RobustnessConfig(perturbations=("gaussian",), radii_codes=(9,), noise_draws=1,
                              bootstrap=1000, allow_empty_classes=True, seed=7)  # fmt: skip
    result = evaluate(network, net, codes, samples.labels, config)
    return network, net, result, hardware_profiles.parse(net.profile)


def measured(case, config=NOTHING, smoothing=NO_SMOOTHING, **options):
    return measure_certificates(*case, config, smoothing, **options)


def test_decisions_are_counted_as_the_certificate_has_them(case, monkeypatch):
    network, net, result, _ = case
    proven = certify_deviation(network, net, result.evidence.codes)
    found = measured(case, CertificatesConfig(stability=False))["deviation"]
    assert 0 < found["different"] < found["n"] == 60  # three bits: both kinds are there
    assert found["equal"] == proven.equal.sum()
    assert found["different_samples"] == np.flatnonzero(proven.different).tolist()
    assert found["equal"] + found["different"] + found["undecided"] == 60
    each = net.steps * sum(p.size for p in net.populations)
    monkeypatch.setattr(certificates, "_CALL_VALUES", 7 * each)
    seen = []
    again = measured(case, CertificatesConfig(stability=False), progress=lambda *s: seen.append(s))
    assert again["deviation"] == found
    assert [done for _, done, _ in seen] == [*range(0, 60, 7), 60]


def test_undecided_is_neither_equal_nor_different(case, monkeypatch):
    network, net, result, _ = case
    true = certify_deviation(network, net, result.evidence.codes)
    true.real[:5] = -2
    true.proven.equal[:5] = False
    monkeypatch.setattr(certificates, "certify_deviation", lambda *a, **k: true)
    found = measured(case, CertificatesConfig(stability=False))["deviation"]
    assert found["undecided"] == 5
    assert found["undecided_samples"] == [0, 1, 2, 3, 4]
    assert not {0, 1, 2, 3, 4} & set(found["different_samples"])


def test_samples_are_called_by_their_place_in_the_user_s_data(case):
    network, net, result, profile = case
    moved = dataclasses.replace(result.evidence, index=3 * np.arange(60) + 1)
    proven = certify_deviation(network, net, moved.codes)
    found = measured(
        (network, net, dataclasses.replace(result, evidence=moved), profile),
        CertificatesConfig(stability=False), SMOOTHING,
    )  # fmt: skip
    different = found["deviation"]["different_samples"]
    assert different == [3 * int(k) + 1 for k in np.flatnonzero(proven.different)]
    assert found["smoothing"]["index"] == [3 * k + 1 for k in range(25)]


def test_a_network_without_such_a_proof_says_why(case):
    longer = dataclasses.replace(case[0], steps=case[0].steps + 1)
    found = measured((longer, *case[1:]), CertificatesConfig(stability=False))["deviation"]
    assert list(found) == ["refused"]
    assert "steps is 7 in float, 6 in integers" in found["refused"]


def test_the_smoothed_classifier_is_the_library_s(case):
    _, net, result, profile = case
    codes, labels = result.evidence.codes[:25], result.evidence.labels[:25]
    config = SmoothingConfig(15.0, 20, 150, seed=7)  # the seed of the evaluation
    noisy = noisy_codes(codes, config, net.encoder.max_code)
    each = estimate(fixed_activity(net, noisy), profile).energy_nj["core"]
    direct = smooth(net, codes, labels, config, energy_per_pass_nj=each)
    seen = []
    found = measured(case, smoothing=SMOOTHING, progress=lambda *s: seen.append(s))["smoothing"]
    for key, value in direct.as_dict().items():
        assert found[key] == value, key
    assert found["energy_per_decision_nj"]["typ"] == pytest.approx(170 * each.typ)
    assert (found["n_samples"], found["confidence"]) == (25, 0.999)
    for entry in found["certified"]:
        share = direct.certified_accuracy(entry["radius_codes"])
        assert entry["accuracy"] == share
        assert entry["ci95"] == list(wilson(round(25 * share), 25))
    assert 0 < found["certified"][1]["accuracy"] < found["deployed_accuracy"] <= 1
    assert seen[-1] == ("smoothing", 25, 25)


def test_copies_of_a_sample_are_worth_one(case):
    """Proofs, faults and the smoothed classifier: five copies of an image add no certainty."""
    network, net, result, profile = case
    codes, labels = (getattr(result.evidence, name) for name in ("codes", "labels"))
    config = dataclasses.replace(result.config)
    copied = evaluate(network, net, np.repeat(codes, 5, axis=0), np.repeat(labels, 5), config)
    asked = CurvesConfig(certified_radii_codes=(1, 4), fault_seeds=1, faults=("stuck at 0",))
    once, five = (measure_curves(network, net, r, profile, asked) for r in (result, copied))
    for plain, many in zip(once["certified"], five["certified"], strict=True):
        for method in ("interval", "refined"):
            assert many[method] == plain[method] > 0
            # Without copies the interval is Wilson's, to the last bit.
            assert plain[f"{method}_ci95"] == list(wilson(round(60 * plain[method]), 60))
            assert many[f"{method}_ci95"] == pytest.approx(plain[f"{method}_ci95"], rel=1e-12)
    for side in ("float", "fixed"):
        plain, many = (np.array(c["faults"][0][side]["ci95"]) for c in (once, five))
        np.testing.assert_allclose(many, plain, rtol=1e-12)
    smoothing = dataclasses.replace(SMOOTHING, samples=None)
    found = measured((network, net, copied, profile), smoothing=smoothing)["smoothing"]
    for entry in found["certified"]:  # noise hangs on the place, so copies may differ
        assert entry["ci95"] == pytest.approx(wilson(60 * entry["accuracy"], 60), rel=1e-12)


def test_no_radius_is_above_what_the_draws_can_certify(case):
    found = measured(case, smoothing=SMOOTHING)["smoothing"]
    most = found["largest_radius_codes"]
    assert max(found["radius_codes"]) <= most
    unanimous = [r for r, k in zip(found["radius_codes"], found["count"], strict=True) if k == 150]
    assert unanimous
    assert min(unanimous) == pytest.approx(most, rel=1e-9)
    radii = [entry["radius_codes"] for entry in found["certified"]]
    assert radii == [0, *(15 * k for k in (0.5, 1.0, 1.5, 2.0, 2.5, 3.0) if 15 * k <= most)]
    assert len(radii) > 2


@pytest.mark.parametrize("sigma", [1e-300, 0.01, 1e6])
def test_extreme_noise_has_numbers_too(case, sigma):
    settings = SmoothingSettings(sigma_codes=sigma, n0=3, n=20, samples=4)
    found = measured(case, smoothing=settings)["smoothing"]
    assert len(found["radius_codes"]) == 4
    if sigma < 1:  # no noise at all: the deployed network's own decisions
        assert found["accuracy"] == found["deployed_accuracy"]


def test_the_fewest_draws_that_certify_anything(case):
    SmoothingSettings(sigma_codes=1.0, n=10)
    with pytest.raises(InputError, match="at least 10"):
        SmoothingSettings(sigma_codes=1.0, n=9)
    with pytest.raises(InputError, match="sigma_codes is missing"):
        SmoothingSettings(n=500).run(0)


def test_nothing_is_made_that_was_not_asked_for(case):
    assert measured(case) == {"deviation": None, "stability": None, "smoothing": None}


def test_the_example_in_the_documentation_is_read(tmp_path):
    page = Path(__file__).parents[2] / "docs" / "robustness.md"
    example = next(b for b in page.read_text().split("```") if "[smoothing]\n" in b)
    (tmp_path / "sweep.toml").write_text(example)
    sweep = read_sweep(tmp_path / "sweep.toml", 255)
    assert sweep.smoothing.run(0) == SmoothingConfig(26.0)
    assert sweep.smoothing.radii_codes == (13, 26, 52)
    assert sweep.certificates == CertificatesConfig()
