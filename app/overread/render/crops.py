"""A finding alone, cut out of its planes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from overread.domain.finding import Finding
from overread.domain.geometry import Grid, Plane, acquired_plane, plane_axes
from overread.domain.study import Window
from overread.domain.view import Camera
from overread.domain.volume import Volume
from overread.render.boxes import box_marks
from overread.render.projection import Projection, project
from overread.render.slices import compose

Bytes = NDArray[np.uint8]
# The finding takes this part of the picture, but nothing is shown larger than so many pixels a millimetre.
_PART, _MOST = 0.6, 12.0


@dataclass(frozen=True)
class Look:
    """How the crops look: the window, black and white, how strongly findings are filled, the original's outline."""

    window: Window
    invert: bool = False
    opacity: float = 0.2
    original: bool = False


def crop_planes(grid: Grid) -> tuple[Plane, ...]:
    """The planes that a finding can be seen in: one alone where the image is a single slice or has no place."""
    return tuple(Plane) if grid.oriented and min(grid.shape) > 1 else (acquired_plane(grid),)


def crop_projection(finding: Finding, grid: Grid, plane: Plane, size: int) -> Projection | None:
    """The slice of a plane through a finding's middle, fitted so that the finding fills a good part of a square.

    In the acquired plane that is its largest slice. None of what has neither voxels nor box.
    """
    bounds = finding.bounds
    if bounds is None:
        return None
    axes = plane_axes(grid, plane)
    middle = [(low + high - 1) / 2 for low, high in zip(bounds[:3], bounds[3:], strict=True)]
    index = int(middle[axes.through])
    if axes.through == 0 and finding.measures is not None:
        index = finding.measures.largest_slice
    whole = project(grid, plane, index, (size, size), Camera())
    spans = [(bounds[axis + 3] - bounds[axis]) * grid.spacing[axis] for axis in (axes.across, axes.down)]
    zoom = min(_PART * size / max(*spans, 1e-3), _MOST) / whole.pixels_per_mm
    row, column = axes.to_picture(middle, grid.shape)
    rows, columns = axes.size(grid.shape)
    shift = (
        ((columns - 1) / 2 - column) * grid.spacing[axes.across],
        ((rows - 1) / 2 - row) * grid.spacing[axes.down],
    )
    return project(grid, plane, index, (size, size), Camera(zoom, shift))


def crops(finding: Finding, volume: Volume, look: Look, size: int) -> dict[Plane, Bytes]:
    """Square pictures of a finding, shape (size, size, 3), RGB, one for each plane that it can be seen in."""
    pictures = {}
    for plane in crop_planes(volume.grid):
        projection = crop_projection(finding, volume.grid, plane, size)
        if projection is None:
            return {}
        pictures[plane] = compose(
            volume,
            projection,
            look.window,
            invert=look.invert,
            findings=(finding,),
            boxes=box_marks((finding,), projection.axes, projection.index, finding.id),
            original=look.original,
            opacity=look.opacity,
            thickness=max(1.0, size / 80),
        )
    return pictures
