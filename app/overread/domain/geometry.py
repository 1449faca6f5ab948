"""Where voxels are.

Positions are LPS millimetres (DICOM PS3.3 C.7.6.2.1.1: x to the patient's left, y to posterior, z to the
head). Voxel indices run in array order (k, j, i) = (slice, row, column).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Index = tuple[int, int, int]
Box = tuple[slice, slice, slice]
Floats = NDArray[np.float64]

_POSITIVE = "LPH"
_NEGATIVE = "RAF"
# A direction closer than this to a body axis carries one letter; beyond it is oblique and carries two.
_OBLIQUE = np.sin(np.deg2rad(5.0))


@dataclass(frozen=True, eq=False)
class Grid:
    """A regular lattice of voxel centres.

    `shape` is (k, j, i); `affine` (4×4) maps (k, j, i, 1) to LPS mm. Columns may be sheared (gantry tilt).
    `oriented` is False where the image carries no position in the patient; its millimetres (or pixels, where
    `calibrated` is False) then only hold within the slice.
    """

    shape: Index
    affine: Floats
    oriented: bool = True
    calibrated: bool = True

    def __post_init__(self) -> None:
        affine = np.array(self.affine, dtype=np.float64) + 0.0  # -0 becomes 0: equal grids have equal hashes
        if affine.shape != (4, 4) or not np.isfinite(affine).all():
            raise ValueError("a grid's affine is 4×4 and finite")
        if len(self.shape) != 3 or min(self.shape) < 1:
            raise ValueError("a grid has at least one voxel along k, j and i")
        if abs(np.linalg.det(affine[:3, :3])) < 1e-12:
            raise ValueError("a grid's axes are independent")
        affine.setflags(write=False)
        object.__setattr__(self, "affine", affine)
        object.__setattr__(self, "shape", tuple(int(n) for n in self.shape))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Grid) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    @property
    def _key(self) -> tuple[Index, bytes, bool, bool]:
        return self.shape, self.affine.tobytes(), self.oriented, self.calibrated

    @cached_property
    def inverse(self) -> Floats:
        """LPS mm to (k, j, i), 4×4."""
        return np.asarray(np.linalg.inv(self.affine), dtype=np.float64)

    @cached_property
    def spacing(self) -> tuple[float, float, float]:
        """Distance between neighbours along k, j and i, in mm."""
        k, j, i = (float(n) for n in np.linalg.norm(self.affine[:3, :3], axis=0))
        return k, j, i

    @cached_property
    def directions(self) -> Floats:
        """Unit vectors in LPS along k, j and i, as the columns of a 3×3 matrix."""
        return np.asarray(self.affine[:3, :3] / np.array(self.spacing), dtype=np.float64)

    @property
    def origin(self) -> Floats:
        """LPS position of voxel (0, 0, 0), in mm."""
        return self.affine[:3, 3]

    @cached_property
    def voxel_mm3(self) -> float:
        """Volume of one voxel in mm³; right for sheared grids too."""
        k, j, i = self.affine[:3, :3].T
        return float(abs(np.cross(j, i) @ k))  # exact on straight grids, as the determinant is not

    def to_lps(self, index: ArrayLike) -> Floats:
        """Positions in mm, shape (…, 3), of indices (k, j, i), shape (…, 3); fractions are allowed."""
        points = np.asarray(index, dtype=np.float64)
        return np.asarray(points @ self.affine[:3, :3].T + self.affine[:3, 3])

    def to_index(self, position: ArrayLike) -> Floats:
        """Fractional indices (k, j, i), shape (…, 3), of positions in LPS mm, shape (…, 3)."""
        points = np.asarray(position, dtype=np.float64)
        return np.asarray(points @ self.inverse[:3, :3].T + self.inverse[:3, 3])

    def clamp(self, index: ArrayLike) -> Index:
        """The voxel nearest to a fractional index."""
        k, j, i = np.clip(nearest(index), 0, np.array(self.shape) - 1).tolist()
        return k, j, i

    @property
    def corners(self) -> Floats:
        """LPS positions of the eight outermost voxel centres, shape (8, 3), k slowest."""
        k, j, i = (np.array([0, n - 1]) for n in self.shape)
        return self.to_lps(np.stack(np.meshgrid(k, j, i, indexing="ij"), axis=-1).reshape(-1, 3))

    def same_as(self, other: Grid, tolerance_mm: float = 1e-3) -> bool:
        """Whether both put the same voxels at the same places."""
        return self.shape == other.shape and bool(np.abs(self.corners - other.corners).max() <= tolerance_mm)


def nearest(index: ArrayLike) -> NDArray[np.intp]:
    """The voxels, in or off the grid, in which fractional indices lie; half way between two it is the higher one.

    Rounding to even would give every place half way between two voxels to every other voxel.
    """
    return np.floor(np.asarray(index, dtype=np.float64) + 0.5).astype(np.intp)


class Plane(Enum):
    """The anatomical planes. A grid's own axes serve as planes; the nearest one carries the name."""

    AXIAL = "axial"
    CORONAL = "coronal"
    SAGITTAL = "sagittal"


# Body axes (index into LPS, and the sign in which the screen axis grows) across the screen and down it, and the
# axis that runs through: the radiological convention, patient's right on the left of the screen.
_SCREEN: dict[Plane, tuple[tuple[int, int], tuple[int, int], int]] = {
    Plane.AXIAL: ((0, +1), (1, +1), 2),
    Plane.CORONAL: ((0, +1), (2, -1), 1),
    Plane.SAGITTAL: ((1, +1), (2, -1), 0),
}


@dataclass(frozen=True)
class PlaneAxes:
    """How a plane of a grid lies on the screen: array axes (0 = k, 1 = j, 2 = i) and which of them are mirrored."""

    plane: Plane
    through: int
    down: int
    across: int
    flip_down: bool
    flip_across: bool

    def picture(self, voxels: NDArray[Any], index: int) -> NDArray[Any]:
        """Slice `index` as it lies on the screen, shape (down, across[, samples]); a view, never a copy."""
        where: list[Any] = [slice(None)] * 3
        where[self.through] = index
        picture: NDArray[Any] = voxels[tuple(where)]
        if self.down > self.across:
            picture = picture.swapaxes(0, 1)
        return picture[:: -1 if self.flip_down else 1, :: -1 if self.flip_across else 1]

    def slab(self, index: int) -> Box:
        """The box, one voxel thick, of slice `index`."""
        box = [slice(None)] * 3
        box[self.through] = slice(index, index + 1)
        return box[0], box[1], box[2]

    def size(self, shape: Index) -> tuple[int, int]:
        """Rows and columns of the picture."""
        return shape[self.down], shape[self.across]

    def to_picture(self, index: ArrayLike, shape: Index) -> tuple[float, float]:
        """Row and column in the picture of a fractional voxel index (k, j, i)."""
        at = np.asarray(index, dtype=np.float64)
        row, column = float(at[self.down]), float(at[self.across])
        rows, columns = self.size(shape)
        return (rows - 1 - row if self.flip_down else row, columns - 1 - column if self.flip_across else column)

    def to_index(self, row: float, column: float, through: float, shape: Index) -> Floats:
        """Fractional voxel index (k, j, i), shape (3,), of a place in the picture of slice `through`."""
        rows, columns = self.size(shape)
        at = np.empty(3)
        at[self.through] = through
        at[self.down] = rows - 1 - row if self.flip_down else row
        at[self.across] = columns - 1 - column if self.flip_across else column
        return at

    def to_box(self, start: Index, stop: Index, shape: Index) -> tuple[Index, Index]:
        """First voxel and end (k, j, i) of a box whose start and end are given as slice, row and column of pictures."""
        first, end = np.empty(3, np.intp), np.empty(3, np.intp)
        flips = (False, self.flip_down, self.flip_across)
        for axis, a, b, flip in zip((self.through, self.down, self.across), start, stop, flips, strict=True):
            first[axis], end[axis] = (shape[axis] - b, shape[axis] - a) if flip else (a, b)
        (k0, j0, i0), (k1, j1, i1) = first.tolist(), end.tolist()
        return (k0, j0, i0), (k1, j1, i1)

    def to_voxels(self, pictures: NDArray[Any]) -> NDArray[Any]:
        """Pieces of pictures, shape (slices, rows, columns), as the grid has them, shape (k, j, i); a view."""
        turned = pictures[:, :: -1 if self.flip_down else 1, :: -1 if self.flip_across else 1]
        return np.moveaxis(turned, (0, 1, 2), (self.through, self.down, self.across))


def body_axes(grid: Grid) -> Index:
    """The array axes that lie nearest to L, P and S: each used once, the sum of cosines greatest."""
    cosines = np.abs(grid.directions)
    best = max(permutations(range(3)), key=lambda p: sum(cosines[body, axis] for body, axis in enumerate(p)))
    return best[0], best[1], best[2]


def plane_axes(grid: Grid, plane: Plane) -> PlaneAxes:
    """Lay a plane of the grid on the screen by the radiological convention.

    A grid without orientation shows its stored rows and columns whatever the plane's name.
    """
    if not grid.oriented:
        return PlaneAxes(plane, 0, 1, 2, flip_down=False, flip_across=False)
    axes = body_axes(grid)
    (right, right_sign), (down, down_sign), through = _SCREEN[plane]
    cosines = grid.directions
    return PlaneAxes(
        plane,
        through=axes[through],
        down=axes[down],
        across=axes[right],
        flip_down=bool(cosines[down, axes[down]] * down_sign < 0),
        flip_across=bool(cosines[right, axes[right]] * right_sign < 0),
    )


def acquired_plane(grid: Grid) -> Plane:
    """The plane in which the slices of a stack were acquired (axis k runs through it)."""
    through = body_axes(grid).index(0) if grid.oriented else 2
    return {0: Plane.SAGITTAL, 1: Plane.CORONAL, 2: Plane.AXIAL}[through]


def letters(direction: ArrayLike) -> str:
    """Where a direction in LPS points: "L", "P", "H" …, two letters where it is oblique ("LA").

    Letters as in Patient Orientation (0020,0020), PS3.3 C.7.6.1.1.1: L R, A P, H (head) F (foot).
    """
    vector = np.asarray(direction, dtype=np.float64)
    vector = vector / np.linalg.norm(vector)
    order = np.argsort(-np.abs(vector), kind="stable")[:2]
    names = [(_POSITIVE if vector[axis] > 0 else _NEGATIVE)[axis] for axis in order if abs(vector[axis]) > _OBLIQUE]
    return "".join(names)


def edge_letters(grid: Grid, axes: PlaneAxes) -> tuple[str, str, str, str]:
    """Letters for the left, right, top and bottom edge of a picture; empty where nothing is known."""
    if not grid.oriented:
        return "", "", "", ""
    across = grid.directions[:, axes.across] * (-1 if axes.flip_across else 1)
    down = grid.directions[:, axes.down] * (-1 if axes.flip_down else 1)
    return letters(-across), letters(across), letters(-down), letters(down)
