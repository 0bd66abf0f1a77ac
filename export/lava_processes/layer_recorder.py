"""A sink that writes what one population did, step by step, to .npy files.

Reading a Var from the host costs tens of microseconds an element; this costs one message a step.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from lava.magma.core.decorator import implements, requires, tag
from lava.magma.core.model.py.model import PyLoihiProcessModel
from lava.magma.core.model.py.ports import PyInPort, PyRefPort
from lava.magma.core.model.py.type import LavaPyType
from lava.magma.core.process.ports.ports import InPort, RefPort
from lava.magma.core.process.process import AbstractProcess
from lava.magma.core.resources import CPU
from lava.magma.core.sync.protocols.loihi_protocol import LoihiProtocol


class LayerRecorder(AbstractProcess):  # type: ignore[misc]
    """Record spikes, u and v of one population at every step of a run.

    Connect ``s_out`` of the neurons to ``s_in``, and ``u`` and ``v`` to their Vars with
    ``connect_var``; what has a path is recorded, the rest may stay unconnected. u and v are read
    after the step's spiking phase, that is after the reset.

    Parameters
    ----------
    size : int
        Number of neurons N.
    steps : int
        Steps of one sample to keep.
    paths : mapping of {"spikes", "u", "v"} to str
        Files to write: arrays [samples * steps, N], uint8 for spikes, int32 for u and v. A file
        that is there already is continued.
    samples : int
        Samples that the files hold.
    first_sample : int
        Sample that step 1 of this network belongs to.
    pace : int or None
        Steps from one sample's first step to the next one's; what is beyond ``steps`` is not kept.
        By default ``steps``.
    """

    def __init__(
        self,
        *,
        size: int,
        steps: int,
        paths: Mapping[str, str],
        samples: int = 1,
        first_sample: int = 0,
        pace: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            steps=steps,
            paths=dict(paths),
            size=size,
            samples=samples,
            first_sample=first_sample,
            pace=steps if pace is None else pace,
            **kwargs,
        )
        self.s_in = InPort(shape=(size,))
        self.u = RefPort(shape=(size,))
        self.v = RefPort(shape=(size,))


@implements(proc=LayerRecorder, protocol=LoihiProtocol)
@requires(CPU)
@tag("fixed_pt")
class PyLayerRecorderModel(PyLoihiProcessModel):  # type: ignore[misc]
    """Writes through memory maps, so that memory does not grow with the run."""

    s_in: PyInPort = LavaPyType(PyInPort.VEC_DENSE, np.int32)
    u: PyRefPort = LavaPyType(PyRefPort.VEC_DENSE, np.int32)
    v: PyRefPort = LavaPyType(PyRefPort.VEC_DENSE, np.int32)

    def __init__(self, proc_params: Any) -> None:
        super().__init__(proc_params)
        self._files: dict[str, np.memmap[Any, Any]] = {}
        self._row: int | None = None

    def _open(self) -> None:
        rows = int(self.proc_params["steps"]) * int(self.proc_params["samples"])
        shape = (rows, int(self.proc_params["size"]))
        for quantity, path in self.proc_params["paths"].items():
            dtype = np.uint8 if quantity == "spikes" else np.int32
            if os.path.exists(path):
                self._files[quantity] = np.lib.format.open_memmap(path, mode="r+")
            else:
                self._files[quantity] = np.lib.format.open_memmap(
                    path, mode="w+", dtype=dtype, shape=shape
                )

    def _row_now(self) -> int | None:
        """Return the row of this step; None where the step is not kept."""
        sample, step = divmod(self.time_step - 1, self.proc_params["pace"])
        steps = self.proc_params["steps"]
        if step >= steps:
            return None
        return int((self.proc_params["first_sample"] + sample) * steps + step)

    def run_spk(self) -> None:
        """Take the spikes of this step."""
        if self.time_step == 1:
            self._open()
        self._row = self._row_now()
        spikes = self.s_in.recv()
        if "spikes" in self._files and self._row is not None:
            self._files["spikes"][self._row] = spikes

    def post_guard(self) -> bool:
        """Ask for the management phase only where there is a state to read."""
        return self._row is not None and ("u" in self._files or "v" in self._files)

    def run_post_mgmt(self) -> None:
        """Read u and v as they are after this step's reset."""
        for quantity in ("u", "v"):
            if quantity in self._files:
                self._files[quantity][self._row] = getattr(self, quantity).read()
