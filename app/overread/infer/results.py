"""What a model says about one slice: values that can be drawn while the reader scrolls."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from overread.domain.errors import UserError
from overread.domain.heatmap import Heatmap


def require_numbers(answers: Iterable[NDArray[np.float32]], what: str) -> None:
    """UserError where an answer holds no number: nothing is above a threshold then, as on a clean slice."""
    if not all(np.isfinite(answer).all() for answer in answers):
        raise UserError(f"{what}, so nothing was read.", "Run “overread models check”.")


@dataclass(frozen=True, eq=False)
class Patch:
    """What one output of a model draws on one slice, cropped to the pixels that count, and compressed.

    `start` is the row and column of the crop in the slice's picture (rows down, columns across the screen), `shape` its
    size; `packed` are the bits of the mask in C order, deflated.
    """

    start: tuple[int, int]
    shape: tuple[int, int]
    packed: bytes

    @classmethod
    def of(cls, mask: NDArray[np.bool_]) -> Patch | None:
        """The patch of a whole picture; None where the mask is empty."""
        box = _cropped(mask)
        if box is None:
            return None
        inner = mask[box]
        bits = zlib.compress(np.packbits(inner, axis=None).tobytes(), 1)
        return cls((box[0].start, box[1].start), (inner.shape[0], inner.shape[1]), bits)

    @property
    def mask(self) -> NDArray[np.bool_]:
        """The pixels above the threshold, shape `shape`."""
        rows, columns = self.shape
        bits = np.unpackbits(np.frombuffer(zlib.decompress(self.packed), np.uint8), count=rows * columns)
        return bits.view(np.bool_).reshape(self.shape)

    @property
    def box(self) -> tuple[slice, slice]:
        """The crop within the picture."""
        return _box(self.start, self.shape)

    @property
    def nbytes(self) -> int:
        """What it takes of the memory."""
        return len(self.packed)


@dataclass(frozen=True, eq=False)
class Levels:
    """The probabilities of one output on one slice in 255ths, cropped to what is not 0; `packed` are deflated."""

    start: tuple[int, int]
    shape: tuple[int, int]
    packed: bytes

    @classmethod
    def of(cls, probability: NDArray[np.float32]) -> Levels | None:
        """Those of a whole picture; None where all of them are nearer to 0 than to a 255th."""
        levels = cv2.convertScaleAbs(probability, alpha=255)
        box = _cropped(levels > 0)
        if box is None:
            return None
        inner = np.asarray(levels[box], np.uint8)
        packed = zlib.compress(inner.tobytes(), 1)
        return cls((box[0].start, box[1].start), (inner.shape[0], inner.shape[1]), packed)

    @property
    def values(self) -> NDArray[np.uint8]:
        """They themselves, shape `shape`, read-only."""
        return np.frombuffer(zlib.decompress(self.packed), np.uint8).reshape(self.shape)

    @property
    def box(self) -> tuple[slice, slice]:
        """The crop within the picture."""
        return _box(self.start, self.shape)

    @property
    def nbytes(self) -> int:
        """What it takes of the memory."""
        return len(self.packed)


def _cropped(held: NDArray[np.bool_]) -> tuple[slice, slice] | None:
    rows, columns = np.flatnonzero(held.any(axis=1)), np.flatnonzero(held.any(axis=0))
    if rows.size == 0:
        return None
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _box(start: tuple[int, int], shape: tuple[int, int]) -> tuple[slice, slice]:
    return slice(start[0], start[0] + shape[0]), slice(start[1], start[1] + shape[1])


Edges = tuple[float, float, float, float]


@dataclass(frozen=True, eq=False)
class SliceBox:
    """A box that a model saw on a slice, with its score, 0 to 1, and the outline within where the model draws one.

    `edges` are row0, column0, row1, column1 in the slice's picture, where pixel 0 runs from 0 to 1.
    """

    edges: Edges
    score: float
    label: str
    colour: str
    outline: Patch | None = None


@dataclass(frozen=True)
class SliceClass:
    """The probability, 0 to 1, of one class on a slice.

    `threshold` is from where on the model calls it present; None where classes compete and the likeliest counts.
    """

    label: str
    probability: float
    colour: str
    threshold: float | None = None


@dataclass(frozen=True)
class Timing:
    """Milliseconds spent on a slice: preparing, running, and bringing the answer back."""

    pre: float
    run: float
    post: float

    @property
    def total(self) -> float:
        """All of it."""
        return self.pre + self.run + self.post


@dataclass(frozen=True, eq=False)
class SliceResult:
    """A model's answer for one slice.

    What it holds depends on the task: a patch for each output (None where it saw nothing), how likely each held each
    pixel where no second look will say that better, and where the model tells kinds apart their probabilities; boxes,
    surest first; or classes with a heatmap each. `backend` is what ran it.
    """

    index: int
    patches: tuple[Patch | None, ...] = ()
    timing: Timing = Timing(0.0, 0.0, 0.0)
    boxes: tuple[SliceBox, ...] = ()
    classes: tuple[SliceClass, ...] = ()
    heatmaps: tuple[Heatmap, ...] = ()
    backend: str = ""
    levels: tuple[Levels | None, ...] = ()

    @property
    def nbytes(self) -> int:
        """About what it takes of the memory, with what Python keeps beside the values."""
        drawn = (*self.patches, *self.levels, *(box.outline for box in self.boxes))
        parts = len(self.patches) + len(self.levels) + len(self.boxes) + len(self.classes) + len(self.heatmaps)
        values = sum(patch.nbytes for patch in drawn if patch is not None)
        return 512 + 256 * parts + values + sum(len(heatmap.packed) for heatmap in self.heatmaps)
