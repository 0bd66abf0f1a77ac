"""Lava processes of populations: stock LIF and LIFReset, and our own where stock has none."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from lava.magma.core.process.process import LogConfig
from lava.proc.lif.process import LIF, LIFReset

from neurodeploy.export.lava_processes.dlif import DLIF
from neurodeploy.export.lava_processes.extended_lif import ExtendedLIF
from neurodeploy.network.fixed import FixedPopulation
from neurodeploy.network.start_state import start_v

Array = np.ndarray[Any, Any]
#: Per state: the Var and what it holds before a sample's first step.
StartValues = tuple[tuple[Any, Array], ...]


class Neurons(NamedTuple):
    """A process with ``a_in`` and ``s_out`` of shape (N,), and the start of its states."""

    process: Any
    start: StartValues


def make_neurons(population: FixedPopulation) -> Neurons:
    """Return the process of ``population``, flat whatever the population's shape."""
    if population.kind == "dlif":
        return _dlif(population)
    if population.is_extended:
        return _extended(population)
    return make_stock_neurons(population)


def make_stock_neurons(population: FixedPopulation) -> Neurons:
    """Return a LIF or LIFReset; of a dlif the membrane alone, without gain, bias and current."""
    v = start_v(population)
    if population.kind == "dlif":
        forgets, nothing = np.full(population.size, 4095), np.zeros(population.size, np.int32)
        population = replace(
            population, kind="lif", gain=None, gain_shift=0, gain_form="microcode",
            decay_u=forgets, u_init=nothing, bias=nothing,
        )  # fmt: skip
    parameters = {
        "shape": (population.size,),
        "u": population.u_init,
        "v": v,
        "du": _scalar_if_uniform(population.decay_u),
        "dv": _scalar_if_uniform(population.decay_v),
        "bias_mant": population.bias,
        "bias_exp": int(population.bias_exp),
        "vth": _scalar_if_uniform(population.v_threshold),
        "log_config": _log(),
    }
    if population.reset_interval:
        process = LIFReset(
            **parameters,
            reset_interval=int(population.reset_interval),
            reset_offset=int(population.reset_offset),
        )
    else:
        process = LIF(**parameters)
    return Neurons(process, ((process.u, population.u_init), (process.v, v)))


def _extended(population: FixedPopulation) -> Neurons:
    process = ExtendedLIF(
        decay_u=population.decay_u,
        decay_v=population.decay_v,
        bias=population.bias_shifted,
        threshold=population.v_threshold,
        u=population.u_init,
        v=population.v_init,
        subtract=population.reset == "subtract",
        refractory_steps=int(population.refractory_steps),
        reset_interval=int(population.reset_interval),
        reset_offset=int(population.reset_offset),
        latency=int(population.latency),
        log_config=_log(),
    )
    start = (
        (process.u, population.u_init),
        (process.v, population.v_init),
        (process.wait, np.zeros(population.size, np.int32)),
        (process.elapsed, np.zeros(1, np.int32)),
    )
    return Neurons(process, start)


def _dlif(population: FixedPopulation) -> Neurons:
    process = DLIF(
        decay_v=population.decay_v,
        bias=population.bias,
        threshold=population.v_threshold,
        v=population.v_init,
        gain=np.asarray(population.gain),
        gain_shift=int(population.gain_shift),
        latency=int(population.latency),
        log_config=_log(),
    )
    start = ((process.v, population.v_init), (process.elapsed, np.zeros(1, np.int32)))
    return Neurons(process, start)


def _log() -> LogConfig:
    # Lava logs the tracebacks of its processes at this level.
    return LogConfig(level=logging.INFO)


def _scalar_if_uniform(values: Array) -> int | Array:
    """Return a Python int where all neurons agree, else the array (int64).

    Lava passes these parameters through as they are. A numpy scalar would hang ``Var.get``.
    """
    if (values == values[0]).all():
        return int(values[0])
    return values.astype(np.int64)
