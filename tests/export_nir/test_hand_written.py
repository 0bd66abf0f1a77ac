"""Hand-written classes export, and the file, run literally, does what the class does."""

import numpy as np
import pytest
import torch
from export_nir import hand_written as models
from export_nir.native import decide, lively, run_literally, run_natively

from neurodeploy.export.nir import to_nir

STEPS, BATCH = 12, 7
GENERATOR = np.random.default_rng(0)
SEQUENCE = GENERATOR.uniform(0, 1, (STEPS, BATCH, 6))
PIXELS = GENERATOR.uniform(0, 1, (STEPS, BATCH, 2, 6, 6))
IMAGES = GENERATOR.uniform(0, 1, (BATCH, 6))
SWAPPED = SEQUENCE.swapaxes(0, 1).copy()

#: Class, sample, read-out kind, nodes beside input and output.
CASES = {
    "CountSpikes": (SEQUENCE, "count", {"fc1", "fc2", "lif1", "lif2"}),
    "MembraneMaximum": (SEQUENCE, "max_v", {"hidden", "lif", "out", "li"}),
    "RecurrentByHand": (SEQUENCE, "sum", {"inp", "rec", "lif", "out"}),
    "RecurrentFromSecondStep": (SEQUENCE, "sum", {"inp", "rec", "lif", "delay1", "out"}),
    "SkipConnections": (
        SEQUENCE,
        "count",
        {"fc1", "lif1", "fc2", "skip", "lif2", "fc3", "lif3"},
    ),
    "TwoBranches": (
        SEQUENCE,
        "last_v",
        {"left", "right", "lif_left", "lif_right", "head", "head_2", "li"},
    ),
    "HeldImage": (IMAGES, "sum", {"fc1", "lif1", "fc2", "lif2", "readout"}),
    "BatchFirst": (SWAPPED, "sum", {"fc1", "lif", "fc2"}),
    "ConvolutionLoop": (
        PIXELS,
        "mean_v",
        {"conv1", "lif1", "pool", "conv2", "lif2", "flatten1", "out_input_weights", "out"},
    ),
    "Pipelined": (SEQUENCE, "count", {"fc1", "lif1", "delay1", "fc2", "lif2"}),
    "LastSteps": (SEQUENCE, "mean_v", {"fc1", "lif", "fc2", "li"}),
    "RunningMaximum": (
        SEQUENCE,
        "max_v",
        {"layers_0", "cells_0", "layers_1", "cells_1", "head", "li"},
    ),
    "TopDown": (SEQUENCE, "count", {"up1", "down", "lif1", "up2", "lif2"}),
    "KeepsItsStates": (SEQUENCE, "max_v", {"fc1", "lif", "fc2", "li"}),
    "MergesTimeAndBatch": (PIXELS, "last_v", {"conv", "lif", "flatten1", "fc", "li"}),
    "ReadsItsMembrane": (SEQUENCE, "mean_v", {"fc1", "lif1", "fc2", "lif2"}),
    "OwnStartStates": (SEQUENCE, "sum", {"shared", "lif1", "shared_2", "lif2", "out"}),
}
#: Functions of the model that are applied after the read-out.
AFTER = {
    "MembraneMaximum": lambda scores: torch.log_softmax(torch.from_numpy(scores), 1).numpy(),
    "LastSteps": lambda scores: torch.softmax(torch.from_numpy(scores), -1).numpy(),
    "RecurrentByHand": lambda scores: scores / STEPS,
    "HeldImage": lambda scores: scores / 10,
    "BatchFirst": lambda scores: scores / STEPS,
    "TopDown": lambda scores: scores / STEPS,
}


def built(name):
    return lively(getattr(models, name)())


def as_steps(name, sample):
    """Return the sample [T, B, ...] as the file is given it."""
    if name == "HeldImage":
        return np.broadcast_to(sample, (10, *sample.shape))
    return sample.swapaxes(0, 1) if name == "BatchFirst" else sample


@pytest.mark.parametrize("name", CASES)
def test_a_hand_written_class_exports_exactly(name, tmp_path):
    sample, kind, nodes = CASES[name]
    path = tmp_path / "net.nir"
    check, findings = to_nir(built(name), sample, path)
    run, said = run_literally(path, as_steps(name, sample))
    assert set(run.outputs) == nodes | {"input", "output"}
    assert said["readout"]["kind"] == kind
    output, rasters = run_natively(built(name), sample)
    for place, raster in rasters.items():
        node = place.replace(".", "_")
        found = run.outputs[node].reshape(*run.outputs[node].shape[:2], -1)
        if node in ("li", "out"):
            np.testing.assert_allclose(found, raster, rtol=1e-9, atol=1e-12)
        elif name == "OwnStartStates" or raster.shape == found.shape:
            assert np.array_equal(found, raster)
            assert 0.01 < raster.mean() < 0.99, place
        else:
            raise AssertionError(f"{place}: {raster.shape}, the file {found.shape}")
    scores = AFTER.get(name, lambda x: x)(decide(run, said))
    wanted = output
    if output.ndim == 3:
        wanted = output.sum(0) if kind == "count" else output.mean(0)
    np.testing.assert_allclose(scores, wanted, rtol=1e-9, atol=1e-12)
    assert check.mismatches == 0
    assert check.silent == ()
    assert check.score_difference < 1e-9
    assert any("softmax" in f.what for f in findings) == (name in ("MembraneMaximum", "LastSteps"))


def test_a_window_is_written(tmp_path):
    to_nir(built("LastSteps"), SEQUENCE, tmp_path / "net.nir")
    _, said = run_literally(tmp_path / "net.nir", SEQUENCE)
    assert list(said["readout"]["window"]) == [STEPS - 5, STEPS]


def test_a_step_method_is_looped_over(tmp_path):
    model, path = built("Stepwise"), tmp_path / "net.nir"
    to_nir(model.step, SEQUENCE, path)
    run, said = run_literally(path, SEQUENCE)
    output, rasters = run_natively(model, SEQUENCE, method="step")
    assert np.array_equal(run.outputs["lif2"], output)
    assert np.array_equal(run.outputs["lif1"], rasters["lif1"])
    assert said["readout"]["kind"] == "count"
    to_nir(model.step, IMAGES, tmp_path / "held.nir", steps=5)
    run, _ = run_literally(tmp_path / "held.nir", np.broadcast_to(IMAGES, (5, *IMAGES.shape)))
    output, _ = run_natively(model, IMAGES, method="step", steps=5)
    assert np.array_equal(run.outputs["lif2"], output)


@pytest.mark.parametrize("name", ["RecurrentByHand", "RecurrentFromSecondStep"])
def test_the_bias_of_the_way_back_acts_when_the_model_says(name, tmp_path):
    """Both models differ in the first step only, and so do their files."""
    model = built(name)
    with torch.no_grad():
        model.rec.bias.fill_(40.0)
    to_nir(model, SEQUENCE, tmp_path / "net.nir")
    run, _ = run_literally(tmp_path / "net.nir", SEQUENCE)
    _, rasters = run_natively(model, SEQUENCE)
    assert np.array_equal(run.outputs["lif"], rasters["lif"])
    assert (run.outputs["lif"][0].mean() > 0.9) == (name == "RecurrentByHand")
