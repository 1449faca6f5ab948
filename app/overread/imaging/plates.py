"""Pictures that each lie in a plane of the patient → the voxels of a grid, by nearest neighbour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from overread.domain.finding import Bools
from overread.domain.geometry import Floats, Grid, nearest

# Directions that differ by less are one; writers give cosines with few digits.
_SAME_DIRECTION = 1e-3
# Middles of voxels that are no further apart, as a part of a voxel, coincide.
_COINCIDE = 0.02


@dataclass(frozen=True)
class Plate:
    """Where a picture lies: LPS mm of the middle of its first pixel, direction cosines along a row and down a column.

    `spacing` is mm between rows and between columns, `thickness` that between pictures as the header gives it, 0
    where it is silent; `size` rows and columns.
    """

    position: tuple[float, float, float]
    orientation: tuple[float, ...]
    spacing: tuple[float, float]
    thickness: float
    size: tuple[int, int]

    @property
    def axes(self) -> tuple[Floats, Floats, Floats]:
        """Unit vectors down, across and through."""
        across, down = np.array(self.orientation[:3], np.float64), np.array(self.orientation[3:], np.float64)
        across, down = across / np.linalg.norm(across), down / np.linalg.norm(down)
        through = np.cross(across, down)
        return down, across, np.asarray(through / np.linalg.norm(through), np.float64)


def same_plane(plate: Plate, grid: Grid) -> bool:
    """Whether a picture has the direction, the spacing and the size of the slices of a grid."""
    down, across, _ = plate.axes
    turned = max(np.abs(down - grid.directions[:, 1]).max(), np.abs(across - grid.directions[:, 2]).max())
    alike = np.allclose(plate.spacing, grid.spacing[1:], rtol=1e-3)
    return bool(turned < _SAME_DIRECTION and alike and plate.size == grid.shape[1:])


def sampled(
    pictures: Sequence[tuple[Plate, Bools]], plates: Sequence[Plate], grid: Grid, positions: Floats
) -> tuple[dict[int, Bools], bool]:
    """Pictures on a grid: each voxel is asked where its middle lies in them, nearest pixel, nearest picture.

    `plates` are the places of all pictures there are, those with nothing on them too: they tell how far apart pictures
    lie; all have one direction. `positions` are LPS mm of the first voxel of each slice of the grid, shape (k, 3).
    Returns slices (rows, columns) by number, and whether the middles of all voxels coincide with middles of pixels.
    """
    first = plates[0]
    down, across, through = first.axes
    along = np.unique(np.round([np.dot(plate.position, through) for plate in plates], 4))
    apart = float(np.median(np.diff(along))) if along.size > 1 else first.thickness or grid.spacing[0]
    stacked: dict[int, tuple[Plate, Bools]] = {}
    for plate, picture in pictures:
        at = int(np.abs(along - np.dot(plate.position, through)).argmin())
        stacked[at] = (plate, picture | stacked[at][1]) if at in stacked else (plate, picture)
    rows, columns = grid.shape[1:]
    j, i = np.indices((rows, columns))
    within = j[..., None] * grid.affine[:3, 1] + i[..., None] * grid.affine[:3, 2]
    found: dict[int, Bools] = {}
    furthest = 0.0
    for k, position in enumerate(positions):
        points = within + position
        depth = points @ through
        at = np.searchsorted((along[1:] + along[:-1]) / 2, depth, side="right")
        inside = np.abs(along[at] - depth) <= apart / 2 * 1.001
        drawn = np.zeros((rows, columns), np.bool_)
        for number in np.unique(at[inside]):
            if number not in stacked:
                continue
            plate, picture = stacked[int(number)]
            here = inside & (at == number)
            offset = points[here] - plate.position
            fractional = np.stack([offset @ down / plate.spacing[0], offset @ across / plate.spacing[1]], axis=1)
            pixel = nearest(fractional)
            held = ((pixel >= 0) & (pixel < plate.size)).all(axis=1)
            pixel[~held] = 0
            drawn[here] = held & picture[pixel[:, 0], pixel[:, 1]]
            away = np.abs(fractional - pixel)[held]
            off = float(np.abs(along[number] - depth[here]).max()) / apart
            furthest = max(furthest, off, float(away.max(initial=0.0)))
        if drawn.any():
            found[k] = drawn
    alike = np.allclose(first.spacing, grid.spacing[1:], rtol=1e-2) or _turned(first, grid)
    return found, bool(furthest < _COINCIDE and alike)


def _turned(plate: Plate, grid: Grid) -> bool:
    """Whether pixels have the grid's spacing the other way round."""
    return bool(np.allclose(plate.spacing[::-1], grid.spacing[1:], rtol=1e-2))
