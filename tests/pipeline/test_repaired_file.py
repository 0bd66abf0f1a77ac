"""`quantize --nir`: repaired integers as a float model that quantises back to them."""

import dataclasses
import json

import nir
import numpy as np
import pytest
from cli.calling import call
from oracles.random_nir import write_random_nir
from pipeline.repairable_graphs import KINDS, samples_of, write_graph
from small_models import write_data, write_model

import neurodeploy as nd
from neurodeploy.errors import InputError, NeurodeployError
from neurodeploy.network import Samples, save_samples
from neurodeploy.pipeline.model import load_model, quantized
from neurodeploy.pipeline.repaired_file import differences, repaired_nir
from neurodeploy.quantization import QuantizeConfig

PLAIN = QuantizeConfig(weight_bits=5)
FINE = QuantizeConfig(
    weight_bits=5, scale="search", rounding="adaptive", bias="corrected", threshold="balanced"
)


def repaired(path, kind, config, teacher):
    from neurodeploy.pipeline.fine_tuning import fine_tuned
    from neurodeploy.pipeline.settings import FineTuning

    samples = samples_of(write_graph(path, kind))
    model = quantized(load_model(path), "loihi2", config, samples)
    tuning = None if teacher is None else FineTuning(teacher, epochs=2)
    return fine_tuned(model, samples, tuning), samples


def check(tmp_path, kind, config, teacher):
    """Return the finding; other units of v are told, and nothing else may differ."""
    model, samples = repaired(tmp_path / "net.nir", kind, config, teacher)
    content, (finding,) = repaired_nir(model, "loihi2", config, samples)
    assert set(finding.numbers["differing"].values()) <= {"another unit of v"}
    before, after = finding.numbers["decisions_equal"]
    assert after >= min(before, 0.98)
    (tmp_path / "back.nir").write_bytes(content)
    graph = nir.read(tmp_path / "back.nir")
    known = nir.read(tmp_path / "net.nir")
    assert graph.metadata["neurodeploy"].keys() == known.metadata["neurodeploy"].keys()
    neurons = [n for n, node in known.nodes.items() if hasattr(node, "v_threshold")]
    for name in neurons:
        assert graph.nodes[name].metadata.keys() == known.nodes[name].metadata.keys()
        assert "dlif_gain" in graph.nodes[name].metadata or kind != "dlif"
    return finding


@pytest.mark.parametrize(
    ("kind", "config", "teacher"),
    [("dlif", FINE, "labels"), ("conv", PLAIN, "labels"), ("cuba", FINE, None)],
)
def test_the_file_gives_the_same_integers(tmp_path, kind, config, teacher):
    assert not check(tmp_path, kind, config, teacher).numbers["differing"]


@pytest.mark.slow
def test_every_kind_every_way(tmp_path):
    exact = ran = 0
    for kind in KINDS:
        for config, teacher in ((PLAIN, None), (FINE, "labels")):
            ran += 1
            exact += not check(tmp_path, kind, config, teacher).numbers["differing"]
    assert exact >= ran - 2


@pytest.mark.slow
def test_random_files_quantise_back(tmp_path):
    ran = 0
    for seed in range(14):
        model = load_model(write_random_nir(tmp_path / "net.nir", seed))
        network, rng = model.require_network(), np.random.default_rng(seed)
        encoder = network.encoder
        images = encoder.low + (encoder.high - encoder.low) * rng.random((24, network.n_input))
        samples, config = Samples(images, np.zeros(24)), (PLAIN, FINE)[seed % 2]
        try:
            made = quantized(model, "loihi2", config, samples)
        except NeurodeployError:
            continue
        ran += 1
        _, (finding,) = repaired_nir(made, "loihi2", config, samples)
        assert not finding.numbers["differing"], seed
    assert ran >= 10


def test_what_differs_is_seen(tmp_path):
    model, _ = repaired(tmp_path / "net.nir", "cuba", PLAIN, None)
    net = model.require_fixed()
    assert not differences(net, net)
    p, s = net.populations[0], net.synapses[0]
    changed = {
        "1 thresholds": {"v_threshold": p.v_threshold + (np.arange(p.size) == 2)},
        f"{p.size} decays": {"decay_v": p.decay_v + 1},
        f"{p.size} constants": {"bias": p.bias + 1},
    }
    for told, fields in changed.items():
        q = dataclasses.replace(p, **{k: v.astype(np.int32) for k, v in fields.items()})
        other = dataclasses.replace(net, populations=(q, *net.populations[1:]))
        assert differences(net, other) == {p.name: told}
    weight = s.weight.copy()
    weight.flat[np.flatnonzero(weight)[0]] *= -1
    moved = dataclasses.replace(s, weight=weight)
    other = dataclasses.replace(net, synapses=(moved, *net.synapses[1:]))
    assert differences(net, other) == {s.target: "1 weights"}
    coarser = dataclasses.replace(p, scale=2 * p.scale)
    other = dataclasses.replace(net, populations=(coarser, *net.populations[1:]))
    assert differences(net, other) == {p.name: "another unit of v"}


def test_command_and_library_write_it(tmp_path, capsys):
    model, train, out = tmp_path / "net.nir", tmp_path / "train.npz", tmp_path / "net.h5"
    samples = samples_of(write_graph(model, "recurrent"))
    save_samples(train, samples)
    words = ["quantize", model, "--profile", "loihi2", "--calibration", train, "--weight-bits", "4"]
    assert call(*words, "--out", out, "--nir", tmp_path / "back.nir", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    (finding,) = (f for f in document["findings"] if f["where"] == "NIR")
    assert finding["numbers"]["differing"] == {}
    # The network file keeps the graph that it was made from.
    assert nd.load(out).nir_file == model.read_bytes()
    _, findings = nd.quantize(
        nd.read(model), calibration=train, weight_bits=4, nir=tmp_path / "own.nir"
    )
    assert [f.what for f in findings if f.where == "NIR"] == [finding["what"]]
    assert (tmp_path / "own.nir").read_bytes() == (tmp_path / "back.nir").read_bytes()
    assert call(*words, "--out", tmp_path / "no.h5", "--nir", model) == 2
    assert "--nir" in capsys.readouterr().err
    assert not (tmp_path / "no.h5").exists()


def test_what_has_no_file_is_refused_before_any_work(tmp_path, capsys):
    model, train, out = tmp_path / "net.nir", tmp_path / "train.npz", tmp_path / "net.h5"
    words = ("quantize", write_model(model), "--profile", "loihi2", "--remap", "bitplane")
    assert call(*words, "--out", out, "--nir", tmp_path / "back.nir", "--json") == 2
    assert "bitplane stand for no float neuron" in capsys.readouterr().err
    assert not out.exists()
    with pytest.raises(InputError, match="bitplane"):
        nd.quantize(nd.read(model), remap="bitplane", nir=tmp_path / "back.nir")
    write_data(train, 2)
    with pytest.raises(InputError, match="labels: the calibration data has its own"):
        nd.quantize(nd.read(model), calibration=train, labels=np.zeros(40, int))
