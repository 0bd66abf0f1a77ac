"""What a run says about itself: the ``meta`` of its traces."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

import neurodeploy
from neurodeploy.errors import InputError
from neurodeploy.network.fixed import FixedPointNetwork, FixedPopulation
from neurodeploy.network.floating import Network
from neurodeploy.network.traces import QUANTITIES, Quantity

Timing = Literal["aligned", "lava"]


def run_meta(
    net: Network | FixedPointNetwork, *, backend: str, timing: str, steps: int, digest: str
) -> dict[str, Any]:
    """Return the JSON types that describe a run of ``net``.

    A float network has no latency and its states are in membrane units, so its latency is 0 and
    its scale 1. ``shape`` is that of a population's values in the NIR graph. ``origin``, of
    fixed-point populations, is the membrane at which v is 0. Scale and origin are one number where
    all neurons have the same, else a list.
    """
    populations = {
        p.name: {
            "nir_nodes": list(p.nir_nodes),
            "kind": p.kind,
            "latency": getattr(p, "latency", 0),
            "scale": _one_or_all(p.scale) if isinstance(p, FixedPopulation) else 1.0,
            "shape": list(p.shape),
            **({"origin": _one_or_all(p.origin)} if isinstance(p, FixedPopulation) else {}),
        }
        for p in net.populations
    }
    return {
        "backend": backend,
        "timing": timing,
        "steps": steps,
        "readout": readout_meta(net),
        "contract": dict(net.contract),
        "populations": populations,
        "versions": {"neurodeploy": neurodeploy.__version__, "numpy": np.__version__},
        "input_hash": digest,
    }


def readout_meta(net: Network | FixedPointNetwork) -> dict[str, Any]:
    """Return the read-out as JSON types, with the ``offset`` that integer membranes count beyond v.

    Only where there is one: see ``FixedPointNetwork.score_offset``.
    """
    offset = net.score_offset if isinstance(net, FixedPointNetwork) else np.zeros(0)
    return {**net.readout.as_dict(), **({"offset": offset.tolist()} if offset.any() else {})}


def _one_or_all(numbers: NDArray[np.float64] | float) -> float | list[float]:
    values: list[float] = np.atleast_1d(np.asarray(numbers, np.float64)).tolist()
    return values[0] if len(set(values)) == 1 else values


def checked_quantities(record: Iterable[str]) -> tuple[Quantity, ...]:
    """Return the quantities to record, or raise InputError naming those there are."""
    names = (record,) if isinstance(record, str) else tuple(record)
    unknown = [name for name in names if name not in QUANTITIES]
    if unknown:
        raise InputError(f"record: {unknown} not known; choose from {', '.join(QUANTITIES)}")
    return tuple(q for q in QUANTITIES if q in names)
