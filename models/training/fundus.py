"""Fundus photographs: what is retina in one, patches of it changed at random, and the contrast that the net sees."""

from __future__ import annotations

from typing import cast

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor, nn
from torch.nn import functional

U8 = NDArray[np.uint8]
F32 = NDArray[np.float32]

# Red is bright all over the retina and black around it.
_DARK = 25
_POOL = 8


def field_of_view(image: U8) -> NDArray[np.bool_]:
    """Where a photograph (rows, columns, 3) shows retina: its largest part that is not black, holes filled."""
    parts, count = ndimage.label(image[..., 0] > _DARK)
    if not count:
        return np.zeros(image.shape[:2], bool)
    sizes = np.bincount(parts.ravel())[1:]
    return np.asarray(ndimage.binary_fill_holes(parts == 1 + int(sizes.argmax())), bool)


def patch(image: U8, mask: U8, size: int, rng: np.random.Generator) -> tuple[F32, F32]:
    """A random patch of a photograph (rows, columns, 3) and its mask (rows, columns): both ``size`` × ``size``.

    Turned by any angle, mirrored, at 0.8 to 1.25 of its scale, and with another brightness, contrast and gamma in each
    colour. The image comes back from 0 to 1, the mask as 0 or 1.
    """
    rows, columns = mask.shape
    # the retina is a disc that fills the picture; nothing is to be learnt beyond it
    away, angle = 0.47 * min(rows, columns) * np.sqrt(rng.random()), rng.uniform(0, 2 * np.pi)
    centre = (columns - 1) / 2 + away * np.cos(angle), (rows - 1) / 2 + away * np.sin(angle)
    turn, scale = rng.uniform(0, 2 * np.pi), np.exp(rng.uniform(np.log(0.8), np.log(1.25)))
    mirror = -1.0 if rng.random() < 0.5 else 1.0
    linear = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ np.diag([mirror, 1.0]) / scale
    shift = np.array(centre) - linear @ np.full(2, (size - 1) / 2)
    where, flags = np.column_stack([linear, shift]), cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    seen = cv2.warpAffine(image, where, (size, size), flags=flags).astype(np.float32) / 255
    area = cv2.warpAffine(mask * np.uint8(255), where, (size, size), flags=flags) >= 128
    gamma, gain, lift = np.exp(rng.normal(0, 0.2, 3)), np.exp(rng.normal(0, 0.2, 3)), rng.normal(0, 0.03, 3)
    seen = seen ** gamma.astype(np.float32) * gain.astype(np.float32) + lift.astype(np.float32)
    seen += rng.normal(0, rng.uniform(0, 0.01), seen.shape).astype(np.float32)
    return np.clip(seen, 0, 1), area.astype(np.float32)


def drawn(size: tuple[int, int], rng: np.random.Generator) -> U8:
    """A made-up fundus of ``size`` (rows, columns): a reddish disc, shaded and noisy, with dark winding lines; RGB.

    It fills a quarter of the picture, so that a file with it and the answer to it stays small.
    """
    rows, columns = size
    y, x = np.mgrid[:rows, :columns].astype(np.float32)
    radius = np.hypot(y - rows / 2, x - columns / 2) / (0.25 * min(rows, columns))
    picture = np.zeros((rows, columns, 3), np.uint8)
    for _ in range(24):
        steps = np.cumsum(np.cumsum(rng.normal(0, 0.12, 60)))
        heading = rng.uniform(0, 2 * np.pi) + 0.1 * steps
        way = np.cumsum(np.stack([np.cos(heading), np.sin(heading)], axis=1), axis=0) * min(rows, columns) / 120
        points = np.rint(way + np.array((columns / 2, rows / 2))).astype(np.int32)
        cv2.polylines(picture, [points], False, (40, 30, 10), int(rng.integers(1, 9)), cv2.LINE_AA)
    ground = (1.0 - 0.35 * radius[..., None]) * np.array((190.0, 95.0, 40.0), np.float32)
    ground = ground + rng.normal(0, 4, (rows, columns, 1)).astype(np.float32)
    return np.where(radius[..., None] < 1, np.clip(ground - picture, 0, 255), 0).astype(np.uint8)


class LocalContrast(nn.Module):
    """Green less its mean around each pixel, over its mean absolute deviation there; nothing of it is learnt.

    Input (n, 3, rows, columns), red, green and blue from 0 to 1, both sides multiples of 8; output (n, 1, rows,
    columns). The surroundings are ``2 reach + 1`` squares of 8 pixels wide, and only what is retina in them counts, or
    vessels would fade towards the edge of the field of view. What is flat stays near 0, and what is not retina is 0.
    """

    def __init__(self, reach: int = 3) -> None:
        super().__init__()
        self.reach = reach

    def forward(self, image: Tensor) -> Tensor:
        """It is computed in single precision: half of it would drown thin vessels."""
        with torch.autocast(image.device.type, enabled=False):
            red, green = image[:, :1].float(), image[:, 1:2].float()
            retina = (red > _DARK / 255).float()
            share = self._around(retina) + 1e-3
            away = (green - self._around(green * retina) / share) * retina
            return away / (self._around(away.abs()) / share + 0.01)

    def _around(self, x: Tensor) -> Tensor:
        coarse = functional.avg_pool2d(x, _POOL)
        wide = functional.avg_pool2d(coarse, 2 * self.reach + 1, 1, self.reach, count_include_pad=False)
        return functional.interpolate(wide, scale_factor=float(_POOL), mode="bilinear", align_corners=False)


class Fundus(nn.Module):
    """A net of one channel for photographs: their green channel, where vessels are darkest, at local contrast.

    Input (n, 3, rows, columns), red, green and blue from 0 to 1, of any size; output (n, 1, rows, columns), logits.
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.contrast = LocalContrast()
        self.net = net

    def forward(self, image: Tensor) -> Tensor:
        """The picture is widened to multiples of 8 by repeating its last row and column; the answer is cut again."""
        rows, columns = int(image.shape[-2]), int(image.shape[-1])
        for axis, size in ((2, rows), (3, columns)):
            # not `pad`: the exporter warns of the way in which it states the widths
            places = torch.arange(size + -size % _POOL, device=image.device).clamp(max=size - 1)
            image = image.index_select(axis, places)
        return cast("Tensor", self.net(self.contrast(image))[..., :rows, :columns])
