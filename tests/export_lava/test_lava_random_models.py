"""Users' models on Lava: random NIR files, quantised, equal on Lava in every u, v and spike."""

import numpy as np
import pytest
from oracles.random_nir import write_random_nir

from neurodeploy.errors import RangeError
from neurodeploy.export.lava import LavaRun, run_lava_batch
from neurodeploy.export.lava.verify import compare
from neurodeploy.pipeline.model import load_model, quantized
from neurodeploy.simulate import run_fixed

pytestmark = [pytest.mark.lava, pytest.mark.usefixtures("runtime")]


def check(tmp_path, seeds):
    runs, references = [], []
    for seed in seeds:
        model = load_model(write_random_nir(tmp_path / f"{seed}.nir", seed))
        try:
            net = quantized(model, "loihi2").require_fixed()
        except RangeError:
            continue
        codes = np.random.default_rng(seed).integers(0, net.encoder.max_code + 1, (2, net.n_input))
        timing = ("aligned", "lava")[seed % 2]
        runs.append(LavaRun(net, codes, timing=timing))
        references.append(run_fixed(net, codes, record=("u", "v", "spikes"), timing=timing))
    results = [compare(a, b) for a, b in zip(run_lava_batch(runs), references, strict=True)]
    assert [str(r.first) for r in results if r.mismatches] == []
    return len(results), sum(r.compared for r in results)


def test_random_models_are_equal_on_lava(tmp_path):
    models, compared = check(tmp_path, range(500, 508))
    assert models >= 5
    assert compared > 5_000


@pytest.mark.slow
def test_many_random_models_are_equal_on_lava(tmp_path):
    models, compared = check(tmp_path, range(600, 680))
    assert models >= 60
    assert compared > 100_000
