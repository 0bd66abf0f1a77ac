"""`train`: one network in Norse on the bundled digits, exported to a proven NIR file."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from neurodeploy.findings import Finding
from neurodeploy.pipeline.settings import StageProgress

#: Length of a step. Training counts in steps; NIR's time constants need seconds, so that a tau of
#: 100 steps is written as 0.1 s.
DT_S = 1e-3

# What needs Norse is imported by the functions that use it: Norse is an optional component.


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """A trained, exported network.

    ``check`` holds the facts of the export check: values compared, spikes that differ between
    Norse and the float simulator (0, or no file was written), float32 flips.
    """

    name: str
    nir: Path
    data: dict[str, Path]
    accuracies: dict[str, float]
    selected_epoch: int
    check: dict[str, object]
    findings: tuple[Finding, ...]


def require_norse() -> None:
    """Raise MissingComponentError where Norse is not installed."""
    # The one module that imports Norse raises MissingComponentError with how to get it.
    import_module("neurodeploy.neurons.norse_parts")


def train_and_export(
    config: object,
    folder: Path,
    *,
    work: Path | None = None,
    resume: bool = False,
    progress: StageProgress | None = None,
) -> TrainedModel:
    """Train ``config`` (a TrainingConfig) and write ``folder/<name>.nir`` and the data splits.

    Parameters
    ----------
    config : TrainingConfig
    folder : path
        Gets the NIR file and ``data/{train,validation,test}.npz``.
    work : path
        Folder of checkpoints; default ``folder``.
    resume : bool
        Go on from a checkpoint if there is one.
    progress : callable
        Called with ("train <name>", epoch, epochs).

    Raises
    ------
    MissingComponentError
        Without Norse.
    ExportRefusedError
        If the exported file does not reproduce the network spike for spike.
    """
    require_norse()
    from neurodeploy.export.nir import to_nir
    from neurodeploy.training import TrainingConfig, load_digits, load_model, train

    if not isinstance(config, TrainingConfig):
        raise TypeError(f"config must be a TrainingConfig, is {type(config).__name__}")
    splits = load_digits(config.seed)

    def epoch_done(record: object) -> None:
        if progress is not None:
            done, total = record.epoch, record.epochs  # type: ignore[attr-defined]
            progress(f"train {config.name}", done, total)

    trained = train(config, work or folder, resume=resume, progress=epoch_done, splits=splits)
    data = splits.save(folder / "data")
    model = load_model(trained.model)
    path = folder / f"{config.name}.nir"
    codes = splits.test.codes(splits.encoder, splits.test.images.shape[1])
    check, findings = to_nir(model, codes, path, dt=DT_S, encoder=splits.encoder)
    return TrainedModel(
        config.name,
        path,
        data,
        dict(trained.accuracies),
        trained.selected_epoch,
        dataclasses.asdict(check),
        findings,
    )
