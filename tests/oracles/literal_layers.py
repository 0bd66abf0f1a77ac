"""What each stateless NIR node does to one step's input [B, *shape], spelled out in plain loops."""

import numpy as np


def layer(node, x):
    """Return the node's output [B, *shape] for the input ``x`` [B, *shape] of the same step."""
    kind = node["type"]
    if kind in ("Affine", "Linear"):
        y = np.matmul(node["weight"], x[..., None])[..., 0]
        return y + node["bias"] if kind == "Affine" else y
    if kind == "Scale":
        return x * node["scale"]
    if kind == "Threshold":
        return (x > node["threshold"]).astype(x.dtype)
    if kind == "Conv2d":
        return _conv2d(node, x)
    if kind == "Conv1d":
        return _conv1d(node, x)
    if kind in ("SumPool2d", "AvgPool2d"):
        return _pool(node, x, average=kind == "AvgPool2d")
    if kind == "Flatten":
        return _flatten(node, x)
    if kind in ("Input", "Output"):
        return x
    raise ValueError(f"node type {kind}")


def _pair(value):
    value = np.atleast_1d(value).astype(int)
    return (int(value[0]), int(value[-1]))


def _margins(padding, dilation, kernel, stride):
    """Zeros (before, after) one axis. Odd totals of 'same' put the larger part after, as PyTorch."""
    if padding == "valid":
        return 0, 0
    if padding == "same":
        if stride != 1:
            raise ValueError("padding 'same' needs stride 1")
        total = dilation * (kernel - 1)
        return total // 2, total - total // 2
    return padding, padding


def _conv2d(node, x):
    weight, groups = node["weight"], int(np.ravel(node.get("groups", 1))[0])
    n_out, n_in, height, width = weight.shape
    (s0, s1), (d0, d1) = _pair(node["stride"]), _pair(node["dilation"])
    padding = node["padding"]
    p0, p1 = (padding, padding) if isinstance(padding, str) else _pair(padding)
    margins = (_margins(p0, d0, height, s0), _margins(p1, d1, width, s1))
    x = np.pad(x, ((0, 0), (0, 0), *margins))
    rows = (x.shape[2] - d0 * (height - 1) - 1) // s0 + 1
    columns = (x.shape[3] - d1 * (width - 1) - 1) // s1 + 1
    y = np.zeros((len(x), n_out, rows, columns), x.dtype)
    per_group = n_out // groups
    for g in range(groups):
        mine = slice(g * per_group, (g + 1) * per_group)
        channels = x[:, g * n_in : (g + 1) * n_in]
        for i in range(rows):
            for j in range(columns):
                for a in range(height):
                    for b in range(width):
                        tap = channels[:, :, i * s0 + a * d0, j * s1 + b * d1]
                        y[:, mine, i, j] += tap @ weight[mine, :, a, b].T
    return y + node["bias"][:, None, None]


def _conv1d(node, x):
    """One row of a Conv2d whose kernel is one row high."""
    padding = node["padding"]
    flat = {
        "weight": node["weight"][:, :, None, :],
        "bias": node["bias"],
        "groups": node.get("groups", 1),
        "stride": (1, int(np.ravel(node["stride"])[0])),
        "dilation": (1, int(np.ravel(node["dilation"])[0])),
        "padding": padding if isinstance(padding, str) else (0, int(np.ravel(padding)[0])),
    }
    return _conv2d(flat, x[:, :, None, :])[:, :, 0, :]


def _pool(node, x, average):
    (k0, k1), (s0, s1) = _pair(node["kernel_size"]), _pair(node["stride"])
    p0, p1 = _pair(node["padding"])
    x = np.pad(x, ((0, 0), (0, 0), (p0, p0), (p1, p1)))
    rows, columns = (x.shape[2] - k0) // s0 + 1, (x.shape[3] - k1) // s1 + 1
    y = np.zeros((*x.shape[:2], rows, columns), x.dtype)
    for i in range(rows):
        for j in range(columns):
            window = x[:, :, i * s0 : i * s0 + k0, j * s1 : j * s1 + k1]
            y[:, :, i, j] = window.sum(axis=(2, 3)) / (k0 * k1 if average else 1)
    return y


def _flatten(node, x):
    """Axes count without batch, so NIR's default 1 keeps the first one."""
    shape = x.shape[1:]
    start, end = (int(np.ravel(node.get(k, d))[0]) for k, d in (("start_dim", 1), ("end_dim", -1)))
    start, end = start % len(shape), end % len(shape)
    merged = int(np.prod(shape[start : end + 1]))
    return x.reshape(len(x), *shape[:start], merged, *shape[end + 1 :])
