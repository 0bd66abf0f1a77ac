"""Calls of spiking cells in a traced run: their steps, and the state that links them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neurodeploy.errors import UnsupportedNodeError
from neurodeploy.export.nir.cells import CELL_TYPES, CellType, read_parameters, refuse_unknown
from neurodeploy.export.nir.linear import linear
from neurodeploy.export.nir.signal import Opaque, Signal, Tag, Term, added
from neurodeploy.export.nir.sites import Site
from neurodeploy.export.nir.trace import Tracer
from neurodeploy.neurons import SpikingSequence
from neurodeploy.neurons.scan import scan


def follow(tracer: Tracer, model: torch.nn.Module, name: str = "model") -> None:
    """Make every module of ``model`` (a copy made for this run) report its calls to ``tracer``."""
    for inner, module in model.named_modules():
        path = f"{name}.{inner}" if inner else name
        why = refuse_unknown(path, module)
        forward = module.forward
        if why is not None:
            forward = functools.partial(_refuse, why)
        elif type(module) in CELL_TYPES:
            call = _call_encoder if CELL_TYPES[type(module)].encodes else _call_cell
            forward = functools.partial(call, tracer, path, module, forward)
        elif type(module) is SpikingSequence:
            forward = functools.partial(_run_sequence, tracer, path, module)
        else:
            forward = functools.partial(tracer.inside, path, forward)
        module.forward = forward


def _refuse(why: str, *args: Any, **kwargs: Any) -> Any:
    raise UnsupportedNodeError(why)


def _call_cell(
    tracer: Tracer,
    path: str,
    module: Any,
    forward: Callable[..., Any],
    *args: Any,
    **kwargs: Any,
) -> Any:
    given = dict(zip(("input_tensor", "state"), args, strict=False))
    given |= {"input_tensor" if k == "x" else k: v for k, v in kwargs.items()}
    kind = CELL_TYPES[type(module)]
    x = given["input_tensor"]
    signal = tracer.readable(x, path)
    if len(signal.shape) <= kind.lead - (0 if kind.lead == 2 else 1):
        raise UnsupportedNodeError(f"{path}: an input of shape {tuple(x.shape)} has no batch axis")
    shape = tuple(x.shape[kind.lead :])
    if kind.weights:
        signal = _weighted(tracer, path, signal, module.input_weights, "input_weights")
        shape = (*shape[:-1], int(module.input_weights.shape[0]))
    read_parameters(path, module, shape)
    site = _site_of(tracer, path, module, given.get("state"), shape, kind)
    if kind.recurrent:
        signal = _with_own_spikes(tracer, path, signal, module, site, kind)
    first = site.length
    site.lead = kind.lead
    site.calls.append(tracer.calls.get(path, 0))
    tracer.calls[path] = tracer.calls.get(path, 0) + 1
    tag = tracer.recorder.feed_cell(site, signal, kind.lead, path)
    out, state = tracer.quietly(tracer.inside, path, forward, *args, **kwargs)
    if tuple(out.shape) != tuple(tag.shape):
        raise UnsupportedNodeError(
            f"{path}: gives shape {tuple(out.shape)} for an input of {tuple(x.shape)}"
        )
    tracer.tag(out, tag)
    site.state = _tag_state(tracer, site, state, out, kind, first)
    return out, state


def _call_encoder(
    tracer: Tracer, path: str, module: Any, forward: Callable[..., Any], input_currents: Tensor
) -> Tensor:
    """Follow Norse's constant-current encoder: a LIF without current on an image that is held.

    Its membrane starts at zero, whatever v_leak is.
    """
    shape = tuple(input_currents.shape[1:])
    if not shape:
        raise UnsupportedNodeError(f"{path}: an input of one axis has no batch axis")
    held = input_currents.expand(module.seq_length, *input_currents.shape)
    read_parameters(path, module, shape)
    call = tracer.calls.get(path, 0)
    tracer.calls[path] = call + 1
    site = tracer.recorder.new(
        "lif", path, shape, module=module, start=np.zeros(shape), calls=[call], lead=2
    )
    tag = tracer.recorder.feed_cell(site, tracer.readable(held, path), 2, path)
    out: Tensor = tracer.quietly(tracer.inside, path, forward, input_currents)
    return tracer.tag(out, tag)


def _weighted(tracer: Tracer, path: str, signal: Signal, weight: Tensor, name: str) -> Signal:
    """Return the signal after a matrix that the cell holds itself."""
    tracer.places.append(f"{path}.{name}")
    try:
        described = linear(tracer, signal, weight)
    finally:
        tracer.places.pop()
    if described is None:
        raise UnsupportedNodeError(f"{path}: {name} has shape {tuple(weight.shape)}")
    operation, signal, lead, _ = described
    return tracer.recorder.apply(operation, signal, lead, (int(weight.shape[0]),))


def _with_own_spikes(
    tracer: Tracer, path: str, signal: Signal, module: Any, site: Site, kind: CellType
) -> Signal:
    """Add the matrix on the cell's own spikes of the step before; none before the first."""
    samples, width = tracer.recorder.samples, site.features
    length = signal.shape[0] if kind.lead == 2 else 1
    step = np.arange(site.length - 1, site.length + length - 1)
    block = step[:, None] * samples + np.arange(samples)
    block = np.where(step[:, None] < 0, -1, block)
    index = np.where(block[..., None] < 0, -1, block[..., None] * width + np.arange(width))
    spikes = Signal(
        signal.shape, (Term(site.number, torch.from_numpy(index.reshape(signal.shape))),)
    )
    weight = module.recurrent_weights
    return added([signal, _weighted(tracer, path, spikes, weight, "recurrent_weights")])


def _site_of(
    tracer: Tracer, path: str, module: Any, state: Any, shape: tuple[int, ...], kind: CellType
) -> Site:
    """Return the node whose last state is given, or a new one where it is a first state."""
    recorder = tracer.recorder
    if state is None:
        return recorder.new(kind.rule, path, shape, module=module)
    fields = _fields(state)
    tags = {name: tracer.tag_of(value) for name, value in fields.items()}
    if all(tag is None for tag in tags.values()):
        start = _start(path, fields, shape, tracer.recorder.samples)
        return recorder.new(kind.rule, path, shape, module=module, start=start)
    for site in recorder.sites:
        if site.module is module and site.state and _same_state(site.state, fields, tags):
            if site.shape != shape:
                raise UnsupportedNodeError(
                    f"{path}: its input changes shape from {site.shape} to {shape}"
                )
            return site
    opaque = next((tag for tag in tags.values() if isinstance(tag, Opaque)), None)
    met = f" ({opaque.path}: {opaque.why})" if opaque else ""
    raise UnsupportedNodeError(
        f"{path}: the state it is given is neither a first state nor the one its last call "
        f"returned{met}; pass each cell its own last state, unchanged"
    )


def _fields(state: Any) -> dict[str, Any]:
    if hasattr(state, "_asdict"):
        return dict(state._asdict())
    values = state if isinstance(state, (tuple, list)) else (state,)
    return {str(number): value for number, value in enumerate(values)}


def _start(
    path: str, fields: dict[str, Any], shape: tuple[int, ...], samples: int
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the membrane of a first state, the same for every sample; all else must be zero."""
    for name, value in fields.items():
        if name != "v" and bool((torch.as_tensor(value) != 0).any()):
            raise UnsupportedNodeError(
                f"{path}: its first state has {name} other than zero; NIR's states start at zero"
            )
    v = torch.as_tensor(fields.get("v", 0.0)).detach().double()
    try:
        wide = v.broadcast_to((samples, *shape)).numpy()
    except RuntimeError:
        raise UnsupportedNodeError(
            f"{path}: its first membrane has shape {tuple(v.shape)}, its input "
            f"{(samples, *shape)}; is it a state that an earlier run left in the model?"
        ) from None
    if (wide != wide[:1]).any():
        raise UnsupportedNodeError(f"{path}: its first membrane differs between samples")
    return np.array(wide[0])


def _same_state(last: dict[str, Any], fields: dict[str, Any], tags: dict[str, Tag | None]) -> bool:
    if last.keys() != fields.keys():
        return False
    for name, kept in last.items():
        tag = tags[name]
        if isinstance(kept, Signal):
            if not isinstance(tag, Signal) or not _same_signal(kept, tag):
                return False
        elif tag is not None or not isinstance(fields[name], int) or fields[name] != kept:
            return False
    return True


def _same_signal(a: Signal, b: Signal) -> bool:
    if b.constant is not None or len(a.terms) != 1 or len(b.terms) != 1:
        return False
    x, y = a.terms[0], b.terms[0]
    same = x.node == y.node and not isinstance(y.factor, Tensor) and y.factor == 1
    return same and x.index.shape == y.index.shape and bool((x.index == y.index).all())


def _tag_state(
    tracer: Tracer, site: Site, state: Any, out: Tensor, kind: CellType, first: int
) -> dict[str, Any]:
    """Tag the state a call returned; return what the next call must be given."""
    kept: dict[str, Any] = {}
    for name, value in _fields(state).items():
        if not isinstance(value, Tensor):
            kept[name] = value
            continue
        tag = tracer.tag_of(value) if value is out else None
        if tag is None:
            tag = _state_tag(tracer, site, name, tuple(value.shape), kind, first)
            tracer.tag(value, tag)
        kept[name] = tag
    return kept


def _state_tag(
    tracer: Tracer, site: Site, name: str, shape: tuple[int, ...], kind: CellType, first: int
) -> Tag:
    samples, width = tracer.recorder.samples, site.features
    output = (name == "v" and not kind.spikes) or (name == "z" and kind.spikes)
    node = site.number if output else _state_site(tracer, site, name).number
    steps = np.arange(first, site.length)
    if shape == (samples, *site.shape):
        steps = steps[-1:]
    elif shape != (steps.size, samples, *site.shape):
        return Opaque(site.path, f"a state {name} of shape {shape}")
    block = steps[:, None] * samples + np.arange(samples)
    index = block[..., None] * width + np.arange(width)
    return Signal(torch.Size(shape), (Term(node, torch.from_numpy(index.reshape(shape))),))


def _state_site(tracer: Tracer, site: Site, name: str) -> Site:
    for other in tracer.recorder.sites:
        if other.parent == site.number and other.name == name:
            return other
    return tracer.recorder.new(name, f"{site.path} (state {name})", site.shape, parent=site.number)


def _run_sequence(tracer: Tracer, path: str, module: SpikingSequence, x: Tensor) -> Tensor:
    """Run a ``SpikingSequence`` as it runs itself, layer by layer over all steps."""
    if x.ndim not in (2, 3):
        return module.run(x).scores
    for name, child in module._modules.items():
        if child is None:
            continue
        if type(child) not in CELL_TYPES:
            x = child(x)
            continue
        currents = x.expand(module.steps, *x.shape) if x.ndim == 2 else x
        inner = f"{path}.{name}"
        shape = tuple(currents.shape[2:])
        site = tracer.recorder.new("lif", inner, shape, module=child, calls=[0], lead=2)
        read_parameters(inner, child, shape)
        tag = tracer.recorder.feed_cell(site, tracer.readable(currents, inner), 2, inner)
        x = tracer.tag(tracer.quietly(scan, child, currents), tag)
    return x.mean(0) if x.ndim == 3 else x
