"""Counts what random networks held and did, so that tests can say what they have compared."""

from __future__ import annotations

from collections import Counter

import numpy as np

from neurodeploy.network import ALWAYS_ON, INPUT


def neuron_of(p):
    """Name the neuron as ``oracles.random_topologies.PAIRS`` does."""
    if p.kind != "lif":
        return p.kind
    if p.reset == "subtract":
        return "subtract"
    if p.refractory_steps:
        return "refractory"
    if p.reset_interval:
        return "periodic"
    if (p.decay_u < 4095).any():
        return "cuba"
    return "if" if not p.decay_v.any() else "lif"


class Coverage:
    """Sums over networks.

    ``pairs``: (neuron, synapse) -> populations; ``features``: name -> populations, synapses or
    networks that have it; ``counts``: wraps, clamps, spikes and operations; ``rates``: spikes per
    neuron and logical step of each layer that can fire; ``compared``: values.
    """

    def __init__(self):
        self.compared = self.networks = 0
        self.pairs, self.features, self.counts = Counter(), Counter(), Counter()
        self.rates = []

    def add(self, net, literal):
        """Add a network and what the oracle's logical steps of it did."""
        self.networks += 1
        self.features[f"depth {depth(net)}"] += 1
        for p in net.populations:
            self._add_population(net, p)
            if p.kind != "readout":
                self.rates.append(literal.records[f"{p.name}/spikes"].mean())
        for s in net.synapses:
            self._add_synapse(net, s)
        for key, values in literal.counts.items():
            self.counts[key.rsplit("/", 1)[1]] += int(values.sum())

    def useful_share(self):
        """Return the share of the layers that fire at 1 to 50 %."""
        rates = np.array(self.rates)
        return ((rates >= 0.01) & (rates <= 0.5)).mean()

    def _add_population(self, net, p):
        into = net.synapses_into(p.name)
        order = order_of(net)
        before = {s.source for s in into if order[s.source] < order[p.name]} - {ALWAYS_ON}
        kinds = {s.kind for s in into if s.source != ALWAYS_ON}
        self.pairs.update({(neuron_of(p), kind) for kind in kinds})
        self.features["residual"] += len(before) > 1
        self.features["bias in v"] += p.kind != "dlif" and p.bias.any()
        self.features["bias of dlif"] += p.kind == "dlif" and p.bias.any()
        self.features["bias in u"] += any(s.source == ALWAYS_ON for s in into)
        for field in ("decay_u", "decay_v", "v_threshold", "bias"):
            self.features[f"{field} per neuron"] += np.unique(getattr(p, field)).size > 1
        self.features["start values"] += bool(p.v_init.any() or p.u_init.any())

    def _add_synapse(self, net, s):
        order = order_of(net)
        back = order[s.source] >= order[s.target]
        self.features["cycle"] += back and s.source != s.target
        self.features[f"recurrent {s.kind}"] += back and s.source == s.target
        self.features["graded"] += s.message_bits > 0 and s.source == INPUT
        self.features[f"{s.kind} {s.sign_mode}"] += 1
        if s.kind == "conv":
            g, source = s.layout, order[s.source]
            fed = net.synapses_into(s.source) if s.source != INPUT else ()
            chained = any(order[f.source] < source and f.kind == "conv" for f in fed)
            self.features["conv chain"] += chained and not back
            self.features["groups"] += g.groups > 1
            self.features["stride"] += max(g.stride) > 1
            self.features["padding"] += max(g.padding) > 0
            self.features["dilation"] += max(g.dilation) > 1
        else:
            style = "one" if isinstance(s.delay, int) else "each"
            self.features[f"{s.kind} {style} delay"] += max(s.delays) > 0
            self.features["delay 62"] += max(s.delays) == 62
            self.features[f"exponent {int(np.sign(s.weight_exp))}"] += 1


def order_of(net):
    """Return the place of each source in the update order; the input comes first."""
    return {INPUT: -1, ALWAYS_ON: -1} | {p.name: i for i, p in enumerate(net.populations)}


def depth(net):
    """Return the number of populations on the longest way that never goes back."""
    order, depths = order_of(net), {INPUT: 0, ALWAYS_ON: 0}
    for p in net.populations:
        before = [s.source for s in net.synapses_into(p.name) if order[s.source] < order[p.name]]
        depths[p.name] = 1 + max((depths[source] for source in before), default=0)
    return max(depths.values())
