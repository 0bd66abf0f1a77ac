import dataclasses
from dataclasses import replace

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
from neurodeploy.register_limits import RegisterLimits

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
        arrays = {k: v if k == "bias_exp" else np.zeros(size) + v for k, v in population.items()}
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
    with pytest.raises(RangeError, match="beyond what a Loihi chip holds"):
        require_legal(net)


def five_violations():
    """Five registers of one neuron and one synapse out of range, and nothing else."""
    net = small_network()
    weight = net.synapses[0].weight.copy()
    weight[0, 0] = 1
    population = {"v_threshold": 2**17 + 7, "bias": -5000, "bias_exp": 9}
    synapse = {"weight": weight, "weight_exp": -9}
    return changed(net, population, synapse)


def test_five_violations_are_five_findings_of_one_error():
    net = five_violations()
    found = {f.what.split(" is ")[0]: f for f in check_legality(net)}
    step = 2 ** (9 - net.synapses[0].weight_bits)
    odd = f"1 of {net.synapses[0].weight.size} weights are not multiples of {step}, as "
    (odd_name,) = [name for name in found if name.startswith(odd)]
    expected = {
        "v_threshold": ([2**17 + 7] * 2, [0, 2**17 - 1]),
        "bias mantissa (13 bits signed)": ([-5000] * 2, [-4096, 4095]),
        "bias_exp": ([9, 9], [0, 7]),
        "weight_exp": ([-9, -9], [-8, 7]),
        odd_name: (1, {"step": step}),
    }
    assert {k: (f.numbers["used"], f.numbers["limit"]) for k, f in found.items()} == expected
    with pytest.raises(RangeError, match="5 registers beyond what a Loihi chip holds") as caught:
        require_legal(net)
    for finding in found.values():
        assert finding.remedy
        assert f"{finding.where}: {finding.what}; {finding.remedy}" in str(caught.value)


#: The same limits as the shipped profile of Lava's simulator, written out.
WIDE = RegisterLimits(
    target="lava", conv_weight_bits=32, weight_exp_min=-31, weight_exp_max=31, decay_u_min=-1,
    bias_mantissa_bits=16, bias_exp_max=15, message_bits=31, delay_max=63, refractory_max=2**30,
)  # fmt: skip


@pytest.mark.parametrize(
    "fields",
    [
        {"population": {"decay_u": -1}},
        {"population": {"bias": 32767}},
        {"population": {"bias": -32768}},
        {"population": {"bias_exp": 15}},
        {"synapse": {"weight_exp": 31}},
        {"synapse": {"weight_exp": -31}},
        {"synapse": {"message_bits": 31}},
        {"synapse": {"delay": 63}},
    ],
)
def test_what_lava_computes_is_legal_there_and_on_no_chip(fields):
    net = changed(small_network(), **fields)
    assert check_legality(net, WIDE) == ()
    assert len(check_legality(net)) == 1


@pytest.mark.parametrize(
    ("fields", "register"),
    [
        ({"population": {"decay_u": -2}}, "decay_u is -2..-2, the register holds -1..4095"),
        ({"population": {"bias": 32768}}, "bias mantissa (16 bits signed) is 32768..32768"),
        ({"population": {"bias_exp": 16}}, "bias_exp is 16..16"),
        ({"population": {"v_threshold": 2**17}}, "v_threshold is 131072"),
        ({"synapse": {"weight_exp": 32}}, "weight_exp is 32..32"),
        ({"synapse": {"weight_bits": 9}}, "weight_bits is 9..9"),
        ({"synapse": {"delay": 64}}, "delay is 64..64"),
    ],
)
def test_lava_has_limits_too(fields, register):
    (finding,) = check_legality(changed(small_network(), **fields), WIDE)
    assert finding.what.startswith(register)


def test_a_narrower_target_refuses_what_a_chip_holds():
    net = small_network()
    size = net.populations[0].size
    assert size > 2
    some = np.arange(size)
    net = changed(net, {"v_threshold": 10 + some, "decay_v": 5 + some % 3, "decay_u": 4095})
    few = RegisterLimits(target="mine", threshold_settings=2, decay_settings=2)
    where = f"population {net.populations[0].name}"
    first, second = (f for f in check_legality(net, few) if f.where == where)
    assert first.what == f"has {size} different thresholds, mine holds 2"
    assert second.what == "has 3 different pairs of decays, mine holds 2"
    wider = replace(few, threshold_settings=size, decay_settings=3)
    assert where not in [f.where for f in check_legality(net, wider)]
    (finding,) = check_legality(small_network(), RegisterLimits(sign_modes=("excitatory",)))[:1]
    assert "has mixed weights" in finding.what


def test_neurons_that_are_not_stock_need_a_target_that_runs_them():
    stock = RegisterLimits(target="mine", own_neurons=False)
    lif = changed(small_network(), {"v_threshold": 10})
    assert check_legality(lif, stock) == ()
    subtracting = dataclasses.replace(lif.populations[0], reset="subtract")
    net = dataclasses.replace(lif, populations=(subtracting, *lif.populations[1:]))
    assert check_legality(net) == ()
    (finding,) = check_legality(net, stock)
    assert "resets by subtraction" in finding.what
    assert check_legality(net, replace(stock, subtracts=True)) == ()


def test_odd_mixed_weights_are_illegal():
    net = small_network()
    weight = net.synapses[0].weight.copy()
    weight[0, 0] = 1
    assert check_legality(changed(net, synapse={"weight": weight}))
