"""The NIR exporter: what it writes, proven by a literal interpreter of the file written here."""

import nir
import numpy as np
import pytest
import torch

from neurodeploy.errors import (
    ContractError,
    RangeError,
    ShapeError,
    UnsupportedNodeError,
)
from neurodeploy.export.nir import check_export, to_nir
from neurodeploy.graph import read
from neurodeploy.network import ConstantEncoder
from neurodeploy.neurons import DLIFCell, LIFCell, SpikingSequence
from neurodeploy.neurons.norse_parts import LIFBoxCell, LIFBoxParameters, SequentialState

DT = 1e-3
STEPS = 6


def linear(n_in, n_out, seed, scale=1.5, bias=True):
    layer = torch.nn.Linear(n_in, n_out, bias=bias)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.copy_((torch.rand(parameter.shape, generator=generator) - 0.4) * scale)
    return layer


def codes(seed=0, shape=(40, 8)):
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.int32)


def dlif(size_seed, **parameters):
    cell = DLIFCell(STEPS, **parameters)
    with torch.no_grad():
        cell.gain.copy_(0.3 + 2 * torch.rand(STEPS, generator=torch.Generator().manual_seed(1)))
    return cell


def per_neuron(size, seed, low, high):
    return np.random.default_rng(seed).uniform(low, high, size)


def sequence(*cells):
    modules, width = [], 8
    for index, cell in enumerate(cells):
        modules += [linear(width, 12, index), cell]
        width = 12
    return SpikingSequence(*modules, linear(width, 5, 99), steps=STEPS)


def norse_cell(dt=DT, **parameters):
    tensors = {k: torch.as_tensor(v) if k != "reset_method" else v for k, v in parameters.items()}
    return LIFBoxCell(LIFBoxParameters(**tensors), dt=dt)


def shared(cell):
    """One cell object at two places: it has no state of its own, so Norse allows that."""
    return SequentialState(linear(8, 12, 0, 9.0), cell, linear(12, 12, 1, 9.0), cell)


MODELS = {
    "lif": lambda: sequence(LIFCell(), LIFCell()),
    "v_reset": lambda: sequence(LIFCell(0.8, 0.6, -0.25), LIFCell(0.9, 1.0, 0.5)),
    "per_neuron": lambda: sequence(
        LIFCell(per_neuron(12, 0, 0.0, 0.99), per_neuron(12, 1, 0.3, 2), per_neuron(12, 2, -1, 0.2))
    ),
    "no_memory": lambda: sequence(LIFCell(0.0, 0.5)),
    "dlif": lambda: sequence(dlif(0), dlif(1)),
    "mixed": lambda: sequence(LIFCell(), dlif(0, retention=0.7, v_threshold=0.8, v_reset=-0.1)),
    "dlif_per_neuron": lambda: sequence(dlif(0, retention=per_neuron(12, 3, 0.1, 0.99))),
    "norse": lambda: SequentialState(
        linear(8, 12, 0, 9.0), norse_cell(), linear(12, 12, 1, 9.0), norse_cell(), linear(12, 5, 2)
    ),
    "norse_in_torch_sequential": lambda: torch.nn.Sequential(
        torch.nn.Sequential(linear(8, 12, 0, 9.0, bias=False), norse_cell(v_reset=-0.25)),
        linear(12, 5, 2),
    ),
    "norse_per_neuron": lambda: torch.nn.Sequential(
        linear(8, 12, 0, 9.0),
        norse_cell(
            tau_mem_inv=per_neuron(12, 4, 50, 900),
            v_th=per_neuron(12, 5, 0.3, 2),
            v_reset=per_neuron(12, 6, -1, 0.2),
        ),
        linear(12, 5, 2),
    ),
    "norse_leak": lambda: SequentialState(
        linear(8, 12, 0, 5.0), norse_cell(v_leak=0.375, v_reset=-0.125, dt=2e-3), linear(12, 5, 2)
    ),
    "norse_shared_cell": lambda: shared(norse_cell()),
    "spiking_readout": lambda: SpikingSequence(
        linear(8, 12, 0), LIFCell(), linear(12, 5, 1), LIFCell(), steps=STEPS
    ),
    "two_linears": lambda: SpikingSequence(
        linear(8, 10, 0), linear(10, 12, 3, 0.4), dlif(0), linear(12, 5, 1), steps=STEPS
    ),
    "dlif_first": lambda: SpikingSequence(dlif(0), linear(8, 5, 1), steps=STEPS),
    "dlif_after_lif": lambda: SpikingSequence(
        linear(8, 12, 0), LIFCell(), dlif(0, v_threshold=0.7), linear(12, 5, 1), steps=STEPS
    ),
}


def steps_of(name):
    return None if isinstance(MODELS[name](), SpikingSequence) else STEPS


def dt_of(name):
    return None if name.startswith("norse") else DT


def run_file(path, values, steps):
    """Run a sequential NIR file literally: one sample, one neuron, one step at a time."""
    graph = nir.read(path)
    after = dict(graph.edges)
    dt = graph.metadata["neurodeploy"]["dt"]
    spikes, order, name = {}, [], after["input"]
    while name != "output":
        order.append(name)
        name = after[name]
    scores = np.zeros((len(values), graph.nodes["output"].output_type["output"][0]))
    for name in order:
        if isinstance(graph.nodes[name], nir.LIF):
            spikes[name] = np.zeros((steps, len(values), graph.nodes[name].tau.size), bool)
    for sample, value in enumerate(values):
        v = {name: np.zeros(graph.nodes[name].tau.size) for name in spikes}
        for t in range(steps):
            x = value
            for name in order:
                node = graph.nodes[name]
                if isinstance(node, nir.Affine):
                    x = node.weight @ x + node.bias
                    continue
                gain = node.metadata.get("dlif_gain", {"values": np.ones(1)})["values"]
                out = np.zeros(node.tau.size)
                for n in range(node.tau.size):
                    drive = gain[min(t, len(gain) - 1)] * x[n]
                    leak = node.v_leak[n] - v[name][n] + node.r[n] * drive
                    v[name][n] += dt / node.tau[n] * leak
                    if v[name][n] > node.v_threshold[n]:
                        out[n] = 1
                        v[name][n] = node.v_reset[n]
                spikes[name][t, sample] = x = out
            scores[sample] += x
    return spikes, scores


def flat(module):
    if not isinstance(module, torch.nn.Sequential):
        return [module]
    return [leaf for index in range(len(module)) for leaf in flat(module[index])]


def run_model(model, values, steps):
    """Run the modules themselves in float64, one step at a time."""
    leaves = flat(model.double())
    states, spikes, total = (
        [None] * len(leaves),
        [[] for m in leaves if not isinstance(m, torch.nn.Linear)],
        0,
    )
    for leaf in leaves:
        if isinstance(leaf, LIFBoxCell):
            leaf.p = leaf.p._replace(
                **{
                    k: v.double()
                    for k, v in leaf.p._asdict().items()
                    if isinstance(v, torch.Tensor)
                }
            )
    with torch.no_grad():
        for _ in range(steps):
            x, cell = torch.from_numpy(values), 0
            for index, leaf in enumerate(leaves):
                if isinstance(leaf, torch.nn.Linear):
                    x = leaf(x)
                else:
                    x, states[index] = leaf(x, states[index])
                    spikes[cell].append(x.numpy() > 0)
                    cell += 1
            total = total + x.numpy()
    return [np.stack(s) for s in spikes], total


@pytest.mark.parametrize("name", MODELS)
def test_file_reproduces_the_model(name, tmp_path):
    """0 spikes differ between the written file, run literally, and the modules in float64."""
    model, path = MODELS[name](), tmp_path / "net.nir"
    check, _ = to_nir(model, codes(), path, dt=dt_of(name), steps=steps_of(name))
    values = codes() / 255
    found, scores = run_file(path, values, STEPS)
    wanted, wanted_scores = run_model(MODELS[name](), values, STEPS)
    assert len(found) == len(wanted)
    for layer, spikes in zip(wanted, found.values(), strict=True):
        assert np.array_equal(layer, spikes)
        assert 0.02 < layer.mean() < 0.98
    np.testing.assert_allclose(scores, wanted_scores, rtol=1e-10, atol=1e-10)
    assert check.compared == sum(layer.size for layer in wanted)
    assert (check.samples, check.steps, check.mismatches) == (40, STEPS, 0)


@pytest.mark.parametrize("name", MODELS)
def test_arrays_are_float64_of_one_length_without_batch(name, tmp_path):
    path = tmp_path / "net.nir"
    to_nir(MODELS[name](), codes(), path, dt=dt_of(name), steps=steps_of(name))
    graph = nir.read(path)
    for node in graph.nodes.values():
        if isinstance(node, nir.LIF):
            arrays = [node.tau, node.r, node.v_leak, node.v_threshold, node.v_reset]
            assert {a.shape for a in arrays} == {node.tau.shape}
            assert node.tau.ndim == 1
            assert {a.dtype for a in arrays} == {np.dtype(np.float64)}
        elif isinstance(node, nir.Affine):
            assert node.weight.dtype == node.bias.dtype == np.float64
    assert graph.nodes["input"].input_type["input"].tolist() == [8]


def test_names_time_constants_and_contract(tmp_path):
    path = tmp_path / "net.nir"
    to_nir(sequence(LIFCell(), LIFCell(0.5, v_reset=-0.5)), codes(), path, dt=DT)
    graph = nir.read(path)
    assert set(graph.nodes) == {
        "input", "affine1", "lif1", "affine2", "lif2", "readout", "output",
    }  # fmt: skip
    np.testing.assert_allclose(graph.nodes["lif1"].tau, 0.1, rtol=1e-12)
    np.testing.assert_allclose(graph.nodes["lif1"].r, 100, rtol=1e-12)
    np.testing.assert_allclose(graph.nodes["lif2"].tau, 0.002, rtol=1e-12)
    assert graph.nodes["lif2"].v_reset.tolist() == [-0.5] * 12
    contract = read(path).value.contract
    assert (contract.dt, contract.steps, contract.reset) == (DT, STEPS, "value")
    assert (contract.readout_node, contract.readout_kind) == ("readout", "sum")
    assert (contract.encoder_low, contract.encoder_high, contract.encoder_bits) == (0.0, 1.0, 8)
    assert contract.source_tool.startswith("neurodeploy ")


def test_reading_our_file_assumes_nothing(tmp_path):
    path = tmp_path / "net.nir"
    to_nir(MODELS["dlif"](), codes(), path, dt=DT)
    assert read(path, strict=True).findings == ()


def test_norse_time_constants_are_inverted_not_multiplied_by_dt(tmp_path):
    path = tmp_path / "net.nir"
    to_nir(MODELS["norse"](), codes(), path, steps=STEPS)
    lif = nir.read(path).nodes["lif1"]
    assert lif.tau.tolist() == [0.01] * 12
    assert lif.r.tolist() == [1.0] * 12
    assert read(path).value.contract.dt == DT


def test_leak_is_the_origin_of_the_membrane(tmp_path):
    path = tmp_path / "net.nir"
    _, findings = to_nir(MODELS["norse_leak"](), codes(), path, steps=STEPS)
    lif = nir.read(path).nodes["lif1"]
    assert lif.v_leak.tolist() == [0.0] * 12
    assert lif.v_threshold.tolist() == [0.625] * 12
    assert lif.v_reset.tolist() == [-0.5] * 12
    assert any("shifted by its start, v_leak" in f.what for f in findings)


def test_gain_is_folded_as_its_mean(tmp_path):
    model, path = MODELS["mixed"](), tmp_path / "net.nir"
    gain = model[3].gain.detach().double().numpy()
    to_nir(model, codes(), path, dt=DT)
    graph = nir.read(path)
    entry = graph.nodes["lif2"].metadata["dlif_gain"]
    np.testing.assert_allclose(entry["values"], gain / gain.mean(), rtol=1e-14)
    weight = model[2].weight.detach().double().numpy()
    np.testing.assert_allclose(graph.nodes["affine2"].weight, weight * gain.mean(), rtol=1e-14)
    bias = model[2].bias.detach().double().numpy()
    np.testing.assert_allclose(graph.nodes["affine2"].bias, bias * gain.mean(), rtol=1e-14)
    assert graph.nodes["lif1"].metadata == {}
    first = model[0].weight.detach().double().numpy()
    assert np.array_equal(graph.nodes["affine1"].weight, first)


def test_mean_gain_error_is_what_a_tool_without_the_gain_gets_wrong(tmp_path):
    path = tmp_path / "net.nir"
    check, findings = to_nir(MODELS["dlif"](), codes(), path, dt=DT)
    graph = nir.read(path)
    stored = {
        name: float(node.metadata["dlif_gain"]["mean_gain_error"])
        for name, node in graph.nodes.items()
        if isinstance(node, nir.LIF)
    }
    assert stored == dict(check.mean_gain_error)
    right, _ = run_file(path, codes() / 255, STEPS)
    for node in graph.nodes.values():
        if isinstance(node, nir.LIF):
            node.metadata = {}
    nir.write(tmp_path / "ignored.nir", graph)
    wrong, _ = run_file(tmp_path / "ignored.nir", codes() / 255, STEPS)
    for name, share in stored.items():
        assert share == (right[name] != wrong[name]).mean()
        assert share > 0.01
    assert sum("ignores dlif_gain" in f.what for f in findings) == 2


def test_sequences_and_values_as_sample(tmp_path):
    events = codes(3, (STEPS, 9, 8))
    check, _ = to_nir(MODELS["dlif"](), events, tmp_path / "a.nir", dt=DT)
    assert (check.samples, check.steps) == (9, STEPS)
    values = torch.from_numpy(codes() / 255)
    to_nir(MODELS["dlif"](), values, tmp_path / "b.nir", dt=DT)
    check, _ = to_nir(MODELS["dlif"](), codes(), tmp_path / "c.nir", dt=DT)
    again = check_export(
        MODELS["dlif"](), codes(), tmp_path / "b.nir", steps=STEPS, encoder=ConstantEncoder()
    )
    assert again == check


def test_encoder_travels(tmp_path):
    encoder = ConstantEncoder(-1.0, 3.0, 4)
    model, path = MODELS["lif"](), tmp_path / "net.nir"
    to_nir(model, codes() % 16, path, dt=DT, encoder=encoder)
    contract = read(path).value.contract
    assert (contract.encoder_low, contract.encoder_high, contract.encoder_bits) == (-1.0, 3.0, 4)
    found, _ = run_file(path, encoder.decode(codes() % 16), STEPS)
    wanted, _ = run_model(MODELS["lif"](), encoder.decode(codes() % 16), STEPS)
    assert np.array_equal(found["lif2"], wanted[1])


class SubclassedCell(LIFCell):
    pass


def failing():
    lif = LIFCell
    return [
        (sequence(SubclassedCell()), {}, UnsupportedNodeError, r"model.1: .*SubclassedCell"),
        (
            torch.nn.Sequential(torch.nn.Conv1d(8, 8, 1), lif()),
            {"steps": 3},
            UnsupportedNodeError,
            r"model.0: conv1d of one sample without a batch axis",
        ),
        (SpikingSequence(linear(8, 5, 0), steps=3), {}, UnsupportedNodeError, "no spiking cell"),
        (
            torch.nn.Sequential(sequence(lif()), lif()),
            {},
            UnsupportedNodeError,
            "model.1: at its step 0 it is fed by model.0.2 of a later step",
        ),
        (sequence(LIFCell(np.full(11, 0.5))), {}, ShapeError, r"model.1: retention has shape"),
        (
            SpikingSequence(linear(8, 12, 0), lif(), linear(11, 5, 0), steps=3),
            {},
            ShapeError,
            "model.2: takes 11 values, is given 12",
        ),
        (torch.nn.Sequential(linear(8, 5, 0), lif()), {}, ContractError, "steps: neither"),
        (sequence(lif()), {"steps": 3}, ContractError, "steps= 3, the model 6"),
        (sequence(lif()), {"dt": None}, ContractError, "give dt in seconds"),
        (sequence(lif()), {"dt": -1.0}, ContractError, "positive"),
        (sequence(lif()), {"readout": "count"}, ContractError, "readout 'count'"),
        (
            torch.nn.Sequential(linear(8, 5, 0), norse_cell(dt=2e-3)),
            {"steps": 3},
            ContractError,
            r"model.1 0.002 s, dt= 0.001 s",
        ),
    ]


@pytest.mark.parametrize("index", range(len(failing())))
def test_what_cannot_be_exported_is_named_and_nothing_is_written(index, tmp_path):
    model, options, error, match = failing()[index]
    with pytest.raises(error, match=match):
        to_nir(model, codes(), tmp_path / "net.nir", **{"dt": DT, **options})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("gain", "match"), [(-0.5, "gains must be"), (float("nan"), "NaN")])
def test_bad_gains_are_refused(gain, match, tmp_path):
    model = MODELS["dlif"]()
    with torch.no_grad():
        model[1].gain[2] = gain
    with pytest.raises(RangeError, match=f"model.1.*{match}"):
        to_nir(model, codes(), tmp_path / "net.nir", dt=DT)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("sample", "match"),
    [
        (np.zeros(8), r"\[B, n\]"),
        (np.zeros((0, 8)), r"\[B, n\]"),
        (np.full((2, 8), 256), "leave 0..255"),
        (np.full((2, 8), -1), "leave 0..255"),
    ],
)
def test_bad_samples_are_refused(sample, match, tmp_path):
    with pytest.raises((ShapeError, RangeError), match=match):
        to_nir(MODELS["lif"](), sample, tmp_path / "net.nir", dt=DT)
    assert list(tmp_path.iterdir()) == []
