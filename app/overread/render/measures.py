"""What was measured, drawn on its slice: lines, and where its numbers stand without hiding the picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from overread.domain.finding import Finding, Status
from overread.domain.measurement import Measurement, Shape, Value
from overread.domain.ruler import Scale
from overread.render.overlay import COLOURS
from overread.render.projection import Projection

Bytes = NDArray[np.uint8]
Lines = list[NDArray[np.float64]]
# Left, top, width and height, screen pixels.
Rect = tuple[float, float, float, float]

_TURN = 72  # corners of an ellipse on the screen
_SHIFT = 4  # sixteenths of a pixel: lines move as finely as the mouse
_ROOM = 10.0
_UNITS = {"{pixels}": "px", "mm2": "mm²", "[hnsf'U]": "HU", "deg": "°", "1": ""}


@dataclass(frozen=True)
class MeasureMark:
    """A measurement on a slice. `lines` are its numbers in words, `finding_id` is that of its finding."""

    made: Measurement
    lines: tuple[str, ...]
    status: Status
    selected: bool = False
    finding_id: str = ""

    def points(self, projection: Projection) -> list[tuple[float, float]]:
        """Where its points lie on the screen, (x, y)."""
        return [projection.to_screen(point) for point in self.made.points]

    def strokes(self, projection: Projection) -> Lines:
        """Its lines on the screen, each (n, 2) places (x, y)."""
        points = np.array(self.points(projection))
        shape = self.made.shape
        if shape is Shape.BIDIRECTIONAL:
            return [points[:2], points[2:]]
        if shape is Shape.ELLIPSE:
            centre, (u, v) = points.mean(axis=0), ((points[1] - points[0]) / 2, (points[3] - points[2]) / 2)
            turn = np.linspace(0, 2 * math.pi, _TURN + 1)[:, None]
            return [centre + np.cos(turn) * u + np.sin(turn) * v]
        return [points]

    def bounds(self, projection: Projection) -> Rect:
        """The smallest rectangle around it on the screen."""
        every = np.concatenate(self.strokes(projection))
        (left, top), (right, bottom) = every.min(axis=0), every.max(axis=0)
        return float(left), float(top), float(right - left), float(bottom - top)


def measure_marks(findings: Sequence[Finding], projection: Projection, selected: str | None) -> list[MeasureMark]:
    """What was measured on the slice that a projection shows, the selected one on top."""
    marks = []
    for finding in sorted(findings, key=lambda f: f.id == selected):
        made = finding.measurement
        if made is not None and made.plane is projection.axes.plane and made.index == projection.index:
            lines = (f"{finding.title}  {first}" if number == 0 else first for number, first in enumerate(words(made)))
            marks.append(MeasureMark(made, tuple(lines), finding.status, finding.id == selected, finding.id))
    return marks


def words(made: Measurement) -> tuple[str, ...]:
    """The numbers of a measurement as they are read; where a millimetre is none in the patient, what it is."""
    remark = f" {made.scale.remark}" if made.scale.remark else ""
    if made.scale is Scale.NONE:
        remark = f" ({made.scale.remark})"
    if made.shape is Shape.ANGLE:
        return (f"{made.values[0].number:.1f}°",) if made.values else ()
    if made.shape is Shape.BIDIRECTIONAL and len(made.values) == 2:
        long, short = made.values
        return (f"{_number(long)} × {_number(short)} {_unit(long)}{remark}",)
    lines = [f"{_number(value)} {_unit(value)}{remark}" for value in made.values[:1]]
    if len(made.values) == 5:
        mean, deviation, least, greatest = (f"{value.number:.4g}" for value in made.values[1:])
        unit = f" {_unit(made.values[1])}".rstrip()
        lines += [f"mean {mean} ± {deviation}{unit}", f"{least} … {greatest}{unit}"]
    return tuple(lines)


def _number(value: Value) -> str:
    return f"{value.number:.0f}" if value.unit.value == "{pixels}" else f"{value.number:.1f}"


def _unit(value: Value) -> str:
    return _UNITS.get(value.unit.value, value.unit.meaning)


def draw_measures(rgb: Bytes, marks: Sequence[MeasureMark], projection: Projection, thickness: float) -> None:
    """Draw measurements onto a picture (height, width, 3) of the pane, in place: thin lines with a dark rim."""
    width, height = projection.size
    for mark in marks:
        lines = [_fixed(line, width, height) for line in mark.strokes(projection)]
        thin = max(1, round(thickness * 0.75))
        for colour, wide in (((0, 0, 0), thin + 1 + mark.selected), (COLOURS[mark.status], thin)):
            cv2.polylines(rgb, lines, False, colour, wide, cv2.LINE_AA, _SHIFT)


def _fixed(line: NDArray[np.float64], width: int, height: int) -> NDArray[np.int32]:
    """Places in sixteenths of a pixel, as OpenCV counts them; its pixel 0 has its middle at 0."""
    far = 4 * max(width, height)
    return np.rint((np.clip(line, -far, far) - 0.5) * (1 << _SHIFT)).astype(np.int32)


def beside(bounds: Rect, size: tuple[float, float], pane: tuple[float, float], taken: Sequence[Rect]) -> Rect:
    """Where a text of `size` (width, height) stands: near a figure, not over it, other texts or the pane's middle.

    The middle is a quarter of the pane each way. The place is the free one nearest to the figure; where all are taken,
    the side of the middle that is nearer.
    """
    left, top, wide, high = bounds
    centre_x, centre_y = left + wide / 2, top + high / 2
    text_x, text_y = centre_x - size[0] / 2, centre_y - size[1] / 2
    middle = middle_of(pane)
    corners = []
    for x, y, w, h in ((left, top, wide, high), middle):
        corners += [(x + w + _ROOM, text_y), (x - _ROOM - size[0], text_y)]
        corners += [(text_x, y + h + _ROOM), (text_x, y - _ROOM - size[1])]
        corners += [(a, b) for a in (x + w + _ROOM, x - _ROOM - size[0]) for b in (y - size[1], y + h)]
    places = [_kept(x, y, size, pane) for x, y in corners]
    free = [p for p in places if not any(overlaps(p, other) for other in (bounds, middle, *taken))]
    ranked = sorted(free or places[-4:], key=lambda p: _away(p, centre_x, centre_y))
    return ranked[0]


def middle_of(pane: tuple[float, float]) -> Rect:
    """The part of a pane where no text stands."""
    return 3 * pane[0] / 8, 3 * pane[1] / 8, pane[0] / 4, pane[1] / 4


def _kept(x: float, y: float, size: tuple[float, float], pane: tuple[float, float]) -> Rect:
    wide, high = size
    return (
        min(max(x, _ROOM), max(pane[0] - wide - _ROOM, 0.0)),
        min(max(y, _ROOM), max(pane[1] - high - _ROOM, 0.0)),
        wide,
        high,
    )


def overlaps(one: Rect, other: Rect) -> bool:
    """Whether two rectangles share anything."""
    return (
        one[0] < other[0] + other[2]
        and other[0] < one[0] + one[2]
        and one[1] < other[1] + other[3]
        and other[1] < one[1] + one[3]
    )


def _away(place: Rect, x: float, y: float) -> float:
    return math.hypot(place[0] + place[2] / 2 - x, place[1] + place[3] / 2 - y)
