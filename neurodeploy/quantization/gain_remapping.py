"""DLIF's gain per step, folded into its mean: stock neurons, at the price of some spikes.

``fold`` turns ``p[t] * x`` into ``mean(p) * x``: the mean joins the input gain, and so weights and
biases. It is an approximation unless the gain is constant. What it costs is measured in float: the
share of spikes that agree with the real gain on the calibration samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import RangeError
from neurodeploy.findings import Finding
from neurodeploy.network import FixedPointNetwork, Network, Population
from neurodeploy.quantization.bit_planes import bit_planes_in, with_bit_planes_of
from neurodeploy.quantization.sign_split import as_split
from neurodeploy.simulate import run_float

#: Forms that a gain may take on a target; ``auto`` chooses (``gain_choice.py``).
Remap = Literal["microcode", "graded", "bitplane", "fold", "auto"]
#: ``auto`` folds where at least this share of spikes agrees with the real gain.
AGREEMENT_NEEDED = 0.98

#: Gives the calibration codes in blocks, anew at each call.
Blocks = Callable[[], Iterable[NDArray[Any]]]


@dataclass(frozen=True, slots=True)
class SpikeAgreement:
    """Entries (step, sample, neuron) of a population's spikes in two runs, and how many differ."""

    compared: int
    differing: int

    @property
    def share(self) -> float:
        """Share of entries that are equal; 1 where there is none."""
        return 1.0 - self.differing / self.compared if self.compared else 1.0


def fold(network: Network, names: Iterable[str]) -> Network:
    """Return ``network`` with the gains of the populations ``names`` folded into their means.

    The mean is over the steps of one sample: gains beyond them do not count, and where there are
    fewer the last one holds.

    Raises
    ------
    RangeError
        If a gain is negative somewhere, or zero throughout.
    """
    wanted = set(names)
    chosen = [p for p in network.populations if p.name in wanted]
    refused = [text for p in chosen if (text := fold_obstacle(p))]
    if refused:
        lines = "\n  ".join(refused)
        raise RangeError(lines if len(refused) == 1 else f"{len(refused)} gains:\n  {lines}")
    populations = tuple(
        replace(p, gain=None, input_gain=p.input_gain * mean_gain(p.gain, network.steps or 0))
        if p.name in wanted and p.gain is not None
        else p
        for p in network.populations
    )
    return replace(network, populations=populations)


def as_mapped(network: Network, net: FixedPointNetwork) -> Network:
    """Return ``network`` as ``net`` means it: gains folded and in bit planes, signs split."""
    names = folded_gains(network, net)
    return as_built(fold(network, names) if names else network, net)


def as_built(network: Network, net: FixedPointNetwork) -> Network:
    """Return ``network`` with the populations and synapses of ``net``: bit planes, split signs.

    Gains that ``net`` folds are left as they are; it alone has always-on lines.
    """
    # The matrices of gates are split as any other.
    return as_split(with_bit_planes_of(network, net), net)


def folded_gains(network: Network, net: FixedPointNetwork) -> list[str]:
    """Return the names of the populations whose gain is folded in ``net``."""
    integers, gated = {p.name: p for p in net.populations}, bit_planes_in(network, net)
    return [
        p.name
        for p in network.populations
        if p.gain is not None
        and p.name in integers
        and integers[p.name].gain is None
        and p.name not in gated
    ]


def mean_gain(gain: NDArray[np.float64], steps: int) -> float:
    """Return the mean gain of one sample of ``steps`` steps; the last gain holds to the end."""
    return float(_over_sample(gain, steps).mean())


def spike_agreement(
    network: Network, folded: Network, names: Iterable[str], blocks: Blocks
) -> dict[str, SpikeAgreement]:
    """Count, per population, the spikes of the two float networks that differ."""
    compared = dict.fromkeys(names, 0)
    differing = dict(compared)
    for block in blocks():
        real = run_float(network, block, record=("spikes",)).records
        mean = run_float(folded, block, record=("spikes",)).records
        for name in compared:
            a, b = real[f"{name}/spikes"], mean[f"{name}/spikes"]
            compared[name] += a.size
            differing[name] += int((a != b).sum())
    return {name: SpikeAgreement(compared[name], differing[name]) for name in compared}


def _over_sample(gain: NDArray[np.float64], steps: int) -> NDArray[np.float64]:
    if steps < 1:
        return gain
    return np.pad(gain[:steps], (0, max(0, steps - gain.size)), mode="edge")


def fold_obstacle(p: Population) -> str:
    """Say why the gain of ``p`` has no fold; empty where it has one."""
    if p.gain is None:
        return ""
    if p.gain.min() >= 0 and p.gain.max() > 0:
        return ""
    return (
        f"population {p.name}: gain {p.gain.min():.4g}..{p.gain.max():.4g} has no mean that stands "
        "for it: its sign turns the input around; train with a positive gain"
    )


def _numbers(network: Network, name: str) -> dict[str, float]:
    """Return the mean gain of a sample and the largest distance from it, relative to the mean."""
    gain = network.population(name).gain
    if gain is None:
        return {"mean": 1.0, "deviation": 0.0}
    values = _over_sample(gain, network.steps or 0)
    mean = float(values.mean())
    return {"mean": mean, "deviation": float(np.abs(values - mean).max() / mean)}


def folded_finding(network: Network, name: str, found: SpikeAgreement | None) -> Finding:
    """Say what folding the gain of ``name`` into its mean does; ``found``: None if not measured."""
    numbers = _numbers(network, name)
    mean, deviation = numbers["mean"], numbers["deviation"]
    text = f"gain folded into its mean {mean:.4g}, an approximation: up to {deviation:.1%} off"
    remedy = "use --remap graded, bitplane or microcode to keep the gain"
    if found is None:
        text += "; no calibration samples tell how many spikes that changes"
        return Finding("warning", f"population {name}", text, remedy, numbers)
    text += f"; {found.share:.2%} of spikes agree with the real gain on the calibration samples"
    counts = {"agreement": found.share, "differing": found.differing, "compared": found.compared}
    severity: Literal["info", "warning"] = "info" if found.share == 1.0 else "warning"
    return Finding(severity, f"population {name}", text, remedy, {**numbers, **counts})
