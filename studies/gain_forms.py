"""What each form of a DLIF gain keeps and costs: one trained network, as a table.

The model and its data are those that ``neurodeploy demo --out DIR`` leaves. Input of one bit, so
that every form can run; weights and gains of 8 bits, rounded to the nearest.

    python studies/gain_forms.py DIR
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from neurodeploy import hardware_profiles
from neurodeploy.cost import count_activity
from neurodeploy.lowering import compose
from neurodeploy.network import Network, decide, load_samples
from neurodeploy.pipeline.model import load_model
from neurodeploy.quantization import QuantizeConfig, quantize
from neurodeploy.quantization.bit_planes import bit_planes
from neurodeploy.simulate import run_fixed, run_float

MODEL = "dlif-mppd"
#: Form and profile.
FORMS = (
    ("microcode", "loihi2"), ("graded", "loihi2"), ("bitplane", "loihi1"), ("fold", "loihi1"),
    ("auto", "loihi1"),
)  # fmt: skip


def rounded(network: Network, bits: int) -> Network:
    """Return ``network`` with gains as mantissas of ``bits`` bits stand for."""
    populations = []
    for p in network.populations:
        if p.gain is not None:
            planes = bit_planes(p, bits)
            p = replace(p, gain=np.ldexp(planes.mantissa.astype(np.float64), -planes.shift))
        populations.append(p)
    return replace(network, populations=tuple(populations))


def main(arguments: Sequence[str]) -> None:
    """Print the share of spikes that rounded gains keep, and the table of forms."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="folder of a demo")
    folder = parser.parse_args(arguments).folder
    network, _ = compose(load_model(folder / f"{MODEL}.nir").require_network())
    network = replace(network, encoder=replace(network.encoder, bits=1))
    train, test = (load_samples(folder / "data" / f"{split}.npz") for split in ("train", "test"))
    calibration, codes = (s.codes(network.encoder, network.n_input) for s in (train, test))
    gained = [p.name for p in network.populations if p.gain is not None]
    real = run_float(network, codes, record=("spikes",))

    def agreement(records: object) -> str:
        found = dict(records)  # type: ignore[call-overload]
        keys = [f"{name}/spikes" for name in gained]
        return ", ".join(f"{(found[k] == real.records[k]).mean():.2%}" for k in keys)

    for bits in range(4, 9):
        traces = run_float(rounded(network, bits), codes, record=("spikes",))
        print(f"gains of {bits} bits, in float: spikes agree {agreement(traces.records)}")
    print("| form | profile | neurons | steps | operations | messages | spikes agree | accuracy |")
    for form, profile in FORMS:
        config = QuantizeConfig(remap=form)  # type: ignore[arg-type]
        net, _ = quantize(network, hardware_profiles.load(profile), config, calibration=calibration)
        traces = run_fixed(net, codes, record=("spikes",))
        on_chip = run_fixed(net, codes, record=("spikes",), timing="lava")
        activity = count_activity(net, on_chip, codes)
        row = (
            form, profile, activity.n_neurons, activity.hardware_steps,
            f"{activity.synaptic_operations.mean().high:.0f}",
            f"{activity.messages().mean().high:.0f}", agreement(traces.records),
            f"{(decide(traces.scores()) == test.labels).mean():.2%}",
        )  # fmt: skip
        print("|", " | ".join(str(value) for value in row), "|")


if __name__ == "__main__":
    main(sys.argv[1:])
