"""Spikes that are lost on their way: a fault of the run, for float and fixed-point networks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.attacks.classifier import checked_keys
from neurodeploy.attacks.randomness import SampleRandom
from neurodeploy.errors import InputError, ShapeError
from neurodeploy.network import FixedPointNetwork, Network, Traces
from neurodeploy.robustness.faults.fault import probability, stream

#: Samples per run: all their steps are held at once.
_BATCH = 512


@dataclass(frozen=True, slots=True)
class DroppedSpikes:
    """Lose each spike with a probability: the strength.

    A lost spike reaches none of its targets, and a read-out that counts spikes does not count it;
    the neuron that fired it resets as ever. Where a float neuron sends several spikes in one step,
    they are one message and are lost together. Input codes and the always-on line are not spikes
    and are never lost.

    The draw goes by seed, key of the sample, population, step and neuron, so a larger probability
    loses what a smaller one lost wherever the same spike is fired. Float and fixed-point networks
    lose the same ones.
    """

    name: str = "dropped spikes"
    unit: str = "probability per spike"

    def scores(
        self,
        net: Network | FixedPointNetwork,
        codes: NDArray[np.int32],
        strength: float,
        seed: int,
        *,
        keys: NDArray[np.int64] | None = None,
    ) -> NDArray[Any]:
        """Return the scores [B, classes] of a run with losses; see ``RunFault.scores``."""
        numbers = checked_keys(keys, codes.shape[0])
        starts = range(0, codes.shape[0], _BATCH)
        parts = [slice(start, start + _BATCH) for start in starts]
        found = [self.run(net, codes[p], strength, seed, keys=numbers[p]).scores() for p in parts]
        if not found:
            raise ShapeError(f"{self.name}: codes {codes.shape} hold no sample")
        return np.concatenate(found)

    def run(
        self,
        net: Network | FixedPointNetwork,
        codes: NDArray[np.int32],
        strength: float,
        seed: int,
        *,
        keys: NDArray[np.int64] | None = None,
    ) -> Traces:
        """Return output, and as ``<population>/spikes`` what left each population; all at once."""
        if net.steps is None:
            raise InputError(f"{self.name}: the network does not say how many steps a sample has")
        share = probability(self.name, strength)
        # Imported here: it takes the whole simulator and torch.
        from neurodeploy.robustness.faults.lossy_runs import run_lossy_fixed, run_lossy_float

        losses: dict[str, NDArray[np.bool_]] = {}
        for p in net.populations:
            own = int(stream(seed, self.name, p.name).integers(2**63))
            random = SampleRandom(own, checked_keys(keys, codes.shape[0]))
            rows = [random.uniform(p.size, t) < share for t in range(net.steps)]
            losses[p.name] = np.stack(rows)
        if isinstance(net, FixedPointNetwork):
            return run_lossy_fixed(net, codes, losses)
        return run_lossy_float(net, codes, losses)
