"""Norse's own outputs, with graphs by Norse's exporter where it is right and by hand elsewhere.

Norse 1.1.0 multiplies time constants by dt on export; ``to_nir(..., dt=1.0)`` avoids that. It loses
v_reset, the reset method and w_in, and knows neither LICell, recurrent cells, pooling nor flatten
(None nodes). Each case says what was added to the exported graph, or that it is written by hand.
"""

import nir
import norse.torch as norse
import numpy as np
import torch
from norse.torch.functional.reset import reset_subtract
from norse.torch.module.iaf import IAFCell, IAFParameters
from norse.torch.module.leaky_integrator_box import LIBoxCell, LIBoxParameters
from norse.torch.module.lif_box import LIFBoxCell, LIFBoxParameters
from norse.torch.utils.export_nir import to_nir
from norse.torch.utils.import_nir import from_nir
from peers.recording import Case, plain_arrays, stimulus, without_batch
from torch import nn

PACKAGES = ("norse", "nir", "nirtorch", "torch", "numpy")
DT_S = 1e-3
WORDS = {"dt": DT_S, "reset": "value", "if_unit": "step"}
SUBTRACT = {"reset": "subtract"}
CELLS = (LIFBoxCell, LIBoxCell, IAFCell, norse.LIFCell, norse.LICell, norse.LIFRecurrentCell)


def spread(rng, low, high, *shape):
    """Return per-neuron values: default parameters are 0-d, which nir cannot write."""
    return torch.from_numpy(rng.uniform(low, high, shape).astype(np.float32))


def scaled(rng, module, mean, sigma):
    with torch.no_grad():
        weight = rng.normal(mean, sigma, tuple(module.weight.shape))
        module.weight.copy_(torch.from_numpy(weight))
        if module.bias is not None:
            module.bias.copy_(torch.from_numpy(rng.normal(0, 0.05, tuple(module.bias.shape))))
    return module


def lif_box(rng, *shape, v_leak=0.0, v_reset=0.0, **options):
    tau_mem_s = spread(rng, 2e-3, 8e-3, *shape)
    full = lambda value: torch.full(shape, value)  # noqa: E731
    p = LIFBoxParameters(
        1 / tau_mem_s, full(v_leak), spread(rng, 0.8, 1.2, *shape), full(v_reset), **options
    )
    return LIFBoxCell(p, dt=DT_S)


def lif_cell(rng, n, v_leak=0.0, v_reset=0.0):
    p = norse.LIFParameters(
        tau_syn_inv=1 / spread(rng, 2e-3, 6e-3, n),
        tau_mem_inv=1 / spread(rng, 3e-3, 9e-3, n),
        v_leak=torch.full((n,), v_leak),
        v_th=spread(rng, 0.8, 1.2, n),
        v_reset=torch.full((n,), v_reset),
    )
    return norse.LIFCell(p, dt=DT_S)


def run(modules, x, keep, own_start=False):
    """Step through a chain; return {module index: its output [T, B, *shape]}.

    Norse starts the membrane at v_leak (IAF: at v_reset); the contract's states start at zero.
    Explicit zero states make both equal, unless ``own_start``.
    """
    states, traces = {}, {i: [] for i in keep}
    with torch.no_grad():
        for values in torch.from_numpy(x):
            for i, module in enumerate(modules):
                if not isinstance(module, CELLS):
                    values = module(values)
                else:
                    if i not in states:
                        start = module.state_fallback(values)
                        states[i] = (
                            start if own_start else type(start)(*map(torch.zeros_like, start))
                        )
                    values, states[i] = module(values, states[i])
                if i in traces:
                    traces[i].append(values.numpy().copy())
    return {i: np.stack(v) for i, v in traces.items()}


def exported(modules, x):
    """Return the graph of Norse's own exporter, without the batch axis that it leaves in."""
    net = norse.SequentialState(*modules)
    return without_batch(plain_arrays(to_nir(net, torch.from_numpy(x[0, :1]), dt=1.0)))


def dense(name, seed, make, mean, words=None, extra=None, fix=None, own_start=False, note=""):
    rng = np.random.default_rng(seed)
    modules = [
        scaled(rng, nn.Linear(12, 14), mean, 2 * mean),
        make(rng, 14),
        scaled(rng, nn.Linear(14, 7), mean, 2 * mean),
        make(rng, 7),
    ]
    x = stimulus(seed, 40, 6, 12)
    outputs = run(modules, x, [1, 3], own_start)
    graph = exported(modules, x)
    if fix:
        for i in (1, 3):
            fix(graph.nodes[str(i)], modules[i].p)
    layers = {str(i): v for i, v in outputs.items()}
    return Case(name, graph, x, layers, {**WORDS, **(words or {})}, True, extra or {}, note)


def add_reset(node, p):
    node.v_reset = p.v_reset.detach().numpy()


def add_w_in(node, p):
    """Norse adds the input to the current without dt: w_in = tau_syn/dt, not 1."""
    node.w_in = node.tau_syn / DT_S
    add_reset(node, p)


def start_at_zero(node, p):
    """Measure the membrane from v_leak, where Norse starts: exact for a reset to a value."""
    add_reset(node, p)
    start = node.v_leak
    node.v_threshold, node.v_reset = node.v_threshold - start, node.v_reset - start
    node.v_leak = node.v_leak - start


def numbers(tensor):
    return tensor.detach().numpy()


def lif_node(p):
    tau, one = numbers(1 / p.tau_mem_inv), np.ones(tuple(p.v_th.shape), np.float32)
    return nir.LIF(tau, one, numbers(p.v_leak), numbers(p.v_th), numbers(p.v_reset))


def affine_node(module):
    return nir.Affine(numbers(module.weight), numbers(module.bias))


def convolution(name, seed, groups=1, kernel=3):
    """By hand: Conv2d with stride and padding, average pool, flatten, dense."""
    rng = np.random.default_rng(seed)
    conv = scaled(rng, nn.Conv2d(2, 4, kernel, 2, 1, groups=groups), 0.4, 1.0)
    height, width = conv(torch.zeros(1, 2, 9, 9)).shape[2:]
    pooled = 4 * (height // 2) * (width // 2)
    modules = [
        conv,
        lif_box(rng, 4, height, width),
        nn.AvgPool2d(2),
        nn.Flatten(),
        scaled(rng, nn.Linear(pooled, 5), 0.6, 1.5),
        lif_box(rng, 5),
    ]
    x = stimulus(seed, 30, 4, 2, 9, 9)
    outputs = run(modules, x, [1, 5])
    two, zero = np.array([2, 2]), np.array([0, 0])
    nodes = {
        "input": nir.Input(np.array([2, 9, 9])),
        "0": nir.Conv2d((9, 9), numbers(conv.weight), 2, 1, 1, groups, numbers(conv.bias)),
        "1": lif_node(modules[1].p),
        "2": nir.AvgPool2d(two, two, zero),
        "3": nir.Flatten({"input": np.array([4, height // 2, width // 2])}, 0, -1),
        "4": affine_node(modules[4]),
        "5": lif_node(modules[5].p),
        "output": nir.Output(np.array([5])),
    }
    order = list(nodes)
    # nir's own check takes the first kernel side for both and forgets groups.
    graph = nir.NIRGraph(nodes, list(zip(order[:-1], order[1:], strict=True)), type_check=False)
    return Case(name, graph, x, {str(i): v for i, v in outputs.items()}, WORDS)


def readout(name, seed, box):
    """LIF, then a leaky integrator: LIBoxCell as exported; LICell, by hand, is CubaLI."""
    rng = np.random.default_rng(seed)
    tau_mem_s, v_leak = spread(rng, 4e-3, 12e-3, 5), torch.zeros(5)
    if box:
        leaky = LIBoxCell(LIBoxParameters(1 / tau_mem_s, v_leak), dt=DT_S)
    else:
        tau_syn_s = spread(rng, 2e-3, 6e-3, 5)
        leaky = norse.LICell(norse.LIParameters(1 / tau_syn_s, 1 / tau_mem_s, v_leak), dt=DT_S)
    modules = [
        scaled(rng, nn.Linear(12, 10), 0.3, 0.6),
        lif_box(rng, 10),
        scaled(rng, nn.Linear(10, 5), 0.3, 0.6),
        leaky,
    ]
    x = stimulus(seed, 40, 6, 12)
    outputs = run(modules, x, [1, 3])
    if box:
        graph = exported(modules, x)
    else:
        nodes = [affine_node(modules[0]), lif_node(modules[1].p), affine_node(modules[2])]
        one, tau_syn = np.ones(5, np.float32), numbers(tau_syn_s)
        nodes.append(nir.CubaLI(tau_syn, numbers(tau_mem_s), one, numbers(v_leak), tau_syn / DT_S))
        nodes = {str(i): node for i, node in enumerate(nodes)}
        nodes = {"input": nir.Input(np.array([12])), **nodes, "output": nir.Output(np.array([5]))}
        order = list(nodes)
        graph = nir.NIRGraph(nodes, list(zip(order[:-1], order[1:], strict=True)))
    return Case(name, graph, x, {str(i): v for i, v in outputs.items()}, WORDS)


def recurrent(name, seed):
    """By hand: LIFRecurrentCell is CubaLIF with linear input and recurrent weights."""
    rng = np.random.default_rng(seed)
    n, tau_syn_s, tau_mem_s = 10, 4e-3, 6e-3
    p = norse.LIFParameters(torch.tensor(1 / tau_syn_s), torch.tensor(1 / tau_mem_s))
    w_in, w_rec = rng.normal(0.1, 0.3, (n, 12)), rng.normal(0.0, 0.3, (n, n))
    cell = norse.LIFRecurrentCell(
        12,
        n,
        p,
        input_weights=torch.tensor(w_in, dtype=torch.float32),
        recurrent_weights=nn.Parameter(torch.tensor(w_rec, dtype=torch.float32)),
        dt=DT_S,
    )
    x = stimulus(seed, 40, 6, 12)
    traces, state = [], None
    with torch.no_grad():
        for values in torch.from_numpy(x):
            z, state = cell(values, state)
            traces.append(z.numpy().copy())
    full = lambda value: np.full(n, value)  # noqa: E731
    syn = full(tau_syn_s)
    nodes = {
        "input": nir.Input(np.array([12])),
        "w_in": nir.Linear(numbers(cell.input_weights)),
        "lif": nir.CubaLIF(
            syn, full(tau_mem_s), full(1.0), full(0.0), full(1.0), full(0.0), syn / DT_S
        ),
        "w_rec": nir.Linear(numbers(cell.recurrent_weights)),
        "output": nir.Output(np.array([n])),
    }
    edges = [
        ("input", "w_in"), ("w_in", "lif"), ("lif", "w_rec"), ("w_rec", "lif"), ("lif", "output"),
    ]  # fmt: skip
    return Case(name, nir.NIRGraph(nodes, edges), x, {"lif": np.stack(traces)}, WORDS)


def residual(name, seed):
    """By hand (the exporter loses the shortcut): out = last(second(z) + z), z = first(x)."""
    rng = np.random.default_rng(seed)
    fc, second = nn.Linear(12, 12), nn.Linear(12, 12)
    scaled(rng, fc, 0.3, 0.6), scaled(rng, second, 0.1, 0.6)
    first, last = lif_box(rng, 12), lif_box(rng, 12)
    x = stimulus(seed, 40, 6, 12)
    z, a, b = {"first": [], "last": []}, None, None
    with torch.no_grad():
        for values in torch.from_numpy(x):
            hidden, a = first(fc(values), a)
            out, b = last(second(hidden) + 2 * hidden, b)
            z["first"].append(hidden.numpy().copy())
            z["last"].append(out.numpy().copy())
    nodes = {
        "input": nir.Input(np.array([12])), "fc": affine_node(fc), "first": lif_node(first.p),
        "second": affine_node(second), "shortcut": nir.Linear(2 * np.eye(12, dtype="f4")),
        "last": lif_node(last.p), "output": nir.Output(np.array([12])),
    }  # fmt: skip
    edges = [
        ("input", "fc"), ("fc", "first"), ("first", "second"), ("second", "last"),
        ("first", "shortcut"), ("shortcut", "last"), ("last", "output"),
    ]  # fmt: skip
    layers = {name: np.stack(v) for name, v in z.items()}
    return Case(name, nir.NIRGraph(nodes, edges), x, layers, WORDS)


def imported(name, seed):
    """By hand, run by Norse's importer: it delays after the affine, so no bias at t=0."""
    rng = np.random.default_rng(seed)
    n = 10
    full = lambda value: np.full(n, value)  # noqa: E731
    nodes = {
        "input": nir.Input(np.array([12])),
        "fc": nir.Affine(rng.normal(0.3, 0.6, (n, 12)).astype("f4"), np.zeros(n, "f4")),
        "lif": nir.LIF(full(4e-3), full(1.0), full(0.0), full(1.0), full(0.0)),
        "rec": nir.Affine(
            rng.normal(0.0, 0.8, (n, n)).astype("f4"), rng.normal(0.5, 0.5, n).astype("f4")
        ),
        "output": nir.Output(np.array([n])),
    }
    edges = [("input", "fc"), ("fc", "lif"), ("lif", "rec"), ("rec", "lif"), ("lif", "output")]
    graph = nir.NIRGraph(nodes, edges)
    x = stimulus(seed, 40, 6, 12)
    net, state, traces = from_nir(graph, dt=DT_S), None, []
    with torch.no_grad():
        for values in torch.from_numpy(x):
            out, state = net(values, state)
            traces.append(out.numpy().copy())
    words = {**WORDS, "recurrent_cut": "affine"}
    extra = {"recurrent_cut": "affine"}
    return Case(name, graph, x, {"lif": np.stack(traces)}, words, True, extra)


def cases():
    leak = {"v_leak": 0.3, "v_reset": -0.2}
    yield dense("norse_lif", 1, lif_box, 0.4)
    yield dense(
        "norse_lif_leak", 2, lambda rng, n: lif_box(rng, n, **leak), 0.3, fix=add_reset,
        note="v_reset added; Norse run from v = 0",
    )  # fmt: skip
    yield dense(
        "norse_lif_leak_start", 3, lambda rng, n: lif_box(rng, n, **leak), 0.3, fix=start_at_zero,
        own_start=True, note="v_reset added, membrane measured from v_leak; Norse's own start",
    )  # fmt: skip
    yield dense(
        "norse_lif_subtract", 4, lambda rng, n: lif_box(rng, n, reset_method=reset_subtract), 0.4,
        SUBTRACT, SUBTRACT,
    )  # fmt: skip
    yield dense("norse_cuba", 5, lif_cell, 0.2, fix=add_w_in, note="w_in added")
    yield dense(
        "norse_cuba_leak", 6, lambda rng, n: lif_cell(rng, n, **leak), 0.14, fix=add_w_in,
        note="w_in and v_reset added; Norse run from v = 0",
    )  # fmt: skip
    yield dense(
        "norse_if",
        7,
        lambda rng, n: IAFCell(IAFParameters(spread(rng, 0.8, 1.2, n)), dt=DT_S),
        0.06,
    )
    yield convolution("norse_conv", 8)
    yield convolution("norse_conv_3x5_grouped", 9, groups=2, kernel=(3, 5))
    yield readout("norse_li", 10, box=True)
    yield readout("norse_cuba_li", 11, box=False)
    yield recurrent("norse_recurrent", 12)
    yield residual("norse_residual", 23)
    yield imported("norse_recurrent_import", 14)
