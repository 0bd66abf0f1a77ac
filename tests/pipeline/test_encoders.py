"""Every encoder through the library: one network, the same spikes in float and in integers."""

import dataclasses

import nir
import numpy as np
import pytest
from small_models import N_IN, write_model

import neurodeploy as nd
from neurodeploy.errors import ContractError, InputError
from neurodeploy.network import (
    ConstantEncoder,
    EventsEncoder,
    EventStimuli,
    LatencyEncoder,
    RateEncoder,
    Samples,
    Stimuli,
    as_biases,
    fit_to_biases,
    load_network,
)
from neurodeploy.network.event_data import Events
from neurodeploy.pipeline.model import load_model, model_from_graph, quantized
from neurodeploy.pipeline.stimulus import stimulus_for
from neurodeploy.robustness import evaluate
from neurodeploy.robustness.held_images import require_held
from neurodeploy.simulate import run_fixed, run_float

ENCODERS = {
    "rate": ({"encoder": "rate", "encoder_seed": 3}, RateEncoder(seed=3)),
    "latency": ({"encoder": "latency"}, LatencyEncoder()),
    "events": ({"encoder": "events", "encoder_bits": 1}, EventsEncoder()),
    "payload": (
        {"encoder": "events", "encoder_high": 3.0, "encoder_bits": 2},
        EventsEncoder(ConstantEncoder(0.0, 3.0, 2)),
    ),
    "constant": ({}, ConstantEncoder()),
}
STEPS = 6


def images(n=5, seed=0):
    made = np.random.default_rng(seed).random((n, N_IN))
    made[0] = 0.0
    made[1] = 1.0
    return made


def events(n=5, seed=0):
    rng = np.random.default_rng(seed)
    offsets = np.arange(n + 1) * 30
    t, index = rng.integers(0, STEPS, 30 * n), rng.integers(0, N_IN, 30 * n)
    return EventStimuli(Events(t, index, None, offsets), None)


def data_for(name, n=5, seed=0):
    if name in ("events", "payload"):
        return events(n, seed)
    return Stimuli(images(n, seed), None, held=True)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model") / "net.nir")


@pytest.mark.parametrize("name", ENCODERS)
def test_both_networks_receive_what_the_encoder_makes(path, tmp_path, name):
    options, encoder = ENCODERS[name]
    model = quantized(
        model_from_graph(nd.read(path, **options), "m"), "loihi2", None, data_for(name)
    )
    model.require_fixed().save(tmp_path / "net.h5")
    loaded = load_model(tmp_path / "net.h5")
    assert load_network(tmp_path / "net.h5").encoder == encoder
    assert loaded.require_network().encoder == model.require_network().encoder == encoder
    stimuli = data_for(name, seed=1)
    in_float, _ = stimulus_for(loaded.require_network(), stimuli, "float")
    codes, _ = stimulus_for(loaded.require_fixed(), stimuli, "fixed")
    if stimuli.__class__ is Stimuli:
        expected = encoder.messages(encoder.levels.encode(stimuli.values), STEPS)
    else:
        expected = encoder.encode(stimuli.in_steps(N_IN, STEPS, None)[0].values)
    assert np.array_equal(codes, expected)
    seen = in_float if in_float.dtype.kind == "f" else encoder.decode(in_float)
    assert np.array_equal(seen, encoder.decode(codes))
    floats = run_float(loaded.require_network(), encoder.decode(codes))
    assert np.array_equal(floats.output, run_float(loaded.require_network(), codes).output)
    assert run_fixed(loaded.require_fixed(), codes, record=("spikes",)).records["lif1/spikes"].any()


def test_the_library_runs_images_under_every_encoder(path):
    given = images()
    for name in ("rate", "latency"):
        options, encoder = ENCODERS[name]
        graph = nd.read(path, **options)
        net, _ = nd.quantize(graph)
        for steps in (None, 1, 11):
            spikes = encoder.messages(encoder.levels.encode(given), steps or STEPS)
            for model in (graph, net):
                traces = nd.run(model, images=given, steps=steps)
                again = nd.run(model, x=spikes.astype(float))
                assert np.array_equal(traces.output, again.output)
                assert traces.meta["input_hash"] == again.meta["input_hash"]
        alone = nd.run(net, images=given[3:4])
        assert np.array_equal(alone.output, nd.run(net, images=given).output[:, 3:4])


def test_calibration_remembers_images_whatever_they_become(path):
    given = images()
    for name in ("rate", "latency", "constant"):
        graph = nd.read(path, **ENCODERS[name][0])
        held = Stimuli(given, None, held=True)
        net = quantized(model_from_graph(graph, "m"), "loihi2", None, held).require_fixed()
        assert net.calibration == Samples(given, np.zeros(5)).hashes(ConstantEncoder())
        assert all(s.message_bits == 0 for s in net.synapses) == (name != "constant")


@pytest.mark.parametrize("kind", ["count", "sum", "mean_v", "last_v", "max_v"])
def test_readouts_of_integers_under_every_encoder(path, kind):
    """A score is what the read-out's word says of the recorded integers."""
    node, window = "lif1" if kind == "count" else "readout", (2, 5)
    for name in ("rate", "latency", "payload"):
        options, _ = ENCODERS[name]
        words = {"readout_kind": kind, "readout_node": node, "readout_window": window}
        graph = nd.read(path, **options, **words)
        net = quantized(model_from_graph(graph, "m"), "loihi2").require_fixed()
        codes, _ = stimulus_for(net, data_for(name, seed=2), "fixed")
        traces = run_fixed(net, codes, record=("spikes", "v"))
        part = slice(*window)
        reader = net.readout.population
        v = traces.records[f"{reader}/v"].astype(np.int64)
        if kind == "count":
            expected = traces.records[f"{reader}/spikes"][part].astype(np.int64).sum(0)
        elif kind == "sum":
            # A membrane that forgets nothing holds the sum; a window is a difference of two.
            assert not net.population(reader).decay_v.any()
            expected = v[part][-1] - v[window[0] - 1]
        else:
            # A mean is kept as its sum: all have as many steps.
            found = {"mean_v": v[part].sum(0), "last_v": v[part][-1], "max_v": v[part].max(0)}
            expected = found[kind]
        assert np.array_equal(traces.scores(), expected), name


def test_gain_lines_do_not_join_spikes(path):
    from neurodeploy.pipeline.stimulus import widened

    graph = nd.read(path, encoder="rate")
    network = model_from_graph(graph, "m").require_network()
    graph = dataclasses.replace(graph, metadata={"neurodeploy_gain": {}})
    for stimuli in (Stimuli(images()[:, :9], None, held=True), events()):
        with pytest.raises(ContractError, match="gain is part of its stimulus"):
            widened(graph, network, stimuli)


def test_what_needs_held_images_says_so_before_any_work(path, tmp_path):
    samples = Samples(images(40), np.zeros(40))
    for name in ("rate", "latency", "events"):
        graph = nd.read(path, **ENCODERS[name][0])
        with pytest.raises(ContractError, match=f"encoder {name}: robustness is judged on images"):
            nd.deploy(graph, samples, out=tmp_path / "out")
        assert not (tmp_path / "out").exists()
        network = model_from_graph(graph, "m").require_network()
        with pytest.raises(ContractError, match="images that are held"):
            evaluate(network, network, np.zeros((4, N_IN), np.int32), np.zeros(4, int))
    require_held(model_from_graph(nd.read(path), "m").require_network())
    with pytest.raises(ContractError, match="images have no events"):
        nd.run(nd.read(path, **ENCODERS["events"][0]), images=images())
    with pytest.raises(InputError, match="nothing says how many steps|how many steps a sample"):
        network = dataclasses.replace(model_from_graph(graph, "m").require_network(), steps=None)
        rate = dataclasses.replace(network, encoder=RateEncoder())
        stimulus_for(rate, Stimuli(images(), None, held=True), "float")


def test_images_as_biases_from_quantising_to_the_file(path, tmp_path):
    given = images()
    net, findings = nd.quantize(nd.read(path, encoder_form="bias"))
    (said,) = [f for f in findings if "input as biases" in f.what]
    assert said.severity == "warning"
    net.save(tmp_path / "net.h5")
    again = load_network(tmp_path / "net.h5")
    assert again.encoder == ConstantEncoder(form="bias")
    assert fit_to_biases(again).value.populations[0].v_threshold.tolist() == (
        net.populations[0].v_threshold.tolist()
    )
    traces = nd.run(again, images=given)
    assert any("biases of the first layer" in f["what"] for f in traces.meta["findings"])
    single = run_fixed(as_biases(again, again.encoder.encode(given)[2]), np.zeros((1, N_IN), int))
    assert np.array_equal(single.output[:, 0], traces.output[:, 2])
    with pytest.raises(ContractError, match="held for a whole sample"):
        nd.run(again, x=np.zeros((STEPS, 1, N_IN)))


@pytest.mark.parametrize("low", [0.0, -1.0])
def test_an_old_file_that_says_events_is_what_it_was(path, tmp_path, low):
    """Versions before EventsEncoder wrote the word, and ran constant codes."""
    said = {"kind": "events", "low": low, "high": 1.0, "bits": 8}
    constant = model_from_graph(nd.read(path, encoder_low=low), "m")
    net = quantized(constant, "loihi2", None, Stimuli(images(), None, held=True)).require_fixed()
    graph = nir.read(path)
    graph.metadata["neurodeploy"]["encoder"] = said
    nir.write(tmp_path / "old.nir", graph)
    old = dataclasses.replace(
        net,
        contract={**net.contract, "encoder": said},
        nir_file=(tmp_path / "old.nir").read_bytes(),
    )
    old.save(tmp_path / "old.h5")
    model = load_model(tmp_path / "old.h5")
    assert model.require_network().encoder == model.require_fixed().encoder == net.encoder
    given = images(seed=4)
    assert np.array_equal(
        run_float(model.require_network(), net.encoder.encode(given)).output,
        run_float(constant.require_network(), net.encoder.encode(given)).output,
    )


def test_the_form_of_a_file_outlives_what_its_graph_says(path, tmp_path):
    graph = nir.read(path)
    graph.metadata["neurodeploy"]["encoder"]["form"] = "bias"
    nir.write(tmp_path / "bias.nir", graph)
    for form in ("graded", "bias"):
        net, _ = nd.quantize(nd.read(tmp_path / "bias.nir", encoder_form=form))
        net.save(tmp_path / "net.h5")
        assert load_model(tmp_path / "net.h5").require_network().encoder.levels.form == form
