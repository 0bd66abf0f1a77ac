"""The float simulator against a literal loop over samples, steps and neurons."""

from dataclasses import replace

import numpy as np
import pytest

from neurodeploy.errors import InputError, RangeError, ShapeError
from neurodeploy.network import (
    ALWAYS_ON,
    INPUT,
    ConstantEncoder,
    Network,
    Population,
    Readout,
    Synapse,
)
from neurodeploy.simulate import run_float

QUANTITIES = ("spikes", "v", "v_pre")


def random_network(rng, readout="sum", steps=9):
    def population(name, size, kind="lif", gain=None):
        return Population(
            name=name, nir_nodes=(name,), kind=kind, decay_v=rng.uniform(0, 1, size),
            input_gain=rng.uniform(0.2, 1.5, size), v_leak=rng.normal(0, 0.1, size),
            v_threshold=rng.uniform(0.2, 0.8, size), v_reset=rng.normal(0, 0.1, size),
            v_init=rng.normal(0, 0.2, size), bias=rng.normal(0, 0.2, size), gain=gain,
        )  # fmt: skip

    sizes = {INPUT: 6, ALWAYS_ON: 1, "a": 9, "b": 5, "o": 4}

    def synapse(name, source, target):
        weight = rng.normal(0.1, 0.8, (sizes[target], sizes[source]))
        weight[rng.random(weight.shape) < 0.2] = 0
        return Synapse.dense(name, source, target, weight)

    return Network(
        populations=(
            population("a", 9, gain=rng.uniform(0.5, 2, 4)),
            population("b", 5),
            population("o", 4, "li" if readout != "count" else "lif"),
        ),
        synapses=(
            synapse("s1", INPUT, "a"),
            synapse("s2", "a", "b"),
            synapse("s3", "a", "b"),
            synapse("s4", ALWAYS_ON, "b"),
            synapse("s5", "b", "o"),
        ),
        n_input=6,
        encoder=ConstantEncoder(low=-0.5, high=1.5, bits=5),
        readout=Readout("o", readout),
        steps=steps,
    )


def literal_run(net, codes, *, hardware=False):
    """One sample after the other, in Python floats; on hardware time if asked."""
    steps, batch, _ = codes.shape
    latency = {"a": 1, "b": 2, "o": 3}
    total = steps + (3 if hardware else 0)
    records = {
        f"{p.name}/{q}": np.zeros((total, batch, p.size))
        for p in net.populations
        for q in QUANTITIES
    }
    counts = {f"{p.name}/spikes": np.zeros(batch, int) for p in net.populations}
    counts |= {f"{s.name}/operations": np.zeros(batch, int) for s in net.synapses}
    for b in range(batch):
        v = {p.name: [float(x) for x in p.v_init] for p in net.populations}
        sent = {p.name: [0.0] * p.size for p in net.populations}
        sent[INPUT], sent[ALWAYS_ON] = [0.0] * net.n_input, [0.0]
        for h in range(1, total + 1):
            before = dict(sent)
            for p in net.populations:
                start = latency[p.name] if hardware else 0
                t = h - start  # the layer's own step, from 1
                source = before if hardware else sent
                if not hardware:
                    low, step = net.encoder.low, net.encoder.step
                    sent[INPUT] = [low + float(c) * step for c in codes[h - 1, b]]
                    sent[ALWAYS_ON] = [1.0]
                fired = []
                for i in range(p.size):
                    pre = v[p.name][i]
                    if t >= 1:
                        x = float(p.bias[i])
                        for s in net.synapses_into(p.name):
                            values = [1.0] if s.source == ALWAYS_ON else source[s.source]
                            x += sum(float(w) * z for w, z in zip(s.weight[i], values, strict=True))
                        gain = 1.0 if p.gain is None else float(p.gain[min(t, p.gain.size) - 1])
                        drive = float(p.input_gain[i]) * gain * x
                        pre = pre + float(p.decay_v[i]) * (float(p.v_leak[i]) - pre) + drive
                    s_i = t >= 1 and p.kind != "li" and pre > p.v_threshold[i]
                    after = float(p.v_reset[i]) if s_i else pre
                    v[p.name][i] = after
                    fired.append(float(s_i))
                    for q, value in (("spikes", s_i), ("v", after), ("v_pre", pre)):
                        records[f"{p.name}/{q}"][h - 1, b, i] = value
                sent[p.name] = fired
                counts[f"{p.name}/spikes"][b] += int(sum(fired))
            if hardware:
                low, step = net.encoder.low, net.encoder.step
                on = h <= steps
                sent[INPUT] = [low + float(c) * step for c in codes[h - 1, b]] if on else [0.0] * 6
            for s in net.synapses:
                values = sent[s.source]
                if s.source == ALWAYS_ON:
                    values = [float(not hardware or h >= latency[s.target])]
                counts[f"{s.name}/operations"][b] += sum(
                    int((s.weight[:, j] != 0).sum()) for j, z in enumerate(values) if z != 0
                )
    return records, counts


@pytest.mark.parametrize("timing", ["aligned", "lava"])
@pytest.mark.parametrize("readout", ["sum", "count"])
@pytest.mark.parametrize("seed", range(4))
def test_every_value_agrees_with_a_literal_loop(seed, readout, timing):
    rng = np.random.default_rng(seed)
    net = random_network(rng, readout)
    codes = rng.integers(0, 32, (net.steps, 3, 6))
    records, counts = literal_run(net, codes, hardware=timing == "lava")
    traces = run_float(net, codes, record=QUANTITIES, timing=timing)
    assert set(traces.records) == set(records)
    assert 0.02 < records["a/spikes"].mean() < 0.98
    for key, expected in records.items():
        if key.endswith("spikes"):
            np.testing.assert_array_equal(traces.records[key], expected, err_msg=key)
        else:
            np.testing.assert_allclose(traces.records[key], expected, atol=1e-12, err_msg=key)
    assert set(traces.counts) == set(counts)
    for key, expected in counts.items():
        np.testing.assert_array_equal(traces.counts[key], expected, err_msg=key)


def test_held_codes_are_codes_repeated_at_every_step():
    rng = np.random.default_rng(5)
    net = random_network(rng)
    codes = rng.integers(0, 32, (4, 6))
    for timing in ("aligned", "lava"):
        held = run_float(net, codes, record=QUANTITIES, timing=timing)
        repeated = run_float(
            net, np.repeat(codes[None], net.steps, axis=0), record=QUANTITIES, timing=timing
        )
        for key, values in held.records.items():
            np.testing.assert_array_equal(repeated.records[key], values)
        for key, values in held.counts.items():
            np.testing.assert_array_equal(repeated.counts[key], values)


def test_the_threshold_is_strict_and_reset_goes_to_v_reset():
    population = Population(
        name="n", nir_nodes=("n",), kind="lif", decay_v=np.array([0.0]), input_gain=1.0,
        v_leak=0.0, v_threshold=1.0, v_reset=0.25, v_init=0.0, bias=0.5,
    )  # fmt: skip
    net = Network((population,), (), 1, ConstantEncoder(), Readout("n", "count"), 5)
    records = run_float(net, np.array([[0]]), record=QUANTITIES).records
    assert records["n/v_pre"][:, 0, 0].tolist() == [0.5, 1.0, 1.5, 0.75, 1.25]
    assert records["n/spikes"][:, 0, 0].tolist() == [0, 0, 1, 0, 1]
    assert records["n/v"][:, 0, 0].tolist() == [0.5, 1.0, 0.25, 0.75, 0.25]


def test_float32_is_single_precision_throughout():
    rng = np.random.default_rng(1)
    net = random_network(rng)
    codes = rng.integers(0, 32, (4, 6))
    single = run_float(net, codes, record=QUANTITIES, dtype="float32")
    double = run_float(net, codes, record=QUANTITIES)
    assert single.records["o/v"].dtype == np.float32
    assert double.records["o/v"].dtype == np.float64
    first_step = single.records["a/v_pre"][0]
    np.testing.assert_allclose(first_step, double.records["a/v_pre"][0], rtol=1e-5)
    assert (first_step != double.records["a/v_pre"][0]).any()


def test_meta_and_scores():
    rng = np.random.default_rng(2)
    net = random_network(rng, "mean_v")
    codes = rng.integers(0, 32, (4, 6))
    traces = run_float(net, codes, record=("v",))
    assert traces.meta["backend"] == "float"
    assert traces.meta["populations"]["a"]["scale"] == 1.0
    np.testing.assert_allclose(traces.scores(), traces.records["o/v"].mean(axis=0))
    assert traces.counts.keys() == {
        "a/spikes", "b/spikes", "o/spikes",
        "s1/operations", "s2/operations", "s3/operations", "s4/operations", "s5/operations",
    }  # fmt: skip


def test_errors():
    rng = np.random.default_rng(3)
    net = random_network(rng)
    codes = np.zeros((2, 6), np.int32)
    with pytest.raises(InputError, match="timing"):
        run_float(net, codes, timing="hardware")
    with pytest.raises(InputError, match="dtype"):
        run_float(net, codes, dtype="float16")
    with pytest.raises(ShapeError, match="needs"):
        run_float(net, codes[:, :5])
    with pytest.raises(RangeError, match="leaves"):
        run_float(net, codes + 32)
    with pytest.raises(ShapeError, match="at least one"):
        run_float(replace(net, steps=0), codes)
