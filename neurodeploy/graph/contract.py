"""The execution contract: everything a NIR file does not say about how to run it.

It travels in the graph's metadata under ``neurodeploy`` with the key names of ``as_metadata``.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from neurodeploy.errors import ContractError

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
    "readout_kind": ("count", "sum", "mean_v", "last_v", "max_v"),
    "encoder": ("constant", "rate", "latency", "events"),
    "encoder_form": ("graded", "bias"),
}
_NESTED = {
    "readout_node": ("readout", "node"),
    "readout_kind": ("readout", "kind"),
    "readout_window": ("readout", "window"),
    "encoder": ("encoder", "kind"),
    "encoder_low": ("encoder", "low"),
    "encoder_high": ("encoder", "high"),
    "encoder_bits": ("encoder", "bits"),
    "encoder_seed": ("encoder", "seed"),
    "encoder_form": ("encoder", "form"),
}
_GROUPS = frozenset(group for group, _ in _NESTED.values())
_FLOATS = ("dt", "encoder_low", "encoder_high")
_INTEGERS = ("steps", "encoder_bits", "encoder_seed")
#: Fields that only one encoder has.
ENCODERS_OWN: Mapping[str, str] = {"encoder_seed": "rate", "encoder_form": "constant"}
#: Python's whole numbers have no end, float64 has.
_LARGEST = sys.float_info.max


def _check_encoder(low: float | None, high: float | None, bits: int | None) -> None:
    if bits is not None and not 1 <= bits <= 16:
        raise ContractError(f"contract: --encoder-bits is {bits}; an input code has 1 to 16 bits")
    if low is not None and high is not None and low >= high:
        raise ContractError(
            f"contract: --encoder-low {low:g} is not below --encoder-high {high:g}; give a range"
        )


def _check_encoders_own(contract: Contract) -> None:
    seed = contract.encoder_seed
    if seed is not None and not 0 <= seed < 2**63:
        raise ContractError(f"contract: --encoder-seed is {seed}; needs 0 .. 2**63 - 1")
    for name, owner in ENCODERS_OWN.items():
        if getattr(contract, name) is not None and contract.encoder not in (None, owner):
            raise ContractError(
                f"contract: {option_name(name)} belongs to --encoder {owner}, not to "
                f"{contract.encoder}; drop it"
            )


def check_events(contract: Contract) -> None:
    """Raise ContractError if a complete contract lets events begin elsewhere than at 0.

    Not part of what every ``Contract`` is, as options may replace what an older file says.
    """
    if contract.encoder == "events" and contract.encoder_low not in (None, 0.0):
        raise ContractError(
            f"contract: --encoder-low is {contract.encoder_low:g}; a step without an event sends "
            "nothing, so the range of events begins at 0: say --encoder-low 0, or --encoder "
            "constant (which older versions ran instead)"
        )


def _check_v_min(value: float | str | None) -> None:
    if value is None or value == "none":
        return
    if isinstance(value, str) or not math.isfinite(value):
        raise ContractError(f"contract: --v-min is {value!r}; give a number or none")


def _check_window(window: tuple[int, int] | None, steps: int | None) -> None:
    if window is None:
        return
    start, stop = window
    if not 0 <= start < stop:
        raise ContractError(
            f"contract: --readout-window is {start}:{stop}; needs 0 <= start < stop (steps)"
        )
    if steps is not None and stop > steps:
        raise ContractError(
            f"contract: --readout-window ends at step {stop}, a sample has {steps} steps"
        )


@dataclass(frozen=True, slots=True)
class Contract:
    """How to run a graph; ``None`` means that nothing said it yet.

    Parameters
    ----------
    dt : float
        Length of one step in seconds.
    steps : int
        Steps per sample (T).
    reset, decay, spikes, input_gain, if_unit, recurrent_cut, delay_rounding : str
        See ``CHOICES``; the defaults together are plain NIR-Euler.
    v_min : float or "none"
        Lowest membrane value, applied at the end of a step.
    readout_node, readout_kind : str
        Where and how the decision is read. ``count``: spikes of that node; ``sum``: its output
        summed over the steps; ``mean_v``, ``last_v``, ``max_v``: its membrane, or the output of a
        node that has none.
    readout_window : (int, int)
        Steps ``[start, stop)`` that the read-out looks at; None means all.
    encoder : str
        ``constant``: each step receives the same image. ``rate``: random spikes, ``latency``: one
        spike, earlier for larger values. ``events``: what each step receives is given.
    encoder_low, encoder_high : float
        Input range: of images, or of an event's payload.
    encoder_bits : int
        Width of an input code.
    encoder_seed : int
        Of the draw, for ``rate``.
    encoder_form : str
        For ``constant``: a chip gets images as ``graded`` messages, or as ``bias`` of the first
        layer.
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
    v_min: float | str | None = None
    readout_node: str | None = None
    readout_kind: str | None = None
    readout_window: tuple[int, int] | None = None
    encoder: str | None = None
    encoder_low: float | None = None
    encoder_high: float | None = None
    encoder_bits: int | None = None
    encoder_seed: int | None = None
    encoder_form: str | None = None
    source_tool: str | None = None

    def __post_init__(self) -> None:
        """Check every word and number that is given; numpy's numbers become Python's."""
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None:
                named = f"contract: {option_name(field.name)}"
                object.__setattr__(self, field.name, _typed(named, field.name, _plain(value)))
        for name, choices in CHOICES.items():
            value = getattr(self, name)
            if value is not None and value not in choices:
                raise ContractError(
                    f"contract: {option_name(name)} is {value!r}; choose from {', '.join(choices)}"
                )
        for name in _FLOATS:
            value = getattr(self, name)
            if value is not None and not math.isfinite(value):
                raise ContractError(f"contract: {option_name(name)} is {value}; must be finite")
        if self.dt is not None and self.dt <= 0:
            raise ContractError(f"contract: dt is {self.dt} s; it must be positive and finite")
        if self.steps is not None and self.steps < 1:
            raise ContractError(f"contract: steps is {self.steps}; a sample has at least 1 step")
        _check_encoder(self.encoder_low, self.encoder_high, self.encoder_bits)
        _check_encoders_own(self)
        _check_v_min(self.v_min)
        _check_window(self.readout_window, self.steps)

    def as_metadata(self) -> dict[str, Any]:
        """Return the metadata dictionary that ``nir`` can write (fields not said are left out)."""
        document: dict[str, Any] = {"schema": CONTRACT_SCHEMA}
        for field in fields(self):
            value = getattr(self, field.name)
            if value is None:
                continue
            if field.name in _NESTED:
                group, key = _NESTED[field.name]
                stored = list(value) if isinstance(value, tuple) else value
                document.setdefault(group, {})[key] = stored
            else:
                document[field.name.replace("_", "-")] = value
        return document


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
        name = known[key].name
        values[name] = _typed(f"{where}: metadata neurodeploy/{key}", name, _plain(value))
    return Contract(**values)


def _flatten(metadata: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in metadata.items():
        if isinstance(value, Mapping) and (value or key in _GROUPS):
            flat.update({f"{key}/{inner}": v for inner, v in value.items()})
        else:
            flat[key] = value
    return flat


def _plain(value: Any) -> Any:
    """Turn numpy values and bytes into Python values."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value.tolist() if hasattr(value, "tolist") else value


def _typed(named: str, field: str, value: Any) -> Any:
    """Return ``value`` as the type that the contract's ``field`` has.

    Raises
    ------
    ContractError
        Beginning with ``named``.
    """
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if field == "v_min" and value == "none":
        return value
    if field in (*_FLOATS, "v_min"):
        wanted = "a number or none" if field == "v_min" else "a number"
        if is_number and abs(value) <= _LARGEST:
            return float(value)
        if isinstance(value, float):  # NaN and infinity have messages of their own
            return value
    elif field in _INTEGERS:
        wanted = "a whole number"
        if is_number and math.isfinite(value) and int(value) == value:
            return int(value)
    elif field == "readout_window":
        wanted = "[start, stop]"
        if isinstance(value, (list, tuple)) and len(value) == 2:
            start, stop = (_typed(named, "steps", part) for part in value)
            return (start, stop)
    else:
        wanted = "a word"
        if isinstance(value, str):
            return value
    raise ContractError(f"{named} is {value!r} ({type(value).__name__}), needs {wanted}")


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
