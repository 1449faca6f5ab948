"""Holes, islands, gaps between slices, and one finding against another."""

from __future__ import annotations

from enum import StrEnum
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from overread.domain.finding import Bools, Mask
from overread.domain.geometry import Grid, Index
from overread.imaging.components import labelled
from overread.imaging.editing.boxes import Progress, around, crop, placed, require_straight, silent


class Logic(StrEnum):
    """What becomes of two masks."""

    UNION = "union"
    INTERSECTION = "intersection"
    SUBTRACT = "subtract"
    XOR = "exclusive or"


def combined(first: Mask, second: Mask, how: Logic) -> Mask:
    """Two masks of one grid put together; SUBTRACT takes the second from the first."""
    box = around((first, second) if how in (Logic.UNION, Logic.XOR) else (first,), first.shape)
    a, b = crop(first, box), crop(second, box)
    both = {Logic.UNION: a | b, Logic.INTERSECTION: a & b, Logic.SUBTRACT: a & ~b, Logic.XOR: a ^ b}[how]
    return placed(both, box, first.shape)


def filled(mask: Mask, through: int | None = None, progress: Progress = silent) -> Mask:
    """A mask without holes: what it encloses on all sides is part of it.

    `through` is the array axis across which slices are filled one by one, as outlines in them; None fills hollows that
    are closed in all three dimensions. Face to face (6 or 4 neighbours) is a way out, corner to corner is none.
    """
    inner = mask.inner
    if not mask:
        return mask
    if through is None:
        return placed(_without_holes(inner), mask.box, mask.shape)
    whole = np.empty_like(inner)
    pictures, answers = np.moveaxis(inner, through, 0), np.moveaxis(whole, through, 0)
    for n, picture in enumerate(pictures):
        progress(n / len(pictures))
        answers[n] = _without_holes(picture)
    return placed(whole, mask.box, mask.shape)


def _without_holes(held: Bools) -> Bools:
    from scipy import ndimage  # a slow import, wanted with the first hole

    labels, _ = ndimage.label(np.pad(~held, 1, constant_values=True))
    inner = tuple(slice(1, -1) for _ in range(held.ndim))
    return np.asarray(labels[inner] != labels[(0,) * held.ndim])


def largest(mask: Mask) -> Mask:
    """The largest connected part (26 neighbours); of equal ones, the first in array order."""
    labels, sizes = labelled(mask)
    return placed(labels == int(sizes.argmax()) + 1, mask.box, mask.shape) if mask else mask


def without_small(mask: Mask, grid: Grid, least_ml: float) -> Mask:
    """A mask without the connected parts (26 neighbours) that are smaller than `least_ml`."""
    labels, sizes = labelled(mask)
    kept = np.concatenate([[False], sizes * grid.voxel_mm3 / 1000 >= least_ml])
    return placed(kept[labels], mask.box, mask.shape) if mask else mask


def touching(mask: Mask, index: Index) -> Mask:
    """The connected part (26 neighbours) that holds a voxel; the mask as it is where no part does."""
    at = tuple(n - start for n, start in zip(index, mask.start, strict=True))
    if any(not 0 <= n < size for n, size in zip(at, mask.extent, strict=True)):
        return mask
    labels, _ = labelled(mask)
    here = labels[at]
    return placed(labels == here, mask.box, mask.shape) if here else mask


def section(mask: Mask, through: int, index: int) -> Mask:
    """The part of a mask that lies in one slice across array axis `through`."""
    box = list(mask.box)
    box[through] = slice(index, index + 1)
    whole = box[0], box[1], box[2]
    return placed(crop(mask, whole), whole, mask.shape)


def copied(mask: Mask, through: int, index: int, step: int) -> Mask:
    """A mask whose slice `index` across array axis `through` is also in the slice `step` further.

    What was there stays: nothing that was drawn is lost. The mask as it is where there is no such slice.
    """
    if not 0 <= index + step < mask.shape[through]:
        return mask
    here = section(mask, through, index)
    if not here:
        return mask
    start = list(here.start)
    start[through] += step
    there = Mask.of(here.inner, (start[0], start[1], start[2]), mask.shape)
    return combined(mask, there, Logic.UNION)


def between(mask: Mask, grid: Grid, through: int, progress: Progress = silent) -> Mask:
    """A mask in which the empty slices between two drawn ones across array axis `through` are filled.

    Shape-based interpolation (Raya and Udupa 1990): the signed distance to the outline, in mm, is interpolated from
    the drawn slices linearly, and a voxel belongs to the shape where it is not negative. Shapes that do not overlap
    leave the slices between them empty or thin. UserError where millimetres do not hold.
    """
    require_straight(grid)
    if not mask:
        return mask
    rim_k, rim_j, rim_i = (int(axis != through) for axis in range(3))
    box = around((mask,), mask.shape, (rim_k, rim_j, rim_i))
    voxels = np.moveaxis(crop(mask, box), through, 0).copy()
    flat = [grid.spacing[axis] for axis in range(3) if axis != through]
    drawn = np.flatnonzero(voxels.any(axis=(1, 2)))
    gaps = [(int(a), int(b)) for a, b in pairwise(drawn) if b - a > 1]
    for a, b in gaps:
        first, last = (_signed(voxels[n], flat, progress, a / len(voxels)) for n in (a, b))
        for n in range(a + 1, b):
            progress(n / len(voxels))
            share = (n - a) / (b - a)
            voxels[n] = (1 - share) * first + share * last >= 0
    return placed(np.moveaxis(voxels, 0, through), box, mask.shape)


def _signed(held: Bools, spacing: list[float], progress: Progress, done: float) -> NDArray[np.float64]:
    """Distance in mm from the outline, which runs half way between centres: positive inside, negative outside."""
    from scipy import ndimage  # a slow import, wanted with the first gap

    half = min(spacing) / 2
    progress(done)
    inside = ndimage.distance_transform_edt(np.pad(held, 1), sampling=spacing)[1:-1, 1:-1]
    progress(done)
    outside = ndimage.distance_transform_edt(~held, sampling=spacing)
    return np.asarray(np.where(held, inside - half, half - outside))
