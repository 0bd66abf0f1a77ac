"""Random fixed-point synapses of every kind, with weights that a chip can hold. Plain numpy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from neurodeploy.network.fixed import DELAY_MAX, ConvLayout, FixedSynapse, SparseLayout

SYNAPSES = ("dense", "sparse", "conv")


@dataclass(frozen=True)
class SynapsePlan:
    """A synapse whose ends are known and whose weights are not yet drawn.

    ``delays``: least and highest hardware delay; ``layout``: of a convolution.
    """

    name: str
    source: str
    target: str
    kind: str
    size_in: int
    size_out: int
    message_bits: int = 0
    delays: tuple[int, int] = (0, 0)
    per_weight: bool = False
    layout: ConvLayout | None = None
    kernel_shape: tuple[int, ...] = ()
    wide: bool = False

    def draw(self, rng, exponent: int) -> FixedSynapse:
        """Draw the weights, their sign mode and width, and the delays."""
        sign_mode = str(rng.choice(["mixed", "excitatory", "inhibitory"], p=[0.6, 0.32, 0.08]))
        bits = int(rng.choice([8, int(rng.integers(1, 9))]))
        ends = {"name": self.name, "source": self.source, "target": self.target}
        common = {"sign_mode": sign_mode, "weight_bits": bits, "message_bits": self.message_bits}
        if self.layout is not None:
            weight = random_weights(rng, self.kernel_shape, sign_mode, bits)
            if self.wide:  # Lava's Conv clips nothing
                weight = weight * int(rng.integers(1, 1000)) + rng.integers(-1, 2, weight.shape)
            return FixedSynapse(**ends, weight=weight, weight_exp=0, layout=self.layout, **common)
        layout, shape = None, (self.size_out, self.size_in)
        if self.kind == "sparse":
            layout = random_layout(rng, self.size_out, self.size_in)
            shape = layout.indices.shape
        weight = random_weights(rng, shape, sign_mode, bits)
        delay = self._draw_delay(rng, shape)
        return FixedSynapse(
            **ends, weight=weight, weight_exp=exponent, delay=delay, layout=layout, **common
        )

    def _draw_delay(self, rng, shape):
        low, high = self.delays
        if not self.per_weight:
            return int(rng.integers(low, high + 1))
        few = rng.random() < 0.5
        values = rng.integers(low, high + 1, 3 if few else max(1, int(np.prod(shape))))
        delay = rng.choice(values, shape)
        delay.flat[0] = low  # so that the least is felt as early as the plan says
        return delay


def random_weights(rng, shape, sign_mode: str, bits: int) -> np.ndarray:
    """Return int32 mantissas as ``sign_mode`` and ``bits`` can hold them; one at least not zero."""
    step = 2 ** (9 - bits if sign_mode == "mixed" else 8 - bits)
    spread = rng.choice([20.0, 80.0, 250.0])
    raw = np.rint(rng.normal(0.1 * spread, spread, shape)).astype(np.int64)
    raw[rng.random(shape) < rng.choice([0.0, 0.3])] = 0
    if sign_mode == "mixed":
        weight = (np.clip(raw, -256, 255) // step) * step
    else:
        weight = (np.clip(np.abs(raw), 0, 255) // step) * step
    if not weight.any():
        weight.flat[0] = -step if sign_mode == "mixed" and step == 256 else step
    return (-weight if sign_mode == "inhibitory" else weight).astype(np.int32)


def random_layout(rng, size_out: int, size_in: int) -> SparseLayout:
    """Draw the places of a sparse matrix; rows may be empty, and the matrix may be full."""
    density = rng.choice([0.1, 0.3, 0.6, 1.0], p=[0.3, 0.4, 0.25, 0.05])
    there = rng.random((size_out, size_in)) < density
    there[rng.integers(size_out), rng.integers(size_in)] = True
    indptr = np.concatenate([[0], np.cumsum(there.sum(axis=1))])
    return SparseLayout(indptr, np.nonzero(there)[1], size_in)


def random_geometry(rng, input_shape, *, groups: int | None = None):
    """Draw a convolution over (C, H, W) of at most 144 outputs: its layout and kernel shape."""
    c_in, *extent = input_shape
    while True:
        divisors = [g for g in range(1, c_in + 1) if c_in % g == 0]
        split = int(rng.choice(divisors)) if groups is None else groups
        c_out = split * int(rng.integers(1, max(2, 4 // split + 1)))
        size, stride, padding, dilation = [], [], [], []
        for length in extent:
            size.append(int(rng.integers(1, min(4, length + 2))))
            stride.append(int(rng.choice([1, 2, 3], p=[0.6, 0.3, 0.1])))
            padding.append(int(rng.integers(0, 3)))
            dilation.append(int(rng.choice([1, 2], p=[0.75, 0.25])))
        room = [
            n + 2 * p - d * (k - 1) - 1
            for n, p, d, k in zip(extent, padding, dilation, size, strict=True)
        ]
        if min(room) < 0:
            continue
        shape = (c_out, *(r // s + 1 for r, s in zip(room, stride, strict=True)))
        if int(np.prod(shape)) <= 144:
            layout = ConvLayout(
                tuple(stride), tuple(padding), tuple(dilation), split, tuple(input_shape), shape
            )
            return layout, (c_out, c_in // split, *size)


def same_geometry(rng, shape):
    """Draw a convolution from (C, H, W) to itself."""
    groups = int(rng.choice([1, shape[0]]))
    size = [int(rng.choice([1, 3])) for _ in range(2)]
    padding = tuple((k - 1) // 2 for k in size)
    layout = ConvLayout((1, 1), padding, (1, 1), groups, tuple(shape), tuple(shape))
    return layout, (shape[0], shape[0] // groups, *size)


def random_delays(rng, least: int, reach: int):
    """Draw (least delay, highest delay) and whether each weight has its own.

    ``reach``: at most so many steps beyond the least; DELAY_MAX asks for the longest there are.
    """
    style = rng.choice(["none", "uniform", "weight"], p=[0.4, 0.25, 0.35])
    if reach == DELAY_MAX:
        return (least, DELAY_MAX), bool(rng.random() < 0.7)
    if style == "none":
        return (least, least), False
    high = min(DELAY_MAX, least + int(rng.integers((reach + 1) // 2, reach + 1)))
    return (least, high), bool(style == "weight")
