"""Encoders on the command line: from quantising to cost, streamed events, and clear refusals."""

import json

import h5py
import numpy as np
import pytest
from cli.calling import call
from pipeline.repairable_graphs import samples_of, write_graph
from small_models import N_IN, write_data, write_model

from neurodeploy.network import RateEncoder, Traces, load_network, load_samples, save_samples

STEPS = 6


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoders")
    write_model(folder / "net.nir")
    write_data(folder / "d.npz", 1)
    rng = np.random.default_rng(2)
    with h5py.File(folder / "e.h5", "w") as file:
        file["events/t"] = rng.integers(0, STEPS, 200)
        file["events/index"] = rng.integers(0, N_IN, 200)
        file["events/offsets"] = np.arange(9) * 25
        file["y"] = np.arange(8) % 4
    return folder


def quantized(files, name, *words):
    out = files / f"{name}.h5"
    data = files / ("e.h5" if name == "events" else "d.npz")
    assert call("quantize", files / "net.nir", "--profile", "loihi2", "--encoder", name, *words,
                "--calibration", data, "--out", out) == 0  # fmt: skip
    return out


def test_a_rate_code_from_quantize_to_cost(files, capsys):
    net = quantized(files, "rate", "--encoder-seed", 5)
    fixed, data = load_network(net), files / "d.npz"
    assert fixed.encoder == RateEncoder(seed=5)
    out = files / "rate.npz"
    assert call("run", net, "--input", data, "--backend", "fixed", "--out", out) == 0
    codes = fixed.encoder.messages(load_samples(data).codes(fixed.encoder, N_IN), STEPS)
    capsys.readouterr()
    assert call("cost", net, "--input", data, "--json") == 0
    assert "energy" in capsys.readouterr().out
    x = files / "x.npz"
    np.savez(x, x=codes.astype(float))
    assert call("run", net, "--input", x, "--backend", "fixed", "--out", files / "x_run.npz") == 0
    assert np.array_equal(Traces.load(out).output, Traces.load(files / "x_run.npz").output)
    assert call("explain", net, "--input", data, "--sample", 1) in (0, 1)


def test_events_from_quantize_to_a_streamed_run(files, capsys):
    net, data = quantized(files, "events"), files / "e.h5"
    whole, streamed = files / "whole.h5", files / "streamed.h5"
    for out, more in ((whole, ()), (streamed, ("--memory", 8))):
        assert call("run", net, "--input", data, "--backend", "fixed", "--out", out,
                    "--record", "spikes,v", *more) == 0  # fmt: skip
    a, b = Traces.load(whole), Traces.load(streamed)
    assert a.meta["input_hash"] == b.meta["input_hash"]
    assert all(np.array_equal(a.records[k], b.records[k]) for k in a.records)
    assert a.records["lif1/spikes"].any()
    assert call("run", files / "net.nir", "--encoder", "events", "--input", data, "--backend",
                "float", "--out", files / "float.npz") == 0  # fmt: skip
    assert call("explain", net, "--input", data, "--sample", 0) in (0, 1)
    capsys.readouterr()


def test_wrong_events_are_one_line_and_nothing_is_written(files, tmp_path, capsys):
    net = quantized(files, "events")
    with h5py.File(tmp_path / "bad.h5", "w") as file:
        file["events/t"], file["events/index"] = np.array([0, -2]), np.array([0, N_IN])
        file["events/offsets"] = np.array([0, 2])
    capsys.readouterr()
    for more in ((), ("--memory", 8)):
        out = tmp_path / "t.h5"
        assert call("run", net, "--input", tmp_path / "bad.h5", "--backend", "fixed",
                    "--out", out, *more) == 2  # fmt: skip
        said = capsys.readouterr().err
        assert "events/t[1] (sample 0) is -2; needs a finite time from 0 on" in said
        assert "Traceback" not in said
        assert not out.exists()


def test_robustness_and_deploy_say_what_they_cannot_judge(files, tmp_path, capsys):
    data, out = files / "d.npz", tmp_path / "out"
    for name, *command in (
        ("rate", "robustness", quantized(files, "rate")),
        ("latency", "deploy", files / "net.nir", "--profile", "loihi2", "--encoder", "latency"),
    ):
        capsys.readouterr()
        assert call(*command, "--data", data, "--out", out) == 2
        said = capsys.readouterr().err
        assert f"encoder {name}: robustness is judged on images that are held" in said
        assert "quantize, run, verify" in said
        assert not out.exists()


def test_the_form_of_held_images(files, capsys):
    capsys.readouterr()
    out = files / "bias.h5"
    assert call("quantize", files / "net.nir", "--profile", "loihi2", "--encoder-form", "bias",
                "--out", out, "--json") == 0  # fmt: skip
    findings = json.loads(capsys.readouterr().out)["findings"]
    assert any("input as biases" in f["what"] for f in findings)
    assert call("quantize", files / "net.nir", "--profile", "loihi2", "--encoder-form", "bias",
                "--encoder", "rate", "--out", out) == 2  # fmt: skip
    assert "belongs to --encoder constant" in capsys.readouterr().err


def test_a_convolution_as_biases_from_quantize_to_a_run(tmp_path, capsys):
    """A weight that rounds to zero keeps its place in the matrix that the convolution became."""
    shape = write_graph(tmp_path / "conv.nir", "conv")
    save_samples(tmp_path / "d.npz", samples_of(shape))
    made = ["--profile", "loihi1", "--encoder-form", "bias", "--weight-bits", "3"]
    out = ["--out", tmp_path / "net.h5", "--nir", tmp_path / "standing.nir", "--json"]
    data = ["--calibration", tmp_path / "d.npz"]
    tune = ["--fine-tune", "float", "--fine-tune-epochs", "1"]
    assert call("quantize", tmp_path / "conv.nir", *made, *data, *tune, *out) == 0
    document = json.loads(capsys.readouterr().out)
    first = document["synapses"][0]
    assert (first["kind"], first["shape"]) == ("sparse", [2 * 100])
    assert first["zero_weights"] > 0
    assert first["error_max"] < 0.5
    assert not [f for f in document["findings"] if f["where"] == "encoder"]
    assert len([f for f in document["findings"] if "input as biases" in f["what"]]) == 1
    run = ["--input", tmp_path / "d.npz", "--backend", "fixed", "--out", tmp_path / "run.npz"]
    assert call("run", tmp_path / "net.h5", *run) == 0
