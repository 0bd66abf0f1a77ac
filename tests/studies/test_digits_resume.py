"""A study that is killed goes on: no cell is lost, none is made twice, no file is torn."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: The real study with cheap cells; a worker runs these lines, too. The fifth cell stops for good in
#: the middle of its file, when it is made for the first time.
SCRIPT = """
import json, sys, time
from pathlib import Path

sys.path[:0] = [{studies!r}, {tests!r}]
import digits_cells
import digits_robustness
from studies.test_digits_table import write_cell
from neurodeploy.files import replacing


def cheap(cell, out, code, training):
    log = out / "log.txt"
    begun = log.read_text().splitlines() if log.is_file() else []
    with log.open("a") as file:
        file.write(f"begin {{cell.key}}\\n")
    write_cell(out / "whole", cell, lambda measure, image: image % 3 == 0)
    text = json.dumps({{**json.loads(cell.path(out / "whole").read_text()), "code": code}})
    with replacing(cell.path(out)) as temporary, temporary.open("w") as file:
        file.write(text[:100])
        file.flush()
        if sum(line.startswith("begin") for line in begun) == 4:
            log.with_name("stopped").touch()
            time.sleep(600)
        file.write(text[100:])
    with log.open("a") as file:
        file.write(f"end {{cell.key}}\\n")


digits_cells.run_cell = cheap
digits_robustness.hashes = lambda: ("training", "code")
if __name__ == "__main__":
    sys.exit(digits_robustness.main(sys.argv[1:]))
"""


def start(script, out):
    command = [sys.executable, str(script), "--out", str(out), "--workers", "1", "--seeds", "1",
               "--folds", "2", "--only", "lif-plain", "dlif-plain",
               "--table", str(out / "table")]  # fmt: skip
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )


def test_a_killed_study_goes_on_without_losing_or_repeating_a_cell(tmp_path):
    script, out = tmp_path / "study.py", tmp_path / "out"
    paths = {"studies": str(ROOT / "studies"), "tests": str(ROOT / "tests")}
    script.write_text(SCRIPT.format(**paths))
    out.mkdir()
    study = start(script, out)
    try:
        while not (out / "stopped").is_file() and study.poll() is None:
            time.sleep(0.02)
        assert study.poll() is None, study.communicate()[0].decode()
        study.kill()
        # The worker holds the other end of this pipe: it ends with the study, or this times out.
        study.communicate(timeout=20)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(study.pid, signal.SIGKILL)
    first = (out / "log.txt").read_text().split()
    assert (first.count("begin"), first.count("end")) == (5, 4)
    kept = {path: path.read_bytes() for path in (out / "cells").glob("*.json")}
    kept = {path: content for path, content in kept.items() if not path.name.startswith(".")}
    assert len(kept) == 4, "the file that was being written is not there"
    study = start(script, out)
    said, _ = study.communicate(timeout=60)
    assert study.returncode == 0, said.decode()
    assert "12 of 12 cells" in said.decode()
    words = (out / "log.txt").read_text().split()
    begun = Counter(
        key for what, key in zip(words[::2], words[1::2], strict=True) if what == "begin"
    )
    ended = Counter(key for what, key in zip(words[::2], words[1::2], strict=True) if what == "end")
    stopped = first[-1]
    assert len(ended) == 12
    assert set(ended.values()) == {1}
    assert begun == ended + Counter([stopped])
    for path, content in kept.items():
        assert path.read_bytes() == content
    for key in ended:
        assert json.loads((out / "cells" / f"{key}.json").read_text())["code"] == "code"
