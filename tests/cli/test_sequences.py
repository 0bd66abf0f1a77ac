"""Sequences x [T, B, ...] on the command line: calibrated on, counted, and refused where they are."""

import json
import os
from pathlib import Path

import nir
import numpy as np
import pytest
from small_models import N_IN, write_model

import neurodeploy as nd
from neurodeploy.cli import main
from neurodeploy.errors import ContractError, InputError
from neurodeploy.files import sample_hashes
from neurodeploy.network import Stimuli, load_network
from neurodeploy.simulate import run_fixed

REPOSITORY = Path(__file__).parents[2]
SHARED = Path(os.environ.get("NEURODEPLOY_REFERENCE", REPOSITORY.parent / "shared/reference"))
PAPER = SHARED / "nir_paper"


def call(*arguments):
    return main([str(a) for a in arguments])


def events(seed, steps=30, n=7, rate=0.4):
    return (np.random.default_rng(seed).random((steps, n, N_IN)) < rate).astype(float)


@pytest.fixture
def model(tmp_path):
    return write_model(tmp_path / "net.nir")


def quantized(tmp_path, model, x, *more):
    np.savez(tmp_path / "calibration.npz", x=x)
    out = tmp_path / "net.h5"
    code = call(
        "quantize", model, "--profile", "loihi2", "--out", out, *more,
        "--calibration", tmp_path / "calibration.npz",
    )  # fmt: skip
    assert code == 0
    return load_network(out)


def test_quantize_calibrates_on_sequences_without_labels(tmp_path, model, capsys):
    x = events(0)
    net = quantized(tmp_path, model, x, "--json")
    codes = net.encoder.encode(x)
    assert net.calibration == sample_hashes(codes.transpose(1, 0, 2))
    document = json.loads(capsys.readouterr().out)
    rates = {f["where"]: f["numbers"] for f in document["findings"] if "rate_fixed" in f["numbers"]}
    spikes = run_fixed(net, codes, record=("spikes",)).records["lif1/spikes"]
    assert rates["population lif1"]["rate_fixed"] == spikes.mean()
    assert spikes.any()


def test_the_same_from_the_library(tmp_path, model):
    x = events(0)
    net, _ = nd.quantize(nd.read(model), calibration_x=x)
    assert net.calibration == quantized(tmp_path, model, x).calibration
    with pytest.raises(InputError, match="not both"):
        nd.quantize(nd.read(model), calibration=x[0], calibration_x=x)


def test_an_image_has_one_hash_held_or_written_out(tmp_path, model):
    image = np.random.default_rng(1).random((3, N_IN))
    encoder = quantized(tmp_path, model, np.repeat(image[None], 5, axis=0)).encoder
    held = Stimuli(image, None, held=True).hashes(encoder)
    assert load_network(tmp_path / "net.h5").calibration == held
    changed = np.repeat(image[None], 5, axis=0)
    changed[4, 1] = 0
    hashes = Stimuli(changed, None, held=False).hashes(encoder)
    assert [a == b for a, b in zip(hashes, held, strict=True)] == [True, False, True]


def test_calibration_says_what_rounding_to_codes_changes(tmp_path, model, capsys):
    quantized(tmp_path, model, 3 * events(0))
    assert "warning: calibration input: " in capsys.readouterr().err


def test_cost_counts_what_a_sequence_causes(tmp_path, model, capsys):
    x = events(2)
    net = quantized(tmp_path, model, x)
    np.savez(tmp_path / "x.npz", x=x)
    capsys.readouterr()
    assert call("cost", tmp_path / "net.h5", "--input", tmp_path / "x.npz", "--json") == 0
    activity = json.loads(capsys.readouterr().out)["activity"]
    traces = run_fixed(net, net.encoder.encode(x), timing="lava")
    operations = sum(traces.counts[f"{s.name}/operations"].mean() for s in net.synapses)
    assert activity["steps"] == len(x)
    assert activity["totals"]["synaptic_operations"]["mean"] == pytest.approx(operations)
    assert activity["totals"]["input_events"]["mean"] == pytest.approx(x.sum(axis=(0, 2)).mean())


def test_cost_needs_no_labels(tmp_path, model):
    quantized(tmp_path, model, events(2))
    np.savez(tmp_path / "images.npz", images=np.zeros((2, N_IN)))
    assert call("cost", tmp_path / "net.h5", "--input", tmp_path / "images.npz") == 0


def test_deploy_says_why_it_judges_images_alone(tmp_path, model, capsys):
    np.savez(tmp_path / "x.npz", x=events(3), y=np.zeros(7))
    out = tmp_path / "out"
    arguments = ("--data", tmp_path / "x.npz", "--profile", "loihi2", "--out", out)
    assert call("deploy", model, *arguments) == 2
    assert (
        "holds sequences x [T, B, ...]; robustness is judged on images" in capsys.readouterr().err
    )
    assert not out.exists()


def integrating(path, metadata=None):
    """An IF neuron without leak: only the number of steps bounds its membrane."""
    nodes = {
        "input": nir.Input({"input": np.array([4])}),
        "weights": nir.Linear(np.full((3, 4), -0.01)),
        "if": nir.IF(r=np.full(3, 1.0), v_threshold=np.ones(3), v_reset=np.zeros(3)),
        "output": nir.Output({"output": np.array([3])}),
    }
    names = list(nodes)
    nir.write(path, nir.NIRGraph(nodes, list(zip(names, names[1:], strict=False))))
    return path


def test_bounds_hold_for_the_longest_calibration_sample(tmp_path):
    """200 steps of the largest input fit where the contract says 4, and the user says 200."""
    graph = nd.read(integrating(tmp_path / "if.nir"), dt=1e-3, steps=4, if_unit="step")
    x = np.ones((200, 1, 4))
    net, findings = nd.quantize(graph, calibration_x=0.001 * x)
    assert not any("may exceed 24 bits" in f.what for f in findings)
    assert nd.run(net, x=x).counts["if/clamps"].sum() == 0


def test_sequences_say_how_many_steps_a_sample_has_where_nothing_else_does(tmp_path):
    graph = nd.read(integrating(tmp_path / "if.nir"), dt=1e-3, if_unit="step")
    net, findings = nd.quantize(graph, calibration_x=np.ones((5, 1, 4)))
    assert net.steps == net.contract["steps"] == 5
    assert any("as long as the calibration sequences" in f.what for f in findings)
    with pytest.raises(ContractError, match="give --steps"):
        nd.quantize(graph, calibration=np.ones((1, 4)))


@pytest.mark.skipif(
    not PAPER.is_dir(), reason="set NEURODEPLOY_REFERENCE to a folder with the NIR paper's files"
)
def test_braille_is_calibrated_on_its_own_events(tmp_path, capsys):
    sample = np.load(PAPER / "03_rnn/braille_test_sample0.npz")
    x = sample["input"][:, None].astype(float)
    model = PAPER / "03_rnn/braille_noDelay_bias_zero.nir"
    words = ("--dt", 1e-4, "--encoder-bits", 1)
    net = quantized(tmp_path, model, x, *words)
    assert "not checked" not in capsys.readouterr().err
    spikes = nd.run(net, x=x, record=("spikes",)).records["lif1.lif/spikes"]
    # The paper's float run has 119 spikes; weights of 8 bits move single ones.
    assert abs(int(spikes.sum()) - 119) <= 14
    np.savez(tmp_path / "x.npz", x=x, y=[int(sample["label"])])
    assert call("cost", tmp_path / "net.h5", "--input", tmp_path / "x.npz") == 0
