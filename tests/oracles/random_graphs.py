"""Small random NIR graphs with a random execution contract and input, valid and odd.

``random_graph`` returns nested dictionaries as a NIR file holds them; ``write`` puts them into
HDF5 with h5py itself, since ``nir`` refuses part of what is valid. With ``exact`` every number is
dyadic and small, so that no sum rounds in any order and even ties must come out equal.
"""

from dataclasses import dataclass, field

import h5py
import numpy as np
from oracles.literal_graph import PLAIN

NEURONS = ("I", "IF", "LI", "LIF", "CubaLI", "CubaLIF")
NAMES = ("{k}", "{t}{k}", "layer.{t}.{k}", "{t} {k}", "node_{k}", "é{k}", "{k}-{t}")


@dataclass
class RandomGraph:
    """``words``: the whole contract; ``options``: what of it the file does not say; x [T, B, ..]."""

    tree: dict
    words: dict
    options: dict
    x: np.ndarray
    features: set = field(default_factory=set)


def random_graph(rng, *, exact, size=7):
    """Return a valid graph of up to ``size`` nodes (a nested one counts as one)."""
    words = random_words(rng, exact)
    steps = int(rng.integers(1, 9 if exact else 13))
    axes = int(rng.choice([1, 1, 2, 3]))
    shape = tuple(int(n) for n in rng.integers(1, 7 if axes == 1 else 6, axes))
    build = _Builder(rng, words, steps, exact)
    tree = build.graph(shape, int(rng.integers(1, size + 1)), depth=0)
    x_shape = (steps, int(rng.integers(1, 4)), *shape)
    kind = rng.choice(["spikes", "integers", "real"])
    if kind == "spikes":
        x = (rng.random(x_shape) < 0.5).astype(float)
    elif kind == "integers" or exact:
        x = rng.integers(-1, 4, x_shape).astype(float)
    else:
        x = rng.normal(0.5, 1, x_shape)
    said = [key for key in words if rng.random() < 0.3]
    document = {key.replace("_", "-"): words[key] for key in said}
    if said:
        tree["metadata"] = {"neurodeploy": {"schema": 1, **document}}
    options = {key: value for key, value in words.items() if key not in said}
    return RandomGraph(tree, words, options, x, build.features | set(words.values()))


def random_words(rng, exact):
    """Return a contract: half of the words as in plain NIR-Euler, the others free."""
    words = {"dt": float(rng.choice([2**-10, 1.0] if exact else [1e-3, 1e-4, 5e-3, 1.0])), **PLAIN}
    choices = {
        "reset": ["value", "subtract", "subtract-late", "subtract-once"],
        "decay": ["euler"] if exact else ["euler", "exponential"],
        "spikes": ["single", "multiple"],
        "input_gain": ["r", "one"],
        "if_unit": ["second", "step"],
        "recurrent_cut": ["spikes", "affine"],
        "delay_rounding": ["error", "nearest", "floor"],
    }
    for key, allowed in choices.items():
        if rng.random() < 0.5:
            words[key] = str(rng.choice(allowed))
    if words["reset"] == "subtract-once":
        words["spikes"] = "single"  # together they mean nothing
    if rng.random() < 0.2:
        words["v_min"] = float(rng.choice([-1.0, -0.25, 0.0]))
    return words


@dataclass
class _Port:
    """A node where the graph can go on: what it takes, what it gives, whether it keeps a state."""

    name: str
    taken: tuple
    shape: tuple
    stateful: bool


class _Builder:
    """Grows a graph node by node, then adds connections back."""

    def __init__(self, rng, words, steps, exact):
        self.rng, self.words, self.steps, self.exact = rng, words, steps, exact
        self.features = set()

    def chance(self, p):
        return self.rng.random() < p

    def pick(self, *values):
        return values[int(self.rng.integers(len(values)))]

    def graph(self, shape, size, depth):
        nodes, edges = {}, []
        # A name may appear again inside a nested graph.
        style = self.pick(*NAMES)
        door = self.pick("input", "in", "0in")
        nodes[door] = {"type": "Input", "shape": np.array(shape)}
        ports = [_Port(door, shape, shape, False)]
        for k in range(size):
            source = ports[-1] if self.chance(0.8) else self.pick(*ports)
            kind = self.kind(source.shape, depth)
            node, out = self.node(kind, source.shape, depth)
            name = style.format(k=k, t=kind.lower())
            nodes[name] = node
            edges.append((source.name, name))
            self.features.add(kind)
            same = [p for p in ports if p.shape == source.shape and p is not source]
            if same and self.chance(0.3):
                edges.append((self.pick(*same).name, name))
                self.features.add("residual")
            ports.append(_Port(name, source.shape, out, kind in NEURONS))
        for k in range(int(self.rng.choice([0, 1, 1, 2]))):
            self.back(nodes, edges, ports, style, len(ports) + k)
        last = ports[-1]
        door = self.pick("output", "out", "zz")
        nodes[door] = {"type": "Output", "shape": np.array(last.shape)}
        edges.append((last.name, door))
        self.use_loose_ends(ports, door, edges)
        edges = list(dict.fromkeys(edges))
        self.rng.shuffle(edges)
        order = self.rng.permutation(list(nodes))
        edges = [(str(a), str(b)) for a, b in edges]
        return {"type": "NIRGraph", "nodes": {str(n): nodes[n] for n in order}, "edges": edges}

    def use_loose_ends(self, ports, door, edges):
        """Lead most nodes that nothing reads to a later node or to the Output, where shapes fit."""
        for k, port in enumerate(ports[:-1]):
            if all(s != port.name or t == port.name for s, t in edges) and self.chance(0.9):
                readers = [p.name for p in ports[k + 1 :] if p.taken == port.shape]
                readers += [door] if ports[-1].shape == port.shape else []
                if readers:
                    edges.append((port.name, self.pick(*readers)))

    def kind(self, shape, depth):
        """Return a node type that takes this shape; neurons are the most frequent."""
        kinds = [*NEURONS, "LIF", "IF", "CubaLIF", "Scale", "Threshold", "Delay", "Flatten"]
        kinds += ["Affine", "Linear"] * (3 if len(shape) == 1 else 1)
        kinds += ["Conv1d"] * 6 if len(shape) == 2 else []
        kinds += ["Conv2d", "Conv2d", "SumPool2d", "AvgPool2d"] * 3 if len(shape) == 3 else []
        kinds += ["NIRGraph"] * (2 if depth < 2 else 0)
        return self.pick(*kinds)

    def back(self, nodes, edges, ports, style, k):
        """Connect a node to an earlier one, or to itself."""
        later = int(self.rng.integers(1, len(ports)))
        sender, target = ports[later], ports[int(self.rng.integers(1, later + 1))]
        delayed = self.chance(0.3)
        if not (delayed or target.stateful):
            return
        way, shape = [], sender.shape
        bridge = shape != target.taken or self.chance(0.5)
        if bridge and len(target.taken) == 1:
            if len(shape) > 1:
                way.append({"type": "Flatten", "start_dim": 0, "end_dim": -1})
                shape = (int(np.prod(shape)),)
            way.append(self.matrix(self.pick("Affine", "Affine", "Linear"), shape, target.taken[0]))
        elif bridge and shape == target.taken:
            way.append({"type": "Scale", "scale": self.real(shape, -0.5, 0.75)})
        elif shape != target.taken:
            return
        if delayed:
            way.append({"type": "Delay", "delay": self.delay(target.taken, 1)})
            self.features.add("delayed cycle")
        source = sender.name
        for j, node in enumerate(way):
            name = style.format(k=f"{k}_{j}", t="back")
            nodes[name] = node
            edges.append((source, name))
            source = name
        edges.append((source, target.name))
        self.features.add("self-loop" if sender is target else "back")

    # -- numbers ---------------------------------------------------------------------------------

    def real(self, shape, low, high, integers=False):
        """Return numbers of a random type between the bounds; dyadic ones where exact."""
        if integers and self.chance(0.1):
            return self.rng.integers(round(low), round(high) + 1, shape).astype(np.int8)
        if self.exact:
            values = self.rng.integers(np.ceil(low * 8), np.floor(high * 8) + 1, shape) / 8
        else:
            values = self.rng.uniform(low, high, shape)
        return self.typed(values)

    def typed(self, values, *, half=True):
        kinds = ["f8", "f8", "f8", "f4", "f4", ">f8", ">f4", *(["f2"] if half else [])]
        return np.asarray(values).astype(self.pick(*kinds))

    def delay(self, shape, least):
        steps = self.rng.integers(least, 4, shape) + 0.0
        if self.words["delay_rounding"] != "error":
            steps += self.rng.choice([0, 0.25, 0.75], shape)
        return self.typed(steps * self.words["dt"], half=False)

    # -- nodes -----------------------------------------------------------------------------------

    def node(self, kind, shape, depth):
        """Return the node's fields and its output shape."""
        if kind == "NIRGraph":
            tree = self.graph(shape, int(self.rng.integers(1, 4)), depth + 1)
            (out,) = (n for n in tree["nodes"].values() if n["type"] == "Output")
            return tree, tuple(int(n) for n in out["shape"])
        if kind in ("Affine", "Linear"):
            n_out = int(self.rng.integers(1, 6))
            return self.matrix(kind, shape, n_out), (*shape[:-1], n_out)
        if kind == "Flatten":
            return self.flatten(shape)
        if kind in ("Conv1d", "Conv2d"):
            return self.conv(kind, shape)
        if kind in ("SumPool2d", "AvgPool2d"):
            return self.pool(kind, shape)
        if kind == "Scale":
            return {"type": kind, "scale": self.real(shape, -1, 2, integers=True)}, shape
        if kind == "Threshold":
            return {"type": kind, "threshold": self.real(shape, 0.125, 1)}, shape
        if kind == "Delay":
            return {"type": kind, "delay": self.delay(shape, int(self.rng.integers(2)))}, shape
        return self.neuron(kind, shape), shape

    def weight(self, shape, fan_in):
        span = 2 / np.sqrt(fan_in)
        span = 2.0 ** np.rint(np.log2(span)) if self.exact else span
        if self.chance(0.15):
            return self.rng.integers(-1, 2, shape).astype(np.int8)
        small = (
            self.rng.integers(-4, 9, shape) / 8 if self.exact else self.rng.uniform(-0.5, 1, shape)
        )
        return self.typed(span * small)

    def matrix(self, kind, shape, n_out):
        node = {"type": kind, "weight": self.weight((*shape[:-1], n_out, shape[-1]), shape[-1])}
        if len(shape) > 1:
            self.features.add("batched matrix")
        if kind == "Affine":
            node["bias"] = self.real((*shape[:-1], n_out), -0.25, 0.5, integers=True)
        return node

    def flatten(self, shape):
        node = {"type": "Flatten"}
        start, end = min(1, len(shape) - 1), len(shape) - 1
        if len(shape) == 1 or self.chance(0.7):
            start = int(self.rng.integers(0, len(shape)))
            end = int(self.rng.integers(start, len(shape)))
            node["start_dim"] = start - (len(shape) if self.chance(0.3) else 0)
            node["end_dim"] = end - (len(shape) if self.chance(0.5) else 0)
        if self.chance(0.7):
            node["input_type"] = np.array(shape)
        return node, (*shape[:start], int(np.prod(shape[start : end + 1])), *shape[end + 1 :])

    def conv(self, kind, shape):
        channels, extent = shape[0], np.array(shape[1:])
        groups = int(self.pick(*(g for g in (1, 2, 3, 4) if channels % g == 0)))
        kernel = self.rng.integers(1, np.minimum(extent, 3) + 1)
        dilation = np.where(2 * (kernel - 1) < extent, self.rng.integers(1, 3, len(extent)), 1)
        stride = self.rng.integers(1, 3, len(extent))
        padding = self.pick("same", "valid", "number", "number")
        if padding == "same":
            stride[:] = 1
            out = extent
        else:
            around = self.rng.integers(0, 3, len(extent)) * (padding == "number")
            out = (extent + 2 * around - dilation * (kernel - 1) - 1) // stride + 1
            padding = around if padding == "number" else padding
        n_out = groups * int(self.rng.integers(1, 3))
        weight = self.weight(
            (n_out, channels // groups, *kernel), channels // groups * kernel.prod()
        )
        node = {
            "type": kind, "weight": weight, "groups": groups, "stride": stride,
            "padding": padding, "dilation": dilation,
            "bias": self.real((n_out,), -0.25, 0.5, integers=True),
        }  # fmt: skip
        if self.chance(0.7):
            node["input_shape"] = int(extent[0]) if kind == "Conv1d" else extent
        for key in ("stride", "padding", "dilation"):
            value = node[key]
            if isinstance(value, np.ndarray) and (kind == "Conv1d" or (value[0] == value).all()):
                node[key] = int(value[0]) if kind == "Conv1d" or self.chance(0.5) else value
        self.features |= {"groups"} if groups > 1 else set()
        self.features |= {padding} if isinstance(padding, str) else set()
        return node, (n_out, *(int(n) for n in out))

    def pool(self, kind, shape):
        extent = np.array(shape[1:])
        kernel = self.rng.integers(1, np.minimum(extent, 3) + 1)
        if self.exact and kind == "AvgPool2d":
            kernel = np.minimum(kernel, 2)  # an average of three is not dyadic
        stride = self.rng.integers(1, 4, 2)
        padding = self.rng.integers(0, kernel // 2 + 1)
        out = (extent + 2 * padding - kernel) // stride + 1
        node = {"type": kind, "kernel_size": kernel, "stride": stride, "padding": padding}
        return node, (shape[0], *(int(n) for n in out))

    def neuron(self, kind, shape):
        dt, exact = self.words["dt"], self.exact
        node = {"type": kind}
        unit = np.ones(shape)

        def tau():
            ratio = (
                self.rng.choice([1.0, 2.0], shape) if exact else self.rng.uniform(1.05, 12, shape)
            )
            return self.typed(dt * ratio)

        if kind in ("I", "IF"):
            unit = unit / dt if self.words["if_unit"] == "second" else unit
        elif kind in ("LI", "LIF"):
            node["tau"] = tau()
            unit = node["tau"] / dt
        else:
            node["tau_syn"], node["tau_mem"] = tau(), tau()
            unit = node["tau_mem"] / dt
            if self.chance(0.8):
                strength = (
                    self.rng.choice([0.5, 1.0], shape)
                    if exact
                    else self.rng.uniform(0.5, 1.5, shape)
                )
                node["w_in"] = self.typed(node["tau_syn"] / dt * strength)
                node["w_in"] = np.float64(1.5) if self.chance(0.1) else node["w_in"]
        strength = (
            self.rng.choice([0.5, 1.0], shape) if exact else self.rng.uniform(0.5, 1.5, shape)
        )
        node["r"] = self.typed(unit.astype(float) * strength)
        if kind not in ("I", "IF"):
            node["v_leak"] = self.real(shape, -0.25, 0.5) * (self.chance(0.5))
        if kind in ("IF", "LIF", "CubaLIF"):
            node["v_threshold"] = self.real(shape, 0.25, 1.25)
            if self.chance(0.7):
                node["v_reset"] = self.real(shape, -0.75, 0.125)
        if kind in ("IF", "LIF", "CubaLIF") and self.chance(0.15):
            values = self.real((int(self.rng.integers(1, self.steps + 3)),), 0.25, 2)
            node["metadata"] = {"dlif_gain": {"values": values.astype(float), "after": "last"}}
            self.features.add("gain")
        return node


def write(path, tree, rng):
    """Write the nested dictionaries as a NIR file; ``rng`` chooses how edges and arrays are stored."""
    strings = h5py.string_dtype() if rng.random() < 0.9 else None
    compression = "gzip" if rng.random() < 0.2 else None
    with h5py.File(path, "w") as file:
        file["version"] = str(rng.choice(["0.1.1", "0.2.0", "1.0.4", "1.0.8"]))
        write_tree(file.create_group("node"), tree, strings, compression)


def write_tree(group, tree, strings=None, compression=None):
    """Write one dictionary into ``group``."""
    for key, value in tree.items():
        if isinstance(value, dict):
            write_tree(group.create_group(key), value, strings, compression)
        elif key == "edges" and isinstance(value, list):
            width = max((len(name.encode()) for edge in value for name in edge), default=1)
            names = [[name.encode() for name in edge] for edge in value]
            group.create_dataset(key, data=np.array(names, strings or f"S{width}").reshape(-1, 2))
        elif isinstance(value, np.ndarray) and value.ndim and compression:
            group.create_dataset(key, data=value, compression=compression)
        else:
            group[key] = value
