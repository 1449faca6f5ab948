"""Where boxes and measurements can be taken hold of with the mouse. Numbers alone; places are device pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from overread.render.boxes import BoxMark
from overread.render.measures import MeasureMark
from overread.render.projection import Projection

# How near the mouse has to be (logical pixels); a box whose sides are shorter than so many of it has no middle grips.
REACH = 7.0
_ROOMY = 6.0


@dataclass(frozen=True)
class BoxGrip:
    """A place on the line of a box: the sides that move with it, -1, 0 or +1 down and across; none moves the box."""

    mark: BoxMark
    down: int = 0
    across: int = 0

    @property
    def moves(self) -> bool:
        """Whether the whole box moves."""
        return not (self.down or self.across)


@dataclass(frozen=True)
class MeasureGrip:
    """A place on a measurement: one of its points, or with None its line, which moves all of it."""

    mark: MeasureMark
    handle: int | None


def box_grip(mark: BoxMark, projection: Projection, x: float, y: float, ratio: float) -> BoxGrip | None:
    """What is under a place of a box's line: corners and middles of the sides resize, the rest of the line moves.

    On small boxes corners give way, so that a third of each side is left to move it by.
    """
    left, top, right, bottom = mark.on_screen(projection)
    reach, wide, high = REACH * ratio, right - left, bottom - top
    if not (left - reach <= x <= right + reach and top - reach <= y <= bottom + reach):
        return None
    across = _end(x, left, right, min(reach, wide / 3))
    down = _end(y, top, bottom, min(reach, high / 3))
    if across and down:
        return BoxGrip(mark, down, across)
    on_side, on_level = min(abs(x - left), abs(x - right)) <= reach, min(abs(y - top), abs(y - bottom)) <= reach
    if on_side and abs(x - left) != abs(x - right) and not down:
        if high >= _ROOMY * reach and abs(y - (top + bottom) / 2) <= reach:
            return BoxGrip(mark, 0, -1 if abs(x - left) < abs(x - right) else 1)
        return BoxGrip(mark)
    if on_level and not across:
        if wide >= _ROOMY * reach and abs(x - (left + right) / 2) <= reach:
            return BoxGrip(mark, -1 if abs(y - top) < abs(y - bottom) else 1, 0)
        return BoxGrip(mark)
    return BoxGrip(mark) if on_side or on_level else None


def _end(at: float, low: float, high: float, reach: float) -> int:
    if abs(at - low) <= reach or (at < low and low - at <= REACH * 2):
        return -1
    if abs(at - high) <= reach or (at > high and at - high <= REACH * 2):
        return 1
    return 0


def handles(mark: BoxMark, projection: Projection, ratio: float) -> list[tuple[float, float]]:
    """Where the squares of a selected box are drawn."""
    left, top, right, bottom = mark.on_screen(projection)
    places = [(float(x), float(y)) for x in (left, right) for y in (top, bottom)]
    if bottom - top >= _ROOMY * REACH * ratio:
        places += [(left, (top + bottom) / 2), (right, (top + bottom) / 2)]
    if right - left >= _ROOMY * REACH * ratio:
        places += [((left + right) / 2, top), ((left + right) / 2, bottom)]
    return places


def measure_grip(mark: MeasureMark, projection: Projection, x: float, y: float, ratio: float) -> MeasureGrip | None:
    """What is under a place of a measurement: the nearest of its points, else its line."""
    reach = REACH * ratio
    far = [math.hypot(x - px, y - py) for px, py in mark.points(projection)]
    if min(far) <= reach:
        return MeasureGrip(mark, far.index(min(far)))
    here = np.array([x, y])
    for line in mark.strokes(projection):
        start, way = line[:-1], np.diff(line, axis=0)
        share = np.clip(((here - start) * way).sum(axis=1) / np.maximum((way**2).sum(axis=1), 1e-9), 0, 1)
        nearest = start + share[:, None] * way
        if np.hypot(*(nearest - here).T).min() <= reach * 0.7:
            return MeasureGrip(mark, None)
    return None
