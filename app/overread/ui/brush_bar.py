"""What the pen does: size, disc or ball, and which values it may touch."""

from __future__ import annotations

import math
from dataclasses import replace

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QCheckBox, QDoubleSpinBox, QFrame, QHBoxLayout, QLabel, QSlider, QVBoxLayout, QWidget

from overread.domain.view import Tool, ViewState
from overread.session.session import Session
from overread.ui import style

_STEPS = 100
# The tools that have a size or keep to a range.
_TITLES = {
    Tool.BRUSH: "Brush",
    Tool.ERASER: "Eraser",
    Tool.SMART: "Brush that follows edges",
    Tool.LASSO: "Lasso",
    Tool.POLYGON: "Polygon",
    Tool.SCRIBBLE: "Scribbles",
}


class BrushBar(QFrame):
    """Shown while a pen is in hand."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session = session
        self.setObjectName("card")
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 8, 12, 8)
        column.setSpacing(6)
        self.title = QLabel()
        self.title.setFont(style.font(13, bold=True))
        column.addWidget(self.title)
        row = QHBoxLayout()
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(0, _STEPS)
        self.slider.setToolTip("Size: [ and ], or Alt + wheel")
        self.slider.setAccessibleName("Brush size")
        self.slider.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.slider.valueChanged.connect(self._sized)
        row.addWidget(self.slider, 1)
        self.diameter = QLabel()
        self.diameter.setMinimumWidth(64)
        self.diameter.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        row.addWidget(self.diameter)
        column.addLayout(row)
        self.sphere = QCheckBox("Ball through neighbouring slices (S)")
        self.sphere.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.sphere.clicked.connect(self._shaped)
        column.addWidget(self.sphere)
        limits = QHBoxLayout()
        self.limited = QCheckBox("Only values from")
        self.limited.setToolTip("Draw only on voxels whose values lie in this range")
        self.limited.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.limited.clicked.connect(self._limited)
        self.low, self.high = QDoubleSpinBox(), QDoubleSpinBox()
        for box, name in ((self.low, "Lowest value"), (self.high, "Highest value")):
            box.setRange(-100000, 100000)
            box.setDecimals(0)
            box.setAccessibleName(name)
            box.setButtonSymbols(QDoubleSpinBox.ButtonSymbols.NoButtons)
            box.editingFinished.connect(self._limited)
        limits.addWidget(self.limited)
        limits.addWidget(self.low, 1)
        self.to = QLabel("to")
        limits.addWidget(self.to)
        limits.addWidget(self.high, 1)
        column.addLayout(limits)
        session.view_changed.connect(self._view_changed)
        self._show(session.view)

    def _view_changed(self, old: ViewState, new: ViewState) -> None:
        if (old.tool, old.brush) != (new.tool, new.brush):
            self._show(new)

    def _show(self, view: ViewState) -> None:
        self.setVisible(view.tool in _TITLES)
        sized = view.tool.pen or view.tool is Tool.SCRIBBLE
        for part in (self.slider, self.diameter):
            part.setVisible(sized)
        self.sphere.setVisible(view.tool.pen)
        brush = view.brush
        self.title.setText(_TITLES.get(view.tool, ""))
        self.slider.blockSignals(True)
        self.slider.setValue(_slider(brush.diameter_mm))
        self.slider.blockSignals(False)
        self.diameter.setText(f"{brush.diameter_mm:.1f} mm")
        self.sphere.setChecked(brush.sphere)
        self.limited.setChecked(brush.range is not None)
        for box in (self.low, self.to, self.high):
            box.setVisible(brush.range is not None)
        if brush.range is not None:
            for box in (self.low, self.high):
                box.setDecimals(_digits(view.window.width))
            self.low.setValue(brush.range[0])
            self.high.setValue(brush.range[1])

    def _sized(self, value: int) -> None:
        brush = self.session.view.brush
        self.session.set_view(replace(self.session.view, brush=replace(brush, diameter_mm=_diameter(value))))

    def _shaped(self) -> None:
        brush = replace(self.session.view.brush, sphere=self.sphere.isChecked())
        self.session.set_view(replace(self.session.view, brush=brush))

    def _limited(self) -> None:
        limits: tuple[float, float] | None = None
        if self.limited.isChecked():
            if self.session.view.brush.range is None:
                window = self.session.view.window
                digits, half = _digits(window.width), window.width / 2
                limits = (round(window.center - half, digits), round(window.center + half, digits))
            else:
                low, high = sorted((self.low.value(), self.high.value()))
                limits = (low, high)
        brush = replace(self.session.view.brush, range=limits)
        self.session.set_view(replace(self.session.view, brush=brush))


def _diameter(value: int) -> float:
    """A slider step in mm: 1 to 100, finer where it is small."""
    return round(float(10.0 ** (2.0 * value / _STEPS)), 1)


def _digits(width: float) -> int:
    """Decimals that tell a hundred values of a window apart: none for Hounsfield units, two for fractions."""
    return min(6, max(0, 2 - math.floor(math.log10(max(width, 1e-9)))))


def _slider(diameter_mm: float) -> int:
    return round(_STEPS * math.log10(max(diameter_mm, 1.0)) / 2.0)
