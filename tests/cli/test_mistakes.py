"""What users get wrong, and what breaks under them: exit codes, one line of error, no files left."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cli.calling import call
from small_models import N_OUT, write_model

from neurodeploy.errors import LavaError, MissingComponentError


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
        [sys.executable, "-c", program], cwd=folder, timeout=300, check=False, capture_output=True
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
