"""One thread per numerical library, and one compilation of each kernel for all workers."""

import importlib
import os
from pathlib import Path

# On a busy machine two threads fight, and every exact test is the same.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_configure():
    """Compile the kernels, each worker of pytest-xdist from another place in their list on.

    They are cached on disk. Workers that begin at the same place compile all of them side by side;
    so each does its share and finds the others' in the cache.
    """
    worker = os.environ.get("PYTEST_XDIST_WORKER")
    if worker is None:
        return
    simulate = importlib.import_module("neurodeploy.simulate.compiling")
    folder = Path(simulate.__file__).parent
    names = sorted(p.stem for p in folder.glob("*.py") if "\n@compiled(" in p.read_text())
    first = int(worker.removeprefix("gw")) * len(names)
    first //= int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    for name in names[first:] + names[:first]:
        importlib.import_module(f"neurodeploy.simulate.{name}")
