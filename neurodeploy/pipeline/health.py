"""`doctor`: is every part of the installation there and right."""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from typing import Any, Literal

import numpy as np

from neurodeploy import hardware_profiles
from neurodeploy.errors import NeurodeployError
from neurodeploy.network import (
    ConstantEncoder,
    FixedPointNetwork,
    FixedPopulation,
    FixedSynapse,
    Readout,
)
from neurodeploy.simulate import run_fixed

State = Literal["ok", "absent", "broken"]


@dataclass(frozen=True, slots=True)
class Check:
    """One part of the installation: ``absent`` is optional and missing, ``broken`` is needed."""

    part: str
    state: State
    detail: str
    remedy: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the check as JSON types."""
        return dataclasses.asdict(self)


def check_health() -> list[Check]:
    """Check Python, packages, profiles, the simulator's arithmetic, Norse and Lava."""
    checks = [Check("python", "ok", platform.python_version())]
    for package in ("numpy", "h5py", "nir", "torch", "numba", "scipy"):
        checks.append(_package(package, needed=True, remedy=f"pip install {package}"))
    norse = "needed for training and export: pip install 'neurodeploy[norse]'"
    checks.append(_package("norse", needed=False, remedy=norse))
    checks.append(_guarded("profiles", _profiles))
    checks.append(_guarded("simulator", _golden_step))
    checks.append(_lava())
    return checks


def _package(name: str, *, needed: bool, remedy: str) -> Check:
    try:
        return Check(name, "ok", metadata.version(name))
    except metadata.PackageNotFoundError:
        return Check(name, "broken" if needed else "absent", "not installed", remedy)


def _guarded(part: str, check: Callable[[], str]) -> Check:
    try:
        return Check(part, "ok", check())
    except NeurodeployError as error:
        return Check(part, "broken", str(error), "reinstall neurodeploy")


def _profiles() -> str:
    return ", ".join(hardware_profiles.load(name).name for name in hardware_profiles.names())


def _golden_step() -> str:
    """Compute one golden vector of Lava: a = 203200 makes u wrap to -3772416."""
    code = 800
    net = FixedPointNetwork(
        populations=(
            FixedPopulation(
                name="golden",
                nir_nodes=(),
                kind="readout",
                decay_u=np.array([4095]),
                decay_v=np.array([4096]),
                bias=np.array([0]),
                bias_exp=0,
                v_threshold=np.array([2**17]),
                u_init=np.array([0]),
                v_init=np.array([0]),
                latency=1,
                scale=64.0,
            ),
        ),
        synapses=(
            FixedSynapse(
                "golden", "input", "golden", np.array([[254]]), 0, "mixed", message_bits=16
            ),
        ),
        n_input=1,
        encoder=ConstantEncoder(bits=16),
        readout=Readout("golden", "last_v"),
        steps=1,
    )
    u = int(run_fixed(net, np.array([[code]]), record=("u",)).records["golden/u"][0, 0, 0])
    if u != -3_772_416:
        raise NeurodeployError(f"golden vector: u is {u}, Lava gives -3772416")
    return "golden vector exact"


def _lava() -> Check:
    from neurodeploy.export.lava import runtime

    status = runtime.status()
    held = f"{sum(c.ok for c in status.checks)} of {len(status.checks)} golden vectors hold"
    if not status.available:
        return Check("lava", "absent", status.detail, "run: neurodeploy lava install")
    if not status.ok:
        return Check("lava", "broken", f"{status.detail}; {held}", "run: neurodeploy lava install")
    return Check("lava", "ok", f"{status.mode}: {status.detail}; {held}")
