"""NIR to Norse: a checked graph as a trainable module, proven against our own float run."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch

from neurodeploy.errors import InputError
from neurodeploy.export.norse.cells import Surrogate
from neurodeploy.export.norse.check import NetworkCheck, check_network
from neurodeploy.export.norse.network import NorseNetwork
from neurodeploy.graph import Graph

__all__ = ["NetworkCheck", "NorseNetwork", "check_network", "from_nir"]

#: Norse's surrogate gradients.
METHODS = ("super", "triangle", "tanh", "circ", "heavi_erfc")


def from_nir(
    graph: Graph,
    *,
    trainable: bool = True,
    verify: bool = True,
    sample: Any = None,
    surrogate: str = "super",
    alpha: float = 100.0,
    dtype: torch.dtype | None = None,
    seed: int = 0,
) -> NorseNetwork:
    """Build ``graph`` out of Norse's cells and torch's layers, as one module that can be trained.

    States start at zero as the execution contract says, not at Norse's own start values.

    Parameters
    ----------
    graph : Graph
        As ``nd.read`` returns it.
    trainable : bool
        Whether weights, biases, scales and gains take gradients. Neuron constants never do.
    verify : bool
        Compare all nodes with the float run of the graph, in float64; see ``check_network``.
    sample : array or tensor [T, B, *input_shape]
        Input values for that; by default a random stimulus.
    surrogate, alpha : str, float
        Norse's surrogate gradient ("super", "triangle", "tanh", "circ" or "heavi_erfc") and its
        ``alpha``.
    dtype : torch.dtype
        Of the module returned; by default torch's. In float32 a spike may hang on rounding.
    seed : int
        Of the random stimulus.

    Returns
    -------
    NorseNetwork
        ``forward(x)`` [T, B, ...] to [T, B, ...]; ``check`` says what was compared.

    Raises
    ------
    UnsupportedNodeError
        Naming every node that Norse cannot express, and why.
    ExportRefusedError
        If the module does not run as the graph does: node, first step and numbers.
    """
    if not isinstance(graph, Graph):
        raise InputError(f"from_nir: takes a Graph (nd.read gives one), not {type(graph).__name__}")
    if surrogate not in METHODS:
        raise InputError(f"from_nir: surrogate {surrogate!r}; choose from {', '.join(METHODS)}")
    _require_options(alpha, dtype, seed)
    # Making torch's layers draws first weights; the caller's random numbers are not for that.
    with torch.random.fork_rng(devices=[]):
        network = NorseNetwork(graph, Surrogate(surrogate, alpha))
    if verify:
        network.check = check_network(network, graph, sample, seed=seed)
    network.requires_grad_(trainable)
    return network.to(torch.get_default_dtype() if dtype is None else dtype)


def _require_options(alpha: Any, dtype: Any, seed: Any) -> None:
    """Refuse arguments of another kind than the signature says."""
    if isinstance(alpha, bool) or not isinstance(alpha, (int, float)) or not 0 < alpha < math.inf:
        raise InputError(f"from_nir: alpha {alpha!r}; give a positive number")
    floating = isinstance(dtype, torch.dtype) and dtype.is_floating_point
    if dtype is not None and not floating:
        raise InputError(f"from_nir: dtype {dtype!r}; give torch.float32 or another float of torch")
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise InputError(f"from_nir: seed {seed!r}; give a whole number, zero or above")
