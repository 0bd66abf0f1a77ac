"""The command line: parse, call, print. Exit codes and file formats are a promise to scripts."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from neurodeploy import __version__
from neurodeploy.cli.commands import COMMANDS
from neurodeploy.cli.options import common_parser, contract_parser
from neurodeploy.errors import NeurodeployError

_DATA = (
    "data files (.npz or .h5) hold images [B, ...], held for all steps, or x [T, B, ...], one "
    "input per step, both in input units, and y [B] labels; "
)
_EPILOG = (
    "exit codes: 0 done; 1 a check did not hold; 2 bad input or usage; "
    "3 an optional component is absent; 4 undecided; 130 interrupted"
)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser with every command."""
    parser = argparse.ArgumentParser(
        prog="neurodeploy",
        description="Put robust spiking networks on Loihi's fixed point and check what survives.",
        epilog=_DATA + _EPILOG,
    )
    parser.add_argument("--version", action="version", version=f"neurodeploy {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    parents = {"common": common_parser(), "contract": contract_parser()}
    for command in COMMANDS:
        wanted = [parents["common"], *([parents["contract"]] if command.reads_nir else [])]
        sub = commands.add_parser(
            command.name,
            help=command.help,
            description=command.help,
            parents=wanted,
            epilog=_EPILOG,
        )
        command.arguments(sub)
        sub.set_defaults(call=command.call)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; never a traceback for a user's mistake."""
    parsed = build_parser().parse_args(arguments)
    # A configuration file may hold a seed; one that was typed outranks it.
    parsed.seed_given = parsed.seed is not None
    parsed.seed = parsed.seed or 0
    with _terminable():
        return _run(parsed)


def _run(parsed: argparse.Namespace) -> int:
    try:
        code: int = parsed.call(parsed)
    except NeurodeployError as error:
        return _fail(parsed, str(error), error.exit_code)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return 130
    except BrokenPipeError:
        # The reader of a pipe (head, less) went away; that is its right.
        sys.stderr.close()
        return 0
    except MemoryError as error:
        return _fail(parsed, f"out of memory: {error}; use fewer samples or steps", 2)
    except OSError as error:
        # A full disk, a file that vanished: not foreseen where it happened, but no bug either.
        return _fail(parsed, f"{error.filename or 'a file'}: {error.strerror or error}", 2)
    except Exception as error:  # the last resort: a user never sees a traceback
        log = _keep_traceback()
        what = f"internal error: {type(error).__name__}: {error}; please report it with {log}"
        return _fail(parsed, what, 2)
    return code


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM unwind like an exception: temporary files and Lava's processes go with it."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers
        return

    def leave(number: int, _: object) -> None:
        sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _fail(parsed: argparse.Namespace, what: str, exit_code: int) -> int:
    """Say what went wrong, with --json also as the one document."""
    sys.stderr.write(f"error: {what}\n")
    if parsed.json:
        sys.stdout.write(json.dumps({"error": what, "exit_code": exit_code}, indent=2) + "\n")
    return exit_code


def _keep_traceback() -> str:
    """Write the traceback of the exception at hand to a file; return its name."""
    handle, name = tempfile.mkstemp(prefix="neurodeploy-", suffix=".log")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        traceback.print_exc(file=file)
    return name
