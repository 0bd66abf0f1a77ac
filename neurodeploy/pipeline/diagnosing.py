"""`quantize`: what rounding will do to each layer, from the calibration samples."""

from __future__ import annotations

from neurodeploy import hardware_profiles
from neurodeploy.network import EventStimuli, Network, Samples, Stimuli
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


def diagnosis(
    model: Model, calibration: Samples | Stimuli | EventStimuli
) -> tuple[LayerDiagnosis, ...]:
    """Return what rounding is expected to do to every population that fires.

    Empty where the network has more connections than this is quick for.
    """
    net = model.require_fixed()
    connections = sum(s.fan_out.sum() for s in net.synapses)
    if connections > _MOST_CONNECTIONS:
        return ()
    network, stimuli = as_deployed(model, calibration)
    codes, _ = stimulus_for(network, stimuli, "fixed")
    return diagnose(network, net, codes[..., :_SAMPLES, :])


def as_deployed(
    model: Model, samples: Samples | Stimuli | EventStimuli
) -> tuple[Network, Stimuli | EventStimuli]:
    """Return the float network that the integers stand for, and the samples as it takes them.

    Gains are as they were mapped (what folding costs is a finding of its own), and feedback that
    is slower on the chip is so here.
    """
    net = model.require_fixed()
    network = as_mapped(model.require_network(), net)
    stimuli = widened(model.graph, network, as_stimuli(samples))
    profile = hardware_profiles.parse(net.profile)
    drive_steps = {p.name: p.drive_steps for p in net.populations}
    extra = solve_latencies(network, longest_delay(profile), drive_steps).extra
    return with_extra_steps(network, extra), stimuli
