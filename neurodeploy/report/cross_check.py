"""Whether summary.json and results.json of one folder tell the same story."""

from __future__ import annotations

from neurodeploy.report.run_folder import RESULTS, SUMMARY, Record, RunFolder

_ROW_KEYS = ("float", "fixed", "lost", "gained", "drop_ci95", "n", "verdict")


def disagreements(run: RunFolder) -> tuple[str, ...]:
    """Return one sentence per model whose two files differ; none if one file is absent."""
    if RESULTS in run.missing:
        return ()
    found = []
    for model in run.models:
        if not model.summary or not model.results:
            absent = SUMMARY if not model.summary else RESULTS
            found.append(f"{model.name} is missing from {absent}.")
            continue
        differing = [*_clean(model.summary, model.results), *_rows(model.summary, model.results)]
        if differing:
            found.append(
                f"{SUMMARY} and {RESULTS} disagree on {model.name}: {', '.join(differing)}. "
                f"This page shows {RESULTS}."
            )
    return tuple(found)


def _clean(summary: Record, results: Record) -> list[str]:
    short, full = summary.record("clean_accuracy"), results.record("clean_accuracy")
    return [
        f"clean accuracy ({side})"
        for side in ("float", "fixed")
        if None not in (short.get(side), full.get(side)) and short.get(side) != full.get(side)
    ]


def _rows(summary: Record, results: Record) -> list[str]:
    full = {_key(row): row for row in results.records("robustness")}
    if not full:
        return []
    found = []
    for row in summary.records("robustness"):
        other = full.get(_key(row))
        if other is None:
            found.append(f"{_key(row)} is in {SUMMARY} only")
        elif any(row.get(k) != other.get(k) for k in _ROW_KEYS if row.get(k) is not None):
            found.append(_key(row))
    return found


def _key(row: Record) -> str:
    return f"{row.get('perturbation')} at {row.get('radius_codes')} codes"
