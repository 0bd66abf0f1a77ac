"""Write the fixtures of one tool: ``python tests/peers/make_fixtures.py snntorch [CASE ...]``.

Run it in an environment with that tool (``requirements-<tool>.txt`` beside this file). Every case
is first compared with ``literal.py``; one differing entry stops the script.
"""

import importlib
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

TOOLS = ("snntorch", "sinabs", "spikingjelly", "norse", "lava-dl")


def main(arguments):
    if not arguments or arguments[0] not in TOOLS:
        sys.exit(f"usage: make_fixtures.py {{{'|'.join(TOOLS)}}} [CASE ...]")
    recording = importlib.import_module("peers.recording")
    tool = importlib.import_module(f"peers.from_{arguments[0].replace('-', '_')}")
    for index, case in enumerate(tool.cases()):
        if arguments[1:] and case.name not in arguments[1:]:
            continue
        # One file of each tool keeps nir's default.
        recording.write(case, tool.PACKAGES, None if index else "gzip")


if __name__ == "__main__":
    main(sys.argv[1:])
