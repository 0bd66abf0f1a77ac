"""Runs the cells of a study that are missing, in processes of one thread each."""

from __future__ import annotations

import importlib
import os
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import get_context, parent_process
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


def run_missing(
    module: str,
    missing: Sequence[Any],
    out: Path,
    workers: int,
    end: float | None,
    codes: tuple[str, str],
) -> None:
    """Run cells in processes; those of one network stay together, so that it is trained once.

    Parameters
    ----------
    module : str
        Name of the module that has ``run_cell`` and ``code_of`` for these cells.
    missing : sequence of cells
    out : path
    workers : int
    end : float or None
        Begin no network after this time of ``time.monotonic``.
    codes : pair of str
        Hashes of the code that decides a cell, and of that which trains.
    """
    groups: dict[str, list[Any]] = {}
    for cell in missing:
        groups.setdefault(cell.model.key, []).append(cell)
    waiting = list(groups.values())
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
               TimeRemainingColumn())  # fmt: skip
    with (
        Progress(*columns, transient=not sys.stderr.isatty()) as progress,
        ProcessPoolExecutor(
            workers, mp_context=get_context("spawn"), initializer=_end_with_study
        ) as pool,
    ):
        task = progress.add_task("cells", total=len(missing))
        running: dict[Future[None], int] = {}
        while waiting or running:
            while waiting and len(running) < workers and (end is None or time.monotonic() < end):
                group = waiting.pop(0)
                running[pool.submit(_run_group, module, group, out, *codes)] = len(group)
            if not running:
                return
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                count = running.pop(future)
                future.result()
                progress.advance(task, count)


def _end_with_study() -> None:
    """End this worker when the study is killed: it must not go on beside the next one."""
    study = parent_process()
    if study is None:  # no worker
        return

    def follow() -> None:
        study.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def _run_group(module: str, cells: list[Any], out: Path, code: str, training: str) -> None:
    import torch

    torch.set_num_threads(1)
    study = importlib.import_module(module)
    for cell in cells:
        if study.code_of(cell, out) != code:
            study.run_cell(cell, out, code, training)
