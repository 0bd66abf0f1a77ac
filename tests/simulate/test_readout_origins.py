"""Membranes with different resets, read as scores: what v leaves out is added, everywhere alike."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from export_lava.conftest import runtime  # noqa: F401
from oracles.enumerate_inputs import all_points

from neurodeploy import hardware_profiles
from neurodeploy.errors import FileFormatError, RangeError, ShapeError
from neurodeploy.network import (
    INPUT,
    ConstantEncoder,
    Network,
    Population,
    Readout,
    Synapse,
    Traces,
    decide,
    integers_hash,
    load_network,
    read_out,
)
from neurodeploy.quantization import quantize
from neurodeploy.robustness.certificates import certify, certify_deviation
from neurodeploy.robustness.explanation import explain
from neurodeploy.robustness.faults.lossy_runs import run_lossy_fixed
from neurodeploy.simulate import FixedGradient, run_fixed, run_float
from neurodeploy.simulate.fixed_torch import run_torch
from neurodeploy.simulate.weight_gradient import WeightGradient

CHIP = hardware_profiles.load("loihi2")
READOUTS = (
    ("last_v", None), ("mean_v", None), ("max_v", None), ("mean_v", (1, 4)), ("max_v", (2, 5)),
    ("last_v", (0, 3)),
)  # fmt: skip
STEPS, N_INPUT, CLASSES = 6, 3, 4


def made(seed, kind, window=None, gain=0.6):
    """A float network whose classes reset to different membranes, and its integers."""
    rng = np.random.default_rng(seed)
    shared = {"v_init": 0.0, "bias": 0.0, "input_gain": 1.0}
    hidden = Population(
        "hidden", ("hidden",), "lif", decay_v=rng.uniform(0.1, 0.4, 5), v_leak=0.0,
        v_threshold=1.0, v_reset=0.0, **shared,
    )  # fmt: skip
    v_reset = rng.uniform(-2.0, 0.8, CLASSES)
    out = Population(
        "out", ("out",), "lif", decay_v=rng.uniform(0.1, 0.3, CLASSES), v_leak=v_reset,
        v_threshold=1.0, v_reset=v_reset, **{**shared, "v_init": v_reset},
    )  # fmt: skip
    network = Network(
        (hidden, out),
        (
            Synapse.dense("in", INPUT, "hidden", rng.normal(0.3, 0.4, (5, N_INPUT))),
            Synapse.dense("next", "hidden", "out", rng.normal(0.0, gain, (CLASSES, 5))),
        ),
        N_INPUT,
        ConstantEncoder(high=1.0, bits=4),
        Readout("out", kind, window),
        STEPS,
    )
    codes = rng.integers(0, 16, (64, N_INPUT))
    return network, quantize(network, CHIP, calibration=codes).value, codes.astype(np.int32)


def counted(net, v, kind, window):
    """Scores in exact integers: v of each step and class, and what its reset counts."""
    home = net.population("out")
    added = [round(float(o) * float(home.scale)) for o in home.origin]
    start, stop = window or (0, STEPS)
    scores = np.zeros(v.shape[1:], np.int64)
    for b, c in np.ndindex(scores.shape):
        seen = [int(v[t, b, c]) + added[c] for t in range(start, stop)]
        scores[b, c] = {"last_v": seen[-1], "mean_v": sum(seen), "max_v": max(seen)}[kind]
    return scores


@pytest.mark.parametrize(("kind", "window"), READOUTS)
def test_every_engine_counts_the_same_scores(kind, window):
    network, net, codes = made(3, kind, window)
    run = run_fixed(net, codes, record=("spikes", "v"))
    assert run.records["out/spikes"].any()
    scores = run.scores()
    np.testing.assert_array_equal(scores, counted(net, run.records["out/v"], kind, window))
    np.testing.assert_array_equal(run_torch(net, codes).scores(), scores)
    nothing = {p.name: np.zeros((STEPS, len(codes), p.size), bool) for p in net.populations}
    np.testing.assert_array_equal(run_lossy_fixed(net, codes, nothing).scores(), scores)
    start, stop = window or (0, STEPS)
    unit = net.population("out").scale * (stop - start if kind == "mean_v" else 1)
    given = torch.from_numpy(codes.astype(np.float64)).requires_grad_()
    logits = FixedGradient(net).scores(given)
    np.testing.assert_array_equal(logits.detach().numpy(), scores / unit)
    np.testing.assert_array_equal(WeightGradient(net).run(codes).scores.numpy(), scores / unit)
    # They are the float network's, but for rounding; v alone is far from it.
    exact = run_float(network, codes).scores()
    assert np.median(np.abs(scores / unit - exact)) < 0.02
    bare = read_out(run.output, kind, window)
    assert np.median(np.abs(bare / unit - exact)) > 0.2
    own, without = (decide(s) == decide(exact) for s in (scores, bare))
    assert own.mean() > 0.9 > without.mean() + 0.2


@pytest.mark.parametrize("kind", ["last_v", "mean_v", "max_v"])
def test_gradients_do_not_hang_on_the_offset(kind):
    """A constant: the slope of each score is that of v alone."""
    _, net, codes = made(4, kind)
    home = net.population("out")
    level = replace(home, origin=np.zeros(CLASSES))
    flat = replace(net, populations=(net.population("hidden"), level))
    slopes = []
    for one in (net, flat):
        given = torch.from_numpy(codes.astype(np.float64)).requires_grad_()
        (FixedGradient(one).scores(given) ** 1).sum().backward()
        slopes.append(given.grad.numpy())
    assert slopes[0].any()
    np.testing.assert_array_equal(*slopes)


@pytest.mark.parametrize("kind", ["last_v", "mean_v", "max_v"])
def test_certificates_are_about_the_scores_with_offsets(kind):
    """Against every point of each ball; some are proven for a class that v alone would not say."""
    proven = turned = 0
    for seed, gain in ((10, 0.1), (11, 0.6)):
        _, net, codes = made(seed, kind, gain=gain)
        samples = codes[:8]
        run = run_fixed(net, samples)
        labels = np.maximum(decide(run.scores()), 0)
        found = {m: certify(net, samples, labels, 1, method=m).certified
                 for m in ("interval", "refined")}  # fmt: skip
        for b, sample in enumerate(samples):
            points = all_points(np.maximum(sample - 1, 0), np.minimum(sample + 1, 15))
            right = (decide(run_fixed(net, points).scores()) == labels[b]).all()
            for mask in found.values():
                assert right or not mask[b]
        proven += found["refined"].sum()
        turned += (found["refined"] & (decide(read_out(run.output, kind)) != labels)).sum()
    assert proven > 5
    assert turned > 0


@pytest.mark.parametrize("kind", ["last_v", "mean_v", "max_v"])
def test_deviation_and_explanation_mean_the_same_decisions(kind):
    network, net, codes = made(5, kind)
    result = certify_deviation(network, net, codes)
    decided = decide(run_fixed(net, codes).scores())
    np.testing.assert_array_equal(result.fixed, decided)
    assert result.equal.mean() > 0.8
    float_ones = decide(run_float(network, codes).scores())
    turned = np.flatnonzero(float_ones != decided)
    for sample in itertools.chain(turned[:3], [0]):
        found = explain(network, net, codes[sample])
        assert (found.decision_float, found.decision_fixed) == (float_ones[sample], decided[sample])


def test_rounded_to_the_nearest_unit_and_only_where_it_tells():
    _, net, _ = made(6, "last_v")
    home = net.population("out")
    half = replace(home, origin=np.array([0.0, 0.5, 1.5, -2.5]) / home.scale)
    hidden = net.population("hidden")
    rounded = replace(net, populations=(hidden, half))
    np.testing.assert_array_equal(rounded.score_offset, [0, 0, 2, -2])
    same = replace(net, populations=(hidden, replace(home, origin=np.full(CLASSES, 0.3))))
    counts = replace(net, readout=Readout("out", "count"))
    for other in (same, counts):
        assert not other.score_offset.any()
        assert "offset" not in run_fixed(other, np.zeros((1, N_INPUT), np.int32)).meta["readout"]
    assert integers_hash(same) != integers_hash(net) != integers_hash(rounded)
    for far in (np.inf, 1e30):
        lost = replace(home, origin=np.array([0.0, far, 0.0, 0.0]))
        with pytest.raises(RangeError, match="do not fit a score"):
            run_fixed(replace(net, populations=(hidden, lost)), np.zeros((1, N_INPUT), np.int32))


def test_files_keep_what_the_scores_count(tmp_path):
    _, net, codes = made(7, "max_v")
    net.save(tmp_path / "n.h5")
    run = run_fixed(load_network(tmp_path / "n.h5"), codes)
    np.testing.assert_array_equal(run.scores(), run_fixed(net, codes).scores())
    for name in ("t.npz", "t.h5"):
        run.save(tmp_path / name)
        np.testing.assert_array_equal(Traces.load(tmp_path / name).scores(), run.scores())
    for wrong, error in (("12", FileFormatError), ([0.5] * 4, FileFormatError),
                         ([2**70] * 4, FileFormatError), ([1, 2], ShapeError)):  # fmt: skip
        meta = {**run.meta, "readout": {**run.meta["readout"], "offset": wrong}}
        replace(run, meta=meta).save(tmp_path / "w.npz")
        with pytest.raises(error, match="offsets"):
            Traces.load(tmp_path / "w.npz").scores()


@pytest.mark.slow
@pytest.mark.lava
@pytest.mark.usefixtures("runtime")
def test_lava_decides_alike():
    from neurodeploy.export.lava import LavaRun, run_lava_batch

    cases = [made(20 + n, kind) for n, kind in enumerate(("last_v", "mean_v", "max_v"))]
    runs = [LavaRun(net, codes[:8]) for _, net, codes in cases]
    for (_, net, codes), lava in zip(cases, run_lava_batch(runs), strict=True):
        scores = run_fixed(net, codes[:8]).scores()
        np.testing.assert_array_equal(lava.scores(), scores)
        assert (decide(scores) != decide(read_out(lava.output, net.readout.kind))).any()
