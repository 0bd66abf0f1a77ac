"""The trained networks beside the tests, and the digits that they were not trained on."""

from __future__ import annotations

import gzip
import tempfile
from functools import cache
from pathlib import Path

from neurodeploy.network import FixedPointNetwork, load_network
from neurodeploy.training import load_digits

FOLDER = Path(__file__).parent / "networks"
NAMES = ("lif", "dlif-mppd", "dlif-at-mppd")
#: Decides the split; the one of ``networks/make.py``.
SEED = 0


@cache
def shipped_network(name: str) -> FixedPointNetwork:
    """Load one of ``NAMES``."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.h5"
        path.write_bytes(gzip.decompress((FOLDER / f"{name}.h5.gz").read_bytes()))
        return load_network(path)


@cache
def digits_apart():
    """Return codes int32 [360, 64] and labels of the test split."""
    splits = load_digits(SEED)
    return splits.encoder.encode(splits.test.images), splits.test.labels
