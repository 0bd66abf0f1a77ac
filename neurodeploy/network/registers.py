"""Widths of Loihi's integers, as far as every part of the arithmetic shares them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

SignMode = Literal["mixed", "excitatory", "inhibitory"]

#: Fraction bits of decays, alignment bits between synaptic sum and membrane, state bound.
DECAY_BITS = 12
ALIGN_BITS = 6
V_MAX = 2**23 - 1
V_THRESHOLD_MAX = 2**17 - 1
#: Longest synaptic delay that a chip holds, in steps (lava-dl; Lava itself takes 63).
DELAY_MAX = 62
#: Prepared weights per sign mode at 8 bits: (lowest, highest, step).
WEIGHT_RANGE: Mapping[SignMode, tuple[int, int, int]] = {
    "mixed": (-256, 254, 2),
    "excitatory": (0, 255, 1),
    "inhibitory": (-255, 0, 1),
}
