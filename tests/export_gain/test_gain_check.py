"""Written files are proven; a file wrong in one place is refused, and nothing is left behind."""

import h5py
import numpy as np
import pytest
from export_gain.gain_networks import dense, gain, literal, stimulus

import neurodeploy.export.gain.check as gain_check
from neurodeploy.errors import ExportRefusedError, FileFormatError
from neurodeploy.export.gain import (
    check_portable_gain,
    measure_ignored_gain,
    portable_stimulus,
    write_portable_gain,
)
from neurodeploy.graph import read


@pytest.fixture
def case(tmp_path):
    rng = np.random.default_rng(0)
    graph = dense(tmp_path / "graph.nir", rng, [gain(rng, 7), gain(rng, 7)])
    x = stimulus(rng, 6, samples=40)
    path = tmp_path / "portable.nir"
    return graph, x, path, write_portable_gain(graph, path, "bit-planes", x, bits=5)


def test_what_a_proof_says(case, tmp_path):
    graph, x, path, (check, findings) = case
    assert (check.samples, check.steps) == (40, 12)
    assert check.compared == 12 * 40 * (9 + 8)
    assert check.score_difference < 1e-12
    again = check_portable_gain(path, graph, x)
    assert again == check
    exact = literal(tmp_path / "graph.nir", x).outputs
    with h5py.File(path) as file:
        document = file["node/metadata/neurodeploy_gain"]
        values = document["nodes/lif2/mantissas"][()] * 2.0 ** -document["nodes/lif2/exponent"][()]
        assert document["nodes/lif2/ignored-metadata-error"][()] == 0
        share = document["nodes/lif2/rounded-gain-error"][()]
        assert document["measured/samples"][()] == 40
    rounded = literal(tmp_path / "graph.nir", x, {"lif2": values}).outputs
    assert share == (rounded["lif2"] != exact["lif2"]).mean() == check.rounded_gain_error["lif2"]
    assert 0 < share < 0.2
    assert check.rounded_gain_error["lif1"] == 0
    assert any("changes" in f.what and "'lif2'" in f.where for f in findings)


def test_ignoring_the_gain_is_measured(case, tmp_path):
    graph, x, path, _ = case
    shares = measure_ignored_gain(graph, x)
    exact = literal(tmp_path / "graph.nir", x).outputs
    ones = literal(tmp_path / "graph.nir", x, {"lif1": [1.0], "lif2": [1.0]}).outputs
    assert shares == {n: (exact[n] != ones[n]).mean() for n in ("lif1", "lif2")}
    assert min(shares.values()) > 0.02
    assert measure_ignored_gain(read(path).value, portable_stimulus(x, path)) == {}


def put(path, value):
    def change(file):
        file[path][...] = value(file[path][()])

    return change


def set_one(index, value):
    def change(array):
        array[index] = value
        return array

    return change


def lose_hash(file):
    del file["node/metadata/neurodeploy_gain/hash"]


AND = "node/nodes/lif1_and"
BLOCKS = "node/metadata/neurodeploy_gain/blocks"
TAMPERED = {
    "one weight": put("node/nodes/affine2/weight", set_one((2, 3), 9.0)),
    "weights of one bit": put("node/nodes/affine2/weight", set_one(np.s_[:, :9], 0.1)),
    "first layer": put("node/nodes/affine1/weight", lambda w: 1.1 * w),
    "threshold of DLIF": put("node/nodes/lif2/v_threshold", lambda v: 1.1 * v),
    "AND becomes OR": put(f"{AND}/v_threshold", set_one(np.s_[:], 0.5)),
    "AND never fires": put(f"{AND}/v_threshold", set_one(np.s_[:9], 2.5)),
    "AND remembers": put(f"{AND}/tau", set_one(np.s_[:], 3e-3)),
    "relay never fires": put("node/nodes/lif1/v_threshold", set_one(-1, 1e9)),
    "a gate connected to another bit": put(
        "node/nodes/lif1_spread/weight", lambda w: np.hstack([w[:, :9], np.roll(w[:, 9:], 1, 1)])
    ),
    "a gate line": put(f"{BLOCKS}/block3/factor", lambda f: np.roll(f, 1)),
    "the gain of the input": put(f"{BLOCKS}/block0/factor", np.ones_like),
}


@pytest.mark.parametrize("what", [*TAMPERED])
def test_tampering_is_seen_by_hash_and_by_the_spikes(case, what, monkeypatch):
    graph, x, path, _ = case
    with h5py.File(path, "r+") as file:
        TAMPERED[what](file)
    with pytest.raises(FileFormatError, match="was changed after it was written"):
        portable_stimulus(x, path)
    with pytest.raises(ExportRefusedError, match="was changed"):
        check_portable_gain(path, graph, x)
    # The same with a hash that fits: then the spikes must tell.
    monkeypatch.setattr("neurodeploy.export.gain.stimulus.graph_hash", lambda *a: stored(path))
    with pytest.raises(ExportRefusedError, match=r"spikes differ|read-out differs"):
        check_portable_gain(path, graph, x)


def stored(path):
    with h5py.File(path) as file:
        return file["node/metadata/neurodeploy_gain/hash"][()].decode()


DAMAGED = {
    "hash": (lose_hash, "was changed"),
    "schema": (put("node/metadata/neurodeploy_gain/schema", lambda s: 2), "schema is 2"),
    "blocks overlap": (
        put("node/metadata/neurodeploy_gain/blocks/block1/first", lambda s: s - 1),
        "do not fit",
    ),
    "not a number": (
        put("node/metadata/neurodeploy_gain/blocks/block2/factor", lambda f: f * np.nan),
        "do not fit",
    ),
    "no blocks": (lambda f: f.__delitem__("node/metadata/neurodeploy_gain/blocks"), "damaged"),
    "input shape": (
        put("node/metadata/neurodeploy_gain/input-shape", lambda s: s + 1),
        "do not fit",
    ),
}


@pytest.mark.parametrize("what", [*DAMAGED])
def test_damaged_metadata(case, what):
    _, x, path, _ = case
    change, message = DAMAGED[what]
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(FileFormatError, match=message):
        portable_stimulus(x, path)


def test_a_file_for_another_gain_is_refused(case, tmp_path):
    graph, x, path, _ = case
    rng = np.random.default_rng(0)
    other = dense(tmp_path / "other.nir", rng, [gain(rng, 7), gain(rng, 7) * 1.2])
    with pytest.raises(ExportRefusedError, match="spikes differ"):
        check_portable_gain(path, other, x)
    with pytest.raises(ExportRefusedError, match="says no gain form"):
        check_portable_gain(tmp_path / "graph.nir", graph, x)


def test_no_file_where_the_proof_fails(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    graph = dense(tmp_path / "graph.nir", rng, [gain(rng, 7), gain(rng, 7)])
    path = tmp_path / "portable.nir"
    path.write_text("old")
    right = gain_check.write_graph

    def wrong(target, portable):
        right(target, portable)
        with h5py.File(target, "r+") as file:
            file["node/nodes/affine1/weight"][...] *= 1.1

    monkeypatch.setattr(gain_check, "write_graph", wrong)
    with pytest.raises(ExportRefusedError):
        write_portable_gain(graph, path, "bit-planes", stimulus(rng, 6))
    assert path.read_text() == "old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["graph.nir", "portable.nir"]
