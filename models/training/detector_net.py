"""A small anchor-free detector: every object is the peak of a heat map, with a size and an offset beside it.

Zhou, Wang, Krähenbühl, "Objects as Points" (CenterNet), arXiv 1904.07850, on the encoder of a CMUNeXt, whose decoder
goes no further than a quarter of the resolution. What is ours: size and offset pass through softplus and sigmoid, so
that no box is turned inside out; one class only; and the spread of a target's peak (see `targets`).

Boxes are row0, column0, row1, column1 in pixels of the input, half open: pixel p covers p to p + 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.training.cmunext import CMUNeXt, Fusion

STRIDE = 4
PEAKS = 100
# The heat that a new net gives everywhere, so that the first steps are not lost on the background (Lin et al. 2017).
PRIOR = 0.1
# Under every logit, and still a number in half precision.
LOWEST = -6e4


class Detector(nn.Module):
    """Input (n, channels, rows, columns), both sides multiples of 16 × stride; output (n, 5, rows / 4, columns / 4).

    The maps are raw: the heat's logit, then row and column size and row and column offset as `geometry` reads them.
    ``stride`` of the stem is 1 or 2; ValueError for another.
    """

    def __init__(
        self,
        *,
        channels: int = 1,
        dims: Sequence[int] = (16, 24, 40, 64, 96),
        depths: Sequence[int] = (1, 1, 2, 3, 1),
        kernels: Sequence[int] = (3, 3, 7, 7, 9),
        stride: int = 2,
        fusion: Fusion = "concat",
        width: int = 32,
    ) -> None:
        super().__init__()
        if stride not in (1, 2):
            raise ValueError(f"the stem's stride is 1 or 2, not {stride}")
        self.level = 2 if stride == 1 else 1
        self.body = CMUNeXt(dims, depths, kernels, channels=channels, stride=stride, fusion=fusion)
        # What leads from a quarter of the resolution back to the whole is not used: it shall not count or be saved.
        self.body.head = nn.Sequential()
        for level in range(self.level):
            self.body.ups[level] = nn.Identity()
            self.body.fusions[level] = nn.Identity()
        self.head = nn.Sequential(
            nn.Conv2d(dims[self.level], width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.Hardswish(),
            nn.Conv2d(width, 5, 1),
        )
        last = cast("nn.Conv2d", self.head[-1])
        nn.init.normal_(last.weight, std=0.01)
        nn.init.zeros_(cast("Tensor", last.bias))
        with torch.no_grad():
            cast("Tensor", last.bias)[0] = torch.logit(torch.tensor(PRIOR))

    def forward(self, x: Tensor) -> Tensor:
        """ValueError where the sides do not divide."""
        return cast("Tensor", self.head(self.body.decode(self.body.encode(x), self.level)))


class Boxes(nn.Module):
    """A detector and `decode` in one graph: (n, channels, rows, columns) to (n, count, 5)."""

    def __init__(self, detector: nn.Module, count: int = PEAKS) -> None:
        super().__init__()
        self.detector = detector
        self.count = count

    def forward(self, x: Tensor) -> Tensor:
        """As `decode`."""
        return decode(self.detector(x), self.count)


def geometry(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Size (n, 2, h, w) and offset from the cell's corner (n, 2, h, w), both in cells, from raw maps (n, 5, h, w)."""
    return functional.softplus(maps[:, 1:3]), maps[:, 3:5].sigmoid()


def decode(maps: Tensor, count: int = PEAKS) -> Tensor:
    """The ``count`` hottest peaks of raw maps (n, 5, h, w) as (n, count, 5): box and score, best first.

    A peak is a cell that none of its eight neighbours exceeds (Zhou et al., section 5). Where there are fewer peaks
    the rest is zero. Boxes end at the image's border. ``count`` may not exceed h × w.
    """
    # Compared and ranked by the logit: its sigmoid makes all that is certain equal.
    logit = maps[:, :1]
    peak = functional.max_pool2d(logit, 3, stride=1, padding=1) == logit
    score = logit.sigmoid() * peak
    size, offset = geometry(maps)
    high, wide = maps.shape[-2:]
    rows = torch.arange(high, dtype=maps.dtype, device=maps.device).view(1, 1, high, 1).expand(1, 1, high, wide)
    columns = torch.arange(wide, dtype=maps.dtype, device=maps.device).view(1, 1, 1, wide).expand(1, 1, high, wide)
    centre = torch.cat([rows, columns], dim=1) + offset
    low, up = centre - size / 2, centre + size / 2
    corners = [low[:, :1].clamp(0, high), low[:, 1:].clamp(0, wide), up[:, :1].clamp(0, high), up[:, 1:].clamp(0, wide)]
    # Flat and gathered by value: which of the cells without a peak come along then makes no difference.
    table = torch.cat([*(corner * STRIDE * peak for corner in corners), score], dim=1).flatten(2)
    _, best = torch.where(peak, logit, torch.full_like(logit, LOWEST)).flatten(1).topk(count, dim=1)
    return table.gather(2, best.unsqueeze(1).expand(-1, 5, -1)).transpose(1, 2)


def targets(boxes: Sequence[Tensor], rows: int, columns: int) -> Tensor:
    """What the maps should say of each image's boxes (m, 4): (n, 5, rows / 4, columns / 4).

    First the heat, 1 in the cell of each centre with a Gaussian around it whose spread is a sixth of the box, but half
    a cell at least (as in TTFNet, Liu et al. 2020; the floor is for small objects); then size and offset in cells,
    zero where no centre is. Where two centres share a cell the later box is kept.
    """
    high, wide = rows // STRIDE, columns // STRIDE
    maps = torch.zeros(len(boxes), 5, high, wide)
    for image, found in zip(maps, boxes, strict=True):
        for row0, column0, row1, column1 in (found / STRIDE).tolist():
            size = torch.tensor([row1 - row0, column1 - column0])
            centre = torch.tensor([(row0 + row1) / 2, (column0 + column1) / 2])
            cell = centre.floor().long().clamp(torch.tensor(0), torch.tensor([high - 1, wide - 1]))
            spread = (size / 6).clamp(min=0.5)
            down = torch.exp(-((torch.arange(high) - cell[0]) ** 2) / (2 * spread[0] ** 2))
            across = torch.exp(-((torch.arange(wide) - cell[1]) ** 2) / (2 * spread[1] ** 2))
            image[0] = torch.maximum(image[0], down[:, None] * across[None, :])
            image[1:3, cell[0], cell[1]] = size
            image[3:5, cell[0], cell[1]] = centre - cell
    return maps


def loss(maps: Tensor, wanted: Tensor, counts: Tensor | None = None, sized: Tensor | None = None) -> Tensor:
    """Zhou et al., equation 4: focal loss of the heat, plus 0.1 × L1 of the sizes, plus L1 of the offsets.

    ``maps`` are raw, ``wanted`` comes from `targets`; both (n, 5, h, w). Sums are divided by the number of centres, or
    by one where there are none. ``counts`` (n, h, w) weighs the heat of each cell: 0 where nobody knows what is there.
    ``sized`` (n,) is 0 for images whose objects have a place but no known size: their sizes do not count.
    """
    # In the logit, where neither logarithm can overflow.
    heat, logit = maps[:, 0].sigmoid(), maps[:, 0]
    centre = wanted[:, 0] == 1
    found = (1 - heat) ** 2 * functional.logsigmoid(logit)
    nothing = (1 - wanted[:, 0]) ** 4 * heat**2 * functional.logsigmoid(-logit)
    each = torch.where(centre, found, nothing)
    focal = -(each if counts is None else each * counts).sum()
    size, offset = geometry(maps)
    there = centre.unsqueeze(1)
    known = there if sized is None else there * sized.view(-1, 1, 1, 1)
    sizes = ((size - wanted[:, 1:3]).abs() * known).sum()
    offsets = ((offset - wanted[:, 3:5]).abs() * there).sum()
    return (focal + 0.1 * sizes + offsets) / centre.sum().clamp(min=1)
