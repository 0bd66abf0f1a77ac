"""Every encoder on Lava: spikes, payloads, and images as biases, equal in every integer."""

import dataclasses

import numpy as np
import pytest
from oracles.random_networks import random_fixed_network
from small_models import N_IN, write_model

import neurodeploy as nd
from neurodeploy.errors import RangeError
from neurodeploy.export.lava import LavaRun, run_lava_batch
from neurodeploy.export.lava.verify import compare
from neurodeploy.network import EventStimuli, Stimuli, as_biases, fit_to_biases
from neurodeploy.network.event_data import Events
from neurodeploy.network.start_state import start_v
from neurodeploy.pipeline.stimulus import stimulus_for
from neurodeploy.simulate import run_fixed

pytestmark = [pytest.mark.lava, pytest.mark.usefixtures("runtime")]


def images(n):
    made = np.random.default_rng(0).random((n, N_IN))
    made[0], made[1] = 0.0, 1.0
    return made


def test_spikes_and_payloads_are_equal_on_lava(tmp_path):
    path = write_model(tmp_path / "net.nir")
    rng = np.random.default_rng(1)
    events = EventStimuli(
        Events(rng.integers(0, 6, 90), rng.integers(0, N_IN, 90), None, np.array([0, 40, 40, 90])),
        None,
    )
    held = Stimuli(images(3), None, held=True)
    runs, references = [], []
    for words, stimuli in (
        ({"encoder": "rate", "encoder_seed": 4}, held),
        ({"encoder": "latency"}, held),
        ({"encoder": "events"}, events),
        ({"encoder": "events", "encoder_high": 3.0, "encoder_bits": 2}, events),
    ):
        net, _ = nd.quantize(nd.read(path, **words))
        codes, _ = stimulus_for(net, stimuli, "lava")
        runs.append(LavaRun(net, codes))
        references.append(run_fixed(net, codes, record=("u", "v", "spikes")))
        assert references[-1].records["lif1/spikes"].any()
    results = [compare(a, b) for a, b in zip(run_lava_batch(runs), references, strict=True)]
    assert [r.mismatches for r in results] == [0, 0, 0, 0]
    assert sum(r.compared for r in results) > 2000


def test_images_as_biases_are_equal_to_graded_messages_on_lava(tmp_path):
    path = write_model(tmp_path / "net.nir")
    net, findings = nd.quantize(nd.read(path, encoder_form="bias"))
    assert any("input as biases" in f.what for f in findings)
    codes = net.encoder.encode(images(4))
    reference = run_fixed(net, codes, record=("v", "spikes"))
    # The image is gone from the run: zeros enter, the biases hold it.
    runs = [LavaRun(as_biases(net, image), np.zeros((1, N_IN), np.int32)) for image in codes]
    for i, found in enumerate(run_lava_batch(runs)):
        for key in ("lif1/spikes", "lif1/v", "readout/v"):
            assert np.array_equal(found.records[key][:, 0], reference.records[key][:, i]), key
    assert reference.records["lif1/spikes"].any()


@pytest.mark.slow
def test_random_networks_hold_images_as_biases_on_lava():
    """LIF and DLIF, subtractive and refractory: what starts on Lava is equal there."""
    runs, references = [], []
    for seed in range(16):
        net = random_fixed_network(np.random.default_rng(seed), steps=6, layers=2)
        populations = tuple(
            dataclasses.replace(p, decay_u=np.full(p.size, 4095, np.int32)) for p in net.populations
        )
        try:
            net, _ = fit_to_biases(dataclasses.replace(net, populations=populations))
            codes = np.random.default_rng(seed).integers(
                0, net.encoder.max_code + 1, (2, net.n_input), dtype=np.int32
            )
            graded = run_fixed(net, codes, record=("v", "spikes"))
            for i, image in enumerate(codes):
                single = as_biases(net, image)
                for p in single.populations:
                    start_v(p)
                runs.append(LavaRun(single, np.zeros((1, net.n_input), np.int32)))
                references.append((graded, i))
        except RangeError:  # an exponent below the register, or no start
            continue
    assert len(runs) > 12
    for found, (graded, i) in zip(run_lava_batch(runs), references, strict=True):
        for key, records in graded.records.items():
            assert np.array_equal(found.records[key][:, 0], records[:, i]), key
