"""What the exporter follows in a hand-written forward, and what it refuses, naming it."""

import nir
import numpy as np
import pytest
import torch
from export_nir import hand_written as models
from export_nir.native import decide, lively, norse, run_literally, run_natively
from torch import nn

from neurodeploy.errors import (
    ContractError,
    ExportRefusedError,
    InputError,
    RangeError,
    ShapeError,
    UnsupportedNodeError,
)
from neurodeploy.export.nir import check_export, to_nir
from neurodeploy.network import ConstantEncoder

STEPS, BATCH = 9, 6
VALUES = np.random.default_rng(2).uniform(0, 1, (STEPS, BATCH, 6))


class Loop(nn.Module):
    """Two layers whose loop is given from outside."""

    def __init__(self, body=None, cell=None):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(6, 12), nn.Linear(12, 4)
        self.lif1 = norse.LIFCell() if cell is None else cell
        self.lif2 = norse.LIFBoxCell()
        self.body = body

    def forward(self, x):
        return self.body(self, x)


def looped(change=lambda self, t, z: z, finish=lambda spikes: torch.stack(spikes).sum(0)):
    """Return a model that applies ``change`` to the first layer's spikes of every step."""

    def body(self, x):
        s1 = s2 = None
        spikes = []
        for t in range(x.shape[0]):
            z, s1 = self.lif1(self.fc1(x[t]), s1)
            z, s2 = self.lif2(self.fc2(change(self, t, z)), s2)
            spikes.append(z)
        return finish(spikes)

    return lively(Loop(body))


def exact(model, tmp_path, sample=VALUES, **options):
    """Export, run literally, and compare scores with the model's own output."""
    path = tmp_path / "net.nir"
    check, findings = to_nir(model, sample, path, **options)
    run, said = run_literally(path, sample)
    output, rasters = run_natively(model, sample)
    for place, raster in rasters.items():
        assert np.array_equal(run.outputs[place.replace(".", "_")], raster), place
        assert 0.01 < raster.mean() < 0.99, place
    return run, said, output, findings, check


# -- operations that are followed ---------------------------------------------------------------

FOLLOWED = {
    "a factor": lambda self, t, z: 0.5 * z,
    "a negative factor": lambda self, t, z: -z / 4 + 0.3,
    "a factor per neuron": lambda self, t, z: z * torch.linspace(0.1, 1, 12),
    "a constant per neuron": lambda self, t, z: z + torch.linspace(-1, 1, 12),
    "reversed": lambda self, t, z: z.flip(-1),
    "rolled": lambda self, t, z: torch.roll(z, 3, dims=1),
    "an index": lambda self, t, z: z[:, torch.arange(11, -1, -1)],
    "reshaped and back": lambda self, t, z: z.reshape(-1, 3, 4).transpose(1, 2).flatten(1),
    "neighbours averaged": lambda self, t, z: z.view(-1, 6, 2).mean(-1).repeat_interleave(2, 1),
    "padded": lambda self, t, z: nn.functional.pad(z[:, 2:], (1, 1)),
    "chunks swapped": lambda self, t, z: torch.cat(z.chunk(2, dim=1)[::-1], 1),
    "stacked and summed": lambda self, t, z: torch.stack([z, z.flip(1)]).sum(0),
    "matrix product": lambda self, t, z: z @ torch.linspace(0, 1, 144).reshape(12, 12),
    "functional linear": lambda self, t, z: nn.functional.linear(z, torch.eye(12) * 2),
    "in place": lambda self, t, z: z.clone().mul_(2).add_(1).sub_(z),
    "written into": lambda self, t, z: torch.zeros_like(z).index_fill_(1, torch.tensor([0]), 0) + z,
    "added by hand": lambda self, t, z: sum([z, z, 0]),
    "casts": lambda self, t, z: z.float().to(torch.float32).double().to(z.dtype),
    "detached": lambda self, t, z: z.detach().clone().contiguous(),
}


@pytest.mark.parametrize("name", FOLLOWED)
def test_an_operation_between_layers_is_exact(name, tmp_path):
    model = looped(FOLLOWED[name])
    run, said, output, *_ = exact(model, tmp_path)
    assert np.array_equal(decide(run, said), output)


FINISHED = {
    "sum": (lambda s: torch.stack(s).sum(0), "count", 1.0),
    "mean": (lambda s: torch.stack(s, 1).mean(1), "count", 1 / STEPS),
    "builtin sum": (lambda s: sum(s), "count", 1.0),
    "last": (lambda s: s[-1], "count", 1.0),
    "scaled": (lambda s: 3 * torch.stack(s).sum(0) / STEPS, "count", 3 / STEPS),
    "maximum": (lambda s: torch.stack(s).amax(0), "max_v", 1.0),
    "window": (lambda s: torch.stack(s)[2:7].sum(0), "count", 1.0),
    "pairs": (lambda s: torch.stack(s).sum(0).view(-1, 2, 2).sum(2), "sum", 1.0),
    "difference": (
        lambda s: torch.stack(s).sum(0)[:, :2] - torch.stack(s).sum(0)[:, 2:],
        "sum",
        1.0,
    ),
}


@pytest.mark.parametrize("name", FINISHED)
def test_a_read_out_over_time_is_exact(name, tmp_path):
    finish, kind, scale = FINISHED[name]
    run, said, output, *_ = exact(looped(finish=finish), tmp_path)
    assert said["readout"]["kind"] == kind
    np.testing.assert_allclose(decide(run, said) * scale, output, rtol=1e-12)
    assert np.ptp(output) > 0


def test_every_step_returned_may_be_read_in_any_way(tmp_path):
    model = lively(models.ConvolutionLoop())
    pixels = np.random.default_rng(0).uniform(0, 1, (STEPS, BATCH, 2, 6, 6))
    output, _ = run_natively(model, pixels)
    wanted = {
        "sum": output.sum(0),
        "mean_v": output.mean(0),
        "last_v": output[-1],
        "max_v": output.max(0),
    }
    for kind, scores in wanted.items():
        to_nir(model, pixels, tmp_path / "net.nir", readout=kind)
        run, said = run_literally(tmp_path / "net.nir", pixels)
        assert said["readout"]["kind"] == kind
        np.testing.assert_allclose(decide(run, said), scores, rtol=1e-9)
    with pytest.raises(ContractError, match="readout 'count': the model reads a membrane"):
        to_nir(model, pixels, tmp_path / "net.nir", readout="count")


def test_a_read_out_the_model_does_not_do_is_refused(tmp_path):
    with pytest.raises(
        ContractError, match=r"readout 'max_v': .*\(model.lif2\), whose read-out is 'count'"
    ):
        to_nir(looped(), VALUES, tmp_path / "net.nir", readout="max_v")


# -- operations that are refused ----------------------------------------------------------------

REFUSED = {
    "relu": (
        lambda self, t, z: torch.relu(z - 0.5),
        "model: relu cannot be written to NIR, and its result reaches model.lif2",
    ),
    "compared": (lambda self, t, z: (z > 0.5).float(), "model: gt cannot be written"),
    "a product of signals": (lambda self, t, z: z * z, "model: mul of two signals cannot"),
    "a power": (lambda self, t, z: z**2, "model: pow cannot"),
    "noise": (lambda self, t, z: z + torch.rand(1), "model: rand draws random numbers"),
    "dropout by hand": (
        lambda self, t, z: nn.functional.dropout(z, 0.5),
        r"dropout in training mode \(call model.eval\(\) first\)",
    ),
    "a branch": (
        lambda self, t, z: z if z.sum() > 3 else 0 * z,
        "model: the forward branches on a computed value",
    ),
    "other steps, other factors": (
        lambda self, t, z: z * (t + 1),
        r"model.lif2: reads model.fc2 \(0 steps back\) in one way at some steps and in another",
    ),
    "other steps, other constants": (
        lambda self, t, z: z + t,
        r"model.lif2: reads model.fc2 \(0 steps back\) in one way at",
    ),
    "samples mixed": (lambda self, t, z: z - z.mean(0), "values of different samples are mixed"),
    "an integer": (lambda self, t, z: z.long().double(), "model: long cannot be written"),
    "a softmax": (lambda self, t, z: torch.softmax(z, -1), "softmax"),
    "a maximum": (lambda self, t, z: torch.maximum(z, z.flip(1)), "maximum"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_operation_nir_lacks_is_refused_by_name(name, tmp_path):
    change, match = REFUSED[name]
    with pytest.raises(UnsupportedNodeError, match=match) as caught:
        to_nir(looped(change), VALUES, tmp_path / "net.nir")
    assert list(tmp_path.iterdir()) == []
    assert "model" in str(caught.value)


def test_the_refusal_offers_a_step(tmp_path):
    with pytest.raises(UnsupportedNodeError, match=r"to_nir\(model.step, ...\) with step\(x_t"):
        to_nir(looped(lambda self, t, z: z.abs()), VALUES, tmp_path / "net.nir")


@pytest.mark.parametrize(
    ("finish", "match"),
    [
        (lambda s: torch.stack(s).std(0), "std cannot"),
        (lambda s: torch.relu(torch.stack(s).sum(0)), "relu cannot"),
        (lambda s: torch.stack(s).sum(0).softmax(0), "softmax over another axis"),
        (lambda s: s[0] + s[3], "not one run of steps"),
        (lambda s: s[0] + 2 * s[1], "weighs steps differently"),
        (lambda s: torch.stack(s).softmax(-1), "softmax of every step"),
        (lambda s: torch.stack(s).sum((0, 1)), "mixed|one row per sample"),
    ],
)
def test_a_read_out_nir_lacks_is_refused(finish, match, tmp_path):
    with pytest.raises(UnsupportedNodeError, match=match):
        to_nir(looped(finish=finish), VALUES, tmp_path / "net.nir")


# -- numbers taken out of tensors ----------------------------------------------------------------


def test_a_number_that_is_only_noted_down_is_a_finding(tmp_path):
    rates = []

    def note(self, t, z):
        rates.append(z.mean().item())
        return z

    _, _, _, findings, _ = exact(looped(note), tmp_path)
    assert rates
    assert any("takes numbers out of tensors (item)" in f.what for f in findings)


def test_a_number_that_comes_back_is_refused(tmp_path):
    """Here every input is divided by the largest of the batch, which no graph can know."""
    inner = looped().body
    model = lively(Loop(lambda self, x: inner(self, x / x.max().item())))
    with pytest.raises(UnsupportedNodeError, match=r"uses a computed value as a number \(item\)"):
        to_nir(model, VALUES, tmp_path / "net.nir")


# -- states ---------------------------------------------------------------------------------------


def forgets(self, x):
    out = 0
    for x_t in x:
        z, _ = self.lif1(self.fc1(x_t))
        z, _ = self.lif2(self.fc2(z))
        out = out + z
    return out


def swaps(self, x):
    a = b = None
    out = 0
    for t in range(len(x)):
        z, a2 = self.lif2(self.fc1(x[t]), a)
        y, b2 = self.lif2(self.fc1(x[t]) * 0.5, b)
        a, b = b2, a2
        out = out + z[:, :4] + y[:, :4]
    return out


def decays(self, x):
    s1 = s2 = None
    out = 0
    for x_t in x:
        z, s1 = self.lif1(self.fc1(x_t), s1)
        z, s2 = self.lif2(self.fc2(z), s2)
        s2 = norse.LIFBoxFeedForwardState(0.5 * s2.v)
        out = out + z
    return out


def clears(self, x):
    s1 = s2 = None
    out = 0
    for t in range(len(x)):
        if t == 4:
            s1 = None
        z, s1 = self.lif1(self.fc1(x[t]), s1)
        z, s2 = self.lif2(self.fc2(z), s2)
        out = out + z
    return out


def stale(self, x):
    s1 = s2 = None
    out = 0
    for t in range(len(x)):
        z, new = self.lif1(self.fc1(x[t]), s1)
        s1 = new if t % 2 == 0 else s1
        z, s2 = self.lif2(self.fc2(z), s2)
        out = out + z
    return out


def skips(self, x):
    s1 = s2 = None
    out = 0
    for t in range(len(x)):
        z, s1 = self.lif1(self.fc1(x[t]), s1)
        if t % 2:
            z, s2 = self.lif2(self.fc2(z), s2)
            out = out + z
    return out


def reads_current(self, x):
    s1 = s2 = None
    out = 0
    for t in range(len(x)):
        _, s1 = self.lif1(self.fc1(x[t]), s1)
        z, s2 = self.lif2(self.fc2(s1.i), s2)
        out = out + z
    return out


def looks_ahead(self, x):
    s1 = s2 = None
    out = 0
    for t in range(len(x)):
        z, s1 = self.lif1(self.fc1(x[len(x) - 1 - t]), s1)
        z, s2 = self.lif2(self.fc2(z), s2)
        out = out + z
    return out


MISUSED = {
    forgets: r"model.lif\d: (at its step 0 it is fed by|runs 1 of)",
    swaps: r"model.lif2: reads model.fc1 \(0 steps back\) in one way at some steps",
    decays: r"model.lif2: the state it is given is neither a first state nor the one",
    clears: r"model.lif\d: at its step|model.lif1: runs",
    stale: r"model.lif1: the state it is given is neither",
    skips: r"model.lif2",
    reads_current: r"model.fc2: reads model.lif1 \(state i\); NIR passes on spikes",
    looks_ahead: r"model.lif1: at its step 0 it is fed by model.fc1 of a later step",
}


@pytest.mark.parametrize("body", MISUSED, ids=lambda body: body.__name__)
def test_a_state_that_is_not_handed_on_is_refused(body, tmp_path):
    model = lively(Loop(body))
    if body is swaps:
        model.fc2 = nn.Identity()
    with pytest.raises(UnsupportedNodeError, match=MISUSED[body]):
        to_nir(model, VALUES, tmp_path / "net.nir")
    assert list(tmp_path.iterdir()) == []


def starting(v, i=None):
    def body(self, x):
        batch = x.shape[1]
        s1 = norse.LIFFeedForwardState(v(batch), torch.zeros(batch, 12) if i is None else i(batch))
        s2 = None
        out = 0
        for x_t in x:
            z, s1 = self.lif1(self.fc1(x_t), s1)
            z, s2 = self.lif2(self.fc2(z), s2)
            out = out + z
        return out

    return lively(Loop(body, norse.LIFCell(norse.LIFParameters(v_leak=torch.tensor(0.2)))))


@pytest.mark.parametrize(
    "v",
    [
        lambda b: torch.zeros(b, 12),
        lambda b: torch.full((b, 12), 0.2),
        lambda b: torch.linspace(-1, 0.9, 12).expand(b, 12),
        lambda b: torch.tensor(0.6),
    ],
)
def test_a_first_membrane_anywhere_is_the_new_origin(v, tmp_path):
    exact(starting(v), tmp_path)


@pytest.mark.parametrize(
    ("v", "i", "match"),
    [
        (lambda b: torch.zeros(b, 12), lambda b: torch.ones(b, 12), "first state has i other than"),
        (lambda b: torch.arange(b)[:, None] * torch.ones(12), None, "differs between samples"),
    ],
)
def test_other_first_states_are_refused(v, i, match, tmp_path):
    with pytest.raises(UnsupportedNodeError, match=f"model.lif1: .*{match}"):
        to_nir(starting(v, i), VALUES, tmp_path / "net.nir")


def test_a_subclass_of_a_cell_is_refused(tmp_path):
    class Odd(norse.LIFCell):
        pass

    with pytest.raises(UnsupportedNodeError, match=r"model.lif1: .*Odd is a subclass of LIFCell"):
        to_nir(lively(Loop(looped().body, Odd())), VALUES, tmp_path / "net.nir")


def test_a_subclass_of_a_linear_layer_is_followed(tmp_path):
    class Doubled(nn.Linear):
        def forward(self, x):
            return 2 * super().forward(x)

    model = looped()
    model.fc2 = lively(Doubled(12, 4))
    exact(model, tmp_path)


# -- samples ----------------------------------------------------------------------------------------


def test_the_layout_of_the_sample_is_found_or_told(tmp_path):
    model = lively(models.BatchFirst())
    swapped = VALUES.swapaxes(0, 1).copy()
    for layout in (None, "batch-first"):
        to_nir(model, swapped, tmp_path / "net.nir", layout=layout)
        assert nir.read(tmp_path / "net.nir").metadata["neurodeploy"]["steps"] == STEPS
    with pytest.raises(UnsupportedNodeError):
        to_nir(model, swapped, tmp_path / "other.nir", layout="time-first")
    with pytest.raises(InputError, match="layout"):
        to_nir(model, swapped, tmp_path / "other.nir", layout="sideways")


def test_an_input_that_the_model_reshapes_has_that_shape(tmp_path):
    """Images come as rows of pixels and are turned into channels, height and width."""

    class Viewed(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.skip = nn.Conv2d(2, 3, 3), nn.Linear(72, 4)
            self.lif, self.fc = norse.LIFBoxCell(), nn.Linear(48, 4)

        def forward(self, x):
            s, out = None, []
            for x_t in x:
                z, s = self.lif(self.conv(x_t.view(-1, 2, 6, 6)), s)
                out.append(self.fc(z.flatten(1)) + self.skip(x_t))
            return torch.stack(out)

    model, path = lively(Viewed()), tmp_path / "net.nir"
    flat = np.random.default_rng(0).uniform(0, 1, (STEPS, BATCH, 72))
    to_nir(model, flat, path)
    assert nir.read(path).nodes["input"].input_type["input"].tolist() == [2, 6, 6]
    run, said = run_literally(path, flat.reshape(STEPS, BATCH, 2, 6, 6))
    output, _ = run_natively(model, flat)
    np.testing.assert_allclose(decide(run, said), output.sum(0), rtol=1e-10)


def test_a_hidden_layer_that_is_reshaped_is_refused(tmp_path):
    layers = [nn.Linear(6, 18), norse.LIFBoxCell(), nn.Unflatten(1, (2, 3, 3)), nn.Conv2d(2, 1, 2)]
    model = lively(norse.SequentialState(*layers, norse.LIFBoxCell()))
    with pytest.raises(UnsupportedNodeError, match=r"model.3: takes shape 2x3x3 from 18; NIR can"):
        to_nir(model, VALUES, tmp_path / "net.nir")


def test_a_single_cell_is_a_model(tmp_path):
    to_nir(norse.LIFCell(), 3 * VALUES, tmp_path / "net.nir")
    run, _ = run_literally(tmp_path / "net.nir", 3 * VALUES)
    output, _ = run_natively(norse.LIFCell(), 3 * VALUES, method="forward")
    assert np.array_equal(run.outputs["lif1"], output)
    assert 0 < output.mean() < 1


def test_a_sample_outside_the_input_range_widens_it(tmp_path):
    model = looped()
    _, findings = to_nir(model, 4 * VALUES - 2, tmp_path / "net.nir")
    said = nir.read(tmp_path / "net.nir").metadata["neurodeploy"]["encoder"]
    assert said["low"] == (4 * VALUES - 2).min()
    assert any("leaves 0..1" in f.what for f in findings)
    with pytest.raises(RangeError, match=r"leave the encoder's range 0..1"):
        to_nir(model, 4 * VALUES - 2, tmp_path / "net.nir", encoder=ConstantEncoder())


@pytest.mark.parametrize(
    ("sample", "error"),
    [
        (np.full((STEPS, BATCH, 6), np.nan), RangeError),
        (np.zeros((STEPS, 0, 6)), ShapeError),
        (np.array([["a"]]), ShapeError),
    ],
)
def test_samples_that_are_none_are_refused(sample, error, tmp_path):
    with pytest.raises(error, match="sample"):
        to_nir(looped(), sample, tmp_path / "net.nir")


def test_one_sample_and_one_step(tmp_path):
    exact(looped(), tmp_path, VALUES[:, :1])
    to_nir(looped(), VALUES[:1], tmp_path / "one.nir")


@pytest.mark.parametrize("model", [3, "model.pt", len, lambda x: x])
def test_what_is_no_model_is_refused(model, tmp_path):
    with pytest.raises(InputError, match=r"torch.nn.Module, or a bound method"):
        to_nir(model, VALUES, tmp_path / "net.nir")


def test_the_model_is_left_as_it_was(tmp_path):
    model = looped()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    forward = model.lif1.forward
    to_nir(model, VALUES, tmp_path / "net.nir")
    assert model.lif1.forward == forward
    assert model.fc1.weight.dtype == torch.float32
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert torch.get_default_dtype() == torch.float32


def test_states_left_from_training_are_no_obstacle(tmp_path):
    """Tensors that gradients hang on cannot be copied as they are."""
    model = lively(models.KeepsItsStates())
    model(torch.rand(3, 2, 6))
    assert model.s.v.grad_fn is not None
    to_nir(model, VALUES, tmp_path / "net.nir")
    assert model.s.v.grad_fn is not None


def test_a_model_that_knows_its_batch_size(tmp_path):
    def body(self, x):
        s1 = s2 = None
        total = torch.zeros(BATCH, 4)
        for x_t in x:
            z, s1 = self.lif1(self.fc1(x_t), s1)
            z, s2 = self.lif2(self.fc2(z), s2)
            total = total + z.view(BATCH, 4)
        return total

    exact(lively(Loop(body)), tmp_path)


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_compiled_modules_are_refused(tmp_path):
    script = torch.jit.trace(nn.Linear(6, 4), torch.rand(1, 6))
    with pytest.raises(UnsupportedNodeError, match=r"model.0: .* is compiled"):
        to_nir(nn.Sequential(script, norse.LIFCell()), VALUES, tmp_path / "net.nir")


def test_cells_of_ones_own_are_refused_by_operation(tmp_path):
    class Surrogate(torch.autograd.Function):
        @staticmethod
        def forward(ctx, v):
            return (v > 0).to(v.dtype)

    def body(self, x):
        v = s2 = None
        out = 0
        for x_t in x:
            v = self.fc1(x_t) if v is None else 0.9 * v + self.fc1(x_t)
            z = Surrogate.apply(v - 1)
            v = v * (1 - z)
            z, s2 = self.lif2(self.fc2(z), s2)
            out = out + z
        return out

    with pytest.raises(UnsupportedNodeError, match="gt cannot be written to NIR, and its result"):
        to_nir(lively(Loop(body)), VALUES, tmp_path / "net.nir")


# -- proof ----------------------------------------------------------------------------------------

TAMPERED = {
    "RecurrentByHand": [
        ("a weight of the way back", lambda g: g.nodes["rec"].weight.__setitem__((0, 0), 3.0)),
        ("a bias of the way back", lambda g: g.nodes["rec"].bias.__setitem__(2, -9.0)),
        ("the way back lost", lambda g: g.edges.remove(("rec", "lif"))),
    ],
    "RecurrentFromSecondStep": [
        ("a longer delay", lambda g: setattr(g.nodes["delay1"], "delay", g.nodes["delay1"].delay * 2)),
    ],
    "MembraneMaximum": [
        ("w_in 1", lambda g: setattr(g.nodes["lif"], "w_in", np.ones(12))),
        ("tau_syn of the read-out", lambda g: setattr(g.nodes["li"], "tau_syn", g.nodes["li"].tau_syn * 1.001)),
        ("the read-out", lambda g: g.metadata["neurodeploy"]["readout"].update(kind="mean_v")),
    ],
    "Pipelined": [
        ("no delay", lambda g: (g.edges.remove(("delay1", "fc2")), g.edges.append(("lif1", "fc2")))),
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "number"), [(n, i) for n, c in TAMPERED.items() for i in range(len(c))]
)
def test_a_tampered_file_is_refused(name, number, tmp_path):
    model, path = lively(getattr(models, name)()), tmp_path / "net.nir"
    to_nir(model, VALUES, path)
    check_export(model, VALUES, path)
    graph = nir.read(path, type_check=False)
    _, change = TAMPERED[name][number]
    change(graph)
    nir.write(tmp_path / "tampered.nir", graph)
    with pytest.raises(ExportRefusedError, match="tampered.nir: refused"):
        check_export(model, VALUES, tmp_path / "tampered.nir")
