"""From a stimulus to what a portable graph takes: scaled inputs, gate lines, gain lines."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from neurodeploy.errors import ContractError, FileFormatError, InputError, RangeError, ShapeError
from neurodeploy.export.gain.graph import PORTABLE_KEY
from neurodeploy.export.gain.layout import InputLayout, layout_from_metadata
from neurodeploy.export.gain.portable import PortableGain, graph_hash
from neurodeploy.export.gain.quantisation import FloatArray
from neurodeploy.graph import Contract, Graph, read
from neurodeploy.graph.nodes import Shape
from neurodeploy.network import ConstantEncoder


def portable_stimulus(
    values: Any, source: PortableGain | Graph | str | Path, *, steps: int | None = None
) -> Any:
    """Return the stimulus that a graph in a portable form wants in place of ``values``.

    Parameters
    ----------
    values : array or tensor [B, n] or [T, B, n], or with the graph's input shape in place of n
        Stimulus of the graph before: float values, or integer codes, which the contract's encoder
        decodes. Images are held for ``steps`` steps.
    source : PortableGain, Graph or path
        The portable graph. A file or Graph must be as it was written: its hash is checked.
    steps : int
        Steps of held images, by default the contract's.

    Returns
    -------
    float64 array (or tensor, if one was given) [T, B, m]
        m input channels, flat where ``values`` was flat, else in the portable input's shape.

    Raises
    ------
    InputError, FileFormatError
        If ``source`` is no portable graph, or was changed after it was written.
    ShapeError, RangeError, ContractError
        For a stimulus that does not fit or is not finite; for images without steps.
    """
    layout, contract = _read_layout(source)
    array, shaped = value_sequence(values, layout.shape, contract, steps)
    portable = _filled(array, layout)
    if not shaped:
        portable = portable.reshape(*portable.shape[:2], -1)
    if hasattr(values, "detach"):
        import torch

        return torch.from_numpy(portable)
    return portable


def _filled(array: FloatArray, layout: InputLayout) -> FloatArray:
    steps, batch = array.shape[:2]
    portable = np.empty((steps, batch, *layout.portable_shape))
    per_step = (steps, *(1 for _ in portable.shape[1:]))
    for block in layout.blocks:
        # After its last entry the last factor holds.
        factor = block.factor[np.minimum(np.arange(steps), block.factor.size - 1)]
        carried = array if block.carries == "input" else 1.0
        portable[:, :, block.first : block.first + block.count] = factor.reshape(per_step) * carried
    return portable


def value_sequence(
    values: Any, shape: Shape, contract: Contract, steps: int | None = None
) -> tuple[FloatArray, bool]:
    """Return a stimulus as float64 values [T, B, *shape], and whether it was given in that shape.

    Raises
    ------
    ShapeError, RangeError, ContractError
        As for ``portable_stimulus``.
    """
    array = values.detach().cpu().numpy() if hasattr(values, "detach") else np.asarray(values)
    if array.dtype.kind not in "biuf" or not array.size:
        raise ShapeError(
            f"stimulus: shape {array.shape} of {array.dtype}; needs numbers, at least one"
        )
    if not np.isfinite(array).all():
        raise RangeError(f"stimulus: {int((~np.isfinite(array)).sum())} values are NaN or infinite")
    array = (
        array.astype(np.float64) if array.dtype.kind == "f" else _encoder(contract).decode(array)
    )
    size = int(np.prod(shape))
    lead = array.ndim - len(shape)
    shaped = lead in (1, 2) and array.shape[lead:] == shape
    if not shaped:
        lead = array.ndim - 1
        if lead not in (1, 2) or array.shape[-1] != size:
            raise ShapeError(
                f"stimulus: shape {array.shape}; the graph takes [B, {size}] or [T, B, {size}], or "
                f"{shape} in place of {size}"
            )
    array = array.reshape(*array.shape[:lead], *shape)
    if lead == 1:
        steps = contract.steps if steps is None else steps
        if steps is None:
            raise ContractError("stimulus: images need the number of steps; give steps (--steps)")
        array = np.broadcast_to(array, (steps, *array.shape))
    return array, shaped


def _read_layout(source: PortableGain | Graph | str | Path) -> tuple[InputLayout, Contract]:
    if isinstance(source, PortableGain):
        return source.layout, source.contract
    if isinstance(source, Graph):
        return stored_layout(source, "graph"), source.contract
    graph = read(source).value
    return stored_layout(graph, str(source)), graph.contract


def stored_layout(graph: Graph, where: str) -> InputLayout:
    """Return the layout in a portable graph's metadata, if the graph is as it was written.

    Raises
    ------
    InputError
        If it is in no portable form.
    FileFormatError
        If the metadata is damaged, or graph and hash do not match.
    """
    entry = graph.metadata.get(PORTABLE_KEY)
    if entry is None:
        raise InputError(f"{where}: is in no portable gain form (no {PORTABLE_KEY!r} metadata)")
    if not isinstance(entry, Mapping):
        raise FileFormatError(f"{where}: {PORTABLE_KEY} must be a dictionary")
    layout = layout_from_metadata(entry, graph.shapes[graph.input_name][0], where)
    found = graph_hash(graph.nodes, graph.edges, layout)
    if found != entry.get("hash"):
        raise FileFormatError(
            f"{where}: was changed after it was written (hash {found[:12]}, stored "
            f"{str(entry.get('hash'))[:12]}), so its gates may not fit; export it again"
        )
    return layout


def _encoder(contract: Contract) -> ConstantEncoder:
    low, high, bits = contract.encoder_low, contract.encoder_high, contract.encoder_bits
    return ConstantEncoder(
        0.0 if low is None else low, 1.0 if high is None else high, 8 if bits is None else bits
    )
