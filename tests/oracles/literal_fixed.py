"""A slow, literal int64 interpreter of Lava's fixed_pt rules and of our own neurons, for tests only.

Written apart from neurodeploy's simulator: nothing is shared but the network's types. Every rule
is spelled out in int64 with an explicit wrap to 32 bits where Lava holds an int32. Plain numpy, so
that it also runs inside the Lava runtime. ``run_aligned`` and ``run_hardware`` are two ways that
share the neuron alone: logical steps with logical delays; hardware steps with buffers.

Counts, defined here for all simulators:

* ``wraps``: neuron-steps in which the synaptic input left 32 bits (a sum of products, its shifted
  value, or the sum while the parts are added one after another: synapses in their order, of one
  synapse the delays ascending), or a convolution's sum left 24 bits, or u left (-2^23, 2^23]
  before its wrap; for dlif in place of u: |x| >= 2^17. Counted where the sum arrives.
* ``clamps``: neuron-steps in which clipping changed v; none where v is held.
* ``spikes``: of a population, in all its steps.
* ``operations``: events that a synapse's source sent, each times the non-zero weights it meets,
  counted when they are sent, whether or not they arrive before the end.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from oracles.literal_synapses import BufferedSynapse, LogicalSynapse, wrap32

from neurodeploy.network.connections import ALWAYS_ON, INPUT
from neurodeploy.network.fixed import FixedPointNetwork, FixedPopulation
from neurodeploy.network.start_state import start_v

V_HIGH = 2**23 - 1
QUANTITIES = ("spikes", "u", "v", "v_pre")


@dataclass
class LiteralRun:
    """``records["<population>/<quantity>"]`` int64 [T, B, N]; ``counts["<name>/<count>"]`` [B]."""

    records: dict[str, np.ndarray] = field(default_factory=dict)
    counts: dict[str, np.ndarray] = field(default_factory=dict)


def decay(x, k):
    """``sign(x) * ((|x| * k) >> 12)``: toward zero."""
    return np.sign(x) * ((np.abs(x) * k) >> 12)


def wrap24(x):
    """Wrap once into (-2^23, 2^23]."""
    y = np.where(x > 2**23, x - 2**24, x)
    return np.where(x <= -(2**23), y + 2**24, y)


def bias_shifted(p: FixedPopulation):
    """Return what a LIF adds to v: the mantissa as int16, shifted left or (floor) right, int32."""
    mantissa = ((p.bias.astype(np.int64) + 2**15) & (2**16 - 1)) - 2**15
    return wrap32(mantissa << p.bias_exp) if p.bias_exp >= 0 else mantissa >> -p.bias_exp


def waits(p: FixedPopulation) -> bool:
    """Whether it does nothing before its own first step: all that stock Lava does not have."""
    own = p.kind == "dlif" and p.gain_form == "microcode"
    return own or p.reset == "subtract" or p.refractory_steps > 0


def lif_step(p: FixedPopulation, u, v, a, threshold=None):
    """Return u, v before reset, spikes, and where u left 24 bits and v was clipped."""
    shifted = a << 6
    arrived = wrap32(shifted)
    inner = decay(u, 4095 - p.decay_u.astype(np.int64)) + arrived
    wrapped = (arrived != shifted) | (inner > 2**23) | (inner <= -(2**23))
    u = wrap24(wrap32(inner))
    full = wrap32(decay(v, 4096 - p.decay_v.astype(np.int64)) + u + bias_shifted(p))
    v_pre = np.clip(full, -V_HIGH, V_HIGH)
    threshold = p.v_threshold.astype(np.int64) if threshold is None else threshold
    return u, v_pre, v_pre > (threshold << 6), wrapped, v_pre != full


def dlif_drive(p: FixedPopulation, a, t):
    """Return what enters the membrane; ``t`` counts the layer's steps from 1, nothing before."""
    if t < 1:
        return np.zeros_like(a)
    m = int(p.gain[min(t, p.gain.size) - 1])
    return ((a + p.bias.astype(np.int64)) * m) >> p.gain_shift


def dlif_step(p: FixedPopulation, v, a, t, threshold=None):
    """Return v before reset, spikes and the two flags."""
    return dlif_membrane(p, v, dlif_drive(p, a, t), threshold)


def dlif_membrane(p: FixedPopulation, v, x, threshold=None):
    """Return v before reset, spikes and the two flags for what enters."""
    full = decay(v, 4096 - p.decay_v.astype(np.int64)) + (x << 6)
    v_pre = np.clip(full, -V_HIGH, V_HIGH)
    threshold = p.v_threshold.astype(np.int64) if threshold is None else threshold
    return v_pre, v_pre > (threshold << 6), np.abs(x) >= 2**17, v_pre != full


class NeuronState:
    """One population's integers for a batch, and what it has recorded.

    ``threshold`` (mantissas, anything that broadcasts to [B, N]) stands in for the population's.
    """

    def __init__(
        self, p: FixedPopulation, v_start, batch: int, threshold=None, record=QUANTITIES,
        on_hardware=False,
    ):  # fmt: skip
        self.p, self.on_hardware = p, on_hardware
        self.u = np.tile(p.u_init.astype(np.int64), (batch, 1))
        self.v = np.tile(v_start.astype(np.int64), (batch, 1))
        self.wait = np.zeros((batch, p.size), np.int64)
        self.threshold = p.v_threshold.astype(np.int64) if threshold is None else threshold
        self.steps_done = 0
        # Of a gain on graded messages: what is under way from the product to the membrane.
        self.under_way = np.zeros((batch, p.size), np.int64)
        self.recorded = {q: [] for q in record}
        self.sums = {q: np.zeros(batch, np.int64) for q in ("spikes", "wraps", "clamps")}

    @property
    def spikes(self):
        """Spikes of each step so far, a list of int64 [B, N]."""
        return self.recorded["spikes"]

    def step(self, a, left, hardware_step):
        """Do one step with input ``a`` that left its width where ``left`` says."""
        p, nothing = self.p, np.zeros(self.v.shape, bool)
        if waits(p) and hardware_step <= p.latency:
            self._note(self.v, nothing, nothing, nothing)
            return
        self.steps_done += 1
        if p.reset_interval and (hardware_step - p.reset_offset) % p.reset_interval == 0:
            self.u, self.v = np.zeros_like(self.u), np.zeros_like(self.v)
            self.wait = np.zeros_like(self.wait)
        if p.kind == "dlif" and p.gain_form == "graded" and self.on_hardware:
            # The sum of this step is multiplied now, and felt in the next.
            x, self.under_way = self.under_way, dlif_drive(p, a, hardware_step + 1 - p.latency)
            v_pre, fired, wrapped, clamped = dlif_membrane(p, self.v, x, self.threshold)
        elif p.kind == "dlif":
            v_pre, fired, wrapped, clamped = dlif_step(
                p, self.v, a, self.steps_done, self.threshold
            )
        else:
            self.u, v_pre, fired, wrapped, clamped = lif_step(p, self.u, self.v, a, self.threshold)
        held = self.wait > 0
        v_pre = np.where(held, self.v, v_pre)
        fired, clamped = fired & ~held, clamped & ~held
        after = v_pre - (self.threshold << 6) if p.reset == "subtract" else 0
        self.v = np.where(fired, after, v_pre)
        self.wait = np.where(held, self.wait - 1, np.where(fired, p.refractory_steps, 0))
        self._note(v_pre, fired, wrapped | left, clamped)

    def _note(self, v_pre, fired, wrapped, clamped):
        for quantity, value in (("spikes", fired), ("wraps", wrapped), ("clamps", clamped)):
            self.sums[quantity] += value.sum(axis=1)
        row = {"spikes": fired.astype(np.int64), "u": self.u, "v": self.v, "v_pre": v_pre}
        for quantity, rows in self.recorded.items():
            rows.append(np.array(row[quantity]))


def _collect(states, operations) -> LiteralRun:
    run = LiteralRun()
    for name, state in states.items():
        for quantity, rows in state.recorded.items():
            if not (quantity == "u" and state.p.kind == "dlif"):
                run.records[f"{name}/{quantity}"] = np.stack(rows)
        for count, value in state.sums.items():
            run.counts[f"{name}/{count}"] = value
    for name, value in operations.items():
        run.counts[f"{name}/operations"] = value
    return run


def _stimulus(net: FixedPointNetwork, codes, steps) -> np.ndarray:
    codes = np.asarray(codes, dtype=np.int64)
    if codes.ndim == 2:
        codes = np.broadcast_to(codes, (steps or net.steps, *codes.shape))
    return codes


def _add_parts(shape, parts):
    """Add the parts one after another in 32 bits; return the sum and where any of it left them."""
    a, left = np.zeros(shape, np.int64), np.zeros(shape, bool)
    for part, part_left in parts:
        total = a + part
        a = wrap32(total)
        left |= part_left | (a != total)
    return a, left


def run_aligned(net: FixedPointNetwork, codes, steps=None) -> LiteralRun:
    """Run with zero latency: every layer does logical step t, delays are logical.

    Nothing arrives from before step 1.
    """
    stimulus = _stimulus(net, codes, steps)
    batch = stimulus.shape[1]
    states = {p.name: NeuronState(p, p.v_init, batch) for p in net.populations}
    synapses = {s.name: LogicalSynapse(net, s) for s in net.synapses}
    operations = {s.name: np.zeros(batch, np.int64) for s in net.synapses}
    sent = {INPUT: [], ALWAYS_ON: [], **{name: s.spikes for name, s in states.items()}}
    for t, x in enumerate(stimulus, start=1):
        sent[INPUT].append(x)
        sent[ALWAYS_ON].append(np.ones((batch, 1), np.int64))
        for p in net.populations:
            parts = [
                part
                for s in net.synapses
                if s.target == p.name
                for part in synapses[s.name].felt(sent[s.source], t)
            ]
            a, left = _add_parts((batch, p.size), parts)
            states[p.name].step(a, left, t + p.latency)
        for s in net.synapses:
            operations[s.name] += synapses[s.name].operations(sent[s.source][-1])
    return _collect(states, operations)


def run_hardware(net: FixedPointNetwork, codes, steps=None) -> LiteralRun:
    """Run on hardware time, as Lava does: ``steps + max_latency`` steps.

    In each step first all neurons update from the synapses' buffers, then the sources send, then
    all synapses compute new buffers from this step's spikes. The always-on line sends from the
    step before its target's first; the input is silent after ``steps``.
    """
    stimulus = _stimulus(net, codes, steps)
    n_steps, batch = stimulus.shape[:2]
    states = {p.name: NeuronState(p, start_v(p), batch, on_hardware=True) for p in net.populations}
    synapses = {s.name: BufferedSynapse(s, batch) for s in net.synapses}
    operations = {s.name: np.zeros(batch, np.int64) for s in net.synapses}
    for h in range(1, n_steps + max(p.latency for p in net.populations) + 1):
        for p in net.populations:
            into = [synapses[s.name] for s in net.synapses if s.target == p.name]
            parts = [part for synapse in into for part in synapse.arriving()]
            a, left = _add_parts((batch, p.size), parts)
            states[p.name].step(a, left, h)
        for s in net.synapses:
            if s.source == INPUT:
                sent = stimulus[h - 1] if h <= n_steps else np.zeros_like(stimulus[0])
            elif s.source == ALWAYS_ON:
                on = h >= net.population(s.target).latency
                sent = np.full((batch, 1), int(on), np.int64)
            else:
                sent = states[s.source].spikes[-1]
            operations[s.name] += synapses[s.name].send(sent)
    return _collect(states, operations)


def logical_records(net: FixedPointNetwork, hardware: LiteralRun, steps: int) -> dict:
    """Cut each population's hardware records to its logical steps 1..steps."""
    cut = {}
    for key, rows in hardware.records.items():
        latency = net.population(key.rsplit("/", 1)[0]).latency
        cut[key] = rows[latency : latency + steps]
    return cut
