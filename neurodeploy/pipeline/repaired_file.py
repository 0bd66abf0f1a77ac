"""`quantize --nir`: what the integers stand for as a NIR file, and whether it quantises back."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import InputError, NeurodeployError
from neurodeploy.files import replacing
from neurodeploy.findings import Finding, Result
from neurodeploy.graph import read
from neurodeploy.lowering import lower
from neurodeploy.network import (
    ALIGN_BITS,
    ALWAYS_ON,
    EventStimuli,
    FixedPointNetwork,
    FixedPopulation,
    Samples,
    Stimuli,
    decide,
)
from neurodeploy.pipeline.diagnosing import as_deployed
from neurodeploy.pipeline.model import Model, quantized
from neurodeploy.pipeline.standing_network import standing_network
from neurodeploy.pipeline.stimulus import stimulus_for
from neurodeploy.pipeline.written_graph import written_graph
from neurodeploy.quantization import QuantizeConfig
from neurodeploy.simulate import run_fixed, run_float

#: Samples on which decisions are compared.
_SAMPLES = 256


def repaired_nir(
    model: Model,
    profile: str | Path,
    config: QuantizeConfig,
    calibration: Samples | Stimuli | EventStimuli | None = None,
) -> Result[bytes]:
    """Return a NIR file whose parameters are what the model's integers stand for.

    Weights, biases and thresholds are those of the integers; decays, gains and the contract those
    of the graph. A finding says whether the file, quantised as before with every rounding to the
    nearest, gives the same integers, and what differs.

    Parameters
    ----------
    model : Model
        Quantised, from a graph.
    profile, config, calibration
        What it was quantised with.

    Raises
    ------
    InputError
        If the model came without its graph, or a constant has no place in NIR.
    ResourceError
        If a convolution has become a matrix that is too large.
    """
    if model.graph is None:
        raise InputError(f"{model.name}: holds no graph to write; start from the .nir file")
    net = model.require_fixed()
    standing = standing_network(model.require_network(), net)
    content = written_graph(model.graph, standing)
    again = _read(content, model.name)
    plain = dataclasses.replace(config, rounding="nearest", bias="own", threshold="own")
    try:
        fixed = quantized(again, profile, plain, calibration)
    except NeurodeployError as error:
        text = f"quantised again it fits no register: {error}"
        return Result(content, (Finding("warning", "NIR", text),))
    differing = differences(net, fixed.require_fixed())
    numbers: dict[str, Any] = {"differing": differing}
    text = "quantised again, rounded to the nearest, the file gives the same integers"
    if differing:
        listed = ", ".join(f"{name}: {what}" for name, what in differing.items())
        text = f"quantised again, rounded to the nearest, the file gives other integers ({listed})"
    if calibration is not None:
        shares = _equal_decisions(model, fixed, calibration)
        numbers["decisions_equal"] = shares
        text += (
            f"; it decides as the integers on {shares[1]:.1%} of the calibration samples, the "
            f"graph that they were made from on {shares[0]:.1%}"
        )
    severity = "warning" if differing else "info"
    return Result(content, (Finding(severity, "NIR", text, "", numbers),))  # type: ignore[arg-type]


def require_writable(path: str | Path | None, config: QuantizeConfig) -> None:
    """Refuse to write what never can be, before minutes of work.

    Raises
    ------
    InputError
        For gains in bit planes.
    """
    if path is not None and config.remap == "bitplane":
        raise InputError(
            f"NIR {path}: the gates of remap bitplane stand for no float neuron; use remap "
            "microcode, graded or fold, or write no NIR file"
        )


def write_repaired(
    path: str | Path,
    model: Model,
    profile: str | Path,
    config: QuantizeConfig,
    calibration: Samples | Stimuli | EventStimuli | None = None,
) -> tuple[Finding, ...]:
    """Write the file of ``repaired_nir``; return what was found on the way."""
    found = repaired_nir(model, profile, config, calibration)
    with replacing(Path(path)) as temporary:
        temporary.write_bytes(found.value)
    return found.findings


def _read(content: bytes, name: str) -> Model:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "written.nir"
        path.write_bytes(content)
        graph = read(path).value
        # A graph reads its file again when it is lowered.
        return Model(name, lower(graph).value, None, (), graph)


def differences(net: FixedPointNetwork, other: FixedPointNetwork) -> dict[str, str]:
    """Return what differs between two networks, by population; empty if they compute alike.

    Weights count with their exponents, and constants as what they add to v, wherever they stand.
    """
    known = {p.name.replace("/", "."): p for p in other.populations}
    found: dict[str, str] = {}
    for p in net.populations:
        q = known.get(p.name.replace("/", "."))
        if q is None or q.size != p.size:
            found[p.name] = "is not there"
        elif not np.allclose(p.scales, q.scales, rtol=1e-12, atol=0):
            found[p.name] = "another unit of v"
        elif what := _differing(net, p, other, q):
            found[p.name] = what
    return found


def _differing(
    net: FixedPointNetwork, p: FixedPopulation, other: FixedPointNetwork, q: FixedPopulation
) -> str:
    weights, others = _weights(net, p), _weights(other, q)
    moved = sum(weights.get(k, 0) != others.get(k, 0) for k in weights.keys() | others.keys())
    counts = {
        "weights": moved,
        "thresholds": int((p.v_threshold != q.v_threshold).sum()),
        "constants": int((_constant(net, p) != _constant(other, q)).sum()),
        "decays": int(((p.decay_v != q.decay_v) | (p.decay_u != q.decay_u)).sum()),
        "gains": int(not np.array_equal(_gain(p), _gain(q))),
    }
    return ", ".join(f"{n} {name}" for name, n in counts.items() if n)


def _gain(p: FixedPopulation) -> NDArray[np.float64]:
    return np.ones(1) if p.gain is None else np.ldexp(p.gain.astype(np.float64), -p.gain_shift)


def _weights(net: FixedPointNetwork, p: FixedPopulation) -> dict[tuple[Any, ...], float]:
    """Return what every connection adds, by (source, target neuron, source neuron, delay)."""
    found: dict[tuple[Any, ...], float] = {}
    for s in net.synapses_into(p.name):
        if s.source == ALWAYS_ON:
            continue
        ends, source = s.connections(), s.source.replace("/", ".")
        each = np.ldexp(ends.weight.astype(np.float64), s.weight_exp)
        rows = zip(
            ends.target.tolist(), ends.source.tolist(), ends.delay.tolist(), each.tolist(),
            strict=True,
        )  # fmt: skip
        for target, neuron, delay, value in rows:
            key = (source, target, neuron, delay)
            found[key] = found.get(key, 0.0) + value
    return found


def _constant(net: FixedPointNetwork, p: FixedPopulation) -> NDArray[np.float64]:
    """Return what enters at every step, from the register and from always-on lines."""
    total = np.ldexp(p.bias.astype(np.float64), p.bias_exp)
    for s in net.synapses_into(p.name):
        if s.source == ALWAYS_ON:
            ends = s.connections()
            each = np.ldexp(ends.weight.astype(np.float64), s.weight_exp + ALIGN_BITS)
            total = total + np.bincount(ends.target, each, minlength=p.size)
    return total


def _equal_decisions(
    model: Model, written: Model, calibration: Samples | Stimuli | EventStimuli
) -> list[float]:
    """Return the shares of samples on which graph and file decide as the integers do."""
    network, stimuli = as_deployed(model, calibration)
    codes = stimulus_for(network, stimuli, "fixed")[0][..., :_SAMPLES, :]
    wanted = decide(run_fixed(model.require_fixed(), codes).scores())
    both = (network, as_deployed(written, calibration)[0])
    return [float((decide(run_float(n, codes).scores()) == wanted).mean()) for n in both]
