"""What a model returns: which nodes it reads, over which steps, and how the decision is taken."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from neurodeploy.errors import UnsupportedNodeError
from neurodeploy.export.nir.rows import STATIC, Pattern, Rows
from neurodeploy.export.nir.signal import Largest, Opaque, Shown, Signal, Tag, moved
from neurodeploy.export.nir.sites import Link, Operation, Recorder, Site
from neurodeploy.export.nir.trace import Tracer, refusal


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """How the model's output follows from the node ``site``.

    ``kind``: each (one value per step, [T, B, ...]), sum, mean, last or max over ``window``
    (steps). ``scale`` multiplies it; then ``chain`` is applied. ``time_axis`` of an ``each``.
    """

    site: Site
    kind: str
    window: tuple[int, int]
    scale: float = 1.0
    time_axis: int = 0
    chain: tuple[tuple[str, Callable[[Tensor], Any]], ...] = ()


def read_output(tracer: Tracer, value: Any) -> Reading:
    """Describe the model's output.

    Raises
    ------
    UnsupportedNodeError
        If it is not made of node outputs in a way that a read-out can express.
    """
    tag = tracer.tag_of(value)
    if tag is None:
        raise UnsupportedNodeError(
            "model: its output does not depend on its input in a way that can be followed"
        )
    if isinstance(tag, Opaque):
        raise UnsupportedNodeError(refusal(tag, "its result is the model's output"))
    chain: tuple[tuple[str, Callable[[Tensor], Any]], ...] = ()
    inner: Tag = tag
    if isinstance(tag, Shown):
        chain, inner = tag.chain, tag.inner
    recorder = tracer.recorder
    if isinstance(inner, Largest):
        return dataclasses.replace(_maximum(recorder, inner), chain=chain)
    if not isinstance(inner, Signal):
        raise UnsupportedNodeError("model: its output is no read-out over time")
    attempts: list[Callable[[Recorder, Signal], Reading]] = [_reduced, _each_step]
    if len(inner.shape) > 2:
        attempts.reverse()
    errors = []
    for attempt in attempts:
        try:
            reading = attempt(recorder, inner)
        except UnsupportedNodeError as error:
            errors.append(error)
            continue
        if reading.kind == "each" and chain:
            raise UnsupportedNodeError(
                f"model: {chain[-1][0]} of every step is its output; NIR's read-outs take the "
                "output of a node. Return the values before it, or reduce over time first"
            )
        return dataclasses.replace(reading, chain=chain)
    raise errors[0]


def _new_output(recorder: Recorder, shape: Iterable[int]) -> Site:
    shape = tuple(shape)
    return recorder.new("output", "output", shape, taken=shape)


def _require_samples(recorder: Recorder, rows: Rows) -> None:
    wanted = np.arange(recorder.samples)
    known = rows.sample >= 0
    if rows.sample.size != wanted.size or (rows.sample != wanted)[known].any():
        raise UnsupportedNodeError("model: its output is not one row per sample")


def _maximum(recorder: Recorder, largest: Largest) -> Reading:
    site = _new_output(recorder, largest.parts[0].shape[1:])
    for part in largest.parts:
        rows = recorder.rows(part, 1, "output")
        _require_samples(recorder, rows)
        steps = {int(s) for term in rows.terms for s in term.step if s >= 0}
        own = np.full(rows.sample.size, max(steps, default=0))
        _record_group(recorder, site, rows, own)
    return Reading(site, "max", _window(site.steps))


def _record_group(recorder: Recorder, site: Site, rows: Rows, own: NDArray[np.int64]) -> None:
    for numbers, links, held in recorder.groups(rows, own):
        if site.steps and not _same(site.constant, held):
            raise UnsupportedNodeError("output: a constant that changes from step to step is added")
        site.constant = held
        if any(link.lag < STATIC - 1 for link in links):
            raise UnsupportedNodeError("output: mixes steps in an order NIR cannot express")
        recorder.record(site, links, set(own[numbers].tolist()))


def _same(a: NDArray[np.float64] | None, b: NDArray[np.float64] | None) -> bool:
    return a is b or (a is not None and b is not None and bool((a == b).all()))


def _each_step(recorder: Recorder, signal: Signal) -> Reading:
    if len(signal.shape) < 2:
        raise UnsupportedNodeError(f"model: its output has shape {tuple(signal.shape)}")
    for axis in (0, 1):
        turned = signal if axis == 0 else moved(signal, lambda x: x.transpose(0, 1))
        steps, samples = turned.shape[:2]
        if samples != recorder.samples:
            continue
        rows = recorder.rows(turned, 2, "output")
        if not rows.terms or (rows.sample != np.tile(np.arange(samples), steps)).any():
            continue
        latest = np.max([t.step for t in rows.terms], axis=0).reshape(steps, samples)
        if (latest != latest[:, :1]).any() or (np.diff(latest[:, 0]) != 1).any():
            continue
        site = _new_output(recorder, turned.shape[2:])
        _record_group(recorder, site, rows, latest.reshape(-1))
        return Reading(site, "each", _window(site.steps), time_axis=axis)
    raise UnsupportedNodeError(
        f"model: its output of shape {tuple(signal.shape)} has no axis of steps in order"
    )


def _window(steps: Iterable[int]) -> tuple[int, int]:
    held = sorted(steps)
    if not held or held != list(range(held[0], held[-1] + 1)):
        raise UnsupportedNodeError(
            f"model: its output reads steps {held[:10]}, which are not one run of steps"
        )
    return held[0], held[-1] + 1


@dataclass(frozen=True, slots=True, eq=False)
class _Summed:
    """Sources summed over the steps of ``window``, each with a pattern."""

    window: tuple[int, int]
    mean: bool
    links: tuple[tuple[int, Pattern], ...]


def _reduced(recorder: Recorder, signal: Signal) -> Reading:
    rows = recorder.rows(signal, 1, "output")
    _require_samples(recorder, rows)
    entries = []
    for term in rows.terms:
        steps = set(term.step[term.step != -1].tolist())
        if len(steps) != 1 or (term.step == -1).any():
            raise UnsupportedNodeError("model: its output reads other steps for other samples")
        entries.append((term.node, term.pattern, steps.pop()))
    held = rows.constant
    if held is not None and (held != held[:1]).any():
        raise UnsupportedNodeError("model: its output adds another constant to every sample")
    summed = _collect(recorder, entries)
    start, stop = summed.window
    count = stop - start
    scale, summed = _common_scale(summed)
    site = _new_output(recorder, signal.shape[1:])
    if held is not None:
        # A constant is added once; a sum of `count` steps adds it `count` times.
        share = 1 if summed.mean else count
        site.constant = held[0] / (share * scale)
    _link_all(recorder, site, summed)
    kind = "last" if count == 1 else ("mean" if summed.mean else "sum")
    return Reading(site, kind, summed.window, scale)


def _common_scale(summed: _Summed) -> tuple[float, _Summed]:
    """Take a positive factor that all links share out of them."""
    factors = {float(f) for _, p in summed.links for f in p.factor[p.feature >= 0]}
    if len(factors) != 1 or (scale := factors.pop()) <= 0:
        return 1.0, summed
    links = tuple((n, _scaled(p, 1 / scale, exact=True)) for n, p in summed.links)
    return scale, dataclasses.replace(summed, links=links)


def _scaled(pattern: Pattern, factor: float, exact: bool = False) -> Pattern:
    scaled = np.where(pattern.feature >= 0, pattern.factor * factor, 1.0)
    if exact or np.allclose(scaled, 1, rtol=1e-12, atol=0):
        scaled = np.ones_like(scaled)
    return Pattern(pattern.feature, scaled)


def _link_all(recorder: Recorder, site: Site, summed: _Summed) -> None:
    links = set()
    for node, pattern in summed.links:
        recorder.patterns.setdefault(pattern.key, pattern)
        lag = STATIC if recorder.sites[node].kind == "static" else 0
        links.add(Link(node, pattern.key, lag))
    recorder.record(site, frozenset(links), set(range(*summed.window)))


def _collect(recorder: Recorder, entries: list[tuple[int, Pattern, int]]) -> _Summed:
    """Group what is read by source; move linear operations on a sum over time into the sum."""
    groups: dict[tuple[int, bytes], list[tuple[int, Pattern]]] = {}
    static = []
    for node, pattern, step in entries:
        if step == STATIC:
            static.append((node, pattern))
            continue
        groups.setdefault((node, pattern.feature.tobytes()), []).append((step, pattern))
    if not groups:
        raise UnsupportedNodeError("model: its output does not depend on time")
    found: list[_Summed] = []
    for (node, _), members in groups.items():
        moved_in = _moved_into_sum(recorder, node) if len(members) == 1 else None
        if moved_in is not None:
            number, window, mean = moved_in
            found.append(_Summed(window, mean, ((number, members[0][1]),)))
            continue
        window = _window(step for step, _ in members)
        if len(members) != window[1] - window[0]:
            raise UnsupportedNodeError("model: its output adds one step several times")
        first = members[0][1]
        if any((p.factor != first.factor).any() for _, p in members):
            raise UnsupportedNodeError("model: its output weighs steps differently")
        count = len(members)
        whole = _scaled(first, count)
        mean = count > 1 and whole.is_plain
        found.append(_Summed(window, mean, ((node, whole if mean else first),)))
    window = found[0].window
    if any(f.window != window for f in found):
        raise UnsupportedNodeError("model: its output adds sums over different steps")
    mean = all(f.mean for f in found)
    count = window[1] - window[0]
    links = []
    for part in found:
        share = 1.0 if mean or not part.mean else 1 / count
        links += [(n, _scaled(p, share)) for n, p in part.links]
    # What does not change is added once, not once per step.
    links += [(n, _scaled(p, 1.0 if mean else 1 / count)) for n, p in static]
    return _Summed(window, mean, tuple(links))


def _moved_into_sum(recorder: Recorder, node: int) -> tuple[int, tuple[int, int], bool] | None:
    """Replace a linear operation on a sum over time by the sum over time of the operation.

    Returns the new node, the steps, and whether it is a mean; None if it is no such operation.
    """
    site = recorder.sites[node]
    if site.operation is None or len(site.steps) != 1 or site.kind != "step":
        return None
    now = next(iter(site.steps))
    entries = [
        (link.node, recorder.patterns[link.pattern], STATIC if link.lag < 0 else now - link.lag)
        for link in site.links
    ]
    summed = _collect(recorder, entries)
    count = summed.window[1] - summed.window[0]
    if count == 1:
        return None
    share = 1.0 if summed.mean else 1 / count
    new = recorder.new(
        site.name,
        site.path,
        site.shape,
        taken=site.taken,
        operation=_with_share(site.operation, share),
        constant=None if site.constant is None else site.constant * share,
    )
    _link_all(recorder, new, summed)
    return new.number, summed.window, summed.mean


def _with_share(operation: Operation, share: float) -> Operation:
    """Return the operation with ``share`` of its bias."""
    changed: dict[str, Any] = dict(operation.parameters)
    for name in ("bias", "shift"):
        if changed.get(name) is not None:
            changed[name] = changed[name].detach().double() * share
    return dataclasses.replace(operation, parameters=changed)
