"""The exporter's gain forms: what the file then says without any metadata of ours."""

import numpy as np
import pytest
import torch
from oracles import literal_graph

from neurodeploy.errors import NeurodeployError
from neurodeploy.export.gain import portable_stimulus
from neurodeploy.export.nir import to_nir
from neurodeploy.graph import read
from neurodeploy.lowering import lower
from neurodeploy.neurons import DLIFCell, SpikingSequence
from neurodeploy.simulate import run_float

STEPS = 6


def model(seed, layers=2):
    torch.manual_seed(seed)
    sizes = [5, 9, 7, 4][: layers + 1]
    modules = []
    for n_in, n_out in zip(sizes, sizes[1:], strict=False):
        cell = DLIFCell(STEPS, retention=0.9)
        with torch.no_grad():
            cell.gain.copy_(torch.rand(STEPS) * 1.5 + 0.25)
        linear = torch.nn.Linear(n_in, n_out)
        with torch.no_grad():
            linear.weight.mul_(2.0)
        modules += [linear, cell]
    return SpikingSequence(*modules, torch.nn.Linear(sizes[-1], 3), steps=STEPS).double()


@pytest.mark.parametrize("form", ["bit-planes", "stimulus"])
def test_a_tool_without_gains_runs_the_file(tmp_path, form):
    net = model(1, layers=1 if form == "stimulus" else 2)
    sample = np.random.default_rng(0).random((4, 5))
    path = tmp_path / "net.nir"
    check, _ = to_nir(net, sample, path, dt=1e-3, gain_form=form, gain_bits=8)
    assert check.portable is not None
    assert check.mean_gain_error  # ignoring the gain would have cost something
    plain = tmp_path / "plain.nir"
    to_nir(net, sample, plain, dt=1e-3)
    exact = run_float(lower(read(plain).value).value, sample, record=("spikes",))
    # The literal interpreter, with every trace of metadata removed.
    graph = literal_graph.load(path)
    for node in graph.nodes.values():
        node.pop("metadata", None)
    stimulus = portable_stimulus(sample, path)
    run = literal_graph.run(graph, stimulus, {"dt": 1e-3})
    spiking = [p.name for p in lower(read(plain).value).value.populations if p.fires]
    assert len(spiking) == (1 if form == "stimulus" else 2)
    for name in spiking:
        new = [n for n in run.outputs if n == name or n.startswith(f"{name}")]
        assert new, name
        wanted = exact.records[f"{name}/spikes"]
        found = run.outputs[new[0]][..., : wanted.shape[-1]]
        share = (found != wanted).mean()
        # Eight bits of gain change next to nothing; the stimulus form is not rounded at all.
        assert share <= (0.01 if form == "bit-planes" else 0.0), name
        assert 0 < wanted.mean() < 1


def test_a_form_that_does_not_fit_is_refused_and_writes_nothing(tmp_path):
    sample = np.random.default_rng(0).random((4, 5))
    path = tmp_path / "net.nir"
    with pytest.raises(NeurodeployError, match="lif2"):
        to_nir(model(1), sample, path, dt=1e-3, gain_form="stimulus")
    with pytest.raises(NeurodeployError, match="wings"):
        to_nir(model(1), sample, path, dt=1e-3, gain_form="wings")
    assert list(tmp_path.iterdir()) == []
