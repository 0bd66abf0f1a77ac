"""Gradients of a fixed-point network by its weights and biases, through the exact integers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.grad import conv2d_weight

from neurodeploy.errors import InputError, ShapeError
from neurodeploy.network.connections import ALWAYS_ON, INPUT
from neurodeploy.network.fixed import ALIGN_BITS, FixedPointNetwork, FixedPopulation
from neurodeploy.network.fixed_synapse import ConvLayout, SparseLayout
from neurodeploy.simulate.fixed_components import NeuronRule, Slot, components
from neurodeploy.simulate.gradient_engine import CompiledGradient
from neurodeploy.simulate.gradient_readout import ReadoutGradient
from neurodeploy.simulate.spike_functions import Surrogate
from neurodeploy.simulate.surrogate import SurrogateShape, check_surrogate

Tensor = torch.Tensor
Floats = NDArray[np.float64]
#: Products of a sparse matrix that are held at a time.
_MOST_PRODUCTS = 2**22


@dataclass(frozen=True, slots=True, eq=False)
class ParameterGradients:
    """Gradients of a sum over samples, as if every integer were a real number.

    Parameters
    ----------
    codes : float64, of the codes' shape
    weights : mapping of synapse to float64, of its weights' shape
        By mantissas. Zero where nothing leads from a synapse to the read-out, and for weights that
        are zero and the only ones of their delay.
    biases : mapping of population to float64 [N]
        By bias mantissas (``bias`` before ``bias_exp``).
    """

    codes: Floats
    weights: Mapping[str, Floats]
    biases: Mapping[str, Floats]


class WeightGradient:
    """Logits of a fixed-point network, and their gradients by weights and biases.

    Forward exactly the integers, as ``FixedGradient``; backward as there, and for a weight what
    its source sent times the gradient by the synaptic input, shifted as the sum is. Thresholds,
    decays and gains are taken as they are.

    Parameters
    ----------
    net : FixedPointNetwork
    width : float
        Surrogate width, in thresholds.
    shape : str
        As for ``FixedGradient``.
    steps : int or None
        Steps of held codes; default ``net.steps``.

    Raises
    ------
    InputError
        For an unknown shape.
    RangeError
        For a decay, gain or shift that the rules do not define.
    """

    def __init__(
        self,
        net: FixedPointNetwork,
        *,
        width: float = 1.0,
        shape: SurrogateShape = "triangle",
        steps: int | None = None,
    ) -> None:
        check_surrogate(width, shape)
        self._net, self._surrogate = net, Surrogate(width, shape, False)
        self._steps = net.steps if steps is None else steps
        self._engine = CompiledGradient(net)
        self._slots = tuple(s for c in components(net) for s in (*c.inputs, *c.loops))

    @property
    def between(self) -> frozenset[str]:
        """Populations between the input and the read-out: those that a gradient passes."""
        return frozenset(self._engine.between)

    def run(self, codes: NDArray[Any], inputs: Sequence[str] = ()) -> GradientRun:
        """Return a forward pass over whole ``codes`` [B, n_input] (held) or [T, B, n_input].

        ``inputs``: populations whose synaptic inputs a loss looks at besides the scores.

        Raises
        ------
        ShapeError, RangeError
            For codes that do not fit the network, or are too short for the read-out's window.
        InputError
            For ``inputs`` that are not between the input and the read-out.
        """
        if apart := sorted(set(inputs) - self.between):
            raise InputError(
                f"gradient: {', '.join(apart)}: not between the input and the read-out; choose "
                f"from {', '.join(sorted(self.between)) or 'nothing'}"
            )
        n = self._net.n_input
        if codes.ndim not in (2, 3) or codes.shape[-1] != n or 0 in codes.shape:
            raise ShapeError(
                f"codes: shape {codes.shape}; gradients need held codes [B, {n}] or a sequence "
                f"[T, B, {n}], with at least one sample and one step"
            )
        given = torch.from_numpy(np.ascontiguousarray(codes, np.float64))
        steps = codes.shape[0] if codes.ndim == 3 else self._steps
        scale = self._net.population(self._net.readout.population).common_scale
        readout = ReadoutGradient(self._net.readout, steps, scale, self._net.score_offset)
        raw, chunks = self._engine.forward(given, readout, keep=True, inputs=inputs)
        seen = {
            name: torch.from_numpy(np.concatenate([c.inputs[name] for c in chunks])).double()
            for name in inputs
        }
        return GradientRun(self, given, readout, raw / readout.unit, chunks, seen)

    def _back(
        self, run: GradientRun, by_scores: Tensor, by_inputs: Mapping[str, Tensor]
    ) -> ParameterGradients:
        net = self._net
        weights = {s.name: np.zeros(s.weight.shape) for s in net.synapses}
        biases = {p.name: np.zeros(p.size) for p in net.populations}

        def note(samples: slice, by_a: dict[str, Tensor], spikes: dict[str, Tensor]) -> None:
            sent = dict(spikes)
            codes = run.codes[..., samples, :]
            sent[INPUT] = codes.permute(1, 0, 2) if codes.ndim == 3 else codes[:, None]
            for slot in self._slots:
                if slot.target in by_a:
                    own = net.logical_delay(slot.synapse) == slot.delay
                    found = _by_weights(slot, by_a[slot.target], sent)
                    # Weights of another delay have a slot of their own.
                    weights[slot.synapse.name] += np.where(own, found, 0.0)
            for name, by in by_a.items():
                # The inputs that a loss looks at are those of synapses, without the bias.
                own = by - by_inputs[name][samples] if name in by_inputs else by
                biases[name] += _by_bias(net.population(name), own)

        codes = self._engine.backward(
            by_scores / run.readout.unit, run.chunks, run.readout, self._surrogate, run.codes,
            torch.float64, note, by_inputs,
        )  # fmt: skip
        return ParameterGradients(codes.numpy(), weights, biases)


@dataclass(frozen=True, slots=True, eq=False)
class GradientRun:
    """A forward pass that can be gone back through once or more.

    ``scores`` float64 [B, classes]: the exact logits, as ``FixedGradient.scores`` gives them.
    ``inputs`` float64 [B, T, N]: the exact synaptic inputs that were asked for, by population.
    """

    of: WeightGradient
    codes: Tensor
    readout: ReadoutGradient
    scores: Tensor
    chunks: list[Any]
    inputs: Mapping[str, Tensor]

    def backward(
        self, by_scores: Tensor | Floats, by_inputs: Mapping[str, Tensor] | None = None
    ) -> ParameterGradients:
        """Return the gradients of ``(by_scores * scores).sum()``; [B, classes].

        With ``by_inputs`` [B, T, N], of that and ``(by_inputs * inputs).sum()``.
        """
        given = torch.as_tensor(by_scores, dtype=torch.float64)
        if given.shape != self.scores.shape:
            raise ShapeError(
                f"gradient by scores: shape {tuple(given.shape)}, scores have "
                f"{tuple(self.scores.shape)}"
            )
        looked_at = dict(by_inputs or {})
        for name, by in looked_at.items():
            if name not in self.inputs or by.shape != self.inputs[name].shape:
                raise ShapeError(
                    f"gradient by the input of {name}: shape {tuple(by.shape)}; the run kept "
                    f"{ {n: tuple(x.shape) for n, x in self.inputs.items()} }"
                )
        return self.of._back(self, given, looked_at)


def _by_weights(slot: Slot, by_a: Tensor, sent: Mapping[str, Tensor]) -> Floats:
    """Return the gradient by all weights of a synapse as if all had the delay of ``slot``."""
    batch, _, size = by_a.shape
    felt = by_a[:, slot.delay :].to(torch.float64)
    if slot.source == ALWAYS_ON:
        x = torch.ones(1, 1, 1, dtype=torch.float64)
    else:
        x = sent[slot.source].to(torch.float64)
        if slot.as_spikes:
            x = (x != 0).to(torch.float64)
    if x.shape[1] == 1:  # held: only the sum over steps matters
        felt = felt.sum(dim=1, keepdim=True)
    else:
        x = x[:, : felt.shape[1]]
    x = x.expand(batch, felt.shape[1], x.shape[2])
    rows, columns = felt.reshape(-1, size), x.reshape(-1, x.shape[2])
    return _products(slot, rows, columns) * 2.0**slot.exponent


def _products(slot: Slot, rows: Tensor, columns: Tensor) -> Floats:
    """Return sums of products in the shape of the synapse's weights."""
    layout = slot.synapse.layout
    if isinstance(layout, ConvLayout):
        images = columns.reshape(-1, *layout.input_shape)
        by_output = rows.reshape(-1, *layout.output_shape)
        by_kernel: Tensor = conv2d_weight(  # type: ignore[no-untyped-call]
            images, tuple(slot.synapse.weight.shape), by_output, stride=layout.stride,
            padding=layout.padding, dilation=layout.dilation, groups=layout.groups,
        )  # fmt: skip
        return by_kernel.numpy()
    if isinstance(layout, SparseLayout):
        indptr = np.asarray(layout.indptr)
        target = torch.from_numpy(np.repeat(np.arange(indptr.size - 1), np.diff(indptr)))
        source = torch.from_numpy(np.asarray(layout.indices, np.int64))
        # A part at a time: all products at once would be rows times weights.
        part = max(1, _MOST_PRODUCTS // max(1, rows.shape[0]))
        found = np.zeros(target.numel())
        for first in range(0, found.size, part):
            here = slice(first, first + part)
            found[here] = (rows[:, target[here]] * columns[:, source[here]]).sum(dim=0).numpy()
        return found
    return np.asarray((rows.T @ columns).numpy())


def _by_bias(population: FixedPopulation, by_a: Tensor) -> Floats:
    """Return the gradient by the bias mantissas, from that by the synaptic input [B, T, N]."""
    by = by_a.to(torch.float64)
    if population.kind == "dlif":
        return np.asarray(by.sum(dim=(0, 1)).numpy())
    # What enters v at a step: the synaptic input enters u, and goes on from there.
    keep = torch.from_numpy((4095 - population.decay_u.astype(np.float64)) / 4096)
    later = torch.cat([by[:, 1:], torch.zeros_like(by[:, :1])], dim=1)
    # Before a step that begins with a reset nothing goes on.
    ends = np.roll(NeuronRule(population).resets(by.shape[1]), -1)
    later[:, torch.from_numpy(ends)] = 0.0
    into_v = (by - keep * later) * 2.0 ** (population.bias_exp - ALIGN_BITS)
    return np.asarray(into_v.sum(dim=(0, 1)).numpy())
