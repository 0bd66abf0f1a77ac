"""Networks as people write them: classes whose forward loops over time with explicit states."""

import torch

import neurodeploy.neurons.norse_parts  # noqa: F401  (imports Norse without its warnings)

# isort: split
import norse.torch as norse
from torch import nn


class CountSpikes(nn.Module):
    """Two layers, spikes stacked and summed."""

    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(6, 12), nn.Linear(12, 4)
        self.lif1, self.lif2 = norse.LIFCell(), norse.LIFBoxCell()

    def forward(self, x):
        s1 = s2 = None
        spikes = []
        for t in range(x.shape[0]):
            z, s1 = self.lif1(self.fc1(x[t]), s1)
            z, s2 = self.lif2(self.fc2(z), s2)
            spikes.append(z)
        return torch.stack(spikes).sum(0)


class MembraneMaximum(nn.Module):
    """A leaky read-out, its maximum over time, log-softmax: Norse's own MNIST example."""

    def __init__(self):
        super().__init__()
        self.hidden, self.out = nn.Linear(6, 12), nn.Linear(12, 4, bias=False)
        self.lif, self.li = norse.LIFCell(), norse.LICell()

    def forward(self, x):
        s, so = None, None
        voltages = torch.zeros(x.shape[0], x.shape[1], 4, device=x.device)
        for ts in range(x.shape[0]):
            z, s = self.lif(self.hidden(x[ts, :]), s)
            v, so = self.li(self.out(z), so)
            voltages[ts, :, :] = v
        m, _ = torch.max(voltages, 0)
        return torch.nn.functional.log_softmax(m, dim=1)


class RecurrentByHand(nn.Module):
    """The layer's last spikes through a matrix with bias; zeros at first."""

    def __init__(self):
        super().__init__()
        self.inp, self.rec, self.out = nn.Linear(6, 12), nn.Linear(12, 12), nn.Linear(12, 4)
        self.lif = norse.LIFBoxCell()

    def forward(self, x):
        state = None
        z = torch.zeros(x.shape[1], 12)
        outputs = []
        for x_t in x:
            z, state = self.lif(self.inp(x_t) + self.rec(z), state)
            outputs.append(self.out(z))
        return torch.stack(outputs).mean(dim=0)


class RecurrentFromSecondStep(nn.Module):
    """The same, but the first step has no recurrent term at all, so no bias of it either."""

    def __init__(self):
        super().__init__()
        self.inp, self.rec, self.out = nn.Linear(6, 12), nn.Linear(12, 12), nn.Linear(12, 4)
        self.lif = norse.LIFBoxCell()

    def forward(self, x):
        state, z, total = None, None, 0
        for x_t in torch.unbind(x, dim=0):
            current = self.inp(x_t)
            if z is not None:
                current = current + self.rec(z)
            z, state = self.lif(current, state)
            total = total + self.out(z)
        return total


class SkipConnections(nn.Module):
    """Residual addition of spikes, and a skip from the input."""

    def __init__(self):
        super().__init__()
        self.fc1, self.fc2, self.fc3 = nn.Linear(6, 12), nn.Linear(12, 12), nn.Linear(12, 4)
        self.skip = nn.Linear(6, 12, bias=False)
        self.lif1, self.lif2, self.lif3 = (norse.LIFBoxCell() for _ in range(3))

    def forward(self, x):
        s1 = s2 = s3 = None
        out = []
        for t in range(len(x)):
            z1, s1 = self.lif1(self.fc1(x[t]), s1)
            z2, s2 = self.lif2(self.fc2(z1) + self.skip(x[t]), s2)
            z3, s3 = self.lif3(self.fc3(z1 + z2), s3)
            out += [z3]
        return torch.stack(out, dim=0)


class TwoBranches(nn.Module):
    """Two branches over halves of the input, put side by side."""

    def __init__(self):
        super().__init__()
        self.left, self.right, self.head = nn.Linear(4, 8), nn.Linear(2, 5), nn.Linear(13, 4)
        self.lif_left, self.lif_right = norse.LIFCell(), norse.IAFCell()
        self.li = norse.LIBoxCell()

    def forward(self, x):
        a = b = c = None
        for t in range(x.shape[0]):
            za, a = self.lif_left(self.left(x[t][:, :4]), a)
            zb, b = self.lif_right(self.right(x[t][:, 4:]), b)
            v, c = self.li(self.head(torch.cat([za, zb], dim=1)), c)
        return v


class HeldImage(nn.Module):
    """An image whose first layer is computed once and held; pooled groups of output neurons."""

    def __init__(self, steps=10):
        super().__init__()
        self.steps = steps
        self.fc1, self.fc2 = nn.Linear(6, 12), nn.Linear(12, 12)
        self.lif1, self.lif2 = norse.LIFBoxCell(), norse.LIFBoxCell()

    def forward(self, image):
        s1 = s2 = None
        current = self.fc1(image)
        spikes = []
        for _ in range(self.steps):
            z, s1 = self.lif1(current, s1)
            z, s2 = self.lif2(self.fc2(z), s2)
            spikes.append(z)
        rate = torch.stack(spikes, 1).mean(1)
        return rate.view(-1, 4, 3).sum(-1)


class BatchFirst(nn.Module):
    """[B, T, n], spikes added up in place, and a linear layer on the mean rate."""

    def __init__(self):
        super().__init__()
        self.fc1, self.drop, self.norm = nn.Linear(6, 12), nn.Dropout(0.5), nn.BatchNorm1d(12)
        self.lif, self.fc2 = norse.LIFCell(), nn.Linear(12, 4)

    def forward(self, x):
        batch, steps, _ = x.shape
        state, total = None, torch.zeros(batch, 12, dtype=x.dtype)
        for t in range(steps):
            z, state = self.lif(self.norm(self.drop(self.fc1(x[:, t]))), state)
            total += z
        return self.fc2(total / steps)


class ConvolutionLoop(nn.Module):
    """Convolutions, pools and a view in every step."""

    def __init__(self):
        super().__init__()
        self.conv1, self.norm = nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.conv2, self.pool = nn.Conv2d(4, 6, (3, 2), groups=2, bias=False), nn.AvgPool2d(2)
        self.lif1, self.lif2 = norse.LIFBoxCell(), norse.LIFCell()
        self.out = norse.LILinearCell(12, 4)

    def forward(self, x):
        s1 = s2 = so = None
        outputs = []
        for t in range(x.size(0)):
            z, s1 = self.lif1(self.norm(self.conv1(x[t])), s1)
            z = 2 * self.conv2(self.pool(z))
            z, s2 = self.lif2(z, s2)
            v, so = self.out(z.view(-1, 12), so)
            outputs.append(v)
        return torch.stack(outputs)


class Pipelined(nn.Module):
    """Every layer sees what the one before did a step ago, as on a chip."""

    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(6, 12), nn.Linear(12, 4)
        self.lif1, self.lif2 = norse.LIFBoxCell(), norse.LIFBoxCell()

    def forward(self, x):
        s1 = s2 = None
        z1 = x.new_zeros(x.shape[1], 12)
        count = 0
        for t in range(x.shape[0]):
            z2, s2 = self.lif2(self.fc2(z1), s2)
            z1, s1 = self.lif1(self.fc1(x[t]), s1)
            count = count + z2
        return count


class LastSteps(nn.Module):
    """A read-out over the last five steps only, and a normalised input."""

    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(6, 12), nn.Linear(12, 4)
        self.lif, self.li = norse.LIFBoxCell(), norse.LIBoxCell()

    def forward(self, x):
        s = so = None
        x = (x - 0.1) / 0.8
        v_trace = []
        for t in range(x.shape[0]):
            z, s = self.lif(self.fc1(x[t]), s)
            v, so = self.li(self.fc2(z), so)
            v_trace.append(v)
        return torch.softmax(torch.stack(v_trace)[-5:].mean(0), dim=-1)


class RunningMaximum(nn.Module):
    """The largest membrane so far, kept in a loop over layers of a ModuleList."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(6, 12), nn.Linear(12, 12)])
        self.cells = nn.ModuleList([norse.LIFCell(), norse.LIFBoxCell()])
        self.head, self.li = nn.Linear(12, 4), norse.LICell()

    def forward(self, x):
        states, state, best = [None, None], None, None
        for t in range(x.shape[0]):
            z = x[t]
            for number, (layer, cell) in enumerate(zip(self.layers, self.cells, strict=True)):
                z, states[number] = cell(layer(z), states[number])
            v, state = self.li(self.head(z), state)
            best = v if best is None else torch.maximum(best, v)
        return best


class TopDown(nn.Module):
    """The upper layer's last spikes go back to the lower one."""

    def __init__(self):
        super().__init__()
        self.up1, self.up2, self.down = nn.Linear(6, 12), nn.Linear(12, 8), nn.Linear(8, 12)
        self.lif1, self.lif2 = norse.LIFBoxCell(), norse.LIFCell()

    def forward(self, x):
        s1 = s2 = None
        z2 = torch.zeros((x.shape[1], 8))
        rates = []
        for t in range(x.shape[0]):
            z1, s1 = self.lif1(self.up1(x[t]) + self.down(z2), s1)
            z2, s2 = self.lif2(self.up2(z1), s2)
            rates.append(z2)
        return torch.stack(rates).mean(0)


class KeepsItsStates(nn.Module):
    """States as attributes, cleared at the start of a sample."""

    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(6, 12), nn.Linear(12, 4)
        self.lif, self.li = norse.LIFCell(), norse.LICell()
        self.s = self.so = None

    def tick(self, x):
        z, self.s = self.lif(self.fc1(x), self.s)
        v, self.so = self.li(self.fc2(z), self.so)
        return v

    def forward(self, x):
        self.s = self.so = None
        return torch.stack([self.tick(x_t) for x_t in x], dim=0).max(dim=0).values


class MergesTimeAndBatch(nn.Module):
    """Time-major cells; steps and samples are merged for the convolution."""

    def __init__(self):
        super().__init__()
        self.conv, self.lif = nn.Conv2d(2, 4, 3), norse.LIF()
        self.fc, self.li = nn.Linear(64, 4), norse.LI()

    def forward(self, x):
        steps, batch = x.shape[:2]
        y = self.conv(x.flatten(0, 1)).unflatten(0, (steps, batch))
        z, _ = self.lif(y)
        v, _ = self.li(self.fc(z.reshape(steps, batch, -1)))
        return v[-1]


class ReadsItsMembrane(nn.Module):
    """The read-out is the membrane of the last spiking cell."""

    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(6, 12), nn.Linear(12, 4)
        self.lif1, self.lif2 = norse.LIFBoxCell(), norse.LIFBoxCell()

    def forward(self, x):
        s1 = s2 = None
        membrane = []
        for t in range(x.shape[0]):
            z, s1 = self.lif1(self.fc1(x[t]), s1)
            z, s2 = self.lif2(self.fc2(z), s2)
            membrane.append(s2.v)
        return torch.stack(membrane).mean(0)


class OwnStartStates(nn.Module):
    """First states made by hand, truncated back-propagation, one weight used twice."""

    def __init__(self):
        super().__init__()
        self.shared, self.out = nn.Linear(6, 6), nn.Linear(6, 4)
        self.lif1, self.lif2 = norse.LIFCell(), norse.LIFCell()

    def forward(self, x):
        batch = x.shape[1]
        s1 = norse.LIFFeedForwardState(torch.zeros(batch, 6), torch.zeros(batch, 6))
        s2 = norse.LIFFeedForwardState(torch.zeros(batch, 6), torch.zeros(batch, 6))
        out = torch.empty(x.shape[0], batch, 4)
        for t in range(x.shape[0]):
            z, s1 = self.lif1(self.shared(x[t]), s1)
            z, s2 = self.lif2(self.shared(z), s2)
            s1 = norse.LIFFeedForwardState(*(part.detach() for part in s1))
            out[t] = self.out(z)
        return out.sum(dim=0)


class Stepwise(nn.Module):
    """One step per call; the loop is somewhere else."""

    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(6, 12), nn.Linear(12, 4)
        self.lif1, self.lif2 = norse.LIFCell(), norse.LIFCell()

    def step(self, x, state=None):
        s1, s2 = (None, None) if state is None else state
        z, s1 = self.lif1(self.fc1(x), s1)
        z, s2 = self.lif2(self.fc2(z), s2)
        return z, (s1, s2)

    def forward(self, x):
        raise RuntimeError("this class is used step by step")
