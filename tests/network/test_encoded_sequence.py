"""Sequences that become codes as they are read: the codes, and the memory beside them."""

import tracemalloc

import h5py
import numpy as np
import pytest

from neurodeploy.errors import InputError
from neurodeploy.network import ConstantEncoder
from neurodeploy.network.encoded_sequence import EncodedSequence

ENCODER = ConstantEncoder(low=-1.0, high=1.0, bits=6)
PLACES = [(0, 9, 0, 11), (2, 7, 3, 4), (8, 9, 0, 11), (3, 3, 0, 2), (0, 1, 10, 11)]


@pytest.mark.parametrize("inputs", [3, 40_000])
@pytest.mark.parametrize("chunks", [None, (4, 3, 2), (9, 1, 3)])
@pytest.mark.parametrize("dtype", [np.float64, np.int8])
def test_blocks_are_the_codes_of_what_is_stored(tmp_path, inputs, chunks, dtype):
    shape = (9, 11 if inputs == 3 else 3, inputs)
    values = (np.random.default_rng(0).normal(size=shape) * 1.2).astype(dtype)
    expected = ENCODER.encode(values)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        # Chunks of three inputs would be 120,000 of them: of as many as make pieces overlap.
        wide = chunks and (*chunks[:2], chunks[2] * (1 if inputs == 3 else 101))
        stored = file.create_dataset("x", data=values, chunks=wide)
        for source in (stored, values):
            sequence = EncodedSequence(source, ENCODER)
            for t, end, first, last in PLACES:
                block = sequence[t:end, first:last]
                assert block.dtype == np.uint16
                assert np.array_equal(block, expected[t:end, first:last])


def test_nan_is_found_in_whichever_piece_it_lies():
    values = np.zeros((50, 40, 100))
    values[49, 39, 99] = np.nan
    sequence = EncodedSequence(values, ENCODER)
    with pytest.raises(InputError, match="NaN"):
        sequence[0:50, 0:40]


@pytest.mark.parametrize("shape", [(64, 16, 1000), (2, 4000, 100), (1000, 2, 500)])
def test_little_memory_stands_beside_the_codes(tmp_path, shape):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        stored = file.create_dataset("x", shape, np.float64, fillvalue=0.5)
        sequence = EncodedSequence(stored, ENCODER)
        sequence[0:1, 0:1]
        tracemalloc.start()
        block = sequence[: shape[0], : shape[1]]
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak - block.nbytes < 1.5 * 2**20
