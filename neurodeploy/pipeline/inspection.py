"""What is in a file, as tables and as JSON: nodes, shapes, contract, findings, fit to a chip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neurodeploy.errors import InputError, NeurodeployError
from neurodeploy.findings import Finding
from neurodeploy.graph import Contract, read
from neurodeploy.network import check_legality, load_network, network_hash
from neurodeploy.pipeline.model import model_from_graph, quantized
from neurodeploy.quantization import describe_populations

Table = tuple[str, Sequence[str], list[tuple[Any, ...]]]


@dataclass(frozen=True, slots=True)
class Inspection:
    """Tables to print, the same as JSON, findings, and whether the chip (if any) can hold it."""

    document: dict[str, Any]
    tables: tuple[Table, ...]
    findings: tuple[Finding, ...]
    fits: bool


def inspect_file(
    path: str | Path,
    options: Contract,
    *,
    profile: str | None = None,
    strict: bool = False,
    lava_quirks: bool = False,
    convention: str | None = None,
    repair: bool = False,
) -> Inspection:
    """Inspect a NIR file or a NET.h5.

    Raises
    ------
    InputError
        If the file cannot be read; the message has all findings.
    """
    path = Path(path)
    if path.suffix in (".h5", ".hdf5"):
        if profile is not None:
            raise InputError(f"{path}: a NET.h5 holds its own profile; drop --profile")
        return _inspect_network(path, lava_quirks)
    graph, findings = read(path, options, strict=strict, convention=convention, repair=repair)
    nodes = [
        (name, type(node).__name__, *map(list, graph.shapes[name]))
        for name, node in graph.nodes.items()
    ]
    contract = graph.contract.as_metadata()
    document: dict[str, Any] = {
        "file": str(path),
        "kind": "nir",
        "nodes": [
            {"name": n, "type": t, "input_shape": i, "output_shape": o} for n, t, i, o in nodes
        ],
        "edges": [list(edge) for edge in graph.edges],
        "contract": contract,
    }
    tables: list[Table] = [
        ("nodes", ("name", "type", "takes", "gives"), nodes),
        ("contract", ("what", "value"), [(k, v) for k, v in contract.items()]),
    ]
    fits = True
    if profile is not None:
        more, lacking = _on_chip(graph, path.stem, profile)
        findings = (*findings, *lacking)
        fits = not any(f.severity == "error" for f in lacking)
        document["profile"], document["fits"] = profile, fits
        if more:
            document["populations"] = more
            rows = [(p["name"], p["kind"], p["size"], p["latency"]) for p in more]
            tables.append(("on " + profile, ("population", "kind", "neurons", "latency"), rows))
    document["findings"] = [f.as_dict() for f in findings]
    return Inspection(document, tuple(tables), tuple(findings), fits)


def _on_chip(graph: Any, name: str, profile: str) -> tuple[list[dict[str, Any]], list[Finding]]:
    """Quantise without data; what stops it becomes an error finding."""
    try:
        model = quantized(model_from_graph(graph, name), profile)
    except NeurodeployError as error:
        return [], [Finding("error", f"profile {profile}", str(error))]
    return describe_populations(model.require_fixed()), list(model.findings)


def _inspect_network(path: Path, lava_quirks: bool) -> Inspection:
    net = load_network(path)
    findings = () if lava_quirks else check_legality(net)
    populations = describe_populations(net)
    synapses = [
        {
            "name": s.name,
            "shape": list(s.weight.shape),
            "weight_exp": s.weight_exp,
            "sign_mode": s.sign_mode,
            "weight_bits": s.weight_bits,
            "message_bits": s.message_bits,
        }
        for s in net.synapses
    ]
    document = {
        "file": str(path),
        "kind": "fixed-point network",
        "content_hash": network_hash(net),
        "steps": net.steps,
        "encoder": net.encoder.as_dict(),
        "readout": net.readout.as_dict(),
        "contract": dict(net.contract),
        "populations": populations,
        "synapses": synapses,
        "calibration_samples": len(net.calibration),
        "findings": [f.as_dict() for f in findings],
    }
    tables: tuple[Table, ...] = (
        (
            "populations",
            ("name", "kind", "neurons", "latency", "units of v", "threshold", "gain"),
            [
                (
                    p["name"],
                    p["kind"],
                    p["size"],
                    p["latency"],
                    f"{p['scale']:g}",
                    p["v_threshold"][0],
                    p["gain"] or "-",
                )
                for p in populations
            ],
        ),
        (
            "synapses",
            ("name", "shape", "exponent", "sign mode", "bits"),
            [
                (s["name"], s["shape"], s["weight_exp"], s["sign_mode"], s["weight_bits"])
                for s in synapses
            ],
        ),
    )
    fits = not any(f.severity == "error" for f in findings)
    return Inspection(document, tables, tuple(findings), fits)
