"""Random recurrent loops: every late connection is one step late, its bias acts when it acted."""

import nir
import numpy as np
import pytest
import torch
from export_nir.native import lively, norse, run_literally, run_natively
from torch import nn

from neurodeploy.export.nir import to_nir

STEPS, BATCH, SEEDS = 8, 4, 16


class RandomLoop(nn.Module):
    """Cells in a row with random connections: to later cells in the same step, to any a step late.

    A late connection is fed zeros before the first step, or left out there.
    """

    def __init__(self, seed):
        super().__init__()
        draw = np.random.default_rng(seed)
        count = int(draw.integers(2, 5))
        self.sizes = [int(n) for n in draw.integers(3, 6, count)]
        kinds = [norse.LIFCell, norse.LIFBoxCell, norse.IAFCell, norse.LIBoxCell]
        chosen = draw.integers(0, len(kinds), count)
        chosen[-1] = 1
        self.cells = nn.ModuleList([kinds[k]() for k in chosen])
        self.first = nn.ModuleList(
            [
                nn.Linear(5, n) if i == 0 or draw.random() < 0.4 else None
                for i, n in enumerate(self.sizes)
            ]
        )
        self.links, weights = [], []
        for source in range(count):
            for target in range(count):
                near = target == source + 1
                lag = 0 if near or (target > source and draw.random() < 0.3) else 1
                if near or draw.random() < 0.35:
                    self.links.append((source, target, lag, bool(draw.random() < 0.5)))
                    bias = bool(draw.random() < 0.6)
                    weights.append(nn.Linear(self.sizes[source], self.sizes[target], bias=bias))
        self.weights = nn.ModuleList(weights)

    def forward(self, x):
        batch, count = x.shape[1], len(self.cells)
        states = [None] * count
        last = [torch.zeros(batch, n) for n in self.sizes]
        out = []
        for t in range(x.shape[0]):
            now = []
            for target, cell in enumerate(self.cells):
                current = torch.zeros(batch, self.sizes[target])
                if self.first[target] is not None:
                    current = current + self.first[target](x[t])
                for (source, end, lag, zeros), layer in zip(self.links, self.weights, strict=True):
                    if end == target and lag == 0:
                        current = current + layer(now[source])
                    elif end == target and (t > 0 or zeros):
                        current = current + layer(last[source])
                z, states[target] = cell(current, states[target])
                now.append(z)
            last = now
            out.append(now[-1])
        return torch.stack(out)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Return a function: model, input, check and file of a seed, exported once."""
    folder, known = tmp_path_factory.mktemp("loops"), {}

    def export(seed):
        if seed not in known:
            model = lively(RandomLoop(seed), seed, scale=0.7)
            x = np.random.default_rng(seed).uniform(0, 1, (STEPS, BATCH, 5))
            path = folder / f"{seed}.nir"
            check, _ = to_nir(model, x, path)
            known[seed] = model, x, check, path
        return known[seed]

    return export


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_random_loop_exports_exactly(seed, exported):
    model, x, _, path = exported(seed)
    run, _ = run_literally(path, x)
    _, rasters = run_natively(model, x)
    for place, raster in rasters.items():
        node = place.replace(".", "_")
        if node not in run.outputs:
            # A cell the output does not hang on is not in the file.
            assert not any(a == node for a, _ in nir.read(path, type_check=False).edges)
        elif isinstance(model.get_submodule(place), norse.LIBoxCell):
            np.testing.assert_allclose(run.outputs[node], raster, rtol=1e-9, atol=1e-12)
        else:
            assert np.array_equal(run.outputs[node], raster), place


def test_both_ways_to_be_late_occur(exported):
    """The seeds above hold plain cycles and Delay nodes, and neurons that do fire."""
    cycles = delays = fired = 0
    for seed in range(SEEDS):
        _, _, check, path = exported(seed)
        graph = nir.read(path, type_check=False)
        found = [n for n in graph.nodes.values() if isinstance(n, nir.Delay)]
        late = sum(lag for *_, lag, _ in RandomLoop(seed).links)
        delays += bool(found)
        cycles += late > len(found)
        fired += not check.silent
    assert cycles > 8
    assert delays > 3
    assert fired > 10
