"""Float and fixed-point networks, what a run records, and their files. numpy and h5py only."""

from neurodeploy.network.encoding import ConstantEncoder, Readout, ReadoutKind, decide
from neurodeploy.network.fixed import (
    ALIGN_BITS,
    DECAY_BITS,
    V_MAX,
    V_THRESHOLD_MAX,
    FixedPointNetwork,
    FixedPopulation,
    FixedSynapse,
    SignMode,
)
from neurodeploy.network.floating import ALWAYS_ON, INPUT, Network, Population, Synapse
from neurodeploy.network.legality import check_legality, require_legal
from neurodeploy.network.network_file import load_network, network_hash, save_network
from neurodeploy.network.traces import Quantity, Traces, read_out, readout_quantity

__all__ = [
    "ALIGN_BITS",
    "ALWAYS_ON",
    "DECAY_BITS",
    "INPUT",
    "V_MAX",
    "V_THRESHOLD_MAX",
    "ConstantEncoder",
    "FixedPointNetwork",
    "FixedPopulation",
    "FixedSynapse",
    "Network",
    "Population",
    "Quantity",
    "Readout",
    "ReadoutKind",
    "SignMode",
    "Synapse",
    "Traces",
    "check_legality",
    "decide",
    "load_network",
    "network_hash",
    "read_out",
    "readout_quantity",
    "require_legal",
    "save_network",
]
