import os
from pathlib import Path

import h5py
import nir
import numpy as np
import pytest

from neurodeploy.errors import (
    ContractError,
    FileFormatError,
    InputError,
    UnsupportedNodeError,
)
from neurodeploy.graph import LIF, Contract, read

FULL = Contract(dt=1e-3, steps=4)


def lif(n=2, **changes):
    """A LIF node; ``changes`` are put in after nir's own checks."""
    values = {
        "tau": np.full(n, 0.01), "r": np.full(n, 10.0), "v_leak": np.zeros(n),
        "v_threshold": np.ones(n), "v_reset": np.zeros(n),
    }  # fmt: skip
    node = nir.LIF(**values)
    for name, value in changes.items():
        setattr(node, name, value)
    return node


def write(path, nodes=None, edges=None, metadata=None):
    nodes = nodes or {
        "input": nir.Input({"input": np.array([3])}),
        "affine": nir.Affine(np.ones((2, 3)), np.zeros(2)),
        "lif": lif(),
        "output": nir.Output({"output": np.array([2])}),
    }
    names = list(nodes)
    edges = edges if edges is not None else list(zip(names, names[1:], strict=False))
    graph = nir.NIRGraph(nodes, edges, metadata=metadata or {}, type_check=False)
    nir.write(path, graph)
    return path


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.nir"


def test_a_plain_file_reads_with_the_contract_of_the_options(path):
    graph, findings = read(write(path), FULL)
    assert graph.contract.dt == 1e-3
    assert graph.contract.readout_node == "lif"
    assert graph.contract.readout_kind == "count"
    assert isinstance(graph.nodes["lif"], LIF)
    assumed = {f.numbers and next(iter(f.numbers)) for f in findings}
    assert {"readout_kind", "encoder_bits", "reset"} <= assumed


def test_the_contract_survives_metadata(path):
    contract = Contract(
        dt=1e-3, steps=8, reset="value", readout_node="lif", readout_kind="count",
        encoder="constant", encoder_low=-1.0, encoder_high=1.0, encoder_bits=4, source_tool="x",
    )  # fmt: skip
    graph, _ = read(write(path, metadata={"neurodeploy": contract.as_metadata()}))
    for name in ("dt", "steps", "encoder_low", "encoder_high", "encoder_bits", "source_tool"):
        assert getattr(graph.contract, name) == getattr(contract, name)


@pytest.mark.parametrize(
    ("options", "word"), [(Contract(steps=4), "--dt"), (Contract(dt=1e-3), "--steps")]
)
def test_missing_dt_or_steps_names_the_option(path, options, word):
    with pytest.raises(ContractError, match=word):
        read(write(path), options)


def test_a_contradiction_is_an_error(path):
    metadata = {"neurodeploy": Contract(dt=1e-4, steps=4).as_metadata()}
    with pytest.raises(ContractError, match=r"0\.0001.*0\.001"):
        read(write(path, metadata=metadata), FULL)


def test_steps_may_be_changed_and_that_is_said(path):
    metadata = {"neurodeploy": Contract(dt=1e-3, steps=4).as_metadata()}
    graph, findings = read(write(path, metadata=metadata), Contract(steps=9))
    assert graph.contract.steps == 9
    assert any("replaces" in f.what for f in findings)


@pytest.mark.parametrize(
    "metadata",
    [{"schema": 99}, {"schema": 1, "colour": "red"}, {"schema": 1, "dt": "soon"}, {"dt": 1e-3}],
)
def test_unknown_contract_keys_and_schemas_are_errors(path, metadata):
    with pytest.raises(ContractError, match="neurodeploy/"):
        read(write(path, metadata={"neurodeploy": metadata}), FULL)


@pytest.mark.parametrize(
    "options", [{"reset": "subtract"}, {"decay": "exponential"}, {"encoder": "rate"}]
)
def test_contract_words_not_built_yet_are_clear_errors(path, options):
    with pytest.raises(ContractError, match="not supported yet; supported: "):
        read(write(path), Contract(dt=1e-3, steps=4, **options))


def test_unknown_words_list_the_known_ones():
    with pytest.raises(ContractError, match="choose from value, subtract"):
        Contract(reset="hard")


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (lif(tau=np.array([0.01, np.nan])), "tau: 1 of 2 values are NaN"),
        (lif(tau=np.array([0.01, 0.0])), "a time constant is positive"),
        (lif(tau=np.array([0.01, 0.0004])), "diverge beyond 2"),
        (lif(tau=np.array([0.01, 0.0008])), "overshoots"),
        (lif(r=np.ones(3)), "parameters need one shape"),
    ],
)
def test_bad_parameters_are_named(path, node, message):
    nodes = {
        "input": nir.Input({"input": np.array([3])}),
        "affine": nir.Affine(np.ones((2, 3)), np.zeros(2)),
        "lif": node,
        "output": nir.Output({"output": np.array([2])}),
    }
    with pytest.raises(InputError, match=message):
        read(write(path, nodes), FULL)


def test_all_errors_come_at_once(path):
    nodes = {
        "input": nir.Input({"input": np.array([3])}),
        "affine": nir.Affine(np.full((2, 3), np.inf), np.zeros(5)),
        "lif": lif(tau=np.array([-1.0, 1.0])),
        "output": nir.Output({"output": np.array([2])}),
    }
    edges = [("input", "affine"), ("affine", "lif"), ("lif", "output"), ("lif", "nowhere")]
    with pytest.raises(InputError) as error:
        read(write(path, nodes, edges), FULL)
    for part in ("weight: 6 of 6", "time constant is positive", "'nowhere'"):
        assert part in str(error.value)


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        ([("input", "affine"), ("affine", "lif"), ("lif", "output")] * 2, "appears 2 times"),
        ([("input", "affine"), ("lif", "output")], "lies on no path"),
        ([("input", "lif"), ("lif", "output"), ("input", "affine")], "gives shape"),
    ],
)
def test_bad_edges_are_named(path, edges, message):
    with pytest.raises(InputError, match=message):
        read(write(path, edges=edges), FULL)


def test_unsupported_nodes_are_all_named_with_what_is_supported(path):
    nodes = {
        "input": nir.Input({"input": np.array([2])}),
        "scale": nir.Scale(np.ones(2)),
        "delay": nir.Delay(np.ones(2)),
        "output": nir.Output({"output": np.array([2])}),
    }
    with pytest.raises(
        UnsupportedNodeError, match=r"'delay' \(Delay\), 'scale' \(Scale\); supported: Input"
    ):
        read(write(path, nodes), FULL)


def test_links_out_of_the_file_are_refused(path, tmp_path):
    write(path)
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["secret"] = np.ones((2, 3))
    with h5py.File(path, "r+") as file:
        del file["node/nodes/affine/weight"]
        file["node/nodes/affine/weight"] = h5py.ExternalLink("other.h5", "/secret")
    with pytest.raises(FileFormatError, match="links are refused"):
        read(path, FULL)


def test_a_soft_link_to_an_ancestor_is_refused(path):
    write(path)
    with h5py.File(path, "r+") as file:
        file["node/nodes/loop"] = h5py.SoftLink("/node")
    with pytest.raises(FileFormatError, match="links are refused"):
        read(path, FULL)


def test_a_declared_size_beyond_the_limit_is_refused_before_reading(path):
    write(path)
    with h5py.File(path, "r+") as file:
        del file["node/nodes/affine/weight"]
        file.create_dataset("node/nodes/affine/weight", (2**20, 2**20), "f8", chunks=(64, 64))
    with pytest.raises(FileFormatError, match="more than the limit"):
        read(path, FULL)


@pytest.mark.parametrize("content", [b"", b"nonsense", b"\x89HDF\r\n\x1a\n"])
def test_files_that_are_no_hdf5_are_refused(path, content):
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=r"net\.nir"):
        read(path, FULL)


def test_truncated_files_never_give_a_foreign_exception(path):
    content = write(path).read_bytes()
    for end in range(0, len(content), 997):
        path.write_bytes(content[:end])
        with pytest.raises(InputError):
            read(path, FULL)


def test_strict_turns_assumptions_into_errors(path):
    with pytest.raises(InputError, match="encoder"):
        read(write(path), FULL, strict=True)


def test_a_gain_must_be_positive(path):
    node = lif()
    node.metadata["dlif_gain"] = {"values": np.array([1.0, 0.0]), "after": "last"}
    nodes = {
        "input": nir.Input({"input": np.array([2])}),
        "lif": node,
        "output": nir.Output({"output": np.array([2])}),
    }
    with pytest.raises(InputError, match="gains must be positive"):
        read(write(path, nodes), FULL)


REFERENCE = Path(
    os.environ.get("NEURODEPLOY_REFERENCE", Path(__file__).parents[3] / "shared/reference")
)


@pytest.mark.skipif(not REFERENCE.is_dir(), reason="NEURODEPLOY_REFERENCE names no reference data")
@pytest.mark.parametrize("name", ["01_lif/lif_norse.nir", "01_lif/two_lif_neurons.nir"])
def test_files_of_the_nir_paper_read(name):
    graph, _ = read(REFERENCE / "nir_paper" / name, Contract(dt=1e-4, steps=100))
    assert any(isinstance(node, LIF) for node in graph.nodes.values())


@pytest.mark.parametrize(("value", "valid"), [(np.inf, True), (-np.inf, False), (np.nan, False)])
def test_a_threshold_may_be_out_of_reach_but_not_always_exceeded(tmp_path, value, valid):
    nodes = {
        "input": nir.Input({"input": np.array([2])}),
        "lif": lif(v_threshold=np.array([1.0, value])),
        "output": nir.Output({"output": np.array([2])}),
    }
    path = write(tmp_path / "net.nir", nodes)
    if valid:
        read(path, FULL)
    else:
        with pytest.raises(InputError, match="v_threshold: 1 of 2 values"):
            read(path, FULL)
