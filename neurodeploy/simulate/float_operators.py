"""Linear operators in torch: what a connection does to the values of many steps and samples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse
import torch

from neurodeploy.network.operators import Convolution, Dense, Operator, Pool, Scale, Sparse

Tensor = torch.Tensor
LinearMap = Callable[[Tensor], Tensor]


def linear_map(
    operator: Operator, dtype: torch.dtype, device: torch.device, *, differentiable: bool
) -> LinearMap:
    """Return ``operator`` as a function of values [M, size_in] that gives [M, size_out].

    Sums are plain sums of products; a bias is added after them.
    """

    def tensor(values: np.ndarray) -> Tensor:
        return torch.tensor(values, dtype=dtype, device=device)

    if isinstance(operator, Dense):
        if operator.weight.ndim == 2 and device.type == "cpu" and not differentiable:
            return _matrix(operator, np.float64 if dtype == torch.float64 else np.float32)
        return _dense(operator, tensor)
    if isinstance(operator, Sparse):
        if device.type == "cpu" and not differentiable:
            return _rows(operator, np.float64 if dtype == torch.float64 else np.float32)
        return _sparse(operator, dtype, device)
    if isinstance(operator, Scale):
        factor = tensor(operator.factor)
        return lambda x: x * factor
    if isinstance(operator, Convolution):
        return _convolution(operator, tensor)
    return _pool(operator)


def _matrix(operator: Dense, dtype: type[np.floating[Any]]) -> LinearMap:
    """Return a matrix product by numpy: no copy of the weights, and quick on small batches too.

    Numpy's own library of matrix products is the faster one on many processors.
    """
    across = operator.weight.T.astype(dtype, copy=False)
    bias = None if operator.bias is None else operator.bias.astype(dtype)

    def apply(x: Tensor) -> Tensor:
        # Numbers beyond the float type become infinite without a word, as everywhere in torch.
        with np.errstate(over="ignore", invalid="ignore"):
            y = x.numpy() @ across
            if bias is not None:
                y += bias
        return torch.from_numpy(y)

    return apply


def _rows(operator: Sparse, dtype: type[np.floating[Any]]) -> LinearMap:
    """Return the product with a sparse matrix by scipy: rows add in the order of their inputs."""
    parts = (operator.weight.astype(dtype, copy=False), operator.indices, operator.indptr)
    matrix = scipy.sparse.csr_array(parts, shape=(operator.size_out, operator.size_in))

    def apply(x: Tensor) -> Tensor:
        with np.errstate(over="ignore", invalid="ignore"):
            y = matrix @ np.ascontiguousarray(x.numpy().T)
        return torch.from_numpy(np.ascontiguousarray(y.T))

    return apply


def _sparse(operator: Sparse, dtype: torch.dtype, device: torch.device) -> LinearMap:
    """Return the product with a sparse matrix in torch, with gradients by the values."""
    rows = np.repeat(np.arange(operator.size_out), np.diff(operator.indptr))
    matrix = torch.sparse_coo_tensor(
        torch.tensor(np.stack([rows, operator.indices])),
        torch.tensor(operator.weight, dtype=dtype),
        (operator.size_out, operator.size_in),
        is_coalesced=True,
        check_invariants=True,
        device=device,
    )
    return lambda x: torch.sparse.mm(matrix, x.T).T


def _dense(operator: Dense, tensor: Callable[[np.ndarray], Tensor]) -> LinearMap:
    bias = None if operator.bias is None else tensor(operator.bias)
    weight = tensor(operator.weight)
    if weight.ndim == 2:
        across = weight.T

        def one(x: Tensor) -> Tensor:
            y = x @ across
            return y if bias is None else y + bias

        return one
    groups, _, size_in = weight.shape
    across = weight.transpose(1, 2).contiguous()

    def grouped(x: Tensor) -> Tensor:
        y = torch.bmm(x.reshape(-1, groups, size_in).transpose(0, 1), across)
        y = y.transpose(0, 1).reshape(x.shape[0], -1)
        return y if bias is None else y + bias

    return grouped


def _convolution(operator: Convolution, tensor: Callable[[np.ndarray], Tensor]) -> LinearMap:
    weight = tensor(operator.weight)
    bias = None
    if operator.bias is not None:
        bias = tensor(operator.bias).reshape(-1, *[1] * len(operator.stride))
    margins = _margins(operator.padding)
    convolve = torch.conv1d if len(operator.stride) == 1 else torch.conv2d

    def apply(x: Tensor) -> Tensor:
        x = x.reshape(-1, *operator.input_shape)
        if any(margins):
            x = torch.nn.functional.pad(x, margins)
        y = convolve(x, weight, None, operator.stride, 0, operator.dilation, operator.groups)
        if bias is not None:
            y = y + bias
        return y.reshape(x.shape[0], operator.size_out)

    return apply


def _pool(operator: Pool) -> LinearMap:
    margins = _margins(tuple((p, p) for p in operator.padding))
    # Sums are not taken from means: that would round twice.
    divisor = 1 if operator.kind == "sum" else int(np.prod(operator.kernel))
    extent = operator.input_shape[-2:]

    def apply(x: Tensor) -> Tensor:
        samples = x.shape[0]
        x = x.reshape(samples, -1, *extent)
        if any(margins):
            x = torch.nn.functional.pad(x, margins)
        y = torch.nn.functional.avg_pool2d(
            x, operator.kernel, operator.stride, divisor_override=divisor
        )
        return y.reshape(samples, operator.size_out)

    return apply


def _margins(padding: tuple[tuple[int, int], ...]) -> list[int]:
    """Return zeros before and after as torch wants them: last axis first."""
    return [margin for axis in reversed(padding) for margin in axis]
