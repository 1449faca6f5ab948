"""Slices sheared by a tilted gantry → a regular grid at right angles, in the same planes and at the same pixels.

Only within their planes do even slices move: the image linearly, masks by whole pixels, at most half a pixel off. So a
mask keeps its shape in every slice, its number of voxels, and with them its volume to the last digit; the signed
distance would follow the fraction of a pixel and would change all three. Where slices are uneven the grid has steps as
small as their smallest, between which the image is linear and a mask that of the nearest slice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from overread.domain.geometry import Floats, Grid

Voxels = TypeVar("Voxels", bound=NDArray[Any])
# Steps that differ by less than this part of their mean are even.
_EVEN = 0.01
# A slice that is shifted by less than this part of a pixel needs no pixel more.
_NO_PIXEL = 0.01


@dataclass(frozen=True, eq=False)
class Upright:
    """An upright `grid` for slices of shape (rows, columns), and of which of them each of its slices is made.

    Slice k of the grid is `1 - weight[k]` of slice `below[k]` and `weight[k]` of slice `above[k]`; pixel (0, 0) of all
    its slices lies at (row, column) `offsets[s]` of slice s, shape (slices, 2).
    """

    grid: Grid
    below: NDArray[np.intp]
    above: NDArray[np.intp]
    weight: Floats
    offsets: Floats

    def sources(self, k: int) -> list[int]:
        """The slices that slice `k` of the grid is made of."""
        return list(dict.fromkeys((int(self.below[k]), int(self.above[k]))))

    def nearest(self, k: int) -> int:
        """The slice that lies nearest to slice `k` of the grid."""
        return int(self.above[k] if self.weight[k] >= 0.5 else self.below[k])


def straightened(grid: Grid) -> Grid:
    """The grid with the same slices, each right above the one before: what `upright` gives, but for its size."""
    affine = grid.affine.copy()
    normal = _normal(grid.affine)
    affine[:3, 0] = (affine[:3, 0] @ normal) * normal
    return Grid(grid.shape, affine, grid.oriented, grid.calibrated)


def _normal(affine: Floats) -> Floats:
    normal = np.cross(affine[:3, 2], affine[:3, 1])
    return np.asarray(normal * np.sign(normal @ affine[:3, 0]) / np.linalg.norm(normal))


def upright(grid: Grid, positions: Floats) -> Upright:
    """The upright grid that holds all slices of a sheared one, whose first pixels lie at `positions`, LPS mm (k, 3)."""
    axes, normal = grid.affine[:3, 1:3], _normal(grid.affine)
    places = (positions - positions[0]) @ np.linalg.pinv(axes).T
    heights = (positions - positions[0]) @ normal
    first = np.floor(places.min(axis=0) + _NO_PIXEL)
    rows, columns = (np.ceil(places.max(axis=0) - _NO_PIXEL) - first).astype(int) + grid.shape[1:]
    steps = np.diff(heights)
    if np.ptp(steps) <= _EVEN * steps.mean():
        below = above = np.arange(len(positions))
        weight = np.zeros(len(positions))
    else:
        count = int(np.ceil(heights[-1] / max(float(steps.min()), min(grid.spacing[1:])) - _EVEN)) + 1
        at = np.linspace(0, heights[-1], count)
        below = np.clip(np.searchsorted(heights, at, side="right") - 1, 0, len(heights) - 2)
        above = below + 1
        weight = (at - heights[below]) / (heights[above] - heights[below])
    affine = grid.affine.copy()
    affine[:3, 0] = normal * heights[-1] / (len(weight) - 1)
    affine[:3, 3] = positions[0] + axes @ first
    return Upright(Grid((len(weight), rows, columns), affine), below, above, weight, first - places)


def masks(voxels: Voxels, made: Upright) -> Voxels:
    """Voxels (k, j, i) that are no shades of grey, on the upright grid: each is that of the nearest pixel."""
    laid = np.zeros(made.grid.shape, voxels.dtype)
    for k, slice_ in enumerate(laid):
        source = made.nearest(k)
        (top, left), (rows, columns) = np.floor(made.offsets[source] + 0.5).astype(int), slice_.shape
        j, i = (
            slice(max(0, -at), min(of, size - at))
            for at, of, size in ((top, rows, voxels.shape[1]), (left, columns, voxels.shape[2]))
        )
        slice_[j, i] = voxels[source, j.start + top : j.stop + top, i.start + left : i.stop + left]
    return laid  # type: ignore[return-value]


def images(voxels: NDArray[Any], made: Upright, k: int, fill: int, padding: tuple[int, int] | None) -> NDArray[Any]:
    """Slice `k` of the upright grid, linear, of stored values (k, j, i); `fill` is what lies beyond the slices.

    `padding` is the range of values that stand for no image: beside such a one, as beyond the slices, the nearest
    holds. Shape (rows, columns), rounded to the type of `voxels`.
    """
    weight = float(made.weight[k])
    parts = [_shifted(voxels[s], made.offsets[s], made.grid.shape[1:], fill, padding) for s in made.sources(k)]
    if len(parts) == 1:
        plane, _ = parts[0]
    else:
        (low, low_whole), (high, high_whole) = parts
        plane = np.where(low_whole & high_whole, low + weight * (high - low), high if weight >= 0.5 else low)
    return np.rint(plane).astype(voxels.dtype)


def _shifted(
    pixels: NDArray[Any], offset: Floats, shape: tuple[int, int], fill: int, padding: tuple[int, int] | None
) -> tuple[Floats, NDArray[np.bool_]]:
    """A slice whose pixel `offset` becomes the first one, linear, and where all that it is made of is image."""
    low, high, part, near, within = [], [], [], [], []
    for start, size, of in zip(offset, shape, pixels.shape, strict=True):
        at = np.round(start + np.arange(size), 9)  # on a pixel, its neighbours have no part in it
        floor = np.floor(at)
        low.append(floor.clip(0, of - 1).astype(int))
        high.append(np.ceil(at).clip(0, of - 1).astype(int))
        near.append(np.floor(at + 0.5).clip(0, of - 1).astype(int))
        part.append(at - floor)
        within.append((at > -0.5) & (at < of - 0.5))
    corners = [pixels[np.ix_(j, i)].astype(np.float64) for j in (low[0], high[0]) for i in (low[1], high[1])]
    down, across = part[0][:, None], part[1][None, :]
    plane = (1 - down) * ((1 - across) * corners[0] + across * corners[1])
    plane += down * ((1 - across) * corners[2] + across * corners[3])
    inside = within[0][:, None] & within[1][None, :]
    whole = inside
    if padding is not None:
        whole = inside & ~np.any([(corner >= padding[0]) & (corner <= padding[1]) for corner in corners], axis=0)
    nearest = pixels[np.ix_(near[0], near[1])]
    return np.where(inside, np.where(whole, plane, nearest), fill), whole
