"""Graphs that no chip holds: one error that lists every node in the way, each with a remedy."""

import nir
import numpy as np
import pytest

from neurodeploy.cli import main

WORDS = ("--dt", "1e-3", "--steps", "5")


def weights(n_out, n_in, size=1.0):
    return nir.Linear(size * np.random.default_rng(n_out).normal(size=(n_out, n_in)))


def lif(n, tau=0.02, threshold=1.0):
    return nir.LIF(
        tau=np.full(n, tau), r=np.ones(n), v_leak=np.zeros(n),
        v_threshold=np.full(n, threshold), v_reset=np.zeros(n),
    )  # fmt: skip


def li(n):
    return nir.LI(tau=np.full(n, 0.02), r=np.ones(n), v_leak=np.zeros(n))


def biased():
    return nir.Affine(np.eye(3), np.ones(3))


def delay(seconds):
    return nir.Delay(np.full(3, seconds))


#: name: (nodes in a chain, words, names that the error lists, remedies it gives)
GRAPHS = {
    "biases behind delays": (
        {"a1": biased(), "d1": delay(2e-3), "l1": lif(3), "a2": biased(), "d2": delay(3e-3),
         "l2": lif(3)},
        (), ("'d1'", "'d2'"), ("put the Delay before the node with the bias",),
    ),
    "membranes sent on": (
        {"a1": weights(3, 3), "li1": li(3), "a2": weights(3, 3), "li2": li(3),
         "a3": weights(3, 3), "l3": lif(3)},
        (), ("'li1'", "'li2'"), ("read it out instead, or make it a LIF",),
    ),
    "rules of the contract": (
        {"a1": weights(3, 3), "l1": lif(3), "a2": weights(3, 3), "l2": lif(3)},
        ("--reset", "subtract-late", "--spikes", "multiple", "--v-min", "-1"),
        ("'l1'", "'l2'"),
        ("reset 'value' and reset 'subtract' are supported", "use spikes single", "v-min none"),
    ),
    "thresholds below the reset": (
        {"a1": weights(3, 3), "l1": lif(3, threshold=-1), "a2": weights(3, 3),
         "l2": lif(3, threshold=-2), "a3": biased(), "d3": delay(2e-3), "l3": lif(3)},
        (), ("'l1'", "'l2'", "'d3'"),
        ("shift v_leak, v_reset and v_threshold together", "put the Delay before"),
    ),
    "delays beyond the chip's": (
        {"a1": weights(3, 3), "l1": lif(3), "d1": delay(0.1), "a2": weights(3, 3), "l2": lif(3),
         "d2": delay(0.2), "a3": weights(3, 3), "l3": lif(3)},
        (), ("'l1' to 'l2'", "'l2' to 'l3'"), ("use shorter delays",),
    ),
    "numbers beyond all sizes": (
        {"a1": weights(3, 3, 1e70), "l1": lif(3), "a2": weights(3, 3), "l2": lif(3, threshold=1e80)},
        (), ("population l1", "population l2"), ("rescale the model",),
    ),
    "shapes": (
        {"a1": weights(3, 3), "l1": lif(3), "a2": weights(5, 3), "l2": lif(3), "a3": weights(3, 7)},
        (), ("'a2'", "'a3'"), ("gives shape",),
    ),
    "numbers that are none": (
        {"a1": weights(3, 3, np.nan), "l1": lif(3, tau=0.0), "a2": weights(3, 3), "l2": lif(3)},
        (), ("'a1'", "'l1'"), ("check the training run", "a time constant is positive"),
    ),
    "delays of fractions of a step": (
        {"d1": delay(2.5e-4), "a1": weights(3, 3), "l1": lif(3), "d2": delay(1.7e-3),
         "a2": weights(3, 3), "l2": lif(3)},
        (), ("'d1'", "'d2'"), ("--delay-rounding nearest or floor",),
    ),
    "steps too long": (
        {"a1": weights(3, 3), "l1": lif(3, tau=1e-4), "a2": weights(3, 3), "l2": lif(3, tau=2e-4)},
        (), ("'l1'", "'l2'"), ("--decay exponential",),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", GRAPHS)
def test_one_error_lists_every_node(tmp_path, name, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    inner, more, listed, remedies = GRAPHS[name]
    nodes = {
        "input": nir.Input({"input": np.array([3])}),
        **inner,
        "output": nir.Output({"output": np.array([3])}),
    }
    edges = list(zip(nodes, list(nodes)[1:], strict=False))
    nir.write("g.nir", nir.NIRGraph(nodes, edges, type_check=False))
    np.savez("x.npz", x=np.zeros((5, 1, 3)))
    for command in (
        ("quantize", "g.nir", "--profile", "loihi2", "--out", "net.h5"),
        ("run", "g.nir", "--input", "x.npz", "--backend", "fixed", "--profile", "loihi2",
         "--out", "t.npz"),
    ):  # fmt: skip
        assert main([*command, *WORDS, *more]) == 2
        said = capsys.readouterr().err
        assert said.startswith("error: ")
        assert [word for word in (*listed, *remedies) if word not in said] == []
    assert sorted(p.name for p in tmp_path.iterdir()) == ["g.nir", "x.npz"]
    code = main(["inspect", "g.nir", "--profile", "loihi2", *WORDS, *more])
    said = "".join(capsys.readouterr())
    assert code in (1, 2)
    assert [word for word in listed if word.strip("'") not in said] == []
