"""Devices of torch, checked before anything is computed on them."""

from __future__ import annotations

import torch

from neurodeploy.errors import InputError, MissingComponentError


def checked_device(device: str | torch.device) -> torch.device:
    """Return the device that ``device`` names.

    Raises
    ------
    InputError
        For a name that torch does not know.
    MissingComponentError
        If this machine or this torch cannot compute there in float64.
    """
    try:
        on = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise InputError(
            f"device {device!r}: torch knows no such device; use 'cpu', or for example 'cuda'"
        ) from error
    try:
        torch.zeros(1, dtype=torch.float64, device=on).sum().item()
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:
        reason = str(error).strip().splitlines()
        raise MissingComponentError(
            f"device {on}: torch {torch.__version__} cannot compute in float64 there "
            f"({reason[0] if reason else type(error).__name__}); use device 'cpu', or install a "
            "torch that supports the device"
        ) from error
    return on
