"""Margins in millimetres, and smoothing."""

from __future__ import annotations

from enum import StrEnum

import cv2
import numpy as np
from numpy.typing import NDArray

from overread.domain.finding import Bools, Mask
from overread.domain.geometry import Grid
from overread.imaging.editing.boxes import Progress, around, crop, placed, reach, require_straight, silent

# Centres at the very distance asked for belong to the margin, whatever the rounding.
_EDGE = 1.0 + 1e-9


class Smoothing(StrEnum):
    """How an outline is made smoother."""

    GAUSSIAN = "Gaussian"
    MEDIAN = "median"
    OPENING = "opening"
    CLOSING = "closing"


def margin(mask: Mask, grid: Grid, mm: float, progress: Progress = silent) -> Mask:
    """A mask grown, or shrunk where `mm` is negative, by a distance between voxel centres.

    Grown, it holds every voxel within `mm` of one of its own; shrunk, it loses every voxel within `-mm` of one that it
    does not hold. What lies beyond the image counts as neither. UserError where millimetres do not hold.
    """
    require_straight(grid)
    if not mask or mm == 0:
        return mask
    if mm > 0:
        box = around((mask,), mask.shape, reach(grid, mm))
        return placed(_near(crop(mask, box), grid, mm, progress), box, mask.shape)
    box = around((mask,), mask.shape, (1, 1, 1))  # of voxels outside a box, the nearest one touches it
    inside = crop(mask, box)
    return placed(inside & ~_near(~inside, grid, -mm, progress), box, mask.shape)


def _near(held: Bools, grid: Grid, mm: float, progress: Progress) -> Bools:
    """Which voxels lie within `mm` of one that is held; exact, a slice at a time.

    The squared distance is the least, over the slices, of the squared distance within the slice (Euclidean distance
    transform, scipy) and that between the slices: nothing of the size of the volume is kept but the answer.
    """
    from scipy import ndimage  # a slow import, wanted with the first margin and not at start-up

    step, *flat = grid.spacing
    near, limit = np.zeros_like(held), mm * mm * _EDGE
    span = int(mm * np.sqrt(_EDGE) / step)
    for k in range(len(held)):
        progress(k / len(held))
        if not held[k].any():
            continue
        squared = np.square(ndimage.distance_transform_edt(~held[k], sampling=flat))
        for other in range(max(0, k - span), min(len(held), k + span + 1)):
            near[other] |= squared <= limit - ((other - k) * step) ** 2
    return near


def smooth(mask: Mask, grid: Grid, how: Smoothing, mm: float, progress: Progress = silent) -> Mask:
    """A mask with a smoother surface.

    GAUSSIAN: half or more of its indicator blurred with a standard deviation of `mm`. MEDIAN: what the majority of
    voxels within `mm` says. OPENING takes away what a ball of radius `mm` does not fit into, CLOSING fills what it does
    not fit into outside. UserError where millimetres do not hold.
    """
    require_straight(grid)
    if not mask or mm <= 0:
        return mask

    def halves(start: float) -> Progress:
        return lambda fraction: progress(start + fraction / 2)

    if how is Smoothing.OPENING:
        return margin(margin(mask, grid, -mm, halves(0)), grid, mm, halves(0.5))
    if how is Smoothing.CLOSING:
        return margin(margin(mask, grid, mm, halves(0)), grid, -mm, halves(0.5))
    wide = mm * (3 if how is Smoothing.GAUSSIAN else 1)
    box = around((mask,), mask.shape, reach(grid, wide))
    inside = crop(mask, box)
    smoothed = _blurred(inside, grid, mm, progress) if how is Smoothing.GAUSSIAN else _voted(inside, grid, mm, progress)
    return placed(smoothed, box, mask.shape)


def _blurred(inside: Bools, grid: Grid, mm: float, progress: Progress) -> Bools:
    """Where a Gaussian of that standard deviation leaves a half or more; the image goes on beyond its edge."""
    from scipy import ndimage  # a slow import, wanted with the first smoothing

    sigma = [mm / spacing for spacing in grid.spacing]
    values = np.empty(inside.shape, np.float32)
    for k, pixels in enumerate(inside):
        progress(0.5 * k / len(inside))
        values[k] = ndimage.gaussian_filter(pixels.astype(np.float32), sigma[1:], mode="nearest", truncate=3.0)
    for j in range(inside.shape[1]):
        progress(0.5 + 0.5 * j / inside.shape[1])
        values[:, j] = ndimage.gaussian_filter1d(values[:, j], sigma[0], axis=0, mode="nearest", truncate=3.0)
    # Rounded: on a flat face the half is a half, not a little less.
    return np.asarray(np.round(values, 5) >= 0.5)


def _voted(inside: Bools, grid: Grid, mm: float, progress: Progress) -> Bools:
    """What most of the voxels within `mm` say; where they are equally many, it stays as it is."""
    discs = _ball(grid, mm)
    middle, most = len(discs) // 2, len(inside) - 1
    total = sum(int(disc.sum()) for disc in discs)
    voted = np.empty_like(inside)
    for k in range(len(inside)):
        progress(k / len(inside))
        counts = np.zeros(inside.shape[1:], np.float32)
        for n, disc in enumerate(discs):
            pixels = inside[min(max(k + n - middle, 0), most)].astype(np.float32)
            counts += np.rint(cv2.filter2D(pixels, cv2.CV_32F, disc, borderType=cv2.BORDER_REPLICATE))
        voted[k] = np.where(2 * counts == total, inside[k], 2 * counts > total)
    return voted


def _ball(grid: Grid, mm: float) -> list[NDArray[np.float32]]:
    """The voxels within `mm` of one, a slice at a time, 1 inside and 0 outside."""
    k, j, i = (np.arange(-n, n + 1) for n in reach(grid, mm))
    offsets = np.stack(np.meshgrid(k, j, i, indexing="ij"), axis=-1) * grid.spacing
    inside = np.square(offsets).sum(axis=-1) <= mm * mm * _EDGE
    return [disc.astype(np.float32) for disc in inside if disc.any()]
