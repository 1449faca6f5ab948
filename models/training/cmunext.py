"""CMUNeXt: a U-shaped net of large depthwise kernels and inverted bottlenecks.

Tang et al., "CMUNeXt: An Efficient Medical Image Segmentation Network Based on Large Kernel and Skip Fusion",
ISBI 2024 (L, base and S); Carvalho & Véstias (XXS, where the skip fusion adds instead of concatenating). What is ours:
Hardswish instead of GELU (one ONNX node, and cheaper), and the `stride` of the stem. With stride 2 the whole net works
at half the resolution and its last layer gives 2×2 pixels at a time (pixel shuffle, Shi et al. 2016), which costs a
quarter and still draws every pixel.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

LEVELS = 5
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"hardswish": nn.Hardswish, "relu": nn.ReLU}

Activation = Literal["hardswish", "relu"]
Fusion = Literal["concat", "sum"]


def _norm(channels: int, activation: Activation) -> list[nn.Module]:
    return [ACTIVATIONS[activation](), nn.BatchNorm2d(channels)]


def _conv_block(channels: int, out: int, activation: Activation, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, out, 3, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(out),
        ACTIVATIONS[activation](),
    )


class Residual(nn.Module):
    """A module whose input is added to what it gives."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        """Same shape in and out."""
        return cast("Tensor", self.inner(x)) + x


def _encoder(channels: int, out: int, depth: int, kernel: int, activation: Activation) -> nn.Sequential:
    """`depth` blocks (depthwise k×k with residual, ×4 expansion and back), then 3×3 to the level's channels."""
    blocks: list[nn.Module] = []
    for _ in range(depth):
        depthwise = nn.Conv2d(channels, channels, kernel, padding=kernel // 2, groups=channels)
        blocks += [
            Residual(nn.Sequential(depthwise, *_norm(channels, activation))),
            nn.Conv2d(channels, 4 * channels, 1),
            *_norm(4 * channels, activation),
            nn.Conv2d(4 * channels, channels, 1),
            *_norm(channels, activation),
        ]
    return nn.Sequential(*blocks, _conv_block(channels, out, activation))


def _up(channels: int, out: int, activation: Activation) -> nn.Sequential:
    upsample = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)
    return nn.Sequential(upsample, _conv_block(channels, out, activation))


def _fusion(channels: int, fusion: Fusion, activation: Activation) -> nn.Sequential:
    """Skip fusion: a convolution in two groups, then mixed through a ×4 bottleneck.

    With "concat" the groups are what came across and what came up, 2 × `channels` in all; with "sum" both were added.
    """
    inner = 2 * channels if fusion == "concat" else channels
    return nn.Sequential(
        nn.Conv2d(inner, inner, 3, padding=1, groups=2),
        *_norm(inner, activation),
        nn.Conv2d(inner, 4 * channels, 1),
        *_norm(4 * channels, activation),
        nn.Conv2d(4 * channels, channels, 1),
        *_norm(channels, activation),
    )


class CMUNeXt(nn.Module):
    """Input (n, channels, rows, columns), both sides multiples of 16 × stride; output (n, classes, rows, columns).

    The output are logits. ``dims``, ``depths`` and ``kernels`` have one entry for each of the five levels; with
    ``fusion="sum"`` every entry of ``dims`` but the last is even. ValueError for lengths, fusions or activations that
    there are not.
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
        fusion: Fusion = "concat",
        activation: Activation = "hardswish",
    ) -> None:
        super().__init__()
        if not len(dims) == len(depths) == len(kernels) == LEVELS:
            raise ValueError(f"dims, depths and kernels need {LEVELS} entries each")
        if fusion not in ("concat", "sum"):
            raise ValueError(f"fusion is concat or sum, not {fusion}")
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation is one of {', '.join(ACTIVATIONS)}, not {activation}")
        self.dims = tuple(dims)
        self.stride = stride
        self.fusion = fusion
        self.multiple = stride * 2 ** (LEVELS - 1)
        self.stem = _conv_block(channels, dims[0], activation, stride)
        before = [dims[0], *dims[:-1]]
        self.encoders = nn.ModuleList(
            _encoder(a, b, depth, kernel, activation)
            for a, b, depth, kernel in zip(before, dims, depths, kernels, strict=True)
        )
        self.ups = nn.ModuleList(_up(deep, flat, activation) for flat, deep in pairwise(dims))
        self.fusions = nn.ModuleList(_fusion(width, fusion, activation) for width in dims[:-1])
        self.head = nn.Sequential(nn.Conv2d(dims[0], classes * stride**2, 1), nn.PixelShuffle(stride))

    def encode(self, x: Tensor) -> list[Tensor]:
        """The encoder's five levels, finest first: level m is (n, dims[m], rows, columns) / (stride × 2^m).

        ValueError where the sides do not divide.
        """
        if x.shape[-2] % self.multiple or x.shape[-1] % self.multiple:
            raise ValueError(f"both sides must be multiples of {self.multiple}, not {tuple(x.shape[-2:])}")
        x = self.stem(x)
        levels: list[Tensor] = []
        for level, encoder in enumerate(self.encoders):
            x = encoder(functional.max_pool2d(x, 2) if level else x)
            levels.append(x)
        return levels

    def decode(self, levels: Sequence[Tensor], to: int = 0) -> Tensor:
        """From the encoder's levels up to level ``to``: (n, dims[to], rows, columns) / (stride × 2^to)."""
        x = levels[-1]
        for level in reversed(range(to, LEVELS - 1)):
            up = self.ups[level](x)
            both = torch.cat([levels[level], up], dim=1) if self.fusion == "concat" else levels[level] + up
            x = self.fusions[level](both)
        return x

    def forward(self, x: Tensor) -> Tensor:
        """ValueError where the sides do not divide."""
        return cast("Tensor", self.head(self.decode(self.encode(x))))
