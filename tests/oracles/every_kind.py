"""One small network that holds every kind of neuron and synapse, for tests of types and files."""

from __future__ import annotations

import numpy as np

from neurodeploy.network import (
    ConstantEncoder,
    ConvLayout,
    FixedPointNetwork,
    FixedPopulation,
    FixedSynapse,
    Readout,
    SparseLayout,
)

LAYOUT = ConvLayout((1, 2), (1, 0), (1, 1), 2, (2, 3, 4), (2, 3, 2))


def population(name: str, size: int, **fields) -> FixedPopulation:
    """Return a LIF; ``fields`` replace what it has."""
    common = {
        "kind": "lif", "decay_u": np.arange(size), "decay_v": np.arange(size) * 3, "bias": -5,
        "bias_exp": 2, "v_threshold": 100, "u_init": 0, "v_init": 0, "latency": 1, "scale": 64.0,
    }  # fmt: skip
    return FixedPopulation(name=name, nir_nodes=(name,), **{**common, **fields})


def conv_synapse(**fields) -> FixedSynapse:
    """Return a grouped convolution from ``input`` (2, 3, 4) to ``map`` (2, 3, 2)."""
    kernel = np.arange(12).reshape(2, 1, 3, 2) * 2 - 10
    return FixedSynapse("c", "input", "map", kernel, 0, "mixed", **{"layout": LAYOUT, **fields})


def sparse_synapse(**fields) -> FixedSynapse:
    """Return a sparse matrix [5, 12] with a delay of each weight and an empty row."""
    layout = SparseLayout([0, 2, 2, 3, 5, 6], [0, 11, 4, 1, 2, 7], 12)
    given = {"layout": layout, "delay": np.array([1, 62, 3, 1, 0, 2]), **fields}
    return FixedSynapse("s", "map", "late", [2, -4, 6, 0, 8, 254], -3, "mixed", **given)


def network_of_every_kind() -> FixedPointNetwork:
    """Return conv -> sparse with delays -> dense, with recurrence, feedback and a residual."""
    populations = (
        population("map", 12, shape=(2, 3, 2), refractory_steps=3, reset_interval=9, u_init=7),
        population("late", 5, latency=2, reset="subtract", origin=np.linspace(-1, 1, 5)),
        population("gain", 4, kind="dlif", latency=4, gain=[3, 255], gain_shift=7, bias_exp=0),
        population("out", 3, kind="readout", latency=5, v_threshold=2**17, reset_interval=7,
                   reset_offset=3),
    )  # fmt: skip
    dense = np.arange(-10, 10).reshape(4, 5) * 2
    synapses = (
        conv_synapse(message_bits=8),
        sparse_synapse(),
        FixedSynapse("d", "late", "gain", dense, 7, "mixed", delay=np.abs(dense) + 1),
        FixedSynapse("r", "map", "gain", np.eye(4, 12) * 255, -8, "excitatory", 8, delay=2),
        FixedSynapse("back", "gain", "map", -np.ones((12, 4)), 1, "inhibitory", 8),
        FixedSynapse("self", "late", "late", np.eye(5) * -16, 0, "mixed", 5),
        FixedSynapse("on", "always_on", "out", [[1], [2], [3]], 3, "excitatory"),
        FixedSynapse("o", "gain", "out", np.ones((3, 4)) * 2, 0, "mixed"),
    )
    return FixedPointNetwork(
        populations=populations, synapses=synapses, n_input=24, input_shape=(2, 3, 4),
        encoder=ConstantEncoder(-1.0, 1.0, 8), readout=Readout("out", "max_v", (2, 9)), steps=9,
        contract={"dt": 0.001, "reset": "subtract"}, profile="name = 'x'", nir_file=b"\x00\x01",
        calibration=("ab", "cd"),
    )  # fmt: skip
