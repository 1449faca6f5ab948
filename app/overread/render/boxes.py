"""Boxes around what a detector saw, on every slice that they cross."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from overread.domain.finding import Finding, Kind, Status
from overread.domain.geometry import PlaneAxes
from overread.imaging.boxes import edges_of
from overread.render.overlay import is_dashed, outline
from overread.render.projection import Projection

Bytes = NDArray[np.uint8]
# Lines of boxes beside those of outlines: they say where something is, and should not hide it.
_THIN = 0.75
# Screen pixels between the box and its line: the line does not hide the edge of what is small.
_ROOM = 3


@dataclass(frozen=True)
class BoxMark:
    """A box of one slice to draw.

    `edges` are row0, column0, row1, column1 in the slice's picture, where pixel 0 runs from 0 to 1; `text` is what
    stands beside it. `finding_id` is that of the finding, "" while the model is still at work.
    """

    edges: tuple[float, float, float, float]
    text: str
    status: Status = Status.PROPOSED
    selected: bool = False
    finding_id: str = ""

    def on_screen(self, projection: Projection) -> tuple[int, int, int, int]:
        """Left, top, right and bottom of its line in screen pixels, with some room around the box."""
        (left, top), (across, down) = projection.corner, projection.scale
        row0, column0, row1, column1 = self.edges
        return (
            round(left + column0 * across) - _ROOM,
            round(top + row0 * down) - _ROOM,
            round(left + column1 * across) + _ROOM - 1,
            round(top + row1 * down) + _ROOM - 1,
        )


def box_marks(
    findings: Sequence[Finding],
    axes: PlaneAxes,
    index: int,
    selected: str | None,
    marked: frozenset[str] = frozenset(),
) -> list[BoxMark]:
    """The boxes of the detections that a slice crosses, the selected one on top; those `marked` look selected too."""
    marks: list[BoxMark] = []
    for finding in sorted(findings, key=lambda f: f.id == selected):
        bounds = finding.bounds if finding.kind is Kind.DETECTION else None
        if bounds is None:
            continue
        if not bounds[axes.through] <= index < bounds[3 + axes.through]:
            continue
        edges = edges_of(bounds, axes, finding.mask.shape)
        text = box_text(finding.title, finding.score)
        chosen = finding.id == selected or finding.id in marked
        marks.append(BoxMark(edges, text, finding.status, chosen, finding.id))
    return marks


def box_text(name: str, score: float | None) -> str:
    """What stands beside a box: its name and the model's score."""
    return name if score is None else f"{name}  {score:.2f}"


def draw_boxes(rgb: Bytes, marks: Sequence[BoxMark], projection: Projection, thickness: float) -> None:
    """Draw boxes onto a picture (height, width, 3) of the pane, in place. `thickness` is screen pixels of a line."""
    width, height = projection.size
    for mark in marks:
        left, top, right, bottom = mark.on_screen(projection)
        if right < 0 or bottom < 0 or left >= width or top >= height:
            continue
        # Far beyond the pane nothing is seen of a line, but its pixels would still be counted.
        left, top = max(left, -width), max(top, -height)
        right, bottom = min(right, 2 * width), min(bottom, 2 * height)
        # A double line is broad enough: what is small would not be seen in a broader one.
        broad = mark.selected and mark.status is not Status.EDITED
        # Dashes are counted pixel by pixel; other lines do with their corners, which are drawn many times as fast.
        line = _around(left, top, right, bottom) if is_dashed(mark.status) else _corners(left, top, right, bottom)
        outline(rgb, [line], mark.status, thickness * _THIN, selected=broad)


def _corners(left: int, top: int, right: int, bottom: int) -> NDArray[np.int32]:
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)], np.int32)


def _around(left: int, top: int, right: int, bottom: int) -> NDArray[np.int32]:
    """The pixels (x, y) of a rectangle's line, one after the other, shape (n, 2)."""
    across, down = np.arange(left, right), np.arange(top, bottom)
    sides = (
        (across, np.full(across.size, top)),
        (np.full(down.size, right), down),
        (across[::-1] + 1, np.full(across.size, bottom)),
        (np.full(down.size, left), down[::-1] + 1),
    )
    return np.concatenate([np.stack(side, axis=1) for side in sides]).astype(np.int32)
