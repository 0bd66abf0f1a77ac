"""A random stimulus for a network nobody knows: sparse values, as strong as its neurons need."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from neurodeploy.export.norse.modules import DelayLine
from neurodeploy.export.norse.network import NorseNetwork

FloatArray: TypeAlias = NDArray[np.float64]

#: Powers of 2 that are tried as strength.
_EXPONENTS = tuple(range(-20, 33, 2))
_TRIAL_STEPS = 24
_STEPS = 64
_DENSITY = 0.4
#: Strengths around each good one; the signs of every second sample are mixed.
_AROUND = (1.0, 1.5, 0.7, 2.0)
#: Good strengths kept at most, and delays in steps waited for at most.
_MOST_STRENGTHS = 6
_MOST_DELAY = 128
#: A strength is nearly as good as the best from this share of its useful neurons on.
_NEARLY = 0.7
#: Numbers that a run may produce; large networks get fewer samples, but not fewer than 4.
_MOST_NUMBERS = 1 << 23


def random_stimulus(network: NorseNetwork, seed: int) -> FloatArray:
    """Return values [T, B, *input_shape] for which as many neurons as possible fire now and then.

    A neuron that never fires, or always, proves little. Strengths differ between samples: those
    around the best one of each spiking node, as a trial run over many strengths tells.
    """
    rng = np.random.default_rng(seed)
    delays = [m.longest for m in network.modules() if isinstance(m, DelayLine)]
    extra = min(sum(delays), _MOST_DELAY)
    trial = _draw(rng, _TRIAL_STEPS + extra, [2.0**k for k in _EXPONENTS], network.input_shape)
    with torch.no_grad():
        outputs = network.run(torch.from_numpy(trial))
    best = _best_exponents([outputs[name].numpy() for name in sorted(network.spiking)])
    strengths = [2.0**k * factor for factor in _AROUND for k in best for _ in range(2)]
    per_sample = sum(output[0, 0].numel() for output in outputs.values()) * (_STEPS + extra)
    affordable = max(4, _MOST_NUMBERS // per_sample)
    return _draw(rng, _STEPS + extra, strengths[:affordable], network.input_shape)


def _best_exponents(outputs: Sequence[FloatArray]) -> list[int]:
    """Return the exponents at which the neurons of each node [T, B, ..] fire, but not always.

    Per node two: where rates are nearest to a half, and the strongest that is nearly as good as
    the best. A bias alone may make neurons fire; only a strong input then makes a difference.
    """
    best: dict[int, float] = {}
    for spikes in outputs:
        rate = spikes.reshape(*spikes.shape[:2], -1).mean(axis=0)
        useful = ((rate > 0) & (rate < 1)).mean(axis=1)
        if not useful.any():
            continue
        strongest = int(np.flatnonzero(useful >= _NEARLY * useful.max())[-1])
        for at in (strongest, int(np.argmax((rate * (1 - rate)).mean(axis=1)))):
            best[_EXPONENTS[at]] = best.get(_EXPONENTS[at], 0.0) + float(useful[at])
    ranked = sorted(best, key=lambda k: (-best[k], k))[:_MOST_STRENGTHS]
    return ranked or [0]


def _draw(
    rng: np.random.Generator, steps: int, strengths: Sequence[float], input_shape: tuple[int, ...]
) -> FloatArray:
    shape = (steps, len(strengths), *input_shape)
    x = rng.uniform(0.5, 1.5, shape) * (rng.random(shape) < _DENSITY)
    x[:, 1::2] *= rng.choice([-1.0, 1.0], x[:, 1::2].shape)
    return np.asarray(x * np.reshape(strengths, (-1, *(1 for _ in input_shape))))
