"""What the mouse does between press and release. One small object for each kind of gesture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from PySide6.QtCore import QPointF

from overread.domain.view import Layout
from overread.ui import looking

if TYPE_CHECKING:
    from overread.ui.slice_pane import SlicePane

# Less than this is a click, not a drag (logical pixels).
CLICK = 4.0
# A click this near to a corner is meant for it.
NEAR = 8.0


class Gesture(Protocol):
    """One gesture on a pane; places are logical pixels of the pane."""

    def move(self, at: QPointF) -> None:
        """The mouse moved."""

    def release(self, at: QPointF) -> None:
        """The button was released."""


class WindowDrag:
    """Left drag: window and level. A click puts the crosshair there and picks the finding under it."""

    def __init__(self, pane: SlicePane, at: QPointF) -> None:
        self._pane, self._start, self._window = pane, at, pane.session.view.window
        self._dragging = False

    def move(self, at: QPointF) -> None:
        """Window as far as the mouse has gone."""
        way = at - self._start
        if not self._dragging and way.manhattanLength() < CLICK:
            return
        self._dragging = True
        looking.drag_window(self._pane.session, self._window, way.x(), way.y())

    def release(self, at: QPointF) -> None:
        """A click, if there was no drag."""
        if self._dragging:
            return
        pane = self._pane
        index = pane.index_at(at)
        if index is None:
            return
        image = pane.session.image
        if pane.session.view.layout is Layout.THREE and image is not None:
            looking.put_cursor(pane.session, image.stack.grid.clamp(index))
        pane.pick(index)


class PanDrag:
    """Middle drag: shift the image."""

    def __init__(self, pane: SlicePane, at: QPointF) -> None:
        self._pane, self._last = pane, at

    def move(self, at: QPointF) -> None:
        """Shift as far as the mouse has gone."""
        way, self._last = at - self._last, at
        per_mm = self._pane.logical_pixels_per_mm
        looking.pan(self._pane.session, self._pane.plane, way.x() / per_mm, way.y() / per_mm)

    def release(self, at: QPointF) -> None:
        """Nothing more."""


class ZoomDrag:
    """Right drag: zoom about where it began. A click opens the menu."""

    def __init__(self, pane: SlicePane, at: QPointF) -> None:
        self._pane, self._start, self._last = pane, at, at
        self._dragging = False

    def move(self, at: QPointF) -> None:
        """Up is larger."""
        if not self._dragging and (at - self._start).manhattanLength() < CLICK:
            return
        self._dragging = True
        factor = 1.01 ** (self._last.y() - at.y())
        self._last = at
        looking.zoom(self._pane.session, self._pane.plane, factor, self._pane.anchor_mm(self._start))

    def release(self, at: QPointF) -> None:
        """A click opens the menu."""
        if not self._dragging:
            self._pane.menu_asked.emit(self._pane.mapToGlobal(at.toPoint()))


class PaintDrag:
    """Left drag with a pen in hand."""

    def __init__(self, pane: SlicePane) -> None:
        self._pane = pane

    def move(self, at: QPointF) -> None:
        """Draw on."""
        index = self._pane.index_at(at, anywhere=True)
        if index is not None:
            self._pane.desk.pen.extend(index)
            self._pane.desk.pen_moved.emit()

    def release(self, at: QPointF) -> None:
        """Lift the pen."""
        self._pane.desk.pen.lift()
        self._pane.desk.draft_changed.emit()


class LineDrag:
    """Left drag with a tool in hand that draws lines: lasso, scissors, scribbles."""

    def __init__(self, pane: SlicePane) -> None:
        self._pane = pane

    def move(self, at: QPointF) -> None:
        """Go on with the line."""
        index = self._pane.index_at(at, anywhere=True)
        if index is not None:
            self._pane.desk.editor.move(index)

    def release(self, at: QPointF) -> None:
        """Close it."""
        self._pane.desk.editor.release()


def draw(pane: SlicePane, at: QPointF, *, shift: bool) -> Gesture | None:
    """What begins when the left button goes down with a drawing tool in hand; None where nothing is held."""
    desk, index = pane.desk, pane.index_at(at)
    if index is None:
        return None
    if pane.session.view.tool.pen:
        if not desk.pen.begin(index, pane.plane):
            return None
        desk.draft_changed.emit()
        return PaintDrag(pane)
    if closes(pane, at):
        desk.editor.finish()
        return None
    return LineDrag(pane) if desk.editor.press(index, pane.plane, shift=shift) else None


def closes(pane: SlicePane, at: QPointF) -> bool:
    """Whether a click closes the polygon in hand: on its first corner, or on its last one once more."""
    held, projection = pane.desk.editor.outline, pane.projection
    if held is None or projection is None or held.plane is not pane.plane or held.index != projection.index:
        return False
    if len(held.points) < 3:
        return False
    ratio = pane.devicePixelRatioF()
    ends = [projection.to_screen(point) for point in (held.points[0], held.points[-1])]
    return any((QPointF(x / ratio, y / ratio) - at).manhattanLength() < NEAR for x, y in ends)
