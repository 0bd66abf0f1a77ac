"""Every way of choosing and repairing integers, on Lava: equal in every u, v and spike."""

import numpy as np
import pytest
from pipeline.repairable_graphs import samples_of, write_graph

from neurodeploy.export.lava import LavaRun, run_lava_batch
from neurodeploy.export.lava.verify import compare
from neurodeploy.network import network_hash
from neurodeploy.pipeline.fine_tuning import fine_tuned
from neurodeploy.pipeline.model import load_model, quantized
from neurodeploy.pipeline.settings import FineTuning
from neurodeploy.quantization import QuantizeConfig
from neurodeploy.simulate import run_fixed

pytestmark = [pytest.mark.lava, pytest.mark.slow, pytest.mark.usefixtures("runtime")]
CHOSEN = QuantizeConfig(weight_bits=4, scale="search", rounding="adaptive", bias="corrected")
BALANCED = QuantizeConfig(weight_bits=4, threshold="balanced")
TUNING = FineTuning("labels", epochs=3, penalty=0.3)


def test_chosen_and_repaired_integers_are_equal_on_lava(tmp_path):
    runs, references, moved = [], [], 0
    for kind in ("dlif", "conv", "cuba", "recurrent"):
        samples = samples_of(write_graph(tmp_path / "net.nir", kind))
        model = load_model(tmp_path / "net.nir")
        for config in (CHOSEN, BALANCED):
            made = quantized(model, "loihi2", config, samples)
            repaired = fine_tuned(made, samples, TUNING)
            nets = {network_hash(m.require_fixed()): m.require_fixed() for m in (made, repaired)}
            moved += len(nets) - 1
            for net in nets.values():
                images = np.asarray(samples.images)[:2].reshape(2, -1)
                codes = net.encoder.encode(images)
                runs.append(LavaRun(net, codes))
                references.append(run_fixed(net, codes, record=("u", "v", "spikes")))
    results = [compare(a, b) for a, b in zip(run_lava_batch(runs), references, strict=True)]
    assert [str(r.first) for r in results if r.mismatches] == []
    assert moved >= 4
    assert sum(r.compared for r in results) > 5_000
