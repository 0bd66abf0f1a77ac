"""Section: what quantisation chose, per synapse and population, and what overflowed."""

from __future__ import annotations

from neurodeploy.report.content import Block, Heading, Note
from neurodeploy.report.number_text import count
from neurodeploy.report.record_table import Column, record_table
from neurodeploy.report.run_folder import Model

SYNAPSES = (
    Column("synapse", "synapse"),
    Column("source", "from"),
    Column("target", "to"),
    Column("weight_bits", "bits"),
    Column("weight_exp", "exponent"),
    Column("sign_mode", "sign mode"),
    Column("scale", "integer units per weight"),
    Column("message_bits", "payload bits"),
    Column("shape", "shape"),
    Column("zero_weights", "zero weights", count),
    Column("error_rms", "rounding error, RMS"),
    Column("error_max", "rounding error, largest"),
    Column("clipped", "clipped weights", count),
)
POPULATIONS = (
    Column("name", "population"),
    Column("kind", "kind"),
    Column("size", "neurons", count),
    Column("latency", "latency (steps)"),
    Column("scale", "integer units per membrane unit", ranges=True),
    Column("v_threshold", "threshold mantissa", count, ranges=True),
    Column("decay_u", "decay u (of 4096)", count, ranges=True),
    Column("decay_v", "decay v (of 4096)", count, ranges=True),
    Column("bias", "bias mantissa", count, ranges=True),
    Column("bias_exp", "bias exponent"),
    Column("gain", "gain mantissas"),
    Column("gain_shift", "gain shift"),
)
OVERFLOW = (
    Column("population", "population"),
    Column("wraps", "wraps of u", count),
    Column("clamps", "clamps of v", count),
)


def quantisation_blocks(model: Model) -> tuple[Block, ...]:
    """Return the choices of one model as tables."""
    synapses, populations = model.records("quantisation"), model.records("populations")
    overflow = model.records("overflow")
    blocks: list[Block] = [Heading(model.name)]
    if synapses:
        note = "Rounding errors are relative to the largest float weight of the synapse."
        blocks.append(record_table(f"{model.name}: synapses", synapses, SYNAPSES, note=note))
    else:
        blocks.append(Note("This run recorded no choices per synapse."))
    if populations:
        note = (
            "A threshold above 131,071 cannot be reached: such a population is read out by its v."
        )
        blocks.append(
            record_table(f"{model.name}: populations", populations, POPULATIONS, note=note)
        )
    else:
        blocks.append(Note("This run recorded no choices per population."))
    if not overflow:
        return (*blocks, Note("This run recorded no overflow counters."))
    total = sum((r.number("wraps") or 0) + (r.number("clamps") or 0) for r in overflow)
    blocks.append(record_table(f"{model.name}: overflow counters", overflow, OVERFLOW))
    if total:
        text = f"{count(total)} overflows were counted: states left the range of their registers."
        blocks.append(Note(text, "warning"))
    else:
        blocks.append(Note("No state wrapped or clamped on the evaluated samples.", "good"))
    return tuple(blocks)
