"""Running a model once while noting, for every tensor, which node outputs it is made of.

A torch function mode sees every operation outside the spiking cells; the cells themselves are
known by type. What an operation does to the tags is in ``nir_operations``; an operation without a
rule makes its result opaque, which is an error only where an opaque value reaches a cell or the
model's output.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from neurodeploy.errors import NeurodeployError, UnsupportedNodeError
from neurodeploy.export.nir.aliases import changed, memory_of
from neurodeploy.export.nir.linear import DESCRIPTIONS
from neurodeploy.export.nir.operations import RULES
from neurodeploy.export.nir.rules import CREATES, LIKE, RANDOM, words
from neurodeploy.export.nir.signal import Largest, Opaque, Shown, Signal, Tag, constant
from neurodeploy.export.nir.sites import Operation, Recorder

#: Calls that ask a tensor about itself, not about its values.
_QUESTIONS = words(
    "shape dtype device ndim size dim numel stride is_contiguous is_floating_point is_complex "
    "layout requires_grad is_sparse is_cuda is_leaf grad_fn grad element_size nelement __len__ "
    "ndimension get_device is_meta is_quantized names storage_offset data_ptr _version "
    "requires_grad_ retain_grad is_nested is_mkldnn is_nonzero_ itemsize nbytes __hash__ "
    "is_same_size __repr__ __format__"
)
#: Operators that change their first operand.
_IN_PLACE = words(
    "__setitem__ __iadd__ __isub__ __imul__ __itruediv__ __ifloordiv__ __imod__ __ipow__ __iand__ "
    "__ior__ __ixor__ __ilshift__ __irshift__"
)


class Tracer(TorchFunctionMode):
    """Follows the tensors of one run over ``samples`` samples."""

    def __init__(self, samples: int) -> None:
        super().__init__()
        self.recorder = Recorder(samples)
        #: Tags by tensor identity; the tensor is kept so that the identity stays its own.
        self.tags: dict[int, tuple[Tensor, Tag]] = {}
        #: Tagged tensors by where their memory starts.
        self.sharing: dict[int | None, list[Tensor]] = {}
        self.places: list[str] = ["model"]
        #: Values that left the tensors as Python numbers: (module path, operation).
        self.values_read: set[tuple[str, str]] = set()
        self.muted = 0
        #: Calls so far of each cell, by path.
        self.calls: dict[str, int] = {}
        self.keys: dict[tuple[Any, ...], tuple[Any, str]] = {}

    @property
    def path(self) -> str:
        """Path of the module that is running."""
        return self.places[-1]

    def tag(self, tensor: Tensor, tag: Tag) -> Tensor:
        """Attach a tag; return the tensor."""
        if id(tensor) not in self.tags:
            self.sharing.setdefault(memory_of(tensor), []).append(tensor)
        self.tags[id(tensor)] = (tensor, tag)
        return tensor

    def tag_of(self, value: Any) -> Tag | None:
        """Return the tag of a tensor, or None where it does not depend on the input."""
        held = self.tags.get(id(value)) if isinstance(value, Tensor) else None
        return None if held is None else held[1]

    def signal_of(self, value: Any) -> Tag:
        """Return the tag of a tensor or number; one without tag is a constant."""
        tag = self.tag_of(value)
        if tag is None:
            tensor = value if isinstance(value, Tensor) else torch.as_tensor(value)
            return constant(tensor)
        return tag

    def readable(self, value: Any, reader: str) -> Signal:
        """Return the signal of what module ``reader`` is given, or say why there is none."""
        tag = self.signal_of(value)
        if isinstance(tag, Opaque):
            raise UnsupportedNodeError(refusal(tag, f"its result reaches {reader}"))
        if not isinstance(tag, Signal):
            raise UnsupportedNodeError(
                f"{reader}: is fed a maximum or a read-out function; NIR has no such node"
            )
        return tag

    def operation_key(self, parts: tuple[Any, ...]) -> str:
        """Return a text equal for equal ``parts`` (tensors by value, at this place)."""
        quick = tuple(
            (id(p), p._version) if isinstance(p, Tensor) else str(p) for p in (self.path, *parts)
        )
        if quick not in self.keys:
            whole = "|".join(
                f"{tuple(p.shape)}{hash(p.detach().double().numpy().tobytes())}"
                if isinstance(p, Tensor)
                else str(p)
                for p in (self.path, *parts)
            )
            # Holding the parts keeps their identities from being used again.
            self.keys[quick] = (parts, whole)
        return self.keys[quick][1]

    def operation(self, kind: str, parameters: dict[str, Any], keeps_zero: bool) -> Operation:
        """Describe a linear operation of the module that is running."""
        key = self.operation_key((kind, *parameters.values()))
        return Operation(kind, self.path, parameters, key, keeps_zero)

    def quietly(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call something whose inside is not followed."""
        self.muted += 1
        try:
            return function(*args, **kwargs)
        finally:
            self.muted -= 1

    def inside(self, path: str, forward: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call a module's ``forward``, noting that it runs."""
        self.places.append(path)
        try:
            return forward(*args, **kwargs)
        except (NeurodeployError, NotImplementedError):
            raise
        except Exception as error:
            raise failure(path, error) from error
        finally:
            self.places.pop()

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run one torch function and derive the tags of its result."""
        kwargs = kwargs or {}
        if self.muted:
            return func(*args, **kwargs)
        name = function_name(func)
        tags = [t for t in map(self.tag_of, tensors_in((args, kwargs))) if t is not None]
        if name in RANDOM:
            return self._opaque(func(*args, **kwargs), f"{name} draws random numbers")
        if name in CREATES:
            return CREATES[name](func, args, kwargs)
        alike = name in LIKE and not any(map(self.tag_of, tensors_in((args[1:], kwargs))))
        if name in _QUESTIONS or alike or (not tags and not _of_zeros(name, args, kwargs)):
            return func(*args, **kwargs)
        unreadable = next((t for t in tags if isinstance(t, Opaque)), None)
        if unreadable is not None:
            result = func(*args, **kwargs)
            self.mark(result, unreadable)
            self._written_to(name, args, kwargs, unreadable)
            return self._left(name, result)
        rule = None if kwargs.get("out") is not None else RULES.get(name)
        if rule is not None:
            result = rule(self, func, args, kwargs)
            if result is not NotImplemented:
                self._written_to(name, args, kwargs, None)
                return result
        result = self._left(name, func(*args, **kwargs))
        why = name
        for tag in tags:
            if isinstance(tag, Largest):
                why = f"a maximum, followed by {name},"
            elif isinstance(tag, Shown):
                why = f"{tag.chain[-1][0]}, followed by {name},"
        self._written_to(name, args, kwargs, Opaque(self.path, why))
        return self._opaque(result, why)

    def _written_to(
        self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], tag: Opaque | None
    ) -> None:
        """Mark what an operation wrote to in place and cannot be read; None: as it is tagged."""
        in_place = name in _IN_PLACE or (name.endswith("_") and not name.startswith("__"))
        for target in tensors_in([args[:1] if in_place else (), kwargs.get("out")]):
            found = self.tag_of(target) if tag is None else tag
            if isinstance(found, Opaque):
                changed(self, target, found, target)

    def _opaque(self, result: Any, why: str) -> Any:
        self.mark(result, Opaque(self.path, why))
        return result

    def mark(self, result: Any, tag: Tag) -> None:
        """Give every tensor in ``result`` the tag."""
        for tensor in tensors_in(result):
            self.tag(tensor, tag)

    def _left(self, name: str, result: Any) -> Any:
        """Note a value that became a Python number; a branch on one cannot be written."""
        if not any(True for _ in tensors_in(result)):
            if name == "__bool__":
                raise UnsupportedNodeError(
                    f"{self.path}: the forward branches on a computed value (if, while or assert "
                    "on a tensor); a NIR graph cannot. Give a step without the branch: "
                    "to_nir(model.step, ...)"
                )
            self.values_read.add((self.path, name))
        return result


def failure(path: str, error: Exception) -> UnsupportedNodeError:
    """Say that the model's own code fails on the sample."""
    text = " ".join(str(error).split())
    return UnsupportedNodeError(
        f"{path}: {FAILS} on this sample: {type(error).__name__}: {text[:300]}"
    )


#: How the message of a failure in the model's own code begins.
FAILS = "the model's own code fails"


def _of_zeros(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether it is a linear operation on zeros: a first state that stands for a signal."""
    if name not in DESCRIPTIONS:
        return False
    first = args[0] if args else kwargs.get("input")
    return isinstance(first, Tensor) and not bool(first.any())


def refusal(tag: Opaque, where: str) -> str:
    """Say which operation cannot be written, and what to do about it."""
    return (
        f"{tag.path}: {tag.why} cannot be written to NIR, and {where}. Supported around the cells: "
        "linear layers, convolutions, sum and average pools, batch norm and dropout in eval mode, "
        "sums, constants, views and read-outs over time. If only the time loop is at fault, give "
        "one step: to_nir(model.step, ...) with step(x_t, state) -> (out, state)"
    )


def function_name(func: Any) -> str:
    """Return a torch function's name; for a property, the property's."""
    name: str = getattr(func, "__name__", type(func).__name__)
    if name in ("__get__", "__set__", "__delete__"):
        owner = getattr(func, "__self__", None)
        found = getattr(owner, "__name__", name)
        return found if name == "__get__" else f"set {found}"
    return name


def tensors_in(value: Any) -> Iterator[Tensor]:
    """Yield the tensors in nested tuples, lists and dictionaries."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from tensors_in(item)
    elif isinstance(value, dict):
        yield from tensors_in(list(value.values()))


class InPrecision(TorchFunctionMode):
    """Makes every cast to float32 or float64 one to ``dtype``.

    Models name float32 in many places (Norse does for its first states); a float64 run must not
    round there.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run one torch function in ``dtype``."""
        swap = functools.partial(_swapped, dtype=self.dtype)
        kwargs = {name: swap(value) for name, value in (kwargs or {}).items()}
        if function_name(func) in ("float", "double") and args and isinstance(args[0], Tensor):
            return args[0].to(self.dtype)
        return func(*map(swap, args), **kwargs)


def _swapped(value: Any, dtype: torch.dtype) -> Any:
    return dtype if value is torch.float32 or value is torch.float64 else value
