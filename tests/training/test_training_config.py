import dataclasses
import json

import pytest

from neurodeploy.errors import FileFormatError, InputError, RangeError
from neurodeploy.training import RECIPES, config_from_dict, demo_configs, read_config, recipe


def write(tmp_path, text):
    path = tmp_path / "run.toml"
    path.write_text(text)
    return path


def test_file_and_overrides(tmp_path):
    path = write(
        tmp_path,
        'recipe = "lif-at"\nseed = 4\n[optimizer]\nepochs = 7\n[model]\nhidden = [32]\n',
    )
    config = read_config(path, ["optimizer.epochs=9", "name=mine", "loss.alpha=1"])
    assert (config.name, config.seed) == ("mine", 4)
    assert config.model.hidden == (32,)
    assert (config.optimizer.epochs, config.optimizer.batch_size) == (9, 64)
    assert config.perturbation == RECIPES["lif-at"].perturbation
    assert config.loss.alpha == 1.0


def test_defaults_are_the_plain_recipe():
    assert read_config() == RECIPES["lif"]


def test_demo_configs():
    configs = demo_configs(3)
    assert list(configs) == ["lif", "lif-at", "dlif-mppd"]
    assert {config.seed for config in configs.values()} == {3}
    at = configs["lif-at"].perturbation
    assert (at.kind, at.radius) == ("fgsm", 26 / 255)
    dlif = configs["dlif-mppd"]
    assert (dlif.model.neuron, dlif.perturbation.kind) == ("dlif", "gaussian")
    assert dlif.perturbation.sigma == 0.1
    assert dlif.loss.alpha > 0


@pytest.mark.parametrize("name", RECIPES)
def test_json_round_trip(name):
    config = dataclasses.replace(recipe(name), seed=11)
    document = json.loads(json.dumps(config.as_dict()))
    assert config_from_dict(document, "test") == config


@pytest.mark.parametrize(
    ("text", "error", "match"),
    [
        ("epochs = 3", InputError, r"epochs is unknown; known: recipe, name, seed, model"),
        (
            "[optimizer]\nepoch = 3",
            InputError,
            r"optimizer.epoch is unknown; did you mean optimizer.epochs\? known: optimizer",
        ),
        ("[optimizer]\nepochs = true", InputError, "needs int"),
        ("[optimizer]\nepochs = 3.5", InputError, "needs int"),
        ('seed = "1"', InputError, "seed = '1'; needs int"),
        ("model = 3", InputError, "is a table"),
        ("[model]\nhidden = [64.5]", InputError, "list of whole numbers"),
        ('[model]\nneuron = "alif"', InputError, "choose from lif, dlif"),
        ('recipe = "trades"', InputError, "there are: lif, lif-at, dlif-mppd"),
        ("recipe = 3", InputError, "needs str"),
        ("[loss]\nalpha = 1.0", InputError, "needs a perturbed branch"),
        ("[loss]\nkappa = 1.5", RangeError, r"run.toml: loss.kappa = 1.5"),
        ("[model]\nretention = 1.0", RangeError, "retention"),
        ("[model]\nhidden = []", RangeError, "at least one layer"),
        ("[model]\nv_reset = 2.0", RangeError, "above v_threshold"),
        ("[optimizer]\nlearning_rate = nan", RangeError, "learning_rate"),
        ("[optimizer]\nepochs = 0", RangeError, "at least 1"),
        ("[perturbation]\nradius_codes = 256", RangeError, "0 to 255"),
        ("seed = -1", RangeError, "seed = -1"),
        ("seed = = 1", FileFormatError, "as TOML"),
    ],
)
def test_errors_name_the_key(tmp_path, text, error, match):
    with pytest.raises(error, match=match):
        read_config(write(tmp_path, text))


def test_missing_file(tmp_path):
    with pytest.raises(FileFormatError, match=r"none.toml"):
        read_config(tmp_path / "none.toml")


@pytest.mark.parametrize(
    ("override", "match"),
    [
        ("epochs", "key=value"),
        ("=3", "key=value"),
        ("optimizer.=3", "key=value"),
        ("seed.x=3", "needs int"),
        ("optimizer.epochs.x=3", "needs int"),
        ("optimizer.rate=3", "optimizer.rate is unknown"),
        ("model.neuron=alif", "choose from"),
    ],
)
def test_override_errors(override, match):
    with pytest.raises(InputError, match=match):
        read_config(None, [override])


def test_override_below_a_value():
    with pytest.raises(InputError, match="'seed' is not a table"):
        read_config(None, ["seed=1", "seed.x=3"])
