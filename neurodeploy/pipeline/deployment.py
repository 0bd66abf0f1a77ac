"""One model, all the way: integers, Lava, robustness, cost. Writes its own files, returns facts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from neurodeploy import hardware_profiles
from neurodeploy.files import file_hash, replacing
from neurodeploy.network import (
    EventStimuli,
    FixedPointNetwork,
    Samples,
    Stimuli,
    network_hash,
)
from neurodeploy.pipeline.data_checks import chance_findings, check_test_data
from neurodeploy.pipeline.fidelity import Fidelity, check_lava, measure_fidelity
from neurodeploy.pipeline.figure_arrays import figure_arrays
from neurodeploy.pipeline.model import Model, quantized
from neurodeploy.pipeline.running_cost import measure_cost
from neurodeploy.pipeline.settings import DeploySettings, StageProgress
from neurodeploy.quantization import describe_populations, describe_synapses
from neurodeploy.robustness import (
    RobustnessResult,
    check_overlap,
    evaluate,
    save_evidence,
)


@dataclass(frozen=True, slots=True, eq=False)
class Deployment:
    """What is known about one deployed model.

    ``facts`` is its entry in results.json; ``figures`` its arrays of figures.npz; ``lava`` what is
    known about the Lava runtime.
    """

    name: str
    facts: dict[str, Any]
    figures: dict[str, NDArray[Any]]
    lava: dict[str, Any]
    robustness: RobustnessResult

    @property
    def verdict(self) -> str:
        """``survives``, ``lost`` or ``undecided``."""
        return str(self.facts["verdict"])

    @property
    def exact(self) -> bool:
        """Whether no exactness check failed (a missing Lava is not a failure)."""
        fidelity = self.facts["fidelity"]
        lava = fidelity["lava"]
        norse = fidelity["norse_vs_float_mismatches"] or 0
        return norse == 0 and (lava is None or lava["mismatches"] == 0)


def deploy_model(
    model: Model,
    test: Samples,
    calibration: Samples | Stimuli | EventStimuli | None,
    settings: DeploySettings,
    folder: Path,
    *,
    norse_check: dict[str, Any] | None = None,
    progress: StageProgress | None = None,
) -> Deployment:
    """Quantise ``model``, check it on Lava, compare robustness and estimate cost.

    Writes ``<name>.nir``, ``<name>.h5`` and ``<name>.evidence.npz`` into ``folder``.

    Parameters
    ----------
    model : Model
        Float model.
    test : Samples
        Evaluation samples; tuning never sees them.
    calibration : Samples, Stimuli, EventStimuli or None
        Images, sequences or events for ranges.
    settings : DeploySettings
    folder : path
    norse_check : dict
        Facts of the export check, where the model came straight from Norse.
    progress : callable
        Called with (stage, done, total).

    Raises
    ------
    OverlapError
        If calibration and test samples overlap.
    LavaError
        If Lava is installed but fails.
    """
    report = progress or (lambda stage, done, total: None)
    report("quantise", 0, 1)
    check_test_data(test, model.require_network(), settings.robustness)
    model = quantized(model, settings.profile, settings.quantize, calibration)
    if settings.fine_tune is not None:
        # Imported here: it needs what trains models.
        from neurodeploy.pipeline.fine_tuning import fine_tuned

        model = fine_tuned(
            model, calibration, settings.fine_tune,
            lambda done, total: report("fine-tune", done, total),
        )  # fmt: skip
    network, net = model.require_network(), model.require_fixed()
    codes = test.codes(network.encoder, network.n_input)
    clipped = test.out_of_range(network.encoder)
    overlap = check_overlap(net.calibration, codes, allow=settings.allow_overlap)
    files = _write_model(model, folder)
    report("quantise", 1, 1)

    report("Lava", 0, 1)
    lava_check, lava, lava_findings = check_lava(net, codes[: settings.lava_samples], test.index)
    report("Lava", 1, 1)
    fidelity = measure_fidelity(network, net, codes, test.index, settings.threads)

    result = evaluate(
        network,
        net,
        codes,
        test.labels,
        settings.robustness,
        index=test.index,
        # One bar with the time that remains, not one line per member.
        progress=lambda member, done, total: report("robustness", done, total),
        device=settings.device,
        threads=settings.threads,
    )
    files["evidence"] = f"{model.name}.evidence.npz"
    save_evidence(folder / files["evidence"], result.evidence)
    files["evidence_hash"] = file_hash(folder / files["evidence"])
    report("cost", 0, 1)
    profile = hardware_profiles.parse(net.profile)
    cost = measure_cost(network, net, codes, result, profile, settings.threads)
    report("cost", 1, 1)
    chance = chance_findings(result, network.population(network.readout.population).size)
    findings = (*chance, *lava_findings, *result.findings(), *overlap, *clipped, *model.findings)
    facts = {
        **_robustness_facts(result),
        "fidelity": {
            "norse_vs_float_mismatches": None,
            "float32_flips": None,
            **(norse_check or {}),
            "lava": lava_check,
            "layers": fidelity.layers(),
            "decisions_equal": fidelity.comparison.decisions_equal,
        },
        "cost": cost,
        "quantize": settings.quantize.as_dict(),
        "quantisation": describe_synapses(network, net),
        "populations": describe_populations(net),
        "overflow": _overflow(net, fidelity),
        "findings": [f.as_dict() for f in findings],
        "files": files,
        "contract": dict(net.contract),
        "overlap_allowed": bool(overlap),
    }
    figures = figure_arrays(model.name, network, net, test, fidelity)
    return Deployment(model.name, facts, figures, lava, result)


def _write_model(model: Model, folder: Path) -> dict[str, Any]:
    net = model.require_fixed()
    network_name, nir_name = f"{model.name}.h5", f"{model.name}.nir"
    net.save(folder / network_name)
    if net.nir_file:
        with replacing(folder / nir_name) as temporary:
            temporary.write_bytes(net.nir_file)
    return {
        "nir": nir_name if net.nir_file else None,
        "nir_hash": file_hash(folder / nir_name) if net.nir_file else None,
        "network": network_name,
        "network_hash": network_hash(net),
    }


def _robustness_facts(result: RobustnessResult) -> dict[str, Any]:
    document = result.as_dict()
    return {
        "clean_accuracy": document["clean_accuracy"],
        "verdict": document["verdict"],
        "verdict_text": document["verdict_text"],
        "robustness": document["robustness"],
        "sanity": document["sanity"],
        "threat_model": document["threat_model"],
    }


def _overflow(net: FixedPointNetwork, fidelity: Fidelity) -> list[dict[str, Any]]:
    counts = fidelity.fixed_traces.counts
    return [
        {
            "population": p.name,
            "wraps": int(counts[f"{p.name}/wraps"].sum()),
            "clamps": int(counts[f"{p.name}/clamps"].sum()),
        }
        for p in net.populations
    ]
