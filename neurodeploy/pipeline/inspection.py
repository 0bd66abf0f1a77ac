"""What is in a file, as tables and as JSON: nodes, shapes, contract, findings, fit to a chip."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neurodeploy import hardware_profiles
from neurodeploy.errors import InputError
from neurodeploy.findings import Finding
from neurodeploy.graph import CONVENTIONS, Contract, Survey, option_name, survey
from neurodeploy.network import FixedPointNetwork, FixedSynapse, check_legality, network_hash
from neurodeploy.pipeline.coverage import by_status, coverage_of
from neurodeploy.pipeline.fixed_file import holds_integers, read_integers
from neurodeploy.pipeline.node_table import dead_text, node_rows, range_text
from neurodeploy.quantization import describe_populations
from neurodeploy.quantization.description import scale_text

Table = tuple[str, Sequence[str], list[tuple[Any, ...]]]


@dataclass(frozen=True, slots=True)
class Inspection:
    """Tables to print, the same as JSON, and findings.

    ``fits``: whether the chip (if one is named) can hold it. ``stops``: the findings because of
    which no command can use the file; empty if it can be used.
    """

    document: dict[str, Any]
    tables: tuple[Table, ...]
    findings: tuple[Finding, ...]
    fits: bool
    stops: tuple[Finding, ...] = ()


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
    """Inspect a NIR file, broken or not, or a NET.h5.

    Raises
    ------
    InputError
        If a NET.h5 cannot be read, or is given options for NIR files.
    """
    path = Path(path)
    if holds_integers(path):
        if profile is not None:
            raise InputError(f"{path}: holds integers and their own profile; drop --profile")
        return _inspect_network(path, lava_quirks)
    if profile is not None:
        hardware_profiles.load(profile)  # a wrong name is no finding about the file
    found = survey(path, options, convention=convention, repair=repair)
    stopping = ("error", "warning") if strict else ("error",)
    stops = tuple(f for f in found.findings if f.severity in stopping)
    nodes = node_rows(found.nodes, found.shapes)
    contract = {} if found.contract is None else found.contract.as_metadata()
    document: dict[str, Any] = {
        "file": str(path),
        "kind": "nir",
        "nir_version": found.version,
        "nodes": [*nodes, *_unread(found)],
        "edges": [list(edge) for edge in found.edges],
        "contract": contract,
        "usable": not stops,
    }
    tables: list[Table] = [
        ("nodes", ("name", "type", "takes", "gives", "numbers", "ranges", "dead"), _rows(document)),
        (
            "contract",
            ("what", "value", "from", "option"),
            _contract_rows(found, options, convention),
        ),
    ]
    findings = found.findings
    fits = True
    if profile is not None and found.graph is not None and not stops:
        covered = coverage_of(found.graph, path.stem, profile)
        findings = (*findings, *(f for f in covered.findings if f not in findings))
        fits = not any(f.severity == "error" for f in covered.findings)
        document["profile"], document["fits"] = profile, fits
        document["coverage"] = {"nodes": list(covered.nodes), "count": by_status(covered.nodes)}
        rows: list[tuple[Any, ...]] = [
            (r["node"], r["status"], r["detail"] or "-") for r in covered.nodes
        ]
        tables.append(("coverage of " + profile, ("node", "held", "how"), rows))
        if covered.model is not None:
            populations = describe_populations(covered.model.require_fixed())
            document["populations"] = populations
            rows = [(p["name"], p["kind"], p["size"], p["latency"]) for p in populations]
            tables.append(("on " + profile, ("population", "kind", "neurons", "latency"), rows))
    document["findings"] = [f.as_dict() for f in findings]
    return Inspection(document, tuple(tables), findings, fits, stops)


def is_assumption(finding: Finding) -> bool:
    """Whether a finding says that a word of the contract was assumed."""
    return finding.where == "contract" and finding.what.endswith("is assumed")


def assumptions(findings: Sequence[Finding]) -> dict[str, Any]:
    """Return the words of the contract that were assumed, with their values."""
    return {name: f.numbers[name] for f in findings if is_assumption(f) for name in f.numbers}


def _contract_rows(
    found: Survey, options: Contract, convention: str | None
) -> list[tuple[Any, ...]]:
    """Return every word of the contract with where it came from."""
    if found.contract is None:
        return []
    assumed = assumptions(found.findings)
    preset = {} if convention is None else CONVENTIONS[convention].fields
    rows = []
    for field in dataclasses.fields(Contract):
        value = getattr(found.contract, field.name)
        if getattr(options, field.name) is not None:
            origin = "option"
        elif field.name in assumed:
            origin = "assumed"
        elif value is not None and preset.get(field.name) == value:
            origin = f"convention {convention}"
        else:
            origin = "-" if value is None else "file"
        option = "-" if field.name == "source_tool" else option_name(field.name)
        rows.append((field.name, "-" if value is None else value, origin, option))
    return rows


def _unread(found: Survey) -> list[dict[str, Any]]:
    """Return the nodes that could not be built, by name and type alone."""
    return [
        {"name": name, "type": kind, "input_shape": None, "output_shape": None}
        for name, kind in found.kinds.items()
        if name not in found.nodes
    ]


def _rows(document: dict[str, Any]) -> list[tuple[Any, ...]]:
    return [
        (
            n["name"],
            n["type"],
            n["input_shape"] or "?",
            n["output_shape"] or "?",
            n.get("parameters", "?"),
            range_text(n) if "ranges" in n else "",
            dead_text(n) if "ranges" in n else "",
        )
        for n in document["nodes"]
    ]


def _synapse_entry(net: FixedPointNetwork, s: FixedSynapse) -> dict[str, Any]:
    """Describe a synapse; delays as (shortest, longest), in hardware and in logical steps."""
    logical = net.logical_delay(s)
    return {
        "name": s.name,
        "source": s.source,
        "target": s.target,
        "kind": s.kind,
        "shape": list(s.weight.shape),
        "size": [s.size_out, s.size_in],
        "weight_exp": s.weight_exp,
        "sign_mode": s.sign_mode,
        "weight_bits": s.weight_bits,
        "message_bits": s.message_bits,
        "delay": [s.delays[0], s.delays[-1]],
        "logical_delay": [int(logical.min()), int(logical.max())],
    }


def _range(ends: list[int]) -> str:
    return str(ends[0]) if ends[0] == ends[1] else f"{ends[0]}..{ends[1]}"


def _inspect_network(path: Path, lava_quirks: bool) -> Inspection:
    net, noticed = read_integers(path)
    limits = hardware_profiles.limits_in("" if lava_quirks else net.profile)
    findings = (*noticed, *(() if lava_quirks else check_legality(net, limits)))
    populations = describe_populations(net)
    synapses = [_synapse_entry(net, s) for s in net.synapses]
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
                    scale_text(p),
                    p["v_threshold"][0],
                    f"{p['gain']} {p['gain_form']}" if p["gain"] else "-",
                )
                for p in populations
            ],
        ),
        (
            "synapses",
            ("name", "kind", "weights", "exponent", "sign mode", "bits", "delay", "steps"),
            [
                (
                    s["name"],
                    s["kind"],
                    s["shape"],
                    s["weight_exp"],
                    s["sign_mode"],
                    s["weight_bits"],
                    _range(s["delay"]),
                    _range(s["logical_delay"]),
                )
                for s in synapses
            ],
        ),
    )
    fits = not any(f.severity == "error" for f in findings)
    return Inspection(document, tables, tuple(findings), fits)
