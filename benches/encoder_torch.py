"""The published network's stages in PyTorch, by turns with our benches of the same (`encoder` and `flow`).

usage: encoder_torch.py [--runs 30] [--threads 2] [--rounds 3] [--ours PATHS_OF_THE_BENCHES]
Weights are random: their values do not change the time.
"""

import math

import by_turns
import torch
from torch import nn
from torch.nn import functional as F


class Block(nn.Module):
    def __init__(self, channels, width, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = None
        if stride != 1 or channels != width:
            conv = nn.Conv2d(channels, width, 1, stride, bias=False)
            self.downsample = nn.Sequential(conv, nn.BatchNorm2d(width))

    def forward(self, x):
        shortcut = x if self.downsample is None else self.downsample(x)
        x = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(x)) + shortcut)


def resnet18(channels=18):
    layers = [nn.Conv2d(channels, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    before = 64
    for stage, width in enumerate([64, 128, 256, 512]):
        layers += [Block(before, width, 1 if stage == 0 else 2), Block(width, width, 1)]
        before = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())


PARENTS = [-1, -1, -1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 8, 8, 11, 12, 13, 15, 16, 17, 18, 19, 20]
RADIUS, BINS = 1.5 * math.pi, 8


def ancestors(part):
    chain = []
    while PARENTS[part] >= 0:
        part = PARENTS[part]
        chain.append(part)
    return chain


def knots(raw):
    shares = 1e-3 + (1 - 1e-3 * BINS) * F.softmax(raw, dim=-1)
    places = 2 * RADIUS * F.pad(torch.cumsum(shares, dim=-1), (1, 0)) - RADIUS
    places[..., 0], places[..., -1] = -RADIUS, RADIUS
    return places


def spline(x, raw):
    """Monotonic rational linear spline; x (n, 2), raw (n, 62)."""
    n = x.shape[0]
    across = knots(raw[:, :16].reshape(n, 2, BINS))
    up = knots(raw[:, 16:32].reshape(n, 2, BINS))
    slopes = F.pad(1e-3 + F.softplus(raw[:, 32:46].reshape(n, 2, BINS - 1)), (1, 1), value=1 - 1e-3)
    lambdas = 0.025 + 0.95 * torch.sigmoid(raw[:, 46:62].reshape(n, 2, BINS))
    k = (torch.sum(x[..., None] >= across + 1e-6, dim=-1, keepdim=True) - 1).clamp(0, BINS - 1)
    pick = lambda values, index: values.gather(-1, index)[..., 0]
    left, low, high = pick(across, k), pick(up, k), pick(up, k + 1)
    width = pick(across, k + 1) - left
    d0, d1, lam = pick(slopes, k), pick(slopes, k + 1), pick(lambdas, k)
    wb = torch.sqrt(d0 / d1)
    wc = (lam * d0 + (1 - lam) * wb * d1) / ((high - low) / width)
    yc = ((1 - lam) * low + lam * wb * high) / ((1 - lam) + lam * wb)
    t = (x - left) / width
    first = (low * (lam - t) + wc * yc * t) / ((lam - t) + wc * t)
    second = (wc * yc * (1 - t) + wb * high * (t - lam)) / (wc * (1 - t) + wb * (t - lam))
    y = torch.where(t <= lam, first, second)
    return torch.where(x.abs() <= RADIUS, y, x)


def exponential(v):
    v = v.double()
    angle = v.norm(dim=-1, keepdim=True)[..., None].clamp(min=1e-10)
    zero = torch.zeros_like(v[:, 0])
    x, y, z = v.unbind(-1)
    hat = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).reshape(-1, 3, 3)
    out = torch.sin(angle) / angle * hat + (1 - torch.cos(angle)) / angle**2 * (hat @ hat)
    return (torch.eye(3, dtype=torch.float64) + out).float()


class Heads(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.shape = nn.Linear(512, 512), nn.Linear(512, 20)
        self.glob, self.cam = nn.Linear(512, 6), nn.Linear(512, 3)
        self.shared = nn.Linear(534, 256)
        self.context = nn.ModuleList(nn.Linear(256 + 9 * len(ancestors(b)), 64) for b in range(23))
        sizes = [65, 64, 32, 32, 62]
        self.nets = nn.ModuleList(
            nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes, sizes[1:])) for _ in range(46)
        )

    def chain(self, q, noise):
        rotations = []
        for part in range(23):
            above = [rotations[a].flatten(1) for a in ancestors(part)]
            z = F.elu(self.context[part](torch.cat([q, *above], dim=1)))
            x = noise[:, part]
            for i, order in enumerate([[0, 1, 2], [1, 2, 0]]):
                x = x[:, order]
                raw = torch.cat([z, x[:, :1]], dim=1)
                for layer, linear in enumerate(self.nets[2 * part + i]):
                    raw = linear(raw if layer == 0 else F.relu(raw))
                x = torch.cat([x[:, :1], spline(x[:, 1:], raw)], dim=1)
            length = x.norm(dim=1, keepdim=True).clamp(min=1e-7)
            rotations.append(exponential(RADIUS * torch.tanh(length / RADIUS) * x / length))
        return torch.stack(rotations, dim=1)

    def forward(self, features, samples):
        x = F.elu(self.fc1(features))
        cam, glob, shape = self.cam(x), self.glob(x), self.shape(x)[:, :10]
        first, second = glob[:, 0::2] + torch.tensor([1.0, 0, 0]), glob[:, 1::2] + torch.tensor([0, 1.0, 0])
        b1 = F.normalize(first, dim=1)
        b2 = F.normalize(second - (b1 * second).sum(1, keepdim=True) * b1, dim=1)
        rotation = torch.stack([b1, b2, torch.linalg.cross(b1, b2)], dim=-1).flatten(1)
        q = F.elu(self.shared(torch.cat([features, shape, rotation, cam], dim=1)))
        mode = self.chain(q, torch.zeros(1, 23, 3))
        return mode, self.chain(q.expand(samples, -1), 0.6 * torch.randn(samples, 23, 3))


def main():
    chosen = by_turns.options(runs=30)
    encoder, heads = resnet18().eval(), Heads().eval()
    x, features = torch.rand(1, 18, 256, 256), torch.rand(1, 512)
    for name, call, bench in [
        ("encoder, 1 x 18 x 256 x 256", lambda: encoder(x), "resnet18_forward"),
        ("heads, point estimate, 100 samples", lambda: heads(features, 100), "heads_point_estimate_and_samples::100"),
    ]:
        by_turns.compare(name, call, bench, chosen)


if __name__ == "__main__":
    main()
