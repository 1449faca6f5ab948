"""Where a tool may draw: a range of values, inside or outside of other findings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from overread.domain.finding import Bools, Mask
from overread.domain.geometry import Box
from overread.domain.volume import Volume
from overread.imaging.editing.boxes import around, crop, placed


@dataclass(frozen=True)
class Limits:
    """The voxels that a tool may touch: all, but for what is said here. `range` is of real values, both included."""

    volume: Volume
    range: tuple[float, float] | None = None
    inside: Mask | None = None
    outside: tuple[Mask, ...] = ()

    @property
    def free(self) -> bool:
        """Whether everything may be touched."""
        return self.range is None and self.inside is None and not self.outside

    def __call__(self, box: Box) -> Bools:
        """Which voxels of a box may be touched, shape that of the box."""
        allowed = np.ones([part.stop - part.start for part in box], np.bool_)
        if self.range is not None:
            real = self.volume.real(box)
            allowed &= (real >= self.range[0]) & (real <= self.range[1])
        if self.inside is not None:
            allowed &= crop(self.inside, box)
        for mask in self.outside:
            allowed &= ~crop(mask, box)
        return allowed

    def apply(self, before: Mask, after: Mask) -> Mask:
        """`after` where voxels may be touched, `before` where they may not."""
        if self.free:
            return after
        box = around((before, after), before.shape)
        return placed(np.where(self(box), crop(after, box), crop(before, box)), box, before.shape)
