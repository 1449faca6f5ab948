"""How two masks of one grid agree: overlap, distance of their surfaces, and what only one of them holds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from overread.domain.finding import Bools, Mask
from overread.domain.geometry import Grid

Points = NDArray[np.float64]


@dataclass(frozen=True)
class Agreement:
    """Two masks A and B compared.

    `dice` is 2 |A ∩ B| / (|A| + |B|), None where both are empty. `hd95_mm` is the greater of the two directed 95th
    percentiles of surface distances (as in the BraTS and MSD challenges), None where one of them is empty. Volumes in
    ml. `both`, `only_a` and `only_b` are the voxels: the map of agreement.
    """

    dice: float | None
    hd95_mm: float | None
    a_ml: float
    b_ml: float
    both: Mask
    only_a: Mask
    only_b: Mask
    voxel_mm3: float

    @property
    def both_ml(self) -> float:
        """What both hold."""
        return self.both.count * self.voxel_mm3 / 1000

    @property
    def only_a_ml(self) -> float:
        """What A alone holds: of a model's original and what a reader left, what was taken away."""
        return self.only_a.count * self.voxel_mm3 / 1000

    @property
    def only_b_ml(self) -> float:
        """What B alone holds: what was added."""
        return self.only_b.count * self.voxel_mm3 / 1000


def agreement(a: Mask, b: Mask, grid: Grid) -> Agreement:
    """Compare two masks of a grid. ValueError where they lie in different grids."""
    if a.shape != grid.shape or b.shape != grid.shape:
        raise ValueError("masks of different grids cannot be compared")
    start = np.minimum(a.start, b.start) if a and b else np.array((a if a else b).start)
    stop = np.max([np.add(mask.start, mask.extent) for mask in (a, b) if mask] or [(0, 0, 0)], axis=0)
    size = np.maximum(stop - start, 0)
    one, other = _within(a, start, size), _within(b, start, size)
    k, j, i = (int(n) for n in start)
    both, only_a, only_b = (
        Mask.of(voxels, (k, j, i), grid.shape) for voxels in (one & other, one & ~other, other & ~one)
    )
    total = a.count + b.count
    return Agreement(
        dice=2 * both.count / total if total else None,
        hd95_mm=surface_distance(one, other, grid, 95.0) if a and b else None,
        a_ml=a.count * grid.voxel_mm3 / 1000,
        b_ml=b.count * grid.voxel_mm3 / 1000,
        both=both,
        only_a=only_a,
        only_b=only_b,
        voxel_mm3=grid.voxel_mm3,
    )


def _within(mask: Mask, start: NDArray[np.intp], size: NDArray[np.intp]) -> Bools:
    """A mask's voxels in a box that holds them."""
    voxels = np.zeros(size, np.bool_)
    if mask:
        at = [slice(n - int(s), n - int(s) + m) for n, s, m in zip(mask.start, start, mask.extent, strict=True)]
        voxels[tuple(at)] = mask.inner
    return voxels


def surface_distance(a: Bools, b: Bools, grid: Grid, percentile: float) -> float:
    """The greater of both directed percentiles of the distance from one surface to the other, mm.

    A surface is the centres of the voxels that have a face to the outside. Distances are between places in the
    patient, so turned and sheared grids are right too. Both (k, j, i) arrays hold something.
    """
    from scipy.spatial import cKDTree  # a slow import, wanted with the first finding and not at start-up

    one, other = (_surface(voxels) @ grid.affine[:3, :3].T for voxels in (a, b))
    there, back = cKDTree(other).query(one)[0], cKDTree(one).query(other)[0]
    return float(max(np.percentile(there, percentile), np.percentile(back, percentile)))


def _surface(voxels: Bools) -> Points:
    """Indices (k, j, i) of the voxels with a face to the outside, shape (n, 3)."""
    from scipy import ndimage

    return np.argwhere(voxels & ~ndimage.binary_erosion(voxels)).astype(np.float64)
