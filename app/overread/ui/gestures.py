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
            self._pane.desk.extend_stroke(index)

    def release(self, at: QPointF) -> None:
        """Lift the pen."""
        self._pane.desk.end_stroke()
