"""Training at a tiny scale: it learns, it is deterministic, and it can be interrupted."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from neurodeploy.errors import FileFormatError, InputError
from neurodeploy.training import (
    Splits,
    accuracy,
    load_digits,
    load_model,
    read_config,
    train,
)
from neurodeploy.training.checkpoint import load_tensors, save_tensors
from neurodeploy.training.perturb import fgsm, perturb

TINY = ["optimizer.epochs=4", "model.hidden=[24, 12]", "model.steps=4"]
LEARNING = ["optimizer.epochs=25", "optimizer.batch_size=16", "optimizer.learning_rate=0.005"]
RECIPES = ["lif", "lif-at", "dlif-mppd"]


@pytest.fixture(scope="module")
def splits():
    whole = load_digits(0)
    return Splits(
        whole.train.first(300), whole.validation.first(100), whole.test.first(100), whole.encoder
    )


def tiny(name, *more):
    return read_config(None, [f"recipe={name}", *TINY, *more])


def weights(path):
    return load_tensors(path, "model")


def assert_same_tensors(a, b):
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name


@pytest.mark.parametrize("name", RECIPES)
def test_it_learns(name, splits, tmp_path):
    result = train(tiny(name, *LEARNING), tmp_path, splits=splits)
    assert result.accuracies["validation"] > 0.7
    assert result.history[-1].loss < 0.5 * result.history[0].loss
    model = load_model(result.model)
    assert accuracy(model, splits.test) == result.accuracies["test"]
    selected = result.history[result.selected_epoch - 1]
    assert result.accuracies["validation"] == selected.validation_clean


@pytest.mark.parametrize("name", RECIPES)
def test_same_configuration_same_network(name, splits, tmp_path):
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002 - to prove that nothing reads the global state
    first = train(tiny(name), tmp_path / "a", splits=splits)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    second = train(tiny(name), tmp_path / "b", splits=splits)
    assert torch.equal(state, torch.get_rng_state())
    assert first.history == second.history
    assert_same_tensors(weights(first.model), weights(second.model))
    other = train(tiny(name, "seed=1"), tmp_path / "c", splits=splits)
    assert other.history != first.history


class StopHereError(Exception):
    pass


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("stop_after", [1, 3])
def test_resumed_equals_uninterrupted(name, stop_after, splits, tmp_path):
    whole = train(tiny(name), tmp_path / "whole", splits=splits)

    def stop(record):
        if record.epoch == stop_after:
            raise StopHereError

    with pytest.raises(StopHereError):
        train(tiny(name), tmp_path / "parts", splits=splits, progress=stop)
    assert not (tmp_path / "parts" / "model.pt").exists()
    epochs = []
    resumed = train(
        tiny(name),
        tmp_path / "parts",
        splits=splits,
        resume=True,
        progress=lambda record: epochs.append(record.epoch),
    )
    assert epochs == list(range(stop_after + 1, 5))
    assert resumed.history == whole.history
    assert resumed.accuracies == whole.accuracies
    assert_same_tensors(weights(whole.model), weights(resumed.model))


def test_resume_refuses_another_configuration(splits, tmp_path):
    train(tiny("lif"), tmp_path, splits=splits)
    with pytest.raises(InputError, match="another configuration"):
        train(tiny("lif", "seed=1"), tmp_path, splits=splits, resume=True)


def test_resuming_a_finished_run_trains_no_more(splits, tmp_path):
    first = train(tiny("dlif-mppd"), tmp_path, splits=splits)
    epochs = []
    again = train(tiny("dlif-mppd"), tmp_path, splits=splits, resume=True, progress=epochs.append)
    assert again == first
    assert epochs == []


def test_resume_without_checkpoint_starts_afresh(splits, tmp_path):
    result = train(tiny("lif"), tmp_path, splits=splits, resume=True)
    assert len(result.history) == 4


def test_the_earlier_epoch_is_kept_when_later_ones_are_worse(splits, tmp_path):
    # A huge learning rate makes the accuracy jump about.
    config = tiny("lif", "optimizer.learning_rate=0.3", "optimizer.epochs=6")
    result = train(config, tmp_path, splits=splits)
    found = [record.validation_clean for record in result.history]
    best = max(range(6), key=lambda i: (found[i], i))
    assert result.selected_epoch == best + 1
    assert result.accuracies["validation"] == max(found)


def test_test_split_does_not_matter_for_the_network(splits, tmp_path):
    shuffled = dataclasses.replace(splits, test=splits.train.first(50))
    a = train(tiny("dlif-mppd"), tmp_path / "a", splits=splits)
    b = train(tiny("dlif-mppd"), tmp_path / "b", splits=shuffled)
    assert_same_tensors(weights(a.model), weights(b.model))


def test_result_file_is_json_of_the_result(splits, tmp_path):
    result = train(tiny("lif-at"), tmp_path, splits=splits)
    document = json.loads((tmp_path / "training.json").read_text())
    assert document == json.loads(json.dumps(result.as_dict()))
    assert document["config"]["perturbation"]["radius_codes"] == 26


def test_gains_move_and_stay_in_range(splits, tmp_path):
    result = train(tiny("dlif-mppd"), tmp_path, splits=splits)
    for cell in load_model(result.model).cells():
        gains = cell.gains(4)
        assert (gains != 1).all()
        assert (gains > 0).all()


def test_wrong_sizes_are_named(splits, tmp_path):
    with pytest.raises(InputError, match="64 values per image"):
        train(tiny("lif", "model.n_input=63"), tmp_path, splits=splits)


@pytest.mark.parametrize("content", [b"", b"abc", b"PK\x03\x04 not a zip"])
def test_damaged_model_file(content, tmp_path):
    path = tmp_path / "model.pt"
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=r"model.pt"):
        load_model(path)


def test_missing_model_file(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        load_model(tmp_path / "model.pt")


def test_a_checkpoint_is_not_a_model(splits, tmp_path):
    train(tiny("lif"), tmp_path, splits=splits)
    with pytest.raises(FileFormatError, match="kind 'model'"):
        load_model(tmp_path / "checkpoint.pt")


def test_a_model_file_with_other_tensors(splits, tmp_path):
    tensors = weights(train(tiny("lif"), tmp_path, splits=splits).model)
    del tensors["model/0.weight"]
    save_tensors(tmp_path / "broken.pt", "model", tensors)
    with pytest.raises(FileFormatError, match="do not fit"):
        load_model(tmp_path / "broken.pt")


class Payload:
    pass


def test_objects_in_a_file_are_refused(tmp_path):
    torch.save({"header": Payload()}, tmp_path / "model.pt")
    with pytest.raises(FileFormatError, match="cannot be read"):
        load_model(tmp_path / "model.pt")


def test_fgsm_stays_in_the_ball_and_raises_the_loss(splits, tmp_path):
    model = load_model(train(tiny("lif", *LEARNING), tmp_path, splits=splits).model)
    images = torch.from_numpy(splits.test.images.astype(np.float32))
    labels = torch.from_numpy(splits.test.labels.copy())
    generator = torch.Generator().manual_seed(0)
    moved = fgsm(model, images, labels, 26 / 255, 0.001, generator)
    assert (moved - images).abs().max() <= 26 / 255 + 1e-6
    assert moved.min() >= 0
    assert moved.max() <= 1
    loss = torch.nn.functional.cross_entropy
    assert loss(model(moved), labels) > 1.5 * loss(model(images), labels)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_gaussian_noise_has_its_sigma_and_is_not_clipped():
    config = read_config(None, ["recipe=dlif-mppd"]).perturbation
    images = torch.zeros(400, 64)
    moved = perturb(None, images, None, config, torch.Generator().manual_seed(0))
    assert moved.std().item() == pytest.approx(0.1, rel=0.02)
    assert moved.min() < 0


def test_no_perturbation():
    config = read_config().perturbation
    assert perturb(None, torch.zeros(1, 2), None, config, torch.Generator()) is None
