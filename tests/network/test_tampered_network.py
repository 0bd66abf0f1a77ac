"""NET.h5 with a right hash and wrong content: always one clear error, never a crash or a guess."""

import json

import h5py
import numpy as np
import pytest
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
        header = json.loads(arrays["header"].tobytes())
        change(arrays, header)
        if "header" in arrays:
            arrays["header"] = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)
        for name in list(file):
            del file[name]
        for name, array in arrays.items():
            file[name] = array
        stored = {name: np.asarray(file[name][()]) for name in arrays}
        file.attrs["content_hash"] = content_hash(stored)


@pytest.fixture
def path(tmp_path):
    net = random_fixed_network(np.random.default_rng(3))
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
