"""Which names of a directed graph lie on cycles together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def strong_components(
    names: Iterable[str], targets: Mapping[str, Iterable[str]]
) -> list[tuple[str, ...]]:
    """Return the strongly connected components of a graph, each after those it leads to.

    The algorithm is Tarjan's (SIAM Journal on Computing 1(2), 1972), without recursion: a chain of
    10^5 names is allowed. Its time grows with the number of names and connections.

    Parameters
    ----------
    names : iterable of str
        Where the search begins, in this order; it decides the order among components that do not
        lead to each other.
    targets : mapping of str to names
        What each name leads to. Every name that can be reached has an entry.
    """
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    on_stack: set[str] = set()
    found: list[tuple[str, ...]] = []
    for start in names:
        if start in index:
            continue
        work = [(start, iter(targets[start]))]
        index[start] = low[start] = len(index)
        stack.append(start)
        on_stack.add(start)
        while work:
            name, rest = work[-1]
            following = next(rest, None)
            if following is None:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[name])
                if low[name] == index[name]:
                    found.append(_pop_component(name, stack, on_stack))
            elif following not in index:
                index[following] = low[following] = len(index)
                stack.append(following)
                on_stack.add(following)
                work.append((following, iter(targets[following])))
            elif following in on_stack:
                low[name] = min(low[name], index[following])
    return found


def _pop_component(root: str, stack: list[str], on_stack: set[str]) -> tuple[str, ...]:
    component = []
    while True:
        name = stack.pop()
        on_stack.discard(name)
        component.append(name)
        if name == root:
            return tuple(component)
