"""`deploy` where the integers have populations and synapses that the float network lacks."""

import numpy as np
import pytest

from neurodeploy import hardware_profiles
from neurodeploy.export import lava
from neurodeploy.network import (
    ALWAYS_ON,
    ConstantEncoder,
    Network,
    Population,
    Readout,
    Samples,
    Synapse,
    decide,
    load_network,
)
from neurodeploy.pipeline.deployment import deploy_model
from neurodeploy.pipeline.model import Model
from neurodeploy.pipeline.settings import DeploySettings
from neurodeploy.quantization import QuantizeConfig, quantize
from neurodeploy.robustness import RobustnessConfig
from neurodeploy.robustness.explanation import explain
from neurodeploy.simulate import run_float

N_IN, N, CLASSES, STEPS = 24, 8, 3, 6


def lif(name, size, gain=None, decay_v=0.5):
    full = {key: np.full(size, value) for key, value in
            {"decay_v": decay_v, "input_gain": 1.0, "v_leak": 0.0, "v_threshold": 1.0, "v_reset": 0.0,
             "v_init": 0.0, "bias": 0.05}.items()}  # fmt: skip
    return Population(name, (name,), "lif", gain=gain, **full)


def network(gain=None, bits=8, decay_v=0.5):
    rng = np.random.default_rng(0)
    synapses = (
        Synapse.dense("s", "input", "a", rng.normal(0, 0.4, (N, N_IN))),
        Synapse.dense("t", "a", "b", rng.normal(0, 0.6, (CLASSES, N))),
    )
    return Network(
        (lif("a", N, gain, decay_v), lif("b", CLASSES, None, decay_v)), synapses, N_IN,
        ConstantEncoder(0.0, 1.0, bits), Readout("b", "count"), STEPS,
    )  # fmt: skip


def samples(net, seed, n=60):
    images = np.random.default_rng(seed).random((n, N_IN))
    labels = decide(run_float(net, net.encoder.encode(images)).scores())
    labels[labels < 0] = 0
    labels[:CLASSES] = np.arange(CLASSES)
    return Samples(images, labels)


CASES = {
    "split": ({}, QuantizeConfig(3, scale="search", sign_split="auto")),
    "planes": ({"gain": np.array([1.0, 0.5, 0.75]), "bits": 1}, QuantizeConfig(remap="bitplane")),
    # The preimage of a bias under so fast a decay leaves the register: it needs a line.
    "line": ({"decay_v": 0.9}, QuantizeConfig(4, bias="corrected")),
    "folded": ({"gain": np.array([1.0, 0.9, 1.1])}, QuantizeConfig(remap="fold")),
}


def more(name, net):
    """What the integers have and the float network has not."""
    if name == "split":
        return [s.name for s in net.synapses if s.name.endswith("+")]
    if name == "planes":
        return [p.name for p in net.populations if p.name.startswith("gain_clock")]
    return [s.name for s in net.synapses if s.source == ALWAYS_ON] if name == "line" else ["fold"]


@pytest.mark.parametrize("name", CASES)
def test_the_whole_way(name, tmp_path, monkeypatch):
    options, config = CASES[name]
    net = network(**options)

    class Agreeing:
        compared, mismatches, first = 1, 0, None

    status = lava.runtime.RuntimeStatus(mode="official", root=None, detail="stand-in")
    monkeypatch.setattr(lava, "verify_against", lambda *a, **k: Agreeing(), raising=False)
    monkeypatch.setattr(lava.runtime, "status", lambda **options: status)
    judge = RobustnessConfig(perturbations=("fgsm",), radii_codes=(1,), bootstrap=2000)
    settings = DeploySettings(quantize=config, robustness=judge)
    done = deploy_model(
        Model("m", net, None, (), None), samples(net, 1), samples(net, 2), settings, tmp_path
    )
    fixed = load_network(tmp_path / "m.h5")
    assert more(name, fixed)
    names = {layer["population"] for layer in done.facts["fidelity"]["layers"]}
    assert names == {"a", "b"}
    assert {key.split("/")[1] for key in done.figures if key.endswith("/float_v")} == {"a", "b"}
    cost = done.facts["cost"]
    # Both are on the same hardware, so what differs is their spikes alone.
    [ratio] = [r for r in cost["ratios"] if r["what"].startswith("fixed point to float, clean")]
    assert "energy" in str(ratio)
    codes = net.encoder.encode(samples(net, 3).images)
    found = explain(net, fixed, codes[0], None)
    assert found.decision_float == int(decide(run_float(net, codes[:1]).scores())[0])


def test_what_is_always_on_costs_the_float_network_too():
    from neurodeploy.pipeline.running_cost import aligned_activities

    options, config = CASES["line"]
    net = network(**options)
    codes = net.encoder.encode(samples(net, 1).images)
    fixed = quantize(
        net, hardware_profiles.load("loihi2"), config,
        calibration=net.encoder.encode(samples(net, 2).images),
    ).value  # fmt: skip
    before, after = aligned_activities(net, fixed, codes)
    lines = {s.name for s in fixed.synapses if s.source == ALWAYS_ON}

    def operations(activity):
        return [s.operations.typ.tolist() for layer in activity.layers for s in layer.incoming
                if s.name in lines]  # fmt: skip

    assert operations(before) == operations(after)
    assert lines
    assert np.min(operations(after)) > 0
