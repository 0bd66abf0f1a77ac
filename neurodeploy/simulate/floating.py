"""The batched float simulator: plain NIR-Euler in float64."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import InputError
from neurodeploy.network.connections import ALWAYS_ON, INPUT
from neurodeploy.network.floating import Network, Population, Synapse
from neurodeploy.network.traces import Quantity, Traces, readout_quantity
from neurodeploy.simulate.run_meta import Timing, checked_quantities, run_meta
from neurodeploy.simulate.stimulus import Stimulus, input_hash, read_stimulus

FloatType = Literal["float64", "float32"]


def run_float(
    net: Network,
    codes: NDArray[Any],
    *,
    steps: int | None = None,
    record: Iterable[str] = (),
    dtype: FloatType = "float64",
    timing: Timing = "aligned",
) -> Traces:
    """Run ``net`` on a batch in floating point.

    Parameters
    ----------
    net : Network
        The rule of each neuron is in Population.
    codes : int array [B, n_input] (held for every step) or [T, B, n_input]
        Input codes; the network sees ``net.encoder.decode(codes)``.
    steps : int or None
        Steps of held codes; default ``net.steps``.
    record : subset of {"spikes", "u", "v", "v_pre"}
        For every population: spikes (uint8), v after reset and v before it, in membrane units. A
        float population has no u, so ``u`` records nothing.
    dtype : {"float64", "float32"}
        float32 is for counting decisions that hang on rounding, not for results.
    timing : {"aligned", "lava"}
        ``aligned``: the logical axis, zero latency. ``lava``: the hardware axis that the network
        would have, T + largest latency steps, so that what drains is counted: a population waits
        at ``v_init`` until its own first step, and the input sends nothing after T steps.

    Returns
    -------
    Traces
        ``counts``, int64 [B]: ``<population>/spikes`` and ``<synapse>/operations``, events (a
        spike, or an input value that is not zero) times the non-zero weights they met.

    Raises
    ------
    ShapeError, RangeError
        For codes that do not fit the network.
    InputError
        For an unknown option.
    """
    if timing not in ("aligned", "lava"):
        raise InputError(f"timing: {timing!r} not known; choose aligned or lava")
    if dtype not in ("float64", "float32"):
        raise InputError(f"dtype: {dtype!r} not known; choose float64 or float32")
    quantities = checked_quantities(record)
    stimulus = read_stimulus(
        codes, n_input=net.n_input, encoder=net.encoder, steps=net.steps, asked_steps=steps
    )
    latency = layer_latency(net) if timing == "lava" else dict.fromkeys(layer_latency(net), 0)
    run = _FloatRun(net, stimulus, quantities, np.dtype(dtype), latency)
    for t in range(run.total_steps):
        run.step(t)
    key = f"{net.readout.population}/{readout_quantity(net.readout)}"
    meta = run_meta(
        net,
        backend="float",
        timing=timing,
        steps=stimulus.steps,
        digest=input_hash(stimulus.codes, net.encoder.max_code),
    )
    return Traces(
        output=run.records[key],
        records={k: v for k, v in run.records.items() if k.rsplit("/", 1)[1] in quantities},
        counts=run.counts(),
        meta={**meta, "dtype": dtype},
    )


def layer_latency(net: Network) -> dict[str, int]:
    """Return the hardware steps from the input to each population: its longest path.

    Shorter paths are taken as delayed to match.
    """
    latency: dict[str, int] = {}
    for p in net.populations:
        latency[p.name] = 1 + max(
            (latency.get(s.source, 0) for s in net.synapses_into(p.name)), default=0
        )
    return latency


class _FloatRun:
    """State, records and counters of one run.

    A step is a logical step; a population of latency l does ``total_steps - l`` of them, and its
    records begin l rows later.
    """

    def __init__(
        self,
        net: Network,
        stimulus: Stimulus,
        quantities: tuple[Quantity, ...],
        dtype: np.dtype[Any],
        latency: dict[str, int],
    ) -> None:
        self._latency = latency
        self.total_steps = stimulus.steps + max(latency.values())
        self._net, self._stimulus, self._dtype = net, stimulus, dtype
        batch = stimulus.batch
        self._v = {p.name: np.tile(p.v_init.astype(dtype), (batch, 1)) for p in net.populations}
        self._neurons = {p.name: _Neurons(p, dtype) for p in net.populations}
        self._weights = {s.name: s.weight.T.astype(dtype) for s in net.synapses}
        self._sent: dict[str, NDArray[Any]] = {ALWAYS_ON: np.ones((batch, 1), dtype)}
        self._events = {p.name: np.zeros((batch, p.size), np.int64) for p in net.populations}
        self._events[INPUT] = np.zeros((batch, net.n_input), np.int64)
        # Sums that are the same at every step.
        self._steady: dict[str, NDArray[Any]] = {}
        self.records: dict[str, NDArray[Any]] = {}
        for p in net.populations:
            wanted = set(quantities) - {"u"}
            if p.name == net.readout.population:
                wanted.add(readout_quantity(net.readout))
            for quantity in sorted(wanted):
                kind = np.dtype(np.uint8) if quantity == "spikes" else dtype
                rows = np.zeros((self.total_steps, batch, p.size), kind)
                if quantity != "spikes":
                    rows[: latency[p.name]] = p.v_init
                self.records[f"{p.name}/{quantity}"] = rows

    def step(self, t: int) -> None:
        """Do logical step ``t`` (from 0) of every population that still has one."""
        self._send_input(t)
        for p in self._net.populations:
            if t >= self.total_steps - self._latency[p.name]:
                continue
            neurons = self._neurons[p.name]
            x = neurons.bias
            for s in self._net.synapses_into(p.name):
                if s.source in self._sent:
                    x = x + self._sum(s)
            v_pre = neurons.v_pre(self._v[p.name], x, t)
            spikes = v_pre > neurons.v_threshold
            self._v[p.name] = np.where(spikes, neurons.v_reset, v_pre)
            self._sent[p.name] = spikes.astype(self._dtype)
            self._events[p.name] += spikes
            row = t + self._latency[p.name]
            for quantity, value in (("spikes", spikes), ("v", self._v[p.name]), ("v_pre", v_pre)):
                if f"{p.name}/{quantity}" in self.records:
                    self.records[f"{p.name}/{quantity}"][row] = value

    def counts(self) -> dict[str, NDArray[np.int64]]:
        """Return spikes and synaptic operations, int64 [B]."""
        counts = {
            f"{p.name}/spikes": self._events[p.name].sum(axis=1) for p in self._net.populations
        }
        for s in self._net.synapses:
            if s.source == ALWAYS_ON:
                # On hardware the line sends from step latency(target) on.
                latency = self._latency[s.target]
                on = self.total_steps - latency + (latency > 0)
                events = np.full((self._stimulus.batch, 1), on, np.int64)
            else:
                events = self._events[s.source]
            counts[f"{s.name}/operations"] = events @ (s.weight != 0).sum(axis=0)
        return counts

    def _send_input(self, t: int) -> None:
        if t >= self._stimulus.steps:
            self._sent.pop(INPUT, None)
            return
        if t == 0 or not self._stimulus.held:
            decoded = self._net.encoder.decode(self._stimulus.at(t))
            self._sent[INPUT] = decoded.astype(self._dtype)
        self._events[INPUT] += self._sent[INPUT] != 0

    def _sum(self, synapse: Synapse) -> NDArray[Any]:
        steady = synapse.source == ALWAYS_ON or (synapse.source == INPUT and self._stimulus.held)
        if steady and synapse.name in self._steady:
            return self._steady[synapse.name]
        total: NDArray[Any] = self._sent[synapse.source] @ self._weights[synapse.name]
        if steady:
            self._steady[synapse.name] = total
        return total


class _Neurons:
    """One population's parameters in the run's dtype."""

    def __init__(self, p: Population, dtype: np.dtype[Any]) -> None:
        self.bias = p.bias.astype(dtype)
        self.v_threshold = (
            np.full(p.size, np.inf, dtype) if p.kind == "li" else p.v_threshold.astype(dtype)
        )
        self.v_reset = p.v_reset.astype(dtype)
        self._decay_v = p.decay_v.astype(dtype)
        self._v_leak = p.v_leak.astype(dtype)
        gain = np.ones(1) if p.gain is None else p.gain
        # One row per step of the gain; the last holds.
        self._input_gain = (p.input_gain * gain[:, None]).astype(dtype)

    def v_pre(self, v: NDArray[Any], x: NDArray[Any], t: int) -> NDArray[Any]:
        """Return v after logical step ``t`` (from 0), before reset."""
        gain = self._input_gain[min(t, len(self._input_gain) - 1)]
        v_pre: NDArray[Any] = v + self._decay_v * (self._v_leak - v) + gain * x
        return v_pre
