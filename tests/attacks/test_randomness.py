"""Random numbers per sample: the published words of Philox, moments, and independence of batches."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from neurodeploy.attacks import SampleRandom
from neurodeploy.counter_random import philox


def reference(counter, key):
    """Philox4x32-10 in plain Python integers, after the paper."""
    c, k = list(counter), list(key)
    for _ in range(10):
        a, b = c[0] * 0xD2511F53, c[2] * 0xCD9E8D57
        c = [(b >> 32) ^ c[1] ^ k[0], b % 2**32, (a >> 32) ^ c[3] ^ k[1], a % 2**32]
        k = [(k[0] + 0x9E3779B9) % 2**32, (k[1] + 0xBB67AE85) % 2**32]
    return c


# Known answers of the authors' Random123 library.
ANSWERS = [
    ((0,) * 4, (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((2**32 - 1,) * 4, (2**32 - 1,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "key", "words"), ANSWERS)
def test_known_answers(counter, key, words):
    found = philox(tuple(np.array([c], np.uint64) for c in counter), key)
    assert [int(w[0]) for w in found] == list(words) == reference(counter, key)


def test_counter_is_block_stream_and_key():
    seed, key, stream = (7 << 32) + 5, (3 << 32) + 9, 11
    found = SampleRandom(seed, np.array([key])).uniform(5, stream)[0]
    words = [reference((block, stream, 9, 3), (5, 7)) for block in range(3)]
    pairs = [pair for w in words for pair in ((w[0], w[1]), (w[2], w[3]))]
    expected = [((a << 32 | b) >> 11) / 2**53 for a, b in pairs][:5]
    assert found.tolist() == expected


def test_a_sample_s_numbers_are_its_own():
    keys = np.array([4, 0, 2**40, 17])
    together = SampleRandom(9, keys)
    for i, key in enumerate(keys):
        alone = SampleRandom(9, np.array([key]))
        assert (alone.uniform(33, 5)[0] == together.uniform(33, 5)[i]).all()
        assert (alone.uniform(12, 5)[0] == together.uniform(33, 5)[i, :12]).all()
    draws = [
        together.uniform(33, 5),
        together.uniform(33, 6),
        together.uniform(33, 5, part=1),
        SampleRandom(10, keys).uniform(33, 5),
    ]
    for a in range(4):
        for b in range(a):
            assert (draws[a] != draws[b]).all()
    assert len(np.unique(draws[0])) == draws[0].size


def test_uniform_and_normal():
    random = SampleRandom(3, np.arange(400))
    uniform, normal = random.uniform(501, 0), random.normal(501, 0)
    assert uniform.min() >= 0
    assert uniform.max() < 1
    assert stats.kstest(uniform.ravel(), "uniform").pvalue > 0.001
    assert stats.kstest(normal.ravel(), "norm").pvalue > 0.001
    neighbours = np.corrcoef(uniform[:, :-1].ravel(), uniform[:, 1:].ravel())[0, 1]
    samples = np.corrcoef(uniform[:-1].ravel(), uniform[1:].ravel())[0, 1]
    assert abs(neighbours) < 0.01
    assert abs(samples) < 0.01
    assert np.isfinite(normal).all()
