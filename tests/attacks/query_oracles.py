"""Square and SPSA for one sample, transcribed with loops; draws by the documented streams."""

import math

import numpy as np

from neurodeploy.attacks.randomness import SampleRandom


def margin_of(classifier, point, label):
    scores = classifier.predicted_scores(np.array([point], np.int32))[0]
    return scores[label] - max(s for k, s in enumerate(scores) if k != label)


def rectangles(height, width):
    pattern = [[0.0] * width for _ in range(height)]
    for k in range(max(height // 2, width // 2) + 1):
        for r in range(height):
            for c in range(width):
                # Distances from the middle, which stands right of it in an even side.
                if abs(r - height // 2) <= k and abs(c - width // 2) <= k:
                    pattern[r][c] += 1 / (k + 1) ** 2
    pattern = np.array(pattern)
    return pattern / math.sqrt((pattern**2).sum())


def pattern_of(height, width, turned):
    if height == 1:
        left = width // 2
        parts = [rectangles(1, left)] if left else []
        pattern = np.concatenate([*parts, -rectangles(1, width - left)], axis=1)
    else:
        top = height // 2
        pattern = np.concatenate([rectangles(top, width), -rectangles(height - top, width)])
    pattern = pattern / math.sqrt((pattern**2).sum())
    return pattern.T if turned and height == width else pattern


def share_after(iteration, queries, first):
    """The schedule of the paper, for 10000 queries, stretched over the run."""
    scaled = int(iteration / queries * 10000)
    for limit, halvings in [
        (10, 0), (50, 1), (200, 2), (500, 3), (1000, 4), (2000, 5), (4000, 6), (6000, 7), (8000, 8),
    ]:  # fmt: skip
        if scaled <= limit:
            return first / 2**halvings
    return first / 2**9


def square(attack, classifier, code, label, ball, seed, key):
    """Return (point, margin, queries) of one sample, int [n]."""
    flat = attack.shape is None
    channels, height, width = (1, 1, len(code)) if flat else attack.shape
    random = SampleRandom(seed, np.array([key]))
    image = np.array(code, float).reshape(channels, height, width)
    radius, largest = ball.radius, ball.max_code

    def sign(u):
        return -1.0 if u < 0.5 else 1.0

    def grid(offset):
        point = (image + offset).reshape(1, -1)
        return ball.to_grid(point, np.array([code], np.int32))[0]

    def full(offset):
        length = math.sqrt((offset**2).sum())
        scaled = offset * (radius / (1e-12 + length))
        return np.clip(image + scaled, 0, largest) - image

    offset = np.zeros(image.shape)
    if ball.norm == "linf":
        draws = random.uniform(channels * width, 0)[0]
        for c in range(channels):
            for w in range(width):
                offset[c, :, w] = sign(draws[c * width + w]) * radius
    else:
        tile = max(1, (width if flat else height) // 5)
        tall = 1 if flat else tile
        across, along = (1 if flat else height // tile), width // tile
        draws = random.uniform(across * along * channels, 0)[0]
        turns = random.uniform(across * along, 0, part=1)[0]
        top, left = (height - across * tall) // 2, (width - along * tile) // 2
        for i in range(across):
            for j in range(along):
                one = pattern_of(tall, tile, turns[i * along + j] < 0.5)
                for c in range(channels):
                    r, q = top + i * tall, left + j * tile
                    s = sign(draws[(i * along + j) * channels + c])
                    offset[c, r : r + tall, q : q + tile] = s * one
        offset = full(offset)
    best = grid(offset)
    margin, queries = margin_of(classifier, best, label), 1
    while margin > 0 and queries < attack.queries:
        share = share_after(queries - 1, attack.queries, attack.share)
        room = width if flat else min(height, width)
        side = round(share * width) if flat else round(math.sqrt(share * height * width))
        new = offset.copy()
        if ball.norm == "linf":
            side = min(max(side, 1), room)
            tall = 1 if flat else side
            draws = random.uniform(2 + channels, queries)[0]
            r = int(draws[0] * (height - tall + 1))
            q = int(draws[1] * (width - side + 1))
            for c in range(channels):
                new[c, r : r + tall, q : q + side] = sign(draws[2 + c]) * radius
        else:
            side = max(side, 3)
            side = min(side + (side % 2 == 0), room)
            tall = 1 if flat else side
            draws = random.uniform(5 + channels, queries)[0]
            r1, r2 = (int(draws[k] * (height - tall + 1)) for k in (0, 2))
            q1, q2 = (int(draws[k] * (width - side + 1)) for k in (1, 3))
            one = np.s_[r1 : r1 + tall, q1 : q1 + side]
            two = np.s_[r2 : r2 + tall, q2 : q2 + side]
            both = np.zeros((height, width), bool)
            both[one] = both[two] = True
            inside = sum(offset[c][both] @ offset[c][both] for c in range(channels))
            free = max(radius**2 - (offset**2).sum(), 0) / channels
            length = math.sqrt(free + inside)
            made = []
            for c in range(channels):
                old = offset[c][one]
                mixed = sign(draws[5 + c]) * pattern_of(tall, side, draws[4] < 0.5)
                mixed = mixed + old / (1e-12 + math.sqrt((old**2).sum()))
                made.append(mixed / (1e-12 + math.sqrt((mixed**2).sum())) * length)
            for c in range(channels):
                new[c][two] = 0
            for c in range(channels):
                new[c][one] = made[c]
            new = full(new)
        point = grid(new)
        found = margin_of(classifier, point, label)
        queries += 1
        if found <= margin:
            offset, best, margin = new, point, found
    return best, margin, queries


def spsa(attack, classifier, code, label, ball, seed, key):
    """Return (point, margin, queries) of one sample, int [n]."""
    n, code = len(code), np.array(code, np.int32)
    random = SampleRandom(seed, np.array([key]))
    reach = ball.radius if ball.norm == "linf" else ball.radius / math.sqrt(n)
    probe = attack.probe or max(1, round(3 * reach / 4))
    state = {"best": code, "margin": math.inf, "queries": 0}

    def ask(point):
        state["queries"] += 1
        found = margin_of(classifier, point, label)
        inside = ball.contains(point[None], code[None])[0]
        if state["margin"] > 0 and inside and found < state["margin"]:
            state["best"], state["margin"] = point, found
        return found

    position = ball.random(code[None], random, stream=0)[0]
    mean, square_mean = [0.0] * n, [0.0] * n
    for step in range(1, attack.steps + 1):
        if state["margin"] <= 0:
            break
        grid = ball.to_grid(position[None], code[None])[0]
        ask(grid)
        draws = random.uniform(attack.pairs * n, step)[0]
        slope = [0.0] * n
        for k in range(attack.pairs):
            signs = [-1 if u < 0.5 else 1 for u in draws[k * n : (k + 1) * n]]
            up = [
                min(max(g + probe * s, 0), ball.max_code) for g, s in zip(grid, signs, strict=True)
            ]
            down = [
                min(max(g - probe * s, 0), ball.max_code) for g, s in zip(grid, signs, strict=True)
            ]
            difference = ask(np.array(up, np.int32)) - ask(np.array(down, np.int32))
            slope = [a + difference * s for a, s in zip(slope, signs, strict=True)]
        for i in range(n):
            g = slope[i] / (2 * probe * attack.pairs)
            mean[i] += (1 - 0.9) * (g - mean[i])
            square_mean[i] += (1 - 0.999) * (g * g - square_mean[i])
            m, v = mean[i] / (1 - 0.9**step), square_mean[i] / (1 - 0.999**step)
            position[i] -= attack.step_share * reach * m / (math.sqrt(v) + 1e-8)
        position = ball.project(position[None], code[None])[0]
    if state["margin"] > 0:
        ask(ball.to_grid(position[None], code[None])[0])
    return state["best"], state["margin"], state["queries"]
