"""What can be said in numbers of the voxels of a finding: how large in space, and which values it holds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from overread.domain.finding import Bools, Mask, Measures
from overread.domain.geometry import Grid
from overread.domain.volume import Volume
from overread.imaging.measure import measure

Points = NDArray[np.float64]
# Distances are computed a block of points at a time: 500 to each of 5000 others are 20 MB.
_BLOCK = 500


@dataclass(frozen=True)
class Values:
    """Statistics of real values over voxels; `sd` with n − 1, None of a single one. `units` "" where none is known."""

    mean: float
    sd: float | None
    minimum: float
    maximum: float
    units: str


@dataclass(frozen=True)
class Figures:
    """Everything about one mask.

    `measures` are volume and axes in the acquired slices, `long_3d_mm` and `short_3d_mm` those in space; None where
    millimetres do not hold. `values` None of a colour image.
    """

    count: int
    measures: Measures | None
    long_3d_mm: float | None
    short_3d_mm: float | None
    values: Values | None


def figures(mask: Mask, volume: Volume) -> Figures | None:
    """Measure a mask on its volume, whose slices have to be there. None for an empty mask."""
    if not mask:
        return None
    long_mm, short_mm = axes_3d(mask, volume.grid) if volume.stack.measurable else (None, None)
    return Figures(
        count=mask.count,
        measures=measure(mask, volume.grid) if volume.stack.measurable else None,
        long_3d_mm=long_mm,
        short_3d_mm=short_mm,
        values=None if volume.colour else values(mask, volume),
    )


def values(mask: Mask, volume: Volume) -> Values:
    """Mean, standard deviation, least and greatest real value of the voxels of a mask that is not empty.

    Slice by slice, so that no float copy of a large box is made; the squares are summed about the mean.
    """
    parts = []
    for k, inside in enumerate(mask.inner):
        if inside.any():
            at = slice(mask.start[0] + k, mask.start[0] + k + 1)
            parts.append(volume.real((at, mask.box[1], mask.box[2]))[0][inside])
    found = np.concatenate(parts)
    mean = float(found.mean())
    spread = float(np.sqrt(np.square(found - mean).sum() / (found.size - 1))) if found.size > 1 else None
    return Values(mean, spread, float(found.min()), float(found.max()), volume.stack.units)


def axes_3d(mask: Mask, grid: Grid) -> tuple[float, float]:
    """The longest diameter in space, and the greatest width at right angles to it, mm.

    The longest diameter is the greatest distance between two points of the convex hull (the maximum 3D diameter of
    IBSI, Zwanenburg 2020, 3.1.8). The width is that of the hull's shadow along the diameter: the greatest distance
    between two points of it on a plane at right angles. As in the slice, outlines run half way between the centres of
    voxels inside and outside, along k, j and i.
    """
    from scipy.spatial import ConvexHull  # a slow import, wanted with the first finding and not at start-up

    inner = mask.inner
    edges = [_outermost(inner[k], k) for k in range(mask.extent[0]) if inner[k].any()]
    around = np.vstack([np.eye(3), -np.eye(3)]) / 2
    points = (np.concatenate(edges)[:, None] + around).reshape(-1, 3) @ grid.affine[:3, :3].T
    hull = points[ConvexHull(points).vertices]
    length, start, end = _farthest(hull)
    along = (end - start) / length
    # Any two directions at right angles to the diameter and to each other lay its shadow on paper.
    shadow = hull @ np.linalg.svd(along[None])[2][1:].T
    width, _, _ = _farthest(shadow[ConvexHull(shadow).vertices])
    return round(length, 2), round(width, 2)


def _outermost(pixels: Bools, k: int) -> Points:
    """The centres (k, j, i) at the corners of a slice's hull, and maybe some more along its edges, shape (n, 3)."""
    from scipy.spatial import ConvexHull

    rows = np.flatnonzero(pixels.any(axis=1))
    first = pixels[rows].argmax(axis=1)
    last = pixels.shape[1] - 1 - pixels[rows, ::-1].argmax(axis=1)
    ends = np.stack([np.tile(rows, 2), np.concatenate([first, last])], axis=1)
    if len(rows) > 8:
        # Diamonds around the centres keep lines from being no polygon; every corner of the hull of the centres is the
        # middle of a diamond at a corner of theirs.
        diamonds = (ends[:, None] + np.array([(-0.5, 0), (0.5, 0), (0, -0.5), (0, 0.5)])).reshape(-1, 2)
        ends = ends[np.unique(ConvexHull(diamonds).vertices // 4)]
    return np.column_stack([np.full(len(ends), k), ends]).astype(np.float64)


def _farthest(points: Points) -> tuple[float, Points, Points]:
    """The greatest distance between two of the points, shape (n, d), and these two."""
    centred = points - points.mean(axis=0)  # small numbers lose little when their squares are subtracted
    squares = np.einsum("ax,ax->a", centred, centred)
    best, pair = -1.0, (0, 0)
    for first in range(0, len(points), _BLOCK):
        block = slice(first, first + _BLOCK)
        squared = squares[block, None] + squares[None, first:] - 2 * (centred[block] @ centred[first:].T)
        at = int(squared.argmax())
        if squared.flat[at] > best:
            a, b = np.unravel_index(at, squared.shape)
            best, pair = float(squared.flat[at]), (first + int(a), first + int(b))
    start, end = points[pair[0]], points[pair[1]]
    return float(np.linalg.norm(end - start)), start, end
