"""Does robustness survive deployment? Five folds of the digits, three seeds, fourteen trainings.

Trains what is missing, evaluates every cell (a network and a weight width), and writes table and
claims. Cells are files of their own: stop it at any time and start it again; nothing is lost or
repeated.

    python studies/digits_robustness.py [--out DIR] [--workers N] [--seeds N] [--folds N]
        [--only VARIANT ...] [--hours H] [--table DIR] [--check CSV]
        [--of CODE]
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from cell_runner import run_missing
from code_hash import code_hash
from digits_cells import all_cells, code_of
from digits_check import differences
from digits_models import FOLDS, SEEDS, VARIANTS
from digits_table import Results, report_text, rows_of, table_text

from neurodeploy.files import write_text


def hashes() -> tuple[str, str]:
    """Return the hashes of the code that trains and of all that decides a cell's numbers."""
    here = Path(__file__).parent
    return code_hash(here / "digits_models.py"), code_hash(here / "digits_cells.py")


def main(arguments: list[str] | None = None) -> int:
    """Run what is missing; return 0, 1 if a check fails, 130 if interrupted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("study-out"), help="folder of the cells")
    parser.add_argument("--workers", type=int, default=2, help="processes, one thread each")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--folds", type=int, default=FOLDS, help="the first N of the folds")
    parser.add_argument("--only", nargs="*", default=(), choices=[v.name for v in VARIANTS])
    parser.add_argument("--hours", type=float, help="begin no cell after so many hours")
    parser.add_argument("--table", type=Path, default=Path("studies"), help="where results go")
    parser.add_argument("--check", type=Path, help="compare with this table and write none")
    parser.add_argument("--of", metavar="CODE", help="run nothing; the table of finished cells")
    given = parser.parse_args(arguments)
    cells = list(all_cells(seeds=given.seeds, folds=given.folds, only=tuple(given.only)))
    training, code = hashes() if given.of is None else ("", given.of)
    missing = [cell for cell in cells if code_of(cell, given.out) != code]
    if stale := sum(cell.path(given.out).is_file() for cell in missing):
        print(f"{stale} cells are of other code and are made again", file=sys.stderr)
    end = None if given.hours is None else time.monotonic() + 3600 * given.hours
    try:
        if given.of is not None:
            missing = []
        run_missing("digits_cells", missing, given.out, given.workers, end, (code, training))
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; the same command goes on\n")
        return 130
    results = Results(given.out, [cell for cell in cells if code_of(cell, given.out) == code])
    rows = [row for cell, found in results.cells.items() for row in rows_of(cell, found)]
    if given.check is not None:
        return _check(rows, given.check, complete=len(results.cells) == len(cells))
    given.table.mkdir(parents=True, exist_ok=True)
    write_text(given.table / "digits_robustness.csv", table_text(rows))
    write_text(given.table / "digits_robustness.md", report_text(results, code))
    print(f"{len(results.cells)} of {len(cells)} cells; {given.table / 'digits_robustness.md'}")
    return 0


def _check(rows: list[dict[str, Any]], table: Path, *, complete: bool) -> int:
    """Print how the rows differ from a table; return 1 if they do, or if cells are missing."""
    found = differences(rows, table)
    for text in found:
        print(text)
    print(f"{len(rows)} rows compared with {table}, {len(found)} differ")
    if not complete:
        print("cells are missing")
    return int(bool(found) or not complete)


if __name__ == "__main__":
    sys.exit(main())
