"""The heatmap of the selected finding: of which class, how strong, by which method and how fine it is."""

from __future__ import annotations

from dataclasses import replace

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QComboBox, QFrame, QHBoxLayout, QLabel, QSlider, QVBoxLayout, QWidget

from overread.domain.finding import find
from overread.domain.geometry import plane_axes
from overread.domain.heatmap import Heatmap
from overread.session.classes import siblings
from overread.ui import looking, style
from overread.ui.desk import Desk


class HeatBar(QFrame):
    """Shown while the selected finding has a heatmap on a slice in view, and heatmaps are on."""

    def __init__(self, desk: Desk, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.desk, self.session = desk, desk.session
        self.setObjectName("card")
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 8, 12, 8)
        column.setSpacing(6)
        self.title = QLabel()
        self.title.setFont(style.font(13, bold=True))
        head = QHBoxLayout()
        head.addWidget(self.title)
        self.classes = QComboBox()
        self.classes.setAccessibleName("Class of the heatmap")
        self.classes.setToolTip("The class whose evidence is shown: Shift+H takes the next")
        self.classes.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.classes.activated.connect(lambda row: self._show(str(self.classes.itemData(row))))
        head.addWidget(self.classes, 1)
        column.addLayout(head)
        row = QHBoxLayout()
        label = QLabel("Strength")
        label.setProperty("quiet", True)
        row.addWidget(label)
        self.opacity = QSlider(Qt.Orientation.Horizontal)
        self.opacity.setRange(0, 100)
        self.opacity.setAccessibleName("Strength of the heatmap")
        self.opacity.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.opacity.valueChanged.connect(lambda value: looking.heat_opacity(self.session, value / 100))
        row.addWidget(self.opacity, 1)
        self.percent = QLabel()
        self.percent.setMinimumWidth(44)
        self.percent.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        row.addWidget(self.percent)
        column.addLayout(row)
        self.how = QLabel()
        self.how.setProperty("quiet", True)
        self.how.setFont(style.font(12))
        self.how.setWordWrap(True)
        column.addWidget(self.how)
        self.session.view_changed.connect(lambda old, new: self.refresh())
        self.session.findings_changed.connect(lambda old, new: self.refresh())
        self.session.image_changed.connect(lambda old, new: self.refresh())
        desk.explained.connect(self.refresh)
        self.refresh()

    def _heatmap(self) -> Heatmap | None:
        """The map on one of the slices in view."""
        session, finding = self.session, self.session.selected
        image, view = session.image, session.view
        if image is None or finding is None or not (view.overlays and view.heatmap):
            return None
        for plane in view.planes:
            index = view.cursor[plane_axes(image.stack.grid, plane).through]
            seen = self.desk.heatmap(finding, plane, index)
            if seen is not None:
                return seen
        return None

    def refresh(self) -> None:
        """Show what is there now."""
        heatmap, finding = self._heatmap(), self.session.selected
        self.setVisible(heatmap is not None)
        if heatmap is None or finding is None:
            return
        others = siblings(finding, self.session.shown_findings)
        self.classes.blockSignals(True)
        self.classes.clear()
        for other in others:
            self.classes.addItem(f"{other.label}  {other.score or 0:.2f}", other.id)
        self.classes.setCurrentIndex(self.classes.findData(finding.id))
        self.classes.blockSignals(False)
        self.classes.setVisible(len(others) > 1)
        self.title.setText("Heatmap" if len(others) > 1 or not heatmap.label else f"Heatmap of {heatmap.label}")
        percent = round(self.session.view.heat_opacity * 100)
        self.opacity.blockSignals(True)
        self.opacity.setValue(percent)
        self.opacity.blockSignals(False)
        self.percent.setText(f"{percent} %")
        rows, columns = heatmap.shape
        self.how.setText(f"{heatmap.method}, layer {heatmap.layer}, {rows} × {columns} cells")

    def next_class(self) -> None:
        """Show the heatmap of the next class of the same image."""
        finding = self.session.selected
        others = siblings(finding, self.session.shown_findings) if finding is not None else ()
        if finding is not None and len(others) > 1:
            ids = [other.id for other in others]
            self._show(ids[(ids.index(finding.id) + 1) % len(ids)])

    def _show(self, finding_id: str) -> None:
        chosen = find(self.session.shown_findings, finding_id)
        if chosen is not None:
            looking.show(self.session, chosen)
            self.session.set_view(replace(self.session.view, heatmap=True, overlays=True))
