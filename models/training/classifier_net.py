"""A small residual net that tells what an image shows, and where it saw it.

Residual blocks of two 3×3 convolutions (He et al., CVPR 2016), each level at half the resolution of the one before,
then a global average and a linear layer. The linear layer stands before the average, as a 1×1 convolution: both are
linear, the answer is the same, and what the convolution gives is the class activation map (Zhou et al., CVPR 2016).

With features f_k of h × w pixels, weights w_ck and offsets b_c the answer is

    y_c = b_c + Σ_k w_ck · 1/(h·w) · Σ_ij f_k(i, j) = b_c + 1/(h·w) · Σ_ij M_c(i, j),   M_c(i, j) = Σ_k w_ck f_k(i, j)

where M_c is the activation map. Grad-CAM (Selvaraju et al., ICCV 2017) weighs the same features by the mean gradient
α_ck = 1/(h·w) · Σ_ij ∂y_c/∂f_k(i, j), and as ∂y_c/∂f_k(i, j) = w_ck/(h·w) everywhere, α_ck = w_ck/(h·w). Its map before
the rectifier is therefore M_c/(h·w): the same map up to a positive constant, which goes where a map is shown by its
greatest value. That the gradient is the same everywhere makes HiResCAM (Draelos & Carin 2020), which does not average
it, the same map too. Of a single class, the opposite has the logit −y_c, and with it the map −M_c.

All of it stays linear where the image and its mirror image are read (`Explained`): y is then the mean of both answers,
and M of both maps, the second mirrored back. A temperature divides y and M alike. `grad_cam` says how this is checked
against pytorch-grad-cam.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional


def _conv(channels: int, out: int, kernel: int = 3, stride: int = 1) -> list[nn.Module]:
    return [
        nn.Conv2d(channels, out, kernel, stride=stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(out),
    ]


class Block(nn.Module):
    """Two 3×3 convolutions, to which their input is added. Same shape in and out."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(*_conv(channels, channels), nn.ReLU(), *_conv(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, rows, columns) in and out."""
        return functional.relu(self.inner(x) + x)


class Classifier(nn.Module):
    """Input (n, channels, rows, columns), both sides multiples of ``multiple``; output (n, classes), logits.

    ``dims`` and ``depths`` say how wide each level is and how many blocks it has; the first level works at 1/``stride``
    of the resolution (2 or 4), each further one at half of that before. ``dropout`` is the share of features left out
    while training. ValueError where dims and depths differ in length, or for another stride.
    """

    def __init__(
        self,
        dims: Sequence[int],
        depths: Sequence[int],
        *,
        channels: int = 1,
        classes: int = 1,
        stem: int = 16,
        stride: int = 4,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if len(dims) != len(depths) or not dims:
            raise ValueError("dims and depths need one entry for each level")
        if stride not in (2, 4):
            raise ValueError(f"the stride is 2 or 4, not {stride}")
        self.multiple = stride * 2 ** (len(dims) - 1)
        layers: list[nn.Module] = [*_conv(channels, stem, 5, 2), nn.ReLU()]
        layers += [*_conv(stem, dims[0], 3, stride // 2), nn.ReLU()]
        layers += [Block(dims[0]) for _ in range(depths[0])]
        for (before, width), depth in zip(pairwise(dims), depths[1:], strict=True):
            layers += [*_conv(before, width, 3, 2), nn.ReLU(), *(Block(width) for _ in range(depth))]
        self.features = nn.Sequential(*layers)
        self.dropout = nn.Dropout2d(dropout)
        self.head = nn.Conv2d(dims[-1], classes, 1, bias=False)
        self.offset = nn.Parameter(torch.zeros(classes))

    def activation(self, x: Tensor) -> Tensor:
        """The class activation maps, (n, classes, rows, columns) / multiple. ValueError where the sides do not fit."""
        if x.shape[-2] % self.multiple or x.shape[-1] % self.multiple:
            raise ValueError(f"both sides must be multiples of {self.multiple}, not {tuple(x.shape[-2:])}")
        return cast("Tensor", self.head(self.dropout(self.features(x))))

    def logits(self, activation: Tensor) -> Tensor:
        """What the maps say together: (n, classes)."""
        return activation.mean(dim=(2, 3)) + self.offset

    def forward(self, x: Tensor) -> Tensor:
        """ValueError where the sides do not fit."""
        return self.logits(self.activation(x))


class Explained(nn.Module):
    """A trained classifier as it is shipped: calibrated probabilities (n, classes) and their maps (n, classes, h, w).

    The image and its mirror image are read and their maps averaged; the logit stays the mean of the map plus the
    offset, so that the map still explains all of it. Logits and maps are divided by the ``temperature`` (Guo et al.,
    ICML 2017).
    """

    def __init__(self, net: Classifier, temperature: float = 1.0) -> None:
        super().__init__()
        self.net = net
        self.temperature = temperature

    def read(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (n, classes) and maps, before the temperature; input (n, channels, rows, columns)."""
        mirrored = torch.flip(self.net.activation(torch.flip(x, dims=[3])), dims=[3])
        activation = (self.net.activation(x) + mirrored) / 2
        return self.net.logits(activation), activation

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Input (n, channels, rows, columns)."""
        logits, activation = self.read(x)
        return torch.sigmoid(logits / self.temperature), activation / self.temperature
