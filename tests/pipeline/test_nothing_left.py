"""A command that fails leaves nothing behind: no folder, no file, and what was there before."""

import numpy as np
import pytest
from small_models import N_IN, write_data, write_model

from neurodeploy.cli import main
from neurodeploy.errors import InputError
from neurodeploy.files import filled_folder, made_folder, replacing


def call(*arguments):
    return main([str(a) for a in arguments])


def everything(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


@pytest.fixture
def files(tmp_path):
    model = write_model(tmp_path / "net.nir")
    write_data(tmp_path / "test.npz", 1, model=model)
    x = np.zeros((4, 2, N_IN))
    np.savez(tmp_path / "x.npz", x=x)
    x[3, 1, 2] = np.nan
    np.savez(tmp_path / "nan.npz", x=x)
    return tmp_path


def test_deploy_on_calibration_data_that_are_the_test_data(files, capsys):
    before = everything(files)
    out = files / "a/b/out"
    code = call(
        "deploy", files / "net.nir", "--data", files / "test.npz", "--calibration",
        files / "test.npz", "--profile", "loihi2", "--out", out,
    )  # fmt: skip
    assert code == 2
    assert "were used for calibration" in capsys.readouterr().err
    assert everything(files) == before


@pytest.mark.parametrize(
    "words",
    [
        ("run", "net.nir", "--input", "nan.npz", "--backend", "float", "--out", "new/t.npz"),
        ("quantize", "net.nir", "--profile", "none", "--out", "new/net.h5"),
        ("quantize", "net.nir", "--profile", "loihi2", "--calibration", "x.npz", "--dt", "1",
         "--out", "new/net.h5"),
        ("train", "--set", "no=1", "--out", "new/train"),
        ("deploy", "net.nir", "--data", "x.npz", "--profile", "loihi2", "--out", "new/out"),
        ("report", ".", "--out", "new/report.html"),
    ],
)  # fmt: skip
def test_commands_that_fail(files, words, monkeypatch, capsys):
    monkeypatch.chdir(files)
    before = everything(files)
    assert call(*words) == 2
    assert capsys.readouterr().err.startswith("error: ")
    assert everything(files) == before


def test_a_streamed_run_that_fails_midway(files, capsys):
    import h5py

    assert call("quantize", files / "net.nir", "--profile", "loihi2", "--out", files / "n.h5") == 0
    with h5py.File(files / "nan.h5", "w") as file:
        file["x"] = np.load(files / "nan.npz")["x"]
    before = everything(files)
    code = call(
        "run", files / "n.h5", "--input", files / "nan.h5", "--backend", "fixed", "--memory", 50,
        "--out", files / "new/t.h5",
    )  # fmt: skip
    assert code == 2
    assert "NaN" in capsys.readouterr().err
    assert everything(files) == before


def test_folders_made_here_go_and_others_stay(tmp_path):
    (tmp_path / "old").mkdir()
    for error in (RuntimeError, KeyboardInterrupt):
        with pytest.raises(error), made_folder(tmp_path / "old/a/b"):
            raise error
        with pytest.raises(error), replacing(tmp_path / "old/c/file"):
            raise error
    assert everything(tmp_path) == ["old"]
    with pytest.raises(RuntimeError), made_folder(tmp_path / "old/a/b") as folder:
        (folder / "kept").touch()
        raise RuntimeError
    assert everything(tmp_path) == ["old", "old/a", "old/a/b", "old/a/b/kept"]


def test_a_folder_is_filled_whole_or_not_at_all(tmp_path):
    target = tmp_path / "a/results"
    with pytest.raises(RuntimeError), filled_folder(target) as folder:
        (folder / "one").touch()
        raise RuntimeError
    assert everything(tmp_path) == []
    for text in ("first", "second"):
        with filled_folder(target) as folder:
            assert folder.name == "results"
            (folder / "one").write_text(text)
        assert (target / "one").read_text() == text
    with pytest.raises(RuntimeError), filled_folder(target) as folder:
        (folder / "one").write_text("third")
        raise RuntimeError
    assert (target / "one").read_text() == "second"
    assert everything(tmp_path) == ["a", "a/results", "a/results/one"]
    with (
        pytest.raises(InputError, match="give the name of a folder"),
        filled_folder(target / "one"),
    ):
        pass
