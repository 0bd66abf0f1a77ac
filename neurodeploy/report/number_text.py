"""Numbers as a reader sees them: one way for percent, points, energies, times and counts.

A missing number is an en dash, never a zero. A share that is not exactly 0 or 1 is never rounded
to 0.0 % or 100.0 %: a reader must be able to tell "all" from "nearly all".
"""

from __future__ import annotations

import json
import math
from typing import Any

MISSING = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"
TIMES = "\N{MULTIPLICATION SIGN}"
#: Non-breaking space between a number and its unit.
GAP = "\u00a0"

_ENERGY_UNITS = ((1e9, "J"), (1e6, "mJ"), (1e3, "µJ"), (1.0, "nJ"), (1e-3, "pJ"))
_TIME_UNITS = ((1e6, "s"), (1e3, "ms"), (1.0, "µs"), (1e-3, "ns"))


def percent(fraction: float | None) -> str:
    """Return a fraction 0..1 as percent with one decimal."""
    if fraction is None:
        return MISSING
    shown = f"{100.0 * fraction:.1f}"
    if shown == "100.0" and fraction < 1.0:
        return f">{GAP}99.9{GAP}%"
    if shown == "0.0" and fraction > 0.0:
        return f"<{GAP}0.1{GAP}%"
    return f"{_minus(shown)}{GAP}%"


def points(fraction: float | None) -> str:
    """Return a difference of two fractions in percentage points, one decimal, without the unit."""
    return MISSING if fraction is None else _minus(f"{100.0 * fraction:.1f}")


def points_interval(interval: tuple[float, float] | None) -> str:
    """Return an interval of differences in points: ``−0.8 to 1.9``."""
    if interval is None:
        return MISSING
    return f"{points(interval[0])} to {points(interval[1])}"


def percent_interval(interval: tuple[float, float] | None) -> str:
    """Return an interval of fractions in percent: ``95.1 to 98.6 %``."""
    if interval is None:
        return MISSING
    low, high = (f"{100.0 * value:.1f}" for value in interval)
    return f"{_minus(low)} to {_minus(high)}{GAP}%"


def energy(nanojoules: float | None) -> str:
    """Return an energy with three significant digits and an SI unit from pJ to J."""
    return _si(nanojoules, _ENERGY_UNITS)


def energy_unit(nanojoules: float | None) -> str:
    """Return a power of ten of energy for an axis: ``10 µJ``."""
    return _tick(nanojoules, _ENERGY_UNITS)


def time_unit(microseconds: float | None) -> str:
    """Return a power of ten of time for an axis: ``100 ns``."""
    return _tick(microseconds, _TIME_UNITS)


def duration(microseconds: float | None) -> str:
    """Return a time with three significant digits and an SI unit from ns to s."""
    return _si(microseconds, _TIME_UNITS)


def count(value: float | None) -> str:
    """Return a count with thousands separated; means of counts keep one decimal."""
    if value is None:
        return MISSING
    whole = float(value).is_integer()
    return _minus(f"{value:,.0f}" if whole else f"{value:,.1f}")


def ratio(value: float | None) -> str:
    """Return a ratio with three significant digits: ``1.07×``."""
    if value is None or value <= 0 or not math.isfinite(value):
        return MISSING if value is None else f"{plain(value)}{TIMES}"
    size = float(f"{value:.2e}")
    decimals = max(0, 2 - math.floor(math.log10(size)))
    return f"{size:,.{min(decimals, 4)}f}{TIMES}"


def plain(value: float | None, digits: int = 4) -> str:
    """Return a number without unit in ``digits`` significant digits.

    ``e`` notation is used below 1e-4 and from 1e6 on only.
    """
    if value is None:
        return MISSING
    if value == 0:
        return "0"
    if not math.isfinite(value):
        return _minus("∞" if value > 0 else "-∞")
    if 1e-4 <= abs(value) < 1e6:
        decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
        shown = f"{value:,.{decimals}f}"
        return _minus(shown.rstrip("0").rstrip(".") if "." in shown else shown)
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    return _minus(f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}")


def anything(value: Any) -> str:
    """Return any JSON value as short text: for keys that this version does not know."""
    if value is None:
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return _minus(str(value))
    if isinstance(value, float):
        return plain(value)
    if isinstance(value, list) and all(not isinstance(item, (list, dict)) for item in value):
        return ", ".join(anything(item) for item in value) or MISSING
    if isinstance(value, dict) and all(not isinstance(v, (list, dict)) for v in value.values()):
        return ", ".join(f"{key} {anything(v)}" for key, v in value.items()) or MISSING
    if isinstance(value, (list, dict)):
        return json.dumps(value, sort_keys=True, ensure_ascii=False)
    return str(value)


def flat(key: str, value: Any) -> list[tuple[str, str]]:
    """Return nested settings as pairs of a dotted key and a text; empty objects are left out."""
    if isinstance(value, dict):
        return [pair for name, inner in value.items() for pair in flat(f"{key}.{name}", inner)]
    return [(key, anything(value))]


def _tick(value: float | None, units: tuple[tuple[float, str], ...]) -> str:
    if not value:
        return MISSING
    factor, unit = next(((f, u) for f, u in units if value >= f * (1 - 1e-9)), units[-1])
    return f"{plain(value / factor, 3)}{GAP}{unit}"


def _si(value: float | None, units: tuple[tuple[float, str], ...]) -> str:
    if value is None:
        return MISSING
    if value == 0:
        return f"0{GAP}{next(unit for factor, unit in units if factor == 1.0)}"
    # The size is taken after rounding, so that 999.9 nJ becomes 1.00 µJ and not "1000 nJ".
    size = float(f"{abs(value):.2e}")
    factor, unit = next(((f, u) for f, u in units if size >= f), units[-1])
    scaled = size / factor
    decimals = max(0, 2 - math.floor(math.log10(scaled)))
    shown = f"{scaled:,.{min(decimals, 4)}f}"
    return f"{MINUS if value < 0 else ''}{shown}{GAP}{unit}"


def _minus(text: str) -> str:
    """Replace the hyphen of a negative number by a minus sign; ``-0.0`` loses its sign."""
    if text.startswith("-") and not text.strip("-0.,"):
        return text[1:]
    return text.replace("-", MINUS, 1) if text.startswith("-") else text.replace("e-", f"e{MINUS}")
