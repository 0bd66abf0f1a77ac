import pytest
from cli.calling import call
from small_models import write_data, write_model


@pytest.fixture
def files(tmp_path):
    model = write_model(tmp_path / "net.nir")
    return {
        "model": str(model),
        "test": str(write_data(tmp_path / "test.npz", 1, model=model)),
        "train": str(write_data(tmp_path / "train.npz", 2, model=model)),
        "dir": tmp_path,
    }


@pytest.fixture
def network(files):
    path = files["dir"] / "net.h5"
    code = call(
        "quantize", files["model"], "--profile", "loihi2", "--out", path,
        "--calibration", files["train"],
    )  # fmt: skip
    assert code == 0
    return path
