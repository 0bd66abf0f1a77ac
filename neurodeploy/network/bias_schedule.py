"""Held images as biases: the host writes the first layer's sums, and no input message is sent.

A bias is ``mantissa << exponent`` with 13 bits, a sum enters the membrane as ``a << 6``. Where the
mantissas of a layer hold every sum that codes can make, the membranes are those of graded
messages, bit for bit. Where they do not, ``fit_to_biases`` makes the units of that layer coarser
until they do: one more rounding, a network of its own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import ContractError, InputError, RangeError, ShapeError
from neurodeploy.findings import Finding, Result
from neurodeploy.network.connections import ALWAYS_ON, INPUT
from neurodeploy.network.fixed import ConvLayout, FixedPointNetwork, FixedPopulation, FixedSynapse
from neurodeploy.network.fixed_synapse import as_sparse
from neurodeploy.network.graded_gain import BIAS_MAX
from neurodeploy.network.legality import check_legality, require_legal
from neurodeploy.network.registers import ALIGN_BITS, V_MAX
from neurodeploy.network.start_state import with_start_v
from neurodeploy.register_limits import RegisterLimits

_REMEDY = "send graded messages (--encoder-form graded)"


def as_biases(
    net: FixedPointNetwork, codes: NDArray[np.int32], limits: RegisterLimits | None = None
) -> FixedPointNetwork:
    """Return the network that a chip runs for one image: no input, its sums are biases.

    Spikes and membranes are those of ``net`` on the same codes; the current u of the first layer
    is 0, as nothing arrives. Where no bias needs a start at a later step, every layer begins one
    hardware step earlier: there is no input synapse to pass.

    Parameters
    ----------
    net : FixedPointNetwork
        As ``fit_to_biases`` returns it.
    codes : int array [n_input]
        One image, 0 .. ``net.encoder.max_code``.

    Raises
    ------
    ShapeError, RangeError
        For other codes, or where a bias does not hold a sum: use ``fit_to_biases`` first.
    ContractError, InputError
        As ``fit_to_biases``.
    """
    limits = limits or RegisterLimits()
    codes = np.asarray(codes)
    if codes.shape != (net.n_input,):
        raise ShapeError(f"codes: shape {codes.shape}; one image has {net.n_input} codes")
    if codes.min() < 0 or codes.max() > net.encoder.max_code:
        raise RangeError(
            f"codes: range {codes.min()}..{codes.max()} leaves 0..{net.encoder.max_code}"
        )
    fed = _fed(net)
    earlier = 1 if _can_begin_earlier(net) else 0
    populations = []
    for p in net.populations:
        if p.name in fed:
            p = _with_biases(p, _sum(fed[p.name], codes.astype(np.int64), p.size), limits)
        populations.append(dataclasses.replace(p, latency=p.latency - earlier))
    return dataclasses.replace(
        net,
        populations=tuple(populations),
        synapses=tuple(s for s in net.synapses if s.source != INPUT),
    )


def fit_to_biases(
    net: FixedPointNetwork, limits: RegisterLimits | None = None
) -> Result[FixedPointNetwork]:
    """Return the network whose first layer's biases hold every sum of every image.

    The same one, value for value, where they do already. Else the units of a population that
    takes input become 2**k times coarser, with the smallest k that is enough: its synapses shift
    k more (floor), threshold, bias and start value are rounded to the nearest. Findings say which.

    Raises
    ------
    ContractError
        If the encoder does not hold images.
    InputError
        If no population takes input; or one takes it late or into a synaptic current, which no
        bias reaches.
    RangeError
        If registers do not reach so far, or a gain's biases cannot hold a sum.
    """
    limits = limits or RegisterLimits()
    fed = _fed(net)
    findings: list[Finding] = []
    for name, incoming in fed.items():
        fitted, shift, finding = _fitted(net, net.population(name), incoming, limits)
        findings.append(finding)
        net = dataclasses.replace(
            net,
            populations=tuple(fitted if p.name == name else p for p in net.populations),
            synapses=tuple(
                _shifted(s, shift, limits) if s.target == name else s for s in net.synapses
            ),
        )
    return Result(net, tuple(findings))


def in_form(
    net: FixedPointNetwork, limits: RegisterLimits | None = None
) -> Result[FixedPointNetwork]:
    """Return the network as its encoder's form needs it: the same, unless that is ``bias``.

    Findings name populations whose membranes lost their start state to coarser units.

    Raises
    ------
    ContractError, InputError
        As ``fit_to_biases``.
    RangeError
        As there; or if the target held ``net`` and does not hold what became of it.
    """
    if net.encoder.levels.form == "graded":
        return Result(net, ())
    limits = limits or RegisterLimits()
    fitted, findings = fit_to_biases(net, limits)
    if not check_legality(net, limits):
        require_legal(fitted, limits)
    return Result(fitted, (*findings, *_lost_starts(net, fitted)))


def _lost_starts(net: FixedPointNetwork, fitted: FixedPointNetwork) -> list[Finding]:
    """Warn of neurons that could start before their first input, and in coarser units cannot."""
    findings = []
    for before, after in zip(net.populations, fitted.populations, strict=True):
        lost = int((with_start_v(before) & ~with_start_v(after)).sum())
        if lost:
            text = (
                f"input as biases: in coarser units {lost} neurons have no start state from which "
                f"{after.latency} steps of bias alone end at v_init, so Lava cannot hold them back "
                "until their first input"
            )
            remedy = f"use fewer encoder bits, {_REMEDY}, or run with --timing aligned"
            numbers = {"neurons": lost}
            findings.append(Finding("warning", f"population {after.name}", text, remedy, numbers))
    return findings


def _fed(net: FixedPointNetwork) -> dict[str, list[FixedSynapse]]:
    """Return the synapses from the input by their target, if biases can stand for all of them."""
    if net.encoder.kind != "constant":
        raise ContractError(
            f"encoder {net.encoder.kind}: its input changes from step to step, a bias does not; "
            f"{_REMEDY}"
        )
    fed: dict[str, list[FixedSynapse]] = {}
    for s in net.synapses:
        if s.source == INPUT:
            fed.setdefault(s.target, []).append(s)
    if not fed:
        raise InputError("input as biases: no synapse comes from the input")
    for name, incoming in fed.items():
        p = net.population(name)
        late = [s.name for s in incoming if np.any(net.logical_delay(s) != 0)]
        if late:
            raise InputError(
                f"population {name}: input arrives late by {', '.join(late)}; a bias acts from the "
                f"first step on; {_REMEDY}"
            )
        if p.kind != "dlif" and (p.decay_u != 4095).any():
            raise InputError(
                f"population {name}: input enters a synaptic current, a bias enters the membrane: "
                f"another network; {_REMEDY}"
            )
    return fed


def _sum(
    incoming: Sequence[FixedSynapse], codes: NDArray[np.int64], size: int
) -> NDArray[np.int64]:
    """Return the shifted sums int64 [size] of codes [n_input]."""
    total = np.zeros(size, np.int64)
    for s in incoming:
        found = s.connections()
        part = np.zeros(size, np.int64)
        # Without a payload a code is a spike, whatever it is.
        sent = codes if s.message_bits else np.minimum(codes, 1)
        np.add.at(part, found.target, found.weight * sent[found.source])
        total += _shift(part, s.weight_exp)
    return total


def _range(
    incoming: Sequence[FixedSynapse], largest: int, size: int, coarser: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the least and the largest sum [size] that codes can make, shifted ``coarser`` more."""
    low, high = np.zeros(size, np.int64), np.zeros(size, np.int64)
    for s in incoming:
        found = s.connections()
        highest = largest if s.message_bits else 1
        for total, weight in ((low, np.minimum(found.weight, 0)), (high, found.weight.clip(0))):
            part = np.zeros(size, np.int64)
            np.add.at(part, found.target, weight * highest)
            total += _shift(part, s.weight_exp - coarser)
    return low, high


def _shift(values: NDArray[np.int64], exponent: int) -> NDArray[np.int64]:
    return values << exponent if exponent > 0 else values >> -exponent


def _can_begin_earlier(net: FixedPointNetwork) -> bool:
    return (
        min(p.latency for p in net.populations) >= 1
        and all(p.reset_interval == 0 and not p.is_graded for p in net.populations)
        and all(
            net.population(s.target).latency >= 2 for s in net.synapses if s.source == ALWAYS_ON
        )
    )


def _with_biases(
    p: FixedPopulation, sums: NDArray[np.int64], limits: RegisterLimits
) -> FixedPopulation:
    """Add sums to the biases of ``p``."""
    if p.kind == "dlif":
        total, largest = p.bias + sums, _largest_of_gain(p)
        lowest = -largest
    else:
        shift = ALIGN_BITS - p.bias_exp
        if shift < 0:
            raise _does_not_hold(p, "its exponent is beyond that of a sum")
        total = p.bias + (sums << shift)
        lowest, largest = -limits.bias_mantissa_max - 1, limits.bias_mantissa_max
    if total.min() < lowest or total.max() > largest:
        needs = f"mantissas {total.min()}..{total.max()} leave {lowest}..{largest}"
        raise _does_not_hold(p, needs)
    return dataclasses.replace(p, bias=total.astype(np.int32))


def _does_not_hold(p: FixedPopulation, why: str) -> RangeError:
    return RangeError(
        f"population {p.name}: its bias does not hold the sum of this image ({why}); use "
        "fit_to_biases first"
    )


def _largest_of_gain(p: FixedPopulation) -> int:
    return BIAS_MAX if p.is_graded else V_MAX


def _fitted(
    net: FixedPointNetwork,
    p: FixedPopulation,
    incoming: Sequence[FixedSynapse],
    limits: RegisterLimits,
) -> tuple[FixedPopulation, int, Finding]:
    """Return the population whose biases hold all sums, how much coarser it is, and what to say."""
    where, code = f"population {p.name}", net.encoder.max_code
    if p.kind == "dlif":
        low, high = _range(incoming, code, p.size, 0)
        largest = _largest_of_gain(p)
        if (p.bias + low).min() < -largest or (p.bias + high).max() > largest:
            raise RangeError(
                f"{where}: sums {low.min()}..{high.max()} do not fit the biases of a gain, "
                f"{-largest}..{largest}; use fewer encoder bits, or {_REMEDY}"
            )
        text = "input as biases: they hold every sum; the integers are those of graded messages"
        return p, 0, Finding("info", where, text, "", {"coarser_bits": 0})
    own = p.bias_shifted.astype(np.int64)
    largest = limits.bias_mantissa_max
    for coarser in range(32):
        low, high = _range(incoming, code, p.size, coarser)
        # In the layer's own units any exponent that a sum can have; else that of a sum itself.
        for exponent in range(ALIGN_BITS + 1) if coarser == 0 else (ALIGN_BITS,):
            bias = np.rint(own / 2.0 ** (exponent + coarser)).astype(np.int64)
            shift = ALIGN_BITS - exponent
            least, most = bias + (low << shift), bias + (high << shift)
            if least.min() >= -largest - 1 and most.max() <= largest:
                exact = coarser == 0 and bool((bias << exponent == own).all())
                finding = _said(p, coarser, exact, int(np.abs([low, high]).max()))
                return _coarser(p, bias, exponent, coarser), coarser, finding
    raise RangeError(f"{where}: no bias holds its sums; use fewer encoder bits, or {_REMEDY}")


def _said(p: FixedPopulation, coarser: int, exact: bool, largest: int) -> Finding:
    numbers = {"coarser_bits": coarser, "largest_sum": largest}
    if exact:
        text = "input as biases: they hold every sum; the integers are those of graded messages"
        return Finding("info", f"population {p.name}", text, "", numbers)
    units = f"units of v are {2**coarser} times coarser" if coarser else "its own bias is rounded"
    text = f"input as biases: so that they hold every sum (up to {largest} of them), {units}"
    remedy = "send graded messages, or use fewer encoder bits" if coarser else ""
    return Finding("warning", f"population {p.name}", text, remedy, numbers)


def _coarser(
    p: FixedPopulation, bias: NDArray[np.int64], exponent: int, coarser: int
) -> FixedPopulation:
    """Return the population with units ``2**coarser`` times as large, and other mantissas."""
    threshold = p.v_threshold
    if p.kind == "lif":
        # A threshold of 0 would let a membrane fire that is merely above rest.
        rounded = np.rint(threshold / 2.0**coarser)
        threshold = np.where(threshold > 0, np.maximum(rounded, 1), rounded).astype(np.int32)
    return dataclasses.replace(
        p,
        bias=bias.astype(np.int32),
        bias_exp=exponent,
        v_threshold=threshold,
        v_init=np.rint(p.v_init / 2.0**coarser).astype(np.int32),
        scale=p.scale / 2**coarser,
    )


def _shifted(s: FixedSynapse, coarser: int, limits: RegisterLimits) -> FixedSynapse:
    """Return the synapse whose sums are ``2**coarser`` times smaller."""
    if coarser == 0:
        return s
    exponent = s.weight_exp - coarser
    if exponent < limits.weight_exp_min:
        raise RangeError(
            f"synapse {s.name}: its sums would need weight exponent {exponent} to fit into biases, "
            f"{limits.target} has {limits.weight_exp_min} at least; use fewer encoder bits, or "
            f"{_REMEDY}"
        )
    if not isinstance(s.layout, ConvLayout):
        return dataclasses.replace(s, weight_exp=exponent)
    # Lava's Conv has no exponent.
    layout, element = as_sparse(s.layout, s.weight.shape)
    return dataclasses.replace(
        s, weight=s.weight.reshape(-1)[element], weight_exp=exponent, layout=layout
    )
