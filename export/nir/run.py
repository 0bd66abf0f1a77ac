"""Running the original model: copies in one precision, step by step or as a whole, recorded."""

from __future__ import annotations

import copy
import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from neurodeploy.errors import InputError, NeurodeployError, UnsupportedNodeError
from neurodeploy.export.nir import norse as norse
from neurodeploy.export.nir.cells import CELL_TYPES
from neurodeploy.export.nir.trace import InPrecision, failure, tensors_in
from neurodeploy.neurons import SpikingSequence

FloatArray: TypeAlias = NDArray[np.float64]
Layout: TypeAlias = Literal["time-first", "batch-first", "held"]


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """What is exported: a module, and the name of its step where a bound method was given."""

    module: torch.nn.Module
    method: str | None = None

    @staticmethod
    def of(model: Any) -> Subject:
        """Return the subject of a module or of a bound method of one.

        Raises
        ------
        InputError
            For anything else.
        """
        owner = getattr(model, "__self__", None)
        module = model if isinstance(model, torch.nn.Module) else owner
        if isinstance(module, torch.nn.Module):
            # What torch.compile gives keeps the module it was made of.
            module = getattr(module, "_orig_mod", module)
            _require_python(module)
            if module is model or isinstance(model, torch.nn.Module):
                return Subject(module)
            if hasattr(model, "__name__"):
                return Subject(module, model.__name__)
        raise InputError(
            f"model: {type(model).__name__} cannot be exported; give a torch.nn.Module, or a "
            "bound method of one: to_nir(model.step, ...) with step(x_t, state) -> (out, state)"
        )

    def copied(self, dtype: torch.dtype) -> Subject:
        """Return a copy on the processor whose parameters are all ``dtype``.

        Norse keeps parameters in tuples that ``Module.to`` does not reach. A torch ``Sequential``
        with stateful members becomes Norse's ``SequentialState``: its own forward cannot pass
        states on.
        """
        module = _copied(self.module).to("cpu", dtype)
        for inner in module.modules():
            held = getattr(inner, "p", None)
            if hasattr(held, "_asdict"):
                inner.p = _converted(held, dtype)
        if self.method is None:
            module = _stateful_sequential(module)
        return Subject(module, self.method)

    def function(self) -> Callable[..., Any]:
        """Return what is called."""
        function: Callable[..., Any] = getattr(self.module, self.method or "__call__")
        return function


def _require_python(module: torch.nn.Module) -> None:
    """Refuse modules whose forward is no Python code that could be followed."""
    for name, inner in module.named_modules():
        if isinstance(inner, torch.jit.ScriptModule) or hasattr(inner, "_orig_mod"):
            path = f"model.{name}" if name else "model"
            raise UnsupportedNodeError(
                f"{path}: {type(inner).__name__} is compiled, so its forward cannot be followed; "
                "give the module it was made of"
            )


def _copied(module: torch.nn.Module) -> torch.nn.Module:
    """Return a deep copy; tensors that a graph of gradients hangs on are copied without it."""
    memo: dict[int, Any] = {}
    for inner in module.modules():
        for held in inner.__dict__.values():
            for tensor in tensors_in(held):
                if not tensor.is_leaf:
                    memo[id(tensor)] = tensor.detach().clone()
    try:
        return copy.deepcopy(module, memo)
    except Exception as error:
        raise InputError(
            f"model: cannot be copied ({type(error).__name__}: {' '.join(str(error).split())[:200]}"
            "); the exporter runs copies only"
        ) from error


@dataclass(frozen=True, slots=True)
class Way:
    """One way to run a model: ``stepwise`` (the exporter loops) or whole; the sample's axes."""

    stepwise: bool
    layout: Layout

    def __str__(self) -> str:
        """Return it in words."""
        called = "step by step" if self.stepwise else "in one call"
        shape = {"time-first": "[T, B, ...]", "batch-first": "[B, T, ...]", "held": "[B, ...]"}
        return f"run {called} on a sample {shape[self.layout]}"


def ways_to_run(
    subject: Subject, shape: tuple[int, ...], steps: int | None, layout: Layout | None
) -> list[Way]:
    """Return how the model may be meant to run on a sample of ``shape``, the likeliest first."""
    stepwise = _may_be_stepwise(subject)
    found: list[Way] = []
    for by_step in stepwise:
        layouts: list[Layout] = ["time-first", "batch-first", "held"]
        if by_step:
            layouts = ["time-first", "held"]
            if steps is None:
                layouts = ["time-first"]
            elif shape[0] != steps:
                layouts = ["held"]
        if len(shape) == 2:
            layouts = ["held"]
        elif type(subject.module) is SpikingSequence:
            layouts = ["time-first"]
        found += [Way(by_step, name) for name in layouts if layout in (None, name)]
    if not found:
        raise InputError(f"layout: {layout!r} does not fit a sample of shape {shape}")
    return found


def _may_be_stepwise(subject: Subject) -> list[bool]:
    module = subject.module
    if subject.method is not None:
        return [True]
    whole = (norse.SNN, norse.SNNRecurrent, norse.Lift, norse.ConstantCurrentLIFEncoder)
    if any(isinstance(m, whole) for m in module.modules()):
        return [False]
    if any(type(m) is SpikingSequence for m in module.modules()):
        return [False]
    if type(module) in _ARRANGEMENTS or type(module) in CELL_TYPES:
        return [True]
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = inspect.signature(type(module).forward).parameters.values()
    return [False, True] if sum(p.kind in positional for p in parameters) > 2 else [False]


_ARRANGEMENTS = (torch.nn.Sequential, norse.SequentialState, norse.RecurrentSequential)


def _stateful_sequential(module: torch.nn.Module) -> torch.nn.Module:
    if type(module) not in (torch.nn.Sequential, norse.SequentialState):
        return module
    members = [
        (name, _stateful_sequential(child))
        for name, child in module._modules.items()
        if child is not None
    ]
    changed = any(child is not module._modules[name] for name, child in members)
    stateful = any(norse.is_stateful(child) for _, child in members)
    if not changed and (type(module) is norse.SequentialState or not stateful):
        return module
    made: torch.nn.Module = norse.SequentialState(*(child for _, child in members))
    made.train(module.training)
    made._forward_hooks.update(module._forward_hooks)
    made._forward_pre_hooks.update(module._forward_pre_hooks)
    return made


def run_model(function: Callable[..., Any], inputs: Tensor, way: Way, steps: int | None) -> Any:
    """Run the model; return its output, stacked over the steps where the exporter loops.

    Raises
    ------
    UnsupportedNodeError
        If the model itself fails.
    """
    try:
        if not way.stepwise:
            return first_tensor(function(inputs))
        outputs = []
        state: Any = None
        takes_state = len(inspect.signature(_unwrapped(function)).parameters) > 1
        for t in range(inputs.shape[0] if way.layout == "time-first" else int(steps or 0)):
            x = inputs[t] if way.layout == "time-first" else inputs
            result = function(x, state) if takes_state else function(x)
            if isinstance(result, tuple) and len(result) == 2:
                result, state = result
            outputs.append(first_tensor(result))
        return torch.stack(outputs)
    except (NeurodeployError, KeyboardInterrupt):
        raise
    except Exception as error:
        raise failure("model", error) from error


def _unwrapped(function: Callable[..., Any]) -> Callable[..., Any]:
    owner = getattr(function, "__self__", None)
    if isinstance(owner, torch.nn.Module) and getattr(function, "__name__", "") != "forward":
        name = getattr(function, "__name__", "")
        if name in ("_wrapped_call_impl", "_call_impl", "__call__"):
            return functools.partial(type(owner).forward, owner)
    return function


def first_tensor(result: Any) -> Tensor:
    """Return the tensor a model returns, or the first of several."""
    if isinstance(result, Tensor):
        return result
    if isinstance(result, dict) and result:
        return first_tensor(next(iter(result.values())))
    if isinstance(result, (tuple, list)) and result:
        return first_tensor(result[0])
    raise UnsupportedNodeError(f"model: returns {type(result).__name__}, not a tensor")


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """What a run of the original gave: every call's output by cell path, and the model's output."""

    calls: dict[str, list[FloatArray]]
    output: Tensor


def record_run(
    subject: Subject, inputs: FloatArray, way: Way, steps: int | None, dtype: torch.dtype
) -> Recording:
    """Run a copy of the model in ``dtype`` and keep what every cell put out."""
    copied = subject.copied(dtype)
    calls: dict[str, list[FloatArray]] = {}
    for name, module in copied.module.named_modules():
        path = f"model.{name}" if name else "model"
        if type(module) is SpikingSequence:
            module.run = functools.partial(_recorded_sequence, calls, path, module)  # type: ignore[method-assign]
        elif type(module) in CELL_TYPES:
            module.forward = functools.partial(_recorded, calls, path, module.forward)
    with exact_run(dtype):
        # A copy: the caller's values may be a read-only broadcast, which torch cannot wrap.
        output = run_model(
            copied.function(), torch.from_numpy(np.array(inputs)).to(dtype), way, steps
        )
    return Recording(calls, output.detach())


@contextmanager
def exact_run(dtype: torch.dtype) -> Iterator[None]:
    """Run without gradients, with every float of the model in ``dtype``.

    The caller's random numbers are not used up, whatever the model draws.
    """
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad(), InPrecision(dtype):
            yield
    finally:
        torch.set_default_dtype(before)


def _recorded(
    calls: dict[str, list[FloatArray]], path: str, forward: Any, *args: Any, **kwargs: Any
) -> Any:
    result = forward(*args, **kwargs)
    output = result if isinstance(result, Tensor) else result[0]
    calls.setdefault(path, []).append(output.detach().double().numpy().copy())
    return result


def _recorded_sequence(
    calls: dict[str, list[FloatArray]], path: str, module: SpikingSequence, x: Tensor
) -> Any:
    result = SpikingSequence.run(module, x)
    spikes = iter(result.spikes)
    for name, child in module._modules.items():
        if type(child) in CELL_TYPES:
            calls.setdefault(f"{path}.{name}", []).append(next(spikes).detach().double().numpy())
    return result


def _converted(parameters: Any, dtype: torch.dtype) -> Any:
    """Return Norse's parameter tuple with its tensors in ``dtype``."""
    tensors = {
        name: value.detach().to("cpu", dtype)
        for name, value in parameters._asdict().items()
        if isinstance(value, Tensor)
    }
    return parameters._replace(**tensors)
