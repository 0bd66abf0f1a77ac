"""How many samples and steps a run takes at a time, so that they fit the caches and the memory."""

from __future__ import annotations

from dataclasses import dataclass

from neurodeploy.errors import RangeError
from neurodeploy.network.connections import INPUT
from neurodeploy.simulate.fixed_codes import Codes
from neurodeploy.simulate.lanes import LANES
from neurodeploy.simulate.run_plan import RunPlan


@dataclass(frozen=True, slots=True)
class ChunkSize:
    """Samples of a chunk, steps of a block, and threads that each run a chunk."""

    samples: int
    steps: int
    threads: int


def chunk_size(
    plan: RunPlan,
    codes: Codes,
    *,
    saturate: bool,
    threads: int,
    block: tuple[int, int],
    memory_bytes: int | None,
) -> ChunkSize:
    """Choose the size of chunks and blocks.

    Parameters
    ----------
    plan, codes
        Of the run.
    saturate : bool
        Whether every population runs in int64.
    threads : int
        Most threads.
    block : (values, steps)
        Wanted size of the widest layer's synaptic input, and most steps.
    memory_bytes : int or None
        Most scratch memory of all threads together.

    Raises
    ------
    RangeError
        If one sample and one step on one thread need more than ``memory_bytes``.
    """
    values, most_steps = block
    spans = [group.span for group in plan.groups if group.span and len(group.members) > 1]
    if spans:  # turns are short, so many samples must share the cost of taking them
        most_steps = min(most_steps, max(4, *spans))
    widest = max(p.size for p in plan.populations)
    steps = max(1, min(most_steps, values // widest))
    samples = max(1, values // (widest * steps))
    samples = min(samples, -(-codes.batch // threads))
    if memory_bytes is None:
        return ChunkSize(samples, steps, threads)
    fixed, per_step = scratch_bytes(plan, codes)
    least = fixed + per_step
    if memory_bytes < least:
        raise RangeError(
            f"memory_bytes: {memory_bytes}; one sample of this network needs {least} beside the "
            "codes and the records"
        )
    threads = min(threads, memory_bytes // least)
    each = memory_bytes // threads
    steps = min(steps, (each - fixed) // per_step)
    samples = min(samples, each // (fixed + steps * per_step))
    return ChunkSize(samples, steps, threads)


def scratch_bytes(plan: RunPlan, codes: Codes) -> tuple[int, int]:
    """Return the scratch memory of a sample: what it needs at once, and for each step of a block.

    Upper bounds: every population may need the int64 kernels.
    """
    widest = max(p.room for p in plan.populations)
    inputs = codes.size * (0 if codes.held else 1)
    # Masks and payloads; int64 sums of a synapse and in all, marks, payloads; codes as read;
    # records in the engine's order.
    per_step = 4 * widest + (8 + 8 + 1) * widest + 3 * 4 * widest
    per_step += sum(p.size + 64 for p in plan.populations) + 8 * (inputs + 64)
    largest_source = max([codes.size, *(p.size for p in plan.populations)])
    per_step += 4 * largest_source
    # Rows of history; states, counters, constant input; counters and codes of the input.
    fixed = (5 * codes.size + 64) * plan.history.get(INPUT, 0)
    fixed += sum((p.size + 64) * plan.history.get(p.name, 0) for p in plan.populations)
    fixed += sum(20 * (p.size + LANES) + 16 + 8 * p.room for p in plan.populations)
    fixed += 8 * codes.size + 8 * codes.size
    return fixed, per_step
