"""The command line as a user meets it: exit codes, errors, files, JSON."""

import json
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from small_models import N_OUT, write_data, write_model

from neurodeploy.cli import main
from neurodeploy.cli.commands import COMMANDS
from neurodeploy.errors import LavaError, MissingComponentError
from neurodeploy.network import Traces, load_network


@pytest.fixture
def files(tmp_path):
    model = write_model(tmp_path / "net.nir")
    return {
        "model": str(model),
        "test": str(write_data(tmp_path / "test.npz", 1, model=model)),
        "train": str(write_data(tmp_path / "train.npz", 2, model=model)),
        "dir": tmp_path,
    }


def call(*arguments):
    return main([str(a) for a in arguments])


@pytest.fixture
def network(files):
    path = files["dir"] / "net.h5"
    code = call(
        "quantize", files["model"], "--profile", "loihi2", "--out", path,
        "--calibration", files["train"],
    )  # fmt: skip
    assert code == 0
    return path


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
    out = files["dir"] / "robust"
    code = call("robustness", network, "--data", files["test"], "--out", out, "--quick", "--json")
    document = json.loads(capsys.readouterr().out)
    assert code == {"survives": 0, "lost": 1, "undecided": 4}[document["verdict"]]
    assert document["quick"] is True
    assert (out / "evidence.npz").exists()
    assert json.loads((out / "robustness.json").read_text()) == document


def test_tuning_on_test_samples_is_refused(files, capsys):
    code = call(
        "robustness", files["model"], "--profile", "loihi2", "--calibration", files["test"],
        "--data", files["test"], "--out", files["dir"] / "r", "--quick",
    )  # fmt: skip
    assert code == 2
    assert "--allow-overlap" in capsys.readouterr().err
    assert not (files["dir"] / "r").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ("inspect", "absent.nir"),
        ("quantize", "{model}", "--profile", "loihi99", "--out", "x.h5"),
        ("quantize", "{model}", "--profile", "loihi2", "--out", "x.txt"),
        ("quantize", "{model}", "--profile", "loihi2", "--out", "x.h5", "--dt", "2e-3"),
        ("quantize", "{model}", "--profile", "loihi2", "--out", "x.h5", "--weight-bits", "9"),
        ("run", "{model}", "--input", "{test}", "--backend", "fixed", "--out", "x.npz"),
        ("run", "{model}", "--input", "absent.npz", "--backend", "float", "--out", "x.npz"),
        ("run", "{model}", "--input", "{model}", "--backend", "float", "--out", "x.npz"),
        ("run", "{model}", "--input", "{test}", "--backend", "float", "--out", "x.csv"),
        ("compare", "{model}", "{model}"),
        ("cost", "{model}", "--input", "{test}"),
        ("profiles", "nothing"),
    ],
)
def test_bad_input_gives_exit_2_one_error_line_and_no_file(files, arguments, capsys, monkeypatch):
    monkeypatch.chdir(files["dir"])
    before = set(files["dir"].iterdir())
    assert call(*[a.format(**files) for a in arguments]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ")
    assert "Traceback" not in captured.err
    assert set(files["dir"].iterdir()) == before


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("nonsense",),
        ("run", "x.nir"),
        ("run", "x.nir", "--input", "a", "--backend", "onnx", "--out", "b"),
        ("run", "x.nir", "--input", "a", "--backend", "float", "--out", "b", "--record", "w"),
        ("report", "absent-folder"),
        ("demo", "--seed", "-1"),
    ],
)
def test_wrong_usage_gives_exit_2(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        call(*arguments)
    assert stop.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


def test_graphs_without_a_contract_ask_for_dt(tmp_path, capsys):
    model = write_model(tmp_path / "net.nir", metadata=False)
    assert call("inspect", model) == 2
    assert "--dt" in capsys.readouterr().err
    assert call("inspect", model, "--dt", "1e-3", "--steps", "6") == 0


def test_strict_stops_on_assumptions(tmp_path, capsys):
    model = write_model(tmp_path / "net.nir", metadata=False)
    assert call("inspect", model, "--dt", "1e-3", "--steps", "6", "--strict") == 2
    assert "readout_kind" in capsys.readouterr().err


def test_absent_components_exit_3_and_failures_of_lava_exit_1(files, network, monkeypatch, capsys):
    from neurodeploy.export import lava

    for error, code in ((MissingComponentError("install it"), 3), (LavaError("see log"), 1)):

        def fail(*arguments, error=error, **options):
            raise error

        monkeypatch.setattr(lava, "verify_against", fail, raising=False)
        assert call("verify", network, "--input", files["test"]) == code
        assert capsys.readouterr().err.endswith(f"error: {error}\n")


def test_an_interrupt_exits_130_and_leaves_no_output(files, network, monkeypatch):
    from neurodeploy.pipeline import backends

    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(backends, "run_fixed", interrupt)
    out = files["dir"] / "x.npz"
    assert call("run", network, "--input", files["test"], "--backend", "fixed", "--out", out) == 130
    assert not out.exists()


def test_every_command_has_help_and_no_other_exists():
    promised = {
        "demo", "deploy", "train", "inspect", "quantize", "run", "compare", "verify",
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


def test_a_mistake_is_one_json_document_too(tmp_path, capsys):
    assert call("inspect", tmp_path / "absent.nir", "--json") == 2
    output = capsys.readouterr()
    document = json.loads(output.out)
    assert document["exit_code"] == 2
    assert "no such file" in document["error"]
    assert output.err.startswith("error: ")


def test_an_unforeseen_error_keeps_its_traceback_in_a_log(files, monkeypatch, capsys):
    from neurodeploy.pipeline import model

    def broken(*_, **__):
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(model, "load_model", broken)
    assert call("quantize", files["model"], "--profile", "loihi2", "--out", "n.h5") == 2
    error = capsys.readouterr().err
    assert "internal error: ZeroDivisionError: planted" in error
    assert "Traceback" not in error
    log = Path(error.rsplit(" ", 1)[1].strip())
    assert "planted" in log.read_text()
    log.unlink()


def test_a_full_disk_is_an_error_and_no_bug(files, monkeypatch, capsys):
    from neurodeploy.pipeline import model

    def full(*_, **__):
        raise OSError(28, "No space left on device", "net.h5")

    monkeypatch.setattr(model, "load_model", full)
    assert call("quantize", files["model"], "--profile", "loihi2", "--out", "n.h5") == 2
    assert capsys.readouterr().err == "error: net.h5: No space left on device\n"


@pytest.mark.parametrize("device", ["nonsense", "cuda:99"])
def test_a_device_that_is_not_there_is_a_usage_error(files, device, capsys):
    with pytest.raises(SystemExit) as stop:
        call(
            "robustness", files["model"], "--data", files["test"], "--out", "o", "--device", device
        )
    assert stop.value.code == 2
    assert "no such device here" in capsys.readouterr().err


def test_images_outside_the_encoders_range_are_warned_of(files, network, capsys):
    data = files["dir"] / "wide.npz"
    np.savez(data, images=np.full((3, 4, 4), 16, dtype=np.uint8), y=np.zeros(3))
    out = files["dir"] / "t.npz"
    assert call("run", network, "--input", data, "--backend", "fixed", "--out", out) == 0
    assert "48 of 48 values (100.0%) lie outside" in capsys.readouterr().err


def test_labels_that_no_output_stands_for_give_no_accuracy(files, network, capsys):
    data = files["dir"] / "labels.npz"
    np.savez(data, images=np.zeros((3, 4, 4)), y=np.full(3, N_OUT))
    out = files["dir"] / "t.npz"
    arguments = ("--input", data, "--backend", "fixed", "--out", out, "--json")
    assert call("run", network, *arguments) == 0
    output = capsys.readouterr()
    assert json.loads(output.out)["accuracy"] is None
    assert f"labels {N_OUT}..{N_OUT} do not fit {N_OUT} outputs" in output.err


def test_a_mistake_in_the_data_leaves_no_folder(files, capsys):
    out = files["dir"] / "results"
    data = files["dir"] / "labels.npz"
    np.savez(data, images=np.zeros((3, 4, 4)), y=np.full(3, N_OUT))
    arguments = ("--data", data, "--profile", "loihi2", "--out", out)
    assert call("deploy", files["model"], *arguments) == 2
    arguments = ("--data", files["test"], "--profile", "loihi2", "--out", out, "--radii", "9,999")
    assert call("deploy", files["model"], *arguments) == 2
    assert "radius 999 codes is larger than the whole range 0..255" in capsys.readouterr().err
    assert not out.exists()


def test_deploy_wants_the_float_model(files, network, capsys):
    arguments = ("--data", files["test"], "--profile", "loihi2", "--out", files["dir"] / "results")
    assert call("deploy", network, *arguments) == 2
    assert "give the .nir file" in capsys.readouterr().err


def test_a_billion_steps_are_bounded_without_stepping(files, capsys):
    arguments = ("--profile", "loihi2", "--out", files["dir"] / "n.h5", "--steps", 10**9)
    assert call("quantize", files["model"], *arguments) == 2
    assert "membrane (up to" in capsys.readouterr().err


def test_a_terminated_command_removes_its_temporary_files(files):
    """SIGTERM, as a batch system sends it, unwinds like an exception."""
    program = (
        "import os, signal, sys\n"
        "from neurodeploy.cli import main\n"
        "from neurodeploy.files import replacing\n"
        "from neurodeploy.pipeline import model\n"
        "def hang(*_, **__):\n"
        "    with replacing('net.h5'):\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "        signal.pause()\n"
        "model.load_model = hang\n"
        "sys.exit(main(['quantize', 'x.nir', '--profile', 'loihi2', '--out', 'n.h5']))\n"
    )
    folder = files["dir"] / "terminated"
    folder.mkdir()
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, timeout=60, check=False, capture_output=True
    )
    assert ended.returncode == 143
    assert list(folder.iterdir()) == []


def test_an_input_is_never_replaced(files, network, capsys):
    before = Path(files["test"]).read_bytes()
    code = call(
        "run", network, "--input", files["test"], "--backend", "fixed", "--out", files["test"]
    )
    assert code == 2
    assert "would replace an input" in capsys.readouterr().err
    assert Path(files["test"]).read_bytes() == before


def test_comparing_runs_of_different_input_warns(files, network, capsys):
    for name in ("test", "train"):
        out = files["dir"] / f"of-{name}.npz"
        call("run", network, "--input", files[name], "--backend", "fixed", "--out", out)
    capsys.readouterr()
    call("compare", files["dir"] / "of-test.npz", files["dir"] / "of-train.npz")
    assert "different input" in capsys.readouterr().err


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
