"""What a reader measures on a slice with a few points, and the numbers that come of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from overread.domain.geometry import Floats, Grid, Plane
from overread.domain.ruler import Scale

if TYPE_CHECKING:
    from overread.domain.finding import Code

# A fractional voxel index (k, j, i).
Point = tuple[float, float, float]


class Shape(StrEnum):
    """What is measured, and what its points are.

    LENGTH: both ends. BIDIRECTIONAL: the ends of the long and of the short axis. ANGLE: one end, the vertex, the other
    end. ELLIPSE: the ends of the longer and of the shorter diameter, as an SR wants them (PS3.3 C.18.6.1.2).
    """

    LENGTH = "length"
    BIDIRECTIONAL = "bidirectional"
    ANGLE = "angle"
    ELLIPSE = "ellipse"

    @property
    def size(self) -> int:
        """How many points it has."""
        return {Shape.LENGTH: 2, Shape.ANGLE: 3}.get(self, 4)


@dataclass(frozen=True)
class Value:
    """A number, what it is of, and its unit (UCUM). `derivation` says which statistic it is, where it is one."""

    name: Code
    number: float
    unit: Code
    derivation: Code | None = None


@dataclass(frozen=True)
class Measurement:
    """Points on slice `index` of a plane of the grid, and what was measured with them.

    `scale` says what its millimetres are. `values` are rounded as they are shown, so that the list, the journal and
    what leaves say the same.
    """

    shape: Shape
    plane: Plane
    index: int
    points: tuple[Point, ...]
    values: tuple[Value, ...] = ()
    scale: Scale = Scale.PATIENT

    def __post_init__(self) -> None:
        if len(self.points) != self.shape.size:
            raise ValueError(f"{self.shape} has {self.shape.size} points")

    def lps(self, grid: Grid) -> Floats:
        """Where the points are in the patient, mm, shape (points, 3); of no meaning where the grid has no place."""
        return grid.to_lps(self.points)
