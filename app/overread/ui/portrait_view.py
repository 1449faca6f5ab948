"""A finding in three planes and in numbers, on its card. Whatever is out of date is dimmed until it is worked out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QRectF, Qt, QTimer
from PySide6.QtGui import QColor, QImage, QPainter, QPaintEvent, QResizeEvent
from PySide6.QtWidgets import QLabel, QVBoxLayout, QWidget

from overread.domain.finding import Finding, find
from overread.domain.geometry import Grid, Plane
from overread.imaging.figures import Figures, Values
from overread.session.portraits import Portrait, Portraits
from overread.ui import marks, style
from overread.ui.desk import Desk
from overread.ui.finding_text import size_text, volume_text

_CELL, _GAP = 100, 4
# While a stroke is drawn, numbers follow it at most so often.
_EVERY_MS = 100


class _Crops(QWidget):
    """The pictures side by side."""

    def __init__(self) -> None:
        super().__init__()
        self._pictures: dict[Plane, NDArray[np.uint8]] = {}
        self._dim = False
        self.setFixedHeight(_CELL)
        self.setAccessibleName("The finding in its planes")

    def show_pictures(self, pictures: dict[Plane, NDArray[np.uint8]], *, dim: bool) -> None:
        """Show these; dimmed where they are of the finding as it was."""
        self._pictures, self._dim = pictures, dim
        self.update()

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        """As high as the squares are."""
        self.setFixedHeight(round(self._side))

    @property
    def _side(self) -> float:
        return min(float(_CELL), (self.width() - 2 * _GAP) / 3)

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        """Each in its square, its plane's name in the corner."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        side = self._side
        for number, (plane, picture) in enumerate(self._pictures.items()):
            box = QRectF(number * (side + _GAP), 0.0, side, side)
            painter.setOpacity(0.4 if self._dim else 1.0)
            size = picture.shape[1]
            painter.drawImage(box, QImage(picture.data, size, size, size * 3, QImage.Format.Format_RGB888))
            marks.halo(painter, plane.value, box.left() + 4, box.bottom() - 18)
            painter.setPen(QColor(style.LINE))
            painter.drawRect(box.adjusted(0, 0, -1, -1))
        painter.end()


class PortraitView(QWidget):
    """Follows one finding, the stroke in hand included."""

    def __init__(self, desk: Desk, portraits: Portraits, finding: Finding, grid: Grid) -> None:
        super().__init__()
        self._desk, self._portraits, self._finding, self._grid = desk, portraits, finding, grid
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 2, 4, 0)
        column.setSpacing(4)
        self.numbers = QLabel()
        self.numbers.setWordWrap(True)
        self.numbers.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        column.addWidget(self.numbers)
        self.crops = _Crops()
        column.addWidget(self.crops)
        self.fresh = False
        self._soon = QTimer(self, singleShot=True, interval=_EVERY_MS)
        self._soon.timeout.connect(self.refresh)
        desk.draft_changed.connect(self._drafted)
        desk.pen_moved.connect(self._drafted)
        self.refresh()

    def _drafted(self) -> None:
        self._show(None, fresh=False)
        self.later()

    def later(self) -> None:
        """Something changed that shows: work it out soon, once for many changes."""
        if not self._soon.isActive():
            self._soon.start()

    def refresh(self) -> None:
        """Show what is known of the finding as it is now, or dimmed what was known before."""
        drawn = find(tuple(self._desk.visible(stroke=True)), self._finding.id) or self._finding
        size = round(_CELL * self.devicePixelRatioF())
        portrait, fresh = self._portraits.of(drawn, size)
        self._show(portrait, fresh=fresh, drawn=drawn)

    def _show(self, portrait: Portrait | None, *, fresh: bool, drawn: Finding | None = None) -> None:
        self.fresh = fresh
        if portrait is not None:
            self.numbers.setText("\n".join(lines(portrait, drawn or self._finding, self._grid)))
            self.crops.show_pictures(portrait.pictures, dim=not fresh)
            self.crops.setVisible(bool(portrait.pictures))
        elif drawn is not None:
            self.numbers.setText(size_text(drawn, self._grid))
            self.crops.show_pictures({}, dim=False)
        else:
            self.crops.show_pictures(self.crops._pictures, dim=True)
        known = fresh or (portrait is None and drawn is self._finding)
        colour = f"color: {style.TEXT if known else '#5A6672'};"
        if self.numbers.styleSheet() != colour:
            self.numbers.setStyleSheet(colour)


def lines(portrait: Portrait, finding: Finding, grid: Grid) -> list[str]:
    """The numbers of a portrait, line by line."""
    found, edit = portrait.figures, portrait.edit
    if found is None:
        return [size_text(finding, grid)]
    said = [size_text(finding, grid)] if finding.boxed else _sizes(found)
    if found.values is not None:
        said.append(("in the box: " if finding.boxed else "") + values_text(found.values))
    if edit is not None and edit.dice is not None:
        added, taken = (
            volume_text(volume).replace(" ", "\N{NO-BREAK SPACE}") for volume in (edit.only_b_ml, edit.only_a_ml)
        )
        said.append(f"to what was proposed: Dice {edit.dice:.3f}   +{added}   −{taken}")
    return said


def _sizes(found: Figures) -> list[str]:
    measures = found.measures
    if measures is None or found.long_3d_mm is None or found.short_3d_mm is None:
        return [f"{found.count} voxels, not measurable in mm"]
    return [
        f"{volume_text(measures.volume_ml)}   {measures.long_axis_mm:.1f} × {measures.short_axis_mm:.1f} mm in a slice",
        f"{found.long_3d_mm:.1f} × {found.short_3d_mm:.1f} mm in space",
    ]


def values_text(found: Values) -> str:
    """Mean, SD and range with their unit; that there is none is said."""
    unit = found.units or "no units"
    spread = "" if found.sd is None else f"   SD {_number(found.sd)}"
    return f"mean {_number(found.mean)}{spread}   {_number(found.minimum)} to {_number(found.maximum)}   {unit}"


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 or value == 0 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.3g}"
