"""Random fixed-point networks over the whole product of what the types allow. Plain numpy.

Neuron kinds x synapse kinds x messages x signs, widths and exponents x delays x topology (depth 1
to 6, parallel populations, skip paths, recurrence, cycles) x biases of both kinds.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from oracles.literal_fixed import run_aligned
from oracles.literal_synapses import BufferedSynapse, message, wrap32
from oracles.random_neurons import (
    HIGHEST_RATE,
    LOWEST_RATE,
    NEURONS,
    fitting,
    random_population,
    spikes_of,
)
from oracles.random_synapses import (
    SYNAPSES,
    SynapsePlan,
    random_delays,
    random_geometry,
    same_geometry,
)

from neurodeploy.network.connections import ALWAYS_ON, INPUT
from neurodeploy.network.encoding import ConstantEncoder, Readout
from neurodeploy.network.fixed import FixedPointNetwork, FixedSynapse

#: Every pair of a neuron and the synapse that brings its main input.
PAIRS = tuple((neuron, synapse) for neuron in NEURONS for synapse in SYNAPSES)
_NETWORKS, _LAYERS, _ROUNDS = 200, 12, 4


@dataclass
class _Plan:
    """Everything but weights, neurons' numbers and thresholds, in update order."""

    rng: np.random.Generator
    steps: int
    reach: int
    hardware: bool
    extreme: bool
    wide: bool
    encoder: ConstantEncoder
    graded: bool
    shapes: dict = field(default_factory=dict)
    latency: dict = field(default_factory=dict)
    neurons: dict = field(default_factory=dict)
    synapses: list = field(default_factory=list)

    def connect(self, source, target, kind, *, geometry=None, earliest=0):
        """Plan a synapse whose logical delay is ``earliest`` at least."""
        rng, bits = self.rng, 0
        if source == INPUT and self.graded:
            bits = self.encoder.bits
        elif rng.random() < 0.1:
            bits = 8
        layout, kernel = geometry or (None, ())
        delays, each = (0, 0), False
        if source != ALWAYS_ON and kind != "conv":
            least = max(0, self.latency[target] - self.latency[source] - 1 + earliest)
            delays, each = random_delays(rng, least, self.reach)
        sizes = (int(np.prod(self.shapes.get(end, (1,)))) for end in (source, target))
        self.synapses.append(
            SynapsePlan(
                f"{source}_{target}_{len(self.synapses)}", source, target, kind, *sizes,
                message_bits=bits, delays=delays, per_weight=each, layout=layout,
                kernel_shape=kernel, wide=not self.hardware and bool(rng.random() < 0.3),
            )
        )  # fmt: skip

    def free_shape(self, maps):
        """Draw the shape of neurons that no convolution feeds."""
        rng, length = self.rng, (9, 13) if self.wide else (2, 7)
        if maps or rng.random() < 0.2:
            channels = rng.integers(2 if self.wide else 1, 5)
            return (int(channels), int(rng.integers(*length)), int(rng.integers(*length)))
        return (int(rng.integers(250, 400) if self.wide else rng.integers(3, 41)),)

    def matrix_kind(self):
        return str(self.rng.choice(["dense", "sparse"]))


def random_case(
    rng: np.random.Generator,
    *,
    pair: tuple[str, str] | None = None,
    pairs: tuple[tuple[str, str], ...] = (),
    layers: int | None = None,
    steps: int | None = None,
    samples: int = 3,
    held: bool | None = None,
    graded: bool | None = None,
    hardware: bool = True,
    extreme: bool | None = None,
    wide: bool = False,
) -> tuple[FixedPointNetwork, np.ndarray]:
    """Draw a network and codes on which each of its layers fires at 1 to 50 % on the logical axis.

    Parameters
    ----------
    pair : (neuron of NEURONS, synapse of SYNAPSES) or None
        Some layer of this neuron has this synapse as its main input.
    pairs : tuple of such pairs
        The same of so many layers one after another; a read-out can only be the last.
    layers, steps : int or None
        Depth 1-6 (``pairs`` may need more), and steps 6-18 (with long delays 64-75).
    samples, held : int, bool or None
        Codes [samples, n_input] (``held``) or [steps, samples, n_input].
    graded : bool or None
        Whether the input synapses use the codes as payload.
    hardware : bool
        Keep to what Lava can run without quirks; False also draws start values of u, biases that
        wrap at 16 bits, negative bias exponents, and convolutions with wide weights.
    extreme : bool or None
        Large weight exponents and payloads, so that u wraps and v clamps.
    wide : bool
        Hundreds of neurons a layer: Lava needs hardly longer for a step of them.
    """
    for _ in range(_NETWORKS):
        wanted = pairs if pair is None else (pair,)
        plan = _random_plan(rng, wanted, layers, steps, graded, hardware, extreme, wide)
        n_input = int(np.prod(plan.shapes[INPUT]))
        shape = (plan.steps, samples, n_input)
        hold = bool(rng.random() < 0.4) if held is None else held
        codes = random_values(rng, shape, plan.encoder.max_code, plan.graded)
        if hold:
            codes = np.broadcast_to(codes[:1], shape)
        net = _fitting_network(plan, codes)
        if net is not None:
            return net, (codes[0] if hold else codes).astype(np.int32)
    raise RuntimeError(f"no draw of {wanted} fires at {LOWEST_RATE}..{HIGHEST_RATE}")


def random_values(rng, shape, max_code, graded):
    """Codes of ``shape``; sparse where only their being non-zero counts."""
    density = rng.uniform(0.5, 1.0) if graded else rng.uniform(0.05, 0.5)
    on = rng.random(shape) < density
    return np.where(on, rng.integers(0, max_code + 1, shape), 0).astype(np.int64)


def _random_plan(rng, pairs, layers, steps, graded, hardware, extreme, wide) -> _Plan:
    extreme = bool(rng.random() < 0.2) if extreme is None else extreme
    graded = bool(extreme or rng.random() < 0.5) if graded is None else graded
    long = layers is None and steps is None and rng.random() < 0.05
    depth = layers or (1 if long else int(rng.choice(6, p=[0.2, 0.25, 0.2, 0.15, 0.1, 0.1])) + 1)
    depth = max(depth, len(pairs))
    steps = steps or int(rng.integers(64, 76) if long else rng.integers(6, 19))
    bits = 16 if extreme and graded else int(rng.choice([4, 8] if graded else [1, 4, 8]))
    plan = _Plan(
        rng, steps, 62 if long else 8, hardware, extreme, wide, ConstantEncoder(bits=bits), graded
    )
    kinds = [str(rng.choice(SYNAPSES, p=[0.35, 0.3, 0.35])) for _ in range(depth)]
    neurons = [str(rng.choice(NEURONS[:-1])) for _ in range(depth)]
    if rng.random() < 0.3:
        neurons[-1] = "readout"
    if pairs:
        last = depth - len(pairs)
        first = last if pairs[-1][0] == "readout" else int(rng.integers(last + 1))
        for spot, (neuron, kind) in enumerate(pairs, first):
            neurons[spot], kinds[spot] = neuron, kind
    plan.shapes[INPUT], plan.latency[INPUT] = plan.free_shape(kinds[0] == "conv"), 0
    sources = [INPUT]
    for layer in range(depth):
        maps = layer + 1 < depth and kinds[layer + 1] == "conv"
        names = [f"layer{layer + 1}"]
        if layer + 1 < depth and rng.random() < 0.2:
            names.append(f"layer{layer + 1}b")
        for name in names:
            neuron = neurons[layer] if name == names[0] else str(rng.choice(NEURONS[:-1]))
            _add_layer(plan, name, neuron, kinds[layer], sources, maps)
        sources = names
    _add_cycles(plan)
    return plan


def _add_layer(plan: _Plan, name, neuron, kind, sources, maps):
    """Plan a population with its main input, and perhaps skip paths and an always-on line."""
    rng, main = plan.rng, sources[0]
    plan.neurons[name] = neuron
    always_on = rng.random() < 0.25
    earlier = [n for n in plan.shapes if n not in sources]
    direct = plan.latency[main] + 1
    plan.latency[name] = direct
    if rng.random() < 0.1:
        plan.latency[name] = int(rng.integers(1 if always_on else 0, direct + 1))
    elif kind != "conv" and rng.random() < 0.1:
        plan.latency[name] = direct + int(rng.integers(1, 5))
    geometry = random_geometry(rng, plan.shapes[main]) if kind == "conv" else None
    plan.shapes[name] = geometry[0].output_shape if geometry else plan.free_shape(maps)
    plan.connect(main, name, kind, geometry=geometry)
    for source in sources[1:]:
        plan.connect(source, name, plan.matrix_kind())
    if earlier and rng.random() < 0.4:
        plan.connect(str(rng.choice(earlier)), name, plan.matrix_kind())
    if rng.random() < 0.2:
        plan.connect(main, name, plan.matrix_kind())
    if always_on:
        plan.connect(ALWAYS_ON, name, plan.matrix_kind())


def _add_cycles(plan: _Plan):
    rng, names = plan.rng, [n for n in plan.neurons if plan.neurons[n] != "readout"]
    for name in names:
        if rng.random() < 0.3:
            shape = plan.shapes[name]
            if len(shape) == 3 and rng.random() < 0.4:
                plan.connect(name, name, "conv", geometry=same_geometry(rng, shape))
            else:
                plan.connect(name, name, plan.matrix_kind(), earliest=1)
    for _ in range(int(rng.choice([0, 1, 2], p=[0.6, 0.3, 0.1]))):
        if len(names) > 1:
            to, back = sorted(rng.choice(len(names), 2, replace=False))
            plan.connect(names[back], names[to], plan.matrix_kind(), earliest=1)


def _fitting_network(plan: _Plan, codes) -> FixedPointNetwork | None:
    """Draw all numbers; None unless every layer fires at a useful rate on ``codes``."""
    rng, shape = plan.rng, codes.shape[:2]
    # What comes back from layers that are not drawn yet is made up; the last rounds correct it.
    sent = {
        name: (rng.random((*shape, int(np.prod(plan.shapes[name])))) < 0.1).astype(np.int64)
        for name in plan.neurons
    }
    sent |= {INPUT: codes, ALWAYS_ON: np.ones((*shape, 1), np.int64)}
    populations, synapses = [], []
    for name in plan.neurons:
        drawn = _fitting_layer(plan, name, sent)
        if drawn is None:
            return None
        population, into = drawn
        if population.kind == "readout":
            sent[name] = np.zeros((*shape, population.size), np.int64)
        else:
            sent[name] = spikes_of(population, _input(plan, into, sent))
        populations.append(population)
        synapses += into
    kind = "count"
    if populations[-1].kind == "readout":
        kind = str(rng.choice(["sum", "last_v", "max_v", "mean_v"]))
    net = FixedPointNetwork(
        populations=tuple(populations), synapses=tuple(synapses), n_input=codes.shape[2],
        encoder=plan.encoder, readout=Readout(populations[-1].name, kind), steps=plan.steps,
        input_shape=plan.shapes[INPUT],
    )  # fmt: skip
    return _settled(plan, net, sent)


def _fitting_layer(plan: _Plan, name, sent):
    rng = plan.rng
    plans = [s for s in plan.synapses if s.target == name]
    for _ in range(_LAYERS):
        conv = any(s.kind == "conv" for s in plans)
        center = 0 if conv else int(rng.integers(-8, 8))
        if plan.extreme:
            center = int(rng.integers(5, 8))
        exponents = np.clip(center + rng.integers(-2, 2, len(plans)), -8, 7)
        into = [s.draw(rng, int(e)) for s, e in zip(plans, exponents, strict=True)]
        a = _input(plan, into, sent)
        population = random_population(
            rng, name, plan.neurons[name], plan.shapes[name], plan.latency[name], a,
            hardware=plan.hardware, extreme=plan.extreme,
        )  # fmt: skip
        fitted = fitting(rng, population, a, hardware=plan.hardware)
        if fitted is not None:
            return fitted, into
    return None


def _input(plan: _Plan, synapses: list[FixedSynapse], sent):
    """Return what a layer receives at each logical step, int32 values [T, B, N]."""
    total = 0
    for s in synapses:
        values = sent[s.source]
        steps, batch, size = values.shape
        flat = message(s, values.reshape(-1, size))
        for delay, (part, _) in BufferedSynapse(s, 1).slot_sums(flat).items():
            later = 0
            if s.source != ALWAYS_ON:
                later = plan.latency[s.source] + 1 + delay - plan.latency[s.target]
            felt = np.zeros((steps, batch, s.size_out), np.int64)
            felt[later:] = part.reshape(steps, batch, -1)[: max(steps - later, 0)]
            total = total + felt
    return wrap32(total)


def _settled(plan: _Plan, net: FixedPointNetwork, sent) -> FixedPointNetwork | None:
    """Run the whole network; fit layers again whose rate the true feedback has spoiled."""
    for _ in range(_ROUNDS):
        run = run_aligned(net, sent[INPUT])
        unfit = []
        for p in net.populations:
            sent[p.name] = run.records[f"{p.name}/spikes"]
            if p.kind != "readout" and not (LOWEST_RATE <= sent[p.name].mean() <= HIGHEST_RATE):
                unfit.append(p)
        if not unfit:
            return net
        for p in unfit:
            again = fitting(
                plan.rng, p, _input(plan, list(net.synapses_into(p.name)), sent),
                hardware=plan.hardware,
            )  # fmt: skip
            if again is None:
                return None
            changed = tuple(again if q.name == p.name else q for q in net.populations)
            net = replace(net, populations=changed)
    return None
