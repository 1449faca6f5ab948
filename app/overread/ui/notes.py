"""What others noted on slices, drawn on the image: points, lines, outlines and text."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QPointF, Qt
from PySide6.QtGui import QColor, QPainter, QPen, QPolygonF

from overread.domain.finding import Finding
from overread.domain.mark import Drawn, Mark
from overread.render.projection import Projection
from overread.ui import style
from overread.ui.marks import halo

_LINE = 16.0
_MARGIN = 10.0
# Below the lines of identity, which stand in the same corner.
_TOP = 76.0
_POINT = 3.5


def paint(
    painter: QPainter, findings: Sequence[Finding], projection: Projection, ratio: float, selected: str | None
) -> None:
    """Draw the marks of findings on the slice that a pane shows. What speaks of the slice as a whole is listed.

    Marks lie on acquired slices: other planes show none.
    """
    if projection.axes.through != 0:
        return
    listed = 0
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    for finding in findings:
        colour = QColor(style.STATUS[finding.status][0])
        for mark in finding.marks:
            if mark.index != projection.index:
                continue
            if mark.drawn is Drawn.IMAGE:
                halo(painter, mark.text, _MARGIN, _TOP + listed * _LINE, bold=finding.id == selected)
                listed += 1
            else:
                _draw(painter, mark, projection, ratio, colour, wide=finding.id == selected)


def _draw(painter: QPainter, mark: Mark, projection: Projection, ratio: float, colour: QColor, *, wide: bool) -> None:
    places = [projection.to_screen(point) for point in mark.points]
    points = [QPointF(x / ratio, y / ratio) for x, y in places]
    painter.setBrush(Qt.BrushStyle.NoBrush)
    for pen in (QPen(QColor(0, 0, 0, 200), 4.0 if wide else 3.0), QPen(colour, 2.2 if wide else 1.4)):
        painter.setPen(pen)
        if mark.drawn is Drawn.POINTS:
            for point in points:
                painter.drawEllipse(point, _POINT, _POINT)
        elif mark.drawn is Drawn.OUTLINE:
            painter.drawPolygon(QPolygonF(points))
        elif mark.drawn is Drawn.LINE:
            painter.drawPolyline(QPolygonF(points))
    if mark.text:
        last = points[-1]
        beside = 0.0 if mark.drawn is Drawn.TEXT else 6.0
        halo(painter, mark.text, last.x() + beside, last.y() + beside, bold=wide)
