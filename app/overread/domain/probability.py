"""How likely a model held each voxel that it drew, and those around."""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from overread.domain.geometry import Box, Index

# The largest box, in voxels and so in bytes, of which probabilities are kept: a lesion's or an organ's, no lungs'.
LARGEST = 16 << 20


@dataclass(frozen=True, eq=False)
class Probabilities:
    """A model's probabilities in 255ths, in a box around what it drew, deflated; 0 beyond.

    `shape` is the grid's (k, j, i), `start` the box's first voxel, `extent` its size; `packed` one byte for each voxel
    of the box in C order, deflated. Beyond the box 0 says that they were not kept. So it does within, outside of what
    was drawn, for a model that reads all of a volume at once: of several labels it keeps only how sure the one was that
    won. Two are equal when they say the same.
    """

    shape: Index
    start: Index
    extent: Index
    packed: bytes

    def __post_init__(self) -> None:
        if any(not 0 <= a < a + n <= size for a, n, size in zip(self.start, self.extent, self.shape, strict=True)):
            raise ValueError("the box of probabilities lies within its grid")
        if int(np.prod(self.extent)) > LARGEST:
            raise ValueError(f"probabilities are kept for {LARGEST} voxels at most")

    @classmethod
    def of(cls, values: NDArray[np.uint8], start: Index, shape: Index) -> Probabilities | None:
        """Those of a box (k, j, i), which lies at `start` in a grid of `shape`; None where it is too large to keep."""
        if values.size > LARGEST:
            return None
        extent = (values.shape[0], values.shape[1], values.shape[2])
        return cls(shape, start, extent, zlib.compress(values.tobytes(), 1))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Probabilities) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    @property
    def _key(self) -> tuple[Index, Index, Index, bytes]:
        return self.shape, self.start, self.extent, self.packed

    @cached_property
    def digest(self) -> str:
        """SHA-256 over place, size and values."""
        return hashlib.sha256(b"probabilities" + repr(self._key[:3]).encode() + self.packed).hexdigest()

    @property
    def box(self) -> Box:
        """The box within the grid."""
        k, j, i = (slice(at, at + size) for at, size in zip(self.start, self.extent, strict=True))
        return k, j, i

    @property
    def inner(self) -> NDArray[np.uint8]:
        """The values of the box in 255ths, shape `extent`, read-only. ValueError where they are not so many."""
        size = int(np.prod(self.extent))
        unpack = zlib.decompressobj()
        try:
            values = unpack.decompress(self.packed, size + 1)
        except zlib.error as error:
            raise ValueError("probabilities are damaged") from error
        if len(values) != size:
            raise ValueError("probabilities hold one byte for each voxel of their box")
        return np.frombuffer(values, np.uint8).reshape(self.extent)

    @property
    def voxels(self) -> NDArray[np.uint8]:
        """The values of all voxels of the grid in 255ths, shape `shape`."""
        whole = np.zeros(self.shape, np.uint8)
        whole[self.box] = self.inner
        return whole
