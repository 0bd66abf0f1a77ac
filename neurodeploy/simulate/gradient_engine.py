"""Gradients through a fixed-point network on the CPU: compiled kernels, a few samples at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from neurodeploy.errors import RangeError
from neurodeploy.network.connections import INPUT
from neurodeploy.network.fixed import FixedPointNetwork
from neurodeploy.network.registers import V_MAX
from neurodeploy.simulate.fixed_components import components, reachable
from neurodeploy.simulate.gradient_components import ComponentRun, Marks
from neurodeploy.simulate.gradient_inputs import SynapticInput
from neurodeploy.simulate.gradient_lanes import HELD
from neurodeploy.simulate.gradient_readout import ReadoutGradient
from neurodeploy.simulate.gradient_recurrence import BLOCK
from neurodeploy.simulate.gradient_sources import Orders, Sent, roomy_masks
from neurodeploy.simulate.gradient_sums import mark_codes
from neurodeploy.simulate.spike_functions import Surrogate

Tensor = torch.Tensor

#: Neuron-steps of the largest component that are worked on together: they should fit the cache.
_CHUNK_VALUES = 2**20


#: Called with samples, gradients by synaptic inputs, and spikes.
Note: TypeAlias = Callable[[slice, dict[str, Tensor], dict[str, Tensor]], None]


class _Chunk(NamedTuple):
    """What the way back needs of some samples: their marks, and the output that was read.

    ``inputs``: synaptic inputs that were asked for, int32 [B, T, N].
    """

    samples: slice
    marks: dict[int, Marks]
    output: Tensor
    inputs: dict[str, NDArray[np.int32]]


class CompiledGradient:
    """Raw scores of codes and their gradient.

    Parameters
    ----------
    net : FixedPointNetwork
    """

    def __init__(self, net: FixedPointNetwork) -> None:
        self._components = found = components(net)
        self._inputs: dict[str, SynapticInput] = {}
        self._orders = Orders(found)
        self._largest = net.encoder.max_code
        self._n_input = net.n_input
        self._runs = tuple(ComponentRun(c, {INPUT: self._largest}, self._orders) for c in found)
        self._graded = any(s.source == INPUT and not s.as_spikes for c in found for s in c.inputs)
        self._readout = net.readout
        self._home = next(r for r in self._runs if net.readout.population in r.names)
        self._reads = self._home.slice(net.readout.population)
        self._can_fire = {rule.name: rule.can_fire for run in self._runs for rule in run.rules}
        follows = reachable(found, INPUT)
        leads = reachable(found, net.readout.population, backward=True)
        #: Only what lies between the input and the read-out is gone through.
        self._between = follows & leads
        wide = max(run.slice(run.names[-1]).stop for run in self._runs)
        self._widest = max(wide, net.n_input)
        self._recurrent = any(c.loops for c in found)

    def forward(
        self, codes: Tensor, readout: ReadoutGradient, keep: bool, inputs: Sequence[str] = ()
    ) -> tuple[Tensor, list[_Chunk]]:
        """Return raw scores [B, classes], float64, and what the way back needs (if ``keep``).

        ``codes`` [B, n] or [T, B, n] have been checked for their shape; ``inputs`` are populations
        whose synaptic inputs are kept, too.
        """
        given = codes.detach()
        if given.dtype not in (torch.float32, torch.float64):
            given = given.to(torch.float32)
        values = given.contiguous().numpy().reshape(-1, *codes.shape[-2:])
        steps, batch = readout.steps, codes.shape[-2]
        size = max(1, _CHUNK_VALUES // (steps * self._widest))
        if self._recurrent:
            size = -(-size // BLOCK) * BLOCK
        scores, chunks = [], []
        for first in range(0, batch, size):
            samples = slice(first, min(first + size, batch))
            chunk = self._run(values, samples, steps, inputs)
            scores.append(readout.read(chunk.output))
            if keep:
                chunks.append(chunk)
        return torch.cat(scores), chunks

    def backward(
        self,
        gradient: Tensor,
        chunks: list[_Chunk],
        readout: ReadoutGradient,
        surrogate: Surrogate,
        like: Tensor,
        dtype: torch.dtype,
        note: Note | None = None,
        by_inputs: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        """Return the gradient by codes shaped and typed ``like`` the first ones.

        ``by_inputs`` [B, T, N]: gradients by synaptic inputs that a loss looks at besides the
        scores, of populations between the input and the read-out. ``note`` is given, for some
        samples at a time, the gradient by the synaptic input of every population that one reaches,
        and all spikes: [B, T, N], in C order.
        """
        result = torch.empty(like.shape, dtype=dtype)
        held = like.ndim == 2
        for chunk in chunks:
            own = result[..., chunk.samples, :]
            room = own[:, None] if held else own.permute(1, 0, 2)
            found: Tensor | None = None
            if self._between:
                part = gradient[chunk.samples]
                noted: dict[str, Tensor] | None = None if note is None else {}
                looked_at = {
                    name: self._input(name).kept(given[chunk.samples].to(dtype))
                    for name, given in (by_inputs or {}).items()
                }
                found = self._back(
                    part, chunk, readout, surrogate, dtype, room, held, noted, looked_at
                )
                if note is not None and noted is not None:
                    note(chunk.samples, noted, self._spikes(chunk))
            if found is None:
                room.zero_()
            elif found.data_ptr() != room.data_ptr():
                room.copy_(found)
        return result.to(like.dtype)

    @property
    def between(self) -> set[str]:
        """Populations that lie between the input and the read-out."""
        return self._between & self._can_fire.keys()

    def _input(self, name: str) -> SynapticInput:
        if name not in self._inputs:
            home = next(c for c in self._components if name in c.names)
            self._inputs[name] = SynapticInput(home, name, {INPUT: self._largest}, self._orders)
        return self._inputs[name]

    def _run(
        self,
        codes: NDArray[np.floating],
        samples: slice,
        steps: int,
        inputs: Sequence[str],
    ) -> _Chunk:
        sent = {INPUT: self._stimulus(codes, samples)}
        batch = samples.stop - samples.start
        marks: dict[int, Marks] = {}
        for i, run in enumerate(self._runs):
            done = run.forward(sent, batch, steps)
            for name in run.names:
                own = run.slice(name)
                masks, size = done.masks, own.stop - own.start
                if len(run.names) > 1:
                    masks = roomy_masks(batch, steps, size)
                    masks[:, :, :size] = done.masks[:, :, own]
                sent[name] = Sent(masks, size)
            marks[i] = done
        output = self._output(marks[self._runs.index(self._home)])
        looked_at = {name: self._input(name).values(sent, batch, steps) for name in inputs}
        return _Chunk(samples, marks, output, looked_at)

    def _back(
        self,
        gradient: Tensor,
        chunk: _Chunk,
        readout: ReadoutGradient,
        surrogate: Surrogate,
        dtype: torch.dtype,
        room: Tensor,
        held: bool,
        noted: dict[str, Tensor] | None,
        by_inputs: Mapping[str, Tensor],
    ) -> Tensor | None:
        """Return the gradient by the codes of one chunk, [B, T or 1, n], or None if it is zero.

        It may be ``room``, of its shape, where it is wanted. ``noted`` receives the gradients by
        synaptic inputs; ``by_inputs`` are added to them, in the order in which they are kept.
        """
        by_output = readout.back(gradient, chunk.output, dtype)
        if self._orders.shape(self._readout.population) is not None:
            kept = self._orders.places(self._readout.population, by_output.shape[2])
            by_output = by_output[:, :, torch.from_numpy(kept)]
        by_sent: dict[str, Tensor] = {}
        wanted = self._between | {INPUT}
        places = {INPUT: room} if self._orders.shape(INPUT) is None else {}
        batch, steps = chunk.output.shape[:2]
        for i in reversed(range(len(self._runs))):
            run = self._runs[i]
            here = [name for name in run.names if name in self._between]
            if not here:
                continue
            by_spikes: Tensor | None = None
            by_v: Tensor | None = None
            size = chunk.marks[i].marks.shape[2]
            looked_at = [name for name in here if name in by_inputs]
            for name in looked_at:
                for source, more in self._input(name).back_to_loops(by_inputs[name]):
                    by_sent[source] = more + by_sent[source] if source in by_sent else more
            for name in here:
                part = by_sent.pop(name, None)
                if self._readout.population == name and not readout.reads_v:
                    part = by_output if part is None else part + by_output
                if part is None or not self._can_fire[name]:
                    continue
                by_spikes = _placed(part, by_spikes, run.slice(name), (batch, steps, size))
            if self._readout.population in here and readout.reads_v:
                by_v = _placed(by_output, None, self._reads, (batch, steps, size))
            if by_spikes is None and by_v is None and not looked_at:
                continue
            if by_spikes is None and by_v is None:
                by_a = torch.zeros(batch, steps, size, dtype=dtype)
            else:
                by_a = run.backward(chunk.marks[i], by_spikes, by_v, surrogate, dtype)
            for name in looked_at:
                by_a[:, :, run.slice(name)] += by_inputs[name]
            if noted is not None:
                for name in run.names:
                    noted[name] = by_a[:, :, run.slice(name)][:, :, self._c_order(name)].clone()
            run.back_to_sources(by_a, wanted, {INPUT: held}, by_sent, places)
        found = by_sent.get(INPUT)
        return None if found is None else self._in_c_order(found)

    def _spikes(self, chunk: _Chunk) -> dict[str, Tensor]:
        """Return what every population sent, uint8 [B, T, N] in C order."""
        return {
            name: torch.from_numpy(chunk.marks[i].masks)[:, :, run.slice(name)][
                :, :, self._c_order(name)
            ]
            for i, run in enumerate(self._runs)
            for name in run.names
        }

    def _c_order(self, name: str) -> Any:
        """Return an index that brings a population's kept values into C order."""
        if self._orders.shape(name) is None:
            return slice(None)
        rule = next(rule for run in self._runs for rule in run.rules if rule.name == name)
        return torch.from_numpy(np.argsort(self._orders.places(name, rule.size)))

    def _stimulus(self, codes: NDArray[np.floating], samples: slice) -> Sent:
        """Round codes [T or 1, B, n], check their range, and put samples first."""
        values = codes[:, samples]
        steps, batch, size = values.shape
        masks = roomy_masks(batch, steps, size)
        shape = self._orders.shape(INPUT)
        channels = 1 if shape is None else shape[0]
        if mark_codes(codes, samples.start, float(self._largest), channels, masks):
            low, high = values.min(), values.max()
            raise RangeError(
                f"codes: range {low}..{high} leaves the encoder's 0..{self._largest}; "
                "clip them first"
            )
        payloads = None
        if self._graded:
            whole = np.rint(values).astype(np.int32)
            payloads = self._kept(np.ascontiguousarray(whole.transpose(1, 0, 2)))
        return Sent(masks, size, payloads)

    def _kept(self, values: NDArray[Any]) -> NDArray[Any]:
        """Bring the input's values [B, T, n] into the order in which they are kept."""
        shape = self._orders.shape(INPUT)
        if shape is None:
            return values
        image = values.reshape(*values.shape[:2], *shape).transpose(0, 1, 3, 4, 2)
        return np.ascontiguousarray(image).reshape(values.shape)

    def _in_c_order(self, values: Tensor) -> Tensor:
        shape = self._orders.shape(INPUT)
        if shape is None:
            return values
        channels, height, width = shape
        image = values.view(*values.shape[:2], height, width, channels)
        return image.permute(0, 1, 4, 2, 3).reshape(values.shape)

    def _output(self, done: Marks) -> Tensor:
        """Return what the read-out reads, in C order: spikes uint8, or v after reset, int32."""
        name = self._readout.population
        rule = next(r for r in self._home.rules if r.name == name)
        back: Any = slice(None)
        if self._orders.shape(name) is not None:
            back = np.argsort(self._orders.places(name, rule.size))
        if self._readout.kind == "count":
            return torch.from_numpy(done.masks[:, :, self._reads][:, :, back])
        marks = done.marks[:, :, self._reads][:, :, back]
        fired = done.masks[:, :, self._reads][:, :, back]
        v = np.clip(marks, -V_MAX, V_MAX)
        after = v - rule.full_threshold if rule.subtracts else np.zeros_like(v)
        v = np.where(fired != 0, after, v).astype(np.int32)
        held = marks == HELD
        for t in np.flatnonzero(held.any(axis=(0, 2))):
            # A wait begins with a spike, so there is a step before.
            v[:, t] = np.where(held[:, t], v[:, t - 1], v[:, t])
        return torch.from_numpy(v)


def _placed(part: Tensor, known: Tensor | None, own: slice, shape: tuple[int, int, int]) -> Tensor:
    """Put one population's gradient among its component's neurons."""
    if known is None and own == slice(0, shape[2]):
        return part.contiguous()
    whole = part.new_zeros(shape) if known is None else known
    whole[:, :, own] += part
    return whole
