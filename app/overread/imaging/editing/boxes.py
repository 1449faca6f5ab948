"""Working in a box of the grid instead of the whole of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from overread.domain.errors import UserError
from overread.domain.finding import Bools, Mask
from overread.domain.geometry import Box, Grid, Index

# Called with 0 to 1 now and then; raises Cancelled when the reader called the work off.
Progress = Callable[[float], None]


def silent(fraction: float) -> None:
    """Progress that nobody asked for."""


def around(masks: Iterable[Mask], shape: Index, margin: tuple[int, int, int] = (0, 0, 0)) -> Box:
    """The box that holds all of `masks` and `margin` voxels more on each side along k, j, i, as far as the grid goes.

    A box of no voxels where the masks hold none.
    """
    held = [mask for mask in masks if mask]
    if not held:
        return slice(0, 0), slice(0, 0), slice(0, 0)
    low = np.min([mask.start for mask in held], axis=0) - margin
    high = np.max([np.add(mask.start, mask.extent) for mask in held], axis=0) + margin
    k, j, i = (slice(max(int(a), 0), min(int(b), n)) for a, b, n in zip(low, high, shape, strict=True))
    return k, j, i


def crop(mask: Mask, box: Box) -> Bools:
    """A mask's voxels within a box of its grid, shape that of the box."""
    voxels = np.zeros([part.stop - part.start for part in box], np.bool_)
    low = [max(part.start, own.start) for part, own in zip(box, mask.box, strict=True)]
    high = [min(part.stop, own.stop) for part, own in zip(box, mask.box, strict=True)]
    if all(a < b for a, b in zip(low, high, strict=True)):
        here = tuple(slice(a - p.start, b - p.start) for a, b, p in zip(low, high, box, strict=True))
        there = tuple(slice(a - p.start, b - p.start) for a, b, p in zip(low, high, mask.box, strict=True))
        voxels[here] = mask.inner[there]
    return voxels


def placed(voxels: Bools, box: Box, shape: Index) -> Mask:
    """The mask of a grid that holds the voxels of a box."""
    return Mask.of(voxels, (box[0].start, box[1].start, box[2].start), shape)


def reach(grid: Grid, mm: float) -> tuple[int, int, int]:
    """How many voxels a distance spans along k, j and i, rounded up."""
    k, j, i = (int(np.ceil(mm / spacing - 1e-9)) for spacing in grid.spacing)
    return k, j, i


def require_straight(grid: Grid) -> None:
    """UserError where rows, columns and slices are not at right angles: distances do not come apart by axes there."""
    cosines = grid.directions.T @ grid.directions - np.eye(3)
    if not grid.calibrated:
        raise UserError("This image has no scale, so nothing in it can be changed by millimetres.")
    if np.abs(cosines).max() > 1e-3:
        raise UserError(
            "These slices were acquired at an angle (gantry tilt), so distances between them do not hold.",
            "Use brush, lasso or scissors; they work slice by slice.",
        )
