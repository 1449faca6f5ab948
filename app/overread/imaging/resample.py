"""Voxels from one grid to another: turned, respaced, moved. Positions are LPS mm; arrays run (k, j, i)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from overread.domain.errors import Cancelled
from overread.domain.geometry import Floats, Grid, Index, body_axes
from overread.domain.ports import Cancel

if TYPE_CHECKING:
    from scipy import sparse

F32 = NDArray[np.float32]
Spacing = tuple[float, float, float]

# So many slices are resampled between two looks at whether the work is still wanted.
_SLAB = 8
# What nnU-Net calls anisotropic.
_ANISOTROPIC = 3.0
# Weights below this change no value by more than a part in a million of the image's range.
_LEAST = 1e-8
# The letters of Patient Orientation (PS3.3 C.7.6.1.1.1): the body axis, as an index into LPS, and the sign.
_LETTERS = {"L": (0, 1), "R": (0, -1), "P": (1, 1), "A": (1, -1), "H": (2, 1), "F": (2, -1)}


@dataclass(frozen=True)
class Turn:
    """A grid's axes in another order and direction: axis n is axis `axes[n]` of the grid, mirrored where `flips[n]`."""

    axes: Index
    flips: tuple[bool, bool, bool]

    def view(self, voxels: NDArray[Any]) -> NDArray[Any]:
        """An array (k, j, i) of the grid as the turned grid has it: a view, never a copy."""
        k, j, i = (slice(None, None, -1 if flip else 1) for flip in self.flips)
        return voxels.transpose(self.axes)[k, j, i]

    def grid(self, grid: Grid) -> Grid:
        """The turned grid: the same voxels at the same places."""
        k, j, i = (grid.shape[axis] for axis in self.axes)
        affine = np.eye(4)
        start = np.zeros(3)
        for n, (axis, flip) in enumerate(zip(self.axes, self.flips, strict=True)):
            affine[:3, n] = grid.affine[:3, axis] * (-1 if flip else 1)
            start[axis] = grid.shape[axis] - 1 if flip else 0
        affine[:3, 3] = grid.to_lps(start)
        return Grid((k, j, i), affine, grid.oriented, grid.calibrated)


def orientation(letters: str) -> str:
    """The letters that say where k, j and i point: one of L R, one of A P, one of H F. ValueError where they do not."""
    if len(letters) != 3 or {_LETTERS.get(letter, (3, 0))[0] for letter in letters} != {0, 1, 2}:
        raise ValueError("“orientation” is not three letters, one of L R, one of A P and one of H F")
    return letters


def turned(grid: Grid, letters: str) -> Turn:
    """How a grid is turned so that k, j and i point where the letters say, each to the nearest of its own axes."""
    nearest, cosines = body_axes(grid), grid.directions
    wanted = [_LETTERS[letter] for letter in letters]
    k, j, i = (nearest[body] for body, _ in wanted)
    a, b, c = (bool(cosines[body, nearest[body]] * sign < 0) for body, sign in wanted)
    return Turn((k, j, i), (a, b, c))


def respaced(grid: Grid, spacing_mm: tuple[float, float, float]) -> Grid:
    """A grid over the same box, from edge to edge, whose spacing is the nearest to `spacing_mm` that divides it.

    The number of voxels is the rounded one, as in nnU-Net's `compute_new_shape`; the outer edges of the outermost
    voxels stay where they are, as in `skimage.transform.resize`, which nnU-Net resamples with.
    """
    k, j, i = (max(1, round(n * old / new)) for n, old, new in zip(grid.shape, grid.spacing, spacing_mm, strict=True))
    scale = np.array(grid.shape) / (k, j, i)
    affine = np.eye(4)
    affine[:3, :3] = grid.affine[:3, :3] * scale
    affine[:3, 3] = grid.to_lps((scale - 1) / 2)
    return Grid((k, j, i), affine, grid.oriented, grid.calibrated)


def lone_axis(spacing_mm: Spacing, wanted_mm: Spacing) -> int | None:
    """The axis that nnU-Net resamples by itself, by nearest neighbours: None where there is none.

    It is the coarsest one of a volume of which that is more than three times as coarse as the finest, before or else
    after resampling, and it is none where two axes are the coarsest (`determine_do_sep_z_and_axis` of nnU-Net v2).
    """
    for spacing in (spacing_mm, wanted_mm):
        if max(spacing) / min(spacing) > _ANISOTROPIC:
            coarsest = [axis for axis in range(3) if spacing[axis] == max(spacing)]
            return coarsest[0] if len(coarsest) == 1 else None
    return None


@lru_cache(maxsize=32)
def _weights(old: int, new: int, order: int) -> sparse.csr_array:
    """What each of `old` voxels in a row gives to each of `new` over the same length, shape (new, old).

    `order` is that of the B-splines: 0 is the nearest voxel, of two alike the latter, 1 linear.
    """
    from scipy import ndimage, sparse  # a slow import, wanted with the first volume and not at start-up

    if order == 0:
        at = np.floor((np.arange(new) + 0.5) * (old / new)).astype(int).clip(0, old - 1)
        return sparse.csr_array((np.ones(new, np.float32), (np.arange(new), at)), shape=(new, old))
    cubic = order == 3
    rows = ndimage.zoom(np.eye(old), (new / old, 1), order=order, mode="nearest", grid_mode=True, prefilter=cubic)
    rows[np.abs(rows) < _LEAST] = 0  # a spline reaches everywhere, and fades by a factor of 3.7 a voxel
    return sparse.csr_array(rows.astype(np.float32))


def stretched(plane: F32, shape: tuple[int, int], *, cubic: bool = False, nearest: int | None = None) -> F32:
    """A plane (j, i) on another number of voxels over the same box, linear or by cubic B-splines.

    Along the axis `nearest`, 0 or 1, each takes the value of the nearest voxel.
    """
    for axis, (old, new) in enumerate(zip(plane.shape, shape, strict=True)):
        if old != new:
            weights = _weights(old, new, 0 if axis == nearest else 3 if cubic else 1)
            plane = weights @ plane if axis == 0 else (weights @ np.ascontiguousarray(plane.T)).T
    return plane


def refitted(values: F32, shape: Index, cancel: Cancel, *, cubic: bool = False, nearest: int | None = None) -> F32:
    """Values (k, j, i) on the `respaced` grid of that shape: linear or by cubic B-splines, the edge repeated beyond it.

    Along the axis `nearest`, where there is one, each voxel takes the value of the nearest. What
    `skimage.transform.resize` does with `mode="edge"` and without smoothing, worked out axis by axis. Cancelled where
    the work was called off.
    """
    (k, *_), (slices, rows, columns) = values.shape, shape
    planes = np.empty((k, rows, columns), np.float32)
    for at, plane in enumerate(values):
        require_wanted(cancel)
        planes[at] = stretched(plane, (rows, columns), cubic=cubic, nearest=nearest - 1 if nearest else None)
    if slices == k:
        return planes
    out = np.empty(shape, np.float32)
    weights = _weights(k, slices, 0 if nearest == 0 else 3 if cubic else 1)
    for row in range(rows):
        require_wanted(cancel)
        out[:, row] = weights @ np.ascontiguousarray(planes[:, row])
    return out


def moved(values: F32, grid: Grid, onto: Grid, motion: Floats, cancel: Cancel, fill: float = 0.0) -> F32:
    """Values (k, j, i) of `grid` at the voxel centres of another grid, linear; `fill` beyond the edges.

    `motion` (4×4) takes LPS mm of `onto` to LPS mm of `grid`. Half a voxel around the outermost centres still belongs
    to the grid. Index space is all that is used, so sheared grids are right too. Cancelled where the work was called
    off.
    """
    import SimpleITK as sitk  # a slow import, wanted with the second series and not at start-up

    image = sitk.GetImageFromArray(values)
    steps = (grid.inverse @ motion @ onto.affine)[2::-1][:, [2, 1, 0, 3]]  # SimpleITK counts (i, j, k)
    slices, rows, columns = onto.shape
    out = np.empty(onto.shape, np.float32)
    for first in range(0, slices, _SLAB):
        require_wanted(cancel)
        here = slice(first, min(first + _SLAB, slices))
        size = (columns, rows, here.stop - first)
        transform = sitk.AffineTransform(steps[:, :3].ravel().tolist(), (steps[:, 3] + steps[:, 2] * first).tolist())
        slab = sitk.Resample(image, size, transform, sitk.sitkLinear, defaultPixelValue=float(fill))
        out[here] = sitk.GetArrayViewFromImage(slab)
    return out


def require_wanted(cancel: Cancel) -> None:
    """Cancelled where nobody waits for the work any more."""
    if cancel.cancelled:
        raise Cancelled
