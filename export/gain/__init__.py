"""DLIF's gain p[t] in forms that a tool without any notion of it runs right.

NIR has no parameter that changes with time and no product of two signals. The exporter's default
keeps p / mean in the metadata, which other tools ignore. Here are the two forms they need not
know about:

``bit-planes``
    p is rounded to B bits, ``m[t] * 2**-e``. For each bit, the spikes that feed the node pass AND
    neurons whose second input is a gate line (that bit of m[t]); the weights behind them carry
    2**(b - e). Gate lines are extra channels of the stimulus. The input itself is not 0 or 1, so a
    node that it feeds gets p times the input as a channel of the stimulus instead.
``stimulus``
    For nodes fed by the input alone: the stimulus carries ``p[t] * x[t]``, unrounded, and where
    there is a bias, p[t] on a line of its own.

Without changing the stimulus the gates would have to come from neurons. A ring needs a loop, and
tools do not agree where a loop's delay sits; neurons that switch on at a given step and stay on
need v_reset above the threshold, which Norse 1.1.0 drops. Neither is right everywhere, so there is
none.
"""

from neurodeploy.export.gain.check import (
    PortableCheck,
    check_portable_gain,
    measure_ignored_gain,
    write_portable_gain,
)
from neurodeploy.export.gain.portable import FORMS, PortableGain, to_portable_gain
from neurodeploy.export.gain.stimulus import portable_stimulus

__all__ = [
    "FORMS",
    "PortableCheck",
    "PortableGain",
    "check_portable_gain",
    "measure_ignored_gain",
    "portable_stimulus",
    "to_portable_gain",
    "write_portable_gain",
]
