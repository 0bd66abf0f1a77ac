"""Runs that read their input from a file and write their records to one while they go on."""

import tracemalloc

import h5py
import numpy as np
import pytest
from oracles.random_networks import random_codes, random_fixed_network

from neurodeploy.errors import InputError
from neurodeploy.network import ConstantEncoder, Traces
from neurodeploy.network.encoded_sequence import EncodedSequence
from neurodeploy.network.traces_file import traces_file
from neurodeploy.simulate import run_fixed
from neurodeploy.simulate.fixed_codes import StoredCodes
from neurodeploy.simulate.stimulus import input_hash

RECORD = ("spikes", "u", "v")


def same(a: Traces, b: Traces) -> bool:
    kinds = ("records", "counts")
    return (
        np.array_equal(a.output, b.output)
        and a.output.dtype == b.output.dtype
        and a.meta["input_hash"] == b.meta["input_hash"]
        and all(set(getattr(a, k)) == set(getattr(b, k)) for k in kinds)
        and all(
            np.array_equal(getattr(a, k)[n], getattr(b, k)[n]) for k in kinds for n in getattr(a, k)
        )
    )


@pytest.mark.parametrize("record", [RECORD, ("spikes",), ()])
@pytest.mark.parametrize("timing", ["aligned", "lava"])
def test_a_streamed_run_leaves_the_file_that_a_run_in_memory_saves(tmp_path, record, timing):
    rng = np.random.default_rng(5)
    for number in range(6):
        net = random_fixed_network(rng, readout=number % 2 == 0)
        codes = random_codes(rng, net, 5, held=False)
        whole = run_fixed(net, codes, record=record, timing=timing)
        path = tmp_path / f"{number}.h5"
        with h5py.File(tmp_path / f"{number}-in.h5", "w") as file:
            stored = file.create_dataset("x", data=net.encoder.decode(codes), chunks=True)
            lazy = EncodedSequence(stored, net.encoder)
            with traces_file(path) as into:
                brief = run_fixed(
                    net, lazy, record=record, timing=timing, into=into, memory_bytes=2**22
                )
        assert not brief.records
        assert np.array_equal(brief.scores(), whole.scores())
        assert same(Traces.load(path), whole)


def test_an_interrupted_run_leaves_no_file(tmp_path):
    net = random_fixed_network(np.random.default_rng(1))
    codes = random_codes(np.random.default_rng(2), net, 4, held=False)

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), traces_file(tmp_path / "out.h5") as into:
        run_fixed(net, codes, record=RECORD, into=into, progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_sequences_are_checked_as_they_are_read():
    encoder = ConstantEncoder(low=-1.0, high=1.0, bits=4)
    values = np.random.default_rng(0).normal(size=(6, 3, 2, 2))
    sequence = EncodedSequence(values, encoder)
    assert sequence.shape == (6, 3, 4)
    block = sequence[1:4, 0:2]
    assert np.array_equal(block, encoder.encode(values[1:4, 0:2].reshape(3, 2, 4)))
    values[5, 0, 0, 0] = np.nan
    with pytest.raises(InputError, match="NaN"):
        sequence[4:6, 0:3]
    with pytest.raises(InputError, match=r"end in \.h5"), traces_file("out.npz"):
        pass


@pytest.mark.parametrize("bits", [1, 8])
@pytest.mark.parametrize(("steps", "samples"), [(3, 70_000), (7, 5), (40, 3001)])
def test_the_hash_of_a_file_is_that_of_the_array(bits, steps, samples):
    encoder = ConstantEncoder(bits=bits)
    rng = np.random.default_rng(steps)
    codes = rng.integers(0, encoder.max_code + 1, (steps, samples, 9))
    lazy = EncodedSequence(encoder.decode(codes), encoder)
    stored = StoredCodes(lazy, steps, encoder.max_code)
    assert stored.digest() == input_hash(codes, encoder.max_code)


def test_hashing_a_wide_batch_keeps_to_little_memory():
    encoder = ConstantEncoder(bits=8)
    values = np.zeros((2, 20_000, 100), np.float32)
    stored = StoredCodes(EncodedSequence(values, encoder), 2, encoder.max_code)
    tracemalloc.start()
    stored.digest()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12 * 2**20
