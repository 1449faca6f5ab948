"""CMUNeXt: a U-shaped net of large depthwise kernels and inverted bottlenecks.

Tang et al., "CMUNeXt: An Efficient Medical Image Segmentation Network Based on Large Kernel and Skip Fusion",
ISBI 2024. What is ours: Hardswish instead of GELU (one ONNX node, and cheaper), and the `stride` of the stem. With
stride 2 the whole net works at half the resolution and its last layer gives 2×2 pixels at a time (pixel shuffle,
Shi et al. 2016), which costs a quarter and still draws every pixel.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

LEVELS = 5


def _norm(channels: int) -> list[nn.Module]:
    return [nn.Hardswish(), nn.BatchNorm2d(channels)]


def _conv_block(channels: int, out: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, out, 3, stride=stride, padding=1, bias=False), nn.BatchNorm2d(out), nn.Hardswish()
    )


class Residual(nn.Module):
    """A module whose input is added to what it gives."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        """Same shape in and out."""
        return cast("Tensor", self.inner(x)) + x


def _encoder(channels: int, out: int, depth: int, kernel: int) -> nn.Sequential:
    """`depth` blocks (depthwise k×k with residual, ×4 expansion and back), then 3×3 to the level's channels."""
    blocks: list[nn.Module] = []
    for _ in range(depth):
        depthwise = nn.Conv2d(channels, channels, kernel, padding=kernel // 2, groups=channels)
        blocks += [
            Residual(nn.Sequential(depthwise, *_norm(channels))),
            nn.Conv2d(channels, 4 * channels, 1),
            *_norm(4 * channels),
            nn.Conv2d(4 * channels, channels, 1),
            *_norm(channels),
        ]
    return nn.Sequential(*blocks, _conv_block(channels, out))


def _up(channels: int, out: int) -> nn.Sequential:
    return nn.Sequential(nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False), _conv_block(channels, out))


def _fusion(channels: int) -> nn.Sequential:
    """Skip fusion: both halves apart (two groups), then mixed through a ×4 bottleneck."""
    both = 2 * channels
    return nn.Sequential(
        nn.Conv2d(both, both, 3, padding=1, groups=2),
        *_norm(both),
        nn.Conv2d(both, 4 * channels, 1),
        *_norm(4 * channels),
        nn.Conv2d(4 * channels, channels, 1),
        *_norm(channels),
    )


class CMUNeXt(nn.Module):
    """Input (n, channels, rows, columns), both sides multiples of 16 × stride; output (n, classes, rows, columns).

    The output are logits. ``dims``, ``depths`` and ``kernels`` have one entry for each of the five levels.
    """

    def __init__(
        self,
        dims: Sequence[int],
        depths: Sequence[int],
        kernels: Sequence[int],
        *,
        channels: int = 1,
        classes: int = 1,
        stride: int = 1,
    ) -> None:
        super().__init__()
        if not len(dims) == len(depths) == len(kernels) == LEVELS:
            raise ValueError(f"dims, depths and kernels need {LEVELS} entries each")
        self.multiple = stride * 2 ** (LEVELS - 1)
        self.stem = _conv_block(channels, dims[0], stride)
        before = [dims[0], *dims[:-1]]
        self.encoders = nn.ModuleList(
            _encoder(a, b, depth, kernel) for a, b, depth, kernel in zip(before, dims, depths, kernels, strict=True)
        )
        self.ups = nn.ModuleList(_up(deep, flat) for flat, deep in pairwise(dims))
        self.fusions = nn.ModuleList(_fusion(channels) for channels in dims[:-1])
        self.head = nn.Sequential(nn.Conv2d(dims[0], classes * stride**2, 1), nn.PixelShuffle(stride))

    def forward(self, x: Tensor) -> Tensor:
        """ValueError where the sides do not divide."""
        if x.shape[-2] % self.multiple or x.shape[-1] % self.multiple:
            raise ValueError(f"both sides must be multiples of {self.multiple}, not {tuple(x.shape[-2:])}")
        x = self.stem(x)
        skips: list[Tensor] = []
        for level, encoder in enumerate(self.encoders):
            x = encoder(functional.max_pool2d(x, 2) if level else x)
            skips.append(x)
        for level in reversed(range(LEVELS - 1)):
            x = self.fusions[level](torch.cat([skips[level], self.ups[level](x)], dim=1))
        return cast("Tensor", self.head(x))
