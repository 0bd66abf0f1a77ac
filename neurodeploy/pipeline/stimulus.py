"""What samples become before a network takes them: events binned, gain lines added, encoded."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neurodeploy.errors import ContractError
from neurodeploy.findings import Finding
from neurodeploy.graph import Graph
from neurodeploy.network import EventStimuli, FixedPointNetwork, Network, Samples, Stimuli


def as_stimuli(data: Samples | Stimuli | EventStimuli) -> Stimuli | EventStimuli:
    """Return labelled images as held stimuli; stimuli as they are."""
    return Stimuli(data.images, data.labels, held=True) if isinstance(data, Samples) else data


def in_steps(
    network: Network | FixedPointNetwork,
    stimuli: Stimuli | EventStimuli,
    steps: int | None = None,
) -> tuple[Stimuli, tuple[Finding, ...]]:
    """Return events as one input per step, other stimuli as they are; and what that leaves out.

    ``steps`` goes before those of the network.

    Raises
    ------
    InputError
        As ``EventStimuli.in_steps``.
    """
    if isinstance(stimuli, Stimuli):
        return stimuli, ()
    length = network.steps if steps is None else steps
    return stimuli.in_steps(network.n_input, length, network.contract.get("dt"))


def widened(
    graph: Graph | None,
    network: Network | None,
    stimuli: Stimuli | EventStimuli,
    steps: int | None = None,
) -> Stimuli | EventStimuli:
    """Return the stimuli with the gain lines of a graph whose gain is in a portable form.

    Stimuli that have the graph's width already, and those of other graphs, stay as they are.

    Raises
    ------
    ContractError
        For gain lines beside events, or beside images that become spikes.
    """
    if graph is None or network is None or "neurodeploy_gain" not in graph.metadata:
        return stimuli
    if isinstance(stimuli, Stimuli) and stimuli.values.shape[-1] == network.n_input:
        return stimuli
    kind = network.encoder.kind
    if isinstance(stimuli, EventStimuli) or (stimuli.held and kind != "constant"):
        what = "events" if isinstance(stimuli, EventStimuli) else f"images under encoder {kind}"
        raise ContractError(
            f"gain lines: this graph's gain is part of its stimulus and cannot join {what}; "
            "give a sequence x [T, B, ...], or export the model with its gain as metadata"
        )
    # The exporter needs torch; other graphs do not.
    from neurodeploy.export.gain import portable_stimulus

    values = portable_stimulus(stimuli.values, graph, steps=steps)
    return Stimuli(values, stimuli.labels, held=False)


def stimulus_for(
    network: Network | FixedPointNetwork,
    stimuli: Stimuli | EventStimuli,
    backend: str,
    steps: int | None = None,
) -> tuple[NDArray[Any], tuple[Finding, ...]]:
    """Return what simulators take, and what that changes.

    Held images become what the encoder makes of them on every backend, so that all see the same.
    Events and sequences are rounded to codes. Under the encoder ``constant``, where a sequence may
    hold currents of its own, the float network takes them as they are (as codes where they lie on
    the grid, which is the same and is then seen to be).

    Parameters
    ----------
    steps : int or None
        In place of the network's.

    Raises
    ------
    ShapeError
        If the inputs have another size than the network's.
    ContractError
        For images under an encoder that takes none.
    InputError
        If the encoder needs steps and nothing says how many; or as ``EventStimuli.in_steps``.
    """
    given, late = in_steps(network, stimuli, steps)
    given.require_size(network.n_input)
    encoder = network.encoder
    if given.held:
        length = network.steps if steps is None else steps
        codes = encoder.messages(encoder.levels.encode(given.values), length)
        return codes, (*_form(network), *given.changed_by(encoder))
    if encoder.levels.form == "bias":
        raise ContractError(
            "encoder form bias: a bias is held for a whole sample, and this input changes from "
            "step to step; give images [B, ...], or quantise with --encoder-form graded"
        )
    codes = encoder.encode(given.values)
    if backend == "float" and encoder.kind == "constant":
        on_grid = np.array_equal(encoder.decode(codes), given.values)
        return (codes if on_grid else given.values), late
    return codes, (*late, *given.changed_by(encoder))


def _form(network: Network | FixedPointNetwork) -> tuple[Finding, ...]:
    """Say of images as biases what a run of graded messages shows, and what not."""
    if network.encoder.levels.form == "graded" or isinstance(network, Network):
        return ()
    text = (
        "images are biases of the first layer: spikes and membranes are those of graded messages, "
        "which run here; counts and cost of input messages are not the chip's, which has none"
    )
    return (Finding("warning", "encoder", text),)
