"""What a fixture is, how it is checked before it is kept, and how it is written."""

import json
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import nir
import numpy as np
from peers import literal

FIXTURES = Path(__file__).parent / "fixtures"
#: A decision nearer to its threshold than this could differ between float32 and float64.
MARGIN = 2e-6


@dataclass
class Case:
    """One graph, what its tool did with it, and the contract words that say so.

    ``x`` [T, B, *shape]; ``layers`` {NIR node name: spikes or values [T, B, *shape]}, the last of
    them is the network's output. ``words`` make the file mean what the tool did. ``preset`` says
    whether the tool's convention (neurodeploy/graph/conventions.py) with ``extra`` words gives
    the same.
    """

    name: str
    graph: nir.NIRGraph
    x: np.ndarray
    layers: dict
    words: dict
    preset: bool = True
    extra: dict = field(default_factory=dict)
    note: str = ""


def plain_arrays(graph):
    """Return ``graph`` with numpy arrays, so that nir can write what exporters leave as tensors.

    The values stay what the exporter said. 0-d arrays become arrays of one entry: nir 1.0.8
    cannot write a 0-d array.
    """
    for node in graph.nodes.values():
        if isinstance(node, nir.NIRGraph):
            plain_arrays(node)
            continue
        for key, value in vars(node).items():
            if hasattr(value, "detach"):
                value = value.detach().cpu().numpy()
            if isinstance(value, np.ndarray):
                setattr(node, key, np.atleast_1d(value))
    return graph


def without_batch(graph):
    """Return ``graph`` whose Input and Output shapes lose a leading batch axis of one."""
    for node in graph.nodes.values():
        if isinstance(node, (nir.Input, nir.Output)):
            for port in (node.input_type, node.output_type):
                for key, shape in port.items():
                    port[key] = np.asarray(shape)[1:]
    return graph


def check(case):
    """Run the literal interpreter on the written file; raise unless nothing differs."""
    graph = nir.read(FIXTURES / f"{case.name}.nir", type_check=False)
    outputs, closest = literal.run(graph, case.x, case.words)
    worst = 0
    for name, expected in case.layers.items():
        got = outputs[name]
        if got.shape != expected.shape:
            raise ValueError(f"{case.name}: {name} is {got.shape}, the tool gave {expected.shape}")
        if _counts(expected):
            worst += int((got != expected).sum())
        else:
            worst += int((~np.isclose(got, expected, rtol=1e-5, atol=1e-5)).sum())
    spikes = [np.mean(v > 0) for v in case.layers.values() if _counts(v)]
    rates = " ".join(f"{r:.3f}" for r in spikes)
    print(f"{case.name:34s} differ {worst:5d}  active {rates}  closest {closest:.1e}")  # noqa: T201
    if worst:
        raise ValueError(f"{case.name}: {worst} entries differ under {case.words}")
    if closest < MARGIN:
        raise ValueError(f"{case.name}: a decision lies {closest} from its threshold; other seed")
    return closest


def _counts(values):
    return bool(np.all(values == np.round(values)) and np.all(values >= 0))


def write(case, packages, compression=None):
    """Write ``fixtures/<name>.nir`` and ``.npz`` after the check.

    Small arrays take three times the space with nir's default compression (gzip).
    """
    FIXTURES.mkdir(exist_ok=True)
    case.graph.metadata = {}
    nir.write(FIXTURES / f"{case.name}.nir", case.graph, compression=compression)
    closest = check(case)
    arrays = {f"layer.{name}": _small(v) for name, v in case.layers.items()}
    about = {
        "contract": case.words,
        "preset": case.preset,
        "extra": case.extra,
        "note": case.note,
        "closest": closest,
        "versions": {p: version(p) for p in packages},
    }
    texts = {k: np.array(json.dumps(v)) for k, v in about.items()}
    output = arrays[f"layer.{list(case.layers)[-1]}"]
    np.savez_compressed(
        FIXTURES / f"{case.name}.npz", x=_small(case.x), output=output, **arrays, **texts
    )


def _small(values):
    return values.astype(np.uint8) if _counts(values) else values.astype(np.float32)


def stimulus(seed, steps, batch, *shape, rate=0.3):
    """Return random events [steps, batch, *shape] of 0 and 1."""
    rng = np.random.default_rng(seed)
    return (rng.random((steps, batch, *shape)) < rate).astype(np.float32)
