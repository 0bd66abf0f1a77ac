"""A model from whichever file it came: its float network, and its integers if it has them."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from neurodeploy import hardware_profiles
from neurodeploy.errors import InputError
from neurodeploy.findings import Finding
from neurodeploy.graph import Contract, Graph, contract_from_metadata, read
from neurodeploy.lowering import compose, lower, require_deployable
from neurodeploy.network import (
    EventStimuli,
    FixedPointNetwork,
    Network,
    Samples,
    Stimuli,
    require_legal,
)
from neurodeploy.pipeline.fixed_file import holds_integers, read_integers
from neurodeploy.pipeline.stimulus import as_stimuli, in_steps, stimulus_for, widened
from neurodeploy.quantization import QuantizeConfig, quantize


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A model on its way: ``fixed`` is None until it is quantised.

    ``network`` is ``graph`` as it is; once quantised, it has single matrices like the integers.
    """

    name: str
    network: Network | None
    fixed: FixedPointNetwork | None
    findings: tuple[Finding, ...] = ()
    graph: Graph | None = None

    def require_network(self) -> Network:
        """Return the float network; InputError if the file holds integers only."""
        if self.network is None:
            raise InputError(
                f"{self.name}: holds no NIR graph, so it cannot run in float; use the .nir file"
            )
        return self.network

    def network_for(self, backend: str) -> Network | FixedPointNetwork:
        """Return the network that ``backend`` runs."""
        return self.require_network() if backend == "float" else self.require_fixed()

    def require_fixed(self) -> FixedPointNetwork:
        """Return the fixed-point network; InputError if it is not quantised."""
        if self.fixed is None:
            raise InputError(
                f"{self.name}: is a float model; name a chip with --profile, or quantise it first "
                "(neurodeploy quantize)"
            )
        return self.fixed


def load_model(
    path: str | Path,
    options: Contract | None = None,
    *,
    strict: bool = False,
    lava_quirks: bool = False,
    convention: str | None = None,
    repair: bool = False,
) -> Model:
    """Read a .nir file (float), or integers: a NET.h5 (with its float model), a NetX file.

    Parameters
    ----------
    path : path
        ``.h5`` and ``.hdf5`` are NET.h5, ``.net`` is NetX; everything else is read as NIR.
    options : Contract
        Contract options; only for NIR files.
    strict : bool
        Warnings of the NIR reader stop.
    lava_quirks : bool
        Accept integers that Lava takes but no chip holds.
    convention, repair
        As for ``graph.read``; only for NIR files.
    """
    path = Path(path)
    if holds_integers(path):
        if convention is not None or repair:
            raise InputError(
                f"{path}: holds integers with their contract; drop --convention and --repair"
            )
        return _load_fixed(path, options, lava_quirks)
    graph, findings = read(path, options, strict=strict, convention=convention, repair=repair)
    network, more = lower(graph)
    return Model(path.stem, network, None, (*findings, *more), graph)


def model_from_graph(graph: Graph, name: str) -> Model:
    """Wrap a graph that is already in memory."""
    network, findings = lower(graph)
    return Model(name, network, None, (*graph.findings, *findings), graph)


def quantized(
    model: Model,
    profile: str | Path,
    config: QuantizeConfig | None = None,
    calibration: Samples | Stimuli | EventStimuli | None = None,
) -> Model:
    """Return the model with its fixed-point network for ``profile``.

    ``calibration``: images, sequences or events; their labels are not looked at. Every sample's
    hash is stored in the network, so that later evaluations can refuse the same samples.
    """
    lowered = model.require_network()
    # Before anything is multiplied out: all obstacles in one message.
    require_deployable(lowered)
    network, composed = compose(lowered)
    codes: NDArray[Any] | None = None
    clipped: tuple[Finding, ...] = ()
    hashes: tuple[str, ...] = ()
    if calibration is not None:
        given, _ = in_steps(network, as_stimuli(calibration))
        wide = widened(model.graph, lowered, as_stimuli(calibration))
        codes, noticed = stimulus_for(network, wide, "fixed")
        hashes = given.hashes(network.encoder)
        clipped = tuple(dataclasses.replace(f, where=f"calibration {f.where}") for f in noticed)
        if network.steps is None and not given.held:
            network, said = _with_steps(network, len(codes))
            clipped += said
    chip = hardware_profiles.load(str(profile))
    fixed, findings = quantize(network, chip, config, calibration=codes, calibration_hashes=hashes)
    found = (*model.findings, *composed, *clipped, *findings)
    return dataclasses.replace(model, network=network, fixed=fixed, findings=found)


def _with_steps(network: Network, steps: int) -> tuple[Network, tuple[Finding, ...]]:
    """Return the network with the length of its calibration sequences as steps per sample."""
    text = f"steps per sample: {steps}, as long as the calibration sequences; nothing else says it"
    finding = Finding("info", "contract", text, "give --steps", {"steps": steps})
    contract = {**network.contract, "steps": steps}
    return dataclasses.replace(network, steps=steps, contract=contract), (finding,)


def _load_fixed(path: Path, options: Contract | None, lava_quirks: bool) -> Model:
    fixed, findings = read_integers(path)
    if not lava_quirks:
        require_legal(fixed, hardware_profiles.limits_in(fixed.profile))
    if options is not None and options != Contract():
        raise InputError(
            f"{path}: holds integers with their contract; contract options belong to .nir files"
        )
    network = _embedded_network(fixed) if fixed.nir_file else None
    return Model(path.stem, network, fixed, findings)


def _embedded_network(fixed: FixedPointNetwork) -> Network:
    """Lower the NIR file inside a NET.h5 under the contract it was quantised with."""
    # Older versions ran every encoder's word as constant; what the integers have is what holds.
    encoder = {**fixed.contract.get("encoder", {}), **fixed.encoder.as_dict()}
    said = contract_options({**fixed.contract, "encoder": encoder})
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "embedded.nir"
        copy.write_bytes(fixed.nir_file)
        # A graph reads its file again when it is lowered.
        network: Network = compose(lower(read(copy, said).value).value).value
    return network


def contract_options(metadata: Mapping[str, Any]) -> Contract:
    """Turn a stored contract back into options."""
    return contract_from_metadata(metadata, "NET.h5")
