"""Spikes given for some populations: the others do what their own input makes them do."""

import numpy as np
import pytest
from oracles.literal_synapses import BufferedSynapse, message, wrap32
from oracles.random_neurons import spikes_of
from oracles.random_topologies import PAIRS, random_case

from neurodeploy.errors import InputError, RangeError, ShapeError
from neurodeploy.network.connections import ALWAYS_ON, INPUT
from neurodeploy.simulate.fixed_torch import run_torch

RECORDS = ("spikes", "u", "v", "v_pre")


def case(seed):
    rng = np.random.default_rng([seed, 77])
    net, codes = random_case(rng, pair=PAIRS[seed % len(PAIRS)], hardware=seed % 2 == 0)
    if codes.ndim == 2:
        codes = np.broadcast_to(codes, (net.steps, *codes.shape))
    free = [p.name for p in net.populations if p.kind != "readout"]
    return rng, net, codes, free


def literal_input(net, name, sent):
    """What arrives at ``name``, summed slot by slot, int32 values [T, B, N]."""
    total = np.zeros(1, np.int64)
    for synapse in net.synapses_into(name):
        values = sent[synapse.source]
        steps, batch, size = values.shape
        flat = message(synapse, values.reshape(-1, size))
        latency = {p.name: p.latency for p in net.populations} | {INPUT: 0}
        for delay, (part, _) in BufferedSynapse(synapse, 1).slot_sums(flat).items():
            later = 0
            if synapse.source != ALWAYS_ON:
                later = latency[synapse.source] + 1 + delay - latency[name]
            felt = np.zeros((steps, batch, synapse.size_out), np.int64)
            felt[later:] = part.reshape(steps, batch, -1)[: max(steps - later, 0)]
            total = total + felt
    return wrap32(total)


@pytest.mark.parametrize("seed", range(2 * len(PAIRS)))
def test_whoever_is_not_given_follows_what_it_receives(seed):
    rng, net, codes, free = case(seed)
    if not free:
        free = [net.populations[0].name]
    chosen = [name for name in free if rng.random() < 0.5] or free[:1]
    sizes = {p.name: p.size for p in net.populations}
    given = {
        name: (rng.random((*codes.shape[:2], sizes[name])) < rng.uniform(0.02, 0.6)).astype(int)
        for name in chosen
        if name != net.readout.population or net.readout.kind == "count"
    }
    found = run_torch(net, codes, record=RECORDS, given=given)
    sent = {name.rsplit("/", 1)[0]: a.astype(np.int64) for name, a in found.records.items()
            if name.endswith("/spikes")}  # fmt: skip
    sent |= {INPUT: codes.astype(np.int64), ALWAYS_ON: np.ones((*codes.shape[:2], 1), np.int64)}
    for p in net.populations:
        if p.name in given:
            np.testing.assert_array_equal(sent[p.name], given[p.name])
            assert f"{p.name}/v" not in found.records
        elif p.kind != "readout":
            expected = spikes_of(p, np.broadcast_to(literal_input(net, p.name, sent),
                                                    (*codes.shape[:2], p.size)))  # fmt: skip
            np.testing.assert_array_equal(sent[p.name], expected, err_msg=p.name)


@pytest.mark.parametrize("seed", range(len(PAIRS)))
def test_its_own_spikes_change_nothing(seed):
    rng, net, codes, free = case(seed)
    plain = run_torch(net, codes, record=RECORDS)
    own = {name: plain.records[f"{name}/spikes"] for name in free if rng.random() < 0.5}
    found = run_torch(net, codes, record=RECORDS, given=own)
    np.testing.assert_array_equal(found.output, plain.output)
    for name, values in found.records.items():
        np.testing.assert_array_equal(values, plain.records[name], err_msg=name)
    for name in found.counts:
        np.testing.assert_array_equal(found.counts[name], plain.counts[name], err_msg=name)


def test_trains_that_fit_no_population_are_named():
    _, net, codes, free = case(0)
    p = next(p for p in net.populations if p.name == free[0])
    shape = (*codes.shape[:2], p.size)
    with pytest.raises(InputError, match="'nobody'"):
        run_torch(net, codes, given={"nobody": np.zeros(shape)})
    with pytest.raises(ShapeError, match="needs"):
        run_torch(net, codes, given={p.name: np.zeros(shape[:-1])})
    with pytest.raises(RangeError, match="other than 0 and 1"):
        run_torch(net, codes, given={p.name: np.full(shape, 2)})
