"""HRNet-W48's forward pass in PyTorch, one crop of 288 x 384, for comparison with `cargo bench --bench hrnet`.

usage: hrnet_torch.py [--runs 10] [--threads 2] [--rounds 3] [--ours PATH_OF_THE_BENCH]
Weights are random: their values do not change the time. With --ours the two are run by turns.
"""

import functools

import by_turns
import torch
from torch import nn
from torch.nn import functional as F


def conv(channels, outputs, kernel, stride=1):
    layers = nn.Conv2d(channels, outputs, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(outputs)
    return nn.Sequential(*layers)


class Block(nn.Module):
    def __init__(self, convs, downsample=None):
        super().__init__()
        self.convs, self.downsample = nn.ModuleList(convs), downsample

    def forward(self, x):
        out = x
        for layer in self.convs[:-1]:
            out = F.relu_(layer(out))
        return F.relu_(self.convs[-1](out) + (self.downsample(x) if self.downsample else x))


def basic(width):
    return Block([conv(width, width, 3), conv(width, width, 3)])


class Module(nn.Module):
    def __init__(self, branches, outputs, width=48):
        super().__init__()
        sizes = [width << i for i in range(branches)]
        self.branches = nn.ModuleList(nn.Sequential(*(basic(c) for _ in range(4))) for c in sizes)
        self.fuse = nn.ModuleList()
        for to in range(outputs):
            row = nn.ModuleList()
            for origin in range(branches):
                if origin == to:
                    row.append(nn.Identity())
                elif origin > to:
                    factor = 2 ** (origin - to)
                    up = nn.Upsample(scale_factor=factor, mode="nearest")
                    row.append(nn.Sequential(conv(sizes[origin], sizes[to], 1), up))
                else:
                    chain = []
                    for step in range(to - origin):
                        last = step + 1 == to - origin
                        chain.append(conv(sizes[origin], sizes[to] if last else sizes[origin], 3, 2))
                        chain += [] if last else [nn.ReLU(inplace=True)]
                    row.append(nn.Sequential(*chain))
            self.fuse.append(row)

    def forward(self, maps):
        maps = [branch(x) for branch, x in zip(self.branches, maps)]
        return [F.relu_(sum(f(x) for f, x in zip(row, maps))) for row in self.fuse]


class Hrnet(nn.Module):
    def __init__(self, width=48):
        super().__init__()
        relu = nn.ReLU(inplace=True)
        self.stem = nn.Sequential(conv(3, 64, 3, 2), relu, conv(64, 64, 3, 2), relu)
        bottlenecks = []
        for i in range(4):
            before = 64 if i == 0 else 256
            convs = [conv(before, 64, 1), conv(64, 64, 3), conv(64, 256, 1)]
            bottlenecks.append(Block(convs, conv(64, 256, 1) if i == 0 else None))
        self.layer1 = nn.Sequential(*bottlenecks)
        first = [conv(256, width, 3), conv(256, 2 * width, 3, 2)]
        later = [conv(2 * width, 4 * width, 3, 2), conv(4 * width, 8 * width, 3, 2)]
        self.transitions = nn.ModuleList(first + later)
        counts = [(2, [2]), (3, [3] * 4), (4, [4, 4, 1])]
        self.stages = nn.ModuleList(nn.ModuleList(Module(b, o) for o in outputs) for b, outputs in counts)
        self.last = nn.Conv2d(width, 17, 1)

    def forward(self, x):
        x = self.layer1(self.stem(x))
        maps = [F.relu_(self.transitions[0](x)), F.relu_(self.transitions[1](x))]
        for index, stage in enumerate(self.stages):
            if index > 0:
                maps.append(F.relu_(self.transitions[1 + index](maps[-1])))
            for module in stage:
                maps = module(maps)
        return self.last(maps[0])


def main():
    chosen = by_turns.options(runs=10)
    net, x = Hrnet().eval(), torch.rand(1, 3, 384, 288)
    # Batch norm folded too, the kindest way to time it.
    folded = torch.jit.freeze(torch.jit.trace(net, x))
    for net_of, name in [(net, "as published"), (folded, "traced and frozen")]:
        call = functools.partial(net_of, x)
        by_turns.compare(f"PyTorch, {name}", call, "w48_forward", chosen)


if __name__ == "__main__":
    main()
