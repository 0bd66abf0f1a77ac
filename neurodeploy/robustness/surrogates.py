"""The surrogate derivatives that attacks see a network through."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

from neurodeploy.errors import InputError

Shape = Literal["triangle", "superspike", "rectangle", "sigmoid", "gaussian"]
SHAPES: tuple[Shape, ...] = get_args(Shape)


@dataclass(frozen=True, slots=True)
class Surrogate:
    """What stands for the derivative of a spike: see ``simulate.surrogate.surrogate_slope``.

    Parameters
    ----------
    shape : {"triangle", "superspike", "rectangle", "sigmoid", "gaussian"}
    width : float
        In thresholds.

    Raises
    ------
    InputError
        For another shape or a width that is not positive.
    """

    shape: Shape = "triangle"
    width: float = 1.0

    def __post_init__(self) -> None:
        """Check both."""
        if self.shape not in SHAPES or not self.width > 0:
            raise InputError(
                f"surrogate {self.shape!r} of width {self.width}: shapes are {', '.join(SHAPES)}, "
                "and the width, in thresholds, must be positive"
            )

    def __str__(self) -> str:
        """Return shape and width, as names of members carry them."""
        return f"{self.shape} {self.width:g}"

    def as_dict(self) -> dict[str, Any]:
        """Return the surrogate as JSON types."""
        return {"shape": self.shape, "width": self.width}
