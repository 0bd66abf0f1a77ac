"""The batched float simulator: any float network, in float64 or float32."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import InputError
from neurodeploy.network.connections import INPUT
from neurodeploy.network.floating import Network
from neurodeploy.network.traces import Quantity, Traces
from neurodeploy.simulate.float_plan import layer_latency, require_layered, values_per_step
from neurodeploy.simulate.run_meta import Timing, checked_quantities, run_meta
from neurodeploy.simulate.stimulus import FloatStimulus, read_float_stimulus

if TYPE_CHECKING:
    import torch

    from neurodeploy.simulate.float_network import ReadyNetwork
    from neurodeploy.simulate.float_records import FloatRecords
    from neurodeploy.simulate.node_values import NodeValues

__all__ = ["FloatType", "layer_latency", "run_float"]

FloatType = Literal["float64", "float32"]

#: Bytes of values that a run works on at a time, records not counted. More does not make it
#: faster; the processor's caches prefer less.
MEMORY_BYTES = 2**24
#: Steps per block, where samples are many: few, since a cycle takes them one by one.
_BLOCK_STEPS = 32


def run_float(
    net: Network,
    stimulus: NDArray[Any],
    *,
    steps: int | None = None,
    record: Iterable[str] = (),
    dtype: FloatType = "float64",
    timing: Timing = "aligned",
    device: str = "cpu",
    memory_bytes: int = MEMORY_BYTES,
) -> Traces:
    """Run ``net`` on a batch in floating point.

    Parameters
    ----------
    net : Network
        The rule of each neuron is in Population. What arrives at a population is summed in the
        order of the network's synapses, then its bias is added.
    stimulus : array [B, n_input] (held for every step) or [T, B, n_input]
        Integers are input codes; the network sees ``net.encoder.decode(stimulus)``. Floating-point
        numbers are what the network sees.
    steps : int or None
        Steps of a held stimulus; default ``net.steps``.
    record : subset of {"spikes", "u", "v", "v_pre", "y"}
        Spikes (uint8, or int32 where a step may hold several), v after reset and v_pre, what was
        compared with the threshold; u of populations with a synaptic current; y of relays, delays
        and of every linear node on a synapse (``<node>/y``), on the node's own time also where a
        synapse carries it a step late. In membrane units.
    dtype : {"float64", "float32"}
        float32 is for counting decisions that hang on rounding, not for results.
    timing : {"aligned", "lava"}
        ``aligned``: the logical axis, zero latency. ``lava``: the hardware axis that the network
        would have, T + largest latency steps, so that what drains is counted: a population waits
        at ``v_init`` until its own first step, and the input sends nothing after T steps.
    device : str
        Where torch computes.
    memory_bytes : int
        Bound on the values worked on at a time; samples and steps are taken in blocks below it.
        Weights, records, and what a synapse or a delay holds back come on top. Results do not
        depend on it beyond the order in which a matrix product adds.

    Returns
    -------
    Traces
        ``counts``, int64 [B]: ``<population>/spikes`` and ``<synapse>/operations``: for each
        operator of the synapse, values entering it that are not zero (once per step, however many
        spikes they stand for) times the non-zero weights they meet.

    Raises
    ------
    ShapeError, RangeError
        For a stimulus that does not fit the network; RangeError where spikes of one step pass
        32 bits.
    InputError
        For an unknown option, a held stimulus of unknown length, rules of a population that
        contradict each other, or Lava timing of a network with feedback or delays.
    """
    _check_options(timing, dtype, memory_bytes)
    quantities = checked_quantities(record)
    checked = read_float_stimulus(
        stimulus, n_input=net.n_input, encoder=net.encoder, steps=net.steps, asked_steps=steps
    )
    latency = layer_latency(net)
    if timing == "lava":
        require_layered(net)
    else:
        latency = dict.fromkeys(latency, 0)
    # Imported here: torch takes a second to load, and readers of results do not need it.
    from neurodeploy.simulate.float_records import output_key

    records = _run(net, checked, quantities, dtype, latency, device, memory_bytes)
    meta = run_meta(
        net, backend="float", timing=timing, steps=checked.steps, digest=checked.digest()
    )
    return Traces(
        output=records.arrays[output_key(net)],
        records={k: a for k, a in records.arrays.items() if k.rsplit("/", 1)[1] in quantities},
        counts=records.counts,
        meta={**meta, "dtype": dtype},
    )


def _check_options(timing: str, dtype: str, memory_bytes: int) -> None:
    if timing not in ("aligned", "lava"):
        raise InputError(f"timing: {timing!r} not known; choose aligned or lava")
    if dtype not in get_args(FloatType):
        raise InputError(f"dtype: {dtype!r} not known; choose float64 or float32")
    if memory_bytes < 1:
        raise InputError(f"memory_bytes: {memory_bytes}; a run needs some memory")


def _run(
    net: Network,
    stimulus: FloatStimulus,
    quantities: tuple[Quantity, ...],
    dtype: FloatType,
    latency: Mapping[str, int],
    device: str,
    memory_bytes: int,
) -> FloatRecords:
    """Run all samples, chunk by chunk."""
    import torch

    from neurodeploy.simulate.float_network import ready_network
    from neurodeploy.simulate.float_records import FloatRecords
    from neurodeploy.simulate.node_values import NodeValues

    total = stimulus.steps + max(latency.values(), default=0)
    on = _usable_device(device)
    with torch.inference_mode():
        ready = ready_network(net, torch.float64 if dtype == "float64" else torch.float32, on)
        nodes = NodeValues.of(ready, asked="y" in quantities)
        records = FloatRecords.allocate(ready, total, stimulus.batch, quantities, latency, nodes)
        values = values_per_step(net, ready.order, len(quantities), keep_all=bool(nodes.sizes()))
        affordable = max(1, memory_bytes // (values * np.dtype(dtype).itemsize))
        chunk = min(stimulus.batch, max(1, affordable // min(total, _BLOCK_STEPS)))
        block = min(total, max(1, affordable // chunk))
        fans: dict[int, list[torch.Tensor]] = {}
        for first in range(0, stimulus.batch, chunk):
            samples = slice(first, min(first + chunk, stimulus.batch))
            _run_chunk(ready, stimulus, records, samples, latency, nodes, fans, block)
    return records


def _usable_device(name: str) -> torch.device:
    """Return the device called ``name``; InputError where this machine has none."""
    import torch

    try:
        return torch.zeros(1, device=name).device
    except (RuntimeError, AssertionError) as error:  # torch raises either
        reason = str(error).splitlines()[0]
        raise InputError(f"device: {name!r} cannot be used: {reason}; choose cpu") from error


def _run_chunk(
    ready: ReadyNetwork,
    stimulus: FloatStimulus,
    records: FloatRecords,
    samples: slice,
    latency: Mapping[str, int],
    nodes: NodeValues,
    fans: dict[int, list[torch.Tensor]],
    block: int,
) -> None:
    """Run some samples over all steps."""
    import torch

    from neurodeploy.simulate.float_chunk import FloatChunk
    from neurodeploy.simulate.float_records import ChunkObserver

    total = stimulus.steps + max(latency.values(), default=0)
    limits = {INPUT: total, **{name: total - late for name, late in latency.items()}}
    observer = ChunkObserver(ready, records, samples, latency, nodes, fans)
    numbers = np.float64 if ready.dtype == torch.float64 else np.float32
    run = FloatChunk(ready, samples.stop - samples.start, limits, observer)
    first = 0
    while first < total:
        end = min(first + block, total)
        if first < stimulus.steps:  # the input is on, or off, for a whole block
            end = min(end, stimulus.steps)
        if first < stimulus.steps:
            inputs = torch.from_numpy(stimulus.values(first, end, samples, numbers))
        else:
            shape = (1, samples.stop - samples.start, ready.net.n_input)
            inputs = torch.zeros(shape, dtype=ready.dtype)
        inputs = inputs.to(ready.device)
        run.run_block(first, end, inputs)
        first = end
