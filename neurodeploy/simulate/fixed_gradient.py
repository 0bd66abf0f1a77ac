"""Gradients through the integers: exact forward, straight-through backward."""

from __future__ import annotations

import numpy as np
import torch

from neurodeploy.network.connections import INPUT
from neurodeploy.network.fixed import (
    ALIGN_BITS,
    DECAY_BITS,
    V_MAX,
    FixedPointNetwork,
    FixedSynapse,
)
from neurodeploy.simulate.fixed_plan import PlannedPopulation, PlannedSynapse, plan_network
from neurodeploy.simulate.surrogate import SurrogateShape
from neurodeploy.simulate.unrolled import (
    LayerTrace,
    Tensor,
    UnrolledLayer,
    UnrolledNetwork,
    UnrolledSynapse,
)

_V_UNIT = float(2**ALIGN_BITS)
_DECAY_UNIT = float(2**DECAY_BITS)


class FixedGradient(UnrolledNetwork):
    """Scores of a fixed-point network, differentiable with respect to its input codes.

    Forward, every integer is carried exactly in float64. The scores are those of ``run_fixed``,
    divided by the read-out's scale and, where they grow with them, by the steps, so that they
    have the size of the float network's.

    Backward, floor, truncation and wrap have slope one, a clipped membrane slope zero, a spike
    the surrogate slope at ``(v - theta) / theta``; the reset is detached and parameters are
    frozen. A code that is sent as a spike (no payload) counts as if its payload were sent.

    Parameters
    ----------
    net : FixedPointNetwork
    width : float
        Surrogate width, in thresholds.
    shape : {"triangle", "superspike", "rectangle"}
    device : str
        Where to compute; float64 must be available there.
    steps : int or None
        Default ``net.steps``.
    """

    def __init__(
        self,
        net: FixedPointNetwork,
        *,
        width: float = 1.0,
        shape: SurrogateShape = "triangle",
        device: str | torch.device = "cpu",
        steps: int | None = None,
    ) -> None:
        on = torch.device(device)
        super().__init__(
            tuple(_layer(net, p, on) for p in plan_network(net)),
            readout=net.readout,
            n_input=net.n_input,
            steps=net.steps if steps is None else steps,
            encoder=net.encoder,
            input_slope=1.0,
            scale=net.population(net.readout.population).scale,
            width=width,
            shape=shape,
        )


def _layer(net: FixedPointNetwork, plan: PlannedPopulation, device: torch.device) -> UnrolledLayer:
    synapses = tuple(
        _FixedSynapse(synapse, planned, net.encoder.max_code, device)
        for synapse, planned in zip(net.synapses_into(plan.name), plan.synapses, strict=True)
    )
    if plan.population.kind == "dlif":
        return _DlifLayer(plan, synapses, device)
    return _LifLayer(plan, synapses, device)


def _wrap_32(x: Tensor) -> Tensor:
    """Reduce whole numbers to 32 bits."""
    return x - 2.0**32 * torch.floor((x + 2.0**31) / 2.0**32)


def _wrap_24_once(x: Tensor) -> Tensor:
    """W24: one wrap into (-2^23, 2^23]; what is further out stays outside."""
    x = torch.where(x > 2.0**23, x - 2.0**24, x)
    return torch.where(x <= -(2.0**23), x + 2.0**24, x)


def _within(x: Tensor, limit: float) -> bool:
    """Return whether every |x| is below ``limit``, so that no wrap can occur."""
    low, high = x.aminmax()
    return bool(low > -limit) and bool(high < limit)


class _FixedSynapse(UnrolledSynapse):
    """Sums with wrap at 32 bits and the floor of the shift."""

    def __init__(
        self, synapse: FixedSynapse, plan: PlannedSynapse, max_code: int, device: torch.device
    ) -> None:
        self.source = synapse.source
        weight = torch.tensor(synapse.weight, dtype=torch.float64, device=device)
        self._factor = 2.0**synapse.weight_exp
        self.slope = weight * self._factor
        self._as_spikes = plan.source == INPUT and not plan.graded
        payload = max_code if plan.source == INPUT and plan.graded else 1
        self._may_wrap = max(plan.bound, plan.raw_bound) * payload >= 2**31
        # A left shift is exact on the weights; a right shift acts on the sum.
        self._shifted_rows = self.slope.T.contiguous() if self._factor >= 1 else None
        self._rows = weight.T.contiguous()

    def sums(self, sent: Tensor) -> Tensor:
        """Return the shifted sums, whole numbers within 32 bits."""
        if self._as_spikes:
            sent = (sent != 0).to(sent.dtype)
        if not self._may_wrap and self._shifted_rows is not None:
            return sent @ self._shifted_rows
        total = sent @ self._rows
        if self._may_wrap:
            total = _wrap_32(_wrap_32(total) * self._factor)
        else:
            total.mul_(self._factor)
        return total.floor_() if self._factor < 1 else total


class _FixedLayer(UnrolledLayer):
    """What both kinds share: the membrane."""

    _in_32_bits = True

    def __init__(
        self,
        plan: PlannedPopulation,
        synapses: tuple[_FixedSynapse, ...],
        device: torch.device,
    ) -> None:
        self.name, self.synapses = plan.name, synapses
        self._plan = plan
        self._device = device
        self.threshold = self._tensor(plan.threshold)
        # A threshold of zero has no unit of its own; one synaptic unit stands in.
        self.unit = self.threshold.abs().clamp(min=_V_UNIT)
        self.keep = self._tensor(plan.keep_v) / _DECAY_UNIT
        self._leaks = bool((plan.keep_v != 4096).any())
        self._can_fire = bool((plan.threshold < V_MAX).any())
        self._v_init = self._tensor(plan.population.v_init)
        self._bias = self._tensor(plan.bias)
        self.v_reset = torch.zeros_like(self._v_init)

    def _tensor(self, values: np.ndarray) -> Tensor:
        return torch.tensor(values, dtype=torch.float64, device=self._device)

    def _membrane(self, drive: Tensor, steps: int) -> LayerTrace:
        """Run v on what is added per step, whole numbers [T or 1, B, N] in units of v."""
        shape = (steps, *drive.shape[1:])
        v_pre = drive.new_empty(shape)
        v = self._v_init.expand(shape[1:])
        # Lava holds the sum in 32 bits; only a u far outside its 24 can leave them.
        may_wrap = self._in_32_bits and not _within(drive, 2.0**30)
        for t in range(steps):
            # keep and v have 12 and 23 bits, so the product is exact.
            full = torch.mul(v, self.keep, out=v_pre[t])
            if self._leaks:
                full.trunc_()
            full.add_(drive[t if drive.shape[0] > 1 else 0])
            if may_wrap:
                full.copy_(_wrap_32(full))
            v = full.clamp_(-V_MAX, V_MAX)
            if self._can_fire:
                v = torch.where(v > self.threshold, self.v_reset, v)
        spikes = torch.gt(v_pre, self.threshold).to(drive.dtype) if self._can_fire else None
        passes = None if _within(v_pre, V_MAX) else (v_pre.abs() < V_MAX).to(drive.dtype)
        return LayerTrace(v_pre, spikes, passes)


class _LifLayer(_FixedLayer):
    """u, then v."""

    def __init__(
        self,
        plan: PlannedPopulation,
        synapses: tuple[_FixedSynapse, ...],
        device: torch.device,
    ) -> None:
        super().__init__(plan, synapses, device)
        self._keep_u = self._tensor(plan.keep_u) / _DECAY_UNIT
        self._remembers = bool((plan.keep_u != 0).any())
        self._u_init = self._tensor(plan.population.u_init)

    def run(self, current: Tensor, steps: int) -> LayerTrace:
        """Run on the summed synaptic input."""
        if _within(current, 2.0**17):
            pushed = current.mul_(_V_UNIT)
            u = self._current(pushed, steps) if self._remembers else pushed
        else:
            pushed = _wrap_32(_wrap_32(current) * _V_UNIT)
            u = self._current(pushed, steps) if self._remembers else _wrap_24_once(pushed)
        return self._membrane(u.add_(self._bias), steps)

    def _current(self, pushed: Tensor, steps: int) -> Tensor:
        u = self._u_init.expand(pushed.shape[1:])
        trace = pushed.new_empty((steps, *pushed.shape[1:]))
        for t in range(steps):
            kept = torch.trunc(u * self._keep_u)
            u = _wrap_24_once(_wrap_32(kept.add_(pushed[t if pushed.shape[0] > 1 else 0])))
            trace[t] = u
        return trace

    def by_current(self, by_drive: Tensor) -> Tensor:
        """Backward through u: one decay per step, and the alignment by 2^6."""
        if self._remembers:
            for t in range(by_drive.shape[0] - 2, -1, -1):
                by_drive[t].addcmul_(self._keep_u, by_drive[t + 1])
        return by_drive.mul_(_V_UNIT)


class _DlifLayer(_FixedLayer):
    """The input times the gain of the step, one floor; no u. Its sum is int64."""

    _in_32_bits = False

    def run(self, current: Tensor, steps: int) -> LayerTrace:
        """Run on the summed synaptic input."""
        if not _within(current, 2.0**31):
            current = _wrap_32(current)
        x = current.add_(self._bias) * self._gain(steps)
        return self._membrane(x.floor_().mul_(_V_UNIT), steps)

    def by_current(self, by_drive: Tensor) -> Tensor:
        """Backward through the gain and the alignment by 2^6."""
        return by_drive.mul_(self._gain(by_drive.shape[0]) * _V_UNIT)

    def _gain(self, steps: int) -> Tensor:
        """Return the factor of each step, [T, 1, 1]; exact: a mantissa times a power of two."""
        gain = self._tensor(self._plan.gain(0, steps)) * 2.0**-self._plan.population.gain_shift
        return gain[:, None, None]
