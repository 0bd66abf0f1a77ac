"""Each command given each wrong kind of file: one plain error with a remedy, and nothing written."""

import h5py
import numpy as np
import pytest
from small_models import N_IN, write_data, write_model

from neurodeploy.cli import main
from neurodeploy.file_kind import kind_of

ENDINGS = ("nir", "h5", "npz", "net", "toml")
GOOD = {
    "model.nir": "a NIR file",
    "net.h5": "a NET.h5 of neurodeploy",
    "traces.npz": "a traces file",
    "traces.h5": "a traces file",
    "data.npz": "a data file",
    "data.h5": "a data file",
    "others.npz": "an .npz file with codes, index",
    "layers.net": "a NetX file",
}
#: What HDF5, numpy and Python say, and no user can use.
RAW = ("synchronously", "Errno", "pickle", "Traceback", "internal error", "codec", "KeyError")


def call(*arguments):
    try:
        return main([str(a) for a in arguments])
    except SystemExit as leaving:  # argparse
        return leaving.code


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("files")
    model = write_model(path / "model.nir")
    data = write_data(path / "data.npz", 1, n=3, model=model)
    assert call("quantize", model, "--profile", "loihi2", "--out", path / "net.h5") == 0
    for name in ("traces.npz", "traces.h5"):
        words = ("--input", data, "--backend", "float", "--out", path / name)
        assert call("run", model, *words) == 0
    with h5py.File(path / "data.h5", "w") as file:
        file["x"], file["y"] = np.zeros((4, 2, N_IN)), np.zeros(2, int)
    with h5py.File(path / "layers.net", "w") as file:
        file.create_group("layer")
    np.savez(path / "others.npz", codes=np.zeros(3), index=np.arange(3))
    for ending in ENDINGS:
        (path / f"empty.{ending}").touch()
        (path / f"text.{ending}").write_text("these are words\n" * 20)
        (path / f"bytes.{ending}").write_bytes(bytes(range(256)) * 9)
        (path / f"cut.{ending}").write_bytes((path / "net.h5").read_bytes()[:1000])
        (path / f"dir.{ending}").mkdir()
    return path


COMMANDS = {
    "inspect": (("inspect", "FILE"), ("model.nir", "net.h5")),
    "inspect --profile": (("inspect", "model.nir", "--profile", "FILE"), ()),
    "quantize": (
        ("quantize", "FILE", "--profile", "loihi2", "--out", "new/o.h5"),
        ("model.nir", "net.h5"),
    ),
    "quantize --calibration": (
        ("quantize", "model.nir", "--profile", "loihi2", "--out", "new/o.h5", "--calibration",
         "FILE"),
        ("data.npz", "data.h5"),
    ),
    "run": (
        ("run", "FILE", "--input", "data.npz", "--backend", "fixed", "--out", "new/o.npz"),
        ("net.h5",),
    ),
    "run --input": (
        ("run", "model.nir", "--input", "FILE", "--backend", "float", "--out", "new/o.npz"),
        ("data.npz", "data.h5"),
    ),
    "run --memory": (
        ("run", "net.h5", "--input", "FILE", "--backend", "fixed", "--memory", "50", "--out",
         "new/o.h5"),
        ("data.h5",),
    ),
    "compare": (("compare", "traces.npz", "FILE"), ("traces.npz", "traces.h5")),
    "verify": (("verify", "FILE", "--input", "data.npz"), ("net.h5",)),
    "verify --input": (("verify", "net.h5", "--input", "FILE"), ("data.npz", "data.h5")),
    "cost": (("cost", "FILE", "--input", "data.npz"), ("net.h5",)),
    "cost --input": (("cost", "net.h5", "--input", "FILE"), ("data.npz", "data.h5")),
    "report": (("report", "FILE", "--out", "new/o.html"), ()),
    "profiles": (("profiles", "FILE"), ()),
    "deploy": (
        ("deploy", "FILE", "--data", "data.npz", "--profile", "loihi2", "--out", "new/o"),
        ("model.nir",),
    ),
    "deploy --data": (
        ("deploy", "model.nir", "--data", "FILE", "--profile", "loihi2", "--out", "new/o"),
        ("data.npz",),
    ),
    "train": (("train", "FILE", "--out", "new/o"), tuple(f"empty.{e}" for e in ENDINGS)),
}  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_one_plain_error_for_each_wrong_file(folder, command, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    words, right = COMMANDS[command]
    wrong = {path.name for path in folder.iterdir()} - set(right) | {"none.h5", "none.nir"}
    before = sorted(folder.rglob("*"))
    for name in sorted(wrong):
        capsys.readouterr()
        code = call(*(name if word == "FILE" else word for word in words))
        said = capsys.readouterr().err
        assert code == 2, (name, said)
        assert said.count("error: ") == 1 or command == "inspect", said
        assert name.partition(".")[0] in said, said
        assert not [raw for raw in RAW if raw in said], said
    assert sorted(folder.rglob("*")) == before


def test_files_are_known_by_what_is_in_them(folder, tmp_path):
    for name, kind in GOOD.items():
        assert kind_of(folder / name) == kind
        (tmp_path / "other.name").write_bytes((folder / name).read_bytes())
        assert kind_of(tmp_path / "other.name") == kind
    assert kind_of(folder / "cut.h5") == "a damaged HDF5 file"
    assert kind_of(folder / "text.npz").startswith("a file of another format")
    assert kind_of(folder) == "a folder"
    assert kind_of(folder / "none") == "no such file"


def test_compare_names_what_it_was_given(folder, capsys):
    assert call("compare", folder / "traces.npz", folder / "net.h5") == 2
    said = capsys.readouterr().err
    assert "net.h5: is not a traces file but a NET.h5 of neurodeploy" in said
    assert "neurodeploy run writes them" in said
