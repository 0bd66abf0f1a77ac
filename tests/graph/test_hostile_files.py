"""Files made to harm: a clear error, in bounded time and memory, and never a foreign exception."""

import json
import resource
import subprocess
import sys
import zlib

import h5py
import nir_samples as samples
import numpy as np
import pytest
from h5py import h5d, h5p, h5s, h5t

from neurodeploy.cli import main
from neurodeploy.errors import FileFormatError, InputError
from neurodeploy.graph import Contract, ReadLimits, read, survey

FULL = Contract(dt=1e-3, steps=4)
SECONDS, MEBIBYTES = 2.0, 500.0

CHILD = """
import sys, time
from neurodeploy.errors import NeurodeployError
from neurodeploy.graph import Contract, read
import json, resource
start = time.process_time()
try:
    read(sys.argv[1], Contract(dt=1e-3, steps=4))
    answer = "read"
except NeurodeployError as error:
    answer = f"{type(error).__name__} {error.exit_code} {error}"
seconds = time.process_time() - start
try:
    lines = open("/proc/self/status").read().splitlines()
    peak = next(int(x.split()[1]) for x in lines if x.startswith("VmHWM")) / 2**10
except OSError:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
print(json.dumps([answer, seconds, peak]))
"""


def in_child(path):
    """Read ``path`` in a fresh process under a hard memory limit; return (answer, CPU seconds, MiB)."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (2**32, 2**32)),
    )
    assert done.returncode == 0, done.stderr
    answer, seconds, peak = json.loads(done.stdout.splitlines()[-1])
    return answer, seconds, peak


def refused(path, message):
    answer, seconds, peak = in_child(path)
    kind, code, text = answer.split(" ", 2)
    assert kind.endswith("Error")
    assert code == "2"
    assert message in text
    assert seconds < SECONDS
    assert peak < MEBIBYTES
    return text


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.nir"


def good(path, **keywords):
    return samples.write_chain(path, samples.affine(), samples.lif(), **keywords)


def replaced(path, name, make):
    """Write a good file, then let ``make(file)`` put something else in the place of ``name``."""
    good(path)
    with h5py.File(path, "r+") as file:
        del file[name]
        make(file)
    return path


# -- links ---------------------------------------------------------------------------------------


def test_an_external_link_is_refused(path, tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["secret"] = np.ones((2, 3))
    name = "node/nodes/n0/weight"
    replaced(path, name, lambda f: f.__setitem__(name, h5py.ExternalLink("other.h5", "/secret")))
    with pytest.raises(FileFormatError, match="ExternalLink; links are refused"):
        read(path, FULL)


@pytest.mark.parametrize("target", ["/node", "/node/nodes/n1", "/nowhere", "."])
def test_soft_links_are_refused(path, target):
    replaced(path, "node/nodes/n0", lambda f: f.__setitem__("node/nodes/n0", h5py.SoftLink(target)))
    with pytest.raises(FileFormatError, match="SoftLink; links are refused"):
        read(path, FULL)


@pytest.mark.parametrize("target", ["/", "/node", "/node/nodes"])
def test_a_cycle_of_hard_links_is_refused(path, target):
    good(path)
    with h5py.File(path, "r+") as file:
        file["node/nodes/loop"] = file[target]
    refused(path, "second name of another group")


def test_groups_shared_again_and_again_do_not_multiply(path):
    good(path)
    with h5py.File(path, "r+") as file:
        group = file.create_group("node/nodes/n0/metadata")
        for level in range(10):
            inner = group.create_group(f"a{level}")
            group[f"b{level}"] = inner
            group = inner
    refused(path, "second name of another group")


def test_one_array_under_two_names_is_counted_twice(path):
    good(path)
    with h5py.File(path, "r+") as file:
        file["node/nodes/n1/tau2"] = file["node/nodes/n1/tau"]
        del file["node/nodes/n1/v_leak"]
        file["node/nodes/n1/v_leak"] = file["node/nodes/n1/tau2"]
        del file["node/nodes/n1/tau2"]
    graph, _ = read(path, FULL)
    assert np.array_equal(graph.nodes["n1"].v_leak, graph.nodes["n1"].tau)
    declared = 8 * (3 * 2 + 2 + 5 * 2 + 2) + 1000
    with pytest.raises(FileFormatError, match="above the limit"):
        read(path, FULL, limits=ReadLimits(max_bytes=declared // 10))


def test_data_outside_the_file_are_refused(path, tmp_path):
    (tmp_path / "raw.bin").write_bytes(np.ones(6).tobytes())
    name = "node/nodes/n0/weight"
    outside = [(str(tmp_path / "raw.bin"), 0, 48)]
    replaced(path, name, lambda f: f.create_dataset(name, (2, 3), "f8", external=outside))
    with pytest.raises(FileFormatError, match="outside the file"):
        read(path, FULL)


def test_virtual_data_are_refused(path, tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["secret"] = np.ones((2, 3))
    layout = h5py.VirtualLayout((2, 3), "f8")
    layout[...] = h5py.VirtualSource(tmp_path / "other.h5", "secret", (2, 3))
    name = "node/nodes/n0/weight"
    replaced(path, name, lambda f: f.create_virtual_dataset(name, layout))
    with pytest.raises(FileFormatError, match="outside the file"):
        read(path, FULL)


# -- sizes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(2**20, 2**20), (2**40,), (2**31, 2)])
def test_huge_declared_shapes_are_refused(path, shape):
    name = "node/nodes/n0/weight"
    chunks = (64,) * len(shape) if len(shape) == 2 and shape[1] > 2 else (2**16, *shape[1:])
    replaced(path, name, lambda f: f.create_dataset(name, shape, "f8", chunks=chunks))
    refused(path, "above the limit")


def test_arrays_that_were_never_written_are_refused(path):
    name = "node/nodes/n0/weight"
    replaced(path, name, lambda f: f.create_dataset(name, (2, 3), "f8"))
    refused(path, "no value was ever written")


def test_a_compression_bomb_is_refused(path):
    """Half a GiB of zeros in about half a MiB: less than the absolute limit, but no weights."""
    name = "node/nodes/n0/weight"

    def bomb(file):
        weight = file.create_dataset(name, (2, 2**25), "f8", chunks=(1, 2**17), compression=9)
        packed = zlib.compress(bytes(2**20), 9)
        for row in range(2):
            for start in range(0, 2**25, 2**17):
                weight.id.write_direct_chunk((row, start), packed)

    replaced(path, name, bomb)
    assert path.stat().st_size < 2**21
    refused(path, "times as much")


def test_a_chunk_that_inflates_beyond_its_declared_size_is_refused(path):
    """HDF5 itself would inflate this chunk of 48 bytes to 128 MiB."""
    name = "node/nodes/n0/weight"

    def bomb(file):
        weight = file.create_dataset(name, (2, 3), "f8", chunks=(2, 3), compression=9)
        packer = zlib.compressobj(1)
        block = bytes(2**24)
        packed = b"".join(packer.compress(block) for _ in range(8)) + packer.flush()
        weight.id.write_direct_chunk((0, 0), packed)

    replaced(path, name, bomb)
    refused(path, "more than 48 bytes where 48 are declared")


def test_a_chunk_larger_than_its_array_counts_whole(path):
    name = "node/nodes/n0/weight"

    def bomb(file):
        plist = h5p.create(h5p.DATASET_CREATE)
        plist.set_chunk((1, 2**28))
        plist.set_deflate(9)
        space = h5s.create_simple((2, 3), (h5s.UNLIMITED, h5s.UNLIMITED))
        h5d.create(file.id, name.encode(), h5t.IEEE_F64LE, space, plist)

    replaced(path, name, bomb)
    refused(path, "above the limit of 2147483648")


def test_a_bomb_beside_honest_data_is_refused(path):
    """2 GB of zeros and 20 MB of noise: a hundred times the file, but zeros all the same."""
    good(path)
    noise = np.random.default_rng(0).integers(0, 255, 2 * 10**7, dtype=np.uint8)
    with h5py.File(path, "r+") as file:
        file["node/metadata/noise"] = noise
        shape, chunk = (2**28 - 2**22,), (2**17,)
        zeros = file.create_dataset("node/metadata/zeros", shape, "f8", chunks=chunk, compression=9)
        packed = zlib.compress(bytes(2**20), 9)
        for start in range(0, shape[0], chunk[0]):
            zeros.id.write_direct_chunk((start,), packed)
    refused(path, "times as much")


@pytest.mark.parametrize("keywords", [{}, {"compression": 1}])
def test_chunks_of_all_arrays_are_counted(path, keywords):
    good(path)
    with h5py.File(path, "r+") as file:
        for name in "abc":
            many = (30_000,)
            file.create_dataset(f"node/metadata/{name}", many, "i1", chunks=(1,), **keywords)
            file[f"node/metadata/{name}"][:100] = 1
    refused(path, "cut into more than 65536 chunks")


def test_arrays_that_share_one_long_text_are_refused(path):
    """Sixty single strings, of 30 MB each: one in the heap, and references to it."""
    good(path)
    with h5py.File(path, "r+") as file:
        file["node/metadata/a"] = "x" * (30 * 10**6)
        for k in range(60):
            file[f"node/metadata/b{k}"] = "y"
        start = file["node/metadata/a"].id.get_offset()
        places = [file[f"node/metadata/b{k}"].id.get_offset() for k in range(60)]
    content = bytearray(path.read_bytes())
    for place in places:
        content[place : place + 16] = content[start : start + 16]
    path.write_bytes(content)
    refused(path, "its strings have more than 67108864 bytes together")


def test_a_shape_of_very_many_axes_is_refused_in_a_short_message(path):
    name = "node/nodes/input/shape"
    replaced(path, name, lambda f: f.__setitem__(name, np.ones(10**5, np.int64)))
    assert len(refused(path, "shape has 100000 axes")) < 1000


def test_a_type_that_is_no_text_is_named(path):
    name = "node/nodes/n0/type"
    replaced(path, name, lambda f: f.__setitem__(name, np.bytes_(b"\xff\xfe")))
    refused(path, "node 'n0': type: holds text that is not UTF-8")
    replaced(path, name, lambda f: f.__setitem__(name, "A" * 10**6))
    assert len(refused(path, "is of type 'AAAA")) < 1000


def test_a_path_longer_than_any_file_name_is_named():
    with pytest.raises(InputError, match="File name too long"):
        read("x" * 5000, FULL)


def test_very_many_tiny_chunks_are_refused(path):
    name = "node/nodes/n0/weight"

    def many(file):
        weight = file.create_dataset(name, (2, 2**20), "f8", chunks=(1, 1), compression=9)
        weight.id.write_direct_chunk((0, 0), zlib.compress(bytes(8)))

    replaced(path, name, many)
    refused(path, "chunks")


def test_edges_that_share_one_long_name_are_refused(path):
    good(path)
    long = "x" * 2**20
    with h5py.File(path, "r+") as file:
        del file["node/edges"]
        edges = file.create_dataset("node/edges", (2000, 2), h5py.string_dtype())
        edges[0, 0] = long
    # Every entry points to the same string in the heap: patch the file's references.
    content = bytearray(path.read_bytes())
    with h5py.File(path, "r") as file:
        offset = file["node/edges"].id.get_offset()
    one = bytes(content[offset : offset + 16])
    content[offset : offset + 16 * 4000] = one * 4000
    path.write_bytes(bytes(content))
    refused(path, "holds strings of")


def test_chunked_edges_that_share_one_long_name_are_refused(path):
    good(path)
    with h5py.File(path, "r+") as file:
        del file["node/edges"]
        edges = file.create_dataset("node/edges", (2000, 2), h5py.string_dtype(), chunks=(2000, 2))
        edges[0, 0] = "x" * 2**20
        one = edges.id.read_direct_chunk((0, 0))[1][:16]
        edges.id.write_direct_chunk((0, 0), one * 4000)
    refused(path, "holds strings of")


def test_more_nodes_than_the_limit_are_refused_with_the_way_to_read_them(path):
    nodes, edges = {"input": samples.end("Input", 1)}, []
    previous = "input"
    for i in range(ReadLimits().max_nodes - 1):
        nodes[f"s{i}"] = {"type": "Scale", "scale": np.ones(1)}
        edges.append((previous, f"s{i}"))
        previous = f"s{i}"
    nodes["output"] = samples.end("Output", 1)
    samples.write_nir(path, nodes, [*edges, (previous, "output")])
    refused(path, "max_nodes")


def test_the_number_of_nodes_may_be_raised(path):
    good(path)
    with pytest.raises(FileFormatError, match="more than 3 members of 'nodes'.*max_nodes="):
        read(path, FULL, limits=ReadLimits(max_nodes=3))
    read(path, FULL, limits=ReadLimits(max_nodes=4))


def test_nodes_spread_over_nested_graphs_are_counted_together(path):
    inner = {f"s{i}": {"type": "Scale", "scale": np.ones(1)} for i in range(25)}
    nodes = {f"g{i}": samples.nested(inner, []) for i in range(4)}
    samples.write_nir(path, nodes, [])
    for limit in (30, 103):  # more than any one graph holds, but not all four and theirs
        with pytest.raises(FileFormatError, match="max_nodes="):
            read(path, FULL, limits=ReadLimits(max_nodes=limit))
    with pytest.raises(InputError) as caught:
        read(path, FULL, limits=ReadLimits(max_nodes=104))
    assert "max_nodes" not in str(caught.value)


def test_more_objects_than_the_limit_are_refused(path):
    good(path)
    with pytest.raises(FileFormatError, match="more than 10 objects .*max_objects="):
        read(path, FULL, limits=ReadLimits(max_objects=10))


def test_limits_are_positive():
    with pytest.raises(InputError, match="max_depth is 0"):
        ReadLimits(max_depth=0)


# -- nesting -------------------------------------------------------------------------------------


def deep(depth):
    inner = {"input": samples.end("Input", 3), "s": {"type": "Scale", "scale": np.full(3, 2.0)},
             "output": samples.end("Output", 3)}  # fmt: skip
    ends = [("input", "s"), ("s", "output")]
    for _ in range(depth):
        inner = {"input": samples.end("Input", 3), "s": samples.nested(inner, ends),
                 "output": samples.end("Output", 3)}  # fmt: skip
    return inner, ends


@pytest.mark.parametrize("depth", [60, 64, 100])
def test_valid_nesting_reads(path, depth):
    graph, _ = read(samples.write_nir(path, *deep(depth)), FULL)
    name = "s/" * depth + "s"
    assert graph.shapes[name] == ((3,), (3,))
    assert len(graph.nodes) == 2 * (depth + 1) + 1


@pytest.mark.parametrize("depth", [101, 1000])
def test_too_deep_nesting_is_refused(path, depth):
    samples.write_nir(path, *deep(depth))
    refused(path, "nest deeper than")


def test_deep_nesting_may_be_allowed(path):
    samples.write_nir(path, *deep(200))
    graph, _ = read(path, FULL, limits=ReadLimits(max_depth=200))
    assert len(graph.nodes) == 403


def test_deep_metadata_are_refused(path):
    tree = {"x": 1}
    for _ in range(400):
        tree = {"m": tree}
    good(path, metadata=tree)
    refused(path, "nest deeper than")


# -- damage --------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\x89HDF\r\n\x1a\n", b"PK\x03\x04" * 99])
def test_files_that_are_no_hdf5_are_refused(path, content):
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=r"net\.nir"):
        read(path, FULL)


@pytest.mark.parametrize("keywords", [{}, {"compression": "gzip"}])
def test_truncated_files_never_give_a_foreign_exception(path, keywords):
    content = good(path, **keywords).read_bytes()
    for stop in range(0, len(content), 997):
        path.write_bytes(content[:stop])
        with pytest.raises(InputError):
            read(path, FULL)


@pytest.mark.parametrize("keywords", [{}, {"compression": "gzip"}])
def test_flipped_bytes_never_give_a_foreign_exception(path, keywords):
    content = good(path, **keywords).read_bytes()
    rng = np.random.default_rng(0)
    read_well = 0
    for _ in range(300):
        damaged = bytearray(content)
        for place in rng.integers(0, len(content), 4):
            damaged[place] = rng.integers(256)
        path.write_bytes(bytes(damaged))
        try:
            read(path, FULL)
            read_well += 1
        except InputError:
            pass
    assert 0 < read_well < 300


def test_a_folder_and_a_missing_file_are_named(tmp_path):
    with pytest.raises(InputError, match="is a folder"):
        read(tmp_path, FULL)
    with pytest.raises(InputError, match="no such file"):
        read(tmp_path / "absent.nir", FULL)


def test_files_of_another_kind_are_named(path):
    with h5py.File(path, "w") as file:
        file["x"] = 1
    with pytest.raises(FileFormatError, match="no group 'node'; it is not a NIR file"):
        read(path, FULL)
    with h5py.File(path, "w") as file:
        file["nodes/0/type"] = "LIF"
    with pytest.raises(FileFormatError, match=r"NIR before 0\.1"):
        read(path, FULL)


def test_a_file_with_one_lone_node_is_named(path):
    with h5py.File(path, "w") as file:
        file["node/type"] = "LIF"
        file["node/tau"] = np.ones(1)
    with pytest.raises(FileFormatError, match="a single node of type LIF"):
        read(path, FULL)


# -- types ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.ones((2, 3), np.complex128), "compound"),
        (np.array([[b"a"] * 3] * 2), "is text"),
        (np.zeros((2, 3), [("a", "f8"), ("b", "i4")]), "compound"),
    ],
)
def test_arrays_of_wrong_types_are_named(path, value, message):
    name = "node/nodes/n0/weight"
    replaced(path, name, lambda f: f.create_dataset(name, data=value))
    text = refused(path, message)
    assert "node 'n0': weight" in text


def test_references_variable_lengths_and_null_spaces_are_named(path):
    name = "node/nodes/n0/weight"

    def references(file):
        file.create_dataset(name, (2, 3), h5py.ref_dtype)[0, 0] = file.ref

    def ragged(file):
        file.create_dataset(name, (2,), h5py.vlen_dtype(np.float64))[0] = np.ones(3)

    for make, word in [
        (references, "reference"),
        (ragged, "variable-length"),
        (lambda f: f.create_dataset(name, data=h5py.Empty("f8")), "without values"),
        (lambda f: f.create_group(name), "is a group"),
    ]:
        with pytest.raises(FileFormatError, match=word):
            read(replaced(path, name, make), FULL)


def test_a_filter_that_h5py_lacks_is_named(path):
    name = "node/nodes/n0/weight"

    def packed(file):
        plist = h5p.create(h5p.DATASET_CREATE)
        plist.set_chunk((2, 3))
        plist.set_filter(32001, h5py.h5z.FLAG_OPTIONAL, (1, 2))
        h5d.create(file.id, name.encode(), h5t.IEEE_F64LE, h5s.create_simple((2, 3)), plist)

    refused(replaced(path, name, packed), "filter 32001")


# -- names ---------------------------------------------------------------------------------------


def test_names_with_dots_and_spaces_are_legal(path):
    nodes, _ = samples.chain(samples.affine(), samples.lif())
    nodes = {"input": nodes["input"], "fc.1": nodes["n0"], "..": nodes["n1"],
             "out put": nodes["output"]}  # fmt: skip
    names = list(nodes)
    samples.write_nir(path, nodes, list(zip(names, names[1:], strict=False)))
    graph, _ = read(path, FULL)
    assert set(graph.nodes) == set(names)


def test_a_slash_in_a_name_is_read_as_part_of_the_name_and_said(path):
    nodes, _ = samples.chain(samples.affine(), samples.lif())
    nodes["block/fc"] = nodes.pop("n0")
    edges = [("input", "block/fc"), ("block/fc", "n1"), ("n1", "output")]
    graph, findings = read(samples.write_nir(path, nodes, edges), FULL)
    assert "block/fc" in graph.nodes
    assert any("slash" in f.what for f in findings if f.severity == "warning")


@pytest.mark.parametrize("name", ["a\nb", "a\x1b[31mb", "x" * 600])
def test_names_that_no_terminal_can_show_are_refused(path, name):
    nodes, _ = samples.chain(samples.affine(), samples.lif())
    nodes[name] = nodes.pop("n0")
    samples.write_nir(path, nodes, [("input", "n1")])
    text = refused(path, "printable")
    assert "\x1b" not in text
    assert "a\nb" not in text


def test_a_name_that_is_no_utf8_is_refused(path):
    good(path)
    with h5py.File(path, "r+") as file:
        h5py.h5g.create(file["node/nodes"].id, b"\xff\xfe")
    with pytest.raises(FileFormatError, match="not UTF-8"):
        read(path, FULL)


# -- the command line, and surveys ---------------------------------------------------------------


def test_the_command_exits_2_without_a_traceback(path, capsys):
    good(path)
    with h5py.File(path, "r+") as file:
        file["node/nodes/loop"] = file["/node"]
    assert main(["inspect", str(path), "--dt", "1e-3"]) == 2
    shown = capsys.readouterr()
    assert "error:" in shown.err
    assert "Traceback" not in shown.err + shown.out


def test_a_survey_of_an_unreadable_file_is_one_finding(path):
    path.write_bytes(b"nonsense")
    found = survey(path, FULL)
    assert found.graph is None
    assert [f.severity for f in found.findings] == ["error"]
