"""A Norse model run as its author would, and an exported file run literally: to be compared."""

import copy

import numpy as np
import torch
from oracles import literal_graph

import neurodeploy.neurons.norse_parts  # noqa: F401  (imports Norse without its warnings)

# isort: split
import norse.torch as norse
from norse.torch.module.snn import SNN, SNNCell, SNNRecurrent, SNNRecurrentCell

__all__ = ["decide", "in_double", "lively", "norse", "run_literally", "run_natively"]
CELLS = (SNN, SNNCell, SNNRecurrent, SNNRecurrentCell)


def lively(model, seed=0, scale=2.0, shift=0.15):
    """Give a model weights that make its cells fire, and settled batch norms."""
    generator = torch.Generator().manual_seed(seed)

    def draw(shape):
        return torch.rand(shape, generator=generator)

    with torch.no_grad():
        for parameter in model.parameters():
            fan_in = max(parameter[0].numel(), 1) if parameter.ndim > 1 else 4
            parameter.copy_((draw(parameter.shape) - 0.5 + shift) * scale * 6 / fan_in**0.5)
        for module in model.modules():
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                module.running_mean.copy_(draw(module.running_mean.shape) - 0.5)
                module.running_var.copy_(draw(module.running_var.shape) + 0.5)
                module.weight.copy_(draw(module.weight.shape) + 0.5)
    return model.eval()


def in_double(model):
    """Return a float64 copy; Norse's parameter tuples are not reached by ``double``."""
    model = copy.deepcopy(model).double()
    for module in model.modules():
        if hasattr(getattr(module, "p", None), "_asdict"):
            module.p = module.p._replace(
                **{
                    name: value.detach().double()
                    for name, value in module.p._asdict().items()
                    if isinstance(value, torch.Tensor)
                }
            )
    return model


def run_natively(model, x, method=None, steps=None):
    """Run the model itself; return its output and [calls, B, N] of every cell by path."""
    model = in_double(model)
    seen = {}
    for path, module in model.named_modules():
        if isinstance(module, CELLS):
            module.register_forward_hook(
                lambda _, __, result, path=path: seen.setdefault(path, []).append(result[0])
            )
    torch.set_default_dtype(torch.float64)
    try:
        with torch.no_grad():
            x = torch.as_tensor(np.asarray(x)).double()
            if method is None:
                output = model(x)
            else:
                function, state, output = getattr(model, method), None, []
                function = model if method == "forward" else function
                for t in range(steps or x.shape[0]):
                    result, state = function(x if steps else x[t], state)
                    output.append(result)
                output = torch.stack(output)
    finally:
        torch.set_default_dtype(torch.float32)
    rasters = {
        path: torch.stack(calls) if len(calls) > 1 else calls[0] for path, calls in seen.items()
    }
    output = output[0] if isinstance(output, tuple) else output
    return output.numpy(), {
        path: raster.numpy().reshape(*raster.shape[:2], -1) for path, raster in rasters.items()
    }


def run_literally(path, x):
    """Run a file as the literal interpreter understands it; return the run and the contract."""
    graph = literal_graph.load(path)
    said = graph.metadata["neurodeploy"]
    words = {
        key.replace("-", "_"): value.decode() if isinstance(value, bytes) else value
        for key, value in said.items()
        if not isinstance(value, dict) and key not in ("schema", "steps", "source-tool")
    }
    return literal_graph.run(graph, x, words), said


def decide(run, said):
    """Apply the contract's read-out to a literal run; scores [B, C]."""
    readout = said["readout"]
    node, kind = readout["node"], readout["kind"]
    trace = run.outputs[node] if kind in ("count", "sum") or node not in run.v else run.v[node]
    if "window" in readout:
        start, stop = readout["window"]
        trace = trace[start:stop]
    if kind in ("count", "sum"):
        return trace.sum(0)
    return {"mean_v": trace.mean(0), "last_v": trace[-1], "max_v": trace.max(0)}[kind]
