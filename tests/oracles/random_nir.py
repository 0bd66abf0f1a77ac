"""Random NIR files as users could write them, ordinary and odd, for the whole way to integers."""

import nir
import numpy as np

from neurodeploy.graph import PLAIN_NIR_EULER

DT_S = 1e-3


def write_random_nir(path, seed):
    """Write one to three LIF or DLIF layers with every odd parameter that validation lets pass."""
    rng = np.random.default_rng(seed)
    steps, n_input = int(rng.integers(1, 31)), int(rng.choice([1, 3, 8, 16, 40, 130]))
    unit = float(rng.choice([1, 1, 1, 1e-3, 1e3, 1e6]))
    nodes = {"input": nir.Input({"input": np.array([n_input])})}
    size = n_input
    for layer in range(int(rng.integers(1, 4))):
        if layer or rng.random() > 0.12:
            size = _add_affines(
                rng, nodes, layer, size, int(rng.choice([1, 2, 5, 12, 30, 90])), unit
            )
        nodes[f"lif{layer}"] = _lif(rng, size, steps, unit)
    kind = "count"
    if rng.random() < 0.5:
        kind, classes = "sum", int(rng.choice([1, 2, 10]))
        weight = _weight(rng, classes, size, 1.0)
        nodes["readout"] = nir.Affine(weight, rng.normal(0, 0.3, classes))
        size = classes
    nodes["output"] = nir.Output({"output": np.array([size])})
    names = list(nodes)
    contract = PLAIN_NIR_EULER.as_metadata()
    low = float(rng.choice([0, 0, -1, 0.5, -0.3]))
    contract |= {"dt": DT_S, "steps": steps, "readout": {"node": names[-2], "kind": kind}}
    contract["encoder"] = {
        "kind": "constant", "low": low, "high": low + float(rng.choice([1, 2, 0.1])),
        "bits": int(rng.choice([1, 2, 4, 6, 8, 8, 8, 10, 12, 16])),
    }  # fmt: skip
    edges = list(zip(names, names[1:], strict=False))
    nir.write(path, nir.NIRGraph(nodes, edges, metadata={"neurodeploy": contract}))
    return path


def _add_affines(rng, nodes, layer, n_in, n_out, unit):
    """Add one affine or linear node, sometimes two in a chain; return how many values leave."""
    widths = [int(rng.integers(1, 10)), n_out] if rng.random() < 0.2 else [n_out]
    for i, width in enumerate(widths):
        last = i == len(widths) - 1
        scale = (unit * rng.uniform(0.5, 4) if last else 1.0) / np.sqrt(n_in)
        weight = _weight(rng, width, n_in, scale)
        size = float(rng.choice([0, 0.1, 0.5, 20.0], p=[0.2, 0.35, 0.35, 0.1]))
        bias = rng.normal(0, size * (unit if last else 1.0), width)
        one_sided = rng.integers(3)
        bias = np.abs(bias) if one_sided == 1 else -np.abs(bias) if one_sided == 2 else bias
        name = f"linear{layer}_{i}"
        nodes[name] = nir.Affine(weight, bias) if size else nir.Linear(weight)
        n_in = width
    return n_in


def _weight(rng, n_out, n_in, scale):
    weight = rng.normal(0, scale, (n_out, n_in))
    kind = rng.choice(["normal", "positive", "negative", "zero", "sparse", "outlier"],
                      p=[0.6, 0.1, 0.08, 0.05, 0.1, 0.07])  # fmt: skip
    if kind == "outlier":
        weight[0, 0] = 50 * scale
    return {
        "positive": np.abs(weight),
        "negative": -np.abs(weight),
        "zero": 0 * weight,
        "sparse": weight * (rng.random(weight.shape) < 0.15),
    }.get(kind, weight)


def _lif(rng, n, steps, unit):
    tau = DT_S * np.exp(rng.uniform(0, np.log(200), n))
    if rng.random() < 0.15:
        tau[:] = DT_S  # keeps nothing
    gain = None
    if rng.random() < 0.3:
        gain = rng.uniform(0.2, 2, int(rng.choice([1, 2, steps, steps + 5, max(1, steps - 2)])))
    v_reset = unit * float(rng.choice([0, 0, 0, -0.3, 0.1, -1.0]))
    settled = gain is not None or rng.random() < 0.5
    return nir.LIF(
        tau=tau,
        r=tau / DT_S if rng.random() < 0.7 else rng.uniform(0.5, 30, n),
        v_leak=np.full(n, v_reset) if settled else unit * rng.uniform(-0.5, 0.5, n),
        v_threshold=np.maximum(unit * rng.uniform(0.2, 2, n), v_reset + 0.05 * unit),
        v_reset=np.full(n, v_reset),
        metadata={} if gain is None else {"dlif_gain": {"values": gain, "after": "last"}},
    )
