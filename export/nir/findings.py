"""What a reader of an exported file should know."""

from __future__ import annotations

import nir

from neurodeploy.export.nir.check import ExportCheck
from neurodeploy.export.nir.plan import Plan
from neurodeploy.findings import Finding


def export_findings(plan: Plan, check: ExportCheck, widened: bool) -> list[Finding]:
    """Return shifted membranes, the cost of ignoring a gain, float32 flips, dropped functions."""
    found = [Finding("info", "model", f"{plan.way}, {plan.steps} steps")]
    for name, number in plan.built.neurons.items():
        neuron = plan.network.nodes[number].neuron
        if neuron is not None and neuron.origin.any():
            text = (
                f"membrane shifted by its start, v_leak or v_reset ({neuron.origin.min():g}.."
                f"{neuron.origin.max():g}): NIR starts at zero; the spikes are the same"
            )
            found.append(Finding("info", f"node {name!r}", text))
    for name, share in check.mean_gain_error.items():
        text = f"a tool that ignores dlif_gain gets {100 * share:.2f} % of the spikes wrong"
        remedy = "run the file with a tool that knows dlif_gain, such as neurodeploy"
        found.append(Finding("info", f"node {name!r}", text, remedy, {"mean_gain_error": share}))
    for name in check.silent:
        text = "never fires on the sample, so the check says little about it"
        found.append(Finding("warning", f"node {name!r}", text, "give a sample that makes it fire"))
    for name, node in plan.built.nodes.items():
        if isinstance(node, nir.Threshold):
            text = "a max pool of spikes, written as SumPool2d and Threshold; few tools know both"
            found.append(Finding("info", f"node {name!r}", text))
    found += _readout_findings(plan)
    if widened:
        text = (
            f"the sample leaves 0..1, so the input range is taken from it: {plan.encoder.low:g}.."
            f"{plan.encoder.high:g}"
        )
        found.append(Finding("warning", "sample", text, "say it with encoder="))
    for path, name in plan.values_read:
        text = f"the forward takes numbers out of tensors ({name}); the file does not do that"
        found.append(Finding("warning", path, text))
    if not check.typed:
        text = "nir.read refuses the file with its type checks, which know square kernels only"
        found.append(Finding("info", "file", text, "read it with nir.read(path, type_check=False)"))
    if check.float32_flips:
        text = (
            f"{check.float32_flips} of {check.compared} spikes differ in float32; the largest "
            f"distance of a first one from the threshold is {check.first_flip_margin:.1e} of it"
        )
        found.append(Finding("info", "model", text))
    return found


def _readout_findings(plan: Plan) -> list[Finding]:
    where = f"node {plan.readout.node!r}"
    found = []
    if plan.reading.chain:
        names = ", ".join(name for name, _ in plan.reading.chain)
        text = f"{names} after the read-out is not in the file; it does not change the decision"
        found.append(Finding("info", where, text))
    if plan.reading.kind == "each":
        text = f"the model returns every step; the decision is read as {plan.readout.kind}"
        found.append(Finding("info", where, text, "say it with readout="))
    if plan.readout.scale != 1 or plan.readout.offset:
        text = (
            f"the model's scores are {plan.readout.scale:g} times the file's plus "
            f"{plan.readout.offset:g}; the decision is the same"
        )
        found.append(Finding("info", where, text))
    return found
