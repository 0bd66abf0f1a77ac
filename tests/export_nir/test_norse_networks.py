"""Networks of Norse's own containers: each exports exactly, or is refused by name."""

import warnings

import nir
import numpy as np
import pytest
import torch
from export_nir.native import decide, lively, norse, run_literally, run_natively
from torch import nn

from neurodeploy.errors import ContractError, RangeError, ShapeError, UnsupportedNodeError
from neurodeploy.export.nir import to_nir
from neurodeploy.neurons import DLIFCell, LIFCell, SpikingSequence

STEPS, BATCH = 10, 5
GENERATOR = np.random.default_rng(1)
VALUES = GENERATOR.uniform(0, 1, (STEPS, BATCH, 6))
PIXELS = GENERATOR.uniform(0, 1, (STEPS, BATCH, 2, 6, 6))
SOUND = GENERATOR.uniform(0, 1, (STEPS, BATCH, 2, 9))

Box, Cuba = norse.LIFBoxParameters, norse.LIFParameters


def box(**parameters):
    dt = parameters.pop("dt", 1e-3)
    tensors = {k: torch.as_tensor(v) if k != "reset_method" else v for k, v in parameters.items()}
    return norse.LIFBoxCell(Box(**tensors), dt=dt)


def cuba(kind=norse.LIFCell, *sizes, **parameters):
    return kind(*sizes, p=Cuba(**{k: torch.as_tensor(v) for k, v in parameters.items()}))


def spread(low, high, *shape):
    generator = torch.Generator().manual_seed(3)
    return low + (high - low) * torch.rand(shape, generator=generator)


def dense(*hidden, head=True):
    return norse.SequentialState(nn.Linear(6, 12), *hidden, *([nn.Linear(12, 4)] if head else []))


def spatial(*layers, features):
    return norse.SequentialState(*layers, nn.Flatten(), nn.Linear(features, 4))


#: Model, sample, NIR types expected beside Input and Output.
EXACT = {
    "LIFBox": lambda: (dense(box()), VALUES, "Affine LIF"),
    "v_reset": lambda: (dense(box(v_reset=-0.25)), VALUES, "Affine LIF"),
    "v_leak": lambda: (dense(box(v_leak=0.3, v_reset=-0.1)), VALUES, "Affine LIF"),
    "subtractive reset": lambda: (
        dense(box(reset_method=norse.reset_subtract)),
        VALUES,
        "Affine LIF",
    ),
    "per neuron": lambda: (
        dense(box(tau_mem_inv=spread(50, 400, 12), v_th=spread(0.3, 2, 12))),
        VALUES,
        "Affine LIF",
    ),
    "dt": lambda: (dense(box(dt=5e-4)), VALUES, "Affine LIF"),
    "LIF": lambda: (dense(cuba()), VALUES, "Affine CubaLIF"),
    "LIF with leak": lambda: (dense(cuba(v_leak=0.25, v_reset=-0.1)), VALUES, "Affine CubaLIF"),
    "LIF per neuron": lambda: (
        dense(cuba(tau_syn_inv=spread(80, 500, 12), v_th=spread(0.3, 2, 12))),
        VALUES,
        "Affine CubaLIF",
    ),
    "LIF in time": lambda: (dense(cuba(norse.LIF)), VALUES, "Affine CubaLIF"),
    "IAF": lambda: (dense(norse.IAFCell()), VALUES, "Affine IF"),
    "IAF v_reset": lambda: (
        dense(norse.IAFCell(norse.IAFParameters(v_reset=torch.tensor(-0.5)))),
        VALUES,
        "Affine IF",
    ),
    "IAF in time": lambda: (dense(norse.IAF()), VALUES, "Affine IF"),
    "IAF beside another dt": lambda: (
        dense(norse.IAFCell(), nn.Linear(12, 12), box(dt=2e-3)),
        VALUES,
        "Affine IF LIF",
    ),
    "LIBox": lambda: (
        dense(box(), nn.Linear(12, 4), norse.LIBoxCell(), head=False),
        VALUES,
        "Affine LIF LI",
    ),
    "LICell": lambda: (
        dense(box(), nn.Linear(12, 4), norse.LICell(), head=False),
        VALUES,
        "Affine LIF CubaLI",
    ),
    "LICell with leak": lambda: (
        dense(
            box(),
            nn.Linear(12, 4),
            norse.LICell(norse.LIParameters(v_leak=torch.tensor(0.3))),
            head=False,
        ),
        VALUES,
        "Affine LIF CubaLI",
    ),
    "leaky layer inside": lambda: (
        dense(norse.LICell(norse.LIParameters(v_leak=torch.tensor(0.3))), nn.Linear(12, 12), box()),
        VALUES,
        "Affine CubaLI LIF",
    ),
    "LI in time": lambda: (
        dense(cuba(norse.LIF), nn.Linear(12, 4), norse.LI(), head=False),
        VALUES,
        "Affine CubaLIF CubaLI",
    ),
    "LILinear": lambda: (
        dense(box(), norse.LILinearCell(12, 4), head=False),
        VALUES,
        "Affine LIF CubaLI",
    ),
    "recurrent cell": lambda: (
        norse.SequentialState(norse.LIFRecurrentCell(6, 12), nn.Linear(12, 4)),
        VALUES,
        "Affine CubaLIF",
    ),
    "recurrent with autapses": lambda: (
        norse.SequentialState(norse.LIFRecurrentCell(6, 12, autapses=True), nn.Linear(12, 4)),
        VALUES,
        "Affine CubaLIF",
    ),
    "recurrent in time": lambda: (
        norse.SequentialState(
            norse.LIFRecurrent(6, 12), nn.Linear(12, 8), norse.LIFRecurrent(8, 4)
        ),
        VALUES,
        "Affine CubaLIF",
    ),
    "Lift": lambda: (
        norse.SequentialState(
            norse.Lift(nn.Linear(6, 12)), norse.Lift(box()), norse.Lift(nn.Linear(12, 4))
        ),
        VALUES,
        "Affine LIF",
    ),
    "fed back": lambda: (
        norse.RecurrentSequential(nn.Linear(6, 12), box(), nn.Linear(12, 6), norse.LIFCell()),
        VALUES,
        "Affine LIF CubaLIF",
    ),
    "fed back by a linear layer": lambda: (
        norse.RecurrentSequential(nn.Linear(6, 12), box(), nn.Linear(12, 6)),
        VALUES,
        "Affine Delay LIF",
    ),
    "fed back without bias": lambda: (
        norse.RecurrentSequential(nn.Linear(6, 12), box(), nn.Linear(12, 6, bias=False)),
        VALUES,
        "Affine LIF",
    ),
    "nested": lambda: (
        dense(norse.SequentialState(box(), nn.Linear(12, 12)), norse.SequentialState(cuba())),
        VALUES,
        "Affine LIF CubaLIF",
    ),
    "spikes out": lambda: (
        dense(box(), nn.Linear(12, 4), cuba(), head=False),
        VALUES,
        "Affine LIF CubaLIF",
    ),
    "Dropout": lambda: (dense(nn.Dropout(0.5), box(), nn.Dropout(0.2)), VALUES, "Affine LIF"),
    "BatchNorm1d": lambda: (dense(nn.BatchNorm1d(12), box()), VALUES, "Affine LIF"),
    "BatchNorm1d first": lambda: (
        norse.SequentialState(nn.BatchNorm1d(6), nn.Linear(6, 12), box(), nn.Linear(12, 4)),
        VALUES,
        "Affine LIF",
    ),
    "BatchNorm1d on spikes": lambda: (dense(box(), nn.BatchNorm1d(12)), VALUES, "Affine LIF"),
    "Conv2d": lambda: (
        spatial(nn.Conv2d(2, 4, 3), box(), features=64),
        PIXELS,
        "Conv2d LIF Flatten Affine",
    ),
    "Conv2d padding and stride": lambda: (
        spatial(nn.Conv2d(2, 4, 3, padding=1, stride=2), box(), features=36),
        PIXELS,
        "Conv2d LIF Flatten Affine",
    ),
    "Conv2d same, dilated": lambda: (
        spatial(nn.Conv2d(2, 4, 3, padding="same", dilation=2), box(), features=144),
        PIXELS,
        "Conv2d LIF Flatten Affine",
    ),
    "Conv2d same, even kernel": lambda: (
        spatial(nn.Conv2d(2, 4, 2, padding="same"), box(), features=144),
        PIXELS,
        "Conv2d LIF Flatten Affine",
    ),
    "Conv2d valid": lambda: (
        spatial(nn.Conv2d(2, 4, 3, padding="valid"), box(), features=64),
        PIXELS,
        "Conv2d LIF Flatten Affine",
    ),
    "Conv2d 3x5 in groups, no bias": lambda: (
        spatial(nn.Conv2d(2, 4, (3, 5), groups=2, bias=False), box(), features=32),
        PIXELS,
        "Conv2d LIF Flatten Affine",
    ),
    "Conv1d": lambda: (
        spatial(nn.Conv1d(2, 4, 3, padding=1), nn.BatchNorm1d(4), box(), features=36),
        SOUND,
        "Conv1d LIF Flatten Affine",
    ),
    "LConv2d": lambda: (
        norse.SequentialState(
            norse.LConv2d(2, 4, 3), cuba(norse.LIF), nn.Flatten(2), nn.Linear(64, 4)
        ),
        PIXELS,
        "Conv2d CubaLIF Flatten Affine",
    ),
    "BatchNorm2d": lambda: (
        spatial(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), box(), features=64),
        PIXELS,
        "Conv2d LIF Flatten Affine",
    ),
    "BatchNorm2d after a pool": lambda: (
        spatial(nn.Conv2d(2, 4, 3), nn.AvgPool2d(2), nn.BatchNorm2d(4), box(), features=16),
        PIXELS,
        "Conv2d AvgPool2d LIF Flatten Affine",
    ),
    "per channel": lambda: (
        spatial(nn.Conv2d(2, 4, 3), box(v_th=spread(0.2, 1.5, 4, 1, 1)), features=64),
        PIXELS,
        "Conv2d LIF Flatten Affine",
    ),
    "AvgPool2d": lambda: (
        spatial(nn.Conv2d(2, 4, 3), box(), nn.AvgPool2d(2), features=16),
        PIXELS,
        "Conv2d LIF AvgPool2d Flatten Affine",
    ),
    "AvgPool2d counts its padding": lambda: (
        spatial(nn.Conv2d(2, 4, 3), box(), nn.AvgPool2d((2, 3), stride=2, padding=1), features=24),
        PIXELS,
        "Conv2d LIF AvgPool2d Flatten Affine",
    ),
    "AvgPool2d with a divisor": lambda: (
        spatial(nn.Conv2d(2, 4, 3), box(), nn.AvgPool2d(2, divisor_override=3), features=16),
        PIXELS,
        "Conv2d LIF Flatten Affine",
    ),
    "AvgPool2d ceil without rest": lambda: (
        spatial(nn.Conv2d(2, 4, 3), box(), nn.AvgPool2d(2, ceil_mode=True), features=16),
        PIXELS,
        "Conv2d LIF AvgPool2d Flatten Affine",
    ),
    "AdaptiveAvgPool2d": lambda: (
        spatial(nn.Conv2d(2, 4, 3), box(), nn.AdaptiveAvgPool2d(1), features=4),
        PIXELS,
        "Conv2d LIF AvgPool2d Flatten Affine",
    ),
    "AvgPool1d": lambda: (
        spatial(nn.Conv1d(2, 4, 2), box(), nn.AvgPool1d(2), features=16),
        SOUND,
        "Conv1d LIF Flatten Affine",
    ),
    "LPPool2d of power 1": lambda: (
        spatial(nn.Conv2d(2, 4, 3), box(), nn.LPPool2d(1, 2), features=16),
        PIXELS,
        "Conv2d LIF SumPool2d Flatten Affine",
    ),
    "pool, flatten in time": lambda: (
        norse.SequentialState(
            norse.Lift(nn.Conv2d(2, 4, 3)),
            cuba(norse.LIF),
            norse.Lift(nn.AvgPool2d(2)),
            nn.Flatten(2),
            nn.Linear(16, 4),
            norse.LI(),
        ),
        PIXELS,
        "Conv2d CubaLIF AvgPool2d Flatten Affine CubaLI",
    ),
}
#: Containers that are called as a whole.
WHOLE = ("in time", "Lift", "LConv2d")


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")
@pytest.mark.parametrize("name", EXACT)
def test_a_norse_network_exports_exactly(name, tmp_path):
    model, sample, kinds = EXACT[name]()
    model, path = lively(model), tmp_path / "net.nir"
    check, _ = to_nir(model, sample, path)
    run, said = run_literally(path, sample)
    whole = any(word in name for word in WHOLE)
    output, rasters = run_natively(model, sample, method=None if whole else "forward")
    graph = nir.read(path, type_check=False)
    found = {type(node).__name__ for node in graph.nodes.values()}
    assert found == {"Input", "Output", *kinds.split()}
    spiking = {n: run.outputs[n] for n in run.v if type(graph.nodes[n]).__name__[-1] == "F"}
    flat = [raster.reshape(STEPS, BATCH, -1) for raster in spiking.values()]
    for place, raster in rasters.items():
        if not ((raster == 0) | (raster == 1)).all():
            continue
        assert any(np.array_equal(raster, r) for r in flat), place
        assert 0.005 < raster.mean() < 0.995, place
    node = said["readout"]["node"]
    np.testing.assert_allclose(run.outputs[node], output, rtol=1e-9, atol=1e-12)
    wanted = output.mean(0) if said["readout"]["kind"] == "mean_v" else output.sum(0)
    np.testing.assert_allclose(decide(run, said), wanted, rtol=1e-9, atol=1e-12)
    assert check.compared == sum(r.size for r in flat)
    assert check.mismatches == 0


def test_the_time_constants_are_those_of_the_cell(tmp_path):
    to_nir(lively(dense(cuba(), nn.Linear(12, 12), box(dt=1e-3))), VALUES, tmp_path / "net.nir")
    graph = nir.read(tmp_path / "net.nir")
    lif = graph.nodes["lif1"]
    assert lif.tau_syn.tolist() == [0.005] * 12
    assert lif.tau_mem.tolist() == [0.01] * 12
    np.testing.assert_allclose(lif.w_in, 5, rtol=1e-12)
    assert graph.metadata["neurodeploy"]["dt"] == 1e-3


@pytest.mark.parametrize("model", ["subtractive", "value"])
def test_the_contract_says_the_reset(model, tmp_path):
    parameters = {"reset_method": norse.reset_subtract} if model == "subtractive" else {}
    to_nir(lively(dense(box(**parameters))), VALUES, tmp_path / "net.nir")
    said = nir.read(tmp_path / "net.nir").metadata["neurodeploy"]
    assert said["reset"] == ("subtract" if model == "subtractive" else "value")


def pooled(pool, features=16):
    return spatial(nn.Conv2d(2, 4, 3), box(), pool, features=features)


def training(model):
    return model.train()


REFUSED = {
    "ReLU": (lambda: dense(nn.ReLU(), box()), VALUES, "model.1: relu cannot be written"),
    "LayerNorm": (lambda: dense(nn.LayerNorm(12), box()), VALUES, "model.1: layer_norm cannot"),
    "MaxPool2d of values": (
        lambda: spatial(nn.Conv2d(2, 4, 3), nn.MaxPool2d(2), box(), features=16),
        PIXELS,
        "model.1: max_pool2d of anything but one cell's spikes cannot",
    ),
    "MaxPool2d with part of a window": (
        lambda: pooled(nn.MaxPool2d(3, ceil_mode=True)),
        PIXELS,
        "model.2: max_pool2d with ceil_mode",
    ),
    "MaxPool2d with dilation": (
        lambda: pooled(nn.MaxPool2d(2, dilation=2), 4),
        PIXELS,
        "model.2: max_pool2d with dilation cannot",
    ),
    "LPPool2d": (lambda: pooled(nn.LPPool2d(2, 2)), PIXELS, r"model.2: lp_pool2d with power 2 "),
    "AvgPool2d without its padding": (
        lambda: pooled(nn.AvgPool2d(2, padding=1, count_include_pad=False), 36),
        PIXELS,
        "model.2: avg_pool2d with padding and count_include_pad=False",
    ),
    "AvgPool2d with a partial window": (
        lambda: pooled(nn.AvgPool2d(3, ceil_mode=True)),
        PIXELS,
        "model.2: avg_pool2d with ceil_mode, whose last window of 4 by 3 is a partial one",
    ),
    "AdaptiveAvgPool2d": (
        lambda: pooled(nn.AdaptiveAvgPool2d(3), 36),
        PIXELS,
        r"model.2: adaptive_avg_pool2d from \(4, 4\) to \(3, 3\)",
    ),
    "circular padding": (
        lambda: spatial(
            nn.Conv2d(2, 4, 3, padding=1, padding_mode="circular"), box(), features=144
        ),
        PIXELS,
        "model.0: pad cannot be written",
    ),
    "BatchNorm in training": (
        lambda: training(dense(nn.BatchNorm1d(12), box())),
        VALUES,
        r"model.1: batch norm in training mode \(call model.eval\(\) first\)",
    ),
    "Dropout in training": (
        lambda: training(dense(nn.Dropout(0.5), box())),
        VALUES,
        r"model.1: dropout in training mode \(call model.eval\(\) first\)",
    ),
    "LSNN": (lambda: dense(norse.LSNNCell()), VALUES, "model.1: .*LSNNCell cannot be exported"),
    "AdEx": (lambda: dense(norse.LIFAdExCell()), VALUES, "model.1: .*LIFAdExCell cannot"),
    "LIFEx": (lambda: dense(norse.LIFExCell()), VALUES, "model.1: .*LIFExCell cannot"),
    "refractory": (lambda: dense(norse.LIFRefracCell()), VALUES, "model.1: .*LIFRefracCell cannot"),
    "Izhikevich": (
        lambda: dense(norse.IzhikevichCell(norse.tonic_spiking)),
        VALUES,
        "model.1: .*IzhikevichCell cannot",
    ),
    "LSNN recurrent": (
        lambda: norse.SequentialState(norse.LSNNRecurrent(6, 12), nn.Linear(12, 4)),
        VALUES,
        "model.0: .*LSNNRecurrent cannot.*supported cells: LIFCell, .*LIFRecurrentCell",
    ),
    "encoder": (
        lambda: norse.SequentialState(norse.PoissonEncoder(4), nn.Linear(6, 4), norse.LIF()),
        VALUES,
        "model.0: .*PoissonEncoder cannot be exported .*spikes = encoder",
    ),
    "LSTM": (
        lambda: norse.SequentialState(nn.LSTM(6, 12), norse.LIF(), nn.Linear(12, 4)),
        VALUES,
        "model.0: lstm cannot be written to NIR, and its result reaches model.1",
    ),
    "no spiking cell": (
        lambda: norse.SequentialState(nn.Linear(6, 4), norse.LICell()),
        VALUES,
        "no spiking cell",
    ),
    "subtracting from a leak": (
        lambda: dense(box(reset_method=norse.reset_subtract, v_leak=0.25)),
        VALUES,
        "model.1: reset_subtract with a membrane that starts at 0.25",
    ),
    "two resets": (
        lambda: dense(box(), nn.Linear(12, 12), box(reset_method=norse.reset_subtract)),
        VALUES,
        r"reset in different ways \(model.1 to v_reset, model.3 subtracts\)",
    ),
    "a reset of one's own": (
        lambda: dense(box(reset_method=lambda z, v, reset, th: v - z)),
        VALUES,
        "model.1: reset method <lambda> cannot be exported",
    ),
    "a wrong width": (
        lambda: norse.SequentialState(nn.Linear(5, 12), box()),
        VALUES,
        "model.0: takes 5 values, is given 6",
    ),
    "wrong channels": (
        lambda: spatial(nn.Conv2d(3, 4, 3), box(), features=64),
        PIXELS,
        "model.0: takes 3 channels, is given 2",
    ),
    "parameters of another length": (
        lambda: dense(box(v_th=spread(0.5, 1, 7))),
        VALUES,
        r"model.1: v_th has shape \(7,\)",
    ),
    "a negative time constant": (
        lambda: dense(box(tau_mem_inv=-100.0)),
        VALUES,
        "model.1: tau_mem_inv is -100/s; it must be positive",
    ),
    "a threshold that is no number": (
        lambda: dense(box(v_th=float("nan"))),
        VALUES,
        "model.1: v_th: 1 of 1 values are NaN",
    ),
    "two step lengths": (
        lambda: dense(box(dt=1e-3), nn.Linear(12, 12), box(dt=2e-3)),
        VALUES,
        "contradictory: model.1 0.001 s, model.3 0.002 s",
    ),
    "code of its own that fails": (
        lambda: norse.SequentialState(nn.Linear(6, 12), nn.Unflatten(1, (5, 5)), box()),
        VALUES,
        "model.1: the model's own code fails on this sample: RuntimeError",
    ),
}
ERRORS = (UnsupportedNodeError, ShapeError, RangeError, ContractError)


@pytest.mark.parametrize("name", REFUSED)
def test_what_nir_cannot_say_is_refused_by_name(name, tmp_path):
    make, sample, match = REFUSED[name]
    model = make()
    training_mode = model.training
    model = lively(model).train(training_mode and "training" in name)
    with pytest.raises(ERRORS, match=match):
        to_nir(model, sample, tmp_path / "net.nir")
    assert list(tmp_path.iterdir()) == []


def test_convolutions_that_nir_type_checks_refuse_are_named(tmp_path):
    model, sample, _ = EXACT["Conv2d 3x5 in groups, no bias"]()
    check, findings = to_nir(lively(model), sample, tmp_path / "net.nir")
    assert not check.typed
    assert any("type_check=False" in f.remedy for f in findings)
    model, sample, _ = EXACT["Conv2d"]()
    check, findings = to_nir(lively(model), sample, tmp_path / "net.nir")
    assert check.typed
    assert not any("type_check=False" in f.remedy for f in findings)


def test_a_gain_goes_into_a_convolution(tmp_path):
    gains = torch.linspace(0.4, 1.9, STEPS)
    cells = [DLIFCell(STEPS, 0.9, 0.8), DLIFCell(STEPS, 0.8)]
    layers = [
        nn.Conv2d(2, 4, 3),
        cells[0],
        nn.AvgPool2d(2),
        cells[1],
        nn.Flatten(),
        nn.Linear(16, 4),
    ]
    model = lively(nn.Sequential(*layers))
    with torch.no_grad():
        for cell in cells:
            cell.gain.copy_(gains)
    check, _ = to_nir(model, PIXELS, tmp_path / "net.nir", dt=1e-3)
    graph = nir.read(tmp_path / "net.nir", type_check=False)
    mean = gains.double().mean().item()
    weight = layers[0].weight.detach().double().numpy()
    np.testing.assert_allclose(graph.nodes["conv1"].weight, weight * mean, rtol=1e-14)
    assert "lif2_gain" in graph.nodes
    assert set(check.mean_gain_error) == {"lif1", "lif2"}
    assert check.mismatches == 0


def test_cells_of_ours_and_of_norse_mix(tmp_path):
    model = lively(nn.Sequential(nn.Linear(6, 12), LIFCell(0.8), nn.Linear(12, 4), norse.LIFCell()))
    check, _ = to_nir(model, VALUES, tmp_path / "net.nir")
    assert check.mismatches == 0
    assert check.silent == ()


def test_a_sequence_inside_another_model(tmp_path):
    inner = SpikingSequence(nn.Linear(6, 12), LIFCell(0.8), nn.Linear(12, 8), steps=STEPS)
    model = lively(nn.Sequential(inner, nn.Linear(8, 4)))
    to_nir(model, VALUES, tmp_path / "net.nir", dt=1e-3)
    run, said = run_literally(tmp_path / "net.nir", VALUES)
    with torch.no_grad():
        wanted = model.double()(torch.from_numpy(VALUES))
    np.testing.assert_allclose(decide(run, said) / STEPS, wanted, rtol=1e-10)


def test_a_silent_network_is_said_to_be_silent(tmp_path):
    model = lively(dense(box(v_th=1e6)))
    check, findings = to_nir(model, VALUES, tmp_path / "net.nir")
    assert check.silent == ("lif1",)
    assert any("never fires on the sample" in f.what for f in findings)


def test_nothing_is_warned_about(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        to_nir(lively(dense(cuba())), VALUES, tmp_path / "net.nir")
