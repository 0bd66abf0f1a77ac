"""Float networks of every kind against a literal loop over samples, steps and neurons."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from oracles import literal_float
from oracles.random_float_networks import random_network

from neurodeploy.errors import InputError, RangeError, ShapeError
from neurodeploy.network import (
    INPUT,
    ConstantEncoder,
    Dense,
    Network,
    Population,
    Readout,
    Synapse,
    stateless,
)
from neurodeploy.simulate import run_float

QUANTITIES = ("spikes", "u", "v", "v_pre", "y")


def lif(name, size, **changes):
    """A perfect integrator with threshold 1."""
    numbers = {
        "decay_v": np.zeros(size), "input_gain": 1.0, "v_leak": 0.0, "v_threshold": 1.0,
        "v_reset": 0.0, "v_init": 0.0, "bias": 0.0, "kind": "lif",
    }  # fmt: skip
    return Population(name=name, nir_nodes=(name,), **(numbers | changes))


def one(population, *synapses, readout=None, steps=None, n_input=1):
    """A network whose read-out is ``population``, driven by the input one to one."""
    drive = Synapse("in", INPUT, population.name, ())
    kind = readout or ("count" if population.kind == "lif" else "last_v")
    return Network(
        (population,), (drive, *synapses), n_input, ConstantEncoder(),
        Readout(population.name, kind), steps,
    )  # fmt: skip


def check_seeds(seeds, *, exact, dtype=np.float64):
    """Compare random networks with the oracle, in blocks of random size; return what occurred."""
    seen = set()
    for seed in seeds:
        rng = np.random.default_rng(seed)
        net = random_network(rng, exact=exact)
        shape = (int(rng.integers(1, 6)), int(rng.integers(1, 4)), 12)
        codes = rng.integers(0, 4, shape)
        memory = int(2 ** rng.integers(1, 20))
        expected, counts = literal_float.run(net, net.encoder.decode(codes), dtype)
        traces = run_float(
            net, codes, record=QUANTITIES, dtype=np.dtype(dtype).name, memory_bytes=memory
        )
        never_rounds = exact
        if exact and any((traces.records[k] != rows).any() for k, rows in expected.items()):
            # About one in 2000 outgrows 53 bits. More bits than that tell them apart.
            longer, _ = literal_float.run(net, net.encoder.decode(codes), np.longdouble)
            never_rounds = all((longer[k] == rows).all() for k, rows in expected.items())
            seen.add("rounded")
        for key, values in expected.items():
            got, where = traces.records[key], f"seed {seed}: {key}"
            if never_rounds or (dtype == np.float64 and key.endswith("spikes")):
                np.testing.assert_array_equal(got, values, err_msg=where)
            elif dtype == np.float64:
                np.testing.assert_allclose(got, values, rtol=1e-9, atol=1e-9, err_msg=where)
            if key.endswith("spikes"):
                seen.add("fires" if values.any() else "silent")
        if exact or dtype == np.float64:
            for key, count in counts.items():
                np.testing.assert_array_equal(traces.counts[key], count, err_msg=str(seed))
        for p in net.populations:
            seen |= {p.kind, p.spikes, "current" if p.decay_u is not None else "direct"}
            seen |= {p.reset} if p.kind == "lif" else set()
        for s in net.synapses:
            seen |= {type(o).__name__ for o in s.operators} or {"identity"}
            seen |= {"late"} if s.late else {"silent"} if s.silent_first else set()
            seen |= {"long"} if s.delay_steps > 1 else set()
        seen.add("blocks" if memory < 2**10 else "at once")
    return seen


EVERYTHING = {
    "lif", "li", "threshold", "relay", "delay", "single", "multiple", "current", "direct", "value",
    "subtract", "subtract-late", "subtract-once", "Dense", "Sparse", "long", "Scale", "Convolution", "Pool",
    "identity", "late", "silent", "fires", "blocks", "at once",
}  # fmt: skip


def test_networks_without_rounding_agree_to_the_last_bit():
    seen = check_seeds(range(80), exact=True)
    assert seen >= EVERYTHING
    assert "rounded" not in seen


def test_networks_of_real_numbers_agree():
    assert check_seeds(range(1000, 1080), exact=False) >= EVERYTHING


@pytest.mark.slow
@pytest.mark.parametrize("exact", [True, False])
def test_many_networks_agree(exact):
    check_seeds(range(30_000, 33_000), exact=exact)


def test_float32_rounds_every_operation_to_single_precision():
    # Without operators that sum, one order of additions is all there is: equal to the last bit.
    for seed in range(40):
        rng = np.random.default_rng(seed)
        net = random_network(rng, populations=1, feedback=False)
        p = replace(net.populations[0], shape=())
        if p.kind in ("lif", "li"):
            p = replace(p, spikes="single")
        net = one(p, readout=net.readout.kind, n_input=p.size)
        values = rng.normal(size=(5, 2, p.size))
        expected, _ = literal_float.run(net, values, np.float32)
        traces = run_float(net, values, record=QUANTITIES, dtype="float32")
        for key, rows in expected.items():
            np.testing.assert_array_equal(traces.records[key], rows, err_msg=f"{seed} {key}")


@pytest.mark.parametrize("shape", [(1, 1), (1, 3), (4, 1), (70, 2)])
@pytest.mark.parametrize("reset", ["value", "subtract", "subtract-late", "subtract-once"])
def test_extreme_numbers(reset, shape):
    # Huge and tiny values, thresholds of zero, below zero and without end, a gain shorter than T.
    rng = np.random.default_rng(3)
    p = lif(
        "p", 6, reset=reset, decay_v=rng.uniform(0, 1, 6), v_min=-1e12,
        v_threshold=[0.0, -0.5, np.inf, 1e-300, 1e9, 1.0], gain=[1.5, 0.5],
        v_reset=-0.25, v_leak=1e6, bias=rng.normal(size=6),
    )  # fmt: skip
    net = one(p, n_input=6)
    values = rng.normal(size=(*shape, 6)) * 10.0 ** rng.integers(-12, 12, (*shape, 6))
    expected, counts = literal_float.run(net, values)
    traces = run_float(net, values, record=QUANTITIES)
    assert not np.isnan(traces.records["p/v"]).any()
    for key, rows in expected.items():
        np.testing.assert_array_equal(traces.records[key], rows, err_msg=key)
    np.testing.assert_array_equal(traces.counts["p/spikes"], counts["p/spikes"])


@pytest.mark.parametrize(
    ("reset", "spikes", "v_pre", "v"),
    [
        # A perfect integrator with threshold 1 and input 1.5, 0, 0.25, 2.5, by hand.
        ("value", [1, 0, 0, 1], [1.5, 0, 0.25, 2.75], [0, 0, 0.25, 0]),
        ("subtract", [1, 0, 0, 1], [1.5, 0.5, 0.75, 3.25], [0.5, 0.5, 0.75, 2.25]),
        ("subtract-late", [1, 0, 0, 1], [1.5, 0.5, 0.75, 3.25], [1.5, 0.5, 0.75, 3.25]),
        ("subtract-once", [1, 0, 0, 1], [1.5, 0.5, 0.75, 3.25], [0.5, 0.5, 0.75, 2.25]),
    ],
)
def test_resets_by_hand(reset, spikes, v_pre, v):
    net = one(lif("p", 1, reset=reset))
    records = run_float(
        net, np.array([1.5, 0, 0.25, 2.5])[:, None, None], record=QUANTITIES
    ).records
    assert records["p/spikes"].ravel().tolist() == spikes
    assert records["p/v_pre"].ravel().tolist() == v_pre
    assert records["p/v"].ravel().tolist() == v


def test_subtract_once_decides_on_a_lowered_membrane_only():
    # 2.5: spike, 1.5 left, above the threshold. 0: decided on 0.5, no spike, 1.5 stays. 0.75:
    # decided on 1.25, a spike, 1.25 stays.
    net = one(lif("p", 1, reset="subtract-once"))
    records = run_float(net, np.array([2.5, 0, 0.75])[:, None, None], record=QUANTITIES).records
    assert records["p/spikes"].ravel().tolist() == [1, 0, 1]
    assert records["p/v_pre"].ravel().tolist() == [2.5, 0.5, 1.25]
    assert records["p/v"].ravel().tolist() == [1.5, 1.5, 1.25]


def test_several_spikes_per_step():
    net = one(lif("p", 1, reset="subtract", spikes="multiple", v_threshold=0.5))
    traces = run_float(net, np.array([1.75, -3.0, 2.0])[:, None, None], record=QUANTITIES)
    assert traces.records["p/spikes"].dtype == np.int32
    assert traces.records["p/spikes"].ravel().tolist() == [3, 0, 0]
    assert traces.records["p/v"].ravel().tolist() == [0.25, -2.75, -0.75]
    assert traces.counts["p/spikes"].tolist() == [3]
    assert traces.scores().tolist() == [[3]]


def test_late_and_silent_connections_by_hand():
    # The input counts 1, 2, 3; the relay feeds itself through an affine map of bias 10.
    def records(silent_first):
        relay = stateless("r", "relay", [0.0])
        affine = (Dense("w", [[1.0]], [10.0]),)
        back = Synapse("back", "r", "r", affine, delay_steps=1, silent_first=silent_first)
        net = one(relay, back, readout="last_v")
        values = np.array([1.0, 2.0, 3.0])[:, None, None]
        return run_float(net, values, record=("y",)).records

    plain, silent = records(False), records(True)
    assert plain["r/y"].ravel().tolist() == [11, 23, 36]
    assert silent["r/y"].ravel().tolist() == [1, 13, 26]


def test_linear_nodes_are_recorded_on_their_own_time():
    p = lif("p", 2, decay_v=np.full(2, 0.25))
    w = np.array([[1.0, 2.0], [-1.0, 0.5]])
    chain = (Dense("first", w, [0.5, 0.25]), Dense("second", 2 * np.eye(2)))
    relay = stateless("sum:late", "relay", [0.0, 0.0])
    synapses = (
        Synapse("in", INPUT, "p", ()),
        Synapse("a", "p", "sum:late", chain, delay_steps=1, silent_first=True),
        Synapse("b", INPUT, "sum:late", ()),
        Synapse("c", "sum:late", "p", (Dense("third", w),)),
    )
    net = Network((relay, p), synapses, 2, ConstantEncoder(), Readout("p", "count"), None)
    values = np.random.default_rng(0).normal(1, 1, (6, 3, 2))
    for memory in (1, 2**24):
        records = run_float(net, values, record=("y", "spikes"), memory_bytes=memory).records
        assert 0 < records["p/spikes"].mean() < 1
        first = records["p/spikes"] @ w.T + [0.5, 0.25]
        np.testing.assert_allclose(records["first/y"], first)
        np.testing.assert_allclose(records["second/y"], 2 * first)
        np.testing.assert_allclose(records["third/y"], (2 * first + values) @ w.T)
        shifted = np.concatenate([np.zeros((1, 3, 2)), 2 * first[:-1]])
        np.testing.assert_allclose(records["sum:late/y"], shifted + values)


def test_held_values_are_values_repeated_and_codes_are_decoded():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        net = random_network(rng, exact=True)
        codes = rng.integers(0, 4, (3, 12))
        values = net.encoder.decode(codes)
        runs = [
            run_float(net, codes, record=QUANTITIES, steps=5),
            run_float(net, values, record=QUANTITIES, steps=5, memory_bytes=2000),
            run_float(net, np.repeat(values[None], 5, axis=0), record=QUANTITIES),
        ]
        for other in runs[1:]:
            assert other.records.keys() == runs[0].records.keys()
            for key, rows in runs[0].records.items():
                np.testing.assert_array_equal(other.records[key], rows)
            for key, count in runs[0].counts.items():
                np.testing.assert_array_equal(other.counts[key], count)
            np.testing.assert_array_equal(other.output, runs[0].output)


def test_what_is_held_is_counted_at_every_step():
    relay = stateless("r", "relay", [0.0, 1.0, 0.0])
    gate = stateless("g", "threshold", [0.0, 0.0, -1.0], v_threshold=0.5)
    synapses = (
        Synapse("a", INPUT, "r", ()),
        Synapse("b", "r", "g", (Dense("n", [[1.0, 0, 0], [0, 2, 3], [0, 0, 1]]),)),
        Synapse("c", "g", "r", (Dense("m", np.ones((3, 3))),), delay_steps=1),
    )
    net = Network((relay, gate), synapses[:2], 3, ConstantEncoder(), Readout("g", "count"), 4)
    counts = run_float(net, np.array([[1.0, 0, 0], [1, 0, 2]])).counts
    assert counts["g/spikes"].tolist() == [8, 12]  # r sends 1 1 0 and 1 1 2
    assert counts["b/operations"].tolist() == [8, 16]
    assert run_float(net, np.array([[1.0, 0, 0]])).scores().tolist() == [[4, 4, 0]]
    # Late: what g sent in the last step arrives nowhere.
    net = replace(net, populations=(gate, relay), synapses=(
        Synapse("d", INPUT, "g", ()), replace(synapses[2], source="g", target="r"),
    ))  # fmt: skip
    assert run_float(net, np.array([[1.0, 0, 0]])).counts["c/operations"].tolist() == [9]


def test_a_long_chain_of_populations_and_a_long_cycle():
    # 3000 relays in a row, and the same closed to a ring by one late connection.
    count = 3000
    relays = tuple(stateless(f"r{i}", "relay", [0.0]) for i in range(count))
    ends = [INPUT, *(p.name for p in relays)]
    synapses = [Synapse(f"s{i}", a, b, ()) for i, (a, b) in enumerate(pairwise(ends))]
    readout = Readout(f"r{count - 1}", "last_v")
    net = Network(relays, tuple(synapses), 1, ConstantEncoder(), readout, 3)
    assert run_float(net, np.array([[2.0]])).output.ravel().tolist() == [2, 2, 2]
    ring = replace(net, synapses=(*synapses, Synapse("back", ends[-1], "r0", (), delay_steps=1)))
    assert run_float(ring, np.array([[2.0]])).output.ravel().tolist() == [2, 4, 6]


def test_blocks_of_steps_carry_all_states():
    # Delays and gains reach over several blocks.
    for seed in range(12):
        net = random_network(np.random.default_rng(seed), exact=True, populations=6)
        net = replace(net, populations=tuple(replace(p, spikes="single") for p in net.populations))
        codes = np.random.default_rng(seed).integers(0, 4, (12, 2, 12))
        whole = run_float(net, codes, record=QUANTITIES, memory_bytes=2**30)
        steps = run_float(net, codes, record=QUANTITIES, memory_bytes=1)
        for key, rows in whole.records.items():
            np.testing.assert_allclose(steps.records[key], rows, err_msg=key)
        for key, count in whole.counts.items():
            np.testing.assert_array_equal(steps.counts[key], count, err_msg=key)


def test_meta_names_shapes_and_input():
    net = random_network(np.random.default_rng(0))
    values = np.random.default_rng(1).normal(size=(2, 3, 12))
    meta = run_float(net, values).meta
    assert [e["shape"] for e in meta["populations"].values()] == [
        list(p.shape) for p in net.populations
    ]
    assert meta["input_hash"] == run_float(net, values.copy()).meta["input_hash"]
    assert meta["input_hash"] != run_float(net, values + 1).meta["input_hash"]


def test_lava_timing_of_chains_and_what_has_none():
    # A relay and a scaled identity take a hardware step each, like any population.
    relay, p = stateless("r", "relay", [0.5]), lif("p", 1, v_init=0.25, v_threshold=10.0)
    synapses = (Synapse("a", INPUT, "r", (Dense("n", [[2.0]]),)), Synapse("b", "r", "p", ()))
    net = Network((relay, p), synapses, 1, ConstantEncoder(), Readout("p", "last_v"), 2)
    traces = run_float(net, np.array([[1.0]]), record=("v", "y"), timing="lava")
    assert traces.records["r/y"].ravel().tolist() == [0, 2.5, 2.5, 0.5]
    assert traces.records["p/v"].ravel().tolist() == [0.25, 0.25, 2.75, 5.25]
    assert traces.counts["a/operations"].tolist() == [2]
    back = replace(net, synapses=(*synapses, Synapse("back", "p", "r", (), delay_steps=1)))
    with pytest.raises(InputError, match=r"synapse back \(p -> r\) is delayed or feedback"):
        run_float(back, np.array([[1.0]]), timing="lava")
    line = stateless("r", "delay", [0.5], delay_steps=1)
    with pytest.raises(InputError, match="population r is a delay"):
        run_float(replace(net, populations=(line, p)), np.array([[1.0]]), timing="lava")


def test_errors_name_what_is_wrong():
    net = one(lif("p", 1))
    with pytest.raises(InputError, match=r"steps.*give steps"):
        run_float(net, np.array([[1.0]]))
    with pytest.raises(RangeError, match=r"nan at index \[1, 0, 0\]"):
        run_float(net, np.array([1.0, np.nan])[:, None, None])
    with pytest.raises(RangeError, match="dtype complex128"):
        run_float(net, np.ones((2, 1, 1), complex))
    with pytest.raises(ShapeError, match="leave steps out"):
        run_float(net, np.ones((2, 1, 1)), steps=3)
    with pytest.raises(InputError, match="memory_bytes"):
        run_float(net, np.ones((2, 1, 1)), memory_bytes=0)
    with pytest.raises(InputError, match="device: 'abacus' cannot be used"):
        run_float(net, np.ones((2, 1, 1)), device="abacus")
    with pytest.raises(InputError, match=r"population p.*neuron 0 has zero"):
        run_float(one(lif("p", 1, v_threshold=0.0, spikes="multiple")), np.ones((2, 1, 1)))
    with pytest.raises(InputError, match="subtract-once"):
        run_float(one(lif("p", 1, reset="subtract-once", spikes="multiple")), np.ones((2, 1, 1)))
    with pytest.raises(RangeError, match="do not fit 32 bits"):
        run_float(one(lif("p", 1, spikes="multiple")), np.full((2, 1, 1), 1e12), record=("spikes",))


@pytest.mark.parametrize("memory", [1, 2**24])
@pytest.mark.parametrize("late", [False, True])
def test_a_delay_may_be_far_longer_than_a_run_and_costs_nothing(memory, late):
    """Its zeros are not stored: 2**31 - 1 steps of them would fill any machine."""
    steps = np.array([1, 3, 7, 2**31 - 1], np.int32)
    delay = stateless("d", "delay", np.full(4, 0.5), delay_steps=steps)
    loop = (Synapse("back", "d", "d", (Dense("w", np.diag([2.0, 3.0, 5.0, 7.0])),), delay_steps=0),)
    net = one(delay, *(loop if late else ()), readout="last_v", n_input=4)
    reader = stateless("r", "relay", np.zeros(4))
    net = replace(
        net, populations=(delay, reader), synapses=(*net.synapses, Synapse("o", "d", "r", ())),
        readout=Readout("r", "last_v"),
    )  # fmt: skip
    x = np.random.default_rng(0).integers(-9, 9, (10, 2, 4)).astype(float)
    sent = np.zeros_like(x)
    for t in range(10):
        for k, d in enumerate(steps):
            if t >= d:
                factor = [2.0, 3.0, 5.0, 7.0][k] if late else 0.0
                sent[t, :, k] = x[t - d, :, k] + 0.5 + factor * sent[t - d, :, k]
    traces = run_float(net, x, record=("y",), memory_bytes=memory)
    assert (traces.records["d/y"] == sent).all()
    assert not traces.records["d/y"][:, :, 3].any()
