"""The part of neurodeploy that enters the Lava runtime, copied out by content.

The runtime has no neurodeploy installed: each launch puts a copy of exactly the files below on the
worker's path. So the runtime never goes stale when neurodeploy changes, and the worker cannot
import anything that is not listed here.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
from pathlib import Path

import neurodeploy
import neurodeploy.export
from neurodeploy.errors import InputError

#: Modules and packages (with all their .py files) that the worker may import.
_PACKAGE_FILES = (
    "__init__.py",
    "counter_random.py",
    "errors.py",
    "findings.py",
    "register_limits.py",
    "file_kind.py",
    "files.py",
    "hdf5_scan.py",
)
_EXPORT_PACKAGES = ("lava_processes", "lava_worker")
_KEEP_UNUSED_DAYS = 30


def staged_sources() -> dict[str, Path]:
    """Return the files that enter the runtime: path below the copy -> file here."""
    package = _folder(neurodeploy.__file__)
    export = _folder(neurodeploy.export.__file__)
    sources = {f"neurodeploy/{name}": package / name for name in _PACKAGE_FILES}
    sources |= {
        f"neurodeploy/network/{path.name}": path for path in (package / "network").glob("*.py")
    }
    sources["neurodeploy/export/__init__.py"] = export / "__init__.py"
    for name in _EXPORT_PACKAGES:
        for path in (export / name).glob("*.py"):
            sources[f"neurodeploy/export/{name}/{path.name}"] = path
    return dict(sorted(sources.items()))


def stage(root: Path) -> Path:
    """Copy the sources below ``root`` and return the folder to put on the worker's path.

    The folder is named after a hash of its content: runs of different versions of neurodeploy do
    not disturb each other. Copies unused for a month are removed.
    """
    contents = {name: path.read_bytes() for name, path in staged_sources().items()}
    digest = hashlib.sha256()
    for name, content in contents.items():
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    staged = root / digest.hexdigest()[:16]
    if not staged.is_dir():
        root.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".part-", dir=root))
        for name, content in contents.items():
            target = temporary / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        try:
            temporary.rename(staged)
        except OSError:  # another launch was faster
            shutil.rmtree(temporary, ignore_errors=True)
    os.utime(staged)
    _remove_unused(root)
    return staged


def _folder(file: str | None) -> Path:
    if file is None:
        raise InputError(
            "neurodeploy is not installed as files; the Lava runtime needs its sources"
        )
    return Path(file).resolve().parent


def _remove_unused(root: Path) -> None:
    limit = time.time() - _KEEP_UNUSED_DAYS * 86400
    for folder in root.iterdir():
        if folder.stat().st_mtime < limit:
            shutil.rmtree(folder, ignore_errors=True)
