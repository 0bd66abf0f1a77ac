"""A cost estimate as plain text, for the command line."""

from __future__ import annotations

from neurodeploy.cost.estimate import COMBINATION, CostEstimate
from neurodeploy.cost.intervals import Count, Interval
from neurodeploy.cost.terms import Term


def format_estimate(cost: CostEstimate) -> str:
    """Return ``cost`` as text: counts first, then energies, terms, what is missing, wording."""
    if not cost.profile.priced:
        # Nothing but what was counted: rows of unknown numbers would say less.
        return "\n\n".join([_head(cost), _counts(cost), cost.wording])
    blocks = [
        _head(cost),
        _counts(cost),
        _energies(cost),
        *(_terms(name, terms) for name, terms in cost.terms.items()),
        _missing(cost),
        _lines("Notes", cost.notes),
        cost.wording,
    ]
    return "\n\n".join(block for block in blocks if block)


def _head(cost: CostEstimate) -> str:
    a, p = cost.activity, cost.profile
    what, mapping = "Estimated cost", f", {cost.mapping.description}"
    if not p.priced:
        what, mapping = "Counts", ""
    return (
        f"{what} per inference on {p.name} (status: {p.status})\n"
        f"{a.n_samples} samples, {a.hardware_steps} hardware steps each "
        f"({a.steps} logical), {a.arithmetic} run{mapping}"
    )


def _counts(cost: CostEstimate) -> str:
    a = cost.activity
    rows = {
        "synaptic operations": a.synaptic_operations,
        "neuron updates": a.neuron_updates,
        "  of these with input": a.active_updates,
        "spikes": a.spikes,
        "messages": a.messages(cost.mapping.cores),
        "input events": a.input_events,
    }
    lines = [f"{'Count':<24}{'mean':>14}{'p5':>14}{'p95':>14}"]
    for name, count in rows.items():
        lines.append(f"{name:<24}" + _spread(count))
    return "\n".join(lines)


def _spread(count: Count) -> str:
    values = count.as_dict()
    cells = "".join(f"{values[key]:>14,.0f}" for key in ("mean", "p5", "p95"))
    if count.exact:
        return cells
    return f"{cells}  (between {values['low']:,.0f} and {values['high']:,.0f})"


def _energies(cost: CostEstimate) -> str:
    lines = [f"{'Energy, nJ':<24}{'low':>14}{'typ':>14}{'high':>14}"]
    lines += [f"{name:<24}" + _interval(value) for name, value in cost.energy_nj.items()]
    lines.append(f"{'Time, us':<24}" + _interval(cost.latency.inference_us))
    lines.append(
        f"typ: set {cost.profile.default_energy_set}, times {cost.profile.default_timing_set}; "
        f"{COMBINATION}."
    )
    return "\n".join(lines)


def _interval(value: Interval | None) -> str:
    if value is None:
        return "  unknown: a needed coefficient was never published"
    return "".join(f"{_three(number):>14}" for number in (value.low, value.typ, value.high))


def _three(number: float) -> str:
    """Return three digits, without an exponent: an estimate has no more."""
    return f"{float(f'{number:.3g}'):,.10g}"


def _terms(name: str, terms: tuple[Term, ...]) -> str:
    lines = [
        f"Energy set {name}",
        f"{'term':<20}{'count':>14}{'coefficient':>26}{'nJ (typ)':>12}  source",
    ]
    for term in terms:
        c, energy = term.coefficient, term.energy_nj()
        price = f"{c.low:g}/{c.typ:g}/{c.high:g} {c.unit}" if c.known else f"unknown {c.unit}"
        cost = f"{_three(energy.typ):>12}" if energy and c.known else f"{'-':>12}"
        source = f"{c.source} ({c.grade}, {c.basis})" if c.known else ""
        count = term.count.mean().typ
        lines.append(f"{term.name:<20}{count:>14,.1f}{price:>26}{cost}  {source}".rstrip())
    return "\n".join(lines)


def _missing(cost: CostEstimate) -> str:
    # Every set misses much the same terms; the first reason stands for all.
    reasons = {(t.name, t.boundary): t.reason for t in reversed(cost.missing)}
    items = [f"{name} ({boundary}): {reason}" for (name, boundary), reason in reasons.items()]
    items += [f"{path}: unknown time" for path in cost.latency.missing]
    return _lines("Missing from every number above", tuple(items))


def _lines(title: str, items: tuple[str, ...]) -> str:
    return "\n".join([title, *(f"- {item}" for item in items)]) if items else ""
