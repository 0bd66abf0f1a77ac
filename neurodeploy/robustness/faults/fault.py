"""What every fault looks like: a change of a network, or of its run, with a strength and a seed."""

from __future__ import annotations

from hashlib import sha256
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import InputError
from neurodeploy.network import FixedPointNetwork, Network

#: A float network or a fixed-point one; a fault gives back what it was given.
N = TypeVar("N", Network, FixedPointNetwork)


@runtime_checkable
class NetworkFault(Protocol):
    """A fault that is a change of the network. Implementations are small frozen dataclasses.

    Equal seeds give nested faults: what is broken at one strength is broken at every larger one.
    Draws go by the names of synapses and populations, so a float network and its fixed-point
    image break in the same places.
    """

    @property
    def name(self) -> str:
        """Name in tables and files."""

    @property
    def unit(self) -> str:
        """What the strength means."""

    def apply(self, net: N, strength: float, seed: int) -> N:
        """Return the faulty network.

        Raises
        ------
        InputError
            If the strength is out of its range.
        """


@runtime_checkable
class RunFault(Protocol):
    """A fault that happens while the network runs, so that no network shows it."""

    @property
    def name(self) -> str:
        """Name in tables and files."""

    @property
    def unit(self) -> str:
        """What the strength means."""

    def scores(
        self,
        net: Network | FixedPointNetwork,
        codes: NDArray[np.int32],
        strength: float,
        seed: int,
        *,
        keys: NDArray[np.int64] | None = None,
    ) -> NDArray[Any]:
        """Return the scores [B, classes] of a faulty run on held codes [B, n_input].

        ``keys`` [B] number the samples (default 0, 1, ...): a sample's faults depend on the seed
        and its key alone, not on its neighbours.

        Raises
        ------
        InputError
            If the strength is out of its range.
        """


Fault = NetworkFault | RunFault


def stream(seed: int, *what: str | int) -> np.random.Generator:
    """Return the random numbers of one thing under ``seed``: counter-based, by a hash of both."""
    text = "/".join([str(int(seed)), *(str(part) for part in what)])
    key = int.from_bytes(sha256(text.encode()).digest()[:16], "little")
    return np.random.Generator(np.random.Philox(key=key))


def probability(where: str, strength: float) -> float:
    """Return ``strength``; InputError unless it is a share, 0 to 1."""
    if not 0 <= strength <= 1:
        raise InputError(f"{where}: {strength} is no probability or share; give 0 to 1")
    return float(strength)


def spread(where: str, strength: float) -> float:
    """Return ``strength``; InputError unless it is finite and at least 0."""
    if not (np.isfinite(strength) and strength >= 0):
        raise InputError(f"{where}: a relative spread of {strength}; give a number, 0 or more")
    return float(strength)


def faulty_scores(
    fault: Fault,
    net: Network | FixedPointNetwork,
    codes: NDArray[np.int32],
    strength: float,
    seed: int,
    *,
    keys: NDArray[np.int64] | None = None,
    threads: int | None = None,
) -> NDArray[Any]:
    """Return the scores [B, classes] of ``net`` with a fault, on held codes [B, n_input].

    ``keys`` as in RunFault; a NetworkFault is one for all samples. ``threads`` is for the
    fixed-point simulator, where that runs.
    """
    if isinstance(fault, RunFault):
        return fault.scores(net, codes, strength, seed, keys=keys)
    # Imported here: `simulate` compiles kernels, which a reader of results need not wait for.
    from neurodeploy.simulate import run_fixed, run_float

    if isinstance(net, FixedPointNetwork):
        return run_fixed(fault.apply(net, strength, seed), codes, threads=threads).scores()
    return run_float(fault.apply(net, strength, seed), codes).scores()
