"""Forms that Norse's own tutorials use: max pools and relu of spikes, encoders, buffers, steps."""

import numpy as np
import pytest
import torch
from export_nir.native import decide, lively, norse, run_literally, run_natively
from torch import nn
from torch.nn import functional

from neurodeploy.errors import NeurodeployError, UnsupportedNodeError
from neurodeploy.export.nir import to_nir

RNG = np.random.default_rng(8)
VALUES = RNG.uniform(0, 1, (9, 5, 6))
PIXELS = RNG.uniform(0, 1, (8, 3, 1, 10, 10))


def exact(model, tmp_path, proof, fresh, **how):
    """Export on ``proof``; on ``fresh`` inputs every spike of the file is the model's."""
    path = tmp_path / "net.nir"
    _, findings = to_nir(model, proof, path)
    held, names = how.pop("held", None), how.pop("names", {})
    x = np.broadcast_to(fresh, (held, *fresh.shape)) if held else fresh
    run, said = run_literally(path, x)
    output, rasters = run_natively(model, fresh, **how)
    assert rasters
    for place, raster in rasters.items():
        node = names.get(place, place.replace(".", "_"))
        found = run.outputs[node].reshape(raster.shape)
        if set(np.unique(found)) <= {0, 1}:
            assert np.array_equal(found, raster), place
            assert 0.005 < raster.mean() < 0.995, place
        else:
            np.testing.assert_allclose(found, raster, rtol=0, atol=1e-9)
    return run, said, output, findings


# -- a step that takes its state -----------------------------------------------------------------


class Step(nn.Module):
    """One step, of a cell alone: [T, B, n] looks like T images of [B, n] to it."""

    def __init__(self):
        super().__init__()
        self.cell = norse.LIFBoxCell()

    def forward(self, x, state=None):
        return self.cell(x, state)


def test_a_sequence_is_no_batch_of_images(tmp_path):
    run, said, output, _ = exact(Step(), tmp_path, 40 * VALUES, 30 * VALUES, method="forward")
    assert int(said["steps"]) == 9
    assert np.array_equal(run.outputs["cell"], output)


def test_one_step_may_be_asked_for(tmp_path):
    check, _ = to_nir(Step(), 40 * VALUES, tmp_path / "net.nir", layout="held")
    assert (check.samples, check.steps) == (9, 1)


class Median(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc, self.lif = nn.Linear(6, 4), norse.LIFCell()

    def forward(self, x):
        state, out = None, []
        for t in range(x.shape[1]):
            z, state = self.lif(self.fc(x[:, t]), state)
            out.append(z)
        return torch.stack(out).median(0).values


def test_of_several_ways_the_one_that_got_furthest_is_told(tmp_path):
    with pytest.raises(UnsupportedNodeError, match="model: median cannot"):
        to_nir(lively(Median()), VALUES.swapaxes(0, 1), tmp_path / "net.nir")


# -- writing in place ----------------------------------------------------------------------------


class Buffer(nn.Module):
    def __init__(self, write):
        super().__init__()
        self.fc, self.lif, self.write = nn.Linear(6, 7), norse.LIFCell(), write

    def forward(self, x):
        state, out = None, torch.zeros(x.shape[0], x.shape[1], 7)
        for t in range(x.shape[0]):
            z, state = self.lif(self.fc(x[t]), state)
            self.write(out, t, z)
        return out


def adds(out, t, z):
    out[t] += z


def adds_twice(out, t, z):
    out[t] += z
    out[t] *= 2
    out[t] -= z


def writes_a_row(out, t, z):
    row = out[t]
    row[:] = z


def fills_columns(out, t, z):
    out[t, :, :4].copy_(z[:, :4])
    out[t].narrow(1, 4, 3).add_(z[:, 4:])


def clears_part_of_the_spikes(out, t, z):
    z[:, 2:5].zero_()
    out[t] = z


def clears_through_an_alias(out, t, z):
    z.detach()[:, 2:5] = 0
    out[t] = z


def sets_the_rest(out, t, z):
    part, rest = z.split([3, 4], 1)
    rest.fill_(0.5)
    out[t] = z
    del part


def reads_before_and_after(out, t, z):
    view = z[:, 1:]
    z[:, :4].mul_(3)
    out[t, :, 1:] = view


IN_PLACE = (adds, adds_twice, writes_a_row, fills_columns, clears_part_of_the_spikes,
            clears_through_an_alias, sets_the_rest, reads_before_and_after)  # fmt: skip


@pytest.mark.parametrize("write", IN_PLACE, ids=lambda write: write.__name__)
def test_what_is_written_through_a_view_is_followed(write, tmp_path):
    path = tmp_path / "net.nir"
    model = lively(Buffer(write))
    to_nir(model, VALUES, path)
    fresh = np.random.default_rng(3).uniform(0, 1, VALUES.shape)
    run, said = run_literally(path, fresh)
    torch.set_default_dtype(torch.float64)
    try:
        with torch.no_grad():
            output = model.double()(torch.tensor(fresh)).numpy()
    finally:
        torch.set_default_dtype(torch.float32)
    np.testing.assert_allclose(run.outputs[said["readout"]["node"]], output, rtol=0, atol=1e-12)
    assert output.any()


def masks(out, t, z):
    z[:, :3].masked_fill_(torch.ones(3) > 0, 0.0)
    out[t] = z


def multiplies_signals(out, t, z):
    z[:, :3].mul_(z[:, 3:6])
    out[t] = z


def puts_out(out, t, z):
    torch.add(z, z, out=out[t])


@pytest.mark.parametrize(
    ("write", "match"),
    [(masks, "masked_fill_ cannot"), (multiplies_signals, "mul_ of two"), (puts_out, "add cannot")],
)
def test_what_cannot_be_followed_in_place_is_refused(write, match, tmp_path):
    with pytest.raises(UnsupportedNodeError, match=f"model: {match}"):
        to_nir(lively(Buffer(write)), VALUES, tmp_path / "net.nir")


# -- max pools and relu of spikes ----------------------------------------------------------------


class Tutorial(nn.Module):
    """Norse's convolutional example, small: max pools and a relu of spikes."""

    def __init__(self, back=False, late=False):
        super().__init__()
        self.conv1, self.lif1 = nn.Conv2d(1, 3, 3, padding=1), norse.LIFCell()
        self.conv2, self.lif2 = nn.Conv2d(3, 4, 2), norse.LIFCell()
        self.rec = nn.Conv2d(3, 3, 3, padding=1) if back else None
        self.out, self.late = norse.LILinearCell(16, 4), late

    def forward(self, x):
        s1 = s2 = so = None
        before = torch.zeros(x.shape[1], 3, 10, 10)
        pool = torch.zeros(x.shape[1], 3, 5, 5)
        voltages = torch.zeros(x.shape[0], x.shape[1], 4, device=x.device)
        for t in range(x.shape[0]):
            current = self.conv1(x[t])
            if self.rec is not None:
                current = current + self.rec(before)
            before, s1 = self.lif1(current, s1)
            last, pool = pool, functional.max_pool2d(before, 2, 2)
            z, s2 = self.lif2(10 * self.conv2(last if self.late else pool), s2)
            z = functional.max_pool2d(z, 2, 2).view(-1, 16)
            voltages[t], so = self.out(functional.relu(z), so)
        return functional.log_softmax(torch.max(voltages, 0)[0], dim=1)


@pytest.mark.parametrize("form", [{}, {"back": True}, {"late": True}], ids=str)
def test_max_pools_of_spikes(form, tmp_path):
    fresh = np.random.default_rng(5).uniform(0, 1, PIXELS.shape)
    model = lively(Tutorial(**form))
    run, said, output, findings = exact(model, tmp_path, PIXELS, fresh)
    scores = decide(run, said)
    shown = scores - np.log(np.exp(scores).sum(1, keepdims=True))
    np.testing.assert_allclose(shown, output, rtol=0, atol=1e-12)
    assert sum("SumPool2d and Threshold" in f.what for f in findings) == 2


@pytest.mark.parametrize(
    "pools", [(nn.MaxPool2d(3, 2, 1),), (nn.MaxPool2d(2), nn.MaxPool2d(2)), (nn.MaxPool2d(3, 1),)]
)
def test_overlapping_padded_and_repeated_max_pools(pools, tmp_path):
    model = lively(norse.SequentialState(nn.Conv2d(1, 3, 3), norse.LIFBoxCell(), *pools, nn.ReLU()))
    fresh = np.random.default_rng(6).uniform(0, 1, PIXELS.shape)
    run, said, output, _ = exact(
        model, tmp_path, PIXELS, fresh, method="forward", names={"1": "lif1"}
    )
    assert np.array_equal(run.outputs[said["readout"]["node"]], output)
    assert 0 < output.mean() < 1


def test_the_maximum_of_two_cells_is_refused(tmp_path):
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.a, self.b = nn.Conv2d(1, 3, 3), norse.LIFCell(), norse.LIFBoxCell()

        def forward(self, x):
            s1, s2, out = None, None, []
            for xt in x:
                y, s1 = self.a(self.conv(xt), s1)
                z, s2 = self.b(self.conv(xt), s2)
                out.append(functional.max_pool2d(y + z, 2))
            return torch.stack(out)

    with pytest.raises(UnsupportedNodeError, match="max_pool2d of anything but one cell's spikes"):
        to_nir(lively(Both()), PIXELS, tmp_path / "net.nir")


# -- encoders ------------------------------------------------------------------------------------


class Classifier(nn.Module):
    """Norse's digits example: encoder, network and decoder in one model."""

    def __init__(self, parameters, dt=2e-3):
        super().__init__()
        self.encoder = norse.ConstantCurrentLIFEncoder(11, parameters, dt=dt)
        self.lif = norse.LIFRecurrentCell(6, 8, dt=dt)
        self.fc, self.out = nn.Linear(8, 4, bias=False), norse.LICell(dt=dt)

    def forward(self, x):
        x, s, so, voltages = self.encoder(x), None, None, []
        for ts in range(len(x)):
            z, s = self.lif(x[ts], s)
            v, so = self.out(self.fc(z), so)
            voltages.append(v)
        return functional.log_softmax(torch.max(torch.stack(voltages), 0)[0], dim=1)


@pytest.mark.parametrize(
    "changes",
    [{}, {"v_leak": torch.tensor(0.2), "v_reset": torch.tensor(-0.3), "v_th": torch.tensor(0.6)}],
    ids=["default", "leak and reset"],
)
def test_an_encoder_of_held_currents(changes, tmp_path):
    model = lively(Classifier(norse.LIFParameters(**changes)))
    proof, fresh = 5 * VALUES[0], 5 * VALUES[1]
    run, said, output, _ = exact(model, tmp_path, proof, fresh, held=11)
    expected = model.double().encoder(torch.tensor(fresh)).numpy()
    assert np.array_equal(run.outputs["encoder"], expected)
    scores = decide(run, said)
    shown = scores - np.log(np.exp(scores).sum(1, keepdims=True))
    np.testing.assert_allclose(shown, output, rtol=0, atol=1e-9)


# -- what the caller has is left alone ------------------------------------------------------------


class Noisy(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc, self.lif = nn.Linear(6, 4), norse.LIFCell()

    def forward(self, x):
        z, _ = self.lif(self.fc(x[0]) + torch.randn(4))
        return z


def test_random_numbers_are_not_used_up(tmp_path):
    model, before = Noisy(), torch.get_rng_state()
    with pytest.raises(UnsupportedNodeError, match="randn draws random numbers"):
        to_nir(model, VALUES, tmp_path / "net.nir")
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    "wrong",
    [{"path": None}, {"dt": "a"}, {"dt": -1.0}, {"dt": float("nan")}, {"steps": 0}, {"steps": "x"},
     {"steps": 2.5}, {"encoder": 3}, {"gain_bits": "a"}],
    ids=str,
)  # fmt: skip
def test_arguments_of_another_kind_are_named(wrong, tmp_path):
    given = {"path": tmp_path / "net.nir"} | wrong
    with pytest.raises(NeurodeployError, match=f"^{next(iter(wrong))}: "):
        to_nir(lively(Median()), VALUES, **given)
    assert not list(tmp_path.iterdir())


def test_sparse_and_bfloat16_samples(tmp_path):
    x = torch.tensor(VALUES).float().transpose(0, 1)
    sparse = (x * (x > 0.5)).to_sparse()

    class Sum(Median):
        def forward(self, x):
            state, out = None, 0
            for t in range(x.shape[1]):
                z, state = self.lif(self.fc(x[:, t]), state)
                out = out + z
            return out

    for sample in (sparse, x.bfloat16()):
        assert to_nir(lively(Sum()), sample, tmp_path / "net.nir").value.mismatches == 0


def test_a_state_left_from_an_earlier_run_is_named(tmp_path):
    class Keeps(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.lif, self.state = nn.Linear(6, 4), norse.LIFCell(), None

        def forward(self, x):
            out = []
            for xt in x:
                z, self.state = self.lif(self.fc(xt), self.state)
                out.append(z)
            return torch.stack(out)

    model = lively(Keeps())
    to_nir(model, VALUES, tmp_path / "net.nir")
    assert model.state is None
    with torch.no_grad():
        model(torch.tensor(VALUES).float())
    with pytest.raises(UnsupportedNodeError, match="model.lif: its first"):
        to_nir(model, VALUES, tmp_path / "net.nir")
