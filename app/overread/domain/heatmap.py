"""Where in an image a model found what speaks for a class."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from overread.domain.geometry import Plane


@dataclass(frozen=True)
class Heatmap:
    """A class activation map on one slice, as coarse as the model's layer has it; of no class where `label` is "".

    `packed` are `shape` (h, w) little-endian float32 values in C order, in the units of the network's activations:
    the greater, the more speaks for `label`; below 0 it speaks against it. The map fills `extent`: row0, column0,
    row1, column1 in pixels of the slice `index` as it lies on the screen in `plane` (rows down, columns across),
    where pixel 0 runs from 0 to 1. `extent` may reach beyond the slice where the model's canvas does. `backend` is what
    ran it, where that was another run than the one that made the finding.
    """

    shape: tuple[int, int]
    packed: bytes
    extent: tuple[float, float, float, float]
    plane: Plane
    index: int
    label: str
    method: str
    layer: str
    backend: str = ""

    def __post_init__(self) -> None:
        if len(self.packed) != 4 * self.shape[0] * self.shape[1] or min(self.shape) < 1:
            raise ValueError("a heatmap holds one number for each of its cells")
        if not (self.extent[0] < self.extent[2] and self.extent[1] < self.extent[3]):
            raise ValueError("a heatmap covers something")

    @classmethod
    def of(
        cls,
        values: NDArray[np.floating],
        extent: tuple[float, float, float, float],
        plane: Plane,
        index: int,
        label: str,
        method: str,
        layer: str,
        backend: str = "",
    ) -> Heatmap:
        """Pack `values`, shape (h, w)."""
        rows, columns = values.shape
        packed = values.astype("<f4").tobytes()
        return cls((rows, columns), packed, extent, plane, index, label, method, layer, backend)

    @property
    def values(self) -> NDArray[np.float32]:
        """The map, shape (h, w), read-only."""
        return np.frombuffer(self.packed, "<f4").astype(np.float32, copy=False).reshape(self.shape)


@dataclass(frozen=True)
class Reason:
    """What a model answered when a reader asked why it drew a finding: a map on one slice, and when it was given.

    `about` is the digest of the voxels that it was asked about. It says nothing of others: once the finding is redrawn
    it is stale, and holds again when that is undone.
    """

    heatmap: Heatmap
    about: str
    when: datetime

    @property
    def question(self) -> tuple[str, Plane, int]:
        """What was asked: of which voxels, on which slice."""
        return self.about, self.heatmap.plane, self.heatmap.index
