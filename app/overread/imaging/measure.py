"""What is measured on a mask: volume, and the axes that radiologists measure by hand."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from overread.domain.finding import Mask, Measures
from overread.domain.geometry import Grid

Points = NDArray[np.float64]

_AROUND = np.array([(-0.5, 0.0), (0.5, 0.0), (0.0, -0.5), (0.0, 0.5)])
_DIRECTIONS = np.stack([np.cos(np.arange(24) * np.pi / 24), np.sin(np.arange(24) * np.pi / 24)])


def measure(mask: Mask, grid: Grid) -> Measures | None:
    """Volume, and the longest diameter with the longest one at right angles to it, both in one acquired slice.

    The slice is the one in which the longest diameter is greatest (RECIST 1.1, Eisenhauer 2009: longest diameter in
    the plane of acquisition; the perpendicular as in the WHO and RANO criteria); of equal ones, the one with the
    longer perpendicular. Outlines run half way between voxel centres inside and outside. None for an empty mask.
    """
    if not mask:
        return None
    inner = mask.inner
    counts = np.array([np.count_nonzero(pixels) for pixels in inner])
    down, across = grid.affine[:3, 1], grid.affine[:3, 2]
    pixel_mm2 = float(np.linalg.norm(np.cross(down, across)))
    bounds = _bounds(inner, grid)
    axes = (0.0, 0.0)
    # The most promising slices first: one that cannot hold a longer diameter is not looked at.
    for k in np.argsort(-bounds, kind="stable"):
        if counts[k] and bounds[k] >= axes[0]:
            axes = max(axes, _diameters(_hull(_ends_mm(inner[k], grid)), axes[0]))
    largest = int(counts.argmax())
    # Rounded here, once, so that the panel, the JSON and the SR say the same number.
    return Measures(
        volume_ml=round(mask.count * grid.voxel_mm3 / 1000, 3),
        long_axis_mm=round(axes[0], 2),
        short_axis_mm=round(axes[1], 2),
        largest_slice=mask.start[0] + largest,
        area_mm2=round(float(counts[largest]) * pixel_mm2, 1),
    )


def _ends_mm(pixels: NDArray[np.bool_], grid: Grid) -> Points:
    """Points half a pixel above, below, left and right of the outermost pixels of each row, mm in the plane, (n, 2).

    Their convex hull is that of the slice's outline.
    """
    rows = np.flatnonzero(pixels.any(axis=1))
    first = pixels[rows].argmax(axis=1)
    last = pixels.shape[1] - 1 - pixels[rows, ::-1].argmax(axis=1)
    ends = np.stack([np.tile(rows, 2), np.concatenate([first, last])], axis=1)
    return np.asarray((ends[:, None] + _AROUND).reshape(-1, 2) * grid.spacing[1:])


def _bounds(inner: NDArray[np.bool_], grid: Grid) -> NDArray[np.float64]:
    """For each slice of a box, (n,): no two of its ends lie further apart, mm; less than nothing where it is empty.

    The widest of 24 directions, and how much none of them sees.
    """
    held = inner.any(axis=2)
    first = inner.argmax(axis=2)
    last = inner.shape[2] - 1 - inner[:, :, ::-1].argmax(axis=2)
    down, across = grid.spacing[1:]
    rows = np.arange(inner.shape[1]) * down
    bounds = np.full(len(inner), -np.inf)
    for cosine, sine in _DIRECTIONS.T:
        low, high = (rows * cosine + columns * (across * sine) for columns in (first, last))
        most = np.where(held, np.maximum(low, high), -np.inf).max(axis=1)
        least = np.where(held, np.minimum(low, high), np.inf).min(axis=1)
        # Each end lies half a pixel further out, in the direction of its row or of its column.
        np.maximum(bounds, most - least + max(abs(cosine) * down, abs(sine) * across), out=bounds)
    return np.asarray(bounds / np.cos(np.pi / 48) + 1e-6)


def _hull(points: Points) -> Points:
    """The convex hull of points, counter-clockwise, shape (n, 2)."""
    from scipy.spatial import ConvexHull  # a slow import, wanted with the first finding and not at start-up

    return np.asarray(points[ConvexHull(points).vertices])


def _diameters(hull: Points, least: float) -> tuple[float, float]:
    """Greatest distance between two points of a convex polygon, and its longest chord at right angles to that.

    The chord is only looked for where the diameter is no less than `least`; else it is 0.
    To a micrometre, so that of diameters that only rounding tells apart the one with the longest chord is taken.
    """
    between = hull[:, None] - hull[None]
    squared = np.einsum("abx,abx->ab", between, between)
    length = round(float(np.sqrt(squared.max())), 6)
    if length < least:
        return length, 0.0
    pairs = np.argwhere(np.triu(squared > (length - 1e-6) ** 2))
    return length, max(_breadth(hull, hull[a], hull[b]) for a, b in pairs)


def _breadth(hull: Points, start: Points, end: Points) -> float:
    """The longest chord of a convex polygon, counter-clockwise, at right angles to a diameter of it."""
    along = (end - start) / np.linalg.norm(end - start)
    x, y = hull @ along, hull @ np.array([-along[1], along[0]])
    # Width as a function of x is concave and piecewise linear, so its maximum lies at a vertex.
    first = int(x.argmin())
    x, y = np.roll(x, -first), np.roll(y, -first)
    turn = int(x.argmax())
    lower = np.interp(x, x[: turn + 1], y[: turn + 1])
    upper = np.interp(x, np.append(x[turn:], x[0])[::-1], np.append(y[turn:], y[0])[::-1])
    return float((upper - lower).max())
