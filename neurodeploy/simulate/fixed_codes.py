"""Input codes of a fixed-point run: an array in memory, or a file read block by block."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import RangeError
from neurodeploy.network.encoded_sequence import EncodedSequence
from neurodeploy.network.encoding import Encoder
from neurodeploy.simulate.stimulus import Stimulus, checked_steps, input_hash, read_stimulus

#: Codes hashed at once.
_HASH_BYTES = 2**18
_BYTE = np.iinfo(np.uint8).max


class Codes:
    """Codes of a run, checked against the network.

    ``steps``, ``batch`` and ``size`` (inputs) describe it; ``held`` says that every step receives
    the same codes.
    """

    def __init__(self, stimulus: Stimulus, max_code: int) -> None:
        self.steps, self.batch, self.held = stimulus.steps, stimulus.batch, stimulus.held
        self.size = int(stimulus.codes.shape[-1])
        self._array = stimulus.codes[None] if self.held else stimulus.codes
        self._max_code = max_code

    def block(self, t: int, end: int, first: int, last: int) -> tuple[NDArray[Any], int, int]:
        """Return an array with steps ``t`` .. ``end - 1`` of samples ``first`` .. ``last - 1``.

        And where in it, [T, B, n], they begin.
        """
        del end, last  # the whole array is there
        return self._array, t, first

    def digest(self) -> str:
        """Return what ``input_hash`` returns for all codes, without a copy of them."""
        if self.held:
            return input_hash(self._array[0], self._max_code)
        shape = (self.steps, self.batch, self.size)
        packed = self._max_code == 1
        dtype = np.dtype(np.uint8 if self._max_code <= _BYTE else np.uint16).newbyteorder("<")
        stored = (-(-int(np.prod(shape)) // 8),) if packed else shape
        stream = hashlib.sha256(f"codes\0{dtype.str}\0{stored}\0".encode())
        rest = np.empty(0, np.uint8)
        for last, block in self._slabs():
            if packed:
                bits = np.concatenate([rest, block.ravel()]) if rest.size else block.ravel()
                whole = bits.size if last else bits.size // 8 * 8
                rest = bits[whole:]
                stream.update(np.packbits(bits[:whole]).data)
            else:
                stream.update(np.ascontiguousarray(block, dtype).reshape(-1).data)
        if packed:
            sizes = np.array(shape).astype("<i8")
            stream.update(f"shape\0{sizes.dtype.str}\0{sizes.shape}\0".encode())
            stream.update(sizes.tobytes())
        return stream.hexdigest()

    def _slabs(self) -> Iterator[tuple[bool, NDArray[Any]]]:
        """Give all codes in C order, a slab at a time, and whether it is the last."""
        each = max(1, _HASH_BYTES // self.size)
        samples = min(self.batch, each)
        steps = max(1, each // self.batch)
        for t in range(0, self.steps, steps):
            end = min(t + steps, self.steps)
            for first in range(0, self.batch, samples):
                last = min(first + samples, self.batch)
                array, row, column = self.block(t, end, first, last)
                slab = array[row : row + end - t, column : column + last - first]
                yield end == self.steps and last == self.batch, slab


class StoredCodes(Codes):
    """Codes [T, B, n] in a file (h5py dataset, memmap, EncodedSequence); blocks are in memory."""

    def __init__(self, stored: Any, steps: int, max_code: int) -> None:
        self.steps, self.batch, self.size = steps, int(stored.shape[1]), int(stored.shape[2])
        self.held = False
        self._stored = stored
        self._max_code = max_code
        self._dtype = np.uint8 if max_code <= _BYTE else np.uint16

    def block(self, t: int, end: int, first: int, last: int) -> tuple[NDArray[Any], int, int]:
        """Read a block."""
        return self._read(t, end, first, last), 0, 0

    def _read(self, t: int, end: int, first: int, last: int) -> NDArray[Any]:
        """Read a block, and check its range."""
        block = np.asarray(self._stored[t:end, first:last])
        if block.size and (block.min() < 0 or block.max() > self._max_code):
            raise RangeError(
                f"codes: range {block.min()}..{block.max()} in steps {t}..{end - 1}, samples "
                f"{first}..{last - 1} leaves the encoder's 0..{self._max_code}; clip the codes, or "
                "encode with the network's encoder"
            )
        return np.ascontiguousarray(block, self._dtype)


def read_codes(
    codes: Any, *, n_input: int, encoder: Encoder, steps: int, asked_steps: int | None
) -> Codes:
    """Check codes against a network; those in a file [T, B, n] stay there.

    Parameters and errors are those of ``read_stimulus``; the range of stored codes is checked as
    they are read.
    """
    kinds = (h5py.Dataset, np.memmap, EncodedSequence)
    stored = isinstance(codes, kinds) and len(codes.shape) == 3
    if not stored:
        stimulus = read_stimulus(
            codes, n_input=n_input, encoder=encoder, steps=steps, asked_steps=asked_steps
        )
        return Codes(stimulus, encoder.max_code)
    if codes.dtype.kind not in "iub":
        raise RangeError(
            f"codes: dtype {codes.dtype}; codes are integers 0..{encoder.max_code}: "
            "use the network's encoder.encode(images)"
        )
    return StoredCodes(
        codes, checked_steps("codes", codes, n_input, steps, asked_steps), encoder.max_code
    )
