"""From a slice of a volume to what a 2-D model wants to see, and back. Training calls the same functions."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial
from weakref import WeakValueDictionary

import cv2
import numpy as np
from numpy.typing import NDArray

from overread.domain.geometry import Box, PlaneAxes, plane_axes
from overread.domain.volume import Volume
from overread.imaging.intensity import IntensityRule, Normaliser, normaliser
from overread.infer.manifest import Prepare

F32 = NDArray[np.float32]

# Slices on the canvas are kept within so many bytes: sixteen of 256 × 256.
_KEPT_BYTES = 4 << 20
# The slicers in use, by their volume's identity, which holds as long as they hold the volume.
_SHARED: WeakValueDictionary[tuple[int, Prepare], Slicer] = WeakValueDictionary()
_LOCK = threading.Lock()


@dataclass(frozen=True)
class Placement:
    """Where a slice lies in the model's canvas: the 2×3 map from canvas (x, y) to slice pixels (x, y)."""

    to_slice: NDArray[np.float64]
    slice_size: tuple[int, int]
    canvas_size: tuple[int, int]

    def onto_canvas(self, picture: F32, fill: float | None) -> F32:
        """Resample a slice, shape (rows, columns[, 3]), onto the canvas: linear, averaged where it shrinks.

        Outside the slice is `fill`, or where that is None the pixel at its edge.
        """
        rows, columns = self.canvas_size
        picture, to_picture = _coarsened(picture, self.to_slice)
        shrink = abs(to_picture[0, 0]), abs(to_picture[1, 1])
        if max(shrink) > 1.5:
            across, down = (0.4 * by if by > 1.5 else 1e-3 for by in shrink)
            picture = np.asarray(
                cv2.GaussianBlur(picture, (0, 0), across, sigmaY=down, borderType=cv2.BORDER_REPLICATE), np.float32
            )
        border = cv2.BORDER_REPLICATE if fill is None else cv2.BORDER_CONSTANT
        outside = (0.0 if fill is None else fill,) * 4  # one for each channel that OpenCV knows of
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        warped = cv2.warpAffine(
            picture, to_picture, (columns, rows), flags=flags, borderMode=border, borderValue=outside
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

    @property
    def window(self) -> tuple[int, int, int, int]:
        """The pixels of the slice that the canvas reaches: first row and column, and their ends."""
        row0, column0, row1, column1 = self.extent
        rows, columns = self.slice_size
        # A map is interpolated towards 0 within one of its own pixels beyond the canvas.
        down, across = self.to_slice[1, 1], self.to_slice[0, 0]
        return (
            min(max(0, int(np.floor(row0 - down))), rows),
            min(max(0, int(np.floor(column0 - across))), columns),
            max(0, min(rows, int(np.ceil(row1 + down)))),
            max(0, min(columns, int(np.ceil(column1 + across)))),
        )

    def cut(self, window: tuple[int, int, int, int]) -> Placement:
        """The same canvas on a part of the slice: first row and column, and their ends."""
        row0, column0, row1, column1 = window
        shift = np.array([[0.0, 0.0, column0], [0.0, 0.0, row0]])
        return Placement(self.to_slice - shift, (row1 - row0, column1 - column0), self.canvas_size)

    def edges_on_slice(self, edges: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
        """A box row0, column0, row1, column1 on the canvas → on the slice; pixel 0 of both runs from 0 to 1."""
        (across, _, left), (_, down, top) = self.to_slice
        row0, row1 = (down * (edge - 0.5) + top + 0.5 for edge in edges[::2])
        column0, column1 = (across * (edge - 0.5) + left + 0.5 for edge in edges[1::2])
        return row0, column0, row1, column1

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """The whole canvas as a box on the slice."""
        return self.edges_on_slice((0.0, 0.0, float(self.canvas_size[0]), float(self.canvas_size[1])))


def _coarsened(picture: F32, to_slice: NDArray[np.float64]) -> tuple[F32, NDArray[np.float64]]:
    """A picture that will shrink four times or more, shrunk by whole blocks first, and the map from canvas to it.

    What is left is a shrinking by two or three. The wide blur of a whole radiograph would take longer than the model.
    """
    block = int(min(abs(to_slice[0, 0]), abs(to_slice[1, 1])) // 2)
    if block < 2:
        return picture, to_slice
    rows, columns = picture.shape[0] // block, picture.shape[1] // block
    whole = picture[: rows * block, : columns * block]
    small = cv2.resize(whole, (columns, rows), interpolation=cv2.INTER_AREA)
    offset = np.array([0.0, 0.0, (block - 1) / 2])  # the middle of the first block
    return np.asarray(small, np.float32), (to_slice - offset) / block


def placement(prepare: Prepare, slice_size: tuple[int, int], spacing_mm: tuple[float, float]) -> Placement:
    """Centre on centre, at the scale that the model wants; sizes and spacings are (down, across)."""
    (rows, columns), (height, width) = slice_size, prepare.size
    scale = rows / height, columns / width
    if prepare.fit == "inside":
        scale = (max(scale),) * 2
    elif prepare.spacing_mm is not None:
        scale = prepare.spacing_mm[0] / spacing_mm[0], prepare.spacing_mm[1] / spacing_mm[1]
    return centred(scale, ((rows - 1) / 2, (columns - 1) / 2), slice_size, prepare.size)


def centred(
    scale: tuple[float, float], centre: tuple[float, float], slice_size: tuple[int, int], canvas: tuple[int, int]
) -> Placement:
    """A canvas whose middle lies at the slice's pixel `centre`, and whose pixels are `scale` pixels of the slice."""
    (scale_y, scale_x), (height, width) = scale, canvas
    shift_x = centre[1] - scale_x * (width - 1) / 2
    shift_y = centre[0] - scale_y * (height - 1) / 2
    to_slice = np.array([[scale_x, 0.0, shift_x], [0.0, scale_y, shift_y]])
    return Placement(to_slice, slice_size, canvas)


@dataclass(frozen=True)
class Slicer:
    """A volume as one model sees it. Built once a volume; slices are numbered along the model's plane.

    `beside` are the series that the model reads together, in its order, each on the grid of `volume`, which is one.
    """

    volume: Volume
    axes: PlaneAxes
    where: Placement
    normalise: Normaliser
    floor: float
    neighbours: int = 0
    beside: tuple[Slicer, ...] = ()

    @classmethod
    def of(cls, volume: Volume, prepare: Prepare, inputs: Sequence[tuple[IntensityRule, Volume | None]] = ()) -> Slicer:
        """Measure the volume's grey values and lay its slices on the model's canvas.

        `inputs` are the series that the model reads together, None for `volume`, each with its own rule. Models that
        want to see the very same get the same slicer, as long as one of them has it.
        """
        if inputs:
            beside = tuple(cls.of(other or volume, replace(prepare, intensity=rule)) for rule, other in inputs)
            return replace(cls.of(volume, prepare), beside=beside)
        with _LOCK:  # the second one waits for the measures of the first
            shared = _SHARED.get((id(volume), prepare))
            if shared is None:
                shared = _SHARED[id(volume), prepare] = cls._measured(volume, prepare)
            return shared

    @classmethod
    def _measured(cls, volume: Volume, prepare: Prepare) -> Slicer:
        axes = plane_axes(volume.grid, prepare.plane)
        spacing = volume.grid.spacing[axes.down], volume.grid.spacing[axes.across]
        where = placement(prepare, axes.size(volume.grid.shape), spacing)
        sample = real_sample(volume)
        rule = normaliser(prepare.intensity, sample)
        return cls(volume, axes, where, rule, float(sample.min()), prepare.neighbours)

    @property
    def count(self) -> int:
        """How many slices there are in the model's plane."""
        return self.volume.grid.shape[self.axes.through]

    def tensor(self, index: int) -> F32:
        """What the model gets for one slice, shape (1, channels, rows, columns).

        The channels are the slice, or red, green and blue of it, or the slices `index` − neighbours to `index` +
        neighbours, of which those beyond the first and last one are that one again; of one series after the other.
        """
        if not self.beside:
            return self._own(index)
        return np.concatenate([slicer._own(index) for slicer in self.beside], axis=1)

    def _own(self, index: int) -> F32:
        near = range(index - self.neighbours, index + self.neighbours + 1)
        taken = [min(max(k, 0), self.count - 1) for k in near]
        if self.volume.colour:
            return np.ascontiguousarray(self._canvas(index).transpose(2, 0, 1)[None])
        return np.stack([self._canvas(k) for k in taken])[None]

    @cached_property
    def _canvas(self) -> Callable[[int], F32]:
        """A slice on the model's canvas; the last few are kept, for the slices beside it and for other models."""
        picture = partial(_picture, self.volume, self.axes, self.floor)
        normalise, where = self.normalise, self.where  # not `self`: a volume is freed with its last reference
        rows, columns = where.canvas_size
        few = max(4 * self.neighbours, _KEPT_BYTES // (rows * columns * (12 if self.volume.colour else 4)))
        return lru_cache(maxsize=few)(lambda index: prepared(picture(index), normalise, where))

    def picture(self, index: int) -> F32:
        """Real values of one slice as it lies on the screen, shape (down, across), or (down, across, 3) in colour."""
        return _picture(self.volume, self.axes, self.floor, index)


def _picture(volume: Volume, axes: PlaneAxes, floor: float, index: int) -> F32:
    return np.asarray(axes.picture(real_values(volume, axes.slab(index), floor), 0), np.float32)


def prepared(picture: F32, normalise: Normaliser, where: Placement) -> F32:
    """One slice of real values, shape (rows, columns[, 3]) → the model's canvas: the whole of preprocessing."""
    return where.onto_canvas(normalise(picture), fill=normalise.background)


def real_sample(volume: Volume) -> NDArray[np.float64]:
    """A fixed sample of the volume's real values, every slice equally represented; padding is as dark as the rest."""
    k, j, i = volume.grid.shape
    step = max(1, round((k * j * i / 2_000_000) ** 0.5))
    thin = slice(step // 2, None, step)
    return real_values(volume, (slice(None), thin, thin))


def real_values(volume: Volume, box: Box, floor: float | None = None) -> NDArray[np.float64]:
    """Real values of a box, bright where the image is bright.

    Padding (PS3.3 C.7.5.1.1.2) takes the value `floor`, by default the least of the others. MONOCHROME1 (PS3.3
    C.7.6.3.1.2), where the least value is white, is turned over within the range of its stored values.
    """
    if volume.colour:
        return volume.voxels[box].astype(np.float64)
    real = volume.real(box)
    if volume.stack.encoding.photometric == "MONOCHROME1":
        real = _turned(volume, box, real)
    if volume.stack.padding is not None:
        stored, (low, high) = volume.voxels[box], volume.stack.padding
        padding = (stored >= low) & (stored <= high)
        if padding.any() and not (floor is None and padding.all()):
            real[padding] = real[~padding].min() if floor is None else floor
    return real


def _turned(volume: Volume, box: Box, real: NDArray[np.float64]) -> NDArray[np.float64]:
    """Real values, the least that can be stored becoming the greatest."""
    encoding, table = volume.stack.encoding, volume.stack.modality_lut
    if table is not None:
        return np.asarray(table.values.min() + table.values.max() - real)
    ends = (-1.0) if encoding.signed else 2.0**encoding.bits_stored - 1  # least and greatest stored value together
    slope, intercept = (line[box[0], None, None] for line in (volume.slope, volume.intercept))
    return np.asarray(slope * ends + 2 * intercept - real)
