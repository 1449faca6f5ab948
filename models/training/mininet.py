"""Mini-Net: 37,685 values that outline vessels.

Javed et al., "Advancing Medical Image Segmentation with Mini-Net: A Lightweight Solution Tailored for Efficient
Segmentation of Medical Images", arXiv 2405.17520. The paper gives the parts (dual multi-residual blocks with 1×1,
3×3 and 5×5 paths, expand and squeeze, strided convolutions down, transposed ones up, 8 to 32 channels) and the counts,
36,657 trained values and 1,028 moving statistics of the norms, but neither a table of layers nor code. The layout
here keeps all of that, and each count exactly. Chosen, since the paper does not say:

- Five blocks, at 8, 16, 32, 16 and 8 channels, with six norms each: twice 1×1, 3×3 and 5×5. With a norm after the
  stem, one on each skip connection and one in the head that makes 514 normed channels, and 1,028 statistics.
- Expand is a separable convolution, squeeze a 1×1 convolution, in the order ReLU, expand, ReLU, squeeze, norm, after
  the expand–squeeze blocks of the same group's ESDMR-Net (Khan et al., arXiv 2312.10585).
- Two 3×3 convolutions in the stem, and 3×3 to two channels, then 1×1, in the head. The counts then ask for one input
  channel: the green one, as is usual for vessels. An RGB input has 144 values more.
- The head's activation is leaky: with two channels, a ReLU gave four in five pixels one and the same answer, from which
  nothing was learnt.
- Biases everywhere but in the depthwise convolutions, as Keras has them; skips are added, before the decoder's blocks.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

MULTIPLE = 4


class Depthwise(nn.Conv2d):
    """k×k, each channel by itself, without bias; shape kept. Large ones run in single precision.

    On CPUs the backward pass of a depthwise 5×5 convolution takes more than twice as long in bfloat16.
    """

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__(channels, channels, kernel, padding=kernel // 2, groups=channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Same shape in and out."""
        if x.device.type != "cpu" or self.kernel_size[0] < 5:
            return super().forward(x)
        with torch.autocast("cpu", enabled=False):
            return super().forward(x.float())


class ExpandSqueeze(nn.Module):
    """ReLU, separable k×k convolution, ReLU, 1×1 convolution, norm; shape (n, channels, rows, columns) kept."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.ReLU(),
            Depthwise(channels, kernel),
            nn.Conv2d(channels, channels, 1),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 1),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Same shape in and out."""
        return cast("Tensor", self.layers(x))


def _pointwise(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, channels, 1), nn.BatchNorm2d(channels))


class DualMultiResidual(nn.Module):
    """Two rounds of 3×3 and 5×5 side by side; 1×1 convolutions carry the residual of each; shape kept."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.ModuleList(ExpandSqueeze(channels, kernel) for kernel in (3, 5))
        self.middle = _pointwise(channels)
        self.second = nn.ModuleList(ExpandSqueeze(channels, kernel) for kernel in (3, 5))
        self.shortcut = _pointwise(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Same shape in and out; nothing below zero comes out."""
        once = self.first[0](x) + self.first[1](x)
        once = once + self.middle(once.relu())
        twice = self.second[0](once) + self.second[1](once) + self.shortcut(x)
        return cast("Tensor", twice.relu())


def _down(channels: int) -> nn.Conv2d:
    return nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1)


def _up(channels: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(channels, channels // 2, 3, stride=2, padding=1, output_padding=1)


class MiniNet(nn.Module):
    """Input (n, channels, rows, columns), both sides multiples of 4; output (n, classes, rows, columns), logits."""

    def __init__(self, *, channels: int = 1, classes: int = 1, width: int = 8) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        )
        self.encoders = nn.ModuleList(DualMultiResidual(width * factor) for factor in (1, 2, 4))
        self.downs = nn.ModuleList(_down(width * factor) for factor in (1, 2))
        self.skips = nn.ModuleList(_pointwise(width * factor) for factor in (1, 2))
        self.ups = nn.ModuleList(_up(width * factor) for factor in (2, 4))
        self.decoders = nn.ModuleList(DualMultiResidual(width * factor) for factor in (1, 2))
        self.head = nn.Sequential(
            nn.Conv2d(width, 2 * classes, 3, padding=1),
            nn.BatchNorm2d(2 * classes),
            nn.LeakyReLU(0.1),
            nn.Conv2d(2 * classes, classes, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """ValueError where a side is not a multiple of 4."""
        if x.shape[-2] % MULTIPLE or x.shape[-1] % MULTIPLE:
            raise ValueError(f"both sides must be multiples of {MULTIPLE}, not {tuple(x.shape[-2:])}")
        fine = self.encoders[0](self.stem(x))
        half = self.encoders[1](self.downs[0](fine))
        deep = self.encoders[2](self.downs[1](half))
        half = self.decoders[1](self.ups[1](deep) + self.skips[1](half))
        fine = self.decoders[0](self.ups[0](half) + self.skips[0](fine))
        return cast("Tensor", self.head(fine))
