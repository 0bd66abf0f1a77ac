"""The nodes met while a model runs: which operation, fed by what, at which step.

Calls of one operation with the same sources at the same distances in time are one node. What is
not known at the first steps (a recurrent source has no past there) is filled in by later ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from neurodeploy.errors import UnsupportedNodeError
from neurodeploy.export.nir.cells import CELL_TYPES
from neurodeploy.export.nir.rows import ABSENT, BEFORE, Pattern, Rows, Source, read_rows
from neurodeploy.export.nir.signal import Signal, Term


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """A linear operation, or a maximum of spikes: ``kind`` linear, conv, pool, norm; its arrays.

    ``key`` is equal for equal operations at one place of the model.
    """

    kind: str
    path: str
    parameters: Mapping[str, Any]
    key: str
    keeps_zero: bool


@dataclass(frozen=True, slots=True)
class Link:
    """A source of a node: which node and pattern, how many steps back (STATIC: always)."""

    node: int
    pattern: bytes
    lag: int


@dataclass(slots=True, eq=False)
class Site:
    """One node of the traced graph; grows while the model runs.

    ``links`` holds per step what it read; ``before`` per lagging link the node that stood for it
    at the first steps, if an operation on zeros did. ``taken`` is the shape of one input.
    """

    number: int
    name: str
    path: str
    shape: tuple[int, ...]
    taken: tuple[int, ...] = ()
    operation: Operation | None = None
    module: Any = None
    kind: str = "step"
    links: dict[Link, set[int]] = field(default_factory=dict)
    steps: set[int] = field(default_factory=set)
    before: dict[tuple[int, bytes], set[int]] = field(default_factory=dict)
    constant: NDArray[np.float64] | None = None
    start: NDArray[np.float64] | None = None
    state: dict[str, Any] = field(default_factory=dict)
    length: int = 0
    parent: int = -1
    calls: list[int] = field(default_factory=list)
    lead: int = 1

    @property
    def features(self) -> int:
        """Number of values per step and sample."""
        return math.prod(self.shape)

    @property
    def is_binary(self) -> bool:
        """Whether it gives 0 and 1 only: spikes, or their maximum."""
        if self.operation is not None:
            return self.operation.kind == "max pool"
        return self.module is not None and CELL_TYPES[type(self.module)].spikes


@dataclass(slots=True)
class Recorder:
    """All sites of one traced run over ``samples`` samples."""

    samples: int
    sites: list[Site] = field(default_factory=list)
    patterns: dict[bytes, Pattern] = field(default_factory=dict)

    def new(self, name: str, path: str, shape: Sequence[int], **more: Any) -> Site:
        """Add a site and return it."""
        site = Site(len(self.sites), name, path, tuple(shape), **more)
        self.sites.append(site)
        return site

    def rows(self, signal: Signal, lead: int, path: str) -> Rows:
        """Read a traced tensor as rows; see ``read_rows``."""
        sources = [Source(s.features, s.kind) for s in self.sites]
        rows = read_rows(signal, lead, sources, self.samples, path)
        for term in rows.terms:
            self.patterns.setdefault(term.pattern.key, term.pattern)
        return rows

    def apply(
        self, operation: Operation, signal: Signal, lead: int, shape: tuple[int, ...]
    ) -> Signal:
        """Record a call of a linear operation; return where its output comes from.

        ``shape`` is the shape of one output (without the ``lead`` axes of ``signal``).
        """
        rows = self.rows(signal, lead, operation.path)
        taken = tuple(signal.shape[lead:])
        count, width = rows.sample.size, math.prod(shape)
        index = np.full((count, width), -1, dtype=np.int64)
        owner = np.full(count, -1)
        for numbers, links, held in self.groups(rows):
            steps = _own_steps(rows, numbers)
            site = self._site_for(operation, (taken, shape), links, held, steps)
            if site is None:
                continue
            sample = np.maximum(rows.sample[numbers], 0)
            block = (0 if steps is None else steps) * self.samples + sample
            index[numbers] = block[:, None] * width + np.arange(width)
            owner[numbers] = site.number
        out = (*signal.shape[:lead], *shape)
        terms = []
        for number in sorted(set(owner[owner >= 0].tolist())):
            mine = np.where((owner == number)[:, None], index, -1)
            terms.append(Term(number, torch.from_numpy(mine.reshape(out).copy())))
        return Signal(torch.Size(out), tuple(terms))

    def _site_for(
        self,
        operation: Operation,
        shapes: tuple[tuple[int, ...], tuple[int, ...]],
        links: frozenset[Link],
        held: NDArray[np.float64] | None,
        steps: NDArray[np.int64] | None,
    ) -> Site | None:
        real = {link for link in links if link.lag != BEFORE}
        if not real and held is not None:
            raise UnsupportedNodeError(
                f"{operation.path}: is fed a constant other than zero at some steps only"
            )
        if not links and operation.keeps_zero:
            return None
        kind = "step"
        if not real:
            kind = "before"
        elif steps is None:
            kind = "static"
        times = set() if steps is None else set(steps.tolist())
        for site in self.sites:
            if (
                site.operation is not None
                and site.operation.key == operation.key
                and site.kind == kind
                and (site.taken, site.shape) == shapes
                and _same(site.constant, held)
                and self._fits(site, links, times)
            ):
                break
        else:
            site = self.new(
                operation.kind,
                operation.path,
                shapes[1],
                taken=shapes[0],
                operation=operation,
                kind=kind,
                constant=held,
            )
        self.record(site, links, times)
        return site

    def _fits(self, site: Site, links: frozenset[Link], times: set[int]) -> bool:
        """Whether ``links`` at ``times`` differ from the site's only where there is no past."""
        known = set(site.links)
        if site.kind != "step":
            return known == {link for link in links if link.lag != BEFORE} and set(site.before) == {
                (link.node, link.pattern) for link in links if link.lag == BEFORE
            }
        real = {link for link in links if link.lag != BEFORE}
        missing, extra = known - real, real - known
        return all(link.lag > max(times) for link in missing) and all(
            link.lag > max(site.steps, default=-1) for link in extra
        )

    def feed_cell(self, site: Site, signal: Signal, lead: int, path: str) -> Signal:
        """Record what a stateful module reads at its next step, or steps where ``lead`` is 2.

        Returns where its output comes from.
        """
        rows = self.rows(signal, lead, path)
        length = signal.shape[0] if lead == 2 else 1
        sample = rows.sample.reshape(length, -1)
        wanted = np.arange(self.samples)
        if sample.shape[1] != self.samples or (sample != wanted)[sample >= 0].any():
            raise UnsupportedNodeError(
                f"{path}: its input of shape {tuple(signal.shape)} is not one row per sample"
                f"{' and step' if lead == 2 else ''}"
            )
        own = np.repeat(np.arange(site.length, site.length + length), self.samples)
        for numbers, links, held in self.groups(rows, own):
            if int(own[numbers].min()) > 0 and not _same(site.constant, held):
                raise UnsupportedNodeError(
                    f"{path}: the constant added to its input changes from step to step"
                )
            site.constant = held
            late = [link for link in links if link.lag < BEFORE]
            if late:
                source = self.sites[late[0].node].path
                raise UnsupportedNodeError(
                    f"{path}: at its step {int(own[numbers].min())} it is fed by {source} of a "
                    "later step; was it called once per step, with the state of its last call?"
                )
            times = set(own[numbers].tolist())
            if numbers.size != self.samples:
                raise UnsupportedNodeError(f"{path}: samples of one step are fed differently")
            self.record(site, links, times)
        site.length += length
        index = own[:, None] * self.samples + np.tile(wanted, length)[:, None]
        index = index * site.features + np.arange(site.features)
        return Signal(
            signal.shape, (Term(site.number, torch.from_numpy(index.reshape(signal.shape))),)
        )

    def groups(
        self, rows: Rows, own: NDArray[np.int64] | None = None
    ) -> list[tuple[NDArray[np.int64], frozenset[Link], NDArray[np.float64] | None]]:
        """Group rows by what they read, relative to their ``own`` step (default: the latest read).

        A source of a later step has a lag below BEFORE.
        """
        count = rows.sample.size
        lags = np.zeros((0, count), dtype=np.int64)
        if rows.terms:
            steps = np.stack([term.step for term in rows.terms])
            lags = (steps.max(0) if own is None else own) - steps
            lags = np.where(steps >= 0, np.where(lags < 0, lags + BEFORE, lags), steps)
        columns = [lags]
        if rows.constant is not None:
            _, number = np.unique(rows.constant, axis=0, return_inverse=True)
            columns.append(number.reshape(1, -1))
        if own is not None:
            columns.append(own.reshape(1, -1))
        kinds, which = np.unique(np.concatenate(columns), axis=1, return_inverse=True)
        groups = []
        for kind in range(kinds.shape[1]):
            numbers = np.flatnonzero(which.reshape(-1) == kind)
            links = self._links(rows, kinds[: len(rows.terms), kind])
            held = None
            if rows.constant is not None and rows.constant[numbers[0]].any():
                held = rows.constant[numbers[0]]
            groups.append((numbers, links, held))
        return groups

    def _links(self, rows: Rows, lags: NDArray[np.int64]) -> frozenset[Link]:
        """Return one link per source, pattern and lag; what is read twice has twice the factor."""
        counts: dict[Link, int] = {}
        for term, lag in zip(rows.terms, lags.tolist(), strict=True):
            if lag != ABSENT:
                link = Link(term.node, term.pattern.key, lag)
                counts[link] = counts.get(link, 0) + 1
        links = set()
        for link, count in counts.items():
            single = self.patterns[link.pattern]
            pattern = Pattern(single.feature, single.factor * count) if count > 1 else single
            self.patterns.setdefault(pattern.key, pattern)
            links.add(Link(link.node, pattern.key, link.lag))
        return frozenset(links)

    def record(self, site: Site, links: frozenset[Link], times: set[int]) -> None:
        """Note what a site read at ``times``."""
        for link in links:
            if link.lag == BEFORE:
                site.before.setdefault((link.node, link.pattern), set()).update(times)
            else:
                site.links.setdefault(link, set()).update(times)
        site.steps |= times


def _same(a: NDArray[np.float64] | None, b: NDArray[np.float64] | None) -> bool:
    if a is None or b is None:
        return a is b
    return a.shape == b.shape and bool((a == b).all())


def _own_steps(rows: Rows, numbers: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """Return the latest step each row reads, or None where it reads nothing that changes."""
    if not rows.terms:
        return None
    latest: NDArray[np.int64] = np.max([term.step[numbers] for term in rows.terms], axis=0)
    return None if (latest < 0).all() else latest
