"""Everything known about an export before its file is written and proven."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neurodeploy.export.nir.build import BuiltGraph
from neurodeploy.export.nir.output import Reading
from neurodeploy.export.nir.readout import ContractReadout
from neurodeploy.export.nir.run import Subject, Way, first_tensor
from neurodeploy.export.nir.settle import TracedNetwork
from neurodeploy.network import ConstantEncoder

FloatArray: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """A model, how it runs, and the graph that should equal it.

    ``asked_steps`` is what the exporter's own time loop is given (a held image).
    """

    subject: Subject
    way: Way
    network: TracedNetwork
    reading: Reading
    built: BuiltGraph
    readout: ContractReadout
    encoder: ConstantEncoder
    asked_steps: int | None
    values_read: tuple[tuple[str, str], ...] = ()

    @property
    def steps(self) -> int:
        """Steps per sample."""
        return self.network.steps

    def kind(self, node: str) -> str:
        """Return the NIR type of a neuron's node."""
        neuron = self.network.nodes[self.built.neurons[node]].neuron
        return "" if neuron is None else neuron.kind

    def stimulus(self, values: FloatArray) -> FloatArray:
        """Return the sample as the float engine takes it: [T, B, n] or held [B, n]."""
        if self.way.layout == "held":
            return values.reshape(values.shape[0], -1)
        if self.way.layout == "batch-first":
            values = np.swapaxes(values, 0, 1)
        return values.reshape(*values.shape[:2], -1)

    def scores_as_the_model_gives_them(self, scores: FloatArray) -> FloatArray:
        """Apply to a file's scores what the model applies to its own."""
        shape = self.network.nodes[self.network.output].shape
        whole = torch.from_numpy(scores * self.readout.scale + self.readout.offset)
        value: Any = whole.reshape(-1, *shape)
        for _, function in self.reading.chain:
            value = function(value)
        return first_tensor(value).double().numpy()

    def scores_of_the_model(self, output: Tensor) -> FloatArray:
        """Return the model's output [B, ...]; one of every step is read as the contract says."""
        values = output.detach().double().numpy()
        if self.reading.kind != "each":
            return values
        turned = np.swapaxes(values, 0, 1) if self.reading.time_axis else values
        kind = self.readout.kind
        if kind == "mean_v":
            return np.asarray(turned.mean(0))
        if kind == "max_v":
            return np.asarray(turned.max(0))
        return np.asarray(turned[-1] if kind == "last_v" else turned.sum(0))
