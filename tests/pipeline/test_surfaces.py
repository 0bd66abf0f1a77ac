"""The library takes what the command line takes, under the same names, and gives the same."""

import argparse
import inspect
from dataclasses import fields

import pytest
from cli.calling import call
from small_models import write_data, write_model

import neurodeploy as nd
from neurodeploy.cli.commands import COMMANDS
from neurodeploy.errors import InputError, NeurodeployError, RangeError
from neurodeploy.network import load_stimuli, network_hash
from neurodeploy.quantization import QuantizeConfig

#: What ``nd.read`` takes, what is printed, and what the library returns instead of writing it.
ELSEWHERE = {"help", "model", "out", "json", "data", "strict"}


@pytest.mark.parametrize("name", ["quantize", "deploy"])
def test_every_option_is_a_parameter_with_the_same_default(name):
    command = next(c for c in COMMANDS if c.name == name)
    parser = argparse.ArgumentParser()
    command.arguments(parser)
    parameters = inspect.signature(getattr(nd, name)).parameters
    options = {a.dest: a for a in parser._actions if a.dest not in ELSEWHERE}
    assert options.keys() <= parameters.keys()
    for option, action in options.items():
        if not action.required:
            assert parameters[option].default == action.default, option
    assert {"seed", "lava_quirks"} <= parameters.keys()
    chosen = {f.name for f in fields(QuantizeConfig)} - {"sparse_limit", "memory_bytes"}
    assert chosen <= parameters.keys()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("surfaces")
    model = write_model(folder / "net.nir")
    return folder, model, write_data(folder / "train.npz", 2, model=model)


WAYS = (
    {"weight_bits": 4, "scale": "search", "rounding": "adaptive", "bias": "corrected"},
    {"weight_bits": 3, "rounding": "nearest", "scale": "power_of_two", "threshold": "balanced"},
    {
        "weight_bits": 4, "fine_tune": "labels", "fine_tune_epochs": 2, "fine_tune_penalty": 0.5,
        "fine_tune_noise": "gaussian", "fine_tune_radius": 9, "seed": 3,
    },
)  # fmt: skip


@pytest.mark.parametrize("way", range(len(WAYS)))
def test_both_make_the_same_integers(files, way):
    folder, model, train = files
    given, out = WAYS[way], folder / f"net{way}.h5"
    words = [w for k, v in given.items() for w in (f"--{k.replace('_', '-')}", v)]
    command = ["quantize", model, "--profile", "loihi2", "--out", out, "--calibration", train]
    assert call(*command, *words) == 0
    graph, stimuli = nd.read(model), load_stimuli(train)
    net, findings = nd.quantize(graph, calibration=stimuli.values, labels=stimuli.labels, **given)
    assert network_hash(net) == network_hash(nd.load(out))
    assert network_hash(nd.quantize(graph, calibration=train, **given).value) == network_hash(net)
    assert ("fine_tune" in given) == any(f.where == "repair" for f in findings)


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"fine_tune": "float"}, InputError),
        ({"threshold": "balanced"}, InputError),
        ({"rounding": "adaptive"}, InputError),
        ({"weight_bits": 9}, RangeError),
        ({"fine_tune": "float", "fine_tune_penalty": 1.0, "fine_tune_noise": "none"}, InputError),
        ({"fine_tune": "float", "fine_tune_penalty": -1.0}, RangeError),
    ],
)
def test_both_say_the_same_of_what_is_wrong(files, capsys, given, error):
    folder, model, train = files
    samples = {"calibration": train} if "fine_tune_noise" in given else {}
    words = [w for k, v in (given | samples).items() for w in (f"--{k.replace('_', '-')}={v}",)]
    out = folder / "none.h5"
    assert call("quantize", model, "--profile", "loihi2", "--out", out, *words) == 2
    printed = capsys.readouterr().err
    with pytest.raises(error) as caught:
        nd.quantize(nd.read(model), **given, **samples)
    assert isinstance(caught.value, NeurodeployError)
    assert str(caught.value) in printed
    assert not out.exists()


@pytest.mark.slow
def test_a_deployment_takes_them_too(files):
    folder, model, train = files
    test = write_data(folder / "test.npz", 1, model=model)
    outcome = nd.deploy(
        nd.read(model), test, out=folder / "out", calibration=train, quick=True, radii=[9, 40],
        weight_bits=4, fine_tune="float", fine_tune_epochs=2, fine_tune_penalty=0.5,
        threshold="balanced", lava_samples=1, tolerance=5.0,
    )  # fmt: skip
    (deployed,) = outcome.deployments
    said = {f["where"] for f in deployed.facts["findings"]}
    assert {"repair", "thresholds"} <= said
