"""A third reading of the execution contract, for the peers' graphs only: numpy, float64, literal.

It runs in a peer's own environment (numpy and nir, nothing of neurodeploy) and answers one
question: which contract words make a graph do what its tool did? Only the nodes that peers
export are here. ``closest`` tells how far from a threshold the closest decision was.
"""

import nir
import numpy as np

SPIKING = (nir.IF, nir.LIF, nir.CubaLIF)
STATEFUL = (*SPIKING, nir.LI, nir.CubaLI)
PLAIN = {
    "reset": "value",
    "decay": "euler",
    "spikes": "single",
    "input_gain": "r",
    "if_unit": "second",
    "recurrent_cut": "spikes",
    "v_min": "none",
}


def flatten_graph(graph, prefix=""):
    """Return (nodes by ``outer/inner`` name, edges) without nested graphs and their ports."""
    nodes, edges, entry, leave = {}, [], {}, {}
    for name, node in graph.nodes.items():
        full = prefix + name
        if isinstance(node, nir.NIRGraph):
            inner_nodes, inner_edges = flatten_graph(node, full + "/")
            nodes.update(inner_nodes)
            edges.extend(inner_edges)
            entry[full] = _only(inner_nodes, full, nir.Input)
            leave[full] = _only(inner_nodes, full, nir.Output)
        else:
            nodes[full] = node
    for source, target in graph.edges:
        source, target = prefix + source, prefix + target
        edges.append((leave.get(source, source), entry.get(target, target)))
    return nodes, edges


def _only(nodes, outer, kind):
    (name,) = [n for n, v in nodes.items() if isinstance(v, kind) and n.rpartition("/")[0] == outer]
    return name


def run(graph, x, words):
    """Run ``graph`` on x [T, B, *shape]; return ({node: [T, B, *shape]}, closest decision)."""
    network = Literal(graph, {**PLAIN, **words})
    for values in np.asarray(x, float):
        network.step(values)
    return {n: np.stack(v) for n, v in network.record.items()}, network.closest


class Literal:
    """The state of one run."""

    def __init__(self, graph, words):
        self.nodes, self.edges = flatten_graph(graph)
        self.words = words
        self.dt = words["dt"]
        self.t = 0
        self.sources = {n: [a for a, b in self.edges if b == n] for n in self.nodes}
        self.distance = self._distances()
        self.reach = {n: self._reachable(n) for n in self.nodes}
        self.state = {n: {"v": 0.0, "i": 0.0, "n": 0.0} for n in self.nodes}
        self.record = {n: [] for n in self.nodes}
        self.before, self.now = {}, {}
        self.closest = np.inf

    def _distances(self):
        # Fewest stateful nodes on a way from an Input, the node itself included.
        distance = {n: 0 for n, v in self.nodes.items() if self._is_input(n)}
        changed = True
        while changed:
            changed = False
            for a, b in self.edges:
                if a in distance:
                    new = distance[a] + isinstance(self.nodes[b], STATEFUL)
                    if new < distance.get(b, np.inf):
                        distance[b], changed = new, True
        return distance

    def _is_input(self, name):
        return isinstance(self.nodes[name], nir.Input) and not self.sources[name]

    def _reachable(self, name):
        seen, todo = set(), [name]
        while todo:
            here = todo.pop()
            for a, b in self.edges:
                if a == here and b not in seen:
                    seen.add(b)
                    todo.append(b)
        return seen

    def _is_feedback(self, source, target):
        return (
            target in self.reach[source]
            and source in self.reach[target]
            and self.distance[target] <= self.distance[source]
        )

    def step(self, values):
        """One time step: stateful nodes by distance, then everything for the record."""
        self.values, self.before, self.now = values, self.now, {}
        order = [n for n, v in self.nodes.items() if isinstance(v, STATEFUL)]
        for name in sorted(order, key=self.distance.get):
            self.now[name] = self._neuron(name, self._input_of(name, name))
        for name in self.nodes:
            out = self.now[name] if name in self.now else self._output(name, None)
            self.record[name].append(out)
        self.t += 1

    def _input_of(self, name, target):
        return sum(self._output(s, target) for s in self.sources[name])

    def _output(self, name, target):
        """What ``target`` sees of ``name`` at this step."""
        node = self.nodes[name]
        if isinstance(node, STATEFUL):
            if target is not None and self._is_feedback(name, target):
                return self.before.get(name, np.zeros(np.shape(node.r)))
            return self.now[name]
        if self._is_input(name):
            return self.values
        if (
            self.words["recurrent_cut"] == "affine"
            and self.t == 0
            and self._only_late(name, target)
        ):
            return 0.0
        return linear(node, self._input_of(name, target))

    def _only_late(self, name, target):
        if isinstance(self.nodes[name], STATEFUL):
            return target is not None and self._is_feedback(name, target)
        return bool(self.sources[name]) and all(
            self._only_late(s, target) for s in self.sources[name]
        )

    def _share(self, tau):
        ratio = self.dt / np.asarray(tau, float)
        return 1 - np.exp(-ratio) if self.words["decay"] == "exponential" else ratio

    def _neuron(self, name, x):
        node, state, words = self.nodes[name], self.state[name], self.words
        gain = 1.0 if words["input_gain"] == "one" else np.asarray(node.r, float)
        if isinstance(node, nir.IF):
            scale = self.dt if words["if_unit"] == "second" and words["input_gain"] == "r" else 1.0
            y = state["v"] + gain * scale * x
        else:
            tau = getattr(node, "tau", None)
            if isinstance(node, (nir.CubaLIF, nir.CubaLI)):
                tau = node.tau_mem
                a_syn = self._share(node.tau_syn)
                state["i"] = state["i"] + a_syn * (np.asarray(node.w_in, float) * x - state["i"])
                x = state["i"]
            a = self._share(tau)
            drive = x if words["input_gain"] == "one" else a * gain * x
            y = state["v"] + a * (np.asarray(node.v_leak, float) - state["v"]) + drive
        if not isinstance(node, SPIKING):
            state["v"] = y
            return y
        return self._spike(node, state, y)

    def _spike(self, node, state, y):
        th, reset = np.asarray(node.v_threshold, float), self.words["reset"]
        above = state["v"] > th
        if reset == "subtract-late":
            y = y - state["n"] * th
        tested = y - above * th if reset == "subtract-once" else y
        if self.words["spikes"] == "multiple":
            n = np.maximum(0.0, np.floor(tested / th))
            rest = np.abs(tested / th - np.maximum(1, np.round(tested / th))) * np.abs(th)
        else:
            n = (tested > th).astype(float)
            rest = np.abs(tested - th)
        self.closest = min(self.closest, float(rest.min()))
        if reset in ("subtract", "subtract-once"):
            y = y - n * th
        elif reset == "value":
            y = np.where(n > 0, np.asarray(node.v_reset, float), y)
        if self.words["v_min"] != "none":
            y = np.maximum(y, self.words["v_min"])
        state["v"], state["n"] = y, n
        return n


def linear(node, x):
    """Apply a node without state to x [B, *shape]."""
    if isinstance(node, (nir.Affine, nir.Linear)):
        y = x @ np.asarray(node.weight, float).T
        return y + np.asarray(node.bias, float) if isinstance(node, nir.Affine) else y
    if isinstance(node, nir.Conv1d):
        weight = np.asarray(node.weight, float)[:, :, None, :]
        row = [(1, _first(node.stride)), (0, _first(node.padding)), (1, _first(node.dilation))]
        return _conv(x[:, :, None, :], weight, *row, node.groups, node.bias)[:, :, 0, :]
    if isinstance(node, nir.Conv2d):
        weight = np.asarray(node.weight, float)
        pairs = [_pair(node.stride), _pair(node.padding), _pair(node.dilation)]
        return _conv(x, weight, *pairs, node.groups, node.bias)
    if isinstance(node, (nir.SumPool2d, nir.AvgPool2d)):
        kernel, channels = _pair(node.kernel_size), x.shape[1]
        weight = np.ones((channels, 1, *kernel))
        if isinstance(node, nir.AvgPool2d):
            weight = weight / np.prod(kernel)
        zero = np.zeros(channels)
        return _conv(x, weight, _pair(node.stride), _pair(node.padding), (1, 1), channels, zero)
    if isinstance(node, nir.Flatten):
        axes = x.ndim - 1
        start, end = int(node.start_dim) % axes + 1, int(node.end_dim) % axes + 1
        return x.reshape(*x.shape[:start], -1, *x.shape[end + 1 :])
    if isinstance(node, (nir.Input, nir.Output)):
        return x
    raise TypeError(type(node).__name__)


def _first(value):
    return value if isinstance(value, str) else int(np.ravel(value)[0])


def _pair(value):
    if isinstance(value, str):
        return value
    return tuple(int(v) for v in np.broadcast_to(np.ravel(value), 2))


def _conv(x, weight, stride, padding, dilation, groups, bias):
    outputs, per_group, kh, kw = weight.shape
    padding = (0, 0) if padding == "valid" else padding
    x = np.pad(x, ((0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2))
    height = (x.shape[2] - dilation[0] * (kh - 1) - 1) // stride[0] + 1
    width = (x.shape[3] - dilation[1] * (kw - 1) - 1) // stride[1] + 1
    y = np.zeros((len(x), outputs, height, width))
    for out in range(outputs):
        first = out // (outputs // int(groups)) * per_group
        for c, i, j in np.ndindex(per_group, kh, kw):
            top, left = i * dilation[0], j * dilation[1]
            part = x[:, first + c, top:, left:]
            part = part[:, : height * stride[0] : stride[0], : width * stride[1] : stride[1]]
            y[:, out] += weight[out, c, i, j] * part[:, :height, :width]
    return y + np.asarray(bias, float)[:, None, None]
