"""The panes: one plane, or three with a linked crosshair."""

from __future__ import annotations

from PySide6.QtCore import QPoint, Signal
from PySide6.QtWidgets import QGridLayout, QWidget

from overread.domain.geometry import Plane, plane_axes
from overread.domain.view import Layout, ViewState
from overread.session.state import Image, Reading
from overread.ui import looking
from overread.ui.desk import Desk
from overread.ui.slice_pane import SlicePane


class Panes(QWidget):
    """Lays the panes out as the view says, and tells each what concerns it."""

    menu_asked = Signal(QPoint)

    def __init__(self, desk: Desk, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.desk, self.session = desk, desk.session
        self.panes = {plane: SlicePane(desk, plane, self) for plane in Plane}
        self.under_mouse: Plane | None = None
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setSpacing(2)
        for pane in self.panes.values():
            pane.menu_asked.connect(self.menu_asked)
            pane.double_clicked.connect(lambda plane: looking.layout(self.session, plane))
            pane.entered.connect(self._entered)
        desk.draft_changed.connect(self.note)
        desk.pen_moved.connect(self.note_draft)
        desk.editor.changed.connect(self.note_draft)
        desk.explained.connect(self.note)
        desk.compared.connect(self.note)
        self.session.view_changed.connect(self._view_changed)
        self.session.image_changed.connect(self._image_changed)
        self.session.findings_changed.connect(self._findings_changed)
        self.session.reading_changed.connect(self._reading_changed)
        self._lay_out(self.session.view)

    def _entered(self, plane: Plane) -> None:
        self.under_mouse = plane

    @property
    def shown(self) -> list[SlicePane]:
        """The panes on screen."""
        return [self.panes[plane] for plane in self.session.view.planes]

    def note(self) -> None:
        """Everything may have changed."""
        for pane in self.shown:
            pane.note()

    def note_draft(self) -> None:
        """What is in the hand has changed."""
        for pane in self.shown:
            pane.note_draft()

    def _lay_out(self, view: ViewState) -> None:
        for pane in self.panes.values():
            self._grid.removeWidget(pane)
            pane.setVisible(pane.plane in view.planes)
        if view.layout is Layout.ONE:
            self._grid.addWidget(self.panes[view.plane], 0, 0, 2, 2)
        else:
            # The acquired plane has the finest picture, so it gets the most room.
            large = view.plane
            small = [plane for plane in Plane if plane is not large]
            self._grid.addWidget(self.panes[large], 0, 0, 2, 1)
            self._grid.addWidget(self.panes[small[0]], 0, 1)
            self._grid.addWidget(self.panes[small[1]], 1, 1)
        self._grid.setColumnStretch(0, 3)
        self._grid.setColumnStretch(1, 0 if view.layout is Layout.ONE else 2)
        self.note()

    def _view_changed(self, old: ViewState, new: ViewState) -> None:
        if (old.layout, old.plane) != (new.layout, new.plane):
            self._lay_out(new)
        else:
            self.note()

    def _image_changed(self, old: Image | None, new: Image | None) -> None:
        if old is None or new is None or old.stack.uid != new.stack.uid:
            self.note()
            return
        for pane in self.shown:
            axes = plane_axes(new.stack.grid, pane.plane)
            at = self.session.view.cursor[axes.through]
            if axes.through != 0 or old.ready.slices[at] != new.ready.slices[at]:
                pane.note()

    def _findings_changed(self, old: object, new: object) -> None:
        self.note()

    def _reading_changed(self, reading: Reading) -> None:
        self.note()
