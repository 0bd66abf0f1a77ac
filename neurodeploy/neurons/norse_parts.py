"""The parts of Norse that we build on, imported in one place.

Importing Norse 1.1 compiles four functions with ``torch.jit.script``, which current torch calls
deprecated. The warning is about Norse's source, not about anything a user can change, so it is
silenced here, for the time of the import and for this one message only.
"""

from __future__ import annotations

import warnings

from neurodeploy.errors import MissingComponentError

with warnings.catch_warnings():
    warnings.filterwarnings(
        "ignore", message=r"`torch\.jit\.script` is deprecated", category=DeprecationWarning
    )
    try:
        from norse.torch.functional.lif_box import LIFBoxFeedForwardState, LIFBoxParameters
        from norse.torch.functional.reset import reset_value
        from norse.torch.functional.threshold import threshold
        from norse.torch.module.lif_box import LIFBoxCell
        from norse.torch.module.sequential import SequentialState
    except ModuleNotFoundError as error:
        raise MissingComponentError(
            f"Norse cannot be imported ({error}); training and export from Norse need it: "
            "pip install 'neurodeploy[norse]'"
        ) from error

__all__ = [
    "LIFBoxCell",
    "LIFBoxFeedForwardState",
    "LIFBoxParameters",
    "SequentialState",
    "reset_value",
    "threshold",
]
