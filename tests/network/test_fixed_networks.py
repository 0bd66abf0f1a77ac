"""What a fixed-point network may connect, and how long that takes."""

from dataclasses import replace

import numpy as np
import pytest
from oracles.every_kind import network_of_every_kind, population

from neurodeploy.errors import InputError, RangeError, ShapeError
from neurodeploy.network import (
    ConstantEncoder,
    FixedPointNetwork,
    FixedSynapse,
    Readout,
    check_legality,
    require_legal,
)


def two_layers(*synapses, latencies=(1, 2), **fields):
    a, b = (population(n, 2, latency=t) for n, t in zip("ab", latencies, strict=True))
    return FixedPointNetwork(
        populations=(a, replace(b, **fields)), synapses=synapses, n_input=2,
        encoder=ConstantEncoder(), readout=Readout("b", "count"), steps=4,
    )  # fmt: skip


def synapse(source, target, delay=0, name="s", size_in=2):
    return FixedSynapse(name, source, target, np.ones((2, size_in)), 0, "excitatory", delay=delay)


@pytest.mark.parametrize(
    ("source", "target", "latencies", "delay", "logical"),
    [
        ("input", "a", (1, 2), 0, 0),
        ("input", "a", (0, 2), 0, 1),
        ("input", "b", (1, 2), 1, 0),
        ("input", "b", (1, 2), 7, 6),
        ("a", "b", (1, 2), 0, 0),
        ("a", "b", (2, 2), 0, 1),
        ("a", "b", (5, 1), 0, 5),
        ("b", "a", (1, 2), 0, 2),
        ("a", "a", (1, 2), 3, 4),
        ("b", "b", (1, 2), 0, 1),
    ],
)
def test_logical_delays(source, target, latencies, delay, logical):
    connection = synapse(source, target, delay)
    net = two_layers(connection, latencies=latencies)
    assert net.logical_delay(connection).tolist() == logical


def test_each_weight_has_its_logical_delay():
    connection = synapse("a", "b", np.array([[1, 2], [3, 4]]))
    net = two_layers(connection, latencies=(1, 3))
    assert net.logical_delay(connection).tolist() == [[0, 1], [2, 3]]


@pytest.mark.parametrize(
    ("connection", "latencies", "message"),
    [
        # A skip path without a delay arrives one hardware step before its target's own step.
        (synapse("input", "b"), (1, 2), "takes -1 logical steps"),
        (synapse("a", "b", 1), (1, 4), "delay 1 takes -1 logical steps"),
        (synapse("a", "b", np.array([[2, 1], [2, 2]])), (1, 4), "takes -1 logical steps"),
        (synapse("b", "a"), (3, 2), "against the update order"),
        (synapse("always_on", "b", 1, size_in=1), (1, 2), "no delay"),
        (synapse("always_on", "a", size_in=1), (0, 2), "latency of at least 1"),
        (synapse("c", "b"), (1, 2), "'c' does not exist"),
        (synapse("always_on", "b"), (1, 2), r"weight \(2, 2\) does not fit"),
    ],
)
def test_synapses_that_need_the_future_or_have_no_ends_are_refused(connection, latencies, message):
    with pytest.raises((InputError, ShapeError), match=message):
        two_layers(connection, latencies=latencies)


def test_synapses_of_one_name_are_refused():
    with pytest.raises(InputError, match=r"\['s'\] must be unique"):
        two_layers(synapse("input", "a"), synapse("a", "b"))


def test_the_network_of_every_kind_is_legal():
    net = network_of_every_kind()
    assert check_legality(net) == ()
    assert net.max_latency == 5
    assert [s.name for s in net.synapses_into("gain")] == ["d", "r"]
    assert net.synapses_into("input") == ()


def changed(net, name, **fields):
    populations = tuple(replace(p, **fields) if p.name == name else p for p in net.populations)
    synapses = tuple(replace(s, **fields) if s.name == name else s for s in net.synapses)
    return replace(net, populations=populations, synapses=synapses)


@pytest.mark.parametrize(
    ("name", "fields", "register"),
    [
        ("self", {"delay": 63}, "delay is 63..63, the register holds 0..62"),
        ("d", {"delay": np.arange(44, 64).reshape(4, 5)}, "delay is 44..63"),
        ("map", {"refractory_steps": 65}, "refractory_steps is 65..65, the register holds 0..64"),
        ("gain", {"gain": [0, 255]}, "gain is 0..255"),
        ("gain", {"gain": [256]}, "gain is 256..256"),
        ("gain", {"gain_shift": 8}, "gain_shift is 8"),
        ("map", {"bias_exp": -1}, "bias_exp is -1"),
        ("late", {"bias": -4097}, "bias mantissa"),
        ("out", {"v_threshold": 2**17 + 1}, "v_threshold is 131073"),
        ("late", {"v_threshold": 2**17}, "v_threshold is 131072"),
        ("c", {"weight": np.full((2, 1, 3, 2), 256)}, "the register holds -256..254"),
        ("c", {"weight": np.full((2, 1, 3, 2), 3)}, "not multiples of 2"),
        ("s", {"weight": [2, 2, 2, 2, 2, 1]}, "not multiples of 2"),
        ("back", {"weight": np.full((12, 4), 1)}, "the register holds -255..0"),
        ("self", {"weight": np.eye(5) * 8, "weight_bits": 4}, "not multiples of 32"),
    ],
)
def test_each_register_is_guarded(name, fields, register):
    net = changed(network_of_every_kind(), name, **fields)
    (finding,) = check_legality(net)
    assert register in finding.what
    assert finding.where.endswith(f" {name}")
    with pytest.raises(RangeError, match="1 register beyond what a Loihi chip holds"):
        require_legal(net)


@pytest.mark.parametrize(
    ("name", "fields"),
    [("self", {"delay": 62}), ("map", {"refractory_steps": 64}), ("map", {"reset_offset": 10**6})],
)
def test_the_last_legal_value_passes(name, fields):
    assert check_legality(changed(network_of_every_kind(), name, **fields)) == ()
