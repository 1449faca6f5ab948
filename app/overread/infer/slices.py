"""From a slice of a volume to what a 2-D model wants to see, and back. Training calls the same functions."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from overread.domain.geometry import Box, PlaneAxes, plane_axes
from overread.domain.volume import Volume
from overread.imaging.intensity import Normaliser, normaliser
from overread.infer.manifest import Prepare

F32 = NDArray[np.float32]


@dataclass(frozen=True)
class Placement:
    """Where a slice lies in the model's canvas: the 2×3 map from canvas (x, y) to slice pixels (x, y)."""

    to_slice: NDArray[np.float64]
    slice_size: tuple[int, int]
    canvas_size: tuple[int, int]

    def onto_canvas(self, picture: F32, fill: float) -> F32:
        """Resample a slice onto the canvas, linear, averaged where it shrinks; `fill` outside the slice."""
        rows, columns = self.canvas_size
        shrink = max(abs(self.to_slice[0, 0]), abs(self.to_slice[1, 1]))
        if shrink > 1.5:
            sigma = 0.4 * shrink
            picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE), np.float32)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        warped = cv2.warpAffine(
            picture, self.to_slice, (columns, rows), flags=flags, borderMode=cv2.BORDER_CONSTANT, borderValue=fill
        )
        return np.asarray(warped, dtype=np.float32)

    def onto_slice(self, canvas: F32) -> F32:
        """Resample a map on the canvas back onto the slice, linear; 0 outside the canvas."""
        rows, columns = self.slice_size
        warped = cv2.warpAffine(
            canvas,
            self.to_slice,
            (columns, rows),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=0,
        )
        return np.asarray(warped, dtype=np.float32)


def placement(prepare: Prepare, slice_size: tuple[int, int], spacing_mm: tuple[float, float]) -> Placement:
    """Centre on centre, at the model's spacing; sizes and spacings are (down, across)."""
    (rows, columns), (down_mm, across_mm) = slice_size, spacing_mm
    scale_y, scale_x = prepare.spacing_mm[0] / down_mm, prepare.spacing_mm[1] / across_mm
    height, width = prepare.size
    shift_x = (columns - 1) / 2 - scale_x * (width - 1) / 2
    shift_y = (rows - 1) / 2 - scale_y * (height - 1) / 2
    to_slice = np.array([[scale_x, 0.0, shift_x], [0.0, scale_y, shift_y]])
    return Placement(to_slice, slice_size, prepare.size)


@dataclass(frozen=True)
class Slicer:
    """A volume as one model sees it. Built once a volume; slices are numbered along the model's plane."""

    volume: Volume
    axes: PlaneAxes
    where: Placement
    normalise: Normaliser
    floor: float

    @classmethod
    def of(cls, volume: Volume, prepare: Prepare) -> Slicer:
        """Measure the volume's grey values and lay its slices on the model's canvas."""
        axes = plane_axes(volume.grid, prepare.plane)
        spacing = volume.grid.spacing[axes.down], volume.grid.spacing[axes.across]
        where = placement(prepare, axes.size(volume.grid.shape), spacing)
        sample = real_sample(volume)
        return cls(volume, axes, where, normaliser(prepare.intensity, sample), float(sample.min()))

    @property
    def count(self) -> int:
        """How many slices there are in the model's plane."""
        return self.volume.grid.shape[self.axes.through]

    def tensor(self, index: int) -> F32:
        """What the model gets for one slice, shape (1, 1, rows, columns)."""
        picture = prepared(self.picture(index), self.normalise, self.where)
        return picture[None, None]

    def picture(self, index: int) -> F32:
        """Real values of one slice as it lies on the screen, shape (down, across)."""
        box = [slice(None)] * 3
        box[self.axes.through] = slice(index, index + 1)
        return np.asarray(self.axes.picture(_real(self.volume, (box[0], box[1], box[2]), self.floor), 0), np.float32)


def prepared(picture: F32, normalise: Normaliser, where: Placement) -> F32:
    """One slice of real values → the model's canvas: the whole of preprocessing, in one place."""
    return where.onto_canvas(normalise(picture), fill=float(normalise.clip[0]))


def real_sample(volume: Volume) -> NDArray[np.float64]:
    """A fixed sample of the volume's real values, every slice equally represented; padding is as dark as the rest."""
    k, j, i = volume.grid.shape
    step = max(1, round((k * j * i / 2_000_000) ** 0.5))
    thin = slice(step // 2, None, step)
    return _real(volume, (slice(None), thin, thin))


def _real(volume: Volume, box: Box, floor: float | None = None) -> NDArray[np.float64]:
    """Real values of a box; padding (PS3.3 C.7.5.1.1.2) takes the value `floor`, by default the least of the others."""
    real = volume.real(box)
    if volume.stack.padding is not None:
        stored, (low, high) = volume.voxels[box], volume.stack.padding
        padding = (stored >= low) & (stored <= high)
        if padding.any() and not (floor is None and padding.all()):
            real[padding] = real[~padding].min() if floor is None else floor
    return real
