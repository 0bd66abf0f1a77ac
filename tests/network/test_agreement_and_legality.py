import dataclasses

import numpy as np
import pytest
from oracles.random_networks import random_fixed_network

from neurodeploy.errors import InputError, RangeError, ShapeError
from neurodeploy.network import (
    FixedPointNetwork,
    Traces,
    check_legality,
    compare_traces,
    require_legal,
)

META = {
    "readout": {"population": "p", "kind": "count"},
    "populations": {"p": {"scale": 2.0, "origin": 1.0}},
}


def traces(spikes, v=None, meta=META):
    records = {"p/spikes": np.asarray(spikes, np.uint8)}
    if v is not None:
        records["p/v"] = np.asarray(v)
    return Traces(np.asarray(spikes, np.uint8), records, {}, meta)


def test_the_first_difference_is_the_earliest_step():
    a = np.zeros((3, 2, 2))
    b = a.copy()
    b[2, 0, 0] = b[1, 1, 1] = 1
    record = compare_traces(traces(a), traces(b)).records[0]
    first = record.first_difference
    assert (first.t, first.sample, first.neuron, first.a, first.b) == (2, 1, 1, 0.0, 1.0)
    assert record.mismatches == 2
    assert record.agreement == 1 - 2 / 12


def test_equal_traces_are_exact():
    a = np.random.default_rng(0).integers(0, 2, (4, 3, 2))
    comparison = compare_traces(traces(a), traces(a))
    assert comparison.exact
    assert comparison.compared == 24


def test_scaled_comparison_uses_scale_and_origin_of_each_side():
    spikes = np.zeros((1, 1, 1))
    fixed = traces(spikes, np.full((1, 1, 1), 6, np.int32))
    plain = {**META, "populations": {"p": {"scale": 1.0, "origin": 0.0}}}
    floating = traces(spikes, np.full((1, 1, 1), 4.0), plain)
    assert compare_traces(floating, fixed, scaled=True).exact
    assert not compare_traces(floating, fixed).exact


def test_traces_without_a_shared_record_are_refused():
    other = Traces(np.zeros((1, 1, 1)), {"q/spikes": np.zeros((1, 1, 1))}, {}, META)
    with pytest.raises(InputError, match="share no record"):
        compare_traces(traces(np.zeros((1, 1, 1))), other)
    with pytest.raises(ShapeError):
        compare_traces(traces(np.zeros((1, 1, 1))), traces(np.zeros((2, 1, 1))))


def changed(net, population=None, synapse=None):
    populations, synapses = list(net.populations), list(net.synapses)
    if population:
        size = populations[0].size
        arrays = {k: v if k == "bias_exp" else np.full(size, v) for k, v in population.items()}
        population = arrays
        populations[0] = dataclasses.replace(populations[0], **population)
    if synapse:
        synapses[0] = dataclasses.replace(synapses[0], **synapse)
    return dataclasses.replace(net, populations=tuple(populations), synapses=tuple(synapses))


def small_network() -> FixedPointNetwork:
    for seed in range(100):
        net = random_fixed_network(np.random.default_rng(seed))
        first = net.populations[0]
        if first.kind == "lif" and not check_legality(net) and net.synapses[0].sign_mode == "mixed":
            return net
    raise AssertionError("no plain network among 100 seeds")


@pytest.mark.parametrize(
    "violation",
    [
        {"population": {"decay_u": -1}},
        {"population": {"decay_v": 4097}},
        {"population": {"v_threshold": 2**17}},
        {"population": {"bias": 4096}},
        {"population": {"bias_exp": 8}},
        {"population": {"v_init": 2**23}},
        {"synapse": {"weight_exp": 8}},
        {"synapse": {"weight_exp": -9}},
        {"synapse": {"weight_bits": 9}},
        {"synapse": {"message_bits": 25}},
    ],
)
def test_each_register_is_guarded(violation):
    net = changed(small_network(), **violation)
    assert len(check_legality(net)) == 1
    with pytest.raises(RangeError, match="no chip can hold"):
        require_legal(net)


def test_odd_mixed_weights_are_illegal():
    net = small_network()
    weight = net.synapses[0].weight.copy()
    weight[0, 0] = 1
    assert check_legality(changed(net, synapse={"weight": weight}))
