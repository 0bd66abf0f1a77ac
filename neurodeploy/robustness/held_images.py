"""What is attacked and certified is an image that is held: every other encoder is refused."""

from __future__ import annotations

from collections.abc import Mapping

from neurodeploy.errors import ContractError
from neurodeploy.network import FixedPointNetwork, Network

_REASONS: Mapping[str, str] = {
    "rate": "a random code needs attacks with expectation over its draws, and statistics over them "
    "(neurodeploy.attacks.BernoulliCode and Expectation are there for studies of one's own)",
    "latency": "spike times are steps of the image's values, which have no gradient, and "
    "certificates know no such code",
    "events": "perturbations of events (added, dropped, moved) are not those of images",
}


def require_held(network: Network | FixedPointNetwork) -> None:
    """Raise ContractError if images are not held: then nothing here can attack or certify them.

    Attacks and certificates speak of the codes of an image, each of which acts at every step.
    """
    kind = network.encoder.kind
    if kind in _REASONS:
        raise ContractError(
            f"encoder {kind}: robustness is judged on images that are held (encoder constant), by "
            f"robustness and deploy alike: {_REASONS[kind]}; quantize, run, verify, compare and "
            f"cost take encoder {kind}"
        )
