"""profiles, lava, doctor: commands about chips and the installation."""

from __future__ import annotations

import argparse
from typing import Any

from neurodeploy.cli.console import Console


def profiles_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``profiles``."""
    parser.add_argument("name", nargs="?", help="a profile's name or TOML file")


def profiles(arguments: argparse.Namespace) -> int:
    """List profiles, or every value of one with its source."""
    from neurodeploy import hardware_profiles

    console = Console(arguments.json)
    if arguments.name is None:
        chips = {name: hardware_profiles.load(name) for name in hardware_profiles.names()}
        console.document([{"name": name, "status": c.status} for name, c in chips.items()])
        console.table(
            ("profile", "chip", "status"), ((n, c.name, c.status) for n, c in chips.items())
        )
        console.next_step("neurodeploy profiles loihi2")
        return 0
    profile = hardware_profiles.load(arguments.name)
    rows = hardware_profiles.value_rows(profile)
    console.document({"name": profile.name, "status": profile.status, "values": rows})
    console.say(f"{profile.name}: {profile.status}")
    console.table(
        ("value", "low", "typ", "high", "unit", "grade", "basis", "source"),
        (
            (
                row["key"],
                *_cells(row),
                row["unit"] or "-",
                row["grade"] or "-",
                row["basis"] or "-",
                f"{row['source']} {row['locator']}".strip() or row["note"],
            )
            for row in rows
        ),
    )
    console.say("sources")
    console.table(
        ("key", "year", "title"),
        ((key, source.year or "-", source.title) for key, source in profile.sources.items()),
    )
    console.next_step(f"neurodeploy quantize MODEL.nir --profile {arguments.name} --out NET.h5")
    return 0


def _cells(row: dict[str, Any]) -> tuple[str, str, str]:
    """Format low, typ and high; a word stands once, a missing number is ``unknown``."""
    if row["typ"] is None:
        return "", str(row["value"] or "unknown"), ""
    return f"{row['low']:g}", f"{row['typ']:g}", f"{row['high']:g}"


def lava_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``lava``."""
    parser.add_argument("action", choices=("install", "status"))
    parser.add_argument(
        "--mode",
        choices=("auto", "official", "shim"),
        default="auto",
        help="official needs Python 3.10; shim runs on 3.11 and 3.12 (default: auto)",
    )


def lava(arguments: argparse.Namespace) -> int:
    """Install the runtime or tell its state; exit 3 without one, 1 if its self-test fails."""
    from neurodeploy.export.lava import runtime

    console = Console(arguments.json)
    if arguments.action == "install":
        mode = None if arguments.mode == "auto" else arguments.mode
        runtime.install(mode=mode, progress=console.note)
    status = runtime.status()
    console.document(status.as_dict())
    console.say(f"Lava runtime: {status.mode}: {status.detail}")
    console.table(("package", "version"), status.versions.items())
    for check in status.checks:
        if not check.ok:
            console.say(f"  {check.name}: expected {check.expected}, Lava gave {check.found}")
    if not status.available:
        console.next_step("neurodeploy lava install")
        return 3
    console.say(f"self-test: {sum(c.ok for c in status.checks)} of {len(status.checks)} hold")
    if not status.ok:
        console.next_step("neurodeploy lava install")
        return 1
    console.next_step("neurodeploy verify NET.h5 --input DATA.npz --against lava")
    return 0


def doctor_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``doctor`` (none)."""


def doctor(arguments: argparse.Namespace) -> int:
    """Check Python, packages, profiles, the simulator and Lava; exit 1 if a needed part fails."""
    from neurodeploy.pipeline.health import check_health

    console = Console(arguments.json)
    checks = check_health()
    console.document([check.as_dict() for check in checks])
    console.table(
        ("part", "state", "detail"),
        ((check.part, check.state, check.detail) for check in checks),
    )
    for check in checks:
        if check.remedy:
            console.say(f"  {check.part}: {check.remedy}")
    console.next_step("neurodeploy demo --out demo-out")
    return 1 if any(check.state == "broken" for check in checks) else 0
