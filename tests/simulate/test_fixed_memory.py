"""Memory of fixed-point runs: bounded by an option, codes read from files block by block."""

import tracemalloc
from dataclasses import replace

import h5py
import numpy as np
import pytest
from oracles.random_networks import random_codes, random_fixed_network
from simulate_networks import delayed_loop_network

from neurodeploy.errors import RangeError, ShapeError
from neurodeploy.network import ConstantEncoder
from neurodeploy.simulate import input_hash, run_fixed

QUANTITIES = ("spikes", "u", "v", "v_pre")


def assert_same(a, b):
    for mapping in ("records", "counts"):
        ours, theirs = getattr(a, mapping), getattr(b, mapping)
        assert set(ours) == set(theirs)
        for key in ours:
            np.testing.assert_array_equal(ours[key], theirs[key], err_msg=key)
    np.testing.assert_array_equal(a.output, b.output)
    assert a.meta["input_hash"] == b.meta["input_hash"]


def least_bytes(net, codes):
    """Return what the error of a run without any memory asks for."""
    with pytest.raises(RangeError, match="memory_bytes: 1; one sample") as caught:
        run_fixed(net, codes, memory_bytes=1)
    return int(str(caught.value).split(" needs ")[1].split()[0])


@pytest.mark.parametrize("factor", [1, 2, 7, 1000])
@pytest.mark.parametrize("timing", ["aligned", "lava"])
def test_little_memory_changes_nothing_but_the_blocks(factor, timing):
    rng = np.random.default_rng(4)
    net = delayed_loop_network(rng)
    codes = (rng.random((40, 9, net.n_input)) < 0.3).astype(np.uint8)
    expected = run_fixed(net, codes, record=QUANTITIES, timing=timing)
    memory = factor * least_bytes(net, codes)
    for threads in (1, 3):
        given = run_fixed(
            net, codes, record=QUANTITIES, timing=timing, memory_bytes=memory, threads=threads
        )
        assert_same(given, expected)


@pytest.mark.parametrize("overflow", ["wrap", "saturate"])
@pytest.mark.parametrize("samples", [3, 60])
@pytest.mark.parametrize("megabytes", [1, 8])
def test_the_peak_stays_under_the_option(overflow, samples, megabytes):
    rng = np.random.default_rng(5)
    net = delayed_loop_network(rng, size=200)
    codes = (rng.random((30, samples, net.n_input)) < 0.1).astype(np.uint8)
    run_fixed(net, codes[:, :1], overflow=overflow)  # what stays: the network's plan
    tracemalloc.start()
    run_fixed(net, codes, overflow=overflow, threads=2, memory_bytes=megabytes * 2**20)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    output = 30 * samples * net.populations[-1].size
    assert peak <= megabytes * 2**20 + output + 2**20


@pytest.mark.parametrize("bits", [1, 8, 12])
def test_codes_in_files_give_the_run_of_codes_in_memory(tmp_path, bits):
    rng = np.random.default_rng(bits)
    net = replace(random_fixed_network(rng, layers=2), encoder=ConstantEncoder(bits=bits))
    codes = rng.integers(0, 2**bits, (23, 7, net.n_input)).astype(np.uint16)
    codes[rng.random(codes.shape) < 0.5] = 0
    expected = run_fixed(net, codes, record=QUANTITIES)
    assert expected.meta["input_hash"] == input_hash(codes, net.encoder.max_code)
    np.save(tmp_path / "codes.npy", codes)
    mapped = np.load(tmp_path / "codes.npy", mmap_mode="r")
    with h5py.File(tmp_path / "codes.h5", "w") as file:
        stored = file.create_dataset("codes", data=codes.astype(np.int64), chunks=(5, 2, 3))
        for source in (mapped, stored):
            for threads in (1, 2):
                given = run_fixed(
                    net, source, record=QUANTITIES, threads=threads, memory_bytes=300_000
                )
                assert_same(given, expected)


def test_stored_codes_outside_the_encoder_are_refused(tmp_path):
    rng = np.random.default_rng(0)
    net = random_fixed_network(rng, layers=1)
    codes = np.zeros((30, 5, net.n_input), np.int32)
    codes[29, 4, 1] = net.encoder.max_code + 1
    with h5py.File(tmp_path / "codes.h5", "w") as file:
        with pytest.raises(RangeError, match=r"leaves the encoder's 0\.\."):
            run_fixed(net, file.create_dataset("codes", data=codes))
        with pytest.raises(RangeError, match="codes are integers"):
            run_fixed(net, file.create_dataset("floats", data=codes.astype(float)))
        with pytest.raises(ShapeError, match="this network needs"):
            run_fixed(net, file.create_dataset("wide", data=np.zeros((3, 2, net.n_input + 1), int)))


def test_held_codes_in_a_file_are_held(tmp_path):
    rng = np.random.default_rng(2)
    net = random_fixed_network(rng, layers=2)
    codes = random_codes(rng, net, 5, held=True)
    with h5py.File(tmp_path / "codes.h5", "w") as file:
        given = run_fixed(net, file.create_dataset("codes", data=codes), record=QUANTITIES)
    assert_same(given, run_fixed(net, codes, record=QUANTITIES))
