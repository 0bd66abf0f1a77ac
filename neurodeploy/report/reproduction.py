"""Section: what is needed to get the same numbers again."""

from __future__ import annotations

from neurodeploy.report.content import Block, Code, Facts, Heading, Note, Table, text_cell
from neurodeploy.report.number_text import anything, flat
from neurodeploy.report.run_folder import RunFolder

#: Keys of results.json that other sections show.
_SHOWN = {"schema", "title", "created", "command", "seed", "versions", "profile", "threat_model"}
_SHOWN |= {"tolerance_points", "lava", "data", "assumptions", "models"}
_LONGEST = 300


def reproduction_blocks(run: RunFolder) -> tuple[Block, ...]:
    """Return command, seed, versions, files with hashes, and settings shown nowhere else."""
    blocks: list[Block] = []
    command = run.text("command")
    blocks.append(Code(command) if command else Note("The command of this run is not recorded."))
    seed = run.get("seed")
    profile = run.results.record("profile")
    facts = [
        ("seed", anything(seed)),
        ("created", run.text("created") or "not recorded"),
        ("profile", " ".join((profile.text("name"), profile.text("text_hash"))).strip()),
    ]
    blocks.append(Facts(tuple((k, v) for k, v in facts if v)))
    versions = run.results.record("versions") or run.summary.record("versions")
    if versions:
        rows = tuple((text_cell(k), text_cell(anything(v))) for k, v in versions.data.items())
        blocks.append(Table("Versions", ("component", "version"), rows))
    blocks += [Heading("Files"), *_files(run)]
    rest = [(k, v) for k, v in run.results.data.items() if k not in _SHOWN and v is not None]
    if rest:
        pairs = tuple((k, _short(text)) for key, value in rest for k, text in flat(key, value))
        blocks += [Heading("Other recorded settings"), Facts(pairs)]
    return tuple(blocks)


def _files(run: RunFolder) -> list[Block]:
    rows = [
        (text_cell("this report"), text_cell(name), text_cell(digest, css="hash"))
        for name, digest in run.hashes
    ]
    for model in run.models:
        files = model.record("files")
        digests = {k.removesuffix("_hash"): v for k, v in files.data.items() if k.endswith("_hash")}
        rows += [
            (
                text_cell(model.name),
                text_cell(f"{key}: {anything(value)}"),
                text_cell(anything(digests[key]) if key in digests else "", css="hash"),
            )
            for key, value in files.data.items()
            if not key.endswith("_hash")
        ]
    note = "Hashes of the first rows: SHA-256 of the files that this page was made from."
    columns = ("belongs to", "file", "hash")
    return [Table("Files and hashes", columns, tuple(rows), note, stacked_on_phones=True)]


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
