"""Networks as classifiers on the code grid: exact predictions, and gradients for attacks."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import ShapeError
from neurodeploy.files import content_hash
from neurodeploy.network import FixedPointNetwork, Network, decide, network_hash
from neurodeploy.robustness.surrogates import Surrogate

if TYPE_CHECKING:
    import torch

    from neurodeploy.attacks import Classifier

#: Samples per exact run: bounds memory and lets an interrupt through.
BATCH = 4096


class Attackable(Protocol):
    """A classifier that can be seen through any surrogate."""

    @property
    def max_code(self) -> int:
        """Largest code; codes run from 0."""

    def predict(self, codes: NDArray[np.int32]) -> NDArray[np.int64]:
        """Return the class of each sample [B], int64; -1 where the top is tied."""

    def predicted_scores(self, codes: NDArray[np.int32]) -> NDArray[np.float64]:
        """Return the exact scores behind ``predict``, [B, classes]."""

    def under(self, surrogate: Surrogate) -> Classifier:
        """Return the same classifier, whose gradients come from ``surrogate``."""


class NetworkClassifier:
    """A network, float or fixed, whose gradients come from any surrogate.

    Parameters
    ----------
    net : Network or FixedPointNetwork
        Codes are held for ``net.steps`` steps. The float network sees ``encoder.decode(codes)``,
        the fixed one the codes themselves: the same grid points.
    device : str
        Where gradients are computed, and the integers too: they are the same on every device. The
        float network's predictions always run on the CPU.
    threads : int or None
        Threads of the fixed-point simulator.
    """

    def __init__(
        self, net: Network | FixedPointNetwork, *, device: str = "cpu", threads: int | None = None
    ) -> None:
        self.net = net
        self._device = device
        self._threads = threads
        self._gradient = lru_cache(maxsize=16)(self._build_gradient)

    @property
    def max_code(self) -> int:
        """Largest input code."""
        return self.net.encoder.max_code

    def predict(self, codes: NDArray[np.int32]) -> NDArray[np.int64]:
        """Return the decision on each sample [B], -1 where the top is tied; an exact run."""
        codes = np.asarray(codes)
        if codes.ndim != 2 or codes.shape[1] != self.net.n_input:
            raise ShapeError(
                f"codes: shape {codes.shape}; the network takes [B, {self.net.n_input}]"
            )
        return np.asarray(decide(self.predicted_scores(codes)))

    def predicted_scores(self, codes: NDArray[np.int32]) -> NDArray[np.float64]:
        """Return the exact scores [B, classes] behind ``predict``, in the read-out's own unit."""
        if codes.shape[0] == 0:
            return np.zeros((0, self.net.population(self.net.readout.population).size))
        parts = [
            self._run(codes[start : start + BATCH]) for start in range(0, codes.shape[0], BATCH)
        ]
        return np.concatenate(parts).astype(np.float64)

    def under(self, surrogate: Surrogate) -> Classifier:
        """Return this network with gradients from ``surrogate``; cheap."""
        return _Seen(self, surrogate)

    def scores(self, codes: torch.Tensor, surrogate: Surrogate) -> torch.Tensor:
        """Return logits [B, classes], differentiable by ``codes`` through ``surrogate``."""
        scores: torch.Tensor = self._gradient(surrogate)(codes.to(self._device))
        return scores

    def fingerprint(self) -> str:
        """Return a hash of everything in the network that decides its predictions."""
        return fingerprint(self.net)

    def _run(self, codes: NDArray[np.int32]) -> NDArray[Any]:
        # Imported here: `simulate` compiles kernels, which a reader of evidence need not wait for.
        from neurodeploy.simulate import run_fixed, run_float, run_torch

        if not isinstance(self.net, FixedPointNetwork):
            return run_float(self.net, codes).scores()
        if self._device == "cpu":
            return run_fixed(self.net, codes, threads=self._threads).scores()
        return run_torch(self.net, codes, device=self._device).scores()

    def _build_gradient(self, surrogate: Surrogate) -> Callable[[torch.Tensor], torch.Tensor]:
        from neurodeploy.simulate import FixedGradient, FloatGradient

        width, shape = surrogate.width, surrogate.shape
        if isinstance(self.net, FixedPointNetwork):
            return FixedGradient(self.net, width=width, shape=shape, device=self._device).scores
        return FloatGradient(self.net, width=width, shape=shape, device=self._device).scores


@dataclass(frozen=True, slots=True)
class _Seen:
    """A network with the surrogate that its gradients come from."""

    network: NetworkClassifier
    surrogate: Surrogate

    @property
    def max_code(self) -> int:
        return self.network.max_code

    def predict(self, codes: NDArray[np.int32]) -> NDArray[np.int64]:
        return self.network.predict(codes)

    def predicted_scores(self, codes: NDArray[np.int32]) -> NDArray[np.float64]:
        return self.network.predicted_scores(codes)

    def scores(self, codes: torch.Tensor) -> torch.Tensor:
        return self.network.scores(codes, self.surrogate)


def fingerprint(net: Network | FixedPointNetwork) -> str:
    """Return a content hash of ``net`` (SHA-256, hexadecimal)."""
    if isinstance(net, FixedPointNetwork):
        return network_hash(net)
    header: dict[str, Any] = {
        "encoder": net.encoder.as_dict(),
        "readout": net.readout.as_dict(),
        "steps": net.steps,
    }
    arrays: dict[str, NDArray[Any]] = {}
    parts: list[tuple[str, Any]] = [
        (f"populations/{i}", population) for i, population in enumerate(net.populations)
    ]
    for i, synapse in enumerate(net.synapses):
        parts.append((f"synapses/{i}", synapse))
        parts += [(f"synapses/{i}/{k}", operator) for k, operator in enumerate(synapse.operators)]
    for place, part in parts:
        # What a node is called in the graph changes no decision; a synapse's operators are parts.
        for field in dataclasses.fields(part):
            value = getattr(part, field.name)
            if isinstance(value, np.ndarray):
                arrays[f"{place}/{field.name}"] = value
            elif field.name not in ("nir_nodes", "node", "operators"):
                header[f"{place}/{field.name}"] = value
    text = json.dumps(header, sort_keys=True).encode()
    return content_hash({**arrays, "header": np.frombuffer(text, dtype=np.uint8)})
