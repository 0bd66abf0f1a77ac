"""What the quantiser may choose, as data with a version."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args, get_type_hints

from neurodeploy.errors import InputError, RangeError
from neurodeploy.quantization.gain_remapping import Remap

#: Of ``QuantizeConfig.as_dict``; raised when a field changes its meaning.
CONFIG_SCHEMA = 2
#: What is best where calibration samples tell how good a rounding is. A corrected bias is not among
#: them: beside adaptive rounding it keeps no more robustness, and it may need an always-on line.
_MEASURED = {"scale": "search", "rounding": "adaptive"}

_CHOICES = (
    "scale", "rounding", "bias", "weight_exponent", "remap", "granularity", "sign_split",
    "threshold",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class QuantizeConfig:
    """What the quantiser may choose; by default what needs no samples (see ``config_for``).

    Parameters
    ----------
    weight_bits : int or "auto"
        Width of a weight, 2..8; a mixed-sign matrix spends one bit on the sign. "auto": each
        synapse its own, so that all fit the memory at the least loss (``mixed_precision.py``).
    gain_bits : int
        Largest width of a DLIF gain mantissa, 1..8.
    lava_quirks : bool
        Keep integers that Lava takes and no chip holds.
    sparse_limit : int
        Most connections of a convolution that is written out as a sparse matrix.
    scale : {"power_of_two", "search"}
        Units of v per membrane unit: a power of two, or the factor between two of them that
        rounds weights and thresholds best (``membrane_units.py``).
    rounding : {"nearest", "adaptive"}
        Of weights. Adaptive: so that the membrane's error on calibration samples, and in every
        direction they do not have, is least (``input_moments.py``); needs calibration samples.
    bias : {"own", "corrected"}
        Corrected: takes the mean error that rounded weights make on calibration samples away.
    threshold : {"own", "balanced"}
        Balanced: moved, where fewer spikes then differ from the float network's on calibration
        samples (``threshold_balancing.py``), which it needs.
    weight_exponent : {"least_error", "largest_weight"}
        How a synapse's exponent is chosen: by the least error of all its weights, which may clip
        the largest, or so that the largest weight just fits. The second is what is compared
        with; it goes with scale power_of_two and rounding nearest alone.
    granularity : {"population", "neuron"}
        Whether all neurons of a population share a membrane unit, or each has its own, where the
        target has a threshold for each (``row_units.py``).
    sign_split : {"never", "auto"}
        Auto: a matrix of both signs becomes two of one sign, each with a bit more, where that
        lowers the loss by more than half (``sign_split.py``).
    memory_bytes : int or None
        What the weights of ``weight_bits`` "auto" may take; None: what the target holds.
    remap : {"microcode", "graded", "bitplane", "fold", "auto"}
        Of DLIF gains, by ``quantize`` (``gain_choice.py``): as they are, carried by graded
        messages, gated bit by bit, folded into their mean, or by what the target has.
    """

    weight_bits: int | Literal["auto"] = 8
    gain_bits: int = 8
    lava_quirks: bool = False
    sparse_limit: int = 2**22
    scale: Literal["power_of_two", "search"] = "power_of_two"
    rounding: Literal["nearest", "adaptive"] = "nearest"
    bias: Literal["own", "corrected"] = "own"
    weight_exponent: Literal["least_error", "largest_weight"] = "least_error"
    remap: Remap = "microcode"
    granularity: Literal["population", "neuron"] = "population"
    sign_split: Literal["never", "auto"] = "never"
    memory_bytes: int | None = None
    threshold: Literal["own", "balanced"] = "own"

    def __post_init__(self) -> None:
        """Check the widths and choices."""
        for name in _CHOICES:
            known = get_args(get_type_hints(QuantizeConfig)[name])
            if getattr(self, name) not in known:
                raise InputError(f"{name} {getattr(self, name)!r}: choose {' or '.join(known)}")
        if self.weight_exponent == "largest_weight" and self.measures:
            raise InputError(
                f"weight_exponent largest_weight with scale {self.scale}, rounding {self.rounding} "
                f"and bias {self.bias}: these choose the exponent by what is measured; take "
                "scale power_of_two, rounding nearest and bias own with it"
            )
        if self.weight_bits != "auto" and not 2 <= self.weight_bits <= 8:
            raise RangeError(f"weight_bits is {self.weight_bits}; Loihi stores 2 to 8 bits")
        if self.weight_bits == "auto" and self.sign_split == "auto":
            raise InputError(
                "sign_split auto with weight_bits auto: both spend the memory on finer weights; "
                "take one of them"
            )
        if self.memory_bytes is not None and (self.weight_bits != "auto" or self.memory_bytes < 1):
            raise InputError(
                f"memory_bytes is {self.memory_bytes} with weight_bits {self.weight_bits}; it is "
                "what the weights of weight_bits auto may take, 1 at least"
            )
        if not 1 <= self.gain_bits <= 8:
            raise RangeError(f"gain_bits is {self.gain_bits}; a gain mantissa has 1 to 8 bits")
        if self.sparse_limit < 0:
            raise RangeError(f"sparse_limit is {self.sparse_limit}; it cannot be negative")

    @property
    def measures(self) -> bool:
        """Whether calibration samples tell how good a rounding is."""
        finer = self.granularity == "neuron" or self.sign_split == "auto"
        return finer or self.weight_bits == "auto" or self.scale == "search" or self.needs_samples

    @property
    def needs_samples(self) -> bool:
        """Whether nothing can be done without calibration samples."""
        return self.rounding == "adaptive" or self.bias == "corrected"

    def as_dict(self) -> dict[str, Any]:
        """Return the configuration as JSON types, with the version of its schema."""
        return {"schema": CONFIG_SCHEMA, **asdict(self)}


def config_for(*, calibrated: bool, **chosen: Any) -> QuantizeConfig:
    """Return the configuration of ``chosen`` fields, and the best for those that are None.

    With calibration samples that is scale ``search`` and rounding ``adaptive``; without them, and
    beside weight_exponent ``largest_weight``, the plain ones.

    Parameters
    ----------
    calibrated : bool
        Whether there are samples.
    **chosen
        Fields of QuantizeConfig; None leaves one open.
    """
    given = {name: value for name, value in chosen.items() if value is not None}
    measured = calibrated and given.get("weight_exponent") != "largest_weight"
    return QuantizeConfig(**{**(_MEASURED if measured else {}), **given})
