"""Certificates: decisions that no input within a radius can change, on the deployed integers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import InputError, RangeError, ShapeError
from neurodeploy.network import FixedPointNetwork
from neurodeploy.robustness.certificates.inputs import InputBounds, ball
from neurodeploy.robustness.certificates.interval_run import run_intervals
from neurodeploy.robustness.certificates.intervals import Flags, Integers, Interval
from neurodeploy.robustness.certificates.readout_margins import margins
from neurodeploy.robustness.certificates.refined_run import run_refined
from neurodeploy.robustness.certificates.run_bounds import RunBounds

Method = Literal["interval", "refined"]
#: Samples bounded at once: so many, and so few that pairs of steps times neurons stay below.
_BATCH, _PAIRS = 512, 2**26


@dataclass(frozen=True, slots=True, eq=False)
class Certificate:
    """What is proven of each sample.

    Parameters
    ----------
    certified : bool [B]
        Every input within the bounds is decided for the label, and none is a tie.
    margin : int64 [B]
        Lower bound of score[label] - max(score[other]) over those inputs.
    unknown : mapping of population to int64 [B]
        Spikes, over all steps, that may come or not.
    wraps, saturations : mapping of population to int64 [B]
        Neuron-steps in which the synaptic input or u may wrap, or v may be clipped.
    """

    certified: NDArray[np.bool_]
    margin: NDArray[np.int64]
    unknown: Mapping[str, Integers]
    wraps: Mapping[str, Integers]
    saturations: Mapping[str, Integers]

    @property
    def accuracy(self) -> float:
        """Share of the samples that are certified."""
        return float(self.certified.mean())


def certify(
    net: FixedPointNetwork,
    codes: NDArray[np.integer],
    labels: NDArray[np.integer],
    radius: int,
    *,
    method: Method = "refined",
) -> Certificate:
    """Certify decisions on the l_inf ball of ``radius`` codes around each sample.

    The proof is about the integers of ``run_fixed(net, codes)``, truncations, floors, wraps and
    clips included, and about nothing else: not about another network or another timing.

    Parameters
    ----------
    net : FixedPointNetwork
    codes : int array [B, n_input]
        Input codes, held for ``net.steps`` steps; [T, B, n_input] lets every step differ by itself.
    labels : int array [B]
        Classes, 0 on.
    radius : int
        In codes; the ball is cut at 0 and at the largest code.
    method : {"interval", "refined"}
        Step by step, or also by what is known of spikes that go together.

    Raises
    ------
    ShapeError, RangeError, InputError
        For arguments that do not fit.
    """
    return certify_inputs(net, ball(net, np.asarray(codes), radius), labels, method=method)


def certify_inputs(
    net: FixedPointNetwork,
    inputs: InputBounds,
    labels: NDArray[np.integer],
    *,
    method: Method = "refined",
) -> Certificate:
    """Certify decisions under any bounds of the inputs (``input_bounds``); else as ``certify``."""
    if method not in ("interval", "refined"):
        raise InputError(f"method: {method!r} not known; choose interval or refined")
    labels = _checked_labels(net, inputs, labels)
    _check_window(net, inputs)
    parts = []
    largest = max(p.size for p in net.populations)
    batch = max(1, min(_BATCH, _PAIRS // (inputs.steps**2 * largest)))
    for first in range(0, inputs.batch, batch):
        some = slice(first, first + batch)
        parts.append(_certify_some(net, inputs.of_samples(some), labels[some], method))
    return _joined(parts)


def _certify_some(
    net: FixedPointNetwork, inputs: InputBounds, labels: Integers, method: Method
) -> Certificate:
    """Certify with the cheap bounds, and what they leave open with joint ones."""
    if method == "interval":
        return _certificate(net, run_intervals(net, inputs), labels)
    made = _certificate(net, run_refined(net, inputs, joint=False), labels)
    middle = (inputs.codes.lo + inputs.codes.hi) // 2
    point = InputBounds(Interval(middle, middle), inputs.steps)
    hopeful = margins(net, run_intervals(net, point), labels) > 0
    rest = np.flatnonzero(hopeful & ~made.certified)
    if rest.size == 0:
        return made
    joint = run_refined(net, inputs.of_samples(rest), joint=True)
    return _replaced(made, rest, _certificate(net, joint, labels[rest]))


def bound_run(net: FixedPointNetwork, inputs: InputBounds, method: Method) -> RunBounds:
    """Bound every state and spike of the runs under ``inputs``."""
    return run_intervals(net, inputs) if method == "interval" else run_refined(net, inputs)


def _certificate(net: FixedPointNetwork, bounds: RunBounds, labels: Integers) -> Certificate:
    margin = margins(net, bounds, labels)

    def counted(flags: Flags) -> Integers:
        return np.asarray(flags.sum(axis=(0, 2)))

    known = bounds.populations
    return Certificate(
        margin > 0,
        margin,
        {name: k.unknown for name, k in known.items()},
        {name: counted(k.wraps) for name, k in known.items()},
        {name: counted(k.clamps) for name, k in known.items()},
    )


def _replaced(made: Certificate, rest: Integers, better: Certificate) -> Certificate:
    """Put what is known of the samples ``rest`` by now in place."""

    def put(old: NDArray[Any], new: NDArray[Any]) -> NDArray[Any]:
        changed = old.copy()
        changed[rest] = new
        return changed

    def each(old: Mapping[str, Integers], new: Mapping[str, Integers]) -> Mapping[str, Integers]:
        return {name: put(value, new[name]) for name, value in old.items()}

    margin = put(made.margin, np.maximum(made.margin[rest], better.margin))
    return Certificate(
        margin > 0,
        margin,
        each(made.unknown, better.unknown),
        each(made.wraps, better.wraps),
        each(made.saturations, better.saturations),
    )


def _joined(parts: list[Certificate]) -> Certificate:
    def together(name: str) -> Mapping[str, Integers]:
        mappings = [getattr(part, name) for part in parts]
        return {key: np.concatenate([m[key] for m in mappings]) for key in mappings[0]}

    return Certificate(
        np.concatenate([part.certified for part in parts]),
        np.concatenate([part.margin for part in parts]),
        together("unknown"),
        together("wraps"),
        together("saturations"),
    )


def _checked_labels(
    net: FixedPointNetwork, inputs: InputBounds, labels: NDArray[np.integer]
) -> Integers:
    labels = np.asarray(labels)
    if labels.shape != (inputs.batch,):
        raise ShapeError(f"labels: shape {labels.shape} for {inputs.batch} samples; give one each")
    if labels.dtype.kind not in "iu":
        raise InputError(f"labels: {labels.dtype}; classes are integers")
    classes = net.population(net.readout.population).size
    if labels.min() < 0 or labels.max() >= classes:
        raise RangeError(
            f"labels: {labels.min()}..{labels.max()}; the network has the classes 0..{classes - 1}"
        )
    return labels.astype(np.int64)


def _check_window(net: FixedPointNetwork, inputs: InputBounds) -> None:
    window = net.readout.window
    if window is not None and window[1] > inputs.steps:
        raise ShapeError(
            f"read-out: window {window[0]}:{window[1]} ends after the run's {inputs.steps} steps"
        )
