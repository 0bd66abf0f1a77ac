"""A slow, literal int64 interpreter of Lava's fixed_pt rules and of DLIF, for tests only.

Written apart from neurodeploy's simulator: nothing is shared but the network's types. Every rule
is spelled out in int64 with an explicit wrap to 32 bits where Lava holds an int32. Plain numpy, so
that it also runs inside the Lava runtime.

Counts, defined here for all simulators:

* ``wraps``: neuron-steps in which the synaptic input left 32 bits, or u left (-2^23, 2^23] before
  its wrap; for dlif: the input left 32 bits, or |x| >= 2^17.
* ``clamps``: neuron-steps in which clipping changed v.
* ``operations``: events that a synapse received, each times the non-zero weights it met.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from neurodeploy.network.fixed import FixedPointNetwork, FixedPopulation, FixedSynapse
from neurodeploy.network.floating import ALWAYS_ON, INPUT
from neurodeploy.network.start_state import start_v

V_HIGH = 2**23 - 1


@dataclass
class LiteralRun:
    """``records["<population>/<quantity>"]`` int64 [T, B, N]; ``counts["<name>/<count>"]`` [B]."""

    records: dict[str, np.ndarray] = field(default_factory=dict)
    counts: dict[str, np.ndarray] = field(default_factory=dict)


def wrap32(x):
    """Reduce int64 to what an int32 would hold."""
    return ((x + 2**31) & (2**32 - 1)) - 2**31


def decay(x, k):
    """``sign(x) * ((|x| * k) >> 12)``: toward zero."""
    return np.sign(x) * ((np.abs(x) * k) >> 12)


def wrap24(x):
    """Wrap once into (-2^23, 2^23]."""
    y = np.where(x > 2**23, x - 2**24, x)
    return np.where(x <= -(2**23), y + 2**24, y)


def synaptic_sum(synapse: FixedSynapse, sent: np.ndarray):
    """Return the shifted sum [B, out] of one synapse, where it left 32 bits, and operations [B]."""
    s = sent if synapse.message_bits > 0 else (sent != 0).astype(np.int64)
    weight = synapse.weight.astype(np.int64)
    exact = s @ weight.T
    acc = wrap32(exact)
    left = acc != exact
    e = synapse.weight_exp
    shifted = acc << e if e > 0 else acc >> -e
    total = wrap32(shifted)
    left |= total != shifted
    operations = (s != 0).astype(np.int64) @ (weight != 0).sum(axis=0)
    return total, left, operations


def lif_step(p: FixedPopulation, u, v, a):
    """Return u, v before reset, spikes, and where u left 24 bits and v was clipped."""
    shifted = a << 6
    inner = decay(u, 4095 - p.decay_u.astype(np.int64)) + wrap32(shifted)
    wrapped = (wrap32(shifted) != shifted) | (inner > 2**23) | (inner <= -(2**23))
    u = wrap24(wrap32(inner))
    bias = p.bias.astype(np.int64) << p.bias_exp
    full = wrap32(decay(v, 4096 - p.decay_v.astype(np.int64)) + u + bias)
    v_pre = np.clip(full, -V_HIGH, V_HIGH)
    return u, v_pre, v_pre > (p.v_threshold.astype(np.int64) << 6), wrapped, v_pre != full


def dlif_step(p: FixedPopulation, v, a, t):
    """Return v before reset, spikes and the two flags; ``t`` counts the layer's steps from 1."""
    m = int(p.gain[min(t, p.gain.size) - 1])
    x = ((a + p.bias.astype(np.int64)) * m) >> p.gain_shift
    full = decay(v, 4096 - p.decay_v.astype(np.int64)) + (x << 6)
    v_pre = np.clip(full, -V_HIGH, V_HIGH)
    fired = v_pre > (p.v_threshold.astype(np.int64) << 6)
    return v_pre, fired, np.abs(x) >= 2**17, v_pre != full


class _State:
    """One population's integers for a batch, and what it has recorded."""

    def __init__(self, p: FixedPopulation, v_start, batch: int):
        self.p = p
        self.u = np.tile(p.u_init.astype(np.int64), (batch, 1))
        self.v = np.tile(v_start.astype(np.int64), (batch, 1))
        self.steps_done = 0
        self.spikes = np.zeros((batch, p.size), np.int64)
        self.recorded = {q: [] for q in ("spikes", "u", "v", "v_pre")}
        self.sums = {q: np.zeros(batch, np.int64) for q in ("spikes", "wraps", "clamps")}

    def step(self, a, left32, waiting=False):
        v_pre, fired = self.v, np.zeros(self.v.shape, bool)
        wrapped = clamped = np.zeros(self.v.shape, bool)
        if not waiting:
            self.steps_done += 1
            if self.p.kind == "dlif":
                v_pre, fired, wrapped, clamped = dlif_step(self.p, self.v, a, self.steps_done)
            else:
                self.u, v_pre, fired, wrapped, clamped = lif_step(self.p, self.u, self.v, a)
            wrapped = wrapped | left32
        self.v = np.where(fired, 0, v_pre)
        self.spikes = fired.astype(np.int64)
        self._note(v_pre, fired, wrapped, clamped)

    def _note(self, v_pre, fired, wrapped, clamped):
        for quantity, value in (("spikes", fired), ("wraps", wrapped), ("clamps", clamped)):
            self.sums[quantity] += value.sum(axis=1)
        row = {"spikes": self.spikes, "u": self.u, "v": self.v, "v_pre": v_pre}
        for quantity, value in row.items():
            self.recorded[quantity].append(np.array(value))


def _collect(net, states, operations) -> LiteralRun:
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


def run_aligned(net: FixedPointNetwork, codes, steps=None) -> LiteralRun:
    """Run with zero latency: every layer does logical step t on its source's spikes of step t."""
    stimulus = _stimulus(net, codes, steps)
    batch = stimulus.shape[1]
    states = {p.name: _State(p, p.v_init, batch) for p in net.populations}
    operations = {s.name: np.zeros(batch, np.int64) for s in net.synapses}
    for x in stimulus:
        for p in net.populations:
            a = np.zeros((batch, p.size), np.int64)
            left = np.zeros((batch, p.size), bool)
            for synapse in net.synapses_into(p.name):
                if synapse.source == INPUT:
                    sent = x
                elif synapse.source == ALWAYS_ON:
                    sent = np.ones((batch, 1), np.int64)
                else:
                    sent = states[synapse.source].spikes
                part, part_left, done = synaptic_sum(synapse, sent)
                operations[synapse.name] += done
                left |= part_left | (wrap32(a + part) != a + part)
                a = wrap32(a + part)
            states[p.name].step(a, left)
    return _collect(net, states, operations)


def run_hardware(net: FixedPointNetwork, codes, steps=None) -> LiteralRun:
    """Run on hardware time, as Lava does: ``steps + max_latency`` steps.

    In each step first all neurons update from the synapses' buffers, then the sources send, then
    all synapses compute new buffers from this step's spikes.
    """
    stimulus = _stimulus(net, codes, steps)
    batch = stimulus.shape[1]
    states = {p.name: _State(p, start_v(p), batch) for p in net.populations}
    operations = {s.name: np.zeros(batch, np.int64) for s in net.synapses}
    size = {p.name: p.size for p in net.populations}
    buffers = {
        s.name: (np.zeros((batch, size[s.target]), np.int64), np.zeros((batch, 1), bool))
        for s in net.synapses
    }
    for step in range(1, stimulus.shape[0] + net.max_latency + 1):
        for p in net.populations:
            a = np.zeros((batch, p.size), np.int64)
            left = np.zeros((batch, p.size), bool)
            for synapse in net.synapses_into(p.name):
                part, part_left = buffers[synapse.name]
                left |= part_left | (wrap32(a + part) != a + part)
                a = wrap32(a + part)
            states[p.name].step(a, left, waiting=p.kind == "dlif" and step <= p.latency)
        for synapse in net.synapses:
            if synapse.source == INPUT:
                sent = stimulus[step - 1] if step <= stimulus.shape[0] else 0 * stimulus[0]
            elif synapse.source == ALWAYS_ON:
                on = step >= net.population(synapse.target).latency
                sent = np.full((batch, 1), int(on), np.int64)
            else:
                sent = states[synapse.source].spikes
            total, left, done = synaptic_sum(synapse, sent)
            operations[synapse.name] += done
            buffers[synapse.name] = (total, left)
    return _collect(net, states, operations)


def logical_records(net: FixedPointNetwork, hardware: LiteralRun, steps: int) -> dict:
    """Cut each population's hardware records to its logical steps 1..steps."""
    cut = {}
    for key, rows in hardware.records.items():
        latency = net.population(key.rsplit("/", 1)[0]).latency
        cut[key] = rows[latency : latency + steps]
    return cut
