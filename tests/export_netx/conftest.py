import pytest

from neurodeploy.export.lava import runtime as lava_runtime


@pytest.fixture(scope="session")
def runtime():
    found = lava_runtime.find()
    if found is None:
        pytest.skip(
            f"no Lava runtime in {lava_runtime.default_root()}: {lava_runtime.INSTALL_HINT}"
        )
    return found
