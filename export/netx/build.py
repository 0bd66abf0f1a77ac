"""Layers to populations and synapses."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

import numpy as np

from neurodeploy.errors import InputError, ShapeError
from neurodeploy.export.netx.clock import LayerTime, latency_of, start_membrane
from neurodeploy.export.netx.layers import Layer
from neurodeploy.export.netx.neurons import per_neuron
from neurodeploy.export.netx.weights import PreparedWeight, choose_shift, detect_sign_mode, prepare
from neurodeploy.findings import Finding
from neurodeploy.network import (
    INPUT,
    ConvLayout,
    FixedPopulation,
    FixedSynapse,
    SparseLayout,
)
from neurodeploy.network.arrays import IntArray
from neurodeploy.network.fixed_synapse import Shape3

#: lava's Conv holds stride, padding, dilation and groups in int8.
_CONV_GEOMETRY_MAX = 127


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """What the caller chose; see ``from_netx``."""

    time: LayerTime
    reset_interval: int | None
    reset_offset: int
    input_bits: int
    input_low: float | None
    scale: float


@dataclass(slots=True)
class Draft:
    """Network under construction: what was built, and the shape that arrives at the next layer.

    ``shape`` is () before anything says it. ``flat`` is set between a flatten and the next dense
    layer.
    """

    options: BuildOptions
    shape: tuple[int, ...]
    has_input_neurons: bool
    input_shape: tuple[int, ...] = ()
    populations: list[FixedPopulation] = field(default_factory=list)
    synapses: list[FixedSynapse] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    flat: bool = False

    def add(self, layer: Layer) -> None:
        """Build one layer behind the last one."""
        if layer.kind == "flatten":
            self.flat = True
        elif layer.kind == "input":
            self.shape = layer.shape
            if layer.neuron is not None:
                self._input(layer)
        elif layer.kind == "conv":
            self._conv(layer)
        else:
            self._dense(layer)

    @property
    def _source(self) -> str:
        return self.populations[-1].name if self.populations else INPUT

    @property
    def _message_bits(self) -> int:
        return 0 if self.populations else self.options.input_bits

    def _input(self, layer: Layer) -> None:
        """Input neurons: each gets the weight times its own code, and the bias."""
        weight = _one_number(layer, "weight", layer.weight, 64)
        bias = _one_number(layer, "bias", layer.bias, 0)
        if self.options.input_low is not None:
            # Codes then count steps of 1 / weight from the lowest value on.
            bias, weight = round(weight * self.options.input_low) + bias, 1
        places = np.arange(layer.size + 1, dtype=np.int32)
        values = np.full(layer.size, weight, np.int32)
        self._note_input(layer)
        self.input_shape = layer.shape
        self._population(dataclasses.replace(layer, bias=np.array(bias, np.int32)))
        self.synapses.append(
            FixedSynapse(
                name=f"{layer.name}.input",
                source=INPUT,
                target=layer.name,
                weight=values,
                weight_exp=0,
                sign_mode=detect_sign_mode(values),
                message_bits=max(self.options.input_bits, 1),
                layout=SparseLayout(places, places[:-1], layer.size),
            )
        )

    def _note_input(self, layer: Layer) -> None:
        text = (
            "lava-dl leaves the input layer's weight and bias to the program that feeds it; here "
            "they are a synapse and the neurons' bias, one hardware step before lava-dl's"
        )
        self.findings.append(Finding("info", layer.where, text))
        if layer.neuron is not None and (layer.neuron.decay_u != 4095).any():
            text = "the input bias enters v; SLAYER adds it to the input, which a current remembers"
            remedy = "export input neurons with current decay 1 (iDecay 4096)"
            self.findings.append(Finding("warning", layer.where, text, remedy))

    def _conv(self, layer: Layer) -> None:
        if len(self.shape) != 3:
            raise ShapeError(
                f"{layer.where}: a convolution gets values of shape {self.shape or 'unknown'}; it "
                "needs (C, H, W): add an input layer, or give input_shape"
            )
        weight = _present(layer.weight)
        layout = ConvLayout(
            stride=layer.stride,
            padding=layer.padding,
            dilation=layer.dilation,
            groups=layer.groups,
            input_shape=_three(self.shape),
            output_shape=_three(layer.shape),
        )
        layout.check(layer.where, weight.shape)
        widest = max(
            *layer.stride, *layer.padding, *layer.dilation, layer.groups, *weight.shape[2:]
        )
        if widest > _CONV_GEOMETRY_MAX:
            text = f"geometry up to {widest}; lava's Conv holds 8 bits and computes something else"
            numbers = {"widest": widest, "high": _CONV_GEOMETRY_MAX}
            self.findings.append(Finding("warning", layer.where, text, "", numbers))
        self._take_input()
        self.synapses.append(
            FixedSynapse(
                name=f"{layer.name}.weight",
                source=self._source,
                target=layer.name,
                weight=weight,
                weight_exp=0,
                sign_mode=detect_sign_mode(weight),
                message_bits=self._message_bits,
                layout=layout,
            )
        )
        self._population(layer)

    def _dense(self, layer: Layer) -> None:
        weight = _present(layer.weight)
        inputs = weight.shape[1]
        if not self.shape:
            self.shape = (inputs,)
        if len(self.shape) > 1 and self.populations and not self.flat:
            raise ShapeError(
                f"{layer.where}: a dense layer gets values of shape {self.shape}; lava-dl needs a "
                "flatten layer before it"
            )
        if int(np.prod(self.shape)) != inputs:
            raise ShapeError(
                f"{layer.where}: weight {weight.shape} gets {int(np.prod(self.shape))} values of "
                f"shape {self.shape}"
            )
        self.flat = False
        self._take_input()
        source, message_bits = self._source, self._message_bits
        parts = [("weight", source, message_bits, weight)]
        if layer.weight_rec is not None:
            parts.append(("weight_rec", layer.name, 0, layer.weight_rec))
        shift = choose_shift(np.hstack([part[3] for part in parts]))
        for name, source_name, bits, values in parts:
            held = prepare(values, shift)
            self._note_changes(f"{layer.where}: {name}", held)
            forward = name == "weight" and layer.delay is not None
            delay = _delay(layer) if forward else 0
            self.synapses.append(
                FixedSynapse(
                    name=f"{layer.name}.{name}",
                    source=source_name,
                    target=layer.name,
                    weight=held.weight,
                    weight_exp=held.weight_exp,
                    sign_mode=held.sign_mode,
                    weight_bits=held.weight_bits,
                    message_bits=bits,
                    delay=delay,
                )
            )
        self._population(layer)

    def _note_changes(self, where: str, held: PreparedWeight) -> None:
        if held.changed == 0:
            return
        text = (
            f"{held.changed} of {held.weight.size} weights act as other numbers in lava-dl and "
            f"Lava, by up to {held.largest_change:g} (sign mode {held.sign_mode})"
        )
        remedy = "write even weights in -256..254 for mixed signs, 0..255 or -255..0 for one sign"
        numbers = {"changed": held.changed, "largest_change": held.largest_change}
        self.findings.append(Finding("warning", where, text, remedy, numbers))

    def _take_input(self) -> None:
        """Note the shape of the network's input, where the next layer is the first with neurons."""
        if not self.populations:
            self.input_shape = self.shape

    def _population(self, layer: Layer) -> None:
        neuron = layer.neuron
        if neuron is None:
            raise InputError(f"{layer.where}: has no neuron")
        options, depth = self.options, len(self.populations)
        bias = np.array(0, np.int32) if layer.bias is None else layer.bias
        offset = 0
        if options.reset_interval is not None:
            # lava-dl: the first layer with neurons is reset at reset_offset + 1, each further one
            # a step later.
            offset = options.reset_offset + 1 + depth + int(self.has_input_neurons)
            offset %= options.reset_interval
        population = FixedPopulation(
            name=layer.name,
            nir_nodes=(layer.name,),
            kind="readout" if neuron.cannot_fire else "lif",
            decay_u=per_neuron(f"{layer.where}: iDecay", neuron.decay_u, layer.shape),
            decay_v=per_neuron(f"{layer.where}: vDecay", neuron.decay_v, layer.shape),
            bias=per_neuron(f"{layer.where}: bias", bias, layer.shape),
            bias_exp=6,
            v_threshold=per_neuron(f"{layer.where}: vThMant", neuron.v_threshold, layer.shape),
            u_init=np.zeros(layer.size, np.int32),
            v_init=np.zeros(layer.size, np.int32),
            latency=latency_of(depth, options.time, self.has_input_neurons),
            scale=options.scale,
            reset_interval=options.reset_interval or 0,
            reset_offset=offset,
            shape=layer.shape,
        )
        if options.time == "aligned":
            v_init = start_membrane(population, self.has_input_neurons)
            population = dataclasses.replace(population, v_init=v_init)
        self.populations.append(population)
        self.shape = layer.shape


def _present(weight: IntArray | None) -> IntArray:
    if weight is None:
        raise InputError("a layer without weight")
    return weight


def _delay(layer: Layer) -> int | IntArray:
    if layer.delay is None:
        return 0
    return int(layer.delay) if layer.delay.ndim == 0 else layer.delay


def _three(shape: tuple[int, ...]) -> Shape3:
    channels, height, width = shape
    return channels, height, width


def _one_number(layer: Layer, name: str, values: IntArray | None, default: int) -> int:
    if values is None:
        return default
    if values.size != 1:
        raise ShapeError(f"{layer.where}: {name} of shape {values.shape}; needs one number")
    return int(values.reshape(-1)[0])
