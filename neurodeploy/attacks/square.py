"""Square: random search with windows of inputs, by exact scores and without any gradient."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from neurodeploy.attacks.attack import AttackOutcome
from neurodeploy.attacks.ball import Ball
from neurodeploy.attacks.classifier import Classifier, Codes, Labels, checked, checked_keys
from neurodeploy.attacks.margin import margins
from neurodeploy.attacks.randomness import SampleRandom
from neurodeploy.attacks.square_windows import Windows, share_of, two_halves
from neurodeploy.errors import InputError

Values = NDArray[np.float64]
_TINY = 1e-12


@dataclass(frozen=True, slots=True)
class Square:
    """Change one window of inputs per query; keep what lowers the margin.

    Source: Andriushchenko et al., ECCV 2020. ``linf``: the start is a random sign per column and
    channel (per input where there is no image), a window gets one random sign per channel, always
    at the border of the ball. ``l2``: the start is a tiling by two-sided patterns, a query moves
    the length of one window into another and adds a pattern there. Every query is judged at whole
    codes. What does not raise the margin is kept too: integer scores have plateaus, across which
    a search must walk. A sample stops at its first wrong or tied point.

    Parameters
    ----------
    queries : int
        Exact runs per sample, the start included.
    share : float
        Share of the inputs in the first windows; halved nine times over the run.
    shape : (C, H, W) or None
        Of the image in a row of codes, C order. None: no image; windows are runs of neighbours.
    """

    queries: int = 1000
    share: float = 0.8
    shape: tuple[int, int, int] | None = None
    name: str = "square"
    uses_gradient: bool = False
    uses_seed: bool = True

    def __post_init__(self) -> None:
        """Check that there is something to do."""
        if self.queries < 1 or not 0 < self.share <= 1:
            raise InputError(
                f"square attack: queries {self.queries} must be at least 1 and share {self.share} "
                "in 0..1"
            )

    def run(
        self,
        classifier: Classifier,
        codes: Codes,
        labels: Labels,
        ball: Ball,
        seed: int,
        keys: NDArray[np.int64] | None = None,
    ) -> AttackOutcome:
        """Return one point per sample; see ``Attack.run``."""
        codes, labels = checked(codes, labels, ball.max_code)
        random = SampleRandom(seed, checked_keys(keys, codes.shape[0]))
        windows = Windows.of(codes.shape[1], self.shape)
        walk = _LinfWalk(windows, ball) if ball.norm == "linf" else _L2Walk(windows, ball)
        shaped = codes.reshape(-1, *windows.shape).astype(np.float64)
        offset = walk.start(shaped, random)
        best = ball.to_grid(codes + offset.reshape(codes.shape), codes)
        margin = margins(classifier, best, labels) if labels.size else np.zeros(0)
        spent = labels.size
        for query in range(1, self.queries):
            active = np.flatnonzero(margin > 0)
            if active.size == 0:
                break
            share = share_of(query - 1, self.queries, self.share)
            own = SampleRandom(seed, random.keys[active])
            moved = walk.step(shaped[active], offset[active], share, own, query)
            points = codes[active] + moved.reshape(active.size, -1)
            grid = ball.to_grid(points, codes[active])
            found = margins(classifier, grid, labels[active])
            spent += active.size
            kept = found <= margin[active]
            chosen = active[kept]
            offset[chosen], best[chosen], margin[chosen] = moved[kept], grid[kept], found[kept]
        nothing = np.zeros(codes.shape[0], dtype=np.bool_)
        return AttackOutcome(best, margin <= 0, 0.0, nothing, spent)


@dataclass(frozen=True, slots=True)
class _LinfWalk:
    """Offsets [A, C, H, W] at the border of an l-infinity ball."""

    windows: Windows
    ball: Ball

    def start(self, codes: Values, random: SampleRandom) -> Values:
        """Return vertical stripes."""
        channels, _, width = self.windows.shape
        stripes = _signs(random.uniform(channels * width, 0)).reshape(-1, channels, 1, width)
        return np.asarray(np.broadcast_to(stripes, codes.shape) * self.ball.radius)

    def step(
        self, codes: Values, offset: Values, share: float, random: SampleRandom, query: int
    ) -> Values:
        """Return offsets with a new window each."""
        channels = self.windows.shape[0]
        draws = random.uniform(2 + channels, query)
        rows, columns = self.windows.places(draws, self.windows.sides(share, odd=False))
        moved = offset.copy()
        signs = _signs(draws[:, 2:])[:, :, None, None]
        moved[_window(channels, rows, columns)] = signs * self.ball.radius
        return moved


@dataclass(frozen=True, slots=True)
class _L2Walk:
    """Offsets [A, C, H, W] as long as the radius, or shorter where the range cuts them."""

    windows: Windows
    ball: Ball

    def start(self, codes: Values, random: SampleRandom) -> Values:
        """Return a tiling by patterns of random sign and direction."""
        (channels, height, width), tile = self.windows.shape, self.windows.tile()
        across = 1 if self.windows.is_flat else height // tile
        along = width // tile
        sides = (1, tile) if self.windows.is_flat else (tile, tile)
        signs = _signs(random.uniform(across * along * channels, 0))
        signs = signs.reshape(-1, across, along, channels)
        turned = random.uniform(across * along, 0, part=1).reshape(-1, across, along) < 0.5
        top, left = (height - across * sides[0]) // 2, (width - along * sides[1]) // 2
        offset = np.zeros(codes.shape)
        for i in range(across):
            for j in range(along):
                pattern = self._pattern(sides, turned[:, i, j])
                row, column = top + i * sides[0], left + j * sides[1]
                offset[:, :, row : row + sides[0], column : column + sides[1]] = (
                    pattern * signs[:, i, j, :, None, None]
                )
        return self._full_length(codes, offset)

    def step(
        self, codes: Values, offset: Values, share: float, random: SampleRandom, query: int
    ) -> Values:
        """Return offsets in which one window gave its length to another."""
        channels = self.windows.shape[0]
        sides = self.windows.sides(share, odd=True)
        draws = random.uniform(5 + channels, query)
        first = _window(channels, *self.windows.places(draws[:, :2], sides))
        second = _window(channels, *self.windows.places(draws[:, 2:4], sides))
        moved, either = offset.copy(), np.zeros(offset.shape)
        either[first] = either[second] = 1.0
        free = np.maximum(self.ball.radius**2 - _square(offset), 0.0)
        length = np.sqrt(free / channels + _square(offset * either))
        pattern = self._pattern(sides, draws[:, 4] < 0.5) * _signs(draws[:, 5:])[:, :, None, None]
        mixed = pattern + _unit_planes(offset[first])
        moved[second] = 0.0
        moved[first] = _unit_planes(mixed) * length
        return self._full_length(codes, moved)

    def _pattern(self, sides: tuple[int, int], turned: NDArray[np.bool_]) -> Values:
        """Return [A, 1, h, w]; ``turned`` ones are transposed where the window is square."""
        pattern = two_halves(sides)
        other = pattern.T if sides[0] == sides[1] else pattern
        return np.where(turned[:, None, None], other, pattern)[:, None]

    def _full_length(self, codes: Values, offset: Values) -> Values:
        """Return offsets scaled to the radius, then cut to the range."""
        scaled = offset * (self.ball.radius / (_TINY + np.sqrt(_square(offset))))
        return np.asarray(np.clip(codes + scaled, 0, self.ball.max_code) - codes)


def _signs(draws: Values) -> Values:
    return np.where(draws < 0.5, -1.0, 1.0)


def _window(
    channels: int, rows: NDArray[np.int64], columns: NDArray[np.int64]
) -> tuple[NDArray[np.int64], ...]:
    """Return indices into [A, C, H, W] that pick [A, C, h, w], a window of each sample."""
    samples = np.arange(rows.shape[0])[:, None, None, None]
    planes = np.arange(channels)[None, :, None, None]
    return samples, planes, rows[:, None, :, None], columns[:, None, None, :]


def _square(offset: Values) -> Values:
    """Return the squared length of each sample's offset, [A, 1, 1, 1]."""
    return np.asarray((offset * offset).sum(axis=(1, 2, 3), keepdims=True))


def _unit_planes(values: Values) -> Values:
    """Return every plane [A, C] scaled to length 1."""
    length = np.sqrt((values * values).sum(axis=(2, 3), keepdims=True))
    return np.asarray(values / (_TINY + length))
