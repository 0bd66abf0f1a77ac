"""Perturbed input on a faulty network, at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.attacks.perturbation import Perturbation
from neurodeploy.network import FixedPointNetwork, Network
from neurodeploy.robustness.faults.fault import Fault, faulty_scores


@dataclass(frozen=True, slots=True)
class Joint:
    """Change the codes by a perturbation and the network by a fault, with one seed for both.

    The strength is that of the fault; the perturbation keeps its own.

    Parameters
    ----------
    perturbation : Perturbation
    input_strength : float
        In the perturbation's unit.
    fault : NetworkFault or RunFault
    """

    perturbation: Perturbation
    input_strength: float
    fault: Fault

    @property
    def name(self) -> str:
        """Both names, and the strength of the perturbation."""
        p = self.perturbation
        return f"{p.name} {self.input_strength:g} {p.unit} + {self.fault.name}"

    @property
    def unit(self) -> str:
        """The fault's."""
        return self.fault.unit

    def scores(
        self,
        net: Network | FixedPointNetwork,
        codes: NDArray[np.int32],
        strength: float,
        seed: int,
        *,
        keys: NDArray[np.int64] | None = None,
    ) -> NDArray[Any]:
        """Return the scores of the faulty network on changed codes; see ``RunFault.scores``."""
        perturb = self.perturbation.points
        points = perturb(codes, self.input_strength, seed, net.encoder.max_code, keys=keys)
        return faulty_scores(self.fault, net, points, strength, seed, keys=keys)
