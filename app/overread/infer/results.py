"""What a model says about one slice: values that can be drawn while the reader scrolls."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Patch:
    """What one output of a model says about one slice, cropped to the pixels that count.

    `start` is the row and column of the crop in the slice's picture (rows down, columns across the screen); `mask`
    the pixels above the threshold, `score` their probability in 255ths.
    """

    start: tuple[int, int]
    mask: NDArray[np.bool_]
    score: NDArray[np.uint8]


@dataclass(frozen=True)
class SliceBox:
    """A box that a model saw on a slice, with its score, 0 to 1.

    `edges` are row0, column0, row1, column1 in the slice's picture, where pixel 0 runs from 0 to 1.
    """

    edges: tuple[float, float, float, float]
    score: float
    label: str
    colour: str


@dataclass(frozen=True)
class SliceClass:
    """The probability, 0 to 1, of one class of an image, and from where on the model calls it present."""

    label: str
    probability: float
    threshold: float
    colour: str

    @property
    def positive(self) -> bool:
        """Whether the model calls it present."""
        return self.probability >= self.threshold


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

    What it holds depends on the task: a patch for each output (None where it saw nothing), boxes, surest first,
    or classes.
    """

    index: int
    patches: tuple[Patch | None, ...]
    timing: Timing
    boxes: tuple[SliceBox, ...] = ()
    classes: tuple[SliceClass, ...] = ()
