"""Lowering and the float simulator against a literal reading of the NIR equations."""

import nir
import numpy as np
import pytest

from neurodeploy.errors import ContractError, NeurodeployError
from neurodeploy.graph import Contract, read
from neurodeploy.lowering import compose, lower
from neurodeploy.lowering.matrices import matrix_of
from neurodeploy.network import ALWAYS_ON, INPUT, Sparse
from neurodeploy.simulate import run_float

T, DT = 12, 1e-3


def literal(nodes, edges, x, dt):
    """Run a feed-forward NIR graph in float64, node by node, step by step: x is [T, n]."""
    state = {n: np.zeros(len(p.tau)) for n, p in nodes.items() if isinstance(p, nir.LIF)}
    record = {n: [] for n in nodes}
    order = list(nodes)
    for t, value in enumerate(x):
        out = {}
        for name in order:
            node = nodes[name]
            incoming = sum(out[s] for s, target in edges if target == name)
            if isinstance(node, nir.Input):
                out[name] = value
            elif isinstance(node, nir.Affine):
                out[name] = node.weight @ incoming + node.bias
            elif isinstance(node, nir.Linear):
                out[name] = node.weight @ incoming
            elif isinstance(node, nir.LIF):
                gain = 1.0
                if "dlif_gain" in (node.metadata or {}):
                    values = node.metadata["dlif_gain"]["values"]
                    gain = values[min(t, len(values) - 1)]
                v = state[name]
                v = v + dt / node.tau * (node.v_leak - v + node.r * gain * incoming)
                spikes = v > node.v_threshold
                state[name] = np.where(spikes, node.v_reset, v)
                out[name] = spikes.astype(float)
            else:
                out[name] = incoming
            record[name].append(np.array(out[name]))
    return {name: np.array(values) for name, values in record.items()}


def random_graph(rng, gain=False, tail=True):
    n = [int(k) for k in rng.integers(2, 9, 4)]

    def lif(k):
        node = nir.LIF(
            tau=rng.uniform(1.5 * DT, 20 * DT, k), r=rng.uniform(0.5, 30, k),
            v_leak=rng.normal(0, 0.2, k), v_threshold=rng.uniform(0.3, 1.5, k),
            v_reset=np.full(k, rng.choice([0.0, -0.3])),
        )  # fmt: skip
        if gain:
            node.metadata["dlif_gain"] = {"values": rng.uniform(0.3, 2, 5), "after": "last"}
        return node

    nodes = {
        "input": nir.Input({"input": np.array([n[0]])}),
        "a1": nir.Affine(rng.normal(0, 1, (n[1], n[0])), rng.normal(0, 0.3, n[1])),
        "l1": lif(n[1]),
        "b": nir.Linear(rng.normal(0, 1, (n[2], n[1]))),
        "a2": nir.Affine(rng.normal(0, 1, (n[2], n[2])), rng.normal(0, 0.3, n[2])),
        "l2": lif(n[2]),
    }
    if tail:
        nodes["read"] = nir.Affine(rng.normal(0, 1, (n[3], n[2])), rng.normal(0, 0.3, n[3]))
    nodes["output"] = nir.Output({"output": np.array([n[3] if tail else n[2]])})
    names = list(nodes)
    return nodes, list(zip(names, names[1:], strict=False))


def lowered(tmp_path, nodes, edges):
    path = tmp_path / "net.nir"
    nir.write(path, nir.NIRGraph(nodes, edges, type_check=False))
    return lower(read(path, Contract(dt=DT, steps=T)).value).value


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("gain", [False, True])
def test_random_graphs_equal_the_literal_interpreter(tmp_path, seed, gain):
    rng = np.random.default_rng(seed)
    nodes, edges = random_graph(rng, gain, tail=bool(seed % 2))
    network = lowered(tmp_path, nodes, edges)
    codes = rng.integers(0, 256, (T, 5, network.n_input))
    traces = run_float(network, codes, record=("spikes", "v"))
    spikes = 0
    for sample in range(5):
        truth = literal(nodes, edges, network.encoder.decode(codes[:, sample]), DT)
        for name in ("l1", "l2"):
            mine = traces.records[f"{name}/spikes"][:, sample]
            assert (mine == truth[name]).all()
            spikes += int(mine.sum())
        if "read" in nodes:
            scores = traces.scores()[sample]
            assert np.allclose(scores, truth["read"].sum(axis=0), rtol=1e-12, atol=1e-12)
    assert spikes > 0


def test_branches_are_summed(tmp_path):
    rng = np.random.default_rng(0)
    nodes, _ = random_graph(rng)
    n0, n2 = nodes["a1"].weight.shape[1], len(nodes["l2"].tau)
    nodes["skip"] = nir.Affine(rng.normal(0, 1, (n2, n0)), np.ones(n2))
    edges = [
        ("input", "a1"), ("a1", "l1"), ("l1", "b"), ("b", "a2"), ("a2", "l2"),
        ("input", "skip"), ("skip", "l2"), ("l2", "read"), ("read", "output"),
    ]  # fmt: skip
    network = lowered(tmp_path, nodes, edges)
    codes = rng.integers(0, 256, (T, 1, network.n_input))
    traces = run_float(network, codes, record=("spikes",))
    order = {n: nodes[n] for n in ("input", "a1", "l1", "b", "a2", "skip", "l2", "read", "output")}
    truth = literal(order, edges, network.encoder.decode(codes[:, 0]), DT)
    assert (traces.records["l2/spikes"][:, 0] == truth["l2"]).all()


def test_a_neurons_own_feedback_is_late_and_runs(tmp_path):
    rng = np.random.default_rng(1)
    nodes, edges = random_graph(rng)
    n = len(nodes["l1"].tau)
    nodes["back"] = nir.Affine(rng.normal(0, 1, (n, n)), rng.normal(0, 1, n))
    edges += [("l1", "back"), ("back", "l1")]
    network = lowered(tmp_path, nodes, edges)
    assert [s.source for s in network.synapses if s.late] == ["l1"]
    codes = rng.integers(0, 256, (T, 1, network.n_input))
    spikes = run_float(network, codes, record=("spikes",)).records["l1/spikes"][:, 0]
    # By hand: the affine on the way back is evaluated every step, so its bias acts at t = 0.
    lif, v, sent = nodes["l1"], np.zeros(n), np.zeros(n)
    for t, value in enumerate(network.encoder.decode(codes[:, 0])):
        x = nodes["a1"].weight @ value + nodes["a1"].bias
        x = x + nodes["back"].weight @ sent + nodes["back"].bias
        v = v + DT / lif.tau * (lif.v_leak - v + lif.r * x)
        sent = (v > lif.v_threshold).astype(float)
        v = np.where(sent, lif.v_reset, v)
        assert (spikes[t] == sent).all()
    assert 0 < spikes.sum() < spikes.size


def test_a_cycle_of_linear_nodes_is_refused(tmp_path):
    nodes, edges = random_graph(np.random.default_rng(1))
    edges.append(("a2", "a2"))
    with pytest.raises(NeurodeployError, match="cycle"):
        lowered(tmp_path, nodes, edges)


def test_a_lone_affine_keeps_its_trained_weights_to_the_bit(tmp_path):
    nodes, edges = random_graph(np.random.default_rng(2))
    network, _ = compose(lowered(tmp_path, nodes, edges))
    first = network.synapses_into("l1")[0]
    assert first.source == INPUT
    assert (first.weight == nodes["a1"].weight).all()
    assert network.population("l2").nir_nodes == ("b", "a2", "l2")
    assert ALWAYS_ON not in {s.source for s in network.synapses}


def test_a_neuron_fed_without_a_weight_gets_an_identity(tmp_path):
    nodes = {
        "input": nir.Input({"input": np.array([3])}),
        "lif": nir.LIF(np.full(3, 0.01), np.full(3, 10.0), np.zeros(3), np.ones(3)),
        "output": nir.Output({"output": np.array([3])}),
    }
    edges = [("input", "lif"), ("lif", "output")]
    path = tmp_path / "net.nir"
    nir.write(path, nir.NIRGraph(nodes, edges))
    network = lower(read(path, Contract(dt=DT, steps=T)).value).value
    assert network.synapses[0].operators == ()
    composed, findings = compose(network)
    (operator,) = composed.synapses[0].operators
    assert isinstance(operator, Sparse)
    assert (matrix_of(operator).toarray() == np.eye(3)).all()
    assert any("identity" in f.what for f in findings)


def test_one_linear_node_serves_its_own_neuron_late_and_another_at_once(tmp_path):
    """A -> fc -> A is feedback and A -> fc -> B is not: fc means two things."""
    rng = np.random.default_rng(5)
    lif = {"tau": np.full(3, 0.004), "r": np.full(3, 4.0), "v_leak": np.zeros(3)}
    nodes = {
        "input": nir.Input({"input": np.array([3])}),
        "A": nir.LIF(**lif, v_threshold=np.full(3, 0.6)),
        "fc": nir.Affine(rng.normal(0, 1, (3, 3)), rng.normal(0, 0.5, 3)),
        "B": nir.LIF(**lif, v_threshold=np.full(3, 0.5)),
        "output": nir.Output({"output": np.array([3])}),
    }
    edges = [("input", "A"), ("A", "fc"), ("fc", "A"), ("fc", "B"), ("B", "output")]
    network = lowered(tmp_path, nodes, edges)
    values = rng.random((T, 2, 3))
    records = run_float(network, values, record=("spikes",)).records
    v, sent = np.zeros((2, 2, 3)), np.zeros((2, 3))
    fc = nodes["fc"]
    for t in range(T):
        for k, name in enumerate("AB"):
            x = sent @ fc.weight.T + fc.bias + (values[t] if name == "A" else 0)
            v[k] = v[k] + 0.25 * (0 - v[k] + 4.0 * x)
            sent = (v[k] > nodes[name].v_threshold).astype(float)
            v[k] = np.where(sent, 0, v[k])
            assert (records[f"{name}/spikes"][t] == sent).all()
            if name == "A":
                after_a = sent
        sent = after_a
    assert 0 < records["B/spikes"].mean() < 1


@pytest.mark.parametrize("name", [INPUT, ALWAYS_ON, "stimulus"])
@pytest.mark.parametrize("kind", ["sum", "mean_v", "last_v", "max_v"])
def test_a_linear_readout_may_have_a_name_of_the_network_itself(tmp_path, name, kind):
    """An Input that feeds the Output directly, called "input" as by most tools, is one."""
    weight = np.array([[1.0, -2.0], [0.5, 3.0]])
    values = np.random.default_rng(3).normal(0, 1, (T, 2, 2))
    expected = {"sum": values.sum(0), "mean_v": values.mean(0), "last_v": values[-1],
                "max_v": values.max(0)}  # fmt: skip
    ends = {name: nir.Input({"input": np.array([2])}), "out": nir.Output({"output": np.array([2])})}
    path = tmp_path / "net.nir"
    nir.write(path, nir.NIRGraph(ends, [(name, "out")]))
    contract = Contract(dt=DT, readout_kind=kind)
    traces = run_float(lower(read(path, contract).value).value, values)
    np.testing.assert_allclose(traces.scores(), expected[kind], rtol=1e-14)
    nodes = {"x": ends[name], name: nir.Linear(weight), "out": ends["out"]}
    nir.write(path, nir.NIRGraph(nodes, [("x", name), (name, "out")]))
    traces = run_float(lower(read(path, contract).value).value, values @ np.linalg.inv(weight).T)
    np.testing.assert_allclose(traces.scores(), expected[kind], rtol=1e-9)


def test_a_threshold_has_no_membrane_to_read(tmp_path):
    nodes = {
        "input": nir.Input({"input": np.array([2])}),
        "t": nir.Threshold(np.full(2, 0.5)),
        "output": nir.Output({"output": np.array([2])}),
    }
    path = tmp_path / "net.nir"
    nir.write(path, nir.NIRGraph(nodes, [("input", "t"), ("t", "output")]))
    with pytest.raises(ContractError, match="'t' is a Threshold, which has no membrane"):
        read(path, Contract(dt=DT, readout_kind="mean_v"))
