"""Hybrids: the float network up to some population, the integers from there on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import InputError
from neurodeploy.network import ALWAYS_ON, INPUT, FixedPointNetwork, Network, Traces, decide
from neurodeploy.robustness.explanation.neuron_sides import Sent
from neurodeploy.simulate import run_float
from neurodeploy.simulate.fixed_components import components
from neurodeploy.simulate.fixed_torch import run_torch

#: Hybrids that run side by side; bounds memory.
_BATCH = 256
Trains = Mapping[str, NDArray[np.uint8]]


@dataclass(frozen=True, eq=False)
class HybridRuns:
    """One sample in both networks and in everything between them.

    Parameters
    ----------
    network, net : Network, FixedPointNetwork
        The same populations, in float and in integers.
    codes : int array [n_input] (held) or [T, n_input]
    """

    network: Network
    net: FixedPointNetwork
    codes: NDArray[np.int32]

    @property
    def steps(self) -> int:
        """Steps of the sample."""
        return self.net.steps if self.codes.ndim == 1 else int(self.codes.shape[0])

    @cached_property
    def stages(self) -> tuple[tuple[str, ...], ...]:
        """Populations in the order in which they run; those that feed back together."""
        return tuple(c.names for c in components(self.net))

    @cached_property
    def replaceable(self) -> tuple[tuple[str, ...], ...]:
        """The stages whose spikes can be given: all but a read-out by its membrane."""
        home, kind = self.net.readout.population, self.net.readout.kind
        if kind == "count":
            return self.stages
        # Others that feed back with the read-out can still be given.
        stages = (tuple(name for name in s if name != home) for s in self.stages)
        return tuple(s for s in stages if s)

    @cached_property
    def float_run(self) -> Traces:
        """The float network."""
        return run_float(self.network, self._batch(1), record=("spikes", "v", "v_pre"))

    @cached_property
    def fixed_run(self) -> Traces:
        """The integers."""
        return self.fixed_with({})

    @cached_property
    def float_trains(self) -> Trains:
        """Spikes of the float network's populations, [T, N]."""
        found = {}
        for stage in self.replaceable:
            for name in stage:
                found[name] = self.float_run.records[f"{name}/spikes"][:, 0].astype(np.uint8)
        return found

    def fixed_with(self, trains: Trains) -> Traces:
        """Return the integers' run where some populations send ``trains`` [T, N]."""
        given = {name: train[:, None] for name, train in trains.items()}
        record = ("spikes", "v", "v_pre")
        return run_torch(self.net, self._batch(1), record=record, given=given)

    def float_up_to(self, stage: int) -> Trains:
        """Return the float spikes of the first ``stage`` stages."""
        return {n: self.float_trains[n] for names in self.replaceable[:stage] for n in names}

    def decisions(self, trains: Sequence[Trains]) -> NDArray[np.int64]:
        """Return the decision of the integers for each set of given spikes."""
        found = [
            self._decisions(trains[first : first + _BATCH])
            for first in range(0, len(trains), _BATCH)
        ]
        return np.concatenate(found)

    def sent(self, run: Traces) -> Sent:
        """Return what every source sent in ``run``, [T, n]."""
        codes = np.broadcast_to(self.codes, (self.steps, self.net.n_input))
        found = {INPUT: codes.astype(np.int64), ALWAYS_ON: np.ones((self.steps, 1), np.int64)}
        for p in self.net.populations:
            spikes = run.records.get(f"{p.name}/spikes")
            found[p.name] = np.zeros((self.steps, p.size), np.int64)
            if spikes is not None:
                found[p.name] = spikes[:, 0].astype(np.int64)
        return found

    def _decisions(self, trains: Sequence[Trains]) -> NDArray[np.int64]:
        given = {name: np.stack([t[name] for t in trains], axis=1) for name in trains[0]}
        return decide(run_torch(self.net, self._batch(len(trains)), given=given).scores())

    def _batch(self, count: int) -> NDArray[Any]:
        shape = (count, self.net.n_input)
        if self.codes.ndim == 1:
            return np.ascontiguousarray(np.broadcast_to(self.codes, shape))
        return np.ascontiguousarray(np.broadcast_to(self.codes[:, None], (self.steps, *shape)))


def require_pair(network: Network, net: FixedPointNetwork) -> None:
    """Raise InputError unless ``net`` is a quantised form of ``network``."""
    for what, a, b in (
        ("populations", [p.name for p in network.populations], [p.name for p in net.populations]),
        ("sizes", [p.size for p in network.populations], [p.size for p in net.populations]),
        ("input", network.encoder, net.encoder),
        ("read-out", network.readout.as_dict(), net.readout.as_dict()),
        ("steps", network.steps or 0, net.steps),
    ):
        if a != b:
            raise InputError(
                f"explain: the float network's {what} {a} are not those of the integers, {b}; "
                "give a network and what was quantised from it"
            )
