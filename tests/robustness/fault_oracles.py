"""The literal interpreters of networks with something between a neuron and those who hear it.

``change(population, step, spikes)`` gives what leaves the population of the spikes that it fired
in a step (from 0); a fixed-point run hands it int64 [B, N], a float one the values [N] of one
sample, whose number comes first: ``change(sample, population, step, spikes)``.
"""

import numpy as np
from oracles import literal_float
from oracles.literal_fixed import NeuronState, _add_parts
from oracles.literal_synapses import LogicalSynapse

from neurodeploy.network import ALWAYS_ON, INPUT


def run_fixed_changed(net, codes, change):
    """Return {"<population>/<quantity>": int64 [T, B, N]}; ``spikes`` are what left."""
    codes = np.asarray(codes, np.int64)
    batch = len(codes)
    states = {p.name: NeuronState(p, p.v_init, batch) for p in net.populations}
    synapses = {s.name: LogicalSynapse(net, s) for s in net.synapses}
    sent = {INPUT: [], ALWAYS_ON: [], **{name: s.spikes for name, s in states.items()}}
    for t in range(net.steps):
        sent[INPUT].append(codes)
        sent[ALWAYS_ON].append(np.ones((batch, 1), np.int64))
        for p in net.populations:
            parts = [
                part
                for s in net.synapses
                if s.target == p.name
                for part in synapses[s.name].felt(sent[s.source], t + 1)
            ]
            a, left = _add_parts((batch, p.size), parts)
            state = states[p.name]
            state.step(a, left, t + 1 + p.latency)
            state.spikes[-1] = np.asarray(change(p.name, t, state.spikes[-1]))
    return {
        f"{name}/{quantity}": np.stack(rows)
        for name, state in states.items()
        for quantity, rows in state.recorded.items()
    }


class _Changed(literal_float._Sample):
    def __init__(self, net, values, sample, change):
        super().__init__(net, values, np.float64)
        self.sample, self.change = sample, change
        self.left = {p.name: [] for p in net.populations}

    def send(self, p, x, t):
        sent = super().send(p, x, t)
        if p.fires:
            sent = np.asarray(self.change(self.sample, p.name, t, sent), np.float64)
        self.left[p.name].append(sent)
        return sent


def run_float_changed(net, values, change):
    """Return what left each population, {name: float64 [T, B, N]}, for held values [B, n]."""
    samples = []
    for i in range(len(values)):
        one = _Changed(net, np.broadcast_to(values[i], (net.steps, net.n_input)), i, change)
        for t in range(net.steps):
            one.step(t)
        samples.append(one)
    return {
        p.name: np.stack([np.stack(s.left[p.name]) for s in samples], axis=1)
        for p in net.populations
    }
