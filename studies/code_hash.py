"""Which code decides a number: a hash of a script and of every module it reaches."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

#: The package that is followed; its dependencies are pinned elsewhere.
PACKAGE = "neurodeploy"


def code_hash(*scripts: Path) -> str:
    """Return a hash of ``scripts`` and of all code that they import, 16 hexadecimal digits.

    Imports are followed in the source, wherever they stand, into the package and into scripts of
    the same folder, but not into what the package's root offers lazily; hardware profiles count
    as a part of the package that holds them. Names and contents of the files enter, not folders.
    """
    digest = hashlib.sha256()
    for name, path in sorted(reached(*scripts).items()):
        digest.update(name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def reached(*scripts: Path) -> dict[str, Path]:
    """Return the files that ``scripts`` reach, by the name of their module."""
    found: dict[str, Path] = {}
    waiting = [(script.stem, script) for script in scripts]
    while waiting:
        name, path = waiting.pop()
        if name in found:
            continue
        found[name] = path
        if path.name == "__init__.py":
            found |= {f"{name}/{data.name}": data for data in path.parent.glob("*.toml")}
        if name == PACKAGE:
            continue
        for wanted in _imported(ast.parse(path.read_bytes())):
            beside = scripts[0].parent / f"{wanted}.py"
            if beside.is_file():
                waiting.append((wanted, beside))
            elif wanted.split(".")[0] == PACKAGE:
                waiting += _modules(wanted)
    return found


def _imported(tree: ast.AST) -> Iterator[str]:
    """Yield the names that may be modules; a package's part may be a module or not."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _modules(name: str) -> list[tuple[str, Path]]:
    """Return ``name`` and the packages that hold it, as far as they are files."""
    parts = name.split(".")
    modules = []
    for depth in range(1, len(parts) + 1):
        one = ".".join(parts[:depth])
        try:
            spec = find_spec(one)
        except ModuleNotFoundError:  # an object of a module
            spec = None
        if spec is not None and spec.has_location and spec.origin is not None:
            modules.append((one, Path(spec.origin)))
    return modules
