"""`quantize`: what rounding will do to each layer, from the calibration samples."""

from __future__ import annotations

from neurodeploy import hardware_profiles
from neurodeploy.network import Samples, Stimuli
from neurodeploy.pipeline.model import Model
from neurodeploy.pipeline.stimulus import as_stimuli, stimulus_for, widened
from neurodeploy.quantization import solve_latencies, with_extra_steps
from neurodeploy.quantization.diagnosis import LayerDiagnosis, diagnose
from neurodeploy.quantization.gain_remapping import as_mapped
from neurodeploy.quantization.quantizer import longest_delay

#: Samples that shares settle with.
_SAMPLES = 256
#: Connections up to which convolutions are written out for it.
_MOST_CONNECTIONS = 2**22


def diagnosis(model: Model, calibration: Samples | Stimuli) -> tuple[LayerDiagnosis, ...]:
    """Return what rounding is expected to do to every population that fires.

    Empty where the network has more connections than this is quick for.
    """
    net = model.require_fixed()
    # Gains as they were mapped: what folding costs is a finding of its own.
    network = as_mapped(model.require_network(), net)
    connections = sum(s.fan_out.sum() for s in net.synapses)
    if connections > _MOST_CONNECTIONS:
        return ()
    stimuli = widened(model.graph, network, as_stimuli(calibration))
    codes, _ = stimulus_for(network, stimuli, "fixed")
    profile = hardware_profiles.parse(net.profile)
    extra = solve_latencies(network, longest_delay(profile)).extra
    # The network that the chip can run: feedback that is slower there is so here.
    return diagnose(with_extra_steps(network, extra), net, codes[..., :_SAMPLES, :])
