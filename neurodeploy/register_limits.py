"""What the registers of one target hold: the numbers that decide which integers are legal."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RegisterLimits:
    """Widths and ranges of a target's registers; by default those that both Loihi chips share.

    Plain numbers, so that networks can be checked without knowing what a hardware profile is;
    ``neurodeploy.hardware_profiles.limits_of`` reads them from one. Sources: the profiles.

    Parameters
    ----------
    target : str
        Who holds them, for messages.
    weight_bits, conv_weight_bits : int
        Widest weight of a dense or sparse synapse, and of a convolution; a mixed sign spends one.
        A convolution's weights beyond 8 bits are plain signed integers.
    weight_exp_min, weight_exp_max : int
        Exponents of a synapse.
    sign_modes : tuple of str
    decay_u_min : int
        0; -1 where a current may keep everything.
    bias_mantissa_bits, bias_exp_max : int
        Signed mantissa, and its left shift.
    v_threshold_max : int
        Largest threshold mantissa.
    message_bits : int
        Width of a payload that neurons send; 0 for spikes alone.
    delay_max, refractory_max : int
        In hardware steps.
    threshold_settings, decay_settings : int or None
        Most different thresholds, and pairs of decays, in one population. None: no limit known.
    own_neurons : bool
        Whether it runs neurons that are no stock LIF (DLIF, subtractive reset).
    subtracts : bool
        Whether its stock neurons reset by subtraction.
    """

    target: str = "a Loihi chip"
    weight_bits: int = 8
    conv_weight_bits: int = 8
    weight_exp_min: int = -8
    weight_exp_max: int = 7
    sign_modes: tuple[str, ...] = ("mixed", "excitatory", "inhibitory")
    decay_u_min: int = 0
    bias_mantissa_bits: int = 13
    bias_exp_max: int = 7
    v_threshold_max: int = 2**17 - 1
    message_bits: int = 24
    delay_max: int = 62
    refractory_max: int = 64
    threshold_settings: int | None = None
    decay_settings: int | None = None
    own_neurons: bool = True
    subtracts: bool = False

    @property
    def bias_mantissa_max(self) -> int:
        """Largest mantissa of a bias; the smallest is one further from zero."""
        return int(2 ** (self.bias_mantissa_bits - 1)) - 1


#: What both Loihi chips hold: the limits of a network that names no profile.
CHIP_LIMITS = RegisterLimits()
