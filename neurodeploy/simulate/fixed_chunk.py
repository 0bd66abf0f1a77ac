"""One chunk of samples through all layers, block of steps by block of steps.

Lava's timing needs no second engine. In a feed-forward network where each synapse costs one step,
layer l at hardware step h does what it would do at logical step h - latency(l) without latency;
before that only its bias acts (``start_v`` makes those steps end at ``v_init``), and after the
last code the input is silent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.network.connections import INPUT
from neurodeploy.simulate import neuron_kernels, synapse_kernels, wide_kernels
from neurodeploy.simulate.fixed_input import LayerInput, NarrowInput, WideInput
from neurodeploy.simulate.fixed_plan import PlannedPopulation
from neurodeploy.simulate.run_arrays import RunArrays
from neurodeploy.simulate.stimulus import Stimulus

_NOT_RECORDED: NDArray[np.int32] = np.empty((0, 0, 0), np.int32)


@dataclass(slots=True, eq=False)
class _Layer:
    """One population for the samples of a chunk: where its input comes from, and its state."""

    input: LayerInput
    u: NDArray[np.int32]
    v: NDArray[np.int32]


class ChunkRun:
    """Samples ``first`` .. ``last - 1`` of a run. Scratch arrays live as long as the chunk."""

    def __init__(
        self,
        plan: tuple[PlannedPopulation, ...],
        stimulus: Stimulus,
        arrays: RunArrays,
        first: int,
        last: int,
        *,
        max_code: int,
        saturate: bool,
    ) -> None:
        self._plan = plan
        self._stimulus = stimulus
        self._arrays = arrays
        self._samples = slice(first, last)
        self._size = last - first
        self._layers = {
            p.name: _Layer(
                LayerInput(p, stimulus, first, last, max_code, saturate),
                np.tile(p.population.u_init, (self._size, 1)),
                np.tile(p.population.v_init, (self._size, 1)),
            )
            for p in plan
        }
        self._saturate = saturate
        # Spikes of the current block by source, [B, steps, n padded].
        self._masks: dict[str, NDArray[np.uint8]] = {}

    def run(self, block_steps: int) -> None:
        """Run all steps of the chunk, ``block_steps`` at a time."""
        steps, total = self._stimulus.steps, self._arrays.hardware_steps
        if self._stimulus.held:
            codes = self._stimulus.codes[self._samples]
            self._arrays.sent[self._samples] = (codes != 0) * np.int64(steps)
        t = 0
        while t < total:
            end = min(t + block_steps, total)
            if t < steps:  # the input is on, or off, for a whole block
                end = min(end, steps)
            self._run_block(t, end)
            t = end

    def _run_block(self, t: int, end: int) -> None:
        """Run the logical steps ``t`` .. ``end - 1`` of all layers."""
        if not self._stimulus.held and t < self._stimulus.steps:
            self._mask_codes(t, end)
        for p in self._plan:
            # Late layers have not done all their logical steps when the run ends.
            last = min(end, self._arrays.hardware_steps - self._arrays.latency[p.name])
            if last > t:
                self._step(p, self._layers[p.name].input.over(t, last, self._masks), t, last)

    def _mask_codes(self, t: int, end: int) -> None:
        masks = self._block_masks(INPUT, end - t, self._stimulus.codes.shape[-1])
        synapse_kernels.mask_codes(
            self._stimulus.codes, t, self._samples.start, masks, self._arrays.sent[self._samples]
        )

    def _block_masks(self, source: str, steps: int, size: int) -> NDArray[np.uint8]:
        """Return the source's masks for a block; their padding is zero and stays so."""
        alignment = synapse_kernels.MASK_ALIGNMENT
        shape = (self._size, steps, -(-size // alignment) * alignment)
        if source not in self._masks or self._masks[source].shape != shape:
            self._masks[source] = np.zeros(shape, np.uint8)
        return self._masks[source]

    def _step(
        self, p: PlannedPopulation, source: NarrowInput | WideInput, t: int, end: int
    ) -> None:
        """Step the neurons of one layer."""
        layer, arrays = self._layers[p.name], self._arrays
        masks = self._block_masks(p.name, end - t, p.size)
        counters = (arrays.overflows[p.name][self._samples], arrays.fired[p.name][self._samples])
        u, v, v_pre = (self._trace(p.name, q, t, end) for q in ("u", "v", "v_pre"))
        out = (masks, counters)
        if p.population.kind == "dlif":
            parameters = (p.keep_v, p.bias, p.threshold)
            gain = (p.gain(t, end), np.int32(p.population.gain_shift))
            if isinstance(source, NarrowInput):
                neuron_kernels.step_dlif(source.a, layer.v, parameters, *gain, *out, (v, v_pre))
            else:
                wide_kernels.step_dlif_wide(
                    source.sums, layer.v, parameters, *gain, *out, (v, v_pre)
                )
        else:
            state = ((layer.u, layer.v), (p.keep_u, p.keep_v, p.bias, p.threshold))
            if isinstance(source, NarrowInput):
                neuron_kernels.step_lif(source.a, *state, *out, (u, v, v_pre))
            else:
                wide_kernels.step_lif_wide(source.sums, self._saturate, *state, *out, (u, v, v_pre))
        spikes = self._trace(p.name, "spikes", t, end)
        if spikes.size:
            spikes[:] = masks[:, :, : p.size].transpose(1, 0, 2)

    def _trace(self, name: str, quantity: str, t: int, end: int) -> NDArray[Any]:
        array = self._arrays.records.get(f"{name}/{quantity}")
        if array is None:
            return _NOT_RECORDED
        shift = self._arrays.latency[name]
        return array[t + shift : end + shift, self._samples]
