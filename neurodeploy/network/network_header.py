"""What the header of a NET.h5 may hold: every field, its type and its range.

Ranges are those of the arithmetic, wider than a chip's registers (``neurodeploy.network.legality``
checks these).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, get_args

from neurodeploy.network.encoding import ReadoutKind
from neurodeploy.network.fixed import FixedKind, FixedReset, SignMode
from neurodeploy.network.fixed_population import GainForm

Check = Callable[[Any], bool]


def _whole(low: int, high: int) -> Check:
    return lambda v: isinstance(v, int) and not isinstance(v, bool) and low <= v <= high


def _number(v: Any) -> bool:
    return isinstance(v, (int, float)) and not isinstance(v, bool) and math.isfinite(v)


def _text(v: Any) -> bool:
    return isinstance(v, str)


def _texts(v: Any) -> bool:
    return isinstance(v, list) and all(isinstance(entry, str) for entry in v)


def _one_of(words: tuple[str, ...]) -> Check:
    return lambda v: isinstance(v, str) and v in words


def _wholes(low: int, high: int, count: int | None = None) -> Check:
    each = _whole(low, high)
    return lambda v: (
        isinstance(v, list)
        and (len(v) == count if count is not None else len(v) > 0)
        and all(each(entry) for entry in v)
    )


def _layout(v: Any) -> bool:
    if v is None:
        return True
    fields = _LAYOUTS.get(str(v.get("kind"))) if isinstance(v, dict) else None
    return fields is not None and set(v) == set(fields) and all(fields[n](v[n]) for n in fields)


_SIZE = 2**31 - 1
_POPULATION: Mapping[str, Check] = {
    "name": _text,
    "nir_nodes": _texts,
    "kind": _one_of(get_args(FixedKind)),
    "bias_exp": _whole(-31, 31),
    "latency": _whole(0, 2**20),
    "scale": lambda v: v is None or (_number(v) and v > 0),
    "gain_shift": _whole(0, 31),
    "reset": _one_of(get_args(FixedReset)),
    "refractory_steps": _whole(0, 2**20),
    "reset_interval": _whole(0, _SIZE),
    "reset_offset": _whole(0, _SIZE),
    "shape": _wholes(1, _SIZE),
}
#: What only some populations have.
_RARE: Mapping[str, Check] = {"gain_form": _one_of(get_args(GainForm))}
_LAYOUTS: Mapping[str, Mapping[str, Check]] = {
    "sparse": {"kind": _text, "n_source": _whole(1, _SIZE)},
    "conv": {
        "kind": _text,
        "groups": _whole(1, _SIZE),
        "stride": _wholes(1, _SIZE, 2),
        "padding": _wholes(0, _SIZE, 2),
        "dilation": _wholes(1, _SIZE, 2),
        "input_shape": _wholes(1, _SIZE, 3),
        "output_shape": _wholes(1, _SIZE, 3),
    },
}
_SYNAPSE: Mapping[str, Check] = {
    "name": _text,
    "source": _text,
    "target": _text,
    "weight_exp": _whole(-31, 31),
    "sign_mode": _one_of(get_args(SignMode)),
    "weight_bits": _whole(0, 31),
    "message_bits": _whole(0, 31),
    "delay": lambda v: v is None or _whole(0, 2**20)(v),
    "layout": _layout,
}
_GRID: Mapping[str, Check] = {
    "kind": _one_of(("constant", "rate", "latency", "events")),
    "low": _number,
    "high": _number,
    "bits": _whole(1, 16),
}
#: What one kind of encoder has beyond its grid; the form is left out where it is graded.
_ENCODERS_OWN: Mapping[str, Mapping[str, Check]] = {"rate": {"seed": _whole(0, 2**63 - 1)}}
_BIAS_FORM: Mapping[str, Check] = {"form": _one_of(("bias",))}
_READOUT: Mapping[str, Check] = {"population": _text, "kind": _one_of(get_args(ReadoutKind))}
_WINDOWED: Mapping[str, Check] = {**_READOUT, "window": _wholes(0, _SIZE, 2)}
_HEADER: Mapping[str, Check] = {
    "n_input": _whole(1, 2**31 - 1),
    "input_shape": _wholes(1, _SIZE),
    "steps": _whole(1, 2**31 - 1),
    "contract": lambda v: isinstance(v, dict),
    "calibration": _texts,
    "encoder": lambda v: isinstance(v, dict),
    "readout": lambda v: isinstance(v, dict),
    "populations": lambda v: isinstance(v, list) and len(v) > 0,
    "synapses": lambda v: isinstance(v, list),
}


def checked_header(document: Any) -> dict[str, Any]:
    """Return ``document`` if it is a header; ValueError names the field that is not.

    Raises
    ------
    ValueError
        For a missing or unknown field, a wrong type, or a number out of range.
    """
    header = _checked("header", document, _HEADER)
    _checked("encoder", header["encoder"], _encoder_fields(header["encoder"]))
    _checked("readout", header["readout"], _WINDOWED if "window" in header["readout"] else _READOUT)
    for index, entry in enumerate(header["populations"]):
        held = entry if isinstance(entry, dict) else {}
        rare = {name: check for name, check in _RARE.items() if name in held}
        _checked(f"populations[{index}]", entry, {**_POPULATION, **rare})
    for index, entry in enumerate(header["synapses"]):
        _checked(f"synapses[{index}]", entry, _SYNAPSE)
    return header


def _encoder_fields(entry: Mapping[str, Any]) -> Mapping[str, Check]:
    kind = entry.get("kind")
    own = _ENCODERS_OWN.get(kind, {}) if isinstance(kind, str) else {}
    return {**_GRID, **own, **(_BIAS_FORM if "form" in entry and kind == "constant" else {})}


def _checked(where: str, entry: Any, fields: Mapping[str, Check]) -> dict[str, Any]:
    if not isinstance(entry, dict) or set(entry) != set(fields):
        found = sorted(entry) if isinstance(entry, dict) else type(entry).__name__
        raise ValueError(f"{where}: has {found}, needs {sorted(fields)}")
    for name, check in fields.items():
        if not check(entry[name]):
            shown = repr(entry[name])
            raise ValueError(f"{where}: {name} is {shown[:60]}, which it cannot be")
    return entry
