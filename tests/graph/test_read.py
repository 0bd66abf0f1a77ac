"""The front door: what a Graph is, where its file comes from, what reading costs, real files."""

import json
import os
import subprocess
import sys
from pathlib import Path

import nir
import nir_samples as samples
import numpy as np
import pytest
from nir_samples import affine, chain, lif

from neurodeploy.errors import InputError
from neurodeploy.graph import LIF, Contract, Graph, read, survey

FULL = Contract(dt=1e-3, steps=4)
ROOT = Path(__file__).parents[2]
REFERENCE = Path(os.environ.get("NEURODEPLOY_REFERENCE", ROOT.parent / "shared/reference"))
needs_reference = pytest.mark.skipif(
    not REFERENCE.is_dir(), reason="NEURODEPLOY_REFERENCE names no reference data"
)


@pytest.fixture
def path(tmp_path):
    return samples.write_chain(tmp_path / "net.nir", affine(), lif())


def test_a_plain_file_reads_with_the_contract_of_the_options(path):
    graph, findings = read(path, FULL)
    assert isinstance(graph, Graph)
    assert graph.contract.dt == 1e-3
    assert graph.contract.steps == 4
    assert isinstance(graph.nodes["n1"], LIF)
    assert not [f for f in findings if f.severity == "error"]


def test_a_graph_knows_its_ends_and_neighbours(path):
    graph, _ = read(path, FULL)
    assert (graph.input_name, graph.output_name) == ("input", "output")
    assert graph.sources_of("n1") == ("n0",)
    assert graph.targets_of("n1") == ("output",)
    assert graph.sources_of("input") == ()
    assert graph.shapes["n0"] == ((3,), (2,))


def test_a_graph_cannot_be_changed(path):
    graph, _ = read(path, FULL)
    with pytest.raises(TypeError):
        graph.nodes["n0"] = None
    with pytest.raises(AttributeError):
        graph.edges = ()


def test_neighbours_keep_the_order_of_the_file(tmp_path):
    nodes, edges = chain(affine(), lif())
    nodes |= {f"a{i}": affine() for i in range(5)}
    order = [3, 0, 4, 1, 2]
    edges += [("input", f"a{i}") for i in range(5)] + [(f"a{i}", "n1") for i in order]
    graph, _ = read(samples.write_nir(tmp_path / "net.nir", nodes, edges), FULL)
    assert graph.sources_of("n1") == ("n0", *(f"a{i}" for i in order))


def test_reading_does_not_change_the_file_or_keep_it_open(path):
    before = path.read_bytes()
    graph, _ = read(path, FULL)
    assert path.read_bytes() == before == graph.nir_file
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("hashed", [True, False])
def test_a_file_that_changed_since_is_not_given_out(path, monkeypatch, hashed):
    if not hashed:  # as for a large file
        monkeypatch.setattr("neurodeploy.graph.nir_file._HASHED_BYTES", 0)
    graph, _ = read(path, FULL)
    assert graph.nir_file == path.read_bytes()
    samples.write_chain(path, affine(weight=np.zeros((2, 3))), lif())
    with pytest.raises(InputError, match=r"net\.nir: has changed since it was read"):
        _ = graph.nir_file
    path.unlink()
    with pytest.raises(InputError, match=r"net\.nir: was read before and cannot be read again"):
        _ = graph.nir_file


def test_a_relative_path_is_found_again_from_another_folder(path, monkeypatch, tmp_path):
    monkeypatch.chdir(path.parent)
    graph, _ = read(path.name, FULL)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert graph.nir_file == path.read_bytes()


def test_strict_lists_warnings_and_errors(tmp_path):
    bad = samples.write_chain(tmp_path / "bad.nir", affine(), lif(tau=np.array([0.0, 8e-4])))
    with pytest.raises(InputError) as error:
        read(bad, FULL, strict=True)
    assert "tau is 0 s" in str(error.value)
    assert "encoder is not in the file" in str(error.value)


def test_reading_needs_neither_torch_nor_nir(path):
    program = (
        "import sys; from neurodeploy.graph import Contract, read; "
        f"read({str(path)!r}, Contract(dt=1e-3)).value.nir_file; "
        "print([m for m in ('torch', 'nir', 'numba', 'norse') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.slow
def test_ten_million_weights_cost_little_more_than_nir_read():
    """At most twice the time and 1.5 times the peak memory of ``nir.read``, gzip or plain."""
    program = [sys.executable, str(ROOT / "benchmarks/read_against_nir.py"), "--json"]
    done = subprocess.run(program, capture_output=True, text=True, timeout=600)
    assert done.stdout, done.stderr
    costs = json.loads(done.stdout)
    assert set(costs) == {"gzip", "plain"}
    for cost in costs.values():
        assert cost["ratio_seconds"] <= 2
        assert cost["ratio_peak_mib"] <= 1.5
    assert done.returncode == 0


# -- files that others wrote ---------------------------------------------------------------------


def test_a_file_that_nir_wrote_reads_as_nir_reads_it(tmp_path):
    rng = np.random.default_rng(0)
    nodes = {
        "input": nir.Input({"input": np.array([3])}),
        "affine": nir.Affine(rng.normal(size=(2, 3)).astype("f4"), rng.normal(size=2).astype("f4")),
        "lif": nir.LIF(*(rng.uniform(0.01, 1, 2) for _ in range(5))),
        "output": nir.Output({"output": np.array([2])}),
    }
    names = list(nodes)
    nir.write(tmp_path / "a.nir", nir.NIRGraph(nodes, list(zip(names, names[1:], strict=False))))
    graph, _ = read(tmp_path / "a.nir", FULL)
    theirs = nir.read(tmp_path / "a.nir")
    assert graph.edges == tuple(theirs.edges)
    for field in ("tau", "r", "v_leak", "v_threshold", "v_reset"):
        assert np.array_equal(
            getattr(graph.nodes["lif"], field), getattr(theirs.nodes["lif"], field)
        )
    assert np.array_equal(graph.nodes["affine"].weight, theirs.nodes["affine"].weight)


PAPER = REFERENCE / "nir_paper"
GOOD = [
    "01_lif/lif_norse.nir", "01_lif/lif_rockpool.nir", "01_lif/two_lif_neurons.nir",
    "02_cnn/cnn_sinabs.nir", "03_rnn/braille_noDelay_bias_zero.nir",
    "03_rnn/braille_noDelay_noBias_subtract.nir",
]  # fmt: skip
BROKEN = [
    "03_rnn/braille_noDelay_bias_zero_subgraph.nir",
    "03_rnn/braille_noDelay_noBias_subtract_subgraph.nir",
]


@needs_reference
@pytest.mark.parametrize("name", GOOD)
def test_files_of_the_nir_paper_read(name):
    graph, findings = read(PAPER / name, Contract(dt=1e-4))
    assert graph.contract.readout_kind == "count"
    odd = {f.where for f in findings if f.severity == "warning"} - {"contract"}
    rockpool = {"edge '1_LIFNeuronTorch' -> 'output'"}  # its Output has the shape [1, 1, 1]
    assert odd == (rockpool if "rockpool" in name else set())


@needs_reference
@pytest.mark.parametrize("name", BROKEN)
def test_the_papers_broken_files_are_refused_by_edge_and_repaired_on_request(name):
    with pytest.raises(InputError) as error:
        read(PAPER / name, Contract(dt=1e-4))
    for edge in (
        "'lif1/input' -> 'lif1/lif'",
        "'lif1/lif' -> 'lif1/lin'",
        "'lif1/lin' -> 'lif1/lif'",
    ):
        assert f"edge {edge}: there is no node 'lif' in the nested graph 'lif1'" in str(error.value)
    assert "4 findings stop here" in str(error.value)
    graph, findings = read(PAPER / name, Contract(dt=1e-4), repair=True)
    assert ("lif1/lif1", "lif1/lin") in graph.edges
    assert ("lif1/lin", "lif1/lif1") in graph.edges
    assert any("'lif' now say 'lif1'" in f.what for f in findings if f.severity == "warning")
    assert graph.shapes["lif1/lin"][0] == graph.shapes["lif1/lif1"][1]


@needs_reference
def test_a_survey_of_a_broken_file_of_the_paper_still_shows_its_nodes():
    found = survey(PAPER / BROKEN[0])
    assert found.graph is None
    assert found.shapes["lif1/lif1"] == ((38,), (38,))
    assert found.kinds["lif1/lin"] == "Affine"
