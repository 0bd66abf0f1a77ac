"""Voting under noise: how often the deployed network says what, sample by sample."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import FileFormatError, InputError
from neurodeploy.files import content_hash, write_json
from neurodeploy.robustness.certificates.smoothing_noise import GridGaussian, noise_stream

Predict = Callable[[NDArray[Any]], NDArray[np.int64]]
Progress = Callable[[int, int], None]

#: Codes per exact run: bounds memory and lets an interrupt through.
_RUN_VALUES = 2**22
#: Samples between two writes of the checkpoint.
_SAVE_EVERY = 16
_OPEN = -2


@dataclass(frozen=True, slots=True)
class VotePlan:
    """What one sample's votes depend on beside its codes and its key.

    ``n0`` draws choose the class, ``n`` further ones count it.
    """

    noise: GridGaussian
    n0: int
    n: int
    seed: int
    max_code: int


def vote(predict: Predict, codes: NDArray[Any], key: int, plan: VotePlan) -> tuple[int, int]:
    """Return the class chosen for ``codes`` [n] and how many of ``plan.n`` draws agree.

    A tie (-1) is a vote for no class; the class is -1 where all of ``plan.n0`` draws tied. Of two
    classes with equal votes the smaller number is chosen.
    """
    bits = noise_stream(plan.seed, key)
    rows = max(1, _RUN_VALUES // codes.size)

    def votes(draws: int) -> NDArray[np.int64]:
        parts = []
        for first in range(0, draws, rows):
            count = min(rows, draws - first)
            parts.append(predict(plan.noise.noisy(codes, count, bits, plan.max_code)))
        return np.concatenate(parts)

    first = votes(plan.n0)
    if not (first >= 0).any():
        return -1, 0
    top = int(np.bincount(first[first >= 0]).argmax())
    return top, int((votes(plan.n) == top).sum())


def vote_all(
    predict: Predict,
    codes: NDArray[Any],
    keys: NDArray[np.int64],
    plan: VotePlan,
    *,
    threads: int,
    progress: Progress | None,
    checkpoint: Path | None,
    fingerprint: str,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Vote on every sample; return the classes and counts, int64 [B] each.

    With ``checkpoint`` what is done is written there every few samples and on an interrupt, and
    a later call with the same question (``fingerprint``) goes on from it.
    """
    top, count = _read(checkpoint, fingerprint, len(codes))
    todo = np.flatnonzero(top == _OPEN)
    done = len(codes) - todo.size

    def save() -> None:
        if checkpoint is not None:
            document = {"question": fingerprint, "top": top.tolist(), "count": count.tolist()}
            write_json(checkpoint, document)

    with ThreadPoolExecutor(threads) as pool:
        running = {pool.submit(vote, predict, codes[i], int(keys[i]), plan): i for i in todo}
        try:
            for future in as_completed(running):
                top[running[future]], count[running[future]] = future.result()
                done += 1
                if done % _SAVE_EVERY == 0:
                    save()
                if progress is not None:
                    progress(done, len(codes))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            save()
            raise
    save()
    return top, count


def question(codes: NDArray[Any], keys: NDArray[np.int64], **numbers: Any) -> str:
    """Return a hash of everything that the votes depend on."""
    text = json.dumps(numbers, sort_keys=True).encode()
    parts: dict[str, NDArray[Any]] = {"codes": codes.astype(np.int32), "keys": keys}
    parts["numbers"] = np.frombuffer(text, dtype=np.uint8)
    return content_hash(parts)


def _read(
    checkpoint: Path | None, fingerprint: str, samples: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the votes already counted; ``_OPEN`` marks the others."""
    if checkpoint is None or not checkpoint.exists():
        return np.full(samples, _OPEN), np.zeros(samples, np.int64)
    try:
        document = json.loads(checkpoint.read_text(encoding="utf-8"))
        asked = document["question"]
        top, count = (np.array(document[name], dtype=np.int64) for name in ("top", "count"))
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise FileFormatError(
            f"{checkpoint}: is no checkpoint of a smoothing run ({error}); delete it to begin anew"
        ) from error
    if asked != fingerprint or top.shape != (samples,) or count.shape != (samples,):
        raise InputError(
            f"{checkpoint}: belongs to another network, other samples or other settings; give "
            "another file, or delete it to begin anew"
        )
    return top, count
