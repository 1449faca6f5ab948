"""What others drew or wrote on an image that is neither a region nor a measurement."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from overread.domain.measurement import Point


class Drawn(StrEnum):
    """What a mark is: places, a line, a closed outline, text alone, or a slice as a whole (its one point names k)."""

    POINTS = "points"
    LINE = "line"
    OUTLINE = "outline"
    TEXT = "text"
    IMAGE = "image"


@dataclass(frozen=True)
class Mark:
    """Points (fractional k, j, i) on one slice of the stack, how they are drawn, and what stands beside them."""

    drawn: Drawn
    points: tuple[Point, ...]
    text: str = ""

    def __post_init__(self) -> None:
        if not self.points:
            raise ValueError("a mark lies somewhere")

    @property
    def whole(self) -> bool:
        """Whether it speaks of the slice as a whole."""
        return self.drawn is Drawn.IMAGE

    @property
    def index(self) -> int:
        """The slice (k) that it lies on."""
        return round(self.points[0][0])
