"""Strongly connected components against plain reachability."""

from hypothesis import given
from hypothesis import strategies as st

from neurodeploy.network.cycles import strong_components

graphs = st.integers(1, 8).flatmap(
    lambda n: st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=20).map(
        lambda edges: {str(i): [str(b) for a, b in edges if a == i] for i in range(n)}
    )
)


def reached(targets, name):
    """Return every name that ``name`` leads to, itself included: by looking again and again."""
    found = {name}
    while more := {b for a in found for b in targets[a]} - found:
        found |= more
    return found


@given(graphs, st.randoms(use_true_random=False))
def test_components_are_the_names_that_reach_each_other(targets, random):
    names = list(targets)
    random.shuffle(names)
    found = strong_components(names, targets)
    assert sorted(n for c in found for n in c) == sorted(targets)
    reach = {n: reached(targets, n) for n in targets}
    for component in found:
        first = component[0]
        assert set(component) == {n for n in targets if n in reach[first] and first in reach[n]}
    place = {n: i for i, c in enumerate(found) for n in c}
    assert all(place[b] <= place[a] for a in targets for b in targets[a])


def test_names_that_do_not_hang_together_come_in_the_given_order():
    assert strong_components("cab", dict.fromkeys("abc", ())) == [("c",), ("a",), ("b",)]


def test_a_ring_and_a_chain_of_many_names():
    n = 50_000
    chain = {str(i): (str(i + 1),) if i + 1 < n else () for i in range(n)}
    assert len(strong_components(chain, chain)) == n
    ring = {**chain, str(n - 1): ("0",)}
    assert len(strong_components(ring, ring)) == 1
