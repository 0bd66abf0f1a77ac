"""NET.h5 with a right hash and wrong content: always one clear error, never a crash or a guess."""

import json

import h5py
import numpy as np
import pytest
from oracles.every_kind import network_of_every_kind
from oracles.random_networks import random_fixed_network

from neurodeploy.errors import FileFormatError, NeurodeployError
from neurodeploy.files import content_hash
from neurodeploy.network import load_network, save_network

WRONG = (None, "x", -7, 1.5, [1], {}, 10**30, True)


def rewrite(path, change):
    """Apply ``change`` to (arrays, header) of a NET.h5 and store it with a matching hash."""
    with h5py.File(path, "r+") as file:
        arrays = {}
        file.visititems(
            lambda name, item: (
                arrays.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None
            )
        )
        before = dict(arrays)
        header = json.loads(arrays["header"].tobytes())
        text = json.dumps(header)
        change(arrays, header)
        if "header" in arrays and json.dumps(header) != text:
            arrays["header"] = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)
        for name in before:
            if arrays.get(name) is not before[name]:
                del file[name]
        for name, array in arrays.items():
            if array is not before.get(name):
                file[name] = array
                arrays[name] = file[name][()]
        stored = {name: np.asarray(array) for name, array in arrays.items()}
        file.attrs["content_hash"] = content_hash(stored)


@pytest.fixture
def path(tmp_path):
    net = random_fixed_network(np.random.default_rng(3), layers=1)
    save_network(net, tmp_path / "net.h5")
    return tmp_path / "net.h5"


def test_an_unchanged_rewrite_loads(path):
    rewrite(path, lambda arrays, header: None)
    load_network(path)


def part_of(header, group):
    """Return the dictionary that ``group`` names; of a list, its first entry."""
    part = header[group] if group else header
    return part[0] if isinstance(part, list) else part


@pytest.mark.parametrize("group", ["", "encoder", "readout", "populations", "synapses"])
def test_wrong_types_in_the_header_are_refused_by_name(path, group):
    seen = {}
    rewrite(path, lambda arrays, header: seen.update(part_of(header, group)))
    whole = path.read_bytes()
    for name, right in seen.items():
        for value in WRONG:
            numbers = isinstance(right, (int, float)) and type(value) in (int, float)
            if type(value) is type(right) or numbers:
                continue
            rewrite(path, lambda _, header, n=name, v=value: part_of(header, group).update({n: v}))
            with pytest.raises(FileFormatError, match=name):
                load_network(path)
            path.write_bytes(whole)


@pytest.mark.parametrize(
    ("where", "name", "value"),
    [
        ("populations", "kind", "izhikevich"),
        ("populations", "bias_exp", 10**6),
        ("populations", "latency", -1),
        ("populations", "scale", 0.0),
        ("synapses", "sign_mode", "both"),
        ("synapses", "weight_exp", 10**6),
        ("readout", "kind", "median"),
        ("encoder", "kind", "rate"),
        ("", "steps", 0),
        ("", "steps", 10**30),
    ],
)
def test_words_and_numbers_out_of_range_are_refused(path, where, name, value):
    rewrite(path, lambda _, header: part_of(header, where).update({name: value}))
    with pytest.raises(FileFormatError, match=name):
        load_network(path)


@pytest.mark.parametrize(
    "value",
    [
        np.array([1.0, np.nan]),
        np.zeros(3, dtype=complex),
        np.zeros(3, dtype=bool),
        np.zeros((2, 2, 2), dtype=np.int32),
        np.full(3, 2**40),
        np.zeros(0, dtype=np.int32),
    ],
)
def test_arrays_of_other_kinds_are_refused(path, value):
    with h5py.File(path) as file:
        names = []
        file.visititems(
            lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None
        )
    # An empty NIR file is a network without one; the header is rewritten anyway.
    for name in set(names) - {"header", "nir_file"}:
        copy = path.with_name("copy.h5")
        copy.write_bytes(path.read_bytes())
        rewrite(copy, lambda arrays, header, name=name: arrays.update({name: value}))
        with pytest.raises(NeurodeployError):
            load_network(copy)
            raise AssertionError(name)


@pytest.fixture
def every_kind(tmp_path):
    save_network(network_of_every_kind(), tmp_path / "every_kind.h5")
    return tmp_path / "every_kind.h5"


#: Where network_of_every_kind() holds what: synapse 0 conv, 1 sparse, 2 dense with delays.
CONV, SPARSE, DENSE = range(3)


@pytest.mark.parametrize("value", [*WRONG, {"kind": "pool"}, {"kind": ["conv"]}, {"kind": "conv"}])
@pytest.mark.parametrize("index", [CONV, SPARSE, DENSE])
def test_a_wrong_layout_is_refused(every_kind, index, value):
    if index == DENSE and value is None:
        pytest.skip("that is what a dense matrix has")

    def change(_, header):
        header["synapses"][index]["layout"] = value

    rewrite(every_kind, change)
    with pytest.raises(NeurodeployError):
        load_network(every_kind)


@pytest.mark.parametrize("value", [*WRONG, 0, [1, 1, 1], [10**12, 1], [[1], [1]]])
@pytest.mark.parametrize("index", [CONV, SPARSE])
def test_wrong_numbers_in_a_layout_are_refused(every_kind, index, value):
    seen = {}
    rewrite(every_kind, lambda _, header: seen.update(header["synapses"][index]["layout"]))
    whole = every_kind.read_bytes()
    for name, right in seen.items():
        # A padding of 0 is one; groups of 1 in place of 2 need another kernel.
        if name == "kind" or value == right:
            continue

        def change(_, header, name=name):
            header["synapses"][index]["layout"][name] = value

        rewrite(every_kind, change)
        with pytest.raises(NeurodeployError):
            load_network(every_kind)
            raise AssertionError(name)
        every_kind.write_bytes(whole)


@pytest.mark.parametrize(
    ("index", "name", "value"),
    [
        (CONV, "weight_exp", 1),
        (CONV, "delay", 2),
        (SPARSE, "delay", -1),
        (SPARSE, "delay", 2**20 + 1),
        (SPARSE, "sign_mode", "both"),
        (DENSE, "message_bits", -1),
        (DENSE, "target", "late"),
        (DENSE, "name", "s"),
    ],
)
def test_synapses_that_fit_no_layout_are_refused(every_kind, index, name, value):
    rewrite(every_kind, lambda _, header: header["synapses"][index].update({name: value}))
    with pytest.raises(NeurodeployError):
        load_network(every_kind)


@pytest.mark.parametrize(
    ("index", "name", "value"),
    [
        (0, "reset", "soft"),
        (0, "reset", None),
        (2, "reset", "subtract"),
        (3, "refractory_steps", 2),
        (0, "refractory_steps", -1),
        (0, "reset_interval", 2**31),
        (0, "reset_offset", -1),
        (0, "shape", [12, 2]),
        (0, "shape", [0]),
        (0, "shape", "12"),
        (0, "shape", []),
        (2, "bias_exp", 1),
        (1, "latency", 3),
    ],
)
def test_populations_that_cannot_be_are_refused(every_kind, index, name, value):
    rewrite(every_kind, lambda _, header: header["populations"][index].update({name: value}))
    with pytest.raises(NeurodeployError):
        load_network(every_kind)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("synapses/1/indptr", np.array([0, 2, 2, 3, 5, 7], np.int32)),
        ("synapses/1/indptr", np.array([0, 3, 2, 3, 5, 6], np.int32)),
        ("synapses/1/indices", np.array([0, 12, 4, 1, 2, 7], np.int32)),
        ("synapses/1/indices", np.array([0, -1, 4, 1, 2, 7], np.int32)),
        ("synapses/1/indices", np.array([11, 0, 4, 1, 2, 7], np.int32)),
        ("synapses/1/weight", np.ones(5, np.int32)),
        ("synapses/1/delay", np.array([1, 62, 3, 1, 0, -2], np.int32)),
        ("synapses/1/delay", np.ones((2, 3), np.int32)),
        ("synapses/2/delay", np.full((4, 5), 2**40)),
        ("synapses/2/delay", np.zeros((4, 5), np.int32)),
        ("synapses/0/weight", np.ones((2, 1, 3, 3), np.int32)),
        ("synapses/0/weight", np.ones(12, np.int32)),
        ("populations/0/origin", np.full(12, np.nan)),
        ("populations/0/origin", np.zeros(12, np.int32)),
        ("populations/0/origin", np.zeros(3)),
    ],
)
def test_arrays_that_do_not_fit_are_refused(every_kind, name, value):
    def change(arrays, _):
        assert name in arrays
        arrays[name] = value

    rewrite(every_kind, change)
    with pytest.raises(NeurodeployError):
        load_network(every_kind)


def test_a_missing_array_is_named(every_kind):
    with h5py.File(every_kind) as file:
        names = [f"{g}/{i}/{n}" for g in ("populations", "synapses") for i in file[g]
                 for n in file[g][i]]  # fmt: skip
    whole = every_kind.read_bytes()
    # Without its gain a dlif is none; that is another error.
    for name in set(names) - {"populations/2/gain"}:
        rewrite(every_kind, lambda arrays, _, name=name: arrays.pop(name))
        with pytest.raises(FileFormatError, match=name):
            load_network(every_kind)
        every_kind.write_bytes(whole)


def test_files_of_the_first_schema_say_what_to_do(every_kind):
    with h5py.File(every_kind, "r+") as file:
        file.attrs["schema"] = 1
    with pytest.raises(FileFormatError, match="network schema 1; .*quantise the model again"):
        load_network(every_kind)
