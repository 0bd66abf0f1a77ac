"""Which way to make integers keeps robustness? Four trainings, five folds, three seeds, five ways.

Trains what is missing, evaluates every cell, and writes a table. Cells are files of their own: stop
it at any time and start it again; nothing is lost or repeated.

    python studies/digits_quantisation.py [--out DIR] [--workers N] [--seeds N] [--folds N]
        [--only RECIPE ...] [--table DIR] [--of CODE]
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
from pathlib import Path

from cell_runner import run_missing
from code_hash import code_hash
from digits_models import FOLDS, RADIUS, SEEDS
from quantiser_cells import RECIPES, all_cells, code_of
from quantiser_table import COLUMNS, Results, report_text, rows_of

from neurodeploy.files import write_text


def main(arguments: list[str] | None = None) -> int:
    """Run what is missing; return 0, or 130 if interrupted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("study-out"), help="folder of the cells")
    parser.add_argument("--workers", type=int, default=2, help="processes, one thread each")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--folds", type=int, default=FOLDS, help="the first N of the folds")
    parser.add_argument("--only", nargs="*", default=(), choices=RECIPES)
    parser.add_argument("--table", type=Path, default=Path("studies"), help="where results go")
    parser.add_argument("--of", metavar="CODE", help="run nothing; the table of finished cells")
    given = parser.parse_args(arguments)
    cells = list(all_cells(seeds=given.seeds, folds=given.folds, only=tuple(given.only)))
    code = given.of or code_hash(Path(__file__).with_name("quantiser_cells.py"))
    if given.of is None:
        # Networks are kept by the code that trains them: the study of the digits has most of them.
        training = code_hash(Path(__file__).with_name("digits_models.py"))
        missing = [cell for cell in cells if code_of(cell, given.out) != code]
        try:
            run_missing(
                "quantiser_cells", missing, given.out, given.workers, None, (code, training)
            )
        except KeyboardInterrupt:
            sys.stderr.write("interrupted; the same command goes on\n")
            return 130
    results = Results(given.out, [cell for cell in cells if code_of(cell, given.out) == code])
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows_of(results.cells))
    given.table.mkdir(parents=True, exist_ok=True)
    write_text(given.table / "digits_quantisation.csv", buffer.getvalue())
    target = given.table / "digits_quantisation.md"
    write_text(target, report_text(results, sum(1 for _ in all_cells()), code, RADIUS))
    print(f"{len(results.cells)} of {len(cells)} cells; {target}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
