"""Damaged, odd and hostile files: a named error each, and never a traceback of another kind."""

import h5py
import numpy as np
import pytest
from export_netx.netx_files import conv, dense, input_layer, neuron, write

from neurodeploy.errors import FileFormatError, InputError, NeurodeployError
from neurodeploy.export.netx import from_netx


def changed(path, change):
    """Write a good file, then let ``change`` at its open handle."""
    write(path, [dense([[8, 2]]), dense([[8]])])
    with h5py.File(path, "r+") as file:
        change(file)
    return path


def replace(name, **options):
    def change(file):
        del file[name]
        file.create_dataset(name, **options)

    return change


def remove(name):
    return lambda file: file.__delitem__(name)


def link(name, target):
    def change(file):
        del file[name]
        file[name] = target

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (remove("layer/1/weight"), "layer 1: a layer of type 'dense' needs the dataset 'weight'"),
        (remove("layer/1/shape"), "needs the dataset 'shape'"),
        (remove("layer/1/type"), "layer 1: type: is missing"),
        (remove("layer/0/neuron/type"), "neuron/type: is missing"),
        (remove("layer/0/neuron/vThMant"), "needs the dataset 'neuron/vThMant'"),
        (remove("layer/0"), "group 0 is missing"),
        (remove("layer"), "no group 'layer'"),
        (replace("layer/0/weight", data=[b"heavy"]), "weight: holds string values, needs numbers"),
        (replace("layer/0/weight", data=np.array([[1j]])), "needs numbers"),
        (replace("layer/0/weight", data=[[np.nan, 1.0]]), "NaN or infinity"),
        (replace("layer/0/weight", data=[[np.inf, 1.0]]), "NaN or infinity"),
        (replace("layer/0/weight", shape=(0, 2), dtype="f4"), "no value at all"),
        (replace("layer/0/weight", data=h5py.Empty("f")), "no dataspace"),
        (replace("layer/0/weight", shape=(1, 2), dtype="f4", chunks=(1, 2)), "stores none"),
        (replace("layer/0/shape", shape=(2**40,), dtype="i8", chunks=(1024,)), "declared size"),
        (replace("layer/0/type", data=7), "needs one text"),
        (replace("layer/0/type", data=[b"dense", b"dense"]), "needs one text"),
        (replace("layer/0/type", data=b"d" * 100), "text of 100 characters"),
        (replace("layer/0/neuron", data=1), "'neuron' is a dataset"),
        (link("layer/0/weight", h5py.SoftLink("/layer/1/weight")), "SoftLink"),
        (link("layer/1", h5py.SoftLink("/layer/0")), "SoftLink"),
        (link("layer/0/weight", h5py.ExternalLink("other.h5", "/x")), "ExternalLink"),
    ],
)
def test_damaged_files_name_the_place(tmp_path, change, message):
    path = changed(tmp_path / "a.net", change)
    with pytest.raises(FileFormatError, match=message) as caught:
        from_netx(path)
    assert "a.net" in str(caught.value)


@pytest.mark.parametrize(
    "text", [b"", b"neither HDF5 nor anything", b"\x89HDF\r\n\x1a\n" + bytes(50)]
)
def test_files_of_another_kind(tmp_path, text):
    path = tmp_path / "a.net"
    path.write_bytes(text)
    with pytest.raises(FileFormatError, match="a.net"):
        from_netx(path)
    with pytest.raises(FileFormatError, match="no such file"):
        from_netx(tmp_path / "absent.net")


def test_a_huge_delay_or_shape_is_no_allocation(tmp_path):
    path = write(tmp_path / "a.net", [dense([[8]], shape=np.array([2**20, 2**20]))])
    with pytest.raises(InputError, match="neurons in one layer"):
        from_netx(path)
    # Padding makes a large map of one pixel: consistent, and refused before it is built.
    wide = conv(np.ones((1, 1, 1, 1)), (1, 40001, 40001), padding=(20000, 20000))
    path = write(tmp_path / "d.net", [input_layer((1, 1, 1)), wide])
    with pytest.raises(InputError, match="neurons in one layer"):
        from_netx(path)
    path = write(tmp_path / "b.net", [dense([[8]], delay=2.0**31)])
    with pytest.raises(InputError, match="does not fit int32"):
        from_netx(path)
    # A million declared neurons of which no dataset says anything.
    path = write(tmp_path / "c.net", [dense([[8]], shape=np.array([2**20]))])
    with pytest.raises(InputError, match="weight"):
        from_netx(path)


def test_every_cut_of_a_file_is_a_named_error_or_the_same_network(tmp_path):
    whole = write(tmp_path / "a.net", [dense([[8, 2]], bias=[1]), dense([[8]], neuron())])
    data = whole.read_bytes()
    rng = np.random.default_rng(3)
    messages = []
    for number in range(150):
        path = tmp_path / f"{number}.net"
        damaged = bytearray(data)
        if number % 2:
            damaged = damaged[: rng.integers(1, len(data))]
        for place in rng.integers(0, len(damaged), rng.integers(1, 9)):
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            from_netx(path)
        except NeurodeployError as error:
            messages.append(str(error))
    assert len(messages) > 40
    assert all(".net" in message for message in messages)
