"""Ways to break a NIR graph, given as nested dictionaries: each changes the tree it gets in place.

A spot is a group's dictionary, a key of it, and the path there. Nothing here decides what must
happen then: some results are odd but valid.
"""

import numpy as np

NOT_NUMBERS = (
    "text", "", b"\xff\xfe", True, np.array([True, False]), np.array([1j, 2]), np.array([]),
    np.zeros((0, 3)), np.array(["a", "b"], dtype="S1"), np.array([(1, 2.0)], dtype="i4,f8"), {},
    {"inner": np.ones(2)}, np.array(3, dtype="u8"), np.array([2**63 - 1]), np.array([-(2**63)]),
)  # fmt: skip
BAD_NUMBERS = (
    np.nan, np.inf, -np.inf, 0, -1, -0.5, 1e308, -1e308, 5e-324, 1e-30, 2**31, 2**53, 1e19, 3.5,
)  # fmt: skip
TYPES = ("Input", "Output", "Affine", "Linear", "Scale", "Conv1d", "Conv2d", "SumPool2d",
         "AvgPool2d", "Flatten", "Threshold", "Delay", "I", "LI", "IF", "LIF", "CubaLI", "CubaLIF",
         "NIRGraph", "Identity", "MaxPool2d", "lif", "", "é", 7)  # fmt: skip


def spots(tree, path=()):
    """Yield (dictionary, key, path) of every entry, groups included."""
    for key, value in tree.items():
        yield tree, key, (*path, key)
        if isinstance(value, dict):
            yield from spots(value, (*path, key))


def graphs(tree):
    """Yield the dictionary of every graph, nested ones too."""
    yield tree
    for node in tree["nodes"].values():
        if isinstance(node, dict) and isinstance(node.get("nodes"), dict):
            yield from graphs(node)


def _any(rng, values):
    values = list(values)
    return values[int(rng.integers(len(values)))]


def _graph(rng, tree):
    usable = [g for g in graphs(tree) if g["nodes"] and isinstance(g.get("edges"), list)]
    return _any(rng, usable) if usable else {"nodes": {"none": {}}, "edges": [("none", "none")]}


def _field(rng, tree, only=lambda value: True):
    """Return a random field of a node: (its dictionary, key)."""
    found = [
        (d, k)
        for d, k, _ in spots(tree)
        if not isinstance(d[k], dict) and k != "edges" and only(d[k])
    ]
    return _any(rng, found) if found else ({"none": np.ones(1)}, "none")


def _numeric(value):
    return (
        not isinstance(value, str) and np.asarray(value).dtype.kind in "fiu" and np.size(value) > 0
    )


# -- nodes and edges ------------------------------------------------------------------------------


def drop_node(rng, tree):
    nodes = _graph(rng, tree)["nodes"]
    del nodes[_any(rng, nodes)]


def drop_edge(rng, tree):
    edges = _graph(rng, tree)["edges"]
    if edges:
        del edges[int(rng.integers(len(edges)))]


def add_edge(rng, tree):
    """Add an edge between any two nodes, a node and itself included."""
    graph = _graph(rng, tree)
    graph["edges"].append((_any(rng, graph["nodes"]), _any(rng, graph["nodes"])))


def edge_to_nowhere(rng, tree):
    graph = _graph(rng, tree)
    name = _any(rng, graph["nodes"])
    graph["edges"].append(_any(rng, [(name, "nowhere"), ("nowhere", name), (name, ""), ("", "")]))


def double_edge(rng, tree):
    edges = _graph(rng, tree)["edges"]
    if edges:
        edges.append(_any(rng, edges))


def turn_edge(rng, tree):
    edges = _graph(rng, tree)["edges"]
    if edges:
        k = int(rng.integers(len(edges)))
        edges[k] = edges[k][::-1]


def other_edges(rng, tree):
    """Put something that is no list of pairs where the edges are."""
    graph = _graph(rng, tree)
    graph["edges"] = _any(
        rng, [np.zeros((2, 3)), np.array([1.0]), "text", [], {}, np.zeros((0, 2)), np.ones((3, 2))]
    )


def drop_edges(rng, tree):
    _graph(rng, tree).pop("edges", None)


def drop_nodes(rng, tree):
    graph = _graph(rng, tree)
    if _any(rng, [True, False]):
        graph["nodes"] = {}
    else:
        graph["nodes"] = _any(rng, [np.ones(2), "text"])


def second_door(rng, tree):
    """Add another Input or Output, joined to something or not."""
    graph = _graph(rng, tree)
    kind = _any(rng, ["Input", "Output"])
    shape = _any(rng, [np.array([1]), np.array([2, 3]), np.array(1), np.array([], int)])
    target = _any(rng, graph["nodes"])
    graph["nodes"]["extra"] = {"type": kind, "shape": shape}
    if rng.random() < 0.5:
        graph["edges"].append(("extra", target) if kind == "Input" else (target, "extra"))


def lonely_node(rng, tree):
    graph = _graph(rng, tree)
    graph["nodes"]["lonely"] = dict(_any(rng, graph["nodes"].values()))


def odd_name(rng, tree):
    """Rename a node everywhere, to a name with dots, spaces, or one that others use."""
    graph = _graph(rng, tree)
    old = _any(rng, graph["nodes"])
    new = _any(
        rng, ["..x", "a b", "input", "always_on", "é" * 50, "x" * 300, "type", "nodes", "-1"]
    )
    graph["nodes"][new] = graph["nodes"].pop(old)
    graph["edges"] = [tuple(new if n == old else n for n in edge) for edge in graph["edges"]]


def other_type(rng, tree):
    node = _any(rng, _graph(rng, tree)["nodes"].values())
    node["type"] = _any(rng, TYPES)


def wrap_deep(rng, tree):
    """Nest a node's graph many times over, or once with wrong doors."""
    graph = _graph(rng, tree)
    name = _any(rng, graph["nodes"])
    for _ in range(int(rng.integers(1, 20))):
        graph["nodes"][name] = {
            "type": "NIRGraph",
            "nodes": {"i": {"type": "Input", "shape": np.array([1])}, "x": graph["nodes"][name],
                      "o": {"type": "Output", "shape": np.array([1])}},
            "edges": [("i", "x"), ("x", "o")],
        }  # fmt: skip


# -- fields ---------------------------------------------------------------------------------------


def drop_field(rng, tree):
    where, key = _field(rng, tree)
    del where[key]


def extra_field(rng, tree):
    node = _any(rng, _graph(rng, tree)["nodes"].values())
    node[_any(rng, ["extra", "type_check", "v", "input_type", "metadata"])] = np.ones(2)


def not_a_number(rng, tree):
    where, key = _field(rng, tree)
    where[key] = _any(rng, NOT_NUMBERS)


def group_for_a_field(rng, tree):
    where, key, _ = _any(rng, spots(tree))
    where[key] = _any(rng, [{}, {"a": np.ones(1)}, np.ones(1), "text"])


def one_bad_number(rng, tree):
    where, key = _field(rng, tree, _numeric)
    value = np.array(where[key], float)
    value.flat[int(rng.integers(value.size))] = _any(rng, BAD_NUMBERS)
    where[key] = value


def all_bad_numbers(rng, tree):
    where, key = _field(rng, tree, _numeric)
    where[key] = np.full(np.shape(where[key]), _any(rng, BAD_NUMBERS))


def bad_integers(rng, tree):
    """Change a size, a stride, a padding, an axis."""
    where, key = _field(rng, tree, lambda v: _numeric(v) and np.asarray(v).dtype.kind in "iu")
    where[key] = np.full(np.shape(where[key]), _any(rng, [-3, -1, 0, 1, 2, 5, 100, 10**7, 10**12]))


def other_shape(rng, tree):
    where, key = _field(rng, tree, _numeric)
    value = np.asarray(where[key])
    where[key] = _any(
        rng,
        [value[None], value[..., None], value.reshape(-1), np.concatenate([value.reshape(-1)] * 2),
         value.reshape(-1)[:1], value.reshape(-1)[0], value.reshape(-1)[1:], value.T],
    )  # fmt: skip


def other_dtype(rng, tree):
    where, key = _field(rng, tree, _numeric)
    kind = _any(rng, ["f2", ">f8", "i1", ">i4", "u2", "?", "c16", "f4"])
    with np.errstate(all="ignore"):
        where[key] = np.asarray(where[key]).astype(kind)


# -- metadata -------------------------------------------------------------------------------------


def bad_contract(rng, tree):
    key = _any(rng, ["schema", "dt", "reset", "decay", "spikes", "v-min", "input-gain", "steps",
                     "unknown", "readout", "encoder", "recurrent-cut", "delay-rounding", "if-unit"])  # fmt: skip
    value = _any(rng, ["text", "value", -1.0, 0.0, np.nan, np.inf, 3, True, np.ones(3), {},
                       {"node": "nowhere"}, {"kind": 3}, {"kind": "sum", "window": np.array([3, 1])}, 10**12])  # fmt: skip
    if not isinstance(tree.get("metadata"), dict):
        tree["metadata"] = {}
    if not isinstance(tree["metadata"].get("neurodeploy"), dict):
        tree["metadata"]["neurodeploy"] = {"schema": 1}
    tree["metadata"]["neurodeploy"][key] = value


def bad_metadata(rng, tree):
    where = _any(rng, [tree, *_graph(rng, tree)["nodes"].values()])
    where["metadata"] = _any(
        rng,
        [np.ones(2), "text", {"neurodeploy": np.ones(2)}, {"neurodeploy": "text"},
         {"dlif_gain": np.ones(3)}, {"dlif_gain": {"values": np.array([])}}, {"dlif_gain": {}},
         {"dlif_gain": {"values": np.array([np.nan]), "after": "last"}},
         {"dlif_gain": {"values": np.ones((2, 2)), "after": "last"}},
         {"dlif_gain": {"values": "text", "after": "last"}},
         {"dlif_gain": {"values": np.ones(2), "after": "never"}}, {"other": {"tool": "x"}}],
    )  # fmt: skip


MUTATIONS = (
    drop_node, drop_edge, add_edge, edge_to_nowhere, double_edge, turn_edge, other_edges,
    drop_edges, drop_nodes, second_door, lonely_node, odd_name, other_type, wrap_deep, drop_field,
    extra_field, not_a_number, group_for_a_field, one_bad_number, all_bad_numbers, bad_integers,
    other_shape, other_dtype, bad_contract, bad_metadata,
)  # fmt: skip


def mutate(tree, names, rng):
    """Apply the mutations called ``names``; one that finds nothing left to break does nothing."""
    by_name = {mutation.__name__: mutation for mutation in MUTATIONS}
    for name in names:
        try:
            by_name[name](rng, tree)
        except (KeyError, TypeError, AttributeError, ValueError, IndexError):
            continue
