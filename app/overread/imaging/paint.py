"""Brush and eraser: a stroke in the making, on the voxels of a grid."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from overread.domain.finding import Mask
from overread.domain.geometry import Box, Floats, Grid, Index, nearest

Bools = NDArray[np.bool_]
# The working box grows by this many voxels beyond what a stroke needs, so that it seldom grows.
_MARGIN = 16
# Centres that lie on the brush's edge belong to it, whatever the rounding.
_EDGE = 1.0 + 1e-9


def capsule(grid: Grid, start: ArrayLike, end: ArrayLike, diameter_mm: float, through: int | None) -> tuple[Box, Bools]:
    """The voxels whose centres lie within `diameter_mm / 2` of the segment between two fractional indices (k, j, i).

    `through` is the array axis across which the brush is flat (a disc in that slice); None is a ball. The voxels that
    the pen passes over always belong to it. Returns the box within the grid and the voxels of the box.
    """
    first, last = np.array(start, np.float64), np.array(end, np.float64)
    if through is not None:
        first[through] = last[through] = nearest(last)[through]
    radius = diameter_mm / 2
    # Half widths in voxels: a ball of radius r spans r·|row of the inverse| along each index axis, sheared or not.
    reach = radius * np.linalg.norm(grid.inverse[:3, :3], axis=1)
    if through is not None:
        reach[through] = 0.0
    low = np.clip(nearest(np.minimum(first, last) - reach), 0, grid.shape)
    high = np.clip(nearest(np.maximum(first, last) + reach) + 1, 0, grid.shape)
    box = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    if (high <= low).any():
        return (slice(0, 0),) * 3, np.zeros((0, 0, 0), np.bool_)
    inside = np.empty(high - low, np.bool_)
    matrix = grid.affine[:3, :3]
    along = matrix @ (last - first)
    length, step = float(along @ along), matrix[:, 0]
    j, i = (np.arange(low[axis], high[axis]) - first[axis] for axis in (1, 2))
    points = j[:, None, None] * matrix[:, 1] + i[:, None] * matrix[:, 2]
    squares, ways, steps = np.einsum("jix,jix->ji", points, points), points @ along, points @ step
    for n in range(len(inside)):  # a slice at a time: all of a large ball would not fit into the cache
        k = low[0] + n - first[0]
        squared = squares + k * (2 * steps + k * (step @ step))
        if length > 0:
            way = ways + k * (step @ along)
            t = np.clip(way / length, 0.0, 1.0)
            squared += t * (t * length - 2 * way)
        np.less_equal(squared, radius * radius * _EDGE, out=inside[n])
    # A pen thinner than a voxel may miss every centre: what it passes over is drawn all the same.
    under = nearest(np.linspace(first, last, int(np.ceil(2 * np.abs(last - first).max())) + 2))
    held = under[((under >= low) & (under < high)).all(axis=1)] - low
    inside[tuple(held.T)] = True
    return (box[0], box[1], box[2]), inside


class Stroke:
    """One gesture of the pen, from the press of the button to its release. `mask` is what it has made so far."""

    def __init__(
        self,
        grid: Grid,
        base: Mask,
        diameter_mm: float,
        *,
        erase: bool,
        through: int | None,
        touched: Callable[[Box, Bools], Bools] | None = None,
    ) -> None:
        """`touched` says which of the voxels under the pen, in a box, it may touch (a range, say); None allows all."""
        self._grid, self._diameter, self._erase, self._through = grid, diameter_mm, erase, through
        self._touched = touched
        self._low = np.array(base.start, int)
        self._voxels = base.inner.copy()
        self._last: Floats | None = None
        self._mask: Mask | None = base

    @property
    def mask(self) -> Mask:
        """The voxels after the stroke so far."""
        if self._mask is None:
            k, j, i = (int(n) for n in self._low)
            self._mask = Mask.of(self._voxels, (k, j, i), self._grid.shape)
        return self._mask

    @property
    def size(self) -> int:
        """How many voxels the box holds in which it draws."""
        return self._voxels.size

    def section(self, axis: int, index: int) -> tuple[Index, Bools]:
        """The voxels after the stroke so far in slice `index` across an array axis, and where in the grid they begin.

        They lie as in a box one voxel thick; a box of none where the stroke does not reach. A view: nothing is packed.
        """
        at = index - int(self._low[axis])
        where = [slice(None)] * 3
        where[axis] = slice(at, at + 1) if 0 <= at < self._voxels.shape[axis] else slice(0, 0)
        k, j, i = (index if other == axis else int(n) for other, n in enumerate(self._low))
        return (k, j, i), self._voxels[tuple(where)]

    def extend(self, index: ArrayLike) -> None:
        """Draw on to a fractional index (k, j, i)."""
        to = np.asarray(index, np.float64)
        box, inside = capsule(self._grid, to if self._last is None else self._last, to, self._diameter, self._through)
        self._last = to
        if inside.size == 0:
            return
        self._mask = None
        if self._touched is not None:
            inside = self._touched(box, inside)
        if self._erase:
            self._take(box, inside)
        else:
            self._add(box, inside)

    def _add(self, box: Box, inside: Bools) -> None:
        if not inside.any():
            return
        self._grow(box)
        self._voxels[self._local(box)] |= inside

    def _take(self, box: Box, inside: Bools) -> None:
        high = self._low + self._voxels.shape
        overlap = [
            slice(max(part.start, int(a)), min(part.stop, int(b)))
            for part, a, b in zip(box, self._low, high, strict=True)
        ]
        if any(part.stop <= part.start for part in overlap):
            return
        cut = tuple(slice(o.start - part.start, o.stop - part.start) for o, part in zip(overlap, box, strict=True))
        self._voxels[self._local((overlap[0], overlap[1], overlap[2]))] &= ~inside[cut]

    def _local(self, box: Box) -> Box:
        k, j, i = (slice(p.start - int(a), p.stop - int(a)) for p, a in zip(box, self._low, strict=True))
        return k, j, i

    def _grow(self, box: Box) -> None:
        low, high = self._low, self._low + np.array(self._voxels.shape)
        start, stop = np.array([part.start for part in box]), np.array([part.stop for part in box])
        if self._voxels.size == 0:
            low, high = start, start
        elif (start >= low).all() and (stop <= high).all():
            return
        wider_low = np.where(start < low, np.maximum(start - _MARGIN, 0), low) if self._voxels.size else start
        wider_high = np.where(stop > high, np.minimum(stop + _MARGIN, self._grid.shape), high)
        wider = np.zeros(tuple(wider_high - wider_low), np.bool_)
        if self._voxels.size:
            at = low - wider_low
            wider[tuple(slice(int(a), int(a) + n) for a, n in zip(at, self._voxels.shape, strict=True))] = self._voxels
        self._low, self._voxels = wider_low, wider


def empty(shape: Index) -> Mask:
    """A mask of no voxels."""
    return Mask.of(np.zeros((1, 1, 1), np.bool_), shape=shape)
