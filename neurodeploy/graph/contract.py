"""The execution contract: everything a NIR file does not say about how to run it.

It travels in the graph's metadata under ``neurodeploy`` with the key names of ``as_metadata``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from neurodeploy.errors import ContractError
from neurodeploy.findings import Finding

CONTRACT_SCHEMA = 1

#: Allowed words per field; the first is the default (plain NIR-Euler).
CHOICES: Mapping[str, tuple[str, ...]] = {
    "reset": ("value", "subtract", "subtract-late", "subtract-once"),
    "decay": ("euler", "exponential"),
    "spikes": ("single", "multiple"),
    "input_gain": ("r", "one"),
    "if_unit": ("second", "step"),
    "recurrent_cut": ("spikes", "affine"),
    "delay_rounding": ("error", "nearest", "floor"),
    "v_min": ("none",),
    "readout_kind": ("count", "sum", "mean_v", "last_v", "max_v"),
    "encoder": ("constant", "rate", "latency", "events"),
}
#: Words this version can run. Everything else in CHOICES is understood and refused.
SUPPORTED: Mapping[str, tuple[str, ...]] = {
    "reset": ("value",),
    "decay": ("euler",),
    "spikes": ("single",),
    "input_gain": ("r", "one"),
    "if_unit": ("second",),
    "recurrent_cut": ("spikes",),
    "delay_rounding": ("error",),
    "v_min": ("none",),
    "readout_kind": ("count", "sum"),
    "encoder": ("constant",),
}
_NESTED = {
    "readout_node": ("readout", "node"),
    "readout_kind": ("readout", "kind"),
    "encoder": ("encoder", "kind"),
    "encoder_low": ("encoder", "low"),
    "encoder_high": ("encoder", "high"),
    "encoder_bits": ("encoder", "bits"),
}


@dataclass(frozen=True, slots=True)
class Contract:
    """How to run a graph; ``None`` means that nothing said it yet.

    Parameters
    ----------
    dt : float
        Length of one step in seconds.
    steps : int
        Steps per sample (T).
    reset, decay, spikes, input_gain, if_unit, recurrent_cut, delay_rounding, v_min : str
        See ``CHOICES``; the defaults together are plain NIR-Euler.
    readout_node, readout_kind : str
        Where and how the decision is read. ``count``: spikes of that node; ``sum``: its output
        summed over the steps.
    encoder : str
        ``constant``: each step receives the same image.
    encoder_low, encoder_high : float
        Input range.
    encoder_bits : int
        Width of an input code.
    source_tool : str
        The tool that wrote the file.
    """

    dt: float | None = None
    steps: int | None = None
    reset: str | None = None
    decay: str | None = None
    spikes: str | None = None
    input_gain: str | None = None
    if_unit: str | None = None
    recurrent_cut: str | None = None
    delay_rounding: str | None = None
    v_min: str | None = None
    readout_node: str | None = None
    readout_kind: str | None = None
    encoder: str | None = None
    encoder_low: float | None = None
    encoder_high: float | None = None
    encoder_bits: int | None = None
    source_tool: str | None = None

    def __post_init__(self) -> None:
        """Check every word and number that is given."""
        for name, choices in CHOICES.items():
            value = getattr(self, name)
            if value is not None and value not in choices:
                raise ContractError(
                    f"contract: {option_name(name)} is {value!r}; choose from {', '.join(choices)}"
                )
        if self.dt is not None and not (math.isfinite(self.dt) and self.dt > 0):
            raise ContractError(f"contract: dt is {self.dt} s; it must be positive and finite")
        if self.steps is not None and self.steps < 1:
            raise ContractError(f"contract: steps is {self.steps}; a sample has at least 1 step")

    def as_metadata(self) -> dict[str, Any]:
        """Return the metadata dictionary that ``nir`` can write (fields not said are left out)."""
        document: dict[str, Any] = {"schema": CONTRACT_SCHEMA}
        for field in fields(self):
            value = getattr(self, field.name)
            if value is None:
                continue
            if field.name in _NESTED:
                group, key = _NESTED[field.name]
                document.setdefault(group, {})[key] = value
            else:
                document[field.name.replace("_", "-")] = value
        return document


#: The meaning of NIR's equations where nothing else is said.
PLAIN_NIR_EULER = Contract(
    reset="value",
    decay="euler",
    spikes="single",
    input_gain="r",
    if_unit="second",
    recurrent_cut="spikes",
    delay_rounding="error",
    v_min="none",
)


def option_name(field: str) -> str:
    """Return the command line option that sets ``field``."""
    return "--" + field.replace("_", "-")


def contract_from_metadata(metadata: Mapping[str, Any], where: str) -> Contract:
    """Read the contract from a graph's metadata (the dictionary under ``neurodeploy``).

    Raises
    ------
    ContractError
        For an unknown schema or key, or a value of the wrong type.
    """
    if not metadata:
        return Contract()
    schema = _plain(metadata.get("schema"))
    if schema != CONTRACT_SCHEMA:
        raise ContractError(
            f"{where}: metadata neurodeploy/schema is {schema!r}; "
            f"this version reads schema {CONTRACT_SCHEMA}"
        )
    known = {
        ("/".join(_NESTED[f.name]) if f.name in _NESTED else f.name.replace("_", "-")): f
        for f in fields(Contract)
    }
    values: dict[str, Any] = {}
    for key, value in _flatten(metadata).items():
        if key == "schema":
            continue
        if key not in known:
            raise ContractError(
                f"{where}: metadata neurodeploy/{key} is unknown; known: {', '.join(sorted(known))}"
            )
        values[known[key].name] = _typed(where, key, known[key].type, _plain(value))
    return Contract(**values)


def complete(
    given: Contract, options: Contract, defaults: Contract, where: str
) -> tuple[Contract, list[Finding]]:
    """Merge what a file says with the user's options, then fill in the defaults.

    ``steps`` may be changed by an option; every other contradiction is an error.

    Raises
    ------
    ContractError
        For a contradiction, a missing ``dt`` or ``steps``, or a word this version cannot run.
    """
    merged: dict[str, Any] = {}
    findings: list[Finding] = []
    for field in fields(Contract):
        name = field.name
        said, asked = getattr(given, name), getattr(options, name)
        if said is not None and asked is not None and said != asked:
            if name != "steps":
                raise ContractError(
                    f"{where}: the file says {name} = {said!r}, {option_name(name)} says "
                    f"{asked!r}; "
                    "drop the option, or correct the file's metadata"
                )
            text = f"steps = {asked} replaces the file's {said}"
            findings.append(Finding("warning", where, text, "", {"file": said, "option": asked}))
        value = asked if asked is not None else said
        if value is None:
            value = getattr(defaults, name)
            if value is not None:
                findings.append(_assumed(where, name, value))
        merged[name] = value
    contract = Contract(**merged)
    _require(contract, where)
    return contract, findings


def _assumed(where: str, name: str, value: Any) -> Finding:
    # Words of plain NIR-Euler are the meaning of NIR's own equations; the rest is a guess.
    severity = "info" if name in CHOICES and name not in ("readout_kind", "encoder") else "warning"
    text = f"{name} is not in the file; {value!r} is assumed"
    remedy = f"say it with {option_name(name)}"
    return Finding(severity, where, text, remedy, {name: value})  # type: ignore[arg-type]


def _require(contract: Contract, where: str) -> None:
    for name, unit in (("dt", "seconds"), ("steps", "steps per sample")):
        if getattr(contract, name) is None:
            raise ContractError(
                f"{where}: {name} ({unit}) is not in the file, and a guess would change the "
                f"network; give {option_name(name)}"
            )
    for name, words in SUPPORTED.items():
        value = getattr(contract, name)
        if value not in words:
            raise ContractError(
                f"{where}: {option_name(name)} {value} is not supported yet; "
                f"supported: {', '.join(words)}"
            )


def _flatten(metadata: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in metadata.items():
        if isinstance(value, Mapping):
            flat.update({f"{key}/{inner}": v for inner, v in value.items()})
        else:
            flat[key] = value
    return flat


def _plain(value: Any) -> Any:
    """Turn numpy scalars and bytes into Python values."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value.item() if hasattr(value, "item") and getattr(value, "ndim", 0) == 0 else value


def _typed(where: str, key: str, annotation: Any, value: Any) -> Any:
    wanted = str(annotation).split(" |")[0]
    if wanted == "float" and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if wanted == "int" and isinstance(value, int) and not isinstance(value, bool):
        return value
    if wanted == "str" and isinstance(value, str):
        return value
    raise ContractError(
        f"{where}: metadata neurodeploy/{key} is {value!r} ({type(value).__name__}), needs {wanted}"
    )
