"""What a deployment is asked to do, as one frozen type that lands in the results."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from neurodeploy.errors import InputError
from neurodeploy.quantization import QuantizeConfig
from neurodeploy.robustness import RobustnessConfig

#: Progress of a named stage: (stage, done, total).
StageProgress = Callable[[str, int, int], None]
#: Samples that also run on Lava itself.
LAVA_SAMPLES = 16


@dataclass(frozen=True, slots=True)
class FineTuning:
    """How integers are fine-tuned on the calibration samples; see ``training.repair``.

    Parameters
    ----------
    teacher : {"float", "labels"}
    epochs : int
    radius_codes : int or None
        Of the perturbation; None: a tenth of all codes.
    noise : {"adversarial", "gaussian", "none"}
        What perturbs the other half of every batch.
    penalty : float
        Weight of what it does to the free membrane of the last layer that spikes.
    seed : int
    """

    teacher: str
    epochs: int = 8
    radius_codes: int | None = None
    noise: str = "adversarial"
    penalty: float = 0.0
    seed: int = 0


@dataclass(frozen=True, slots=True)
class DeploySettings:
    """How one model is deployed and judged.

    Parameters
    ----------
    profile : str
        Name of a shipped profile or path of a TOML file.
    quantize : QuantizeConfig
        What the quantiser may choose.
    fine_tune : FineTuning or None
        How the integers are repaired; None: not at all.
    robustness : RobustnessConfig
        Perturbations, strengths, tolerance and seed.
    lava_samples : int
        Test samples that also run on Lava.
    threads : int or None
        Threads of the simulator; None for all cores.
    device : str
        Torch device of the attacks' gradients; predictions are exact and stay on the CPU.
    allow_overlap : bool
        Go on, with a mark, where calibration and test samples overlap.
    """

    profile: str = "loihi2"
    quantize: QuantizeConfig = field(default_factory=QuantizeConfig)
    robustness: RobustnessConfig = field(default_factory=RobustnessConfig)
    lava_samples: int = LAVA_SAMPLES
    threads: int | None = None
    device: str = "cpu"
    allow_overlap: bool = False
    fine_tune: FineTuning | None = None

    def __post_init__(self) -> None:
        """Check the number of Lava samples."""
        if self.lava_samples < 1:
            raise InputError(f"lava_samples is {self.lava_samples}; at least 1 is needed")

    def as_dict(self) -> dict[str, Any]:
        """Return the settings as JSON types."""
        document = dataclasses.asdict(self)
        document["robustness"] = self.robustness.as_dict()
        return document


def quick(settings: DeploySettings) -> DeploySettings:
    """Return settings for a first look (see ``quick_robustness``)."""
    return dataclasses.replace(settings, robustness=quick_robustness(settings.robustness))


def quick_robustness(config: RobustnessConfig) -> RobustnessConfig:
    """Return an evaluation for a first look: the two smallest radii, two draws, fewer replicates.

    The caller also cuts the number of samples; a quick result is marked as such.
    """
    return dataclasses.replace(
        config, radii_codes=config.radii_codes[:2], noise_draws=2, bootstrap=2000
    )


def default_radii(max_code: int) -> tuple[int, ...]:
    """Return five radii in codes: 5, 10, 15, 20 and 30 % of the input range, at least 1."""
    return tuple(
        sorted({max(1, round(share * (max_code + 1))) for share in (0.05, 0.1, 0.15, 0.2, 0.3)})
    )
