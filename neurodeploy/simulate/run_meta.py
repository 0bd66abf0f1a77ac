"""What a run says about itself: the ``meta`` of its traces."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import numpy as np

import neurodeploy
from neurodeploy.errors import InputError
from neurodeploy.network.fixed import FixedPointNetwork
from neurodeploy.network.floating import Network, Population
from neurodeploy.network.traces import QUANTITIES, Quantity

Timing = Literal["aligned", "lava"]


def run_meta(
    net: Network | FixedPointNetwork, *, backend: str, timing: str, steps: int, digest: str
) -> dict[str, Any]:
    """Return the JSON types that describe a run of ``net``.

    A float network has no latency and its states are in membrane units, so its latency is 0 and
    its scale 1; each of its populations has the shape that its values have in the NIR graph.
    """
    populations = {
        p.name: {
            "nir_nodes": list(p.nir_nodes),
            "kind": p.kind,
            "latency": getattr(p, "latency", 0),
            "scale": getattr(p, "scale", 1.0),
            **({"shape": list(p.shape)} if isinstance(p, Population) else {}),
        }
        for p in net.populations
    }
    return {
        "backend": backend,
        "timing": timing,
        "steps": steps,
        "readout": net.readout.as_dict(),
        "contract": dict(net.contract),
        "populations": populations,
        "versions": {"neurodeploy": neurodeploy.__version__, "numpy": np.__version__},
        "input_hash": digest,
    }


def checked_quantities(record: Iterable[str]) -> tuple[Quantity, ...]:
    """Return the quantities to record, or raise InputError naming those there are."""
    names = (record,) if isinstance(record, str) else tuple(record)
    unknown = [name for name in names if name not in QUANTITIES]
    if unknown:
        raise InputError(f"record: {unknown} not known; choose from {', '.join(QUANTITIES)}")
    return tuple(q for q in QUANTITIES if q in names)
