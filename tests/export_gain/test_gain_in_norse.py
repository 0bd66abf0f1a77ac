"""Norse's own importer, which knows no gain and drops r and v_reset, runs portable files right."""

import logging

import nir
import numpy as np
import pytest
import torch
from export_gain.gain_networks import (
    DT,
    affine,
    chain,
    dense,
    ends,
    gain,
    graph_of,
    lif,
    literal,
    stimulus,
    used_gains,
)

from neurodeploy.errors import UnsupportedNodeError
from neurodeploy.export.gain import (
    check_portable_gain,
    portable_stimulus,
    to_portable_gain,
    write_portable_gain,
)

norse = pytest.importorskip("norse.torch")
pytestmark = pytest.mark.filterwarnings("ignore:nirtorch.load is being deprecated")


@torch.no_grad()
def run_in_norse(path, x):
    """Return the sum of the read-out and the spikes of every LIF, [T, B, n] by name."""
    model = norse.from_nir(nir.read(path), dt=DT)
    spikes = {}
    for name, module in model.named_modules():
        if type(module).__name__ == "LIFBoxCell":
            spikes[name] = []
            module.register_forward_hook(lambda m, i, o, name=name: spikes[name].append(o[0]))
    state, outputs = None, []
    for frame in torch.from_numpy(x).float():
        output, state = model(frame, state)
        outputs.append(output)
    return torch.stack(outputs).numpy(), {k: torch.stack(v).numpy() for k, v in spikes.items()}


@pytest.mark.parametrize(("form", "bits"), [("bit-planes", b) for b in (2, 4, 8)])
@pytest.mark.parametrize("bias", [True, False])
def test_bit_planes(tmp_path, form, bits, bias):
    rng = np.random.default_rng(bits)
    graph = dense(tmp_path / "graph.nir", rng, [gain(rng, 9, 0.9), gain(rng, 9, 0.9)], bias=bias)
    x = stimulus(rng, 6, samples=30)
    path = tmp_path / "portable.nir"
    check, _ = write_portable_gain(graph, path, form, x, bits=bits)
    used = used_gains(path)
    wanted = literal(tmp_path / "graph.nir", x, used).outputs
    unaware = literal(tmp_path / "graph.nir", x, {key: [1.0] for key in used}).outputs
    outputs, spikes = run_in_norse(path, portable_stimulus(x, path))
    compared = 0
    for name in ("lif1", "lif2"):
        (found,) = (v for k, v in spikes.items() if k.split(".")[-1] == name)
        found = found[..., : wanted[name].shape[-1]]  # without the relays behind them
        assert np.array_equal(found, wanted[name])
        assert (wanted[name] != unaware[name]).mean() > 0.01  # else nothing is shown
        compared += found.size
    assert compared == check.compared
    assert np.allclose(outputs, wanted["output"], atol=1e-4)


def test_the_metadata_form_is_wrong_there(tmp_path):
    rng = np.random.default_rng(2)
    dense(tmp_path / "graph.nir", rng, [gain(rng, 9), gain(rng, 9)])
    x = stimulus(rng, 6, samples=30)
    wanted = literal(tmp_path / "graph.nir", x).outputs
    logging.disable(logging.WARNING)
    _, spikes = run_in_norse(tmp_path / "graph.nir", x)
    logging.disable(logging.NOTSET)
    wrong = [(v != wanted[k.split(".")[-1]]).mean() for k, v in spikes.items()]
    assert min(wrong) > 0.01


def test_r_in_the_weights(tmp_path):
    """The cells of neurodeploy are written with r = tau / dt, which Norse drops."""
    rng = np.random.default_rng(3)
    graph = dense(
        tmp_path / "graph.nir",
        rng,
        [gain(rng, 9, 0.9), gain(rng, 9, 0.9)],
        neuron=lambda size, values: lif(size, values, r=rng.uniform(0.4, 2, size)),
    )
    x = stimulus(rng, 6, samples=30)
    paths = {unit_r: tmp_path / f"{unit_r}.nir" for unit_r in (False, True)}
    for unit_r, path in paths.items():
        write_portable_gain(graph, path, "bit-planes", x, bits=5, unit_r=unit_r)
        check_portable_gain(path, graph, x)
    wanted = literal(tmp_path / "graph.nir", x, used_gains(paths[True])).outputs
    wrong = {
        unit_r: [
            (v[..., : wanted[k].shape[-1]] != wanted[k]).sum()
            for k, v in run_in_norse(path, portable_stimulus(x, path))[1].items()
            if k in wanted
        ]
        for unit_r, path in paths.items()
    }
    assert wrong[True] == [0, 0]
    assert min(wrong[False]) > 0


def test_r_that_fits_no_weights(tmp_path):
    rng = np.random.default_rng(4)
    nodes = ends(6, 9) | {"affine1": affine(rng, 9, 6), "lif1": lif(9)}
    nodes |= {"lif2": lif(9, gain(rng, 9), r=2.0)}
    order = chain("input", "affine1", "lif1", "lif2", "output")
    graph = graph_of(tmp_path / "graph.nir", nodes, order, readout=("lif2", "count"))
    with pytest.raises(UnsupportedNodeError, match=r"'lif2': r is 2..2, and 'lif1' \(LIF\)"):
        to_portable_gain(graph, "bit-planes", unit_r=True)
