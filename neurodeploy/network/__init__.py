"""Float and fixed-point networks, what a run records, and their files. numpy and h5py only."""

from neurodeploy.network.agreement import Comparison, RecordAgreement, compare_traces
from neurodeploy.network.bias_schedule import as_biases, fit_to_biases, in_form
from neurodeploy.network.chip_observation import chip_observation
from neurodeploy.network.connections import ALWAYS_ON, INPUT
from neurodeploy.network.encoding import ConstantEncoder, Encoder, Readout, ReadoutKind, decide
from neurodeploy.network.fixed import (
    ALIGN_BITS,
    DECAY_BITS,
    DELAY_MAX,
    V_MAX,
    V_THRESHOLD_MAX,
    ConvLayout,
    FixedPointNetwork,
    FixedPopulation,
    FixedSynapse,
    SignMode,
    SparseLayout,
)
from neurodeploy.network.floating import Network, Population, Synapse, stateless
from neurodeploy.network.legality import check_legality, require_legal
from neurodeploy.network.network_file import (
    integers_hash,
    load_network,
    network_hash,
    save_network,
)
from neurodeploy.network.operators import (
    Convolution,
    Dense,
    Operator,
    Pool,
    Scale,
    Sparse,
    output_bias,
)
from neurodeploy.network.samples import Samples, load_samples, save_samples
from neurodeploy.network.spike_encoders import (
    EventsEncoder,
    LatencyEncoder,
    RateEncoder,
    encoder_from,
)
from neurodeploy.network.start_state import has_start_v, start_v, with_start_v
from neurodeploy.network.stimuli import EventStimuli, Stimuli, load_stimuli
from neurodeploy.network.time_axis import on_logical_axis
from neurodeploy.network.traces import Quantity, Traces, read_out, readout_quantity

__all__ = [
    "ALIGN_BITS",
    "ALWAYS_ON",
    "DECAY_BITS",
    "DELAY_MAX",
    "INPUT",
    "V_MAX",
    "V_THRESHOLD_MAX",
    "Comparison",
    "ConstantEncoder",
    "ConvLayout",
    "Convolution",
    "Dense",
    "Encoder",
    "EventStimuli",
    "EventsEncoder",
    "FixedPointNetwork",
    "FixedPopulation",
    "FixedSynapse",
    "LatencyEncoder",
    "Network",
    "Operator",
    "Pool",
    "Population",
    "Quantity",
    "RateEncoder",
    "Readout",
    "ReadoutKind",
    "RecordAgreement",
    "Samples",
    "Scale",
    "SignMode",
    "Sparse",
    "SparseLayout",
    "Stimuli",
    "Synapse",
    "Traces",
    "as_biases",
    "check_legality",
    "chip_observation",
    "compare_traces",
    "decide",
    "encoder_from",
    "fit_to_biases",
    "has_start_v",
    "in_form",
    "integers_hash",
    "load_network",
    "load_samples",
    "load_stimuli",
    "network_hash",
    "on_logical_axis",
    "output_bias",
    "read_out",
    "readout_quantity",
    "require_legal",
    "save_network",
    "save_samples",
    "start_v",
    "stateless",
    "with_start_v",
]
