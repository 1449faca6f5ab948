"""What the mouse does to measurements between press and release."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QPointF

from overread.domain.finding import Finding
from overread.domain.geometry import Floats
from overread.ui import looking
from overread.ui.gestures import CLICK
from overread.ui.grips import MeasureGrip

if TYPE_CHECKING:
    from overread.ui.slice_pane import SlicePane


class MeasureDraw:
    """Drag from one end to the other. A click lays nothing down."""

    def __init__(self, pane: SlicePane, start: Floats) -> None:
        self._pane, self._start = pane, start

    def move(self, at: QPointF) -> None:
        """Draw up to here."""
        end = self._pane.index_at(at, anywhere=True)
        if end is not None:
            self._pane.desk.measures.stretch(self._start, end)

    def release(self, at: QPointF) -> None:
        """Done, but for an angle's second arm."""
        self._pane.desk.measures.lift()


class AngleEnd:
    """The second arm of an angle: where it is pressed or dragged to."""

    def __init__(self, pane: SlicePane, at: QPointF) -> None:
        self._pane = pane
        self.move(at)

    def move(self, at: QPointF) -> None:
        """Draw the arm up to here."""
        self._pane.desk.measures.aim_at(self._pane.plane, self._pane.index_at(at, anywhere=True))

    def release(self, at: QPointF) -> None:
        """Done."""
        self._pane.desk.measures.lift()


class MeasureDrag:
    """Drag a point or the line of a measurement that is there. A click selects it."""

    def __init__(self, pane: SlicePane, grip: MeasureGrip, finding: Finding, at: QPointF) -> None:
        self._pane, self._grip, self._finding, self._start = pane, grip, finding, at
        self._from = pane.index_at(at, anywhere=True)
        self._dragging = False
        looking.select(pane.session, finding)

    def move(self, at: QPointF) -> None:
        """Draw it anew as far as the mouse has come."""
        desk, to = self._pane.desk.measures, self._pane.index_at(at, anywhere=True)
        if not self._dragging:
            if (at - self._start).manhattanLength() < CLICK or not desk.take(self._finding):
                return
            self._dragging = True
        if to is None or self._from is None:
            return
        if self._grip.handle is None:
            desk.carry(to - self._from)
        else:
            desk.pull(self._grip.handle, to)

    def release(self, at: QPointF) -> None:
        """Leave it there."""
        if self._dragging:
            self._pane.desk.measures.put_down()
