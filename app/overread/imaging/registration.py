"""What a registration comes to. Apart from the finding of it, which brings in all of SimpleITK."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from overread.domain.geometry import Floats


@dataclass(frozen=True, eq=False)
class Registration:
    """A rigid motion and how well it fits.

    `motion` (4×4) takes LPS mm of the fixed image to LPS mm of the moving one. `before` and `after` are the mutual
    information in nats, as the headers have it and after the motion; `overlap` the part of the fixed image, 0 to 1,
    that the moving one then covers; `ambiguous` whether another start ended elsewhere, nearly as well.
    """

    motion: Floats
    before: float
    after: float
    overlap: float
    ambiguous: bool

    @property
    def angle_deg(self) -> float:
        """How far it turns."""
        return float(np.degrees(np.arccos(np.clip((np.trace(self.motion[:3, :3]) - 1) / 2, -1, 1))))

    def shift_mm(self, at: Floats) -> float:
        """How far it moves a place, LPS mm, shape (3,)."""
        return float(np.linalg.norm(self.motion[:3, :3] @ at + self.motion[:3, 3] - at))

    @property
    def trusted(self) -> bool:
        """Whether it is any good: not worse than the headers, on at least half of the image, and found clearly."""
        return self.after >= 0.98 * self.before and self.overlap >= 0.5 and not self.ambiguous
