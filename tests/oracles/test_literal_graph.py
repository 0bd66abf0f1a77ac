"""The literal graph interpreter against cases computed by hand."""

import numpy as np
import pytest
from oracles.literal_graph import from_tree, run

# -- hand-computed cases --------------------------------------------------------------------------


def chain(*nodes, n=1, edges=()):
    """Return a graph input -> nodes in a row -> output; ``edges`` are added."""
    named = {"in": {"type": "Input", "shape": np.array([n])}}
    named |= dict(nodes)
    named["out"] = {"type": "Output", "shape": np.array([n])}
    names = list(named)
    return from_tree({"nodes": named, "edges": [*zip(names, names[1:], strict=False), *edges]})


def full(kind, **values):
    return {"type": kind, **{k: np.atleast_1d(np.array(v, float)) for k, v in values.items()}}


def lif(tau=2.0, r=2.0, v_leak=0, v_threshold=1, v_reset=0):
    return full("LIF", tau=tau, r=r, v_leak=v_leak, v_threshold=v_threshold, v_reset=v_reset)


def line(values):
    return np.array(values, float)[:, None, None]


def flat(array):
    return array[:, 0, 0].tolist()


@pytest.mark.parametrize(
    ("words", "spikes", "v"),
    [
        # x = 1.5 and a = 1/2: v = v/2 + 1.5 without reset.
        ({}, [1, 1, 1, 1], [-0.5, -0.5, -0.5, -0.5]),
        ({"reset": "subtract"}, [1, 1, 1, 1], [0.5, 0.75, 0.875, 0.9375]),
        # 1.5 fires; 0.75 + 1.5 - 1 = 1.25 fires; 0.625 + 0.5 = 1.125; 0.5625 + 0.5 = 1.0625.
        ({"reset": "subtract-late"}, [1, 1, 1, 1], [1.5, 1.25, 1.125, 1.0625]),
        # v = 0.5 0.75 0.875 0.9375 never starts above 1.
        ({"reset": "subtract-once"}, [1, 1, 1, 1], [0.5, 0.75, 0.875, 0.9375]),
        ({"reset": "value", "v_min": -0.25}, [1, 1, 1, 1], [-0.25] * 4),
        ({"reset": "subtract", "spikes": "multiple"}, [1, 1, 1, 1], [0.5, 0.75, 0.875, 0.9375]),
        ({"input_gain": "one"}, [1, 1, 1, 1], [-0.5] * 4),
    ],
)
def test_reset_kinds(words, spikes, v):
    graph = chain(("a", lif(v_reset=-0.5)))
    result = run(graph, line([1.5] * 4), {"dt": 1.0, **words})
    assert flat(result.outputs["a"]) == spikes
    assert flat(result.v["a"]) == v


def test_value_reset_without_steady_drive():
    # v_pre: 1.25; then from -0.5: -0.25, 0.375, 1.1875 fires.
    result = run(chain(("a", lif(v_reset=-0.5))), line([1.25, 0, 0.5, 1]), {"dt": 1.0})
    assert flat(result.v_pre["a"]) == [1.25, -0.25, 0.375, 1.1875]
    assert flat(result.v["a"]) == [-0.5, -0.25, 0.375, -0.5]
    assert flat(result.outputs["a"]) == [1, 0, 0, 1]
    assert result.closest == 0.1875 / 1.1875


def test_subtract_once_lowers_the_decision_of_a_membrane_that_is_still_above():
    # 3.5 fires, v 2.5 (above). y = 1.25: 1.25 - 1 does not fire, v stays 1.25 (above).
    # y = 0.625 + 2 = 2.625: 1.625 fires, v 1.625. y = 0.8125 + 1: 0.8125 does not fire.
    result = run(chain(("a", lif())), line([3.5, 0, 2, 1]), {"dt": 1.0, "reset": "subtract-once"})
    assert flat(result.outputs["a"]) == [1, 0, 1, 0]
    assert flat(result.v["a"]) == [2.5, 1.25, 1.625, 1.8125]


def test_several_spikes_per_step():
    words = {"dt": 1.0, "spikes": "multiple", "reset": "subtract"}
    result = run(chain(("a", lif())), line([3.5, 2.75, -4, 0]), words)
    assert flat(result.outputs["a"]) == [3, 3, 0, 0]  # 0.25 + 2.75 is 3 thresholds exactly
    assert flat(result.v["a"]) == [0.5, 0, -4, -2]
    words["reset"] = "subtract-late"
    result = run(chain(("a", lif())), line([3.5, 2.75, 0, 0]), words)
    assert flat(result.outputs["a"]) == [3, 1, 0, 0]  # 1.75 + 2.75 - 3 = 1.5; 0.75 - 1
    assert flat(result.v["a"]) == [3.5, 1.5, -0.25, -0.125]


def test_threshold_is_strict():
    x = line([1, 1 + 2**-52])
    result = run(chain(("a", full("IF", r=1, v_threshold=1, v_reset=0))), x[:1], {"dt": 1.0})
    assert flat(result.outputs["a"]) == [0]
    assert result.closest == 0
    assert flat(run(chain(("a", full("Threshold", threshold=1))), x, {"dt": 1.0}).outputs["a"]) == [0, 1]  # fmt: skip


def test_integrators_in_seconds_and_in_steps():
    for kind, rest in (("I", {}), ("IF", {"v_threshold": 10})):
        graph = chain(("a", full(kind, r=4, **rest)))
        for words, v in (
            ({}, [2, 4]),
            ({"if_unit": "step"}, [4, 8]),
            ({"input_gain": "one"}, [1, 2]),
        ):
            assert flat(run(graph, line([1, 1]), {"dt": 0.5, **words}).v["a"]) == v
    result = run(chain(("a", full("I", r=1))), line([1, 2]), {"dt": 1.0})
    assert flat(result.outputs["a"]) == [1, 3]


def test_leaky_integrator_and_exponential_decay():
    graph = chain(("a", full("LI", tau=4, r=2, v_leak=1)))
    assert flat(run(graph, line([1, 0]), {"dt": 1.0}).outputs["a"]) == [0.75, 0.8125]
    k = np.exp(-0.25)
    got = flat(run(graph, line([1, 0]), {"dt": 1.0, "decay": "exponential"}).outputs["a"])
    want = [(1 - k) * 3, k * (1 - k) * 3 + (1 - k)]
    assert np.allclose(got, want, rtol=1e-14)


def test_current_based_neuron_uses_the_new_current():
    graph = chain(("a", full("CubaLI", tau_syn=2, tau_mem=4, r=2, v_leak=0, w_in=4)))
    # i: 2, 1, 0.5; v += (2 i - v) / 4.
    assert flat(run(graph, line([1, 0, 0]), {"dt": 1.0}).v["a"]) == [1, 1.25, 1.1875]
    # Factor one: v += -v / 4 + i.
    words = {"dt": 1.0, "input_gain": "one"}
    assert flat(run(graph, line([1, 0, 0]), words).v["a"]) == [2, 2.5, 2.375]
    del graph.nodes["a"]["w_in"]
    assert flat(run(graph, line([1, 0, 0]), {"dt": 1.0}).v["a"]) == [0.25, 0.3125, 0.296875]


def test_gain_per_step():
    node = lif(v_threshold=100)
    node["metadata"] = {"dlif_gain": {"values": np.array([1.0, 2.0]), "after": "last"}}
    # v = v/2 + g x
    assert flat(run(chain(("a", node)), line([1, 1, 1]), {"dt": 1.0}).v["a"]) == [1, 2.5, 3.25]


def test_delays():
    graph = chain(("d", full("Delay", delay=0.2)))
    assert flat(run(graph, line([1, 2, 3]), {"dt": 0.1}).outputs["d"]) == [0, 0, 1]
    graph = chain(("d", full("Delay", delay=0.16)))
    with pytest.raises(ValueError, match="delay"):
        run(graph, line([1]), {"dt": 0.1})
    for rounding, want in (("nearest", [0, 0, 1]), ("floor", [0, 1, 2])):
        words = {"dt": 0.1, "delay_rounding": rounding}
        assert flat(run(graph, line([1, 2, 3]), words).outputs["d"]) == want
    node = {"type": "Delay", "delay": np.array([0.0, 0.1])}
    got = run(chain(("d", node), n=2), np.array([[[1.0, 1]], [[2, 2]]]), {"dt": 0.1})
    assert got.outputs["d"][:, 0].tolist() == [[1, 0], [2, 1]]


# -- cycles ---------------------------------------------------------------------------------------

RELAY = full("IF", r=1, v_threshold=0.5)


def affine(weight, bias):
    return {
        "type": "Affine",
        "weight": np.array([[float(weight)]]),
        "bias": np.array([float(bias)]),
    }


def test_self_loop_sees_the_step_before():
    graph = chain(("a", full("I", r=1)), edges=[("a", "a")])
    assert flat(run(graph, line([1, 0, 0]), {"dt": 1.0}).outputs["a"]) == [1, 2, 4]


def test_where_the_cycle_is_cut():
    loop = [("b", "w"), ("w", "a")]
    graph = chain(("a", full("I", r=1)), ("b", full("I", r=1)))
    graph.nodes["w"] = affine(1, 10)
    graph.edges += loop
    # a(t) = a(t-1) + x(t) + b(t-1) + 10;  b(t) = b(t-1) + a(t): forward without delay.
    result = run(graph, line([1, 0, 0]), {"dt": 1.0})
    assert flat(result.outputs["a"]) == [11, 32, 85]
    assert flat(result.outputs["b"]) == [11, 43, 128]
    # The bias is late with the affine cut: a(0) = 1.
    result = run(graph, line([1, 0, 0]), {"dt": 1.0, "recurrent_cut": "affine"})
    assert flat(result.outputs["a"]) == [1, 12, 35]
    assert flat(result.outputs["b"]) == [1, 13, 48]


def test_a_linear_node_before_two_populations_has_a_time_for_each():
    # a -> w -> b forward, and a -> w -> a back: w holds a(t) for b and a(t-1) for a.
    graph = chain(("a", full("I", r=1)), ("w", affine(1, 0)), ("b", full("I", r=1)))
    graph.edges += [("w", "a"), ("b", "a")]
    # a(t) = 2 a(t-1) + x + b(t-1); b(t) = b(t-1) + a(t)
    result = run(graph, line([1, 0, 0]), {"dt": 1.0})
    assert flat(result.outputs["a"]) == [1, 3, 10]
    assert flat(result.outputs["b"]) == [1, 4, 14]
    assert flat(result.outputs["w"]) == [1, 3, 10]


def test_affine_cut_leaves_a_mixed_node_in_time():
    # w adds the input and the feedback: only the feedback is late, the bias is not.
    nodes = [("w", affine(1, 10)), ("a", full("I", r=1))]
    graph = chain(*nodes, edges=[("a", "w")])
    for cut in ("spikes", "affine"):
        result = run(graph, line([1, 0]), {"dt": 1.0, "recurrent_cut": cut})
        assert flat(result.outputs["a"]) == [11, 32]
        assert flat(result.outputs["w"]) == [22, 42]  # what w would send to a reader of step t


def test_equally_near_populations_see_each_other_one_step_late():
    graph = chain(("a", full("I", r=1)))
    graph.nodes["b"] = full("I", r=1)
    graph.edges += [("in", "b"), ("a", "b"), ("b", "a")]
    result = run(graph, line([1, 0, 0]), {"dt": 1.0})
    assert flat(result.outputs["a"]) == flat(result.outputs["b"]) == [1, 2, 4]


def test_a_delay_breaks_the_cycle_by_itself():
    graph = chain(("a", full("I", r=1)))
    graph.nodes["d"] = full("Delay", delay=2)
    graph.edges += [("a", "d"), ("d", "a")]
    # a(t) = a(t-1) + x + a(t-2): no second delay.
    assert flat(run(graph, line([1, 0, 0, 0]), {"dt": 1.0}).outputs["a"]) == [1, 1, 2, 3]
    graph.nodes["d"] = full("Delay", delay=0)
    assert flat(run(graph, line([1, 0, 0, 0]), {"dt": 1.0}).outputs["a"]) == [1, 2, 4, 8]


def test_a_delay_counts_in_the_distance():
    graph = chain(("d", full("Delay", delay=1)), ("a", full("I", r=1)))
    graph.nodes["b"] = full("I", r=1)
    graph.edges += [("in", "b"), ("a", "b"), ("b", "a")]
    # b is nearer: b(t) = b(t-1) + x(t) + a(t-1);  a(t) = a(t-1) + x(t-1) + b(t)
    result = run(graph, line([1, 0, 0]), {"dt": 1.0})
    assert flat(result.outputs["b"]) == [1, 2, 6]
    assert flat(result.outputs["a"]) == [1, 4, 10]


def test_a_delay_of_nothing_and_more_is_cut_like_a_neuron():
    graph = chain(
        ("d", {"type": "Delay", "delay": np.array([0.0, 1.0])}), ("a", full("I", r=[1, 1])), n=2
    )
    graph.edges.append(("a", "d"))
    # The Delay is nearer: it sees a(t-1). First entry: a(t) = 2 a(t-1) + x(t);
    # second: a(t) = a(t-1) + a(t-2) + x(t-1).
    x = np.array([[[1.0, 1]], [[0, 0]], [[0, 0]], [[0, 0]]])
    result = run(graph, x, {"dt": 1.0})
    assert result.outputs["a"][:, 0].T.tolist() == [[1, 2, 4, 8], [0, 1, 1, 2]]


def test_a_cycle_without_a_neuron_has_no_meaning():
    graph = chain(("w", affine(1, 0)), ("v", affine(1, 0)), edges=[("v", "w")])
    with pytest.raises(ValueError, match="no neuron"):
        run(graph, line([1]), {"dt": 1.0})


def cell_in_a_graph():
    door = {"type": "Input", "shape": np.array([1])}
    nodes = {"input": door, "cell": full("I", r=1), "output": {**door, "type": "Output"}}
    return {"type": "NIRGraph", "nodes": nodes, "edges": [("input", "cell"), ("cell", "output")]}


def test_distance_counts_from_the_outermost_input():
    door = {"type": "Input", "shape": np.array([1])}
    nodes = {
        "in": door,
        "a": full("I", r=1),
        "sub": cell_in_a_graph(),
        "out": {**door, "type": "Output"},
    }
    edges = [("in", "a"), ("a", "sub"), ("sub", "a"), ("sub", "out")]
    result = run(from_tree({"nodes": nodes, "edges": edges}), line([1, 0, 0]), {"dt": 1.0})
    assert flat(result.outputs["a"]) == [1, 2, 5]
    assert flat(result.outputs["sub/cell"]) == [1, 3, 8]


def test_a_node_that_nothing_reaches_runs_on_its_bias():
    graph = chain(("a", full("I", r=1)))
    graph.nodes["w"] = affine(5, 3)
    graph.edges.append(("w", "a"))
    assert flat(run(graph, line([1, 0]), {"dt": 1.0}).outputs["a"]) == [4, 7]


def test_nested_graphs():
    inner = cell_in_a_graph()
    inner["edges"].append(("output", "input"))
    outer = {
        "nodes": {
            "in": {"type": "Input", "shape": np.array([1])},
            "sub": inner,
            "w": affine(2, 1),
            "out": {"type": "Output", "shape": np.array([1])},
        },
        "edges": [("in", "sub"), ("sub", "w"), ("w", "out"), ("in", "out")],
    }
    result = run(from_tree(outer), line([1, 0, 0]), {"dt": 1.0})
    assert flat(result.outputs["sub/cell"]) == [1, 2, 4]
    assert flat(result.outputs["out"]) == [4, 5, 9]
