"""Spikes that a caller gives for a population instead of having it simulated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import InputError, RangeError, ShapeError
from neurodeploy.network.fixed import FixedPointNetwork


def checked_trains(
    net: FixedPointNetwork, given: Mapping[str, NDArray[Any]], steps: int, batch: int
) -> dict[str, NDArray[np.uint8]]:
    """Return ``given`` as uint8 [T, B, N] each.

    Raises
    ------
    InputError
        For a name that is no population, or a read-out by its membrane, which nothing would drive.
    ShapeError, RangeError
        If a train has another shape, or holds anything but 0 and 1.
    """
    sizes = {p.name: p.size for p in net.populations}
    found = {}
    for name, values in given.items():
        if name not in sizes:
            raise InputError(f"given: no population is called {name!r}; there are {list(sizes)}")
        if name == net.readout.population and net.readout.kind != "count":
            raise InputError(
                f"given: {name!r} is read by its membrane ({net.readout.kind}), which spikes do "
                "not tell; give those of other populations"
            )
        train, needed = np.asarray(values), (steps, batch, sizes[name])
        if train.shape != needed:
            raise ShapeError(f"given: {name!r} has shape {train.shape}; this run needs {needed}")
        if not ((train == 0) | (train == 1)).all():
            raise RangeError(f"given: {name!r} holds values other than 0 and 1")
        found[name] = train.astype(np.uint8)
    return found
