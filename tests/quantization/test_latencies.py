"""Latencies and delays against exhaustive search, and what feedback too slow for the chip gets."""

import itertools

import numpy as np
import pytest
from quantization.small_networks import network_of

from neurodeploy.errors import RangeError
from neurodeploy.network import INPUT
from neurodeploy.quantization import solve_latencies, with_extra_steps
from neurodeploy.quantization.latencies import latency_findings

LONGEST = 62


def cheapest(names, edges, deepest):
    """Return the smallest latencies by trying all of them, or None where there are none."""
    found = None
    for values in itertools.product(range(1, deepest + 1), repeat=len(names)):
        at = {INPUT: 0, **dict(zip(names, values, strict=True))}
        if all(at[t] >= at[s] + 1 - d for s, t, d in edges):
            smallest = values if found is None else tuple(map(min, found, values))
            # Latencies that hold are closed under the minimum, so there is one smallest choice.
            found = smallest
    return None if found is None else dict(zip(names, found, strict=True))


def random_edges(rng, names):
    edges = []
    for i, target in enumerate(names):
        for source in [INPUT, *names]:
            backward = source in names and names.index(source) >= i
            if rng.random() < (0.3 if backward else 0.6):
                late = int(rng.choice([0, 0, 0, 1, 3]))
                edges.append((source, target, late + int(backward)))
    return edges


def check_against_search(seed):
    """Return whether some feedback was too fast for the chip."""
    rng = np.random.default_rng(seed)
    names = [f"p{i}" for i in range(rng.integers(1, 5))]
    edges = random_edges(rng, names)
    network = network_of(names, edges)
    timeline = solve_latencies(network, LONGEST)
    expected = cheapest(names, edges, deepest=len(names) + 2)
    stretched = with_extra_steps(network, timeline.extra)
    slower = [(s.source, s.target, s.delay_steps) for s in stretched.synapses]
    if expected is None:
        assert timeline.extra
        assert all(steps >= 1 for steps in timeline.extra.values())
        # One step less anywhere and no latencies hold.
        for name in timeline.extra:
            faster = {**timeline.extra, name: timeline.extra[name] - 1}
            less = with_extra_steps(network, faster).synapses
            edges = [(s.source, s.target, s.delay_steps) for s in less]
            assert cheapest(names, edges, deepest=len(names) + 2) is None
        expected = cheapest(names, slower, deepest=len(names) + 2)
    else:
        assert not timeline.extra
    assert dict(timeline.latency) == expected
    at = {INPUT: 0, **timeline.latency}
    for s in stretched.synapses:
        delay = timeline.delay[s.name]
        assert 0 <= delay <= LONGEST
        assert s.delay_steps == at[s.source] + 1 + delay - at[s.target]
    return bool(timeline.extra)


def test_latencies_are_the_smallest_that_hold():
    slow = [check_against_search(seed) for seed in range(150)]
    assert 20 < sum(slow) < 130


def test_a_skip_path_waits_for_the_longer_one():
    names = ["a", "b", "c"]
    edges = [(INPUT, "a", 0), ("a", "b", 0), ("b", "c", 0), (INPUT, "c", 0), ("a", "c", 0)]
    network = network_of(names, edges)
    timeline = solve_latencies(network, LONGEST)
    assert dict(timeline.latency) == {"a": 1, "b": 2, "c": 3}
    assert [timeline.delay[s.name] for s in network.synapses] == [0, 0, 0, 2, 1]
    waiting = [f.where for f in latency_findings(network, timeline)]
    assert waiting == ["synapse input->c", "synapse a->c"]


def test_a_delay_needs_no_latency_of_its_own():
    network = network_of(["a", "b"], [(INPUT, "a", 0), ("a", "b", 5)])
    timeline = solve_latencies(network, LONGEST)
    assert dict(timeline.latency) == {"a": 1, "b": 1}
    assert timeline.delay["a->b"] == 4


def test_recurrence_costs_nothing():
    network = network_of(["a"], [(INPUT, "a", 0), ("a", "a", 1)])
    timeline = solve_latencies(network, LONGEST)
    assert timeline.delay == {"input->a": 0, "a->a": 0}
    assert not timeline.extra


def test_feedback_over_two_populations_gets_one_step_by_name():
    edges = [(INPUT, "a", 0), ("a", "b", 0), ("b", "a", 1)]
    network = network_of(["a", "b"], edges)
    timeline = solve_latencies(network, LONGEST)
    assert timeline.extra == {"b->a": 1}
    (finding,) = latency_findings(network, timeline)
    assert finding.severity == "warning"
    assert finding.where == "synapse b->a"
    assert "1 logical steps more" in finding.what
    assert not solve_latencies(with_extra_steps(network, timeline.extra), LONGEST).extra


def test_feedback_with_a_delay_long_enough_is_exact():
    edges = [(INPUT, "a", 0), ("a", "b", 0), ("b", "a", 2)]
    assert not solve_latencies(network_of(["a", "b"], edges), LONGEST).extra


@pytest.mark.parametrize(("longest", "fits"), [(62, True), (61, False)])
def test_a_delay_beyond_the_chip_is_an_error_with_a_remedy(longest, fits):
    network = network_of(["a", "b"], [(INPUT, "a", 0), ("a", "b", 63)])
    if fits:
        assert solve_latencies(network, longest).delay["a->b"] == 62
        return
    with pytest.raises(RangeError, match=r"synapse a->b: 'a' to 'b' must wait 62 steps.*\n.*relay"):
        solve_latencies(network, longest)


def test_a_long_chain_is_solved_at_once():
    names = [f"p{i}" for i in range(3000)]
    edges = list(zip([INPUT, *names], names, itertools.repeat(0), strict=False))
    edges.append((names[-1], names[0], 1))
    timeline = solve_latencies(network_of(names, edges), LONGEST)
    assert timeline.latency["p2999"] == 3000
    assert timeline.extra == {"p2999->p0": 2999}
