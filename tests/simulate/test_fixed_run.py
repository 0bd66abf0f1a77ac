"""What run_fixed takes and gives: shapes, threads, records, progress, meta."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.random_networks import random_codes, random_fixed_network

from neurodeploy.errors import RangeError, ShapeError
from neurodeploy.network import INPUT, FixedSynapse
from neurodeploy.simulate import fixed, input_hash, run_fixed

QUANTITIES = ("spikes", "u", "v", "v_pre")


def network_and_codes(seed, samples=7, **options):
    rng = np.random.default_rng(seed)
    net = random_fixed_network(rng, **options)
    return net, random_codes(rng, net, samples, held=False)


def assert_same(a, b):
    assert set(a.records) == set(b.records)
    for key in a.records:
        np.testing.assert_array_equal(a.records[key], b.records[key], err_msg=key)
    assert set(a.counts) == set(b.counts)
    for key in a.counts:
        np.testing.assert_array_equal(a.counts[key], b.counts[key], err_msg=key)
    np.testing.assert_array_equal(a.output, b.output)


@pytest.mark.parametrize("timing", ["aligned", "lava"])
@pytest.mark.parametrize("threads", [1, 2, 3, 16, None])
@pytest.mark.parametrize("block", [(2**18, 256), (1, 1), (300, 4)])
def test_threads_chunks_and_blocks_change_nothing(monkeypatch, timing, threads, block):
    net, codes = network_and_codes(5, extreme=True)
    expected = run_fixed(net, codes, record=QUANTITIES, timing=timing, threads=1)
    monkeypatch.setattr(fixed, "_BLOCK_VALUES", block[0])
    monkeypatch.setattr(fixed, "_BLOCK_STEPS", block[1])
    assert_same(run_fixed(net, codes, record=QUANTITIES, timing=timing, threads=threads), expected)


def test_small_blocks_agree_for_held_codes_too(monkeypatch):
    net, codes = network_and_codes(6)
    expected = run_fixed(net, codes[0], record=QUANTITIES, timing="lava", threads=1)
    monkeypatch.setattr(fixed, "_BLOCK_VALUES", 1)
    monkeypatch.setattr(fixed, "_BLOCK_STEPS", 3)
    assert_same(run_fixed(net, codes[0], record=QUANTITIES, timing="lava", threads=2), expected)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), sample=st.integers(0, 3))
def test_a_sample_does_not_depend_on_its_neighbours(seed, sample):
    net, codes = network_and_codes(seed, samples=4, layers=2)
    together = run_fixed(net, codes, record=QUANTITIES, threads=1)
    alone = run_fixed(net, codes[:, sample : sample + 1], record=QUANTITIES, threads=1)
    for key, values in alone.records.items():
        np.testing.assert_array_equal(together.records[key][:, sample : sample + 1], values)
    for key, values in alone.counts.items():
        np.testing.assert_array_equal(together.counts[key][sample : sample + 1], values)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), timing=st.sampled_from(["aligned", "lava"]))
def test_held_codes_are_codes_repeated_at_every_step(seed, timing):
    net, codes = network_and_codes(seed, samples=3, layers=2)
    repeated = np.repeat(codes[:1], net.steps, axis=0)
    assert_same(
        run_fixed(net, codes[0], record=QUANTITIES, timing=timing),
        run_fixed(net, repeated, record=QUANTITIES, timing=timing),
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int32, np.int64, np.uint64])
def test_every_integer_type_gives_the_same_run(dtype):
    net, codes = network_and_codes(2)
    codes = np.minimum(codes, min(net.encoder.max_code, 127))
    traces = run_fixed(net, codes.astype(dtype), record=QUANTITIES)
    assert_same(traces, run_fixed(net, codes, record=QUANTITIES))
    assert traces.meta["input_hash"] == input_hash(codes, net.encoder.max_code)


def test_codes_that_are_not_contiguous_give_the_same_run():
    net, codes = network_and_codes(3)
    other = np.ascontiguousarray(codes.transpose(2, 0, 1)).transpose(1, 2, 0)
    assert not other.flags.c_contiguous
    assert_same(run_fixed(net, other, record=QUANTITIES), run_fixed(net, codes, record=QUANTITIES))


def test_only_what_is_asked_for_is_recorded():
    net, codes = network_and_codes(4, layers=2)
    assert run_fixed(net, codes).records == {}
    records = run_fixed(net, codes, record=("spikes",)).records
    assert set(records) == {f"{p.name}/spikes" for p in net.populations}
    assert all(array.dtype == np.uint8 for array in records.values())
    full = run_fixed(net, codes, record=QUANTITIES)
    for quantity in QUANTITIES:
        for key, array in run_fixed(net, codes, record=quantity).records.items():
            np.testing.assert_array_equal(array, full.records[key])


@pytest.mark.parametrize("kind", ["count", "sum", "last_v", "max_v", "mean_v"])
def test_the_output_is_the_read_out_population(kind):
    net, codes = network_and_codes(8, readout=False)
    net = replace(net, readout=replace(net.readout, kind=kind))
    traces = run_fixed(net, codes, record=("spikes", "v"))
    quantity = "spikes" if kind == "count" else "v"
    np.testing.assert_array_equal(
        traces.output, traces.records[f"{net.readout.population}/{quantity}"]
    )
    assert traces.scores().shape == (codes.shape[1], net.populations[-1].size)


def test_lava_timing_scores_are_the_aligned_scores_of_a_sum():
    net, codes = network_and_codes(9, readout=True, layers=3)
    net = replace(net, readout=replace(net.readout, kind="sum"))
    lava, aligned = run_fixed(net, codes, timing="lava"), run_fixed(net, codes)
    assert lava.output.shape[0] == aligned.output.shape[0] + net.max_latency
    np.testing.assert_array_equal(lava.scores(), aligned.scores())


@pytest.mark.parametrize("threads", [1, 3])
def test_progress_is_reported_per_chunk_and_ends_at_the_batch(threads):
    net, codes = network_and_codes(1)
    calls = []
    run_fixed(net, codes, threads=threads, progress=lambda *call: calls.append(call))
    assert calls[-1] == (7, 7)
    assert [done for done, _ in calls] == sorted({done for done, _ in calls})


def test_an_error_in_the_progress_callback_reaches_the_caller():
    net, codes = network_and_codes(1)

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_fixed(net, codes, threads=3, progress=stop)


def test_meta_describes_the_run():
    net, codes = network_and_codes(7)
    meta = run_fixed(net, codes, timing="lava").meta
    assert meta["backend"] == "fixed"
    assert meta["timing"] == "lava"
    assert meta["steps"] == net.steps
    assert meta["readout"] == net.readout.as_dict()
    assert set(meta["populations"]) == {p.name for p in net.populations}
    first = net.populations[0]
    assert meta["populations"][first.name] == {
        "nir_nodes": list(first.nir_nodes),
        "kind": first.kind,
        "latency": 1,
        "scale": 1.0,
        "shape": [first.size],
        "origin": 0.0,
    }
    changed = codes.copy()
    changed[0, 0, 0] ^= 1
    assert meta["input_hash"] == run_fixed(net, codes).meta["input_hash"]
    assert meta["input_hash"] != run_fixed(net, changed).meta["input_hash"]


def test_meta_lists_origins_that_differ_and_keeps_shapes():
    net, codes = network_and_codes(7)
    first = net.populations[0]
    origin = np.arange(first.size) / 4
    changed = replace(first, origin=origin, shape=(1, first.size))
    net = replace(net, populations=(changed, *net.populations[1:]))
    described = run_fixed(net, codes).meta["populations"][first.name]
    assert described["origin"] == origin.tolist()
    assert described["shape"] == [1, first.size]


def test_held_codes_can_run_for_any_number_of_steps():
    net, codes = network_and_codes(3)
    long = run_fixed(net, codes[0], steps=3 * net.steps, record=QUANTITIES)
    short = run_fixed(net, codes[0], record=QUANTITIES)
    for key, values in short.records.items():
        np.testing.assert_array_equal(long.records[key][: net.steps], values)


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((0, 5), {}, "at least one sample"),
        ((0, 3, 5), {}, "at least one sample"),
        ((3, 0, 5), {}, "at least one sample"),
        ((2, 5), {"steps": 0}, "at least one sample and one step"),
        ((2, 4), {}, r"needs \[B, 5\]"),
        ((5,), {}, r"needs \[B, 5\]"),
        ((1, 1, 1, 5), {}, r"needs \[B, 5\]"),
        ((4, 2, 5), {"steps": 3}, "steps=3"),
    ],
)
def test_shapes_that_do_not_fit_are_named(shape, options, message):
    net, _ = network_and_codes(0, layers=1)
    net = replace(
        net,
        n_input=5,
        synapses=tuple(
            replace(s, weight=np.zeros((s.weight.shape[0], 5))) if s.source == INPUT else s
            for s in net.synapses
        ),
    )
    with pytest.raises(ShapeError, match=message):
        run_fixed(net, np.zeros(shape, np.int32), **options)


@pytest.mark.parametrize("value", [-1, 1000])
def test_codes_outside_the_encoder_are_refused(value):
    net, codes = network_and_codes(0)
    codes = codes.copy()
    codes[0, 0, 0] = value
    with pytest.raises(RangeError, match=r"leaves the encoder's 0\.\."):
        run_fixed(net, codes)


@pytest.mark.parametrize("dtype", [np.float64, object, complex])
def test_codes_that_are_no_integers_are_refused(dtype):
    net, codes = network_and_codes(0)
    with pytest.raises(RangeError, match="codes are integers"):
        run_fixed(net, codes.astype(dtype))


@pytest.mark.parametrize(
    ("field", "value"), [("decay_v", 4097), ("decay_v", -1), ("decay_u", 4096), ("decay_u", -2)]
)
def test_parameters_without_a_rule_are_refused(field, value):
    net, codes = network_and_codes(0, kind="lif")
    changed = replace(net.populations[0], **{field: np.full(net.populations[0].size, value)})
    net = replace(net, populations=(changed, *net.populations[1:]))
    with pytest.raises(RangeError, match=field):
        run_fixed(net, codes)


def test_a_skip_path_on_lavas_clock_is_the_logical_one_shifted():
    net, codes = network_and_codes(12, layers=2, readout=False)
    last = net.populations[-1]
    rng = np.random.default_rng(3)
    weight = rng.integers(-100, 100, (last.size, net.n_input)) * 2
    skip = FixedSynapse("skip", INPUT, last.name, weight, 0, "mixed", delay=3)
    net = replace(net, synapses=(*net.synapses, skip))
    aligned = run_fixed(net, codes, record=QUANTITIES)
    lava = run_fixed(net, codes, record=QUANTITIES, timing="lava")
    for key, values in aligned.records.items():
        latency = net.population(key.rsplit("/", 1)[0]).latency
        np.testing.assert_array_equal(lava.records[key][latency : latency + net.steps], values)


def test_lava_timing_refuses_a_population_without_a_start_state():
    net, codes = network_and_codes(13, layers=1, kind="lif", readout=False)
    changed = replace(net.populations[0], u_init=np.full(net.populations[0].size, 5))
    net = replace(net, populations=(changed,))
    with pytest.raises(RangeError, match="start state"):
        run_fixed(net, codes, timing="lava")
