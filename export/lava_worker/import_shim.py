"""Lets lava-nc 0.10.0 be imported on Python 3.11 and 3.12.

From Python 3.11 on, dataclasses refuse a default value without a hash. A few dataclasses inside
lava compare by value, which takes their hash away, and are defaults of others. The shim gives
classes of ``lava.*`` their identity hash back; nothing else changes.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from typing import Any


def apply_import_shim() -> bool:
    """Wrap ``dataclasses.dataclass`` where this Python needs it; return whether it did.

    Has to run before the first import of lava.
    """
    if sys.version_info < (3, 11):
        return False
    original: Callable[..., Any] = dataclasses.dataclass

    def dataclass(cls: type | None = None, /, **options: Any) -> Any:
        def decorate(plain: type) -> Any:
            made = original(plain, **options)
            if made.__module__.split(".")[0] == "lava" and made.__hash__ is None:
                made.__hash__ = object.__hash__
            return made

        return decorate if cls is None else decorate(cls)

    dataclasses.dataclass = dataclass
    return True
