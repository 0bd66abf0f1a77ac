"""Float and fixed-point networks, what a run records, and their files. numpy and h5py only."""

from neurodeploy.network.agreement import Comparison, RecordAgreement, compare_traces
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
from neurodeploy.network.samples import Samples, load_samples, save_samples
from neurodeploy.network.start_state import has_start_v, start_v, with_start_v
from neurodeploy.network.traces import Quantity, Traces, read_out, readout_quantity

__all__ = [
    "ALIGN_BITS",
    "ALWAYS_ON",
    "DECAY_BITS",
    "INPUT",
    "V_MAX",
    "V_THRESHOLD_MAX",
    "Comparison",
    "ConstantEncoder",
    "FixedPointNetwork",
    "FixedPopulation",
    "FixedSynapse",
    "Network",
    "Population",
    "Quantity",
    "Readout",
    "ReadoutKind",
    "RecordAgreement",
    "Samples",
    "SignMode",
    "Synapse",
    "Traces",
    "check_legality",
    "compare_traces",
    "decide",
    "has_start_v",
    "load_network",
    "load_samples",
    "network_hash",
    "read_out",
    "readout_quantity",
    "require_legal",
    "save_network",
    "save_samples",
    "start_v",
    "with_start_v",
]
