import dataclasses

import numpy as np
import pytest
from oracles.every_kind import population
from oracles.literal_fixed import bias_shifted

from neurodeploy.errors import RangeError, ShapeError


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "izhikevich"}, "no neuron is 'izhikevich'"),
        ({"reset": "soft"}, "reset 'soft'"),
        ({"kind": "readout", "reset": "subtract"}, "only lif has them"),
        ({"kind": "readout", "refractory_steps": 1}, "only lif has them"),
        ({"kind": "dlif", "gain": [1], "bias_exp": 0, "refractory_steps": 1}, "only lif has them"),
        ({"kind": "dlif", "gain": [1], "bias_exp": 0, "reset_interval": 4}, "no periodic reset"),
        ({"kind": "dlif", "gain": [1], "bias_exp": 3}, "a dlif's bias has none"),
        ({"kind": "dlif", "bias_exp": 0}, "gain belongs to dlif"),
        ({"kind": "dlif", "gain": [], "bias_exp": 0}, "gain has no entry"),
        ({"gain": [1]}, "gain belongs to dlif"),
        ({"refractory_steps": -1}, "refractory_steps is -1"),
        ({"reset_interval": -1}, "reset_interval is -1"),
        ({"reset_offset": -1}, "reset_offset is -1"),
        ({"latency": -1}, "latency is -1"),
        ({"latency": 1.5}, "whole number"),
        ({"bias": 0.5}, "whole numbers"),
        ({"v_threshold": 2**31}, "does not fit int32"),
        ({"decay_u": [1, 2]}, r"has shape \(2,\), needs \(6,\)"),
        ({"origin": np.nan}, "NaN"),
        ({"shape": (2, 2)}, "does not hold 6 neurons"),
        ({"shape": (-2, -3)}, "does not hold 6 neurons"),
    ],
)
def test_impossible_populations_are_refused(fields, message):
    with pytest.raises((RangeError, ShapeError), match=f"population p: .*{message}"):
        population("p", 6, **fields)


def test_a_population_without_neurons_is_refused():
    with pytest.raises(ShapeError, match="1 at least"):
        population("p", 0)


def test_numpy_integers_become_python_integers():
    names = ("latency", "refractory_steps", "reset_interval", "reset_offset", "bias_exp")
    given = dict.fromkeys(names, np.int64(4))
    p = population("p", 6, **given, shape=tuple(np.array([2, 3])), gain_shift=np.uint8(0))
    assert [type(getattr(p, name)) for name in names] == [int] * 5
    assert p.shape == (2, 3)
    assert {type(n) for n in p.shape} == {int}


def test_scalars_are_broadcast_and_arrays_frozen():
    p = population("p", 3, bias=7, origin=0.5)
    assert p.bias.tolist() == [7, 7, 7]
    assert p.origin.tolist() == [0.5] * 3
    assert p.shape == (3,)
    with pytest.raises(ValueError, match="read-only"):
        p.origin[0] = 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        p.latency = 2


@pytest.mark.parametrize(
    ("fields", "extended", "waits"),
    [
        ({}, False, False),
        ({"reset_interval": 5}, False, False),
        ({"kind": "readout"}, False, False),
        ({"reset": "subtract"}, True, True),
        ({"refractory_steps": 1}, True, True),
        ({"kind": "dlif", "gain": [1], "bias_exp": 0}, False, True),
    ],
)
def test_what_stock_lava_lacks_waits_for_its_first_step(fields, extended, waits):
    p = population("p", 2, **fields)
    assert (p.is_extended, p.waits) == (extended, waits)


@pytest.mark.parametrize(("interval", "offset"), [(1, 0), (3, 0), (3, 1), (3, 7), (10, 25)])
def test_resets_are_those_of_lava(interval, offset):
    p = population("p", 2, reset_interval=interval, reset_offset=offset)
    assert [p.resets_at(h) for h in range(1, 40)] == [
        h % interval == offset % interval for h in range(1, 40)
    ]


def test_without_an_interval_nothing_resets():
    assert not any(population("p", 2, reset_offset=1).resets_at(h) for h in range(50))


@pytest.mark.parametrize("bias_exp", [-31, -5, -1, 0, 1, 6, 15, 16, 31])
def test_biases_are_shifted_as_int16(bias_exp):
    edges = [0, 1, -1, 4095, -4096, 2**15 - 1, 2**15, -(2**15), -(2**15) - 1, 40_000, 2**31 - 1]
    p = population("p", len(edges), bias=edges, bias_exp=bias_exp)
    assert p.bias_shifted.dtype == np.int32
    assert p.bias_shifted.tolist() == bias_shifted(p).tolist()


def test_the_bias_of_a_dlif_is_no_int16():
    p = population("p", 1, kind="dlif", gain=[1], bias_exp=0, bias=40_000)
    assert p.bias_shifted.tolist() == [40_000]
