"""Every error neurodeploy raises on purpose, under one root.

A message says where, what, with which numbers, and how to get out. The command line turns the
``exit_code`` of the class into its own exit code, so scripts can tell a bad file from a missing
component.
"""

from __future__ import annotations


class NeurodeployError(Exception):
    """Root of all errors raised on purpose. ``exit_code`` is the command line's exit code."""

    exit_code = 2


class InputError(NeurodeployError):
    """A file, an option or an array that the caller gave cannot be used."""


class ContractError(InputError):
    """The execution contract is missing, contradictory or asks for what is not supported."""


class UnsupportedNodeError(InputError):
    """A NIR node (or node field) has no counterpart here; the message lists what has one."""


class ShapeError(InputError):
    """Two ends of a connection, or an array and its network, disagree in shape."""


class RangeError(InputError):
    """A number lies outside what its integer format, register or unit can hold."""


class ResourceError(NeurodeployError):
    """A network needs more of a chip's resource than the chip has."""

    exit_code = 1


class ProfileError(InputError):
    """A hardware profile is unknown or malformed."""


class FileFormatError(InputError):
    """A file is damaged, of another kind, or of a schema this version cannot read."""


class ExportRefusedError(NeurodeployError):
    """An exported network does not reproduce its origin, so no file was written."""

    exit_code = 1


class OverlapError(InputError):
    """Samples used for tuning and samples used for evaluation are not disjoint."""


class MissingComponentError(NeurodeployError):
    """An optional component is not installed; the message says how to get it."""

    exit_code = 3


class LavaError(NeurodeployError):
    """The Lava runtime failed, died or ran past its time limit; the message names its log file."""

    exit_code = 1
