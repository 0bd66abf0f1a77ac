"""Our cells against Norse's LIFBox and a literal loop."""

import numpy as np
import pytest
import torch

from neurodeploy.errors import RangeError, ShapeError
from neurodeploy.neurons import GAIN_MAX, GAIN_MIN, DLIFCell, LIFCell, SpikingSequence, scan
from neurodeploy.neurons.norse_parts import threshold

DT = 1e-3
PARAMETERS = [
    {"retention": 0.99},
    {"retention": 0.5, "v_threshold": 0.3, "v_reset": -0.25},
    {"retention": 0.0},
    {
        "retention": np.linspace(0.0, 0.999, 37),
        "v_threshold": np.linspace(0.2, 2, 37),
        "v_reset": np.linspace(-1, 0.1, 37),
    },
]


def make_cell(parameters, gain):
    if gain is None:
        return LIFCell(**parameters)
    cell = DLIFCell(len(gain), **parameters).double()
    with torch.no_grad():
        cell.gain.copy_(torch.as_tensor(np.asarray(gain, np.float64)))
    return cell


def currents(seed, steps=50, batch=23, size=37, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(steps, batch, size, generator=generator, dtype=torch.float64)


def step_through(cell, x):
    state, spikes, v = None, [], []
    for current in x:
        out, state = cell(current, state)
        spikes.append(out)
        v.append(state.v)
    return torch.stack(spikes), torch.stack(v)


@pytest.mark.parametrize("parameters", PARAMETERS)
@pytest.mark.parametrize("gain", [None, np.linspace(0.3, 2.2, 50), [1.7, 0.2, 0.9]])
def test_equals_norse_lif_box_with_scaled_input(parameters, gain):
    cell = make_cell(parameters, gain)
    x = currents(1)
    spikes, v = step_through(cell, x)
    p = np.ones(50) if gain is None else np.resize(gain, 50)
    if gain is not None:
        p[len(gain) :] = gain[-1]
    norse = cell.as_lif_box(DT)
    share = torch.as_tensor(1 - np.asarray(parameters["retention"]))
    state = None
    for t in range(50):
        z, state = norse(p[t] * x[t] / share, state)
        assert (z != spikes[t]).sum() == 0
        torch.testing.assert_close(state.v, v[t], rtol=0, atol=1e-11)
    assert 0.02 < spikes.mean() < 0.6


def test_threshold_is_strict():
    cell = LIFCell(retention=0.5)
    just_above = np.nextafter(1.0, 2.0)
    spikes, state = cell(torch.tensor([[1.0, just_above, 0.5]], dtype=torch.float64))
    assert spikes.tolist() == [[0.0, 1.0, 0.0]]
    assert state.v.tolist() == [[1.0, 0.0, 0.5]]


def test_literal_recursion():
    gain = [0.5, 2.0, 1.5]
    cell = make_cell({"retention": 0.9, "v_threshold": 0.8, "v_reset": -0.1}, gain)
    x = currents(7, steps=6, batch=4, size=5)
    spikes, v = step_through(cell, x)
    for b in range(4):
        for n in range(5):
            membrane = 0.0
            for t in range(6):
                membrane = 0.9 * membrane + gain[min(t, 2)] * float(x[t, b, n])
                fired = membrane > 0.8
                assert spikes[t, b, n] == fired
                membrane = -0.1 if fired else membrane
                assert v[t, b, n] == membrane


@pytest.mark.parametrize("parameters", PARAMETERS)
@pytest.mark.parametrize("gain", [None, np.linspace(0.3, 2.2, 50), [1.7, 0.2]])
@pytest.mark.parametrize("surrogate", ["triangle", "super"])
def test_scan_equals_stepping_with_gradients(parameters, gain, surrogate):
    """Spikes bit-equal, gradients of inputs and gains equal to autograd through the cell."""
    cell = make_cell(parameters, gain)
    cell.surrogate, cell.alpha = surrogate, 1.0 if surrogate == "triangle" else 10.0
    weight = currents(3)
    results = []
    for run in (lambda x: scan(cell, x), lambda x: step_through(cell, x)[0]):
        x = currents(2).requires_grad_()
        leaves = [x, *cell.parameters()]
        spikes = run(x)
        # A loss that is not linear in the spikes, so that each step's gradient differs.
        loss = (spikes * weight).sum() + (spikes.cumsum(0) ** 2).mean()
        results.append((spikes.detach(), torch.autograd.grad(loss, leaves)))
    (fast, fast_gradients), (slow, slow_gradients) = results
    assert torch.equal(fast, slow)
    for a, b in zip(fast_gradients, slow_gradients, strict=True):
        assert b.abs().max() > 0
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-11)


def test_scan_is_bit_equal_in_float32_and_at_extreme_inputs():
    cell = LIFCell()
    x = currents(5, scale=1e4).float()
    x[::3] = 0
    x[1] = 1.0
    assert torch.equal(scan(cell, x), step_through(cell, x)[0])


def test_triangle_is_the_base_methods_surrogate():
    distance = torch.linspace(-2, 2, 401, dtype=torch.float64).requires_grad_()
    threshold(distance, "triangle", 1.0).sum().backward()
    expected = (1 - distance.detach().abs()).clamp(min=0)
    torch.testing.assert_close(distance.grad, expected, rtol=0, atol=0)


def test_gain_counter_restarts_with_a_sample():
    cell = make_cell({"retention": 0.9}, [2.0, 0.1])
    x = torch.full((1, 3), 0.8, dtype=torch.float64)
    first, state = cell(x, None)
    again, _ = cell(x, None)
    second, _ = cell(x, state)
    assert first.tolist() == again.tolist() == [[1, 1, 1]]
    assert second.tolist() == [[0, 0, 0]]


def test_projection_keeps_gains_in_range():
    cell = DLIFCell(4)
    with torch.no_grad():
        cell.gain.copy_(torch.tensor([-3.0, 0.0, 1.25, 1e6]))
    cell.project_()
    assert cell.gain.tolist() == [GAIN_MIN, GAIN_MIN, 1.25, GAIN_MAX]
    mantissas = np.rint(np.array([GAIN_MIN, GAIN_MAX]) * 2**4)
    assert mantissas.tolist() == [1, 255]


def test_parameters_keep_float64_in_a_float32_model():
    cell = LIFCell(retention=0.99)
    assert cell.retention.item() == 0.99
    spikes, state = cell(torch.ones(1, 2))
    assert spikes.dtype == state.v.dtype == torch.float32


@pytest.mark.parametrize(
    ("parameters", "error"),
    [
        ({"retention": 1.0}, RangeError),
        ({"retention": -0.1}, RangeError),
        ({"retention": float("nan")}, RangeError),
        ({"v_reset": 1.5}, RangeError),
        ({"v_threshold": np.ones((2, 2))}, ShapeError),
        ({"surrogate": "tri"}, RangeError),
    ],
)
def test_bad_parameters_are_refused(parameters, error):
    with pytest.raises(error):
        LIFCell(**parameters)


def test_a_gain_needs_steps():
    with pytest.raises(RangeError, match="at least one"):
        DLIFCell(0)


def small_sequence():
    generator = torch.Generator().manual_seed(0)
    model = SpikingSequence(
        torch.nn.Linear(6, 9),
        DLIFCell(5, 0.8, 0.5),
        torch.nn.Linear(9, 7),
        LIFCell(0.9, 0.4, -0.2),
        torch.nn.Linear(7, 3),
        steps=5,
    ).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.rand(parameter.shape, generator=generator) * 1.4 - 0.5)
        model[1].gain.copy_(torch.tensor([0.5, 2.0, 1.0, 0.25, 3.0]))
    return model


def test_sequence_equals_step_by_step():
    model = small_sequence()
    x = currents(4, steps=5, batch=11, size=6)
    output = model.run(x)
    states = [None, None]
    total = 0
    for t in range(5):
        i1 = model[0](x[t])
        s1, states[0] = model[1](i1, states[0])
        i2 = model[2](s1)
        s2, states[1] = model[3](i2, states[1])
        total = total + model[4](s2)
        assert torch.equal(output.spikes[0][t], s1)
        assert torch.equal(output.spikes[1][t], s2)
        torch.testing.assert_close(output.currents[1][t], i2, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(output.scores, total / 5, rtol=1e-12, atol=1e-14)
    assert 0.05 < output.spikes[1].mean() < 0.95


def test_held_image_equals_its_repetition():
    model = small_sequence()
    image = currents(6, steps=1, batch=11, size=6)[0]
    held, repeated = model.run(image), model.run(image.expand(5, 11, 6))
    for a, b in zip(held.spikes, repeated.spikes, strict=True):
        assert torch.equal(a, b)
    torch.testing.assert_close(held.scores, repeated.scores, rtol=1e-12, atol=1e-14)
    assert torch.equal(model(image), held.scores)


def test_sequence_refuses_other_shapes():
    with pytest.raises(ShapeError, match=r"\[B, n\]"):
        small_sequence()(torch.zeros(6))
