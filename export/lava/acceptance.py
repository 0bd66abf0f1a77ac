"""Refuses networks of which Lava would silently compute another one.

Lava checks hardly anything: it clips and rounds weights, drops what a mode cannot hold, keeps
geometry in 8 bits, and starts every layer at the first hardware step. A network must come through
all that unchanged. Sources: lava-nc 0.10.0, the fixed_pt models of Dense, Sparse, Conv and LIF.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import RangeError
from neurodeploy.findings import Finding
from neurodeploy.hardware_profiles import limits_in
from neurodeploy.network.connections import INPUT
from neurodeploy.network.fixed import (
    WEIGHT_RANGE,
    ConvLayout,
    FixedPointNetwork,
    FixedPopulation,
    FixedSynapse,
    SignMode,
)
from neurodeploy.network.legality import check_drive, check_legality
from neurodeploy.network.start_state import start_v

#: Lava refuses longer delays in the first step; a chip holds one less.
_LAVA_DELAY_MAX = 63
_INT8_MAX = 127
_LARGEST_SHIFT = 31


def require_faithful(net: FixedPointNetwork, *, lava_quirks: bool = False) -> None:
    """Raise if Lava would change a number of ``net`` or cannot run it.

    Raises
    ------
    RangeError
        One error that lists everything ``check_faithful`` found.
    """
    found = check_faithful(net, lava_quirks=lava_quirks)
    if found:
        lines = "\n".join(f"  {f.where}: {f.what}; {f.remedy}" for f in found)
        many = f"{len(found)} reasons" if len(found) > 1 else "1 reason"
        raise RangeError(f"lava: the network cannot be run as it is, for {many}:\n{lines}")


def check_faithful(net: FixedPointNetwork, *, lava_quirks: bool = False) -> tuple[Finding, ...]:
    """Return one ``error`` finding for each thing that Lava would change or cannot run.

    Parameters
    ----------
    net : FixedPointNetwork
    lava_quirks : bool
        Allow what Lava computes though no chip holds it; else that is an error too.
    """
    found: list[Finding] = []
    for population in net.populations:
        found += _check_population(population)
        if population.is_graded:
            found += check_drive(net, population)
    for synapse in net.synapses:
        found += _check_synapse(net, synapse)
    if not lava_quirks:
        # One word on each register: Lava's own, where it has one.
        said = {_register(finding) for finding in found}
        legal = check_legality(net, limits_in(net.profile))
        found += [finding for finding in legal if _register(finding) not in said]
    return tuple(found)


def lava_prepared(weight: NDArray[Any], sign_mode: SignMode, weight_bits: int) -> NDArray[np.int64]:
    """Return what Lava's Dense makes of ``weight`` at its first step: clipped, then rounded.

    Mixed and excitatory weights are rounded down, inhibitory ones toward zero. Source: lava-nc
    0.10.0, ``clip_weights`` and ``truncate_weights``. Sparse does the same; Conv does nothing.
    """
    sign = -1 if sign_mode == "inhibitory" else 1
    mixed = sign_mode == "mixed"
    magnitude = np.clip(sign * weight.astype(np.int64), -256 if mixed else 0, 255)
    dropped = 8 - weight_bits + mixed
    return sign * ((magnitude >> dropped) << dropped)


def _register(finding: Finding) -> tuple[str, str]:
    """Return where a finding is, and the register or weights that it is about."""
    about = "weight" if "weights" in finding.what else finding.what.split()[0]
    return finding.where, about


def _error(where: str, what: str, remedy: str, **numbers: Any) -> Finding:
    return Finding("error", where, what, remedy, numbers)


def _check_population(population: FixedPopulation) -> Iterator[Finding]:
    where = f"population {population.name}"
    if abs(population.bias_exp) > _LARGEST_SHIFT:
        what = f"bias_exp {population.bias_exp} shifts 32 bits away altogether"
        yield _error(where, what, "use -31..31", bias_exp=population.bias_exp)
        return
    try:
        start_v(population)
    except RangeError as error:
        what = str(error).removeprefix(f"{where}: ").partition("; ")[0]
        yield _error(where, what, "carry the bias on an always-on line")


def _check_synapse(net: FixedPointNetwork, synapse: FixedSynapse) -> Iterator[Finding]:
    where = f"synapse {synapse.name}"
    longest = max(synapse.delays, default=0)
    if longest > _LAVA_DELAY_MAX:
        what = f"delay {longest}; Lava takes 0..{_LAVA_DELAY_MAX}"
        yield _error(where, what, "lower the latency of its target", delay=longest)
    if synapse.message_bits < 0:
        what = f"message_bits {synapse.message_bits} is negative"
        yield _error(where, what, "use 0 for spikes", message_bits=synapse.message_bits)
    if isinstance(synapse.layout, ConvLayout):
        yield from _check_conv(net, synapse, synapse.layout)
    else:
        yield from _check_weight(synapse)
        yield from _check_delayed_sum(net, synapse, longest)


def _check_conv(
    net: FixedPointNetwork, synapse: FixedSynapse, layout: ConvLayout
) -> Iterator[Finding]:
    where = f"synapse {synapse.name}"
    geometry = {
        "kernel": synapse.weight.shape[2:],
        "stride": layout.stride,
        "padding": layout.padding,
        "dilation": layout.dilation,
        "groups": (layout.groups,),
    }
    wide = {name: max(values) for name, values in geometry.items() if max(values) > _INT8_MAX}
    if wide:
        what = ", ".join(f"{name} {value}" for name, value in wide.items())
        remedy = "write the convolution as a sparse synapse"
        yield _error(where, f"{what}; Lava's Conv keeps geometry in 8 bits, to 127", remedy, **wide)
    # Lava sums in float64, exactly, and turns the sum into an int32, which larger ones break.
    taps = np.abs(synapse.weight.astype(np.int64)).sum(axis=(1, 2, 3)).max(initial=0)
    largest = int(taps) * _largest_payload(net, synapse)
    if largest >= 2**31:
        what = f"a sum may reach {largest}, beyond the 32 bits that Lava's Conv turns it into"
        yield _error(where, what, "use smaller weights or codes", largest=largest)


def _check_weight(synapse: FixedSynapse) -> Iterator[Finding]:
    where = f"synapse {synapse.name}"
    if not 1 <= synapse.weight_bits <= 8:
        what = f"weight_bits {synapse.weight_bits}; Lava rounds right for 1..8"
        yield _error(where, what, "prepare the weights for 1..8 bits")
        return
    if abs(synapse.weight_exp) > _LARGEST_SHIFT:
        what = f"weight_exp {synapse.weight_exp} shifts 32 bits away altogether"
        yield _error(where, what, "use -31..31", weight_exp=synapse.weight_exp)
    prepared = lava_prepared(synapse.weight, synapse.sign_mode, synapse.weight_bits)
    changed = np.argwhere(prepared != synapse.weight)
    if changed.size:
        place = tuple(int(k) for k in changed[0])
        low, high, step = WEIGHT_RANGE[synapse.sign_mode]
        what = (
            f"Lava would change {len(changed)} of {synapse.weight.size} weights (first: "
            f"{list(place)} from {synapse.weight[place]} to {prepared[place]})"
        )
        remedy = (
            f"{synapse.sign_mode} weights of {synapse.weight_bits} bits lie in {low}..{high} in "
            f"steps of {step * 2 ** (8 - synapse.weight_bits)}: prepare them before"
        )
        yield _error(where, what, remedy, changed=len(changed))


def _check_delayed_sum(
    net: FixedPointNetwork, synapse: FixedSynapse, longest: int
) -> Iterator[Finding]:
    """DelayDense adds a graded sum in 64 bits and shifts it before it is cut to 32."""
    if not (longest and synapse.kind == "dense" and synapse.weight_exp < 0):
        return
    taps = np.abs(synapse.weight.astype(np.int64)).sum(axis=1).max(initial=0)
    largest = int(taps) * _largest_payload(net, synapse)
    if largest >= 2**31:
        what = (
            f"a sum may reach {largest}; Lava's DelayDense shifts it in 64 bits, where Dense and "
            "this package's rules wrap it to 32 before"
        )
        yield _error(f"synapse {synapse.name}", what, "use a sparse synapse", largest=largest)


def _largest_payload(net: FixedPointNetwork, synapse: FixedSynapse) -> int:
    graded = synapse.message_bits > 0 and synapse.source == INPUT
    return net.encoder.max_code if graded else 1
