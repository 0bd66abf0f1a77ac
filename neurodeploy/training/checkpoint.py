"""Files of a training run: named tensors and nothing else, read with ``weights_only``.

A configuration or a history travels as the bytes of its JSON text in a uint8 tensor, so that no
file of ours needs anything but tensors to be read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from neurodeploy.errors import FileFormatError, InputError
from neurodeploy.files import replacing
from neurodeploy.neurons import SpikingSequence
from neurodeploy.training.config import TrainingConfig
from neurodeploy.training.config_file import config_from_dict
from neurodeploy.training.models import build_model

FILE_SCHEMA = 1


def save_tensors(path: str | Path, kind: str, tensors: Mapping[str, Tensor]) -> None:
    """Write ``tensors`` with their ``kind`` and the schema number, whole or not at all."""
    header = text_tensor({"kind": kind, "schema": FILE_SCHEMA})
    with replacing(path) as temporary:
        torch.save({"header": header, **tensors}, temporary)


def load_tensors(path: str | Path, kind: str) -> dict[str, Tensor]:
    """Read a file of ``save_tensors``.

    Raises
    ------
    InputError
        If the file does not exist.
    FileFormatError
        If it is damaged, of another kind or schema, or holds anything but tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; give the file that `neurodeploy train` wrote")
    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # torch reports a damaged file by whatever its parser stumbled over.
        raise FileFormatError(f"{path}: cannot be read as a file of tensors: {error}") from error
    if not isinstance(tensors, dict) or not all(isinstance(t, Tensor) for t in tensors.values()):
        raise FileFormatError(f"{path}: holds something else than named tensors")
    found = tensor_text(tensors.pop("header")) if "header" in tensors else {}
    if found != {"kind": kind, "schema": FILE_SCHEMA}:
        raise FileFormatError(
            f"{path}: is {found or 'a file without header'}; "
            f"needs kind {kind!r} of schema {FILE_SCHEMA}"
        )
    return tensors


def text_tensor(document: Any) -> Tensor:
    """Return the JSON text of ``document`` as a uint8 tensor."""
    return torch.tensor(list(json.dumps(document).encode()), dtype=torch.uint8)


def tensor_text(tensor: Tensor) -> Any:
    """Return the document that ``text_tensor`` packed."""
    return json.loads(bytes(tensor.tolist()).decode())


def save_model(path: str | Path, model: SpikingSequence, config: TrainingConfig) -> None:
    """Write a trained network with the configuration that rebuilds it."""
    state = {f"model/{name}": tensor for name, tensor in model.state_dict().items()}
    save_tensors(path, "model", {"config": text_tensor(config.as_dict()), **state})


def load_model(path: str | Path) -> SpikingSequence:
    """Read a trained network written by ``train``.

    Raises
    ------
    InputError, FileFormatError
        As ``load_tensors``; also if the tensors do not fit the stored configuration.
    """
    tensors = load_tensors(path, "model")
    model = build_model(stored_config(path, tensors).model, torch.Generator())
    try:
        model.load_state_dict(part(tensors, "model/"))
    except RuntimeError as error:
        raise FileFormatError(f"{path}: tensors do not fit the configuration: {error}") from error
    return model


def stored_config(path: str | Path, tensors: Mapping[str, Tensor]) -> TrainingConfig:
    """Return the configuration packed in ``tensors``."""
    if "config" not in tensors:
        raise FileFormatError(f"{path}: holds no configuration")
    return config_from_dict(tensor_text(tensors["config"]), str(path))


def part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose name starts with ``prefix``, without it."""
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }
