import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurodeploy.errors import RangeError
from neurodeploy.network import V_MAX, FixedPopulation, has_start_v, start_v


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
    for _ in range(p.latency):
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
