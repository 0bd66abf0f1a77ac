"""Activities, networks and traces made by hand, for tests of counting and pricing."""

import dataclasses
import re

import numpy as np

from neurodeploy import hardware_profiles
from neurodeploy.cost import Activity, Count, LayerActivity, SynapseActivity
from neurodeploy.network import (
    ALWAYS_ON,
    INPUT,
    ConstantEncoder,
    FixedPointNetwork,
    FixedPopulation,
    FixedSynapse,
    Network,
    Population,
    Readout,
    Synapse,
    Traces,
)


def layer(
    name="layer",
    size=1,
    *,
    steps=1,
    operations=0.0,
    with_zeros=None,
    events=0.0,
    active=0.0,
    spikes=0.0,
    source=INPUT,
    synapse_format="dense",
    kind="lif",
    n_source=1,
):
    """One population with one synapse into it; counts are exact, one sample unless arrays."""
    every = operations if with_zeros is None else with_zeros
    zero = 0.0 * np.asarray(spikes, float)
    synapse = SynapseActivity(
        f"{source}->{name}",
        source,
        name,
        synapse_format,
        n_source,
        size,
        Count.exactly(events),
        Count.exactly(operations),
        Count.exactly(every),
    )
    return LayerActivity(
        name,
        kind,
        size,
        (synapse,),
        Count.exactly(size * steps + zero),
        active if isinstance(active, Count) else Count.exactly(active),
        Count.exactly(spikes),
    )


def activity(*layers, steps=1, events=0.0, timing="lava", n_output=0):
    return Activity("fixed", timing, steps, steps, tuple(layers), n_output, Count.exactly(events))


def profile_with(name, **leaves):
    """Return a shipped profile with some tables' bodies replaced; dots in paths are ``__``."""
    text = hardware_profiles.load(name).text
    for path, body in leaves.items():
        key = re.escape(path.replace("__", ".").replace("silicon_fit", "silicon-fit"))
        text, n = re.subn(rf"(?s)\[{key}\]\n.*?\n\n", f"[{key}]\n{body}\n\n", text)
        text = text.replace(f"[{key}]", f"[{key}]".replace("\\", ""))
        assert n == 1, path
    return hardware_profiles.parse(text)


UNKNOWN_PJ = 'unknown = true\nunit = "pJ"\nnote = "for a test"'
UNKNOWN_NS = 'unknown = true\nunit = "ns"\nnote = "for a test"'
UNKNOWN_MW = 'unknown = true\nunit = "mW"\nnote = "for a test"'


def number(value, unit):
    return (
        f'value = {value}\nunit = "{unit}"\nsource = "assumption"\nlocator = "test"\n'
        'grade = "B"\nbasis = "assumed"'
    )


def fixed_population(name, size, latency, kind="lif"):
    def full(value):
        return np.full(size, value)

    gain = np.array([3, 2]) if kind == "dlif" else None
    highest = 2**17 if kind == "readout" else 1
    return FixedPopulation(
        name, (name,), kind, full(4095), full(0), full(0), 0, full(highest), full(0), full(0),
        latency, 1.0, gain, 0,
    )  # fmt: skip


def fixed_network(weights, steps, *, kinds=("lif", "readout"), always_on=None):
    """A chain of dense layers on the integers; ``always_on`` is a weight column into layer 1."""
    names = [f"layer{i + 1}" for i in range(len(weights))]
    populations = tuple(
        fixed_population(n, w.shape[0], i + 1, k)
        for i, (n, w, k) in enumerate(zip(names, weights, kinds, strict=True))
    )
    sources = [INPUT, *names[:-1]]
    synapses = [
        FixedSynapse(f"{s}-{n}", s, n, w, 0, "mixed", 8, 8 if s == INPUT else 0)
        for s, n, w in zip(sources, names, weights, strict=True)
    ]
    if always_on is not None:
        synapses.append(
            FixedSynapse(f"{ALWAYS_ON}-{names[0]}", ALWAYS_ON, names[0], always_on, 0, "mixed")
        )
    readout = Readout(names[-1], "sum")
    encoder = ConstantEncoder()
    return FixedPointNetwork(
        populations, tuple(synapses), weights[0].shape[1], encoder, readout, steps
    )


def float_twin(net, encoder=None):
    """The float network with the same connections; only its wiring matters for counting."""

    def full(population, value):
        return np.full(population.size, value)

    populations = tuple(
        Population(
            p.name, p.nir_nodes, "li" if p.kind == "readout" else "lif", full(p, 0.5),
            full(p, 1.0), full(p, 0.0), full(p, 1.0), full(p, 0.0), full(p, 0.0), full(p, 0.0),
            None if p.gain is None else p.gain.astype(float),
        )
        for p in net.populations
    )  # fmt: skip
    synapses = tuple(Synapse.dense(s.name, s.source, s.target, s.weight) for s in net.synapses)
    return Network(
        populations, synapses, net.n_input, encoder or net.encoder, net.readout, net.steps
    )


def traces_of(net, spikes, codes, *, timing, record=False):
    """Traces with counts made by plain loops over ``spikes`` {population: [rows, B, N]}.

    Counts are as sent: the source pays when it fires, as the simulator counts them.
    """
    rows, batch = next(iter(spikes.values())).shape[:2]
    counts = {f"{name}/spikes": s.sum(axis=(0, 2)).astype(np.int64) for name, s in spikes.items()}
    for synapse in net.synapses:
        total = np.zeros(batch, np.int64)
        for b in range(batch):
            for row in sent_rows(net, synapse, spikes, codes, rows, timing):
                for j, value in enumerate(row[b]):
                    if value:
                        total[b] += sum(1 for w in synapse.weight[:, j] if w != 0)
        counts[f"{synapse.name}/operations"] = total
    size = net.population(net.readout.population).size
    records = {f"{name}/spikes": s.astype(np.uint8) for name, s in spikes.items()}
    meta = {"timing": timing, "steps": net.steps, "readout": net.readout.as_dict()}
    return Traces(np.zeros((rows, batch, size)), records if record else {}, counts, meta)


def sent_rows(net, synapse, spikes, codes, rows, timing):
    """What enters ``synapse`` in each row of the time axis, [B, n_source] each."""
    batch = codes.shape[1]
    if synapse.source == INPUT:
        return [codes[t] if t < len(codes) else np.zeros_like(codes[0]) for t in range(rows)]
    if synapse.source == ALWAYS_ON:
        # On the hardware axis it sends from hardware step latency(target) on (row latency - 1).
        first = net.population(synapse.target).latency - 1 if timing == "lava" else 0
        return [np.full((batch, 1), int(t >= first)) for t in range(rows)]
    return list(spikes[synapse.source])


def active_by_loops(net, spikes, codes, *, timing):
    """Active updates per population [B], neuron by neuron and step by step."""
    rows, batch = next(iter(spikes.values())).shape[:2]
    delay = 1 if timing == "lava" else 0
    counts = {p.name: np.zeros(batch, np.int64) for p in net.populations}
    for p in net.populations:
        incoming = [
            (s, sent_rows(net, s, spikes, codes, rows, timing)) for s in net.synapses_into(p.name)
        ]
        for t in range(delay, rows):
            for b in range(batch):
                for i in range(p.size):
                    counts[p.name][b] += any(
                        sent[t - delay][b][j] and s.weight[i, j]
                        for s, sent in incoming
                        for j in range(s.weight.shape[1])
                    )
    return counts


def with_energy_sets(profile, **sets):
    return dataclasses.replace(profile, energy_sets=sets, default_energy_set=next(iter(sets)))
