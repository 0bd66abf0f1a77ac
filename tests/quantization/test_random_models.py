"""Random NIR files all the way to integers: exact, legal and startable, or a clear refusal."""

import numpy as np
import pytest
from oracles.literal_fixed import run_aligned, run_hardware
from oracles.random_nir import write_random_nir

from neurodeploy.errors import RangeError
from neurodeploy.network import ALWAYS_ON, Samples, check_legality, has_start_v
from neurodeploy.pipeline.model import load_model, quantized
from neurodeploy.simulate import run_fixed, run_float

QUANTITIES = ("spikes", "u", "v", "v_pre")


def draw(path, seed):
    """Return the model of ``seed`` with its integers, or None where it is refused, and codes."""
    model = load_model(write_random_nir(path / "net.nir", seed))
    network, rng = model.require_network(), np.random.default_rng(seed)
    encoder = network.encoder

    def images(n):
        return encoder.low + (encoder.high - encoder.low) * rng.random((n, network.n_input))

    calibration = Samples(images(24), np.zeros(24)) if seed % 4 else None
    codes = encoder.encode(images(4))
    codes[0], codes[1] = encoder.max_code, 0
    try:
        return quantized(model, "loihi2", None, calibration), codes
    except RangeError:
        return None, codes


def check(tmp_path, seeds):
    ran, lines, agreements = 0, 0, []
    for seed in seeds:
        model, codes = draw(tmp_path, seed)
        if model is None:
            continue
        ran += 1
        net = model.require_fixed()
        assert not check_legality(net), seed
        assert all(has_start_v(p) for p in net.populations), seed
        lines += any(s.source == ALWAYS_ON for s in net.synapses)
        for timing, oracle in (("aligned", run_aligned), ("lava", run_hardware)):
            expected = oracle(net, codes)
            traces = run_fixed(net, codes, record=QUANTITIES, timing=timing, threads=1)
            for key, values in expected.records.items():
                np.testing.assert_array_equal(traces.records[key], values, err_msg=f"{seed} {key}")
        before = run_float(model.require_network(), codes, record=("spikes",)).records
        after = run_fixed(net, codes, record=("spikes",), threads=1).records
        agreements += [float((before[key] == after[key]).mean()) for key in before]
    return ran, lines, agreements


def test_random_models_are_exact_or_refused(tmp_path):
    ran, lines, agreements = check(tmp_path, range(40))
    assert ran >= 30
    assert lines >= 5
    assert np.mean(agreements) > 0.97


@pytest.mark.slow
def test_many_random_models_are_exact_or_refused(tmp_path):
    ran, lines, agreements = check(tmp_path, range(1000, 1400))
    assert ran >= 320
    assert lines >= 50
    assert np.mean(agreements) > 0.97
