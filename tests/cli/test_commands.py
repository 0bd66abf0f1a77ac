"""The command line as a user meets it: what each command writes and says."""

import json
import subprocess
import sys

import h5py
import numpy as np
import pytest
from cli.calling import call
from small_models import N_OUT, write_model

from neurodeploy.cli.commands import COMMANDS
from neurodeploy.network import Traces, load_network


def test_quantize_writes_a_network_and_names_the_next_command(files, capsys):
    path = files["dir"] / "net.h5"
    arguments = ("--profile", "loihi2", "--out", path, "--calibration", files["train"])
    assert call("quantize", files["model"], *arguments) == 0
    net = load_network(path)
    assert net.steps == 6
    assert len(net.calibration) == 40
    assert "next: neurodeploy verify" in capsys.readouterr().out


@pytest.mark.parametrize("backend", ["float", "fixed"])
def test_run_writes_traces_with_the_promised_keys(files, network, backend, capsys):
    path = files["dir"] / f"{backend}.npz"
    source = network if backend == "fixed" else files["model"]
    code = call(
        "run", source, "--input", files["test"], "--backend", backend, "--out", path,
        "--record", "spikes,v,v_pre",
    )  # fmt: skip
    assert code == 0
    traces = Traces.load(path)
    assert traces.output.shape == (6, 40, N_OUT)
    assert traces.records["lif1/spikes"].dtype == np.uint8
    assert traces.records["lif1/v"].dtype == (np.float64 if backend == "float" else np.int32)
    assert {"lif1/v_pre", "readout/v"} <= set(traces.records)
    for key in ("contract", "backend", "populations", "versions", "input_hash", "readout"):
        assert key in traces.meta
    assert "accuracy" in capsys.readouterr().out


def test_a_network_file_also_runs_in_float_and_gives_the_models_own_traces(files, network):
    for source, name in ((files["model"], "a.npz"), (network, "b.npz")):
        call(
            "run",
            source,
            "--input",
            files["test"],
            "--backend",
            "float",
            "--out",
            files["dir"] / name,
        )
    assert call("compare", files["dir"] / "a.npz", files["dir"] / "b.npz") == 0


def test_compare_exits_1_where_traces_differ_and_0_where_decisions_agree(files, network, capsys):
    for backend in ("float", "fixed"):
        call(
            "run", network, "--input", files["test"], "--backend", backend, "--record", "spikes",
            "--out", files["dir"] / f"{backend}.npz",
        )  # fmt: skip
    a, b = files["dir"] / "float.npz", files["dir"] / "fixed.npz"
    capsys.readouterr()
    code = call("compare", a, b, "--json")
    document = json.loads(capsys.readouterr().out)
    assert code == (0 if document["holds"]["exact"] else 1)
    assert call("compare", a, a) == 0
    decision = call("compare", a, b, "--accept", "decision")
    assert decision == (0 if document["decisions_equal"] == document["samples"] else 1)


def test_inspect_shows_nodes_contract_and_fit(files, network, capsys):
    assert call("inspect", files["model"], "--profile", "loihi2", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert [n["type"] for n in document["nodes"]].count("LIF") == 1
    assert document["contract"]["dt"] == 1e-3
    assert document["fits"] is True
    assert call("inspect", network) == 0
    assert "lif1" in capsys.readouterr().out


def test_cost_prints_three_boundaries(files, network, capsys):
    assert call("cost", network, "--input", files["test"], "--json") == 0
    document = json.loads(capsys.readouterr().out)
    core, management, total = (
        document["energy_nj"][key] for key in ("core", "core+management", "total")
    )
    assert 0 < core["typ"] < management["typ"] < total["typ"]


def test_robustness_writes_evidence_and_returns_the_verdicts_code(files, network, capsys):
    out, sweep = files["dir"] / "robust", files["dir"] / "s.toml"
    sweep.write_text('[robustness]\nperturbations = ["fgsm"]\nradii_codes = [13]\n')
    code = call("robustness", network, "--data", files["test"], "--config", sweep, "--out", out,
                "--quick", "--json")  # fmt: skip
    document = json.loads(capsys.readouterr().out)
    assert code == {"survives": 0, "lost": 1, "undecided": 4}[document["verdict"]]
    assert document["quick"] is True
    assert (out / "evidence.npz").exists()
    assert json.loads((out / "robustness.json").read_text()) == document


def test_every_command_has_help_and_no_other_exists():
    promised = {
        "demo", "deploy", "train", "inspect", "quantize", "run", "compare", "verify", "explain",
        "robustness", "cost", "report", "profiles", "lava", "doctor",
    }  # fmt: skip
    assert {command.name for command in COMMANDS} == promised
    for name in promised:
        result = subprocess.run(
            [sys.executable, "-m", "neurodeploy", name, "--help"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert result.returncode == 0, result.stderr
        assert "--json" in result.stdout


def test_profiles_print_every_value_with_its_source(capsys):
    assert call("profiles") == 0
    assert "loihi2" in capsys.readouterr().out
    assert call("profiles", "loihi2", "--json") == 0
    rows = json.loads(capsys.readouterr().out)["values"]
    assert len(rows) > 30
    numbers = [row for row in rows if row["typ"] is not None]
    assert len(numbers) > 30
    assert all(row["source"] and row["unit"] and row["grade"] in "AB" for row in numbers)
    # What is unknown says why instead of naming a source.
    assert all(row["source"] or row["note"] for row in rows)


def test_lavas_simulator_is_a_target_without_a_price(files, capsys):
    net = files["dir"] / "lava.h5"
    assert call("quantize", files["model"], "--profile", "lava", "--out", net,
                "--calibration", files["train"]) == 0  # fmt: skip
    assert call("inspect", files["model"], "--profile", "lava") == 0
    assert call("inspect", net) == 0
    capsys.readouterr()
    assert call("cost", net, "--input", files["test"]) == 0
    printed = capsys.readouterr().out
    assert "Counts per inference on Lava CPU simulator (status: limits-only)" in printed
    assert "no energy and no time is estimated: profile lava (Lava CPU simulator)" in printed
    assert "synaptic operations" in printed
    assert "nJ" not in printed
    assert call("cost", net, "--input", files["test"], "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert set(document["energy_nj"].values()) == {None}
    assert document["latency_us"] is None
    assert document["activity"]["totals"]["synaptic_operations"]["mean"] > 0


def test_inspect_says_where_every_contract_word_comes_from(tmp_path, capsys):
    model = write_model(tmp_path / "net.nir", metadata=False)
    given = ("--dt", "1e-3", "--steps", "6", "--convention", "snntorch")
    # The convention's own dt is 1e-4; the option beats it.
    assert call("inspect", model, *given) == 0
    output = capsys.readouterr().out
    words = {line.split()[0]: line.split() for line in output.splitlines() if "--" in line}
    assert words["dt"][1:3] == ["0.001", "option"]
    assert words["reset"][1:4] == ["subtract-late", "convention", "snntorch"]
    assert words["readout_kind"][2] == "assumed"
    assert "is assumed" not in output
    # The command to run next reads the graph in the same way.
    assert output.rstrip().endswith("--dt 0.001 --steps 6 --convention snntorch")


def test_run_lists_what_it_assumed(files, tmp_path, capsys):
    model = write_model(tmp_path / "bare.nir", metadata=False)
    out = tmp_path / "traces.npz"
    given = ("--input", files["test"], "--backend", "float", "--out", out)
    assert call("run", model, *given, "--dt", "1e-3", "--steps", "6", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["assumed"]["decay"] == "euler"
    assert "dt" not in document["assumed"]
    assert call("run", model, *given, "--dt", "1e-3", "--steps", "6") == 0
    assert "assumed, as nothing says it: reset value" in capsys.readouterr().out
    assert call("run", files["model"], *given) == 0
    assert "assumed, as" not in capsys.readouterr().out


def test_inspect_shows_a_broken_graph_with_all_that_is_wrong(tmp_path, capsys):
    model = write_model(tmp_path / "net.nir")
    with h5py.File(model, "a") as file:
        nodes = file["node/nodes"]
        nodes["lif1/tau"][0] = -1.0
        nodes["affine1/weight"][0, 0] = np.nan
        nodes["odd/type"] = "Wobble"
    assert call("inspect", model, "--json") == 2
    output = capsys.readouterr()
    document = json.loads(output.out)
    assert document["exit_code"] == 2
    assert document["usable"] is False
    assert {"odd", "lif1", "affine1"} <= {n["name"] for n in document["nodes"]}
    for words in ("Wobble", "tau", "NaN"):
        assert words in output.err
    assert "Traceback" not in output.err


def test_inspect_counts_dead_rows_and_says_what_the_chip_rounds(tmp_path, capsys):
    model = write_model(tmp_path / "net.nir")
    with h5py.File(model, "a") as file:
        weight = file["node/nodes/affine1/weight"]
        weight[0] = 0.0
        weight[:, 1] = 0.0
    assert call("inspect", model, "--profile", "loihi2", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    affine = next(n for n in document["nodes"] if n["name"] == "affine1")
    assert (affine["dead_rows"], affine["dead_columns"]) == (1, 1)
    coverage = {row["node"]: row for row in document["coverage"]["nodes"]}
    assert coverage["affine1"]["status"] == "approximate"
    assert "weights" in coverage["affine1"]["detail"]
    assert coverage["input"]["status"] == "exact"
    assert document["coverage"]["count"]["not"] == 0


def test_a_sequence_runs_without_labels_or_steps(files, tmp_path, capsys):
    rng = np.random.default_rng(0)
    from neurodeploy.graph import read

    network = read(files["model"]).value
    n = int(np.prod(network.shapes[network.input_name][1]))
    np.savez(tmp_path / "x.npz", x=rng.random((9, 3, n)))
    out = tmp_path / "traces.npz"
    assert call("run", files["model"], "--input", tmp_path / "x.npz", "--backend", "float",
                "--record", "spikes,v,y", "--out", out) == 0  # fmt: skip
    traces = Traces.load(out)
    assert traces.output.shape[:2] == (9, 3)
    assert any(key.endswith("/y") for key in traces.records)
    assert isinstance(traces.meta["findings"], list)


def test_compare_shows_a_run_as_a_chips_probes_would(files, network, capsys):
    """A chip reads 128 in v where a neuron spiked; one step later with a lag of one."""
    ours, chip = files["dir"] / "ours.npz", files["dir"] / "chip.npz"
    source = ("run", network, "--input", files["test"], "--backend", "fixed")
    assert call(*source, "--record", "spikes,v", "--out", ours) == 0
    traces = Traces.load(ours)
    shown = {}
    for key, rows in traces.records.items():
        if key.endswith("/v"):
            rows = np.where(traces.records[key[:-1] + "spikes"] != 0, 128, rows)
        late = np.zeros_like(rows)
        late[1:] = rows[:-1]
        shown[key] = late
    Traces(traces.output, shown, {}, traces.meta).save(chip)
    assert call("compare", ours, chip) == 1
    assert call("compare", ours, chip, "--chip") == 1
    assert call("compare", ours, chip, "--chip", "--probe-offset", "1") == 0
    assert call("compare", ours, chip, "--probe-offset", "1") == 2
    assert "--chip" in capsys.readouterr().err


def test_run_with_bounded_memory_writes_the_same_traces(files, network, capsys):
    rng = np.random.default_rng(3)
    net = load_network(network)
    x = rng.random((9, 5, net.n_input))
    source, whole, streamed = (files["dir"] / f"{name}.h5" for name in ("in", "a", "b"))
    with h5py.File(source, "w") as file:
        file["x"], file["y"] = x, rng.integers(0, N_OUT, 5)
    command = ("run", network, "--input", source, "--backend", "fixed", "--record", "spikes,u,v")
    assert call(*command, "--out", whole) == 0
    first = capsys.readouterr().out
    assert call(*command, "--out", streamed, "--memory", "4") == 0
    second = capsys.readouterr().out
    assert first.replace(str(whole), "") == second.replace(str(streamed), "")
    a, b = Traces.load(whole), Traces.load(streamed)
    assert a.meta == b.meta
    assert set(a.records) == set(b.records)
    assert all(np.array_equal(a.records[key], b.records[key]) for key in a.records)
    assert all(np.array_equal(a.counts[key], b.counts[key]) for key in a.counts)
    plain = files["dir"] / "c.h5"
    assert call(*command, "--out", plain, "--engine", "torch") == 0
    c = Traces.load(plain)
    assert all(np.array_equal(a.records[key], c.records[key]) for key in a.records)
    assert call(*command, "--out", plain, "--engine", "torch", "--timing", "lava") == 2
    for bad in (
        (*command, "--engine", "torch", "--out", streamed, "--memory", "4"),
        (*command[:5], "float", "--out", streamed, "--memory", "4"),
        (*command, "--out", files["dir"] / "b.npz", "--memory", "4"),
        (*command[:3], files["test"], *command[4:], "--out", streamed, "--memory", "4"),
    ):
        assert call(*bad) == 2


def test_quantize_tells_what_rounding_will_do(files, capsys):
    """Only with calibration data; each layer once, the worst with a remedy."""
    arguments = ["--profile", "loihi2", "--weight-bits", "3", "--out", files["dir"] / "d.h5"]
    choices = ["--scale", "search", "--rounding", "adaptive", "--bias", "corrected"]
    assert call("quantize", files["model"], *arguments) == 0
    assert "expected of rounding" not in capsys.readouterr().out
    assert call("quantize", files["model"], *arguments, *choices) == 2
    assert "calibration" in capsys.readouterr().err
    data = ["--calibration", files["train"]]
    assert call("quantize", files["model"], *arguments, *choices, *data) == 0
    assert "expected of rounding" in capsys.readouterr().out
    assert call("quantize", files["model"], *arguments, *data, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["quantize"]["schema"] == 2
    assert document["quantize"]["weight_bits"] == 3
    assert document["layers"]
    assert all(0 <= layer["turned"] <= 1 for layer in document["layers"])


def test_quantize_fine_tunes_on_the_calibration_data(files, capsys):
    arguments = ["--profile", "loihi2", "--weight-bits", "3", "--out", files["dir"] / "f.h5"]
    tune = ["--fine-tune", "float", "--fine-tune-epochs", "2"]
    assert call("quantize", files["model"], *arguments, *tune) == 2
    assert "--calibration" in capsys.readouterr().err
    assert not (files["dir"] / "f.h5").exists()
    data = ["--calibration", files["train"]]
    assert call("quantize", files["model"], *arguments, *tune, *data) == 0
    assert "teacher" in capsys.readouterr().out
    net = load_network(files["dir"] / "f.h5")
    assert len(net.calibration) == 40
    assert (
        call("quantize", files["model"], *arguments, *tune, *data, "--fine-tune-radius", "999") == 2
    )
    assert "0..255" in capsys.readouterr().err
