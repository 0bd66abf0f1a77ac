"""A model keeps what was assumed about its graph, and its runs list it."""

import numpy as np
from small_models import N_IN, write_model

import neurodeploy as nd


def test_traces_list_every_assumption(tmp_path):
    path = write_model(tmp_path / "net.nir", metadata=False)
    graph = nd.read(path, dt=1e-3, reset="value")
    traces = nd.run(graph, x=np.random.default_rng(0).random((5, 2, N_IN)))
    assumed = {
        name
        for finding in traces.meta["findings"]
        if finding["what"].endswith("is assumed")
        for name in finding["numbers"]
    }
    assert {"decay", "spikes", "input_gain", "recurrent_cut", "readout_node"} <= assumed
    assert not {"dt", "reset"} & assumed
    assert traces.meta["contract"]["decay"] == "euler"
    # A graph that was read before keeps its assumptions.
    assert nd.read(graph).findings == graph.findings


def test_a_full_contract_leaves_nothing_to_assume(tmp_path):
    graph = nd.read(write_model(tmp_path / "net.nir"))
    assert not [f for f in graph.findings if f.what.endswith("is assumed")]
