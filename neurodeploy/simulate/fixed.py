"""The batched fixed-point simulator: the integers that Lava computes, thousands of times faster."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any, Literal

from numpy.typing import NDArray

from neurodeploy.errors import InputError, RangeError
from neurodeploy.network.fixed import FixedPointNetwork
from neurodeploy.network.traces import Quantity, Traces, readout_quantity
from neurodeploy.network.traces_file import TracesFile
from neurodeploy.simulate.chunk_size import ChunkSize, chunk_size
from neurodeploy.simulate.fixed_codes import Codes, read_codes
from neurodeploy.simulate.run_chunk import ChunkRun
from neurodeploy.simulate.run_meta import Timing, checked_quantities, run_meta
from neurodeploy.simulate.run_plan import RunPlan, plan_run
from neurodeploy.simulate.run_records import RunRecords

Overflow = Literal["wrap", "saturate", "raise"]
Progress = Callable[[int, int], None]

#: Synaptic input of the widest layer per block, in values: small enough for the caches, and
#: enough for calling kernels to cost nothing. Steps per block: few, so that there are many
#: samples, whose codes are neighbours in memory.
_BLOCK_VALUES = 2**19
_BLOCK_STEPS = 32


def run_fixed(
    net: FixedPointNetwork,
    codes: Any,
    *,
    steps: int | None = None,
    record: Iterable[str] = (),
    timing: Timing = "aligned",
    overflow: Overflow = "wrap",
    threads: int | None = None,
    progress: Progress | None = None,
    memory_bytes: int | None = None,
    into: TracesFile | None = None,
) -> Traces:
    """Run ``net`` on a batch, exactly as Lava's fixed_pt models compute it.

    Parameters
    ----------
    net : FixedPointNetwork
    codes : int array [B, n_input] (held for every step) or [T, B, n_input]
        Input codes, 0 .. ``net.encoder.max_code``. An h5py dataset, a numpy memmap [T, B,
        n_input] or an EncodedSequence is read block by block.
    steps : int or None
        Steps of held codes; default ``net.steps``.
    record : subset of {"spikes", "u", "v", "v_pre"}
        For every population: uint8 spikes, int32 states after reset, and v before it. ``dlif``
        has no u.
    timing : {"aligned", "lava"}
        ``aligned``: the logical axis, zero latency, T steps. ``lava``: hardware steps
        1 .. T + max_latency; a layer does its logical step t in hardware step t + its latency;
        states start at ``start_v``.
    overflow : {"wrap", "saturate", "raise"}
        ``wrap`` as Lava; ``saturate`` clips u to 24 bits; ``raise`` is ``wrap`` and an error if
        anything wrapped or clipped. Overflows are counted in every mode.
    threads : int or None
        Worker threads; default: the cores this process may use. Results do not depend on it.
    progress : callable (done, total) or None
        Called with samples done after each chunk, from the calling thread.
    memory_bytes : int or None
        Most memory that the run takes beside the codes, the network and what it returns; default:
        what is fastest, some MB per thread.
    into : TracesFile or None
        Where records, output and counts are written while the run goes on; the returned traces
        then hold output and counts alone.

    Returns
    -------
    Traces
        ``counts``, int64 [B]: ``<population>/spikes``; ``<population>/wraps``, neuron-steps in
        which the synaptic input left 32 bits, a convolution's sum or u left 24 (for ``dlif``:
        |x| >= 2^17);
        ``<population>/clamps``, neuron-steps in which v was clipped;
        ``<synapse>/operations``, events times the non-zero weights they met.

    Raises
    ------
    ShapeError, RangeError
        For codes that do not fit the network; RangeError for overflows under ``raise``, for too
        little memory and, for ``lava``, where a population has no start state.
    InputError
        For an unknown option.
    """
    _check_options(timing, overflow, threads)
    quantities = checked_quantities(record)
    inputs = read_codes(
        codes, n_input=net.n_input, encoder=net.encoder, steps=net.steps, asked_steps=steps
    )
    plan = plan_run(net)
    size = chunk_size(
        plan,
        inputs,
        saturate=overflow == "saturate",
        threads=threads or available_threads(),
        block=(_BLOCK_VALUES, _BLOCK_STEPS),
        memory_bytes=memory_bytes,
    )
    records = RunRecords.allocate(
        net,
        plan,
        (inputs.steps, inputs.batch),
        quantities,
        lava=timing == "lava",
        new_array=None if into is None else into.new_array,
    )
    digest = _run_chunks(
        plan,
        inputs,
        records,
        size,
        max_code=net.encoder.max_code,
        saturate=overflow == "saturate",
        fold=memory_bytes is None,
        progress=progress,
    )
    if overflow == "raise":
        _refuse_overflows(plan, records)
    quantity = readout_quantity(net.readout)
    meta = run_meta(net, backend="fixed", timing=timing, steps=inputs.steps, digest=digest)
    meta = {**meta, "overflow": overflow}
    for array in records.records.values():
        array.flags.writeable = False
    output_key = f"{net.readout.population}/{quantity}"
    output, asked = records.records[output_key], _asked_records(records, quantities)
    if into is None:
        return Traces(output, asked, records.counts, meta)
    traces = Traces(output, {}, records.counts, meta)
    into.finish(output_key, records.counts, meta, keep=output_key in asked)
    return traces


def _check_options(timing: str, overflow: str, threads: int | None) -> None:
    if timing not in ("aligned", "lava"):
        raise InputError(f"timing: {timing!r} not known; choose aligned or lava")
    if overflow not in ("wrap", "saturate", "raise"):
        raise InputError(f"overflow: {overflow!r} not known; choose wrap, saturate or raise")
    if threads is not None and threads < 1:
        raise InputError(f"threads: {threads}; at least one thread must run")


def _run_chunks(
    plan: RunPlan,
    codes: Codes,
    records: RunRecords,
    size: ChunkSize,
    *,
    max_code: int,
    saturate: bool,
    fold: bool,
    progress: Progress | None,
) -> str:
    """Run all samples in chunks on a pool of threads; return the hash of the input.

    The kernels, and the hash, release the interpreter lock.
    """
    starts = range(0, codes.batch, size.samples)

    def run(first: int) -> int:
        last = min(first + size.samples, codes.batch)
        ChunkRun(
            plan, codes, records, first, last,
            block_steps=min(size.steps, records.hardware_steps), max_code=max_code,
            saturate=saturate, fold=fold,
        ).run()  # fmt: skip
        return last - first

    done = 0
    if size.threads == 1 or len(starts) == 1:
        for first in starts:
            done += run(first)
            if progress:
                progress(done, codes.batch)
        return codes.digest()
    with ThreadPoolExecutor(size.threads) as pool:
        digest = pool.submit(codes.digest)
        chunks = [pool.submit(run, first) for first in starts]
        try:
            for future in as_completed(chunks):
                done += future.result()
                if progress:
                    progress(done, codes.batch)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        return digest.result()


def available_threads() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _refuse_overflows(plan: RunPlan, records: RunRecords) -> None:
    found = []
    for p in plan.populations:
        wraps, clamps = (int(records.counts[f"{p.name}/{c}"].sum()) for c in ("wraps", "clamps"))
        if wraps or clamps:
            found.append(f"population {p.name}: {wraps} wraps, {clamps} clamps (neuron-steps)")
    if found:
        raise RangeError(
            "; ".join(found) + ". Lower the scale of the network, or pass overflow='wrap' to "
            "compute what Lava computes"
        )


def _asked_records(
    records: RunRecords, quantities: tuple[Quantity, ...]
) -> dict[str, NDArray[Any]]:
    return {k: v for k, v in records.records.items() if k.rsplit("/", 1)[1] in quantities}
