"""Boxes of voxels: moved, resized, split and joined within their grid. Pure functions of numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from overread.domain.finding import Bools, Mask, VoxelBox
from overread.domain.geometry import Grid, Index, PlaneAxes

# Edges of a box in the picture of a slice: row0, column0, row1, column1, where pixel 0 runs from 0 to 1.
Edges = tuple[float, float, float, float]


def within(start: Sequence[int], stop: Sequence[int], shape: Index) -> VoxelBox:
    """The box cut at the edges of the grid, at least one voxel along each axis; ends may come in any order."""
    low = np.clip(np.minimum(start, stop), 0, np.array(shape) - 1)
    high = np.clip(np.maximum(start, stop), low + 1, shape)
    k0, j0, i0 = low.tolist()
    k1, j1, i1 = high.tolist()
    return k0, j0, i0, k1, j1, i1


def shifted(box: VoxelBox, by: Sequence[int], shape: Index) -> VoxelBox:
    """The box that many voxels (k, j, i) further, its size kept: it stops at the edges of the grid."""
    start, stop = np.array(box[:3]), np.array(box[3:])
    step = np.clip(by, -start, np.array(shape) - stop)
    return within(start + step, stop + step, shape)


def grown(box: VoxelBox, axis: int, ends: tuple[int, int], shape: Index) -> VoxelBox:
    """The box with its start and its end along an axis that many voxels further out; it keeps one voxel."""
    start, stop = list(box[:3]), list(box[3:])
    start[axis] = min(start[axis] - ends[0], stop[axis] - 1)
    stop[axis] = max(stop[axis] + ends[1], start[axis] + 1)
    return within(start, stop, shape)


def edges_of(box: VoxelBox, axes: PlaneAxes, shape: Index) -> Edges:
    """Where a box lies in the pictures of a plane."""
    rows, columns = axes.size(shape)
    row0, row1 = box[axes.down], box[3 + axes.down]
    column0, column1 = box[axes.across], box[3 + axes.across]
    row0, row1 = (rows - row1, rows - row0) if axes.flip_down else (row0, row1)
    column0, column1 = (columns - column1, columns - column0) if axes.flip_across else (column0, column1)
    return float(row0), float(column0), float(row1), float(column1)


def on_slices(edges: Edges, first: int, end: int, axes: PlaneAxes, shape: Index) -> VoxelBox:
    """The box whose edges in the pictures lie nearest to `edges`, from slice `first` up to, but not with, `end`.

    Rows and columns may come in any order; the box has at least one voxel and stays within the grid.
    """
    rows, columns = axes.size(shape)
    size = shape[axes.through], rows, columns
    row0, column0, row1, column1 = (int(np.floor(edge + 0.5)) for edge in edges)
    slice0, row0, column0, slice1, row1, column1 = within((first, row0, column0), (end, row1, column1), size)
    start, stop = axes.to_box((slice0, row0, column0), (slice1, row1, column1), shape)
    return (*start, *stop)


def deep(edges: Edges, middle: int, axes: PlaneAxes, grid: Grid) -> tuple[int, int]:
    """First slice and end of a box drawn on slice `middle`: as deep, in mm, as its sides are long on the average.

    Cut at the first and the last slice.
    """
    row0, column0, row1, column1 = edges
    high, wide = abs(row1 - row0) * grid.spacing[axes.down], abs(column1 - column0) * grid.spacing[axes.across]
    half = max(0, round(((high + wide) / 2 / grid.spacing[axes.through] - 1) / 2))
    return max(0, middle - half), min(grid.shape[axes.through], middle + half + 1)


def halves(box: VoxelBox, axis: int, at: int) -> tuple[VoxelBox, VoxelBox]:
    """The parts of a box before and from voxel `at` of an axis on. ValueError where one would be empty."""
    if not box[axis] < at < box[3 + axis]:
        raise ValueError("a box is split between two of its voxels")
    first, second = list(box), list(box)
    first[3 + axis] = second[axis] = at
    (a, b, c, d, e, f), (g, h, k, m, n, p) = first, second
    return (a, b, c, d, e, f), (g, h, k, m, n, p)


def longest(box: VoxelBox, grid: Grid) -> int:
    """The axis along which a box is longest in mm, of those along which it can be split; ValueError for one voxel."""
    sizes = np.subtract(box[3:], box[:3])
    if sizes.max() < 2:
        raise ValueError("a box of one voxel cannot be split")
    return int(np.argmax(np.where(sizes > 1, sizes * np.array(grid.spacing), -1.0)))


def around(boxes: Sequence[VoxelBox]) -> VoxelBox:
    """The smallest box that holds all of them."""
    every = np.array(boxes)
    k0, j0, i0 = every[:, :3].min(axis=0).tolist()
    k1, j1, i1 = every[:, 3:].max(axis=0).tolist()
    return k0, j0, i0, k1, j1, i1


def common(one: VoxelBox, other: VoxelBox) -> int:
    """How many voxels two boxes share."""
    low, high = np.maximum(one[:3], other[:3]), np.minimum(one[3:], other[3:])
    return int(np.prod(np.clip(high - low, 0, None)))


def filled(box: VoxelBox, shape: Index) -> Mask:
    """The box as voxels of a grid. Its bits are written as such: a large box is laid anew with every move of a drag."""
    k, j, i = (stop - start for start, stop in zip(box[:3], box[3:], strict=True))
    whole, rest = divmod(k * j * i, 8)
    last = bytes([0xFF << (8 - rest) & 0xFF]) if rest else b""
    return Mask(shape, box[:3], (k, j, i), b"\xff" * whole + last)


def cut(mask: Mask, box: VoxelBox) -> Mask:
    """The voxels of a mask that lie in a box."""
    low = np.maximum(mask.start, box[:3])
    high = np.minimum(np.add(mask.start, mask.extent), box[3:])
    if (high <= low).any():
        return Mask(mask.shape, (0, 0, 0), (0, 0, 0), b"")
    k, j, i = (slice(int(a), int(b)) for a, b in zip(low - mask.start, high - mask.start, strict=True))
    start = (int(low[0]), int(low[1]), int(low[2]))
    return Mask.of(mask.inner[k, j, i], start, mask.shape)


def pulled_in(old: VoxelBox, new: VoxelBox, shape: Index) -> VoxelBox:
    """The part of the grid that the sides of a box leave which were pulled in; other sides leave all beyond them.

    An outline may reach out of its box a little: a side that stays where it is, or is pushed out, takes nothing away.
    """
    k0, j0, i0 = (b if b > a else 0 for a, b in zip(old[:3], new[:3], strict=True))
    k1, j1, i1 = (b if b < a else size for a, b, size in zip(old[3:], new[3:], shape, strict=True))
    return k0, j0, i0, k1, j1, i1


def united(masks: Sequence[Mask]) -> Mask:
    """The voxels that are in any of the masks of one grid."""
    held = [mask for mask in masks if mask]
    if not held:
        return masks[0]
    low = np.min([mask.start for mask in held], axis=0)
    high = np.max([np.add(mask.start, mask.extent) for mask in held], axis=0)
    voxels: Bools = np.zeros(high - low, np.bool_)
    for mask in held:
        k, j, i = (slice(int(a), int(a) + n) for a, n in zip(mask.start - low, mask.extent, strict=True))
        voxels[k, j, i] |= mask.inner
    return Mask.of(voxels, (int(low[0]), int(low[1]), int(low[2])), held[0].shape)
