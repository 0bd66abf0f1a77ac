"""`quantize --remap`: what becomes of a DLIF's gain, and what the user is told."""

import json

import nir
import numpy as np
import pytest
from cli.calling import call
from small_models import write_data

WILD, FLAT = np.array([0.3, 2.5, 0.2, 3.0, 0.4, 2.0]), np.linspace(1.0, 1.01, 6)


@pytest.fixture
def gained(files):
    """Write the small model with a gain, and samples; return a function (gain -> path)."""

    def written(gain):
        graph = nir.read(files["model"])
        graph.nodes["lif1"].metadata = {"dlif_gain": {"values": gain, "after": "last"}}
        path = files["dir"] / "gained.nir"
        nir.write(path, graph)
        return path

    return written


def quantised(files, path, capsys, *options, profile="loihi2"):
    capsys.readouterr()
    code = call(
        "quantize", path, "--profile", profile, "--out", files["dir"] / "net.h5", "--json", *options
    )  # fmt: skip
    printed = capsys.readouterr()
    return (json.loads(printed.out) if code == 0 else printed.err), code


def kind_of(document):
    (kind,) = [p["kind"] for p in document["populations"] if p["name"] == "lif1"]
    return kind


@pytest.mark.parametrize(
    ("gain", "remap", "profile", "kind"),
    [
        (WILD, "microcode", "loihi2", "dlif"), (WILD, "fold", "loihi2", "lif"),
        (WILD, "auto", "loihi2", "dlif"), (WILD, "graded", "loihi2", "dlif"),
        (FLAT, "fold", "loihi2", "lif"), (FLAT, "auto", "loihi1", "lif"),
    ],
)  # fmt: skip
def test_a_gain_becomes_what_was_asked_for(files, gained, capsys, gain, remap, profile, kind):
    document, code = quantised(
        files, gained(gain), capsys, "--remap", remap, "--calibration", files["train"],
        profile=profile,
    )  # fmt: skip
    assert code == 0
    assert kind_of(document) == kind
    said = [f for f in document["findings"] if f["where"] == "population lif1"]
    shares = [f["numbers"]["agreement"] for f in said if "mean" in f["numbers"]]
    graded = [f for f in said if "graded messages" in f["what"]]
    assert len(graded) == (remap == "graded" or (remap, profile) == ("auto", "loihi2"))
    if kind == "dlif":
        assert shares == []
    else:
        assert len(shares) == 1
        assert (shares[0] >= 0.98) == (gain is FLAT)


def test_a_chip_of_stock_neurons_names_the_remedy_which_works(files, gained, capsys):
    path = gained(WILD)
    error, code = quantised(files, path, capsys, profile="loihi1")
    assert code == 2
    assert "population lif1: is a dlif" in error
    assert "--remap fold" in error
    document, code = quantised(files, path, capsys, "--remap", "fold", profile="loihi1")
    assert (code, kind_of(document)) == (0, "lif")
    # Folded networks go on: the file runs in float with the real gain, and is inspected.
    net = files["dir"] / "net.h5"
    assert write_data(files["dir"] / "few.npz", 3, n=8)
    for backend in ("float", "fixed"):
        out = files["dir"] / f"{backend}.npz"
        assert call("run", net, "--input", files["dir"] / "few.npz", "--backend", backend,
                    "--out", out) == 0  # fmt: skip
    assert call("inspect", net) == 0
