"""Random change of slices while training, so that the model holds on scanners, protocols and poses it never saw."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from overread.imaging.intensity import IntensityRule, normaliser

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]


def augmented(
    image: F32,
    mask: U8,
    size: int,
    rule: IntensityRule,
    rng: np.random.Generator,
    strength: float = 1.0,
    renormalise: bool = True,
    strip: float = 0.3,
) -> tuple[F32, F32]:
    """Change one slice, normalised by ``rule``, and its mask (rows, columns); both come back ``size`` × ``size``.

    A slice with its neighbours has the shape (rows, columns, slices) and keeps it; the mask is the middle one's.

    ``strength`` is 1 for all that a scanner may do, less for slices that look more like the bundle's own; ``strip`` is
    how many slices lose their skull at strength 1. With ``renormalise`` such a slice is normalised anew, as a volume
    without skull would be.
    """
    clip = rule.clip
    image, area = _placed(image, mask, size, clip[0], rng, strength)
    if rng.random() < strip * strength:
        image, area = _stripped(image, area, clip[0], rng)
        if renormalise and (image > clip[0]).mean() > 0.05:
            inside = image > clip[0]
            image = np.where(inside, normaliser(rule, image)(image), np.float32(clip[0]))
    air = image <= clip[0] + 1e-3
    image = _regreyed(image, rng, strength)
    if rng.random() < 0.3 * strength:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.4, 1.5))), np.float32)
    image = image + rng.normal(0, rng.uniform(0, 0.12 * strength), image.shape).astype(np.float32)
    image[air] = rng.uniform(clip[0], -1)
    return np.clip(image, *clip), area


def without_tumour(image: U8, mask: U8) -> U8 | None:
    """A slice (rows, columns) whose sick half is the mirrored other half; None where the tumour crosses the middle.

    The middle is that of the head's outline. For bundles that have no slice without tumour.
    """
    head = image > image.mean()
    columns = np.flatnonzero(head.any(axis=0))
    if columns.size == 0:
        return None
    total = int(columns[0] + columns[-1])  # column x lies opposite of total - x
    sick = np.flatnonzero(mask.any(axis=0))
    left = bool(sick[-1] + 4 < total / 2)
    if not left and not sick[0] - 4 > total / 2:
        return None
    across = np.arange(image.shape[1])
    opposite = np.clip(total - across, 0, image.shape[1] - 1)
    replaced = across < total / 2 if left else across > total / 2
    return np.where(replaced, image[:, opposite], image)


def _placed(image: F32, mask: U8, size: int, fill: float, rng: np.random.Generator, strength: float) -> tuple[F32, F32]:
    """Turn, scale (pixels are 0.7 to 1.3 of their size), stretch, mirror and bend, then crop at random."""
    rows, columns = mask.shape
    angle = np.radians(rng.normal(0, 12 * strength))
    scale = np.exp(strength * rng.uniform(np.log(0.75), np.log(1.3)))
    stretch = np.exp(rng.normal(0, 0.05 * strength, 2)) / scale
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    mirror = np.diag([-1.0 if rng.random() < 0.5 else 1.0, 1.0])
    linear = turn @ mirror @ np.diag(stretch)
    room = max(rows, columns) - size
    centre = np.array([(columns - 1) / 2, (rows - 1) / 2]) + rng.uniform(-0.5, 0.5, 2) * (room + 16)
    x, y = np.meshgrid(np.arange(size, dtype=np.float32), np.arange(size, dtype=np.float32))
    offset = (size - 1) / 2
    source_x = linear[0, 0] * (x - offset) + linear[0, 1] * (y - offset) + centre[0]
    source_y = linear[1, 0] * (x - offset) + linear[1, 1] * (y - offset) + centre[1]
    if rng.random() < 0.5:
        bend = rng.normal(0, 4 * strength, (2, 5, 5)).astype(np.float32)
        source_x = source_x + cv2.resize(bend[0], (size, size), interpolation=cv2.INTER_CUBIC)
        source_y = source_y + cv2.resize(bend[1], (size, size), interpolation=cv2.INTER_CUBIC)
    maps = source_x.astype(np.float32), source_y.astype(np.float32)
    edge = (fill,) * 4
    moved = cv2.remap(image, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=edge)
    area = cv2.remap(mask.astype(np.float32), *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
    return np.asarray(moved, np.float32), (area >= 0.5).astype(np.float32)


def _stripped(image: F32, area: F32, fill: float, rng: np.random.Generator) -> tuple[F32, F32]:
    """Take scalp and skull away, roughly, as many preprocessed studies come."""
    # air lies below, and the head's median is 0
    middle = image if image.ndim == 2 else image[..., image.shape[2] // 2]
    edges, _ = cv2.findContours((middle > -0.45).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    head = np.zeros((area.shape[0] + 2, area.shape[1] + 2), np.uint8)
    if edges:
        cv2.drawContours(head, [max(edges, key=cv2.contourArea)], -1, 1, cv2.FILLED, offset=(1, 1))
    depth = cv2.distanceTransform(head, cv2.DIST_L2, 3)[1:-1, 1:-1]
    kept = depth > rng.uniform(9, 17)
    everywhere = kept if image.ndim == 2 else kept[..., None]
    return np.where(everywhere, image, np.float32(fill)), np.where(kept, area, np.float32(0))


def _regreyed(image: F32, rng: np.random.Generator, strength: float) -> F32:
    """Another contrast: a random monotone curve, brightness, and the slow shading of a coil."""
    rows, columns = image.shape[:2]
    knots = np.linspace(-3, 6, 7)
    rises = np.exp(rng.normal(0, 0.35 * strength, len(knots) - 1))
    curve = np.concatenate([[0], np.cumsum(rises)])
    curve = knots[0] + (curve - np.interp(0, knots, curve)) * 9 / curve[-1] - knots[0]
    image = np.interp(image, knots, curve).astype(np.float32)
    image = image * np.float32(np.exp(rng.normal(0, 0.2 * strength))) + np.float32(rng.normal(0, 0.2 * strength))
    bumps = rng.normal(0, 0.3 * strength, (3, 3)).astype(np.float32)
    shade = cv2.resize(bumps, (columns, rows), interpolation=cv2.INTER_CUBIC)
    return np.asarray(image + (shade if image.ndim == 2 else shade[..., None]), np.float32)
