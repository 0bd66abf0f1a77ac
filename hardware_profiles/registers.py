"""The registers of a profile's target, as plain numbers for checks of networks."""

from __future__ import annotations

from functools import lru_cache

from neurodeploy.errors import ProfileError
from neurodeploy.hardware_profiles.loader import parse
from neurodeploy.hardware_profiles.profile import Profile
from neurodeploy.hardware_profiles.values import SourcedValue
from neurodeploy.register_limits import CHIP_LIMITS, RegisterLimits

#: Widths that the integer rules of this package are written for.
_FIXED_WIDTHS = {"decay_bits": 12, "state_bits": 24, "v_threshold_shift": 6}


def limits_of(profile: Profile) -> RegisterLimits:
    """Return what the registers of ``profile`` hold; a range counts with its safe end.

    An unknown number of settings binds nothing; any other unknown number is what both Loihi chips
    share. Where a chip allows few settings per core ("limited"), a population may spread over all
    cores of one chip.

    Raises
    ------
    ProfileError
        If the profile's states, decays or threshold shift are not those of the integer rules.
    """
    n = profile.numerics
    for name, width in _FIXED_WIDTHS.items():
        leaf: SourcedValue = getattr(n, name)
        if leaf.known and int(leaf) != width:
            raise ProfileError(
                f"{leaf.path}: is {int(leaf)}, and the integer rules are written for {width}; "
                "integers for such a chip cannot be computed here"
            )
    own = str(n.microcode) == "yes"
    return RegisterLimits(
        target=profile.id,
        weight_bits=_most(n.weight_bits, CHIP_LIMITS.weight_bits),
        conv_weight_bits=_most(n.conv_weight_bits, CHIP_LIMITS.conv_weight_bits),
        weight_exp_min=_least(n.weight_exponent_min, CHIP_LIMITS.weight_exp_min),
        weight_exp_max=_most(n.weight_exponent_max, CHIP_LIMITS.weight_exp_max),
        sign_modes=n.weight_sign_modes.value,
        decay_u_min=_least(n.decay_u_min, CHIP_LIMITS.decay_u_min),
        bias_mantissa_bits=_most(n.bias_mantissa_bits, CHIP_LIMITS.bias_mantissa_bits),
        bias_exp_max=2 ** _most(n.bias_exponent_bits, 3) - 1,
        v_threshold_max=2 ** _most(n.v_threshold_mantissa_bits, 17) - 1,
        message_bits=_most(n.graded_payload_bits, CHIP_LIMITS.message_bits),
        delay_max=_most(n.max_delay, CHIP_LIMITS.delay_max),
        refractory_max=_most(n.refractory_steps_max, CHIP_LIMITS.refractory_max),
        threshold_settings=_settings(
            profile, str(n.v_threshold_per_neuron), profile.limits.threshold_settings_per_core
        ),
        decay_settings=_settings(
            profile, str(n.decay_per_neuron), profile.limits.neuron_settings_per_core
        ),
        own_neurons=own,
        subtracts="subtract" in n.reset_modes.value,
    )


@lru_cache(maxsize=16)
def limits_in(profile_text: str) -> RegisterLimits:
    """Return the limits of the profile that a network holds as TOML text.

    Those that both Loihi chips share where it holds none.

    Raises
    ------
    ProfileError
        If the text is no profile.
    """
    if not profile_text:
        return CHIP_LIMITS
    return limits_of(parse(profile_text, label="the network's profile"))


def _most(value: SourcedValue, otherwise: int) -> int:
    """Return the lower estimate of a largest value."""
    return otherwise if value.low is None else int(value.low)


def _least(value: SourcedValue, otherwise: int) -> int:
    """Return the typical smallest value: that of a chip, where validators may be stricter."""
    return otherwise if value.typ is None else int(value.typ)


def _settings(profile: Profile, allowed: str, per_core: SourcedValue) -> int | None:
    if allowed == "no":
        return 1
    cores = profile.limits.cores_per_chip
    if allowed != "limited" or per_core.typ is None or cores.typ is None:
        return None
    return int(per_core.typ) * int(cores.typ)
