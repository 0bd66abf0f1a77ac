"""A model keeps what was assumed about its graph, and its runs list it."""

import hashlib

import numpy as np
import pytest
import torch
from small_models import N_IN, write_model

import neurodeploy as nd
from neurodeploy.errors import InputError


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
    assert traces.meta["model"] == {"nir_sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    # A graph that was read before keeps its assumptions.
    assert nd.read(graph).findings == graph.findings


def test_a_full_contract_leaves_nothing_to_assume(tmp_path):
    graph = nd.read(write_model(tmp_path / "net.nir"))
    assert not [f for f in graph.findings if f.what.endswith("is assumed")]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.int8])
def test_every_real_torch_type_runs(tmp_path, dtype):
    graph = nd.read(write_model(tmp_path / "net.nir"))
    x = torch.randint(0, 2, (5, 2, N_IN), generator=torch.Generator().manual_seed(0))
    expected = nd.run(graph, x=x.numpy()).output
    assert (nd.run(graph, x=x.to(dtype)).output == expected).all()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"x": "abc"}, "needs real numbers"),
        ({"x": np.ones((5, 2, N_IN), complex)}, "hold complex128; needs real numbers"),
        ({"x": torch.ones(5, 2, N_IN, dtype=torch.complex64)}, "needs real numbers"),
        ({"x": [[[1, 2], [3]]]}, "cannot be made an array"),
        ({"images": np.ones((2, N_IN)), "steps": 2.5}, "steps: 2.5; needs a whole number"),
        ({"images": np.ones((2, N_IN)), "steps": "4"}, "steps: '4'; needs a whole number"),
    ],
)
def test_inputs_of_other_kinds_are_named(tmp_path, words, message):
    graph = nd.read(write_model(tmp_path / "net.nir"))
    with pytest.raises(InputError, match=message):
        nd.run(graph, **words)


def test_float32_is_for_float_alone(tmp_path):
    graph = nd.read(write_model(tmp_path / "net.nir"))
    x = np.random.default_rng(0).random((5, 2, N_IN))
    traces = nd.run(graph, x=x, dtype="float32", record=("v",))
    assert traces.meta["dtype"] == "float32"
    assert traces.records["lif1/v"].dtype == np.float32
    net, _ = nd.quantize(graph)
    fixed = nd.run(net, x=np.round(x))
    assert set(fixed.meta["model"]) == {"nir_sha256", "network_hash"}
    with pytest.raises(InputError, match="integers"):
        nd.run(net, x=np.round(x), dtype="float32")


def test_a_portable_gain_runs_on_the_stimulus_it_was_made_for(tmp_path):
    from neurodeploy.neurons import DLIFCell, SpikingSequence

    torch.manual_seed(3)
    cells = [DLIFCell(4, retention=0.9), DLIFCell(4, retention=0.9)]
    with torch.no_grad():
        for cell in cells:
            cell.gain.copy_(torch.tensor([0.5, 1.75, 1.0, 0.25]))  # exact in 8 bits
    model = SpikingSequence(
        torch.nn.Linear(5, 8), cells[0], torch.nn.Linear(8, 6), cells[1], steps=4
    ).double()
    images = np.random.default_rng(0).random((6, 5)) * 4
    nd.to_nir(model, images, tmp_path / "plain.nir", dt=1e-3)
    nd.to_nir(model, images, tmp_path / "wide.nir", dt=1e-3, gain_form="bit-planes")
    x = np.repeat(images[None], 4, axis=0)
    plain = nd.run(nd.read(tmp_path / "plain.nir"), x=x)
    wide = nd.run(nd.read(tmp_path / "wide.nir"), x=x)
    assert plain.scores().sum() > 0
    np.testing.assert_array_equal(plain.scores(), wide.scores()[:, :6])
