"""Data, traces and networks that came from somewhere else, and went wrong on the way."""

import h5py
import numpy as np
import pytest

from neurodeploy.errors import FileFormatError, InputError
from neurodeploy.network import ConstantEncoder, Samples, Traces, load_network, load_samples

IMAGES, LABELS = np.random.default_rng(0).random((6, 4, 4)), np.arange(6)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (IMAGES * 1j, LABELS, "images: holds complex128"),
        (np.array([["a", "b"]]), [0], "images: holds <U1"),
        (IMAGES, np.array(list("abcdef")), "y: holds <U1"),
        (IMAGES, LABELS + 0.5, "whole numbers, found 0.5"),
        (IMAGES, np.array([0, 1, 2, 3, 4, np.inf]), "whole numbers, found inf"),
        (IMAGES, np.array([0, 1, 2, 3, 4, 1e30]), r"whole numbers, found 1e\+30"),
        (np.full((2, 3), np.nan), [0, 1], "NaN or infinity"),
        (IMAGES[:0], LABELS[:0], "at least one image"),
    ],
)
@pytest.mark.parametrize("suffix", [".npz", ".h5"])
def test_data_that_are_no_labelled_images_are_refused(tmp_path, images, labels, message, suffix):
    path = tmp_path / f"data{suffix}"
    if suffix == ".npz":
        np.savez(path, images=images, y=labels)
    else:
        if np.asarray(images).dtype.kind == "U" or np.asarray(labels).dtype.kind == "U":
            pytest.skip("HDF5 holds text as objects")
        with h5py.File(path, "w") as file:
            file["images"], file["y"] = images, labels
    with pytest.raises(InputError, match=message):
        load_samples(path)


@pytest.mark.parametrize("dtype", ["u1", "i2", "f4", "f8", "?"])
def test_every_kind_of_real_number_is_read(tmp_path, dtype):
    path = tmp_path / "data.npz"
    np.savez(path, images=(IMAGES * 2).astype(dtype), y=LABELS.astype("f4"))
    samples = load_samples(path)
    assert samples.images.shape == (6, 16)
    np.testing.assert_array_equal(samples.images, (IMAGES * 2).astype(dtype).reshape(6, 16))
    np.testing.assert_array_equal(samples.labels, LABELS)


def test_a_single_array_is_not_an_archive(tmp_path):
    path = tmp_path / "data.npz"
    with path.open("wb") as file:
        np.save(file, IMAGES)
    with pytest.raises(FileFormatError, match="one unnamed array"):
        load_samples(path)


def hostile(path, how):
    with h5py.File(path, "w") as file:
        file["y"] = LABELS
        if how == "huge":
            file.create_dataset("images", shape=(10**7, 10**6), dtype="f8", chunks=(1, 1000))
        elif how == "soft":
            file["images"] = h5py.SoftLink("/y")
        elif how == "external":
            file["images"] = h5py.ExternalLink("other.h5", "images")
        else:
            outside = [(str(path.with_suffix(".bin")), 0, 48)]
            file.create_dataset("images", shape=(6,), dtype="f8", external=outside)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("huge", "declared size"),
        ("soft", "SoftLink; links are refused"),
        ("external", "ExternalLink; links are refused"),
        ("storage", "outside the file"),
    ],
)
@pytest.mark.parametrize("reader", [load_samples, Traces.load, load_network])
def test_files_that_reach_outside_or_declare_too_much_are_refused(tmp_path, how, message, reader):
    path = tmp_path / "strange.h5"
    hostile(path, how)
    with pytest.raises(FileFormatError, match=message):
        reader(path)


def test_values_that_encoding_clips_are_counted():
    encoder = ConstantEncoder(0.0, 1.0, 8)
    images = np.array([[0.0, 1.0, 1.0 + encoder.step / 4], [-0.5, 16.0, 0.5]])
    (finding,) = Samples(images, [0, 1]).out_of_range(encoder)
    assert finding.severity == "warning"
    assert finding.numbers == {"clipped": 2, "values": 6, "lowest": -0.5, "highest": 16.0}
    assert Samples(np.clip(images, 0, 1), [0, 1]).out_of_range(encoder) == ()


def test_labels_are_compared_with_the_outputs():
    samples = Samples(IMAGES, LABELS)
    assert samples.misfit_labels(6) == ""
    assert "labels 0..5 do not fit 5 outputs" in samples.misfit_labels(5)
    assert samples.misfit_labels(5)
    assert Samples(IMAGES, LABELS - 1).misfit_labels(6)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("meta", np.array("[]"), "traces schema None"),
        ("meta", np.array('{"schema": 1, "readout": {"kind": "x"}}'), "no known read-out"),
        ("meta", np.array('{"schema": 1, "populations": {"a": {}}}'), "populations' scales"),
        ("output", np.int64(1), "output is int64 of shape"),
        ("output", np.zeros((0, 0, 0)), "output is float64 of shape"),
        ("a/v", np.array([["x"]]), "a/v is <U1"),
        ("counts/a/spikes", np.zeros((2, 2)), "counts/a/spikes is float64"),
    ],
)
def test_damaged_traces_are_refused(tmp_path, name, value, message):
    meta = {"readout": {"kind": "sum"}, "populations": {"a": {"scale": 64.0}}}
    ones = np.ones((2, 3, 4))
    traces = Traces(ones, {"a/v": ones}, {"a/spikes": np.zeros(3, np.int64)}, meta)
    path = tmp_path / "traces.npz"
    traces.save(path)
    with np.load(path) as file:
        arrays = {key: file[key] for key in file.files}
    Traces.load(path)
    np.savez(path, **{**arrays, name: value})
    with pytest.raises(FileFormatError, match=message):
        Traces.load(path)
