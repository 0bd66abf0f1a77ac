"""What Norse cannot express is an error that names every node and the reason."""

import numpy as np
import pytest
import torch
from export_norse.made_graphs import DT, affine, between, door, load, neuron, spikes, tree

import neurodeploy
from neurodeploy.errors import InputError, ShapeError, UnsupportedNodeError
from neurodeploy.export.norse import from_nir

RNG = np.random.default_rng(0)


def network_of(kind, folder, **words):
    return from_nir(load(between(neuron(kind, (3,), RNG), (3,)), folder, **words))


@pytest.mark.parametrize("kind", ["IF", "LIF", "CubaLIF"])
@pytest.mark.parametrize(("words", "text"), [
    ({"spikes": "multiple", "reset": "subtract"}, "several spikes per step"),
    ({"reset": "subtract-once"}, "subtract-once"),
    ({"v_min": -0.5}, "lower limit of the membrane (--v-min -0.5)"),
])  # fmt: skip
def test_words_that_norse_lacks(kind, words, text, tmp_path):
    with pytest.raises(UnsupportedNodeError, match="node 'x'") as error:
        network_of(kind, tmp_path, **words)
    assert text in str(error.value)
    assert f"({kind})" in str(error.value)


@pytest.mark.parametrize("kind", ["I", "LI", "CubaLI"])
def test_words_about_spikes_do_not_concern_integrators(kind, tmp_path):
    assert network_of(kind, tmp_path, spikes="multiple", reset="subtract").check is not None
    with pytest.raises(UnsupportedNodeError, match="lower limit"):
        network_of(kind, tmp_path, v_min=0.0)


def test_late_reset_of_a_membrane_without_memory(tmp_path):
    tau = np.array([DT, 2 * DT, DT])
    made = between(neuron("LIF", (3,), RNG, tau=tau), (3,))
    with pytest.raises(UnsupportedNodeError, match=r"2 of 3 neurons"):
        from_nir(load(made, tmp_path, reset="subtract-late"))


def test_all_nodes_are_named(tmp_path):
    made = tree({
        "input": door("Input", (3,)), "first": neuron("LIF", (3,), RNG), "w": affine(3, 3, RNG),
        "second": neuron("IF", (3,), RNG), "output": door("Output", (3,)),
    })  # fmt: skip
    with pytest.raises(UnsupportedNodeError) as error:
        from_nir(load(made, tmp_path, spikes="multiple", reset="subtract"))
    text = str(error.value)
    assert "2 of 5 nodes" in text
    assert "'first'" in text
    assert "'second'" in text
    assert "'w'" not in text


def test_delay_too_long(tmp_path):
    made = between({"type": "Delay", "delay": np.array([20_000 * DT])}, (1,))
    with pytest.raises(UnsupportedNodeError, match="20000 steps"):
        from_nir(load(made, tmp_path))


def test_wrong_arguments(tmp_path):
    graph = load(between(neuron("LIF", (3,), RNG), (3,)), tmp_path)
    with pytest.raises(InputError, match="takes a Graph"):
        from_nir("graph.nir")
    with pytest.raises(InputError, match="choose from super"):
        from_nir(graph, surrogate="sigmoid")
    with pytest.raises(ShapeError, match=r"needs \[T, B, 3\]"):
        from_nir(graph, sample=np.zeros((4, 3)))
    network = from_nir(graph)
    for shape in ((4, 3), (0, 2, 3), (5, 2, 4)):
        with pytest.raises(ShapeError, match="needs"):
            network(torch.zeros(shape))


def test_the_library_s_front_door(tmp_path):
    path = tmp_path / "graph.nir"
    load(between(neuron("LIF", (3,), RNG), (3,)), tmp_path)
    network = neurodeploy.from_nir(neurodeploy.read(path, dt=DT), trainable=False)
    assert network.check.spikes["x"] > 0
    assert network(torch.zeros(2, 1, 3)).shape == (2, 1, 3)
    with pytest.raises(InputError):
        neurodeploy.from_nir(None)


def test_step_and_forward_are_one_computation(tmp_path):
    rng = np.random.default_rng(1)
    network = from_nir(load(between(neuron("CubaLIF", (3,), rng), (3,)), tmp_path))
    x = torch.tensor(spikes(rng, 12, 2, 3), dtype=torch.float32)
    state, outputs = None, []
    for t in range(12):
        y, state = network.step(x[t], state)
        outputs.append(y)
    assert torch.equal(torch.stack(outputs), network(x))
    assert network(x).any()


@pytest.mark.parametrize("wrong", [
    {"alpha": "x"}, {"alpha": -1.0}, {"dtype": "float32"}, {"dtype": torch.int32}, {"seed": "x"},
    {"seed": -1}, {"sample": "no"}, {"sample": np.zeros((2, 1, 3), complex)},
], ids=str)  # fmt: skip
def test_arguments_of_another_kind_are_named(wrong, tmp_path):
    graph = load(between(neuron("LIF", (3,), RNG), (3,)), tmp_path)
    with pytest.raises((InputError, ShapeError), match=next(iter(wrong))):
        from_nir(graph, **wrong)


def test_random_numbers_are_not_used_up(tmp_path):
    graph = load(between(affine(3, 2, RNG), (3,), (2,)), tmp_path)
    before = torch.get_rng_state()
    from_nir(graph)
    assert torch.equal(torch.get_rng_state(), before)
