"""What the mouse does to boxes between press and release."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QPointF

from overread.domain.finding import Finding
from overread.imaging.boxes import Edges, edges_of, on_slices, shifted
from overread.ui import looking
from overread.ui.gestures import CLICK
from overread.ui.grips import BoxGrip

if TYPE_CHECKING:
    from overread.ui.slice_pane import SlicePane


def place(pane: SlicePane, at: QPointF) -> tuple[float, float] | None:
    """Row and column of the picture under a place of the pane, where pixel 0 runs from 0 to 1; also off the picture."""
    projection, ratio = pane.projection, pane.devicePixelRatioF()
    if projection is None:
        return None
    (left, top), (across, down) = projection.corner, projection.scale
    return (at.y() * ratio - top) / down, (at.x() * ratio - left) / across


class BoxDrag:
    """Drag at the line of a box: its corners and sides resize it, the rest of the line moves it. A click selects it."""

    def __init__(self, pane: SlicePane, grip: BoxGrip, finding: Finding, at: QPointF) -> None:
        self._pane, self._grip, self._finding, self._start = pane, grip, finding, at
        self._from = place(pane, at)
        self._dragging = False
        looking.select(pane.session, finding)

    def move(self, at: QPointF) -> None:
        """Lay the box where the mouse has come to, in whole voxels."""
        if not self._dragging and (at - self._start).manhattanLength() < CLICK:
            return
        self._dragging = True
        projection, box, now = self._pane.projection, self._finding.bounds, place(self._pane, at)
        if projection is None or box is None or now is None or self._from is None:
            return
        axes, shape = projection.axes, projection.grid.shape
        rows, columns = now[0] - self._from[0], now[1] - self._from[1]
        row0, column0, row1, column1 = edges_of(box, axes, shape)
        if self._grip.moves:
            by = [0, 0, 0]
            by[axes.down] = round(-rows if axes.flip_down else rows)
            by[axes.across] = round(-columns if axes.flip_across else columns)
            moved = shifted(box, by, shape)
        else:
            row0, row1 = row0 + rows * (self._grip.down < 0), row1 + rows * (self._grip.down > 0)
            column0 += columns * (self._grip.across < 0)
            column1 += columns * (self._grip.across > 0)
            edges = row0, column0, row1, column1
            moved = on_slices(edges, box[axes.through], box[3 + axes.through], axes, shape)
        self._pane.desk.boxes.hold(self._finding, moved)

    def release(self, at: QPointF) -> None:
        """Leave the box there."""
        if self._dragging:
            self._pane.desk.boxes.let_go(self._finding, "Move" if self._grip.moves else "Resize")


class BoxDraw:
    """Drag a new box; the wheel makes it deeper."""

    def __init__(self, pane: SlicePane, at: QPointF) -> None:
        self._pane, self._at = pane, at
        self._start = place(pane, at)

    def move(self, at: QPointF) -> None:
        """Draw it up to here."""
        end = place(self._pane, at)
        if self._start is not None and end is not None:
            edges: Edges = (*self._start, *end)
            self._pane.desk.boxes.draw(self._pane.plane, edges)

    def release(self, at: QPointF) -> None:
        """Put it into the list, unless it was a click."""
        if (at - self._at).manhattanLength() < CLICK:
            self._pane.desk.boxes.drop()
        else:
            self._pane.desk.boxes.add()
