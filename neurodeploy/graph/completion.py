"""Putting a complete contract together: the file, the user's options, a convention, defaults.

An option holds over the file, the file over a convention, a convention over the defaults. Only
``dt`` may not be contradicted: it is part of every time constant.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from neurodeploy.errors import ContractError
from neurodeploy.graph.contract import (
    ENCODERS_OWN,
    PLAIN_NIR_EULER,
    Contract,
    check_events,
    option_name,
)
from neurodeploy.graph.conventions import Convention
from neurodeploy.graph.finding_list import FindingList

#: Where findings about the contract say they are.
CONTRACT = "contract"
#: Two dt closer than this (relative) are one number that a float32 has rounded.
_SAME_DT = 1e-6
#: Fields that may stay open: nothing is assumed for them.
_OPEN = ("dt", "steps", "readout_window", "encoder_form", "source_tool")
_GUESSES: Mapping[str, Any] = {
    "encoder": "constant",
    "encoder_low": 0.0,
    "encoder_high": 1.0,
    "encoder_bits": 8,
}
#: What is guessed otherwise for one encoder: events are spikes unless something says payloads.
_GUESSES_FOR: Mapping[str, Mapping[str, Any]] = {
    "events": {"encoder_bits": 1},
    "rate": {"encoder_seed": 0},
}


def complete(
    said: Contract,
    options: Contract,
    convention: Convention | None,
    readout: tuple[str | None, str | None],
    findings: FindingList,
) -> Contract | None:
    """Merge what is known about how to run a graph; say every assumption.

    Parameters
    ----------
    said : Contract
        From the file's metadata.
    options : Contract
        From the caller.
    convention : Convention, optional
        The preset of the tool that wrote the file.
    readout : (node, kind)
        The default read-out; None where there is no good guess.
    findings : FindingList
        Receives assumptions, replacements, contradictions and what is missing.

    Returns
    -------
    Contract or None
        None if the words together make no contract; a finding says why.
    """
    if convention is not None:
        for note in (f"source: {convention.source}", *convention.notes):
            findings.info(f"convention {convention.name}", note)
    merged: dict[str, Any] = {}
    for field in fields(Contract):
        name = field.name
        found = getattr(said, name)
        if merged.get("encoder") != ENCODERS_OWN.get(name, merged.get("encoder")):
            found = None  # the file's word is about the encoder that an option replaced
        value = _given(name, found, getattr(options, name), findings)
        if convention is not None:
            value = _by_convention(name, value, options, convention, findings)
        if value is None and name not in _OPEN:
            guesses = {
                **_GUESSES,
                **_GUESSES_FOR.get(merged.get("encoder", ""), {}),
                "readout_node": readout[0],
                "readout_kind": readout[1],
            }
            value = _assumed(name, guesses, findings)
        merged[name] = value
    if merged["dt"] is None:
        findings.error(
            CONTRACT,
            "dt (seconds per step) is not in the file, and a guess would change the network",
            "give --dt",
            raises=ContractError,
        )
    try:
        contract = Contract(**merged)
        check_events(contract)
    except ContractError as error:
        findings.error(CONTRACT, str(error).removeprefix("contract: "), raises=ContractError)
        return None
    return contract


def _given(name: str, said: Any, asked: Any, findings: FindingList) -> Any:
    """Return what options or file say; an option replaces the file's word, but never its dt."""
    if asked is None or said is None or asked == said:
        return said if asked is None else asked
    if name != "dt":
        text = f"{name} = {asked!r} replaces the file's {said!r}"
        findings.warning(CONTRACT, text, "", file=_json(said), option=_json(asked))
        return asked
    if not math.isclose(asked, said, rel_tol=_SAME_DT):
        findings.error(
            CONTRACT,
            f"the file says dt = {said:g} s, {option_name(name)} says {asked:g} s",
            "drop the option, or correct the file's metadata",
            raises=ContractError,
            file=said,
            option=asked,
        )
    return asked


def _by_convention(
    name: str, value: Any, options: Contract, convention: Convention, findings: FindingList
) -> Any:
    preset = convention.fields.get(name)
    if preset is None or preset == value:
        return value
    if value is None:
        text = f"{name} = {preset!r} by convention {convention.name}"
        findings.info(CONTRACT, text, "", **{name: preset})
        return preset
    if getattr(options, name) is None:
        text = (
            f"the file says {name} = {value!r}, convention {convention.name} {preset!r}; "
            "the file holds"
        )
        remedy = f"say {option_name(name)} {preset}, if the convention is right"
        findings.warning(CONTRACT, text, remedy, file=_json(value), convention=preset)
    return value


def _assumed(name: str, guesses: Mapping[str, Any], findings: FindingList) -> Any:
    """Return the default of ``name`` and say that it is one."""
    plain = getattr(PLAIN_NIR_EULER, name)
    value = guesses.get(name) if plain is None else plain
    if value is None:
        return None
    text = f"{name} is not in the file; {value!r} is assumed"
    remedy = f"say it with {option_name(name)}"
    # Words of plain NIR-Euler are the meaning of NIR's own equations; the rest is a guess.
    note = findings.warning if plain is None else findings.info
    note(CONTRACT, text, remedy, **{name: value})
    return value


def _json(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
