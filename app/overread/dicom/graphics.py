"""Graphics of reports and presentation states on the slices of a stack: regions are filled, the rest become marks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from overread.dicom.places import Places
from overread.domain.finding import Bools, VoxelBox
from overread.domain.geometry import Floats
from overread.domain.mark import Drawn, Mark
from overread.domain.measurement import Point
from overread.imaging.editing.outline import enclosed

# Corners of the polygon that stands for a circle or an ellipse: off it by less than a thousandth of the radius.
_ROUND = 128
_SAME_PX = 1e-3


class Graphics:
    """What was drawn on a stack, collected: filled `slices`, `marks`, and how many graphics could not be placed.

    With `holes` an outline within another one is one; otherwise outlines add up.
    """

    def __init__(self, places: Places, *, holes: bool = False) -> None:
        self._places, self._shape, self._holes = places, places.stack.grid.shape[1:], holes
        self.slices: dict[int, Bools] = {}
        self.marks: list[Mark] = []
        self.lost = 0
        self._boxes: list[VoxelBox | None] = []

    @property
    def box(self) -> VoxelBox | None:
        """The box, where all that was drawn are equal rectangles along the axes of neighbouring slices."""
        boxes = [box for box in self._boxes if box is not None]
        if not boxes or len(boxes) < len(self._boxes) or self.marks or len({(b[1:3], b[4:]) for b in boxes}) > 1:
            return None
        held = sorted(box[0] for box in boxes)
        if held != list(range(held[0], held[0] + len(held))):
            return None
        return (held[0], *boxes[0][1:3], held[-1] + 1, *boxes[0][4:])

    def on_image(
        self, slices: Sequence[int], kind: str, pixels: ArrayLike, text: str = "", *, fill: bool = True
    ) -> None:
        """Put a graphic of PS3.3 C.18.6.1.1 or C.10.5 on slices; `pixels` are (column, row), (0, 0) the image's corner.

        What is closed is filled, unless it is only to be drawn.
        """
        given = np.asarray(pixels, np.float64).reshape(-1, 2)[:, ::-1] - 0.5
        if not slices or not len(given) or not np.isfinite(given).all():
            self.lost += 1
            return
        for k in slices:
            self._draw(k, kind, given, text, fill=fill)

    def write(self, slices: Sequence[int], pixel: tuple[float, float] | None, text: str) -> None:
        """Put text at a place (column, row) of slices, or on the slices as a whole."""
        for k in slices:
            if pixel is None:
                self.marks.append(Mark(Drawn.IMAGE, ((float(k), 0.0, 0.0),), text))
            else:
                self.marks.append(Mark(Drawn.TEXT, ((float(k), pixel[1] - 0.5, pixel[0] - 0.5),), text))

    def in_patient(self, kind: str, points: ArrayLike, text: str = "") -> None:
        """Put a graphic of PS3.3 C.18.9 on the slices that it lies in; `points` are LPS mm, shape (n, 3)."""
        given = np.asarray(points, np.float64).reshape(-1, 3)
        if not self._places.oriented or not len(given) or not np.isfinite(given).all():
            self.lost += 1
            return
        if kind == "ELLIPSOID":
            self._ellipsoid(given)
            return
        inside, away = self._places.in_slices(given)
        here = away <= self._places.reach
        if np.ptp(inside[:, 0]) == 0 and here.all():
            self._draw(int(inside[0, 0]), kind, inside[:, 1:], text, fill=True)
        elif kind in ("POINT", "MULTIPOINT", "POLYLINE") and here.any():
            # A line across slices has no picture in any of them: its points are shown where they lie.
            for k in np.unique(inside[here, 0]):
                self._draw(int(k), "MULTIPOINT", inside[here & (inside[:, 0] == k), 1:], text, fill=False)
        else:
            self.lost += 1

    def _draw(self, k: int, kind: str, points: Floats, text: str, *, fill: bool) -> None:
        """Draw points (row, column) on slice k, the middle of the first pixel at (0, 0)."""
        if kind == "CIRCLE" and len(points) >= 2:
            points, closed = _circle(points), True
        elif kind == "ELLIPSE" and len(points) >= 4:
            points, closed = _ellipse(points), True
        elif kind in ("POINT", "MULTIPOINT"):
            self.marks.append(Mark(Drawn.POINTS, _placed(k, points), text))
            return
        else:
            ends = len(points) > 3 and float(np.abs(points[0] - points[-1]).max()) < _SAME_PX
            closed = kind == "POLYGON" or ends
        if closed and fill:
            inner = filled(points, (self._shape[0], self._shape[1]))
            if inner.any():
                before = self.slices.get(k, np.zeros_like(inner))
                self.slices[k] = before ^ inner if self._holes else before | inner
                self._boxes.append(_rectangle(k, points, inner))
                return
        self.marks.append(Mark(Drawn.OUTLINE if closed else Drawn.LINE, _placed(k, points), text))

    def _ellipsoid(self, points: Floats) -> None:
        """Fill an ellipsoid given by the ends of its three axes (PS3.3 C.18.9.1.2)."""
        if len(points) != 6:
            self.lost += 1
            return
        centre = points.mean(axis=0)
        halves = (points[1::2] - points[::2]) / 2
        inverse = np.linalg.pinv(halves.T)
        grid, found = self._places.stack.grid, False
        j, i = np.indices(self._shape)
        within = j[..., None] * grid.affine[:3, 1] + i[..., None] * grid.affine[:3, 2]
        for k, position in enumerate(self._places.positions):
            inner = (((within + position - centre) @ inverse.T) ** 2).sum(axis=-1) <= 1
            if inner.any():
                found = True
                self.slices[k] = self.slices[k] | inner if k in self.slices else inner
                self._boxes.append(None)
        self.lost += not found


def filled(points: Floats, shape: tuple[int, int]) -> Bools:
    """What a closed outline (row, column) encloses in a picture of `shape`; only its surroundings are worked out."""
    low = np.clip(np.floor(points.min(axis=0)), 0, shape).astype(int)
    high = np.clip(np.ceil(points.max(axis=0)) + 1, 0, shape).astype(int)
    picture = np.zeros(shape, np.bool_)
    size = (int(high[0] - low[0]), int(high[1] - low[1]))
    if min(size) > 0:
        picture[low[0] : high[0], low[1] : high[1]] = enclosed(points - low, size)
    return picture


def _placed(k: int, points: Floats) -> tuple[Point, ...]:
    return tuple((float(k), float(row), float(column)) for row, column in points)


def _circle(points: Floats) -> Floats:
    centre, edge = points[0], points[1]
    turns = np.linspace(0, 2 * np.pi, _ROUND, endpoint=False)[:, None]
    radius = float(np.linalg.norm(edge - centre))
    return np.asarray(centre + radius * np.hstack([np.cos(turns), np.sin(turns)]))


def _ellipse(points: Floats) -> Floats:
    """By the ends of its axes, two and two."""
    centre = points[:4].mean(axis=0)
    turns = np.linspace(0, 2 * np.pi, _ROUND, endpoint=False)[:, None]
    return np.asarray(
        centre + np.cos(turns) * (points[1] - points[0]) / 2 + np.sin(turns) * (points[3] - points[2]) / 2
    )


def _rectangle(k: int, points: Floats, inner: Bools) -> VoxelBox | None:
    """The box of a rectangle along rows and columns; None for other outlines."""
    corners = points[:-1] if len(points) == 5 else points
    if len(corners) != 4:
        return None
    sides = np.roll(corners, -1, axis=0) - corners
    if np.abs(sides).min(axis=1).max() > _SAME_PX:
        return None
    rows, columns = np.flatnonzero(inner.any(axis=1)), np.flatnonzero(inner.any(axis=0))
    return k, int(rows[0]), int(columns[0]), k + 1, int(rows[-1]) + 1, int(columns[-1]) + 1
