"""Random fixed-point networks whose layers fire, and random codes for them. Plain numpy.

By default feed-forward networks of dense synapses, LIF and DLIF; ``everything=True`` draws over all
that the types allow (``random_topologies.random_case`` also gives the codes that each layer was
fitted on).

Thresholds are calibrated with the literal oracle so that every layer fires at 1 to 50 % on random
codes; a layer for which that fails is drawn again. Every network can start on Lava (``start_v``
exists) unless ``hardware=False``.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from oracles.literal_fixed import dlif_step, lif_step
from oracles.literal_synapses import BufferedSynapse, message, wrap32
from oracles.random_neurons import HIGHEST_RATE, LOWEST_RATE, random_decays, startable
from oracles.random_topologies import random_case, random_values

from neurodeploy.network.encoding import ConstantEncoder, Readout
from neurodeploy.network.fixed import (
    V_MAX,
    V_THRESHOLD_MAX,
    FixedPointNetwork,
    FixedPopulation,
    FixedSynapse,
)
from neurodeploy.network.floating import ALWAYS_ON, INPUT

_CALIBRATION_SAMPLES = 6
_DRAWS = 400


def random_fixed_network(
    rng: np.random.Generator,
    *,
    layers: int | None = None,
    steps: int | None = None,
    readout: bool | None = None,
    kind: str | None = None,
    graded: bool | None = None,
    hardware: bool = True,
    extreme: bool | None = None,
    everything: bool = False,
    pair: tuple[str, str] | None = None,
) -> FixedPointNetwork:
    """Draw a feed-forward network of 1-4 layers with 3-40 neurons each, or one of any kind.

    Parameters
    ----------
    layers, steps : int or None
        Number of layers (1-4) and steps (5-25); drawn if None.
    readout : bool or None
        Whether the last population is a read-out that never fires.
    kind : "lif", "dlif" or None
        Kind of every firing population; drawn for each if None.
    graded : bool or None
        Whether the input synapses use the codes as payload.
    hardware : bool
        Keep to networks that have a start state on Lava; False also draws ``u_init``.
    extreme : bool or None
        Large weight exponents, so that u wraps and v clamps.
    everything : bool
        Draw over all neurons, synapses, delays and topologies; ``readout`` and ``kind`` are drawn.
    pair : (neuron, synapse) or None
        As ``everything``, and some layer has this neuron and this synapse
        (``random_topologies.PAIRS``).
    """
    if everything or pair is not None:
        case = random_case(
            rng, pair=pair, layers=layers, steps=steps, graded=graded, hardware=hardware,
            extreme=extreme,
        )  # fmt: skip
        return case[0]
    layers = int(rng.integers(1, 5)) if layers is None else layers
    steps = int(rng.integers(5, 26)) if steps is None else steps
    readout = bool(rng.random() < 0.4) if readout is None else readout
    graded = bool(rng.random() < 0.6) if graded is None else graded
    extreme = bool(rng.random() < 0.2) if extreme is None else extreme
    encoder = ConstantEncoder(bits=int(rng.choice([1, 4, 8])))
    n_input = int(rng.integers(3, 41))
    shape = (steps, _CALIBRATION_SAMPLES, n_input)
    codes = random_values(rng, shape, encoder.max_code, graded)
    sent = {INPUT: codes, ALWAYS_ON: np.ones((steps, _CALIBRATION_SAMPLES, 1), np.int64)}
    populations: list[FixedPopulation] = []
    synapses: list[FixedSynapse] = []
    sources = [INPUT]
    for layer in range(1, layers + 1):
        last = layer == layers
        # Two parallel populations now and then: the next layer then has two sources.
        width = 2 if not last and rng.random() < 0.2 else 1
        names = [f"layer{layer}{'ab'[i] if width > 1 else ''}" for i in range(width)]
        for name in names:
            as_readout = last and readout
            drawn = kind or str(rng.choice(["lif", "dlif"], p=[0.6, 0.4]))
            population, into, spikes = _fitting_layer(
                rng, name, "readout" if as_readout else drawn, layer, sources, sent,
                graded=graded, hardware=hardware, extreme=extreme,
            )  # fmt: skip
            populations.append(population)
            synapses += into
            sent[name] = spikes
        sources = names
    quantity = str(rng.choice(["sum", "last_v", "max_v", "mean_v"])) if readout else "count"
    return FixedPointNetwork(
        populations=tuple(populations),
        synapses=tuple(synapses),
        n_input=n_input,
        encoder=encoder,
        readout=Readout(sources[-1], quantity),
        steps=steps,
    )


def random_codes(
    rng: np.random.Generator, net: FixedPointNetwork, samples: int, *, held: bool | None = None
) -> np.ndarray:
    """Draw codes int32, [samples, n_input] (``held``) or [steps, samples, n_input]."""
    graded = any(s.message_bits for s in net.synapses if s.source == INPUT)
    shape = (net.steps, samples, net.n_input)
    codes = random_values(rng, shape, net.encoder.max_code, graded)
    held = bool(rng.random() < 0.5) if held is None else held
    return (codes[0] if held else codes).astype(np.int32)


def _fitting_layer(rng, name, kind, latency, sources, sent, *, graded, hardware, extreme):
    """Draw populations and synapses until the layer fires at a useful rate."""
    for _ in range(_DRAWS):
        synapses = _draw_synapses(rng, name, sources, sent, graded, extreme)
        a = _input_current(synapses, sent)
        population = _draw_population(rng, name, kind, latency, synapses, hardware, a)
        if kind == "readout":
            if hardware:
                population = startable(population)
            return population, synapses, np.zeros(a.shape, np.int64)
        population = _calibrate(rng, population, a)
        if hardware:
            population = startable(population)
        spikes = _spikes(population, a)
        if LOWEST_RATE <= spikes.mean() <= HIGHEST_RATE:
            return population, synapses, spikes
    raise RuntimeError(f"no draw of {name} fires at {LOWEST_RATE}..{HIGHEST_RATE}")


def _draw_synapses(rng, target, sources, sent, graded, extreme):
    size = int(rng.integers(3, 41))
    ends = list(sources) + ([sources[0]] if rng.random() < 0.3 else [])
    synapses = [
        _synapse(rng, f"{source}_{target}_{i}", source, target, size, sent[source].shape[-1],
                 8 if source == INPUT and graded else 0, extreme)
        for i, source in enumerate(ends)
    ]  # fmt: skip
    if rng.random() < 0.3:
        name = f"{target}_always_on"
        synapses.append(_synapse(rng, name, ALWAYS_ON, target, size, 1, 0, extreme))
    return synapses


def _synapse(rng, name, source, target, n_out, n_in, message_bits, extreme):
    sign_mode = str(rng.choice(["mixed", "excitatory", "inhibitory"], p=[0.5, 0.35, 0.15]))
    bits = int(rng.choice([8, int(rng.integers(1, 9))]))
    step = 2 ** (9 - bits if sign_mode == "mixed" else 8 - bits)
    spread = rng.choice([20.0, 80.0, 250.0])
    raw = np.rint(rng.normal(0.1 * spread, spread, (n_out, n_in))).astype(np.int64)
    raw[rng.random(raw.shape) < rng.choice([0.0, 0.3])] = 0
    if sign_mode == "mixed":
        weight = (np.clip(raw, -256, 255) // step) * step
    else:
        weight = (np.clip(np.abs(raw), 0, 255) // step) * step
        weight = -weight if sign_mode == "inhibitory" else weight
    exponent = int(rng.integers(5, 8) if extreme else rng.integers(-8, 8))
    return FixedSynapse(
        name, source, target, weight.astype(np.int32), exponent, sign_mode, bits, message_bits
    )


def _draw_population(rng, name, kind, latency, synapses, hardware, a):
    size = synapses[0].weight.shape[0]
    dlif = kind == "dlif"
    # Biases on the scale of the input, so that neither drowns the other.
    scale = max(4.0, float(np.abs(a).mean()))
    bias_exp = 0 if dlif else int(rng.integers(0, 8))
    limit = V_MAX if dlif else 4095
    spread = scale if dlif else 64 * scale / 2**bias_exp
    bias = np.clip(np.rint(rng.normal(0, 0.3 * spread, size)), -limit, limit)
    bias = np.where(rng.random(size) < 0.7, bias, 0) if rng.random() < 0.6 else np.zeros(size)
    v_init = np.zeros(size)
    if rng.random() < 0.3:
        v_init = np.clip(np.rint(rng.normal(0, 16 * scale, size)), -V_MAX, V_MAX)
    u_init = np.zeros(size)
    if not hardware and rng.random() < 0.5:
        u_init = rng.integers(-V_MAX, V_MAX + 1, size)
    gain = rng.integers(1, 256, int(rng.integers(1, a.shape[0] + 3))) if dlif else None
    return FixedPopulation(
        name=name, nir_nodes=(name,), kind=kind,
        decay_u=random_decays(rng, size, 4095), decay_v=random_decays(rng, size, 4096),
        bias=bias, bias_exp=bias_exp, v_threshold=np.full(size, V_THRESHOLD_MAX + 1),
        u_init=u_init, v_init=v_init, latency=latency, scale=1.0,
        gain=gain, gain_shift=int(rng.integers(0, 8)) if dlif else 0,
    )  # fmt: skip


def _input_current(synapses, sent):
    """Return what the layer receives at each logical step, int32 values [T, B, N]."""
    parts = []
    for synapse in synapses:
        send = BufferedSynapse(synapse, 1).slot_sums
        parts.append(np.stack([send(message(synapse, s))[0][0] for s in sent[synapse.source]]))
    return wrap32(sum(parts))


def _spikes(p, a):
    u = np.tile(p.u_init.astype(np.int64), (a.shape[1], 1))
    v = np.tile(p.v_init.astype(np.int64), (a.shape[1], 1))
    spikes = np.zeros(a.shape, np.int64)
    for t in range(a.shape[0]):
        if p.kind == "dlif":
            v_pre, fired, _, _ = dlif_step(p, v, a[t], t + 1)
        else:
            u, v_pre, fired, _, _ = lif_step(p, u, v, a[t])
        v = np.where(fired, 0, v_pre)
        spikes[t] = fired
    return spikes


def _calibrate(rng, population, a):
    """Bisect a common threshold for a drawn rate; then vary it between neurons."""
    wanted = np.exp(rng.uniform(np.log(0.02), np.log(0.45)))
    low, high = 0, V_THRESHOLD_MAX
    while high - low > max(1, low // 32):
        middle = (low + high) // 2 if low > 64 else int(np.sqrt(max(low, 1) * high))
        middle = min(max(middle, low + 1), high - 1) if high - low > 1 else low
        trial = replace(population, v_threshold=np.full(population.size, middle))
        if _spikes(trial, a).mean() > wanted:
            low = middle
        else:
            high = middle
    spread = rng.choice([0.0, 0.2])
    varied = np.rint(high * (1 + spread * rng.uniform(-1, 1, population.size)))
    return replace(population, v_threshold=np.clip(varied, 0, V_THRESHOLD_MAX))
