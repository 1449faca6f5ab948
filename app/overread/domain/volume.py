"""Voxels as they were stored, where they are, and how they become real values."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overread.domain.geometry import Box, Floats, Grid
from overread.domain.study import Stack


@dataclass(frozen=True, eq=False)
class Volume:
    """The stored voxels of one stack, read-only, shape (k, j, i) or (k, j, i, 3) for colour.

    `slope` and `intercept`, shape (k,), turn stored values into real ones (Modality LUT, PS3.3 C.11.1);
    they are kept for each slice because scanners may change them from slice to slice.
    While a stack streams in, the voxels of a slice are undefined until `Ready` says that it is there.
    """

    stack: Stack
    voxels: NDArray[Any]
    slope: Floats
    intercept: Floats

    def __post_init__(self) -> None:
        if self.voxels.shape[:3] != self.grid.shape:
            raise ValueError("voxels and grid differ in shape")
        if self.slope.shape != (self.grid.shape[0],) or self.intercept.shape != (self.grid.shape[0],):
            raise ValueError("slope and intercept hold one number a slice")
        view = self.voxels.view()
        view.setflags(write=False)
        object.__setattr__(self, "voxels", view)

    @property
    def grid(self) -> Grid:
        """Where the voxels are."""
        return self.stack.grid

    @property
    def uid(self) -> str:
        """The stack's identity; two volumes of one stack hold the same voxels."""
        return self.stack.uid

    @property
    def colour(self) -> bool:
        """Whether a voxel holds red, green and blue."""
        return self.voxels.ndim == 4

    @cached_property
    def uniform(self) -> bool:
        """Whether one slope and intercept hold for all slices."""
        return bool((self.slope == self.slope[0]).all() and (self.intercept == self.intercept[0]).all())

    def real(self, box: Box) -> Floats:
        """Real values of a box of a grey image (Modality LUT, or slope and intercept), float64, shape (k, j, i)."""
        stored = self.voxels[box].astype(np.float64)
        if self.stack.modality_lut is not None:
            return self.stack.modality_lut.apply(stored)
        stored *= self.slope[box[0], None, None]
        stored += self.intercept[box[0], None, None]
        return stored

    def value(self, k: int, j: int, i: int) -> float:
        """The real value of one voxel of a grey image."""
        return float(self.real((slice(k, k + 1), slice(j, j + 1), slice(i, i + 1)))[0, 0, 0])


@dataclass(frozen=True)
class Ready:
    """Which slices of a volume are there: one byte a slice along k, 1 = there, 2 = could not be read."""

    slices: bytes
    failures: tuple[str, ...] = field(default=())

    @property
    def complete(self) -> bool:
        """Whether nothing is outstanding any more."""
        return 0 not in self.slices

    @property
    def whole(self) -> bool:
        """Whether every slice was read."""
        return self.slices.count(1) == len(self.slices)

    @property
    def unread(self) -> str:
        """Which slices could not be read, in words; "" where there are none."""
        numbers = [str(k + 1) for k, state in enumerate(self.slices) if state == 2]
        if len(numbers) < 2:
            return f"slice {numbers[0]} could not be read" if numbers else ""
        named, more = numbers[:3], len(numbers) - 3
        last = f"{more} more" if more > 0 else named.pop()
        return f"slices {', '.join(named)} and {last} could not be read"

    @property
    def fraction(self) -> float:
        """How much has been dealt with, 0 to 1."""
        return 1.0 - self.slices.count(0) / max(len(self.slices), 1)
