import dataclasses

import h5py
import numpy as np
import pytest
from oracles.every_kind import LAYOUT, network_of_every_kind
from oracles.random_networks import random_fixed_network

from neurodeploy.errors import FileFormatError, InputError, NeurodeployError
from neurodeploy.files import content_hash, replacing
from neurodeploy.network import (
    ConstantEncoder,
    Readout,
    Samples,
    SparseLayout,
    Traces,
    integers_hash,
    load_network,
    load_samples,
    network_hash,
    save_network,
    save_samples,
)


def networks():
    """Yield networks of every kind of neuron, synapse, delay and topology."""
    yield network_of_every_kind()
    for seed in range(8):
        rng = np.random.default_rng(seed)
        yield random_fixed_network(rng, everything=bool(seed % 4), hardware=seed % 2 == 0)


def same(a, b):
    """Whether two values of a network's fields are equal, layouts and arrays with their dtypes."""
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and (a == b).all()
    if isinstance(a, tuple) and a and dataclasses.is_dataclass(a[0]):
        return len(a) == len(b) and all(map(same, a, b))
    if dataclasses.is_dataclass(a):
        fields = [f.name for f in dataclasses.fields(a) if not f.name.startswith("_")]
        return all(same(getattr(a, n), getattr(b, n)) for n in fields)
    return bool(a == b)


def test_a_network_survives_its_file_bit_for_bit(tmp_path):
    for net in networks():
        path = tmp_path / "net.h5"
        digest = save_network(net, path)
        again = load_network(path)
        assert digest == network_hash(net) == network_hash(again)
        assert same(net, again)


def changed(net, name, **fields):
    populations, synapses = (
        tuple(dataclasses.replace(x, **fields) if x.name == name else x for x in group)
        for group in (net.populations, net.synapses)
    )
    return dataclasses.replace(net, populations=populations, synapses=synapses)


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("map", {"refractory_steps": 4}),
        ("map", {"reset_interval": 8}),
        ("map", {"reset_offset": 1}),
        ("map", {"shape": (2, 2, 3)}),
        ("late", {"reset": "zero"}),
        ("late", {"origin": 0.25}),
        ("gain", {"gain": [4, 255]}),
        (
            "c",
            {"layout": dataclasses.replace(LAYOUT, dilation=(1, 1), stride=(3, 2), padding=(3, 0))},
        ),
        ("s", {"layout": SparseLayout([0, 2, 2, 3, 5, 6], [0, 11, 4, 1, 2, 8], 12)}),
        ("s", {"layout": SparseLayout([0, 2, 2, 4, 5, 6], [0, 11, 4, 5, 2, 7], 12)}),
        ("s", {"delay": np.array([1, 61, 3, 1, 0, 2])}),
        ("s", {"delay": 1}),
        ("r", {"delay": 3}),
        ("r", {"message_bits": 1}),
    ],
)
def test_every_field_counts_in_the_hash(tmp_path, name, fields):
    net = network_of_every_kind()
    other = changed(net, name, **fields)
    assert not same(net, other)
    assert network_hash(net) != save_network(other, tmp_path / "net.h5")
    assert same(load_network(tmp_path / "net.h5"), other)


def test_integers_are_the_same_whatever_stands_beside_them(tmp_path):
    net = network_of_every_kind()
    known = integers_hash(net)
    beside = [
        dataclasses.replace(net, profile="another", nir_file=b"x", contract={"dt": 1.0},
                            calibration=("ab",)),
        changed(net, "map", nir_nodes=("other",)),
        changed(net, "map", scale=3.5),
        changed(net, "late", origin=0.25),
    ]  # fmt: skip
    for other in beside:
        assert network_hash(other) != network_hash(net)
        assert integers_hash(other) == known
        save_network(other, tmp_path / "net.h5")
        assert integers_hash(load_network(tmp_path / "net.h5")) == known


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("map", {"refractory_steps": 4}),
        ("map", {"bias": 1}),
        ("late", {"reset": "zero"}),
        ("gain", {"gain": [4, 255]}),
        ("s", {"delay": 1}),
        ("s", {"weight": [3, 5, 7, 9, 2, 4]}),
        ("r", {"message_bits": 1}),
        ("", {"readout": Readout("map", "count", (0, 2))}),
        ("", {"encoder": ConstantEncoder(high=0.5)}),
        ("", {"steps": 3}),
    ],
)
def test_other_integers_have_another_hash(name, fields):
    net = network_of_every_kind()
    other = changed(net, name, **fields) if name else dataclasses.replace(net, **fields)
    assert integers_hash(other) != integers_hash(net)


def test_the_same_network_gives_the_same_bytes(tmp_path):
    net = random_fixed_network(np.random.default_rng(3))
    for name in ("a.h5", "b.h5"):
        save_network(net, tmp_path / name)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_one_changed_weight_is_noticed(tmp_path):
    path = tmp_path / "net.h5"
    save_network(random_fixed_network(np.random.default_rng(1)), path)
    with h5py.File(path, "r+") as file:
        file["synapses/0/weight"][0, 0] += 2
    with pytest.raises(FileFormatError, match="changed or damaged"):
        load_network(path)


@pytest.mark.parametrize("content", [b"", b"not hdf5", b"\x89HDF\r\n\x1a\n" + b"\0" * 64])
def test_damaged_network_files_give_one_clear_error(tmp_path, content):
    path = tmp_path / "net.h5"
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=r"net\.h5"):
        load_network(path)


def test_another_hdf5_file_is_not_a_network(tmp_path):
    path = tmp_path / "net.h5"
    with h5py.File(path, "w") as file:
        file["x"] = 1
    with pytest.raises(FileFormatError, match="is not a NET"):
        load_network(path)


@pytest.mark.parametrize("suffix", [".npz", ".h5"])
def test_traces_survive_their_file(tmp_path, suffix):
    rng = np.random.default_rng(0)
    traces = Traces(
        rng.integers(-(2**23), 2**23, (4, 2, 3)).astype(np.int32),
        {
            "a/spikes": rng.integers(0, 2, (4, 2, 5)).astype(np.uint8),
            "a/v": rng.normal(size=(4, 2, 5)),
        },
        {"a/spikes": np.array([3, 4])},
        {"readout": {"population": "a", "kind": "sum"}, "backend": "fixed"},
    )
    traces.save(tmp_path / f"t{suffix}")
    again = Traces.load(tmp_path / f"t{suffix}")
    assert (again.output == traces.output).all()
    assert again.output.dtype == np.int32
    assert set(again.records) == {"a/spikes", "a/v"}
    assert again.records["a/spikes"].dtype == np.uint8
    assert (again.counts["a/spikes"] == [3, 4]).all()
    assert again.meta["backend"] == "fixed"


@pytest.mark.parametrize("suffix", [".npz", ".h5"])
def test_every_population_name_survives(tmp_path, suffix):
    names = ["block/1/lif", "counts", "output", "meta", ".", "..", "a:out", "a%3Aout", "%6Futput",
             "input->a", "gr\u00fc\u00df \u6f22", "a", "a/spikes", "'\"\\"]  # fmt: skip
    records = {f"{n}/spikes": np.full((1, 1, 2), i, np.uint8) for i, n in enumerate(names)}
    counts = {f"{n}/operations": np.array([i]) for i, n in enumerate(names)}
    Traces(np.zeros((1, 1, 1)), records, counts, {}).save(tmp_path / f"t{suffix}")
    again = Traces.load(tmp_path / f"t{suffix}")
    assert {key: int(a[0, 0, 0]) for key, a in again.records.items()} == {
        f"{n}/spikes": i for i, n in enumerate(names)
    }
    assert {key: int(a[0]) for key, a in again.counts.items()} == {
        f"{n}/operations": i for i, n in enumerate(names)
    }


def test_a_failing_write_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError, match="boom"), replacing(path) as temporary:
        temporary.write_text("new, half")
        raise RuntimeError("boom")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_content_hash_sees_name_dtype_shape_and_value():
    base = {"a": np.zeros(4, np.int32)}
    others = [
        {"b": np.zeros(4, np.int32)},
        {"a": np.zeros(4, np.uint32)},
        {"a": np.zeros((2, 2), np.int32)},
        {"a": np.array([0, 0, 0, 1], np.int32)},
    ]
    hashes = {content_hash(base), *(content_hash(o) for o in others)}
    assert len(hashes) == 5
    assert content_hash({"a": np.zeros(4, ">i4")}) == content_hash(base)


def test_samples_survive_npz_and_h5(tmp_path):
    samples = Samples(np.random.default_rng(0).random((5, 2, 3)), np.arange(5))
    save_samples(tmp_path / "s.npz", samples)
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file["images"], file["y"] = samples.images, samples.labels
    for name in ("s.npz", "s.h5"):
        again = load_samples(tmp_path / name)
        assert (again.images == samples.images).all()
        assert (again.labels == samples.labels).all()


def test_a_data_file_without_labels_says_what_it_holds(tmp_path):
    np.savez(tmp_path / "s.npz", pictures=np.zeros((1, 2)))
    with pytest.raises(FileFormatError, match=r"lacks images and y \(found: pictures\)"):
        load_samples(tmp_path / "s.npz")


def test_pickled_arrays_are_refused(tmp_path):
    np.savez(tmp_path / "s.npz", images=np.array([{}], dtype=object), y=np.zeros(1))
    with pytest.raises(FileFormatError):
        load_samples(tmp_path / "s.npz")


def test_missing_files_are_input_errors(tmp_path):
    for read in (load_samples, load_network, Traces.load):
        with pytest.raises(InputError):
            read(tmp_path / "absent.npz")
    assert issubclass(InputError, NeurodeployError)


@pytest.mark.parametrize("read", [load_samples, Traces.load])
def test_truncated_and_foreign_npz_files_give_one_clear_error(tmp_path, read):
    np.savez(tmp_path / "whole.npz", images=np.zeros((9, 9)), y=np.zeros(9), output=np.zeros(3))
    whole = (tmp_path / "whole.npz").read_bytes()
    path = tmp_path / "x.npz"
    for end in (*range(0, len(whole), 41), len(whole) - 1):
        path.write_bytes(whole[:end])
        with pytest.raises(FileFormatError, match=r"x\.npz"):
            read(path)
