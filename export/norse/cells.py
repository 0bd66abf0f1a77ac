"""NIR neurons as Norse cells: the same step, written with the terms that Norse's cells have.

Norse's LIF box does ``v += b * (v_leak - v + x)`` with ``b = dt * tau_mem_inv``; LIFCell and LICell
first do ``i += x`` and end with ``i -= dt * tau_syn_inv * i``. So ``b`` takes the contract's share
lost per step, Euler or exponential, and a constant factor on the input takes r and w_in. Source:
norse 1.1.0, ``norse.torch.functional``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from neurodeploy.errors import UnsupportedNodeError
from neurodeploy.export.norse.modules import (
    FloatArray,
    IAFCell,
    Integrator,
    LIBoxCell,
    LICell,
    LIFCell,
    NeuronParameters,
    Scale,
    SNNCell,
    StepGain,
    iaf_subtract_step,
    reset_subtract,
    reset_subtract_fixed,
    start_missing,
)
from neurodeploy.graph import Graph
from neurodeploy.lowering.populations import population_of
from neurodeploy.network import Population
from neurodeploy.neurons import DLIFCell
from neurodeploy.neurons.cells import SURROGATES
from neurodeploy.neurons.norse_parts import LIFBoxCell, reset_value

#: Relative distance from 1 at which a factor on the input is no factor.
_ONE = 1e-12


@dataclass(frozen=True, slots=True)
class Surrogate:
    """Norse's surrogate gradient: its name and ``alpha``, as Norse defines them."""

    method: str = "super"
    alpha: float = 100.0


def neuron_stages(graph: Graph, name: str, surrogate: Surrogate) -> list[torch.nn.Module]:
    """Return the modules, in a row, that do what neuron node ``name`` does.

    Raises
    ------
    UnsupportedNodeError
        If Norse has no such neuron; the message says what it lacks.
    """
    population = population_of(graph, name, ())
    _refuse_foreign_words(population)
    builder = _Neuron(graph, population, surrogate)
    if population.decay_u is None or population.w_in is None:
        return builder.membrane()
    return builder.current_based(population.decay_u, population.w_in)


def _refuse_foreign_words(p: Population) -> None:
    lacking = []
    if p.spikes == "multiple":
        lacking.append("several spikes per step (--spikes multiple)")
    if p.reset == "subtract-once":
        lacking.append("a reset that is skipped above threshold (--reset subtract-once)")
    if p.v_min is not None:
        lacking.append(f"a lower limit of the membrane (--v-min {p.v_min:g})")
    if p.reset == "subtract-late" and (p.decay_v == 1).any():
        count = int((p.decay_v == 1).sum())
        lacking.append(
            "a late reset of a membrane that forgets everything in one step "
            f"(--reset subtract-late, dt equals tau in {count} of {p.size} neurons)"
        )
    if lacking:
        raise UnsupportedNodeError(f"Norse lacks {' and '.join(lacking)}")


class _Neuron:
    """Builds one neuron; arrays have the node's shape."""

    def __init__(self, graph: Graph, population: Population, surrogate: Surrogate) -> None:
        self.population = p = population
        self.dt_s = 1.0 if graph.contract.dt is None else graph.contract.dt
        self.surrogate = surrogate
        self.fires = p.kind == "lif"
        self.share = self._shaped(p.decay_v)
        self.leak = self._shaped(p.v_leak)
        self.threshold = self._shaped(p.v_threshold)
        self.reset = self._shaped(p.v_reset)
        node: Any = graph.nodes[p.name]
        if not p.decay_v.any():
            self.factor = self._shaped(p.input_gain)
        elif (p.decay_v <= 0).any():
            raise UnsupportedNodeError(
                f"Norse lacks neurons that leak and neurons that do not in one cell "
                f"({int((p.decay_v <= 0).sum())} of {p.size} lose nothing per step)"
            )
        elif graph.contract.input_gain == "one":
            self.factor = self._shaped(p.input_gain / p.decay_v)
        else:
            # Not input_gain / decay_v, which would round twice.
            self.factor = np.broadcast_to(np.asarray(node.r, dtype=np.float64), p.shape)

    def membrane(self) -> list[torch.nn.Module]:
        """Return a neuron without a current of its own."""
        p = self.population
        if p.gain is not None and self._is_dlif():
            return [self._dlif(p.gain)]
        leaky = bool(p.decay_v.any())
        if leaky:
            cell = self._lif_box() if self.fires else self._li_box(self.share, self.leak)
        else:
            cell = self._iaf() if self.fires else Integrator()
        return [*self._gain(), *_scaled(self.factor), cell]

    def current_based(self, decay_u: FloatArray, w_in: FloatArray) -> list[torch.nn.Module]:
        """Return a neuron whose input is filtered first."""
        p = self.population
        share_u, w_in = self._shaped(decay_u), self._shaped(w_in)
        if self.fires and p.reset != "value":
            # LIFCell knows no other reset; the same two equations as two cells do.
            current = self._li_box(share_u, np.zeros(p.shape))
            row = [*_scaled(w_in), current, *_scaled(self.factor), self._lif_box()]
            return [*self._gain(), *row]
        values = {
            "tau_syn_inv": self._inverse_s(share_u),
            "tau_mem_inv": self._inverse_s(self.share),
            "v_leak": self.leak,
        }
        # Norse adds its input to the current undamped, and has no r on the way to the membrane.
        scale = _scaled(self.factor * w_in * share_u)
        if not self.fires:
            return [*scale, LICell(self._parameters(**values), dt=self.dt_s)]
        values |= {"v_th": self.threshold, "v_reset": self.reset}
        cell = LIFCell(self._parameters(**values), dt=self.dt_s)
        # The cell has copied the values into a tuple, which would not follow .to(...).
        cell.p = self._parameters(**values)
        return [*self._gain(), *scale, cell]

    def _lif_box(self) -> torch.nn.Module:
        method, reset = reset_value, self.reset
        if self.population.reset == "subtract":
            method = reset_subtract
        elif self.population.reset == "subtract-late":
            # A threshold less at the next step, after the decay, is this much less before it.
            method, reset = reset_subtract_fixed, self.threshold / (1 - self.share)
        parameters = self._parameters(
            method,
            tau_mem_inv=self._inverse_s(self.share),
            v_leak=self.leak,
            v_th=self.threshold,
            v_reset=reset,
        )
        cell: torch.nn.Module = LIFBoxCell(parameters, dt=self.dt_s)
        return cell

    def _li_box(self, share: FloatArray, leak: FloatArray) -> torch.nn.Module:
        values = {"tau_mem_inv": self._inverse_s(share), "v_leak": leak}
        cell: torch.nn.Module = LIBoxCell(self._parameters(**values), dt=self.dt_s)
        return cell

    def _iaf(self) -> torch.nn.Module:
        parameters = self._parameters(v_th=self.threshold, v_reset=self.reset)
        if self.population.reset == "value":
            cell: torch.nn.Module = IAFCell(parameters, dt=self.dt_s)
            return cell
        # Without a leak it is the same whether a threshold is taken now or at the next step.
        subtracting: torch.nn.Module = SNNCell(
            iaf_subtract_step, start_missing, parameters, dt=self.dt_s
        )
        return subtracting

    def _is_dlif(self) -> bool:
        """Whether our own DLIFCell says the same: x enters with factor p[t], and no leak value."""
        p = self.population
        scalar = all(np.unique(a).size == 1 for a in (p.decay_v, p.v_threshold, p.v_reset))
        return (
            p.reset == "value"
            and bool((np.abs(p.input_gain - 1) <= _ONE).all())
            and bool(((p.decay_v > 0) & (p.decay_v <= 1)).all())
            and not p.v_leak.any()
            and bool((p.v_reset <= p.v_threshold).all())
            and (scalar or len(p.shape) == 1)
            and self.surrogate.method in SURROGATES
        )

    def _dlif(self, gain: FloatArray) -> torch.nn.Module:
        p = self.population
        arrays = (1 - p.decay_v, p.v_threshold, p.v_reset)
        if len(p.shape) != 1:
            arrays = tuple(array[0] for array in arrays)
        cell = DLIFCell(
            gain.size, *arrays, surrogate=self.surrogate.method, alpha=self.surrogate.alpha
        )
        cell.gain = torch.nn.Parameter(torch.tensor(gain, dtype=torch.float64))
        return cell

    def _gain(self) -> list[torch.nn.Module]:
        gain = self.population.gain
        return [] if gain is None else [StepGain(gain)]

    def _parameters(self, reset_method: Any = None, **values: FloatArray) -> NeuronParameters:
        return NeuronParameters(self.surrogate.method, self.surrogate.alpha, reset_method, **values)

    def _shaped(self, values: FloatArray) -> FloatArray:
        return np.asarray(values, dtype=np.float64).reshape(self.population.shape)

    def _inverse_s(self, share: FloatArray) -> FloatArray:
        """Return 1/tau in 1/s, such that ``dt * (1/tau)`` is ``share`` to the last bit."""
        inverse = share / self.dt_s
        for candidate in (np.nextafter(inverse, np.inf), np.nextafter(inverse, 0)):
            better = (self.dt_s * inverse != share) & (self.dt_s * candidate == share)
            inverse = np.where(better, candidate, inverse)
        return inverse


def _scaled(factor: FloatArray) -> list[torch.nn.Module]:
    return [] if (factor == 1).all() else [Scale(factor, constant=True)]
