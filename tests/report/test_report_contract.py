"""The report reads what the other parts really write, not only what the fixture imitates."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from report.plausible_run import write_run

from neurodeploy import hardware_profiles
from neurodeploy.cost import compare, count_activity, estimate
from neurodeploy.network import (
    INPUT,
    ConstantEncoder,
    FixedPointNetwork,
    FixedPopulation,
    FixedSynapse,
    Readout,
    compare_traces,
)
from neurodeploy.report import write_report
from neurodeploy.report.number_text import count, energy
from neurodeploy.simulate import run_fixed


@pytest.fixture(scope="module")
def small_network() -> FixedPointNetwork:
    rng = np.random.default_rng(5)

    def population(name: str, size: int, latency: int, threshold: int) -> FixedPopulation:
        full, zero = np.full(size, 1, np.int32), np.zeros(size, np.int32)
        return FixedPopulation(
            name=name,
            nir_nodes=(name,),
            kind="readout" if name == "out" else "lif",
            decay_u=4095 * full,
            decay_v=400 * full,
            bias=zero,
            bias_exp=0,
            v_threshold=threshold * full,
            u_init=zero,
            v_init=zero,
            latency=latency,
            scale=1000.0,
        )

    def synapse(source: str, target: str, shape: tuple[int, int]) -> FixedSynapse:
        weight = 2 * rng.integers(-20, 40, shape, dtype=np.int32)
        bits = 8 if source == INPUT else 0
        return FixedSynapse(f"{source}->{target}", source, target, weight, 0, "mixed", 8, bits)

    return FixedPointNetwork(
        populations=(population("hidden", 12, 1, 300), population("out", 3, 2, 131_072)),
        synapses=(synapse(INPUT, "hidden", (12, 6)), synapse("hidden", "out", (3, 12))),
        n_input=6,
        encoder=ConstantEncoder(bits=8),
        readout=Readout("out", "sum"),
        steps=6,
    )


def test_a_real_cost_estimate_is_shown_with_terms_gaps_and_sources(tmp_path, small_network):
    rng = np.random.default_rng(1)
    profile = hardware_profiles.load("loihi2")
    estimates = []
    for most in (100, 256):
        codes = rng.integers(0, most, (5, 6), dtype=np.int32)
        traces = run_fixed(small_network, codes, timing="lava")
        estimates.append(estimate(count_activity(small_network, traces), profile))
    clean, attacked = estimates
    folder = write_run(tmp_path / "run", models={"one": "lost"})
    document = json.loads((folder / "results.json").read_text())
    document["models"]["one"]["cost"] = {
        "clean": {"fixed": clean.as_dict(), "float": clean.activity.as_dict()},
        "attacked": {"perturbation": "fgsm", "radius_codes": 9, "fixed": attacked.as_dict()},
        "ratios": [{"what": "attacked to clean", **compare(attacked, clean).as_dict()}],
        "summary": clean.summary(),
    }
    (folder / "results.json").write_text(json.dumps(document))
    html = written(folder)
    for boundary in ("core", "core+management", "total"):
        for cost in estimates:
            interval = cost.energy_nj[boundary]
            assert interval is not None
            for value in (interval.low, interval.typ, interval.high):
                assert energy(value) in html
    shown = clean.as_dict()
    assert clean.wording in html.replace("&#39;", "'").replace("&amp;", "&")
    assert len(shown["terms"]) > 10
    for term in shown["terms"]:
        assert f">{term['term'].replace('_', ' ')}<" in html
        assert count(term["count"]["typ"]) in html
    for key, source in shown["sources"].items():
        assert f">{key}<" in html
        assert source["locator"] in html.replace("&#39;", "'").replace("&amp;", "&")
    for gap in shown["missing"]:
        assert f">{gap['term'].replace('_', ' ')}<" in html
    assert "FGSM at radius 9 codes" in html


def test_agreement_of_real_traces_is_read(tmp_path, small_network):
    rng = np.random.default_rng(2)
    runs = [
        run_fixed(small_network, rng.integers(0, 256, (4, 6)), record=("spikes", "v"))
        for _ in range(2)
    ]
    record = next(
        r for r in compare_traces(*runs).as_dict()["records"] if r["quantity"] == "spikes"
    )
    assert record["mismatches"] > 0
    folder = write_run(tmp_path / "run", models={"one": "lost"})
    document = json.loads((folder / "results.json").read_text())
    document["models"]["one"]["fidelity"]["layers"] = [
        {**record, "rate_float": record["rate_a"], "rate_fixed": record["rate_b"]}
    ]
    (folder / "results.json").write_text(json.dumps(document))
    first = record["first_difference"]
    html = written(folder)
    assert f"step {first['t']}, sample {first['sample']}, neuron {first['neuron']}" in html
    assert f"{record['mismatches']} of {record['compared']}" in html


def written(folder: Path) -> str:
    write_report([folder], folder / "report.html")
    return (folder / "report.html").read_text(encoding="utf-8")
