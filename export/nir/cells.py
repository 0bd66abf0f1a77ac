"""Spiking and leaky cells: which types are known, and their parameters in NIR's terms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from neurodeploy.errors import ContractError, RangeError, ShapeError, UnsupportedNodeError
from neurodeploy.export.nir import norse as norse
from neurodeploy.export.nir.linear import array
from neurodeploy.neurons import DLIFCell, LIFCell

FloatArray: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class CellType:
    """How a type of cell is called and what it holds.

    ``rule``: lif, if, li. ``current``: it has a synaptic current. ``lead``: 1 where a call is one
    step [B, ...], 2 where it is all steps [T, B, ...]. ``weights``: it multiplies its input by a
    matrix of its own; ``recurrent``: its last spikes too. ``uses_dt``: its step depends on dt.
    ``encodes``: it takes an image [B, ...], holds it for all its steps and keeps no state.
    """

    rule: str
    current: bool = False
    lead: int = 1
    weights: bool = False
    recurrent: bool = False
    uses_dt: bool = True
    encodes: bool = False

    @property
    def spikes(self) -> bool:
        """Whether its output are spikes."""
        return self.rule != "li"


CELL_TYPES: Mapping[type[torch.nn.Module], CellType] = {
    LIFCell: CellType("lif"),
    DLIFCell: CellType("lif"),
    norse.LIFBoxCell: CellType("lif"),
    norse.NorseLIFCell: CellType("lif", current=True),
    norse.LIF: CellType("lif", current=True, lead=2),
    norse.LIFRecurrentCell: CellType("lif", current=True, weights=True, recurrent=True),
    norse.LIFRecurrent: CellType("lif", current=True, weights=True, recurrent=True, lead=2),
    norse.LIBoxCell: CellType("li"),
    norse.LICell: CellType("li", current=True),
    norse.LI: CellType("li", current=True, lead=2),
    norse.LILinearCell: CellType("li", current=True, weights=True),
    norse.IAFCell: CellType("if", uses_dt=False),
    norse.IAF: CellType("if", lead=2, uses_dt=False),
    norse.ConstantCurrentLIFEncoder: CellType("lif", lead=2, encodes=True),
}
#: Norse modules that only arrange others, or are written with torch functions.
_TRANSPARENT = ("SequentialState", "RecurrentSequential", "Lift", "LConv2d")


def refuse_unknown(path: str, module: torch.nn.Module) -> str | None:
    """Return why a module cannot be exported whatever its forward does, or None."""
    kind = type(module)
    if kind in CELL_TYPES:
        return None
    name = f"{kind.__module__}.{kind.__qualname__}"
    listed = ", ".join(dict.fromkeys(t.__name__ for t in CELL_TYPES))
    for known in CELL_TYPES:
        # A subclass may compute something else.
        if isinstance(module, known):
            return f"{path}: {name} is a subclass of {known.__name__}; supported cells: {listed}"
    if kind.__module__ == "norse.torch.module.encode":
        return (
            f"{path}: {name} cannot be exported to NIR, which has no such node; leave it out and "
            "give what it makes: spikes = encoder(images), to_nir(rest_of_the_model, spikes, ...)"
        )
    from_norse = kind.__module__.startswith("norse.torch.module")
    if from_norse and kind.__name__ not in _TRANSPARENT:
        return f"{path}: {name} cannot be exported to NIR; supported cells: {listed}"
    return None


@dataclass(frozen=True, slots=True, eq=False)
class Neuron:
    """A cell's parameters with the membrane starting at zero: float64 arrays of one shape.

    ``kind`` is NIR's node type. ``origin`` was subtracted from the membrane. ``subtracts``: the
    reset takes the threshold off. ``gain`` [T] multiplies the input (DLIF), or None.
    """

    path: str
    kind: str
    shape: tuple[int, ...]
    parameters: Mapping[str, FloatArray]
    origin: FloatArray
    subtracts: bool = False
    gain: FloatArray | None = None


def read_neuron(
    path: str, module: Any, shape: tuple[int, ...], start: FloatArray | None, dt: float
) -> Neuron:
    """Read a cell whose membrane starts at ``start`` (None: where its own rule says).

    Raises
    ------
    UnsupportedNodeError, RangeError, ShapeError
        Each names the module's path and the parameter.
    """
    if isinstance(module, LIFCell):
        return _own_neuron(path, module, shape, start, dt)
    kind = CELL_TYPES[type(module)]
    p = module.p
    found = read_parameters(path, module, shape)
    for name in ("tau_mem_inv", "tau_syn_inv"):
        if name in found and (found[name] <= 0).any():
            raise RangeError(f"{path}: {name} is {found[name].min():g}/s; it must be positive")
    rest = found["v_reset"] if kind.rule == "if" else found["v_leak"]
    origin = rest if start is None else start
    parameters: dict[str, FloatArray] = {"r": np.ones(shape)}
    if kind.rule != "if":
        parameters["tau_mem" if kind.current else "tau"] = _time_constant(found["tau_mem_inv"], dt)
        parameters["v_leak"] = found["v_leak"] - origin
    if kind.current:
        parameters["tau_syn"] = _time_constant(found["tau_syn_inv"], dt)
        # Norse adds the input to the current without dt.
        parameters["w_in"] = parameters["tau_syn"] / dt
    subtracts = False
    if kind.rule != "li":
        subtracts = _subtracts(path, p, origin)
        parameters["v_threshold"] = found["v_th"] - origin
        parameters["v_reset"] = np.zeros(shape) if subtracts else found["v_reset"] - origin
    name = kind.rule.upper()
    return Neuron(
        path, f"Cuba{name}" if kind.current else name, shape, parameters, origin, subtracts
    )


def read_parameters(path: str, module: Any, shape: tuple[int, ...]) -> dict[str, FloatArray]:
    """Return the cell's numbers, each broadcast to ``shape``."""
    if isinstance(module, LIFCell):
        names: Sequence[str] = ("retention", "v_threshold", "v_reset")
        held: Any = module
    else:
        held = module.p
        known = ("tau_mem_inv", "tau_syn_inv", "v_leak", "v_th", "v_reset")
        names = [name for name in known if hasattr(held, name)]
    return {name: _per_neuron(path, name, getattr(held, name), shape) for name in names}


def _own_neuron(
    path: str, module: LIFCell, shape: tuple[int, ...], start: FloatArray | None, dt: float
) -> Neuron:
    found = read_parameters(path, module, shape)
    tau = dt / (1 - found["retention"])
    origin = np.zeros(shape) if start is None else start
    # r = tau / dt makes the factor on the input, r * dt / tau, one.
    parameters = {
        "tau": tau,
        "r": tau / dt,
        "v_leak": -origin,
        "v_threshold": found["v_threshold"] - origin,
        "v_reset": found["v_reset"] - origin,
    }
    gain = _gain(path, module) if isinstance(module, DLIFCell) else None
    return Neuron(path, "LIF", shape, parameters, origin, gain=gain)


def step_length(
    modules: Sequence[tuple[str, Any]], dt: float | None, fallback: float | None = None
) -> float:
    """Return the step length in seconds that the cells and ``dt`` agree on.

    ``fallback`` is taken where neither says it.

    Raises
    ------
    ContractError
        If nothing says it, or two say different things.
    """
    held = [(path, module) for path, module in modules if hasattr(module, "dt")]
    said = {p: float(m.dt) for p, m in held if CELL_TYPES[type(m)].uses_dt}
    if dt is not None:
        said["dt="] = dt
    if not said:
        # Cells that do not use their dt speak only where nobody else does.
        said = {p: float(m.dt) for p, m in held}
    if not said and fallback is not None:
        said = {"the file": fallback}
    if not said:
        raise ContractError(
            "dt: the model's cells do not say how long a step is; give dt in seconds (--dt)"
        )
    if len(set(said.values())) > 1:
        listed = ", ".join(f"{path} {value:g} s" for path, value in said.items())
        raise ContractError(f"dt: the step length is contradictory: {listed}; give the one used")
    value = next(iter(said.values()))
    if not 0 < value < float("inf"):
        raise ContractError(f"dt: {value} s; a step length is positive and finite")
    return value


def _subtracts(path: str, p: Any, origin: FloatArray) -> bool:
    method = getattr(p, "reset_method", norse.reset_value)
    if method is norse.reset_value:
        return False
    if method is not norse.reset_subtract:
        name = getattr(method, "__name__", str(method))
        raise UnsupportedNodeError(
            f"{path}: reset method {name} cannot be exported; supported: reset_value "
            "(to v_reset), reset_subtract"
        )
    if origin.any():
        raise UnsupportedNodeError(
            f"{path}: reset_subtract with a membrane that starts at {origin.ravel()[0]:g}: NIR "
            "starts at zero, and a shifted membrane would subtract another threshold; use v_leak 0"
        )
    return True


def _time_constant(inverse: FloatArray, dt: float) -> FloatArray:
    """Return tau whose ``dt / tau`` is Norse's ``dt * inverse``, to the last bit if possible."""
    wanted, best = dt * inverse, 1 / inverse
    for candidate in (np.nextafter(best, 0), np.nextafter(best, np.inf), dt / wanted):
        best = np.where((dt / best != wanted) & (dt / candidate == wanted), candidate, best)
    return np.asarray(best)


def _gain(path: str, module: DLIFCell) -> FloatArray:
    gain = array(module.gain)
    _require_finite(path, "gain", gain)
    if (gain <= 0).any():
        raise RangeError(
            f"{path}: the gain is {gain.min():g} at step {int(gain.argmin())}; gains must be "
            "positive (train with DLIFCell.project_ after every optimiser step)"
        )
    return gain


def _per_neuron(path: str, name: str, value: Any, shape: tuple[int, ...]) -> FloatArray:
    held = array(value)
    _require_finite(path, name, held)
    batchless = held[0] if held.ndim == len(shape) + 1 and held.shape[0] == 1 else held
    try:
        return np.array(np.broadcast_to(batchless, shape))
    except ValueError:
        raise ShapeError(
            f"{path}: {name} has shape {held.shape}; needs one number, or one per neuron or "
            f"channel of {shape}"
        ) from None


def _require_finite(path: str, name: str, values: FloatArray) -> None:
    bad = int((~np.isfinite(values)).sum())
    if bad:
        raise RangeError(f"{path}: {name}: {bad} of {values.size} values are NaN or infinite")
