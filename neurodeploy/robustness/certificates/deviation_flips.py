"""How many spikes rounding will flip, predicted before any integer is run.

The model: each number that the chip rounds is off by an independent uniform error of at most half
a step of its register. The float network is run with such errors and compared with itself. What
the integers do is one more draw of the same kind, as far as rounding is like chance; errors that
add up over steps, and flips that cause others, are in the model because the network is run.
Truncation of decays, less than one unit of v per step, is left out.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import RangeError
from neurodeploy.network import (
    ALIGN_BITS,
    ALWAYS_ON,
    DECAY_BITS,
    INPUT,
    Convolution,
    Dense,
    FixedPointNetwork,
    Network,
    Sparse,
    Synapse,
    Traces,
    decide,
)
from neurodeploy.quantization.gain_remapping import as_mapped
from neurodeploy.quantization.incoming import input_factor
from neurodeploy.quantization.rounding import weight_step
from neurodeploy.robustness.certificates.deviation_pairs import PopulationPair, pair_networks

Generator = np.random.Generator


@dataclass(frozen=True, slots=True, eq=False)
class FlipPrediction:
    """Spikes that differ from the float network's, per population that fires.

    Parameters
    ----------
    flips : mapping of population to float64 [draws]
        Neuron-steps that differ, over all samples.
    neuron_steps : mapping of population to int
        Over all samples.
    decisions : float64 [draws]
        Decisions that differ.
    samples : int
    """

    flips: dict[str, NDArray[np.float64]]
    neuron_steps: dict[str, int]
    decisions: NDArray[np.float64]
    samples: int

    def agreement(self, population: str) -> float:
        """Return the expected share of equal spikes."""
        return 1.0 - float(self.flips[population].mean()) / self.neuron_steps[population]

    def as_dict(self) -> dict[str, Any]:
        """Return means and extremes over the draws as JSON types."""
        populations = {
            name: {
                "agreement": self.agreement(name),
                "flips": {
                    "mean": float(each.mean()), "low": float(each.min()), "high": float(each.max())
                },
                "neuron_steps": self.neuron_steps[name],
            }
            for name, each in self.flips.items()
        }  # fmt: skip
        return {
            "draws": int(self.decisions.size),
            "samples": self.samples,
            "decisions_changed": float(self.decisions.mean()),
            "populations": populations,
        }


def predict_flips(
    network: Network,
    net: FixedPointNetwork,
    codes: NDArray[Any],
    *,
    draws: int = 8,
    seed: int = 0,
) -> FlipPrediction:
    """Predict flips from the steps of the registers alone; ``net`` is not run.

    Parameters
    ----------
    network : Network
        The float network that was quantised (composed); gains are folded where ``net`` has none.
    net : FixedPointNetwork
        Gives the spacing of what each register can hold.
    codes : int [B, n_input]
        Held for ``net.steps`` steps.
    draws : int
        Runs of the float network with random rounding.
    seed : int

    Raises
    ------
    RangeError
        Unless there is at least one draw.
    InputError and others
        As ``pair_networks`` and ``run_float``.
    """
    from neurodeploy.simulate import run_float

    if draws < 1:
        raise RangeError(f"flips: {draws} draws; at least one is needed")
    network = as_mapped(network, net)
    pair = pair_networks(network, net)
    plain = run_float(network, codes, record=("spikes",))
    generator = np.random.default_rng(seed)
    runs = [
        run_float(_rounded_at_random(pair.populations, network, net, generator), codes,
                  record=("spikes",))
        for _ in range(draws)
    ]  # fmt: skip
    return _compared(network, plain, runs)


def measured_flips(network: Network, net: FixedPointNetwork, codes: NDArray[Any]) -> FlipPrediction:
    """Count the flips that the integers make: one "draw", for comparison."""
    from neurodeploy.simulate import run_fixed, run_float

    network = as_mapped(network, net)
    plain = run_float(network, codes, record=("spikes",))
    return _compared(network, plain, [run_fixed(net, codes, record=("spikes",))])


def _compared(network: Network, plain: Traces, runs: list[Traces]) -> FlipPrediction:
    names = [p.name for p in network.populations if p.fires]
    keys = {name: f"{name}/spikes" for name in names}
    before = decide(plain.scores())
    return FlipPrediction(
        flips={
            name: np.array([(r.records[key] != plain.records[key]).sum() for r in runs], np.float64)
            for name, key in keys.items()
        },
        neuron_steps={name: int(plain.records[key].size) for name, key in keys.items()},
        decisions=np.array([(decide(r.scores()) != before).sum() for r in runs], np.float64),
        samples=len(before),
    )


def _rounded_at_random(
    pairs: tuple[PopulationPair, ...],
    network: Network,
    net: FixedPointNetwork,
    generator: Generator,
) -> Network:
    """Return the float network with a random rounding error on everything that is stored."""
    populations, synapses = [], []
    for pair in pairs:
        p, fixed = pair.real, pair.fixed
        factor = input_factor(p)
        # One unit of v, in units of the synaptic input; 0 where no input arrives.
        unit = np.divide(1, fixed.scale * factor, out=np.zeros(p.size), where=factor != 0)
        for s in network.synapses_into(p.name):
            synapses.append(_with_rounded_weights(s, net, unit, generator))
        # A DLIF's bias stands in units of the synaptic sum.
        register = 2.0 ** (fixed.bias_exp + (ALIGN_BITS if p.gain is not None else 0))
        bias = p.bias + _error(p.size, generator) * register * unit
        changed: dict[str, Any] = {"bias": bias}
        for name in ("decay_v", "decay_u"):
            value = getattr(p, name)
            if value is not None:
                off = _error(p.size, generator) * 2.0**-DECAY_BITS
                # 0 and 1 are stored as they are.
                off = np.where((value == 0) | (value == 1), 0.0, off)
                changed[name] = np.clip(value + off, 0, 1)
        if p.gain is not None:
            off = _error(p.gain.size, generator) * 2.0**-fixed.gain_shift
            changed["gain"] = np.maximum(p.gain + off, 0)
        if p.fires:
            edge = _error(p.size, generator) * 2.0**ALIGN_BITS / fixed.scale
            changed["v_threshold"] = p.v_threshold + edge
        populations.append(dataclasses.replace(p, **changed))
    order = {s.name: i for i, s in enumerate(network.synapses)}
    synapses.sort(key=lambda s: order[s.name])
    return dataclasses.replace(network, populations=tuple(populations), synapses=tuple(synapses))


def _error(size: int | tuple[int, ...], generator: Generator) -> NDArray[np.float64]:
    """Return uniform errors of at most half a step."""
    return generator.uniform(-0.5, 0.5, size)


def _with_rounded_weights(
    s: Synapse, net: FixedPointNetwork, unit: NDArray[np.float64], generator: Generator
) -> Synapse:
    """Return the synapse with errors of half a step of its stored weights; zeros stay zeros."""
    if s.source == ALWAYS_ON:
        return s  # part of a bias
    stored = next(f for f in net.synapses_into(s.target) if f.name == s.name)
    step = weight_step(stored.sign_mode, stored.weight_bits) * 2.0 ** (
        stored.weight_exp + ALIGN_BITS
    )
    per_code = net.encoder.step if s.source == INPUT else 1.0
    rows = unit * (step / per_code)
    operator = s.operators[0]
    if isinstance(operator, Sparse):
        spread = np.repeat(rows, np.diff(operator.indptr))
    elif isinstance(operator, Convolution):
        spread = rows.reshape(operator.output_shape[0], -1).mean(axis=1)[:, None, None, None]
    elif isinstance(operator, Dense):
        spread = rows[:, None]
    else:
        raise TypeError(type(operator).__name__)  # pair_networks has refused it by name
    error = _error(operator.weight.shape, generator) * spread * (operator.weight != 0)
    return dataclasses.replace(
        s, operators=(dataclasses.replace(operator, weight=operator.weight + error),)
    )
