"""A slow, literal interpreter of NIR graphs with an execution contract, for tests only.

Written apart from neurodeploy, from which it imports nothing: plain numpy, one time step and one
node at a time. ``run`` answers "what is node n's output at step t?" by asking the nodes before it,
and remembers the answers. The meaning:

* All states start at zero; input index t gives output index t; several edges into a node add.
* A Delay whose entries are all at least one step breaks a cycle. Any other cycle is cut between
  two populations (neurons, Thresholds and Delays) of the same loop, where the receiver is not
  further from the Input than the sender, counting populations: it sees the sender's step t-1,
  zero at t = 0. With ``recurrent_cut`` "affine" the linear nodes on that way are what is seen one
  step late, so that their bias, too, is absent at t = 0.

Names inside a nested graph are ``outer/inner``.
"""

import functools
from dataclasses import dataclass, field

import h5py
import numpy as np
from oracles.literal_layers import layer

SPIKING = ("IF", "LIF", "CubaLIF")
STATEFUL = (*SPIKING, "I", "LI", "CubaLI")
POPULATIONS = (*STATEFUL, "Threshold", "Delay")
PLAIN = {
    "reset": "value",
    "decay": "euler",
    "spikes": "single",
    "input_gain": "r",
    "if_unit": "second",
    "recurrent_cut": "spikes",
    "delay_rounding": "error",
    "v_min": "none",
}
#: Fields that hold real numbers.
REAL = ("weight", "bias", "scale", "threshold", "delay", "r", "tau", "tau_syn", "tau_mem",
        "v_leak", "v_threshold", "v_reset", "w_in")  # fmt: skip


@dataclass
class LiteralGraph:
    """Leaf nodes by name as dictionaries of their fields, and edges between leaves."""

    nodes: dict
    edges: list
    metadata: dict = field(default_factory=dict)


@dataclass
class LiteralRun:
    """Outputs of every node, v after and before reset of stateful ones: [T, B, *shape] by name.

    ``closest`` is the smallest distance of a decision from its threshold, relative to the largest
    number near it; ``decisions`` how many there were.
    """

    outputs: dict = field(default_factory=dict)
    v: dict = field(default_factory=dict)
    v_pre: dict = field(default_factory=dict)
    closest: float = np.inf
    decisions: int = 0


def load(path):
    """Read a NIR file (HDF5) as it stands."""
    with h5py.File(path, "r") as file:
        return from_tree(_tree(file["node"]))


def _tree(item):
    if isinstance(item, h5py.Group):
        return {key: _tree(item[key]) for key in item}
    value = item[()]
    if item.name.endswith("/edges"):
        return [(source.decode(), target.decode()) for source, target in value]
    return value.decode() if isinstance(value, bytes) else value


def from_tree(tree):
    """Return the LiteralGraph of a nested dictionary: {"nodes": .., "edges": .., "metadata": ..}."""
    nodes, edges = {}, []
    for name, node in tree["nodes"].items():
        if node["type"] != "NIRGraph":
            nodes[name] = node
            continue
        inner = from_tree(node)
        nodes.update({f"{name}/{key}": leaf for key, leaf in inner.nodes.items()})
        edges += [(f"{name}/{source}", f"{name}/{target}") for source, target in inner.edges]
    for source, target in tree["edges"]:
        edges.append((_door(tree, source, "Output"), _door(tree, target, "Input")))
    return LiteralGraph(nodes, edges, tree.get("metadata", {}))


def _door(tree, name, kind):
    """Return the leaf where an edge leaves (Output) or enters (Input) the node ``name``."""
    node = tree["nodes"][name]
    if node["type"] != "NIRGraph":
        return name
    (door,) = (key for key, leaf in node["nodes"].items() if leaf["type"] == kind)
    return f"{name}/{door}"


def run(graph, x, words, record=None, dtype=np.float64):
    """Run on ``x`` [T, B, *input shape]; ``record`` names the nodes to return (default all)."""
    return _Run(graph, np.asarray(x, dtype), {**PLAIN, **words}, dtype).result(record)


class _Run:
    def __init__(self, graph, x, words, dtype):
        self.x, self.words, self.dtype = x, words, dtype
        self.nodes = {
            name: {k: np.asarray(v, dtype) if k in REAL else v for k, v in node.items()}
            for name, node in graph.nodes.items()
        }
        self.sources = {name: [] for name in self.nodes}
        for source, target in graph.edges:
            self.sources[target].append(source)
        self.populations = [n for n, node in self.nodes.items() if node["type"] in POPULATIONS]
        self.delay = {
            n: delay_steps(node["delay"], words["dt"], words["delay_rounding"])
            for n, node in graph.nodes.items()
            if node["type"] == "Delay"
        }
        # Distance counts from the outermost Input; nested ones only hand on.
        self.inputs = [n for n in self.nodes if self.nodes[n]["type"] == "Input" and "/" not in n]
        self.feedback = self.find_feedback()
        self.late = functools.cache(self.late)
        self.remembered = {}
        self.state = {n: {"v": 0.0, "i": 0.0, "spikes": 0.0} for n in self.populations}
        self.trace = LiteralRun()
        self.v, self.v_pre = {}, {}

    def result(self, record):
        """Step everything once through all time."""
        steps = range(len(self.x))
        for t in steps:
            for name in self.nodes:
                self.seen(name, None, t)
        for name in self.nodes if record is None else record:
            self.trace.outputs[name] = np.stack([self.seen(name, None, t) for t in steps])
            if name in self.v:
                self.trace.v[name] = np.stack(self.v[name])
                self.trace.v_pre[name] = np.stack(self.v_pre[name])
        return self.trace

    # -- which connections are feedback ----------------------------------------------------------

    def find_feedback(self):
        """Return the pairs (sender, receiver) of populations whose connection is one step late."""
        edges = [(s, t) for t in self.nodes for s in self.sources[t]]
        distance = dict.fromkeys(self.nodes, np.inf) | dict.fromkeys(self.inputs, 0)
        for _ in self.nodes:
            for s, t in edges:
                distance[t] = min(distance[t], distance[s] + (t in self.populations))
        now = [(s, t) for s, t in edges if not self.waits(t)]
        neurons = (*STATEFUL, "Threshold")
        between = [e for e in now if all(self.nodes[n]["type"] not in neurons for n in e)]
        for n in self.nodes:
            if n in reachable(n, between):
                raise ValueError(f"a cycle through {n} holds no neuron")
        after = {n: reachable(n, now) for n in self.populations}
        return {
            (p, q)
            for p in self.populations
            for q in self.populations
            if q in after[p] and p in after[q] and distance[q] <= distance[p]
        }

    def waits(self, name):
        """Whether the node is a Delay that never lets through anything of the same step."""
        return name in self.delay and bool((self.delay[name] >= 1).all())

    def late(self, name, by, quantifier):
        """Whether any, or all, of what ``name`` passes on to population ``by`` is feedback."""
        if name in self.populations:
            return (name, by) in self.feedback
        if not self.sources[name]:
            return False
        return quantifier(self.late(s, by, quantifier) for s in self.sources[name])

    # -- values ----------------------------------------------------------------------------------

    def seen(self, name, by, t):
        """Return what population ``by`` gets from node ``name`` at step t; by None: what it is."""
        key = (name, by, t)
        if key not in self.remembered:
            self.remembered[key] = self.value(name, by, t)
        return self.remembered[key]

    def value(self, name, by, t):
        if by is not None and not self.late(name, by, any):
            return self.seen(name, None, t)
        cut_here = name in self.populations or self.words["recurrent_cut"] == "affine"
        if cut_here and by is not None and self.late(name, by, all):
            return self.seen(name, None, t - 1) if t else self.zero(name)
        if name in self.delay:
            return self.delayed(name, t)
        if name in self.populations:
            return self.step(name, self.arriving(name, name, t), t)
        if name in self.inputs:
            return self.x[t]
        return layer(self.nodes[name], self.arriving(name, by, t))

    def arriving(self, name, by, t):
        """Return the sum over the edges into ``name``; nothing arrives where there is none."""
        if not self.sources[name]:
            return np.zeros((self.x.shape[1], *self.shape_taken(name)), self.dtype)
        return sum(self.seen(source, by, t) for source in self.sources[name])

    def delayed(self, name, t):
        y = self.zero(name)
        for at, steps in np.ndenumerate(self.delay[name]):
            if t >= steps:
                history = self.arriving(name, name, t - steps)
                y[(slice(None), *at)] = history[(slice(None), *at)]
        return y

    def zero(self, name):
        """Return zeros of the shape of the node's output."""
        if name in self.populations or name in self.inputs:
            return np.zeros((self.x.shape[1], *self.shape_taken(name)), self.dtype)
        sources = self.sources[name]
        taken = self.zero(sources[0]) if sources else self.arriving(name, None, 0)
        return 0 * layer(self.nodes[name], taken)

    def shape_taken(self, name):
        """Return the shape of the input of a node that tells it."""
        node, kind = self.nodes[name], self.nodes[name]["type"]
        if kind in ("Affine", "Linear"):
            return (*node["weight"].shape[:-2], node["weight"].shape[-1])
        if name in self.populations or kind == "Scale":
            return max((node[key].shape for key in node if key in REAL), key=len)
        return tuple(int(n) for n in np.ravel(node["shape"]))

    # -- neurons ---------------------------------------------------------------------------------

    def step(self, name, x, t):
        """Advance one population by step t and return what it sends."""
        node, state, words = self.nodes[name], self.state[name], self.words
        kind, dt = node["type"], words["dt"]
        if kind == "Threshold":
            self.decide(x, node["threshold"], x)
            return layer(node, x)
        if kind in SPIKING and "dlif_gain" in node.get("metadata", {}):
            gain = np.ravel(node["metadata"]["dlif_gain"]["values"]).astype(self.dtype)
            x = x * gain[min(t, len(gain) - 1)]
        if kind in ("CubaLI", "CubaLIF"):
            w_in = node.get("w_in", 1)
            state["i"] = state["i"] + self.part(node["tau_syn"]) * (w_in * x - state["i"])
            x = state["i"]
        v, gain_is_one = state["v"], words["input_gain"] == "one"
        if kind in ("I", "IF"):
            per_step = dt if words["if_unit"] == "second" else 1
            y = v + x if gain_is_one else v + node["r"] * x * per_step
        else:
            a = self.part(node["tau"] if "tau" in node else node["tau_mem"])
            pull = node["v_leak"] - v
            y = v + a * pull + x if gain_is_one else v + a * (pull + node["r"] * x)
        if kind in SPIKING:
            v_pre, sent, v = self.fire(node, state, y)
        else:
            v_pre, v, sent = y, y, None
        if words["v_min"] != "none":
            v = np.maximum(v, float(words["v_min"]))
        state["v"], state["spikes"] = v, sent
        self.v.setdefault(name, []).append(v)
        self.v_pre.setdefault(name, []).append(v_pre)
        return v if sent is None else sent

    def part(self, tau):
        """Return how much of the way to its goal a state goes in one step."""
        ratio = self.words["dt"] / tau
        return ratio if self.words["decay"] == "euler" else 1 - np.exp(-ratio)

    def fire(self, node, state, y):
        """Return what is compared with the threshold, the spikes, and v after the reset."""
        threshold, reset = node["v_threshold"], self.words["reset"]
        if reset == "subtract-late":
            y = y - state["spikes"] * threshold
        compared = y
        if reset == "subtract-once":
            # The decision is lowered by a threshold where v was above it before this step.
            self.decide(state["v"], threshold, y)
            compared = y - (state["v"] > threshold) * threshold
        if self.words["spikes"] == "multiple":
            level = np.maximum(np.rint(compared / threshold), 1) * threshold
            self.decide(compared, level, y)
            n = np.maximum(0, np.floor(compared / threshold))
        else:
            self.decide(compared, threshold, y)
            n = (compared > threshold).astype(self.dtype)
        if reset == "value":
            v = np.where(n > 0, node.get("v_reset", self.dtype(0)), y)
        elif reset == "subtract-late":
            v = y
        else:
            v = y - n * threshold
        return compared, n, v

    def decide(self, value, threshold, size):
        """Note how close the decision ``value > threshold`` was."""
        scale = np.maximum(np.maximum(np.abs(threshold), np.abs(size)), 1e-300)
        gap = np.abs(value - threshold) / scale
        self.trace.closest = min(self.trace.closest, float(gap.min(initial=np.inf)))
        self.trace.decisions += gap.size


def delay_steps(delay, dt, rounding):
    """Return whole steps; a fraction of a step needs a rounding."""
    steps = np.asarray(delay, float) / dt
    whole = np.rint(steps)
    fraction = np.abs(steps - whole) > 1e-6
    if rounding == "error" and fraction.any():
        raise ValueError(f"delay of {steps} steps")
    other = np.floor(steps + 0.5) if rounding == "nearest" else np.floor(steps)
    return np.where(fraction, other, whole).astype(int)


def reachable(start, edges):
    """Return the nodes that a walk of one or more edges from ``start`` can end at."""
    found, front = set(), {start}
    while front:
        front = {t for s, t in edges if s in front} - found
        found |= front
    return found
