"""Mutations: a file or a model that is wrong in any one place is refused."""

import dataclasses

import nir
import numpy as np
import pytest
import torch

import neurodeploy.export.nir.settle as settling
from neurodeploy.errors import ExportRefusedError, UnsupportedNodeError
from neurodeploy.export.nir import check_export, to_nir
from neurodeploy.network import ConstantEncoder
from neurodeploy.neurons import DLIFCell, LIFCell, SpikingSequence
from neurodeploy.neurons.norse_parts import LIFBoxCell, LIFBoxParameters

# isort: split
from norse.torch.functional.lif_box import lif_box_feed_forward_step

DT = 1e-3
CODES = np.random.default_rng(0).integers(0, 256, (60, 8)).astype(np.int32)


def build():
    generator = torch.Generator().manual_seed(0)
    model = SpikingSequence(
        torch.nn.Linear(8, 12),
        LIFCell(0.9, 1.0, -0.25),
        torch.nn.Linear(12, 10),
        DLIFCell(6, 0.95, 0.8),
        torch.nn.Linear(10, 4),
        steps=6,
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_((torch.rand(parameter.shape, generator=generator) - 0.4) * 1.5)
        model[3].gain.copy_(torch.tensor([0.5, 2.0, 1.0, 0.7, 1.4, 0.9]))
    return model


def check(model, path):
    return check_export(model, CODES, path, steps=6, encoder=ConstantEncoder())


@pytest.fixture
def exported(tmp_path):
    path = tmp_path / "net.nir"
    to_nir(build(), CODES, path, dt=DT)
    check(build(), path)
    return path


def scale(node, field, factor):
    setattr(node, field, getattr(node, field) * factor)


MUTATIONS = {
    "tau times dt, as Norse 1.1": lambda g: scale(g.nodes["lif1"], "tau", DT),
    "tau 2 % off": lambda g: scale(g.nodes["lif1"], "tau", 1.02),
    "r lost": lambda g: setattr(g.nodes["lif2"], "r", np.ones(10)),
    "v_reset lost": lambda g: setattr(g.nodes["lif1"], "v_reset", np.zeros(12)),
    "threshold 1 % off": lambda g: scale(g.nodes["lif2"], "v_threshold", 1.01),
    "gain lost": lambda g: setattr(g.nodes["lif2"], "metadata", {}),
    "gain shifted by a step": lambda g: (
        g.nodes["lif2"]
        .metadata["dlif_gain"]
        .update(values=np.roll(g.nodes["lif2"].metadata["dlif_gain"]["values"], 1))
    ),
    "one weight": lambda g: g.nodes["affine2"].weight.__setitem__((3, 4), 1.0),
    "bias lost": lambda g: setattr(g.nodes["affine1"], "bias", np.zeros(12)),
    "read-out weight": lambda g: g.nodes["readout"].weight.__setitem__((0, 0), 1.0),
    "read-out bias": lambda g: g.nodes["readout"].bias.__setitem__(0, 1.0),
    "read-out rounded to float32": lambda g: scale(g.nodes["readout"], "bias", 1 + 1e-7),
    "dt": lambda g: g.metadata["neurodeploy"].update(dt=2 * DT),
    "steps": lambda g: g.metadata["neurodeploy"].update(steps=7),
    "input range": lambda g: g.metadata["neurodeploy"]["encoder"].update(high=2.0),
    "input width": lambda g: g.metadata["neurodeploy"]["encoder"].update(bits=9),
    "unknown contract": lambda g: g.metadata["neurodeploy"].update(reset="subtract"),
    "no dt": lambda g: g.metadata["neurodeploy"].pop("dt"),
}


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_tampered_file_is_refused(mutation, exported, tmp_path):
    graph = nir.read(exported)
    MUTATIONS[mutation](graph)
    tampered = tmp_path / "tampered.nir"
    nir.write(tampered, graph)
    with pytest.raises(ExportRefusedError, match=r"tampered.nir: refused"):
        check(build(), tampered)


def test_an_untouched_copy_is_accepted(exported, tmp_path):
    """The mutations above are found for what they change, not for the rewriting."""
    graph = nir.read(exported)
    nir.write(tmp_path / "copy.nir", graph)
    found = check(build(), tmp_path / "copy.nir")
    assert found == check(build(), exported)


def test_another_model_is_refused(exported):
    model = build()
    with torch.no_grad():
        model[0].weight[2, 3] += 0.5
    with pytest.raises(ExportRefusedError, match=r"lif1: \d+ of 4320 spikes differ, first at step"):
        check(model, exported)
    shallow = SpikingSequence(*list(build())[:2], torch.nn.Linear(12, 4), steps=6)
    with pytest.raises(ExportRefusedError, match="2 spiking layers, the model 1"):
        check(shallow, exported)


def spoil(monkeypatch, **changes):
    """Make the exporter misread every cell, as another tool's exporter does."""
    honest = settling.read_neuron

    def misread(*arguments):
        neuron = honest(*arguments)
        spoilt = {name: change(neuron.parameters[name]) for name, change in changes.items()}
        return dataclasses.replace(neuron, parameters={**neuron.parameters, **spoilt})

    monkeypatch.setattr(settling, "read_neuron", misread)


@pytest.mark.parametrize(
    "changes",
    [
        {"tau": lambda tau: tau * DT},
        {"v_reset": np.zeros_like},
        {"v_threshold": lambda theta: theta * 1.01},
    ],
)
def test_a_wrong_exporter_writes_no_file(changes, monkeypatch, tmp_path):
    spoil(monkeypatch, **changes)
    with pytest.raises(ExportRefusedError, match=r"net.nir: refused"):
        to_nir(build(), CODES, tmp_path / "net.nir", dt=DT)
    assert list(tmp_path.iterdir()) == []


def test_a_refused_export_keeps_the_earlier_file(monkeypatch, exported):
    before = exported.read_bytes()
    spoil(monkeypatch, tau=lambda tau: tau * DT)
    with pytest.raises(ExportRefusedError):
        to_nir(build(), CODES, exported, dt=DT)
    assert exported.read_bytes() == before
    assert [path.name for path in exported.parent.iterdir()] == [exported.name]


def test_a_hook_is_followed_like_any_code(tmp_path):
    """It runs outside the module's own rule, so it is exported, or refused by name."""
    model = build()
    model[0].register_forward_hook(lambda module, inputs, output: output + 0.05)
    to_nir(model, CODES, tmp_path / "shift.nir", dt=DT)
    graph = nir.read(tmp_path / "shift.nir")
    plain = build()
    to_nir(plain, CODES, tmp_path / "plain.nir", dt=DT)
    assert set(graph.nodes) - set(nir.read(tmp_path / "plain.nir").nodes)
    model[0].register_forward_hook(lambda module, inputs, output: output.abs())
    with pytest.raises(UnsupportedNodeError, match=r"model.*: abs cannot be written to NIR"):
        to_nir(model, CODES, tmp_path / "net.nir", dt=DT)
    assert not (tmp_path / "net.nir").exists()


def test_a_cell_that_does_more_than_its_parameters_say_is_refused(tmp_path):
    """The cell's class is known, its activation is not Norse's own: only the run can tell."""
    cell = LIFBoxCell(LIFBoxParameters())
    cell.activation = lambda x, state, p, dt: lif_box_feed_forward_step(1.1 * x, state, p, dt)
    model = torch.nn.Sequential(build()[0], cell, torch.nn.Linear(12, 4))
    with pytest.raises(ExportRefusedError, match="does not reproduce the model in float64"):
        to_nir(model, 40 * CODES / 255, tmp_path / "net.nir", steps=6)
    assert list(tmp_path.iterdir()) == []


def tie_model(small):
    """One neuron with input current 1 + small, summed from two weights; threshold 1."""
    linear, readout = torch.nn.Linear(2, 1), torch.nn.Linear(1, 2)
    with torch.no_grad():
        linear.weight.copy_(torch.tensor([[1.0, small]]))
        linear.bias.zero_()
    return SpikingSequence(linear, LIFCell(0.5), readout, steps=1)


def test_float32_flips_are_counted_with_their_margin(tmp_path):
    sample = np.full((3, 2), 255)
    sample[1] = 0
    found, findings = to_nir(tie_model(2.0**-30), sample, tmp_path / "net.nir", dt=DT)
    assert (found.mismatches, found.float32_flips) == (0, 2)
    assert found.first_flip_margin == pytest.approx(2.0**-30, rel=1e-6)
    assert any("differ in float32" in finding.what for finding in findings)


def test_float32_flips_far_from_the_threshold_are_refused(tmp_path):
    """1 + 2e8 - 2e8 is 1 - but 0 in float32: no rounding error of a sound network."""
    linear, readout = torch.nn.Linear(3, 1), torch.nn.Linear(1, 2)
    with torch.no_grad():
        linear.weight.copy_(torch.tensor([[2.0e8, 1.5, -2.0e8]]))
        linear.bias.zero_()
    model = SpikingSequence(linear, LIFCell(0.5), readout, steps=1)
    with pytest.raises(ExportRefusedError, match="float32 and float64 disagree"):
        to_nir(model, np.full((1, 3), 255), tmp_path / "net.nir", dt=DT)
    assert list(tmp_path.iterdir()) == []
