"""What a press of the left button takes hold of: a box, a measurement, a tool; and how the mouse looks over it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import QPointF, Qt

from overread.domain.finding import Finding, Kind, Status, find
from overread.domain.view import Tool
from overread.render.measures import measure_marks
from overread.ui.box_gestures import BoxDrag, BoxDraw
from overread.ui.gestures import Gesture
from overread.ui.grips import BoxGrip, MeasureGrip, box_grip, measure_grip
from overread.ui.measure_gestures import AngleEnd, MeasureDrag, MeasureDraw

if TYPE_CHECKING:
    from overread.ui.slice_pane import SlicePane

_CURSORS = {
    (0, 0): Qt.CursorShape.SizeAllCursor,
    (1, 0): Qt.CursorShape.SizeVerCursor,
    (-1, 0): Qt.CursorShape.SizeVerCursor,
    (0, 1): Qt.CursorShape.SizeHorCursor,
    (0, -1): Qt.CursorShape.SizeHorCursor,
    (1, 1): Qt.CursorShape.SizeFDiagCursor,
    (-1, -1): Qt.CursorShape.SizeFDiagCursor,
    (1, -1): Qt.CursorShape.SizeBDiagCursor,
    (-1, 1): Qt.CursorShape.SizeBDiagCursor,
}


def pressed(pane: SlicePane, at: QPointF, held: Qt.KeyboardModifier) -> Gesture | None:
    """The gesture that begins here; None where it is none with boxes and measurements."""
    session, tool = pane.session, pane.session.view.tool
    if pane.desk.measures.aiming:
        return AngleEnd(pane, at)
    index = pane.index_at(at)
    shape = tool.shape
    if shape is not None:
        if index is not None and pane.desk.measures.begin(shape, pane.plane, index):
            return MeasureDraw(pane, index)
        return None
    if tool is Tool.BOX:
        return BoxDraw(pane, at) if index is not None else None
    if tool is not Tool.WINDOW:
        return None
    if held & Qt.KeyboardModifier.ControlModifier:
        finding = _under(pane, at)
        if finding is not None and finding.kind is Kind.DETECTION:
            pane.desk.boxes.mark(finding)
            return _Nothing()
        return None
    grip = gripped(pane, at)
    finding = find(session.shown_findings, grip.mark.finding_id) if grip is not None else None
    if finding is None:
        return None
    if isinstance(grip, BoxGrip):
        return BoxDrag(pane, grip, finding, at)
    return MeasureDrag(pane, grip, finding, at) if grip is not None else None


def _under(pane: SlicePane, at: QPointF) -> Finding | None:
    """The box whose line or inside is under a place, the smallest first."""
    grip = gripped(pane, at)
    if grip is not None:
        return find(pane.session.shown_findings, grip.mark.finding_id)
    index = pane.index_at(at)
    return pane.desk.at(index) if index is not None else None


def gripped(pane: SlicePane, at: QPointF) -> BoxGrip | MeasureGrip | None:
    """What of the boxes and measurements on the slice is under a place: the selected one first."""
    projection, view, ratio = pane.projection, pane.session.view, pane.devicePixelRatioF()
    if projection is None or not view.overlays:
        return None
    x, y = at.x() * ratio + 0.5, at.y() * ratio + 0.5
    for mark in reversed(measure_marks(pane.desk.visible(), projection, view.selected)):
        grip = measure_grip(mark, projection, x, y, ratio)
        if grip is not None and mark.status is not Status.REJECTED:
            return grip
    for box in reversed(pane.boxes_here):
        if box.finding_id and box.status is not Status.REJECTED:
            hold = box_grip(box, projection, x, y, ratio)
            if hold is not None:
                return hold
    return None


def cursor(pane: SlicePane, at: QPointF) -> Qt.CursorShape:
    """How the mouse looks where it is."""
    tool = pane.session.view.tool
    if tool is Tool.BOX or tool.shape is not None or (tool.edits and not tool.pen):
        return Qt.CursorShape.CrossCursor
    if tool is not Tool.WINDOW:
        return Qt.CursorShape.ArrowCursor
    grip = gripped(pane, at)
    if isinstance(grip, BoxGrip):
        return _CURSORS[grip.down, grip.across]
    if grip is not None:
        return Qt.CursorShape.SizeAllCursor if grip.handle is None else Qt.CursorShape.CrossCursor
    return Qt.CursorShape.ArrowCursor


class _Nothing:
    """A press that was all there is to it."""

    def move(self, at: QPointF) -> None:
        """Nothing more."""

    def release(self, at: QPointF) -> None:
        """Nothing more."""
