"""How a slice lies in its pane: between screen pixels, picture pixels and voxels."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from overread.domain.geometry import Floats, Grid, Plane, PlaneAxes, plane_axes
from overread.domain.view import Camera

Bytes = NDArray[np.uint8]
# The picture never quite touches the edges of its pane.
_FIT = 0.98


@dataclass(frozen=True)
class Projection:
    """A slice in a pane of `size` (width, height) screen pixels.

    The picture, `rows` × `columns` pixels, covers `drawn` (width, height) screen pixels with its top left corner at
    `corner` (x, y); whole numbers, so that image and overlay land on the very same pixels.
    """

    grid: Grid
    axes: PlaneAxes
    index: int
    size: tuple[int, int]
    rows: int
    columns: int
    drawn: tuple[int, int]
    corner: tuple[int, int]

    @property
    def scale(self) -> tuple[float, float]:
        """Screen pixels for a picture pixel, across and down."""
        return self.drawn[0] / self.columns, self.drawn[1] / self.rows

    @property
    def pixels_per_mm(self) -> float:
        """Screen pixels for a millimetre."""
        return self.scale[0] / self.grid.spacing[self.axes.across]

    def to_screen(self, index: Floats | tuple[float, float, float]) -> tuple[float, float]:
        """Where a fractional voxel index (k, j, i) lies on the screen, (x, y)."""
        row, column = self.axes.to_picture(index, self.grid.shape)
        across, down = self.scale
        return self.corner[0] + (column + 0.5) * across, self.corner[1] + (row + 0.5) * down

    def to_index(self, x: float, y: float) -> Floats:
        """The fractional voxel index (k, j, i) under a place on the screen."""
        across, down = self.scale
        column, row = (x - self.corner[0]) / across - 0.5, (y - self.corner[1]) / down - 0.5
        return self.axes.to_index(row, column, float(self.index), self.grid.shape)

    def inside(self, x: float, y: float) -> bool:
        """Whether a place on the screen lies on the picture."""
        left, top = self.corner
        return left <= x < left + self.drawn[0] and top <= y < top + self.drawn[1]

    def stretch(self, picture: Bytes, interpolation: int) -> tuple[slice, slice, Bytes]:
        """The visible part of a picture (rows, columns[, 3]) at screen size, and the rows and columns it covers.

        Only what is visible is resampled, with a margin so that the edge of the pane does not show.
        """
        (width, height), (left, top), (across, down) = self.size, self.corner, self.scale
        first_column, last_column = self._visible(left, across, width, self.columns)
        first_row, last_row = self._visible(top, down, height, self.rows)
        if first_column >= last_column or first_row >= last_row:
            return slice(0, 0), slice(0, 0), np.zeros((0, 0, *picture.shape[2:]), np.uint8)
        part = np.ascontiguousarray(picture[first_row:last_row, first_column:last_column])
        x, y = round(left + first_column * across), round(top + first_row * down)
        wide = max(1, round(left + last_column * across) - x)
        high = max(1, round(top + last_row * down) - y)
        cut_x, cut_y = max(0, -x), max(0, -y)
        end_x, end_y = min(wide, width - x), min(high, height - y)
        if end_x <= cut_x or end_y <= cut_y:
            return slice(0, 0), slice(0, 0), np.zeros((0, 0, *picture.shape[2:]), np.uint8)
        if min(across, down) >= 1 and wide * high > 4 * width * height:
            # A few huge voxels: with the margin the part would be many panes large.
            columns = [1 / across, 0.0, (x + cut_x + 0.5 - left) / across - 0.5 - first_column]
            rows = [0.0, 1 / down, (y + cut_y + 0.5 - top) / down - 0.5 - first_row]
            flags = interpolation | cv2.WARP_INVERSE_MAP
            seen = (end_x - cut_x, end_y - cut_y)
            drawn = cv2.warpAffine(part, np.array([columns, rows]), seen, flags=flags, borderMode=cv2.BORDER_REPLICATE)
        else:
            drawn = resized(part, wide, high, interpolation)[cut_y:end_y, cut_x:end_x]
        return slice(y + cut_y, y + end_y), slice(x + cut_x, x + end_x), np.asarray(drawn, np.uint8)

    @staticmethod
    def _visible(start: int, scale: float, length: int, count: int) -> tuple[int, int]:
        first, last = int(np.floor(-start / scale)) - 2, int(np.ceil((length - start) / scale)) + 2
        return max(0, first), min(count, last)


def resized(picture: Bytes, wide: int, high: int, interpolation: int) -> Bytes:
    """A picture at another size: averaged where it shrinks, interpolated where it grows.

    The axes are seen to one by one, because OpenCV averages only where neither of them grows.
    """
    rows, columns = picture.shape[:2]
    if wide < 0.8 * columns or high < 0.8 * rows:
        smaller = min(wide, columns), min(high, rows)
        picture = np.asarray(cv2.resize(picture, smaller, interpolation=cv2.INTER_AREA), np.uint8)
    return np.asarray(cv2.resize(picture, (wide, high), interpolation=interpolation), np.uint8)


def project(grid: Grid, plane: Plane, index: int, size: tuple[int, int], camera: Camera) -> Projection:
    """Fit a slice into a pane of `size` (width, height) screen pixels, with the right aspect, then zoom and shift."""
    axes = plane_axes(grid, plane)
    rows, columns = axes.size(grid.shape)
    down_mm, across_mm = grid.spacing[axes.down], grid.spacing[axes.across]
    width, height = max(size[0], 1), max(size[1], 1)
    per_mm = _FIT * min(width / (columns * across_mm), height / (rows * down_mm)) * camera.zoom
    drawn = max(1, round(columns * across_mm * per_mm)), max(1, round(rows * down_mm * per_mm))
    x = round((width - drawn[0]) / 2 + camera.shift[0] * per_mm)
    y = round((height - drawn[1]) / 2 + camera.shift[1] * per_mm)
    return Projection(grid, axes, index, (width, height), rows, columns, drawn, (x, y))
