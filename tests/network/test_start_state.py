import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurodeploy.errors import RangeError
from neurodeploy.network import V_MAX, FixedPopulation, has_start_v, start_v, with_start_v


def population(decay_v, bias, bias_exp=0, v_threshold=2**17 - 1, v_init=0, latency=1, **more):
    n = np.asarray(decay_v).size
    return FixedPopulation(
        name="p", nir_nodes=("p",), kind=more.pop("kind", "lif"), decay_u=np.full(n, 4095),
        decay_v=np.asarray(decay_v), bias=np.asarray(bias), bias_exp=bias_exp,
        v_threshold=np.full(n, v_threshold), u_init=np.zeros(n), v_init=np.full(n, v_init),
        latency=latency, scale=64.0, **more,
    )  # fmt: skip


def forward(v, p):
    """Bias-only steps by Python integers, written from the specification."""
    states = []
    for h in range(1, p.latency + 1):
        if p.reset_interval and h % p.reset_interval == p.reset_offset % p.reset_interval:
            v = [0] * len(v)
        new = []
        for x, k, b in zip(v, p.decay_v.tolist(), p.bias_shifted.tolist(), strict=True):
            product = x * (4096 - k)
            decayed = (abs(product) >> 12) * (1 if product >= 0 else -1)
            new.append(decayed + b)
        v = new
        states.append(v)
    return states


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 4095), st.integers(-4096, 4095)), min_size=1, max_size=5),
    st.integers(0, 7),
    st.integers(1, 4),
    st.integers(-(2**20), 2**20),
)
def test_stepping_the_start_state_forward_ends_at_v_init(neurons, bias_exp, latency, v_init):
    decay, bias = zip(*neurons, strict=True)
    p = population(decay, bias, bias_exp, v_init=v_init, latency=latency)
    if not has_start_v(p):
        with pytest.raises(RangeError, match="no\n? ?start"):
            start_v(p)
        return
    start = start_v(p).tolist()
    assert max(abs(x) for x in start) <= V_MAX
    states = forward(start, p)
    assert states[-1] == [v_init] * len(start)
    assert all(x <= (2**17 - 1) << 6 for state in states for x in state)


def test_a_zero_bias_starts_at_zero():
    assert start_v(population([41] * 3, [0] * 3, latency=3)).tolist() == [0, 0, 0]


def test_a_negative_bias_beyond_the_threshold_has_no_start_in_the_second_layer():
    # One step before its own first step the membrane would have to stand above the threshold.
    p = population([41], [-2000], bias_exp=3, v_threshold=100, latency=2)
    assert not has_start_v(p)
    assert has_start_v(population([41], [-2000], bias_exp=3, v_threshold=100, latency=1))


def test_full_decay_with_bias_has_no_start():
    assert not has_start_v(population([4096], [5]))
    assert has_start_v(population([4096], [5], v_init=5))


def test_a_dlif_waits_and_starts_at_v_init():
    p = population([41], [500], kind="dlif", gain=np.array([128]), v_init=7, latency=2)
    assert start_v(p).tolist() == [7]


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 4095), st.integers(-4096, 4095)), min_size=1, max_size=5),
    st.integers(1, 9),
    st.integers(1, 6),
    st.integers(0, 9),
    st.booleans(),
)
def test_periodic_resets_on_the_way_are_stepped_through(neurons, latency, interval, offset, end):
    decay, bias = zip(*neurons, strict=True)
    resets = {"reset_interval": interval, "reset_offset": offset}
    p = population(decay, bias, latency=latency, **resets)
    # From 0 each neuron ends somewhere; half of the time that is what is wanted.
    ends = forward([0] * len(decay), p)[-1] if end else [0] * len(decay)
    p = dataclasses.replace(p, v_init=np.array(ends))
    states = forward([0] * len(decay), p)
    if end and any(p.resets_at(h) for h in range(1, latency + 1)):
        below = np.max(states, axis=0) <= (2**17 - 1) << 6
        assert with_start_v(p)[below].all()
    if has_start_v(p):
        assert forward(start_v(p).tolist(), p)[-1] == ends


def test_after_a_reset_on_the_way_only_one_end_can_be_reached():
    # Hardware step 2 resets; the last bias-only step is 3: 0 + 5 + 5.
    resets = {"reset_interval": 2, "reset_offset": 0, "latency": 3}
    assert has_start_v(population([0], [5], v_init=10, **resets))
    assert not has_start_v(population([0], [5], v_init=9, **resets))
    assert not has_start_v(population([0], [5], v_init=0, **resets))


@pytest.mark.parametrize("fields", [{"reset": "subtract"}, {"refractory_steps": 2}])
def test_extended_neurons_wait_and_start_at_v_init(fields):
    p = population([41], [500], v_init=7, latency=2, reset_interval=2, **fields)
    assert start_v(p).tolist() == [7]
    assert with_start_v(p).tolist() == [True]


def test_a_current_on_the_way_has_no_start_state_unless_it_is_forgotten_at_once():
    kept = dataclasses.replace(population([41], [0]), u_init=np.array([64]), decay_u=np.array([9]))
    assert not has_start_v(kept)
    assert has_start_v(dataclasses.replace(kept, decay_u=np.array([4095])))
    assert has_start_v(dataclasses.replace(kept, latency=0))
