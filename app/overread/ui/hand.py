"""What is in the hand, drawn over the image: the pen's size, the line of an outline, and the tool's name."""

from __future__ import annotations

from PySide6.QtCore import QPointF, Qt
from PySide6.QtGui import QColor, QPainter, QPen, QPolygonF

from overread.domain.view import Tool, ViewState
from overread.render.projection import Projection
from overread.ui import marks, style
from overread.ui.editor import Editor

_BESIDE = 14.0


def in_hand(
    painter: QPainter, editor: Editor, projection: Projection, view: ViewState, ratio: float, mouse: QPointF | None
) -> None:
    """Draw it onto a pane; `ratio` is device pixels for a logical one, `mouse` where the mouse is, None elsewhere."""
    _line(painter, editor, projection, ratio, mouse)
    if not view.tool.edits or mouse is None:
        return
    if view.tool.pen or view.tool is Tool.SCRIBBLE:
        size = view.brush.diameter_mm * projection.pixels_per_mm / ratio
        marks.pen_outline(painter, mouse.x(), mouse.y(), size, size, erase=view.tool is Tool.ERASER)
    if view.tool is not Tool.BRUSH:
        marks.halo(painter, _name(view.tool, editor), mouse.x() + _BESIDE, mouse.y() + _BESIDE)


def _name(tool: Tool, editor: Editor) -> str:
    """The tool and what it will do, in a few words."""
    if tool is Tool.SCISSORS:
        return "cut outside" if editor.numbers.keep_inside else "cut inside"
    if tool is Tool.POLYGON and editor.outline is not None and len(editor.outline.points) > 2:
        return "polygon · Return closes"
    if tool is Tool.SCRIBBLE:
        inside, outside = editor.scribbled
        if inside and outside:
            return "scribbles · Return grows"
        return "scribble inside · Shift outside"
    return str(tool.value)


def _line(painter: QPainter, editor: Editor, projection: Projection, ratio: float, mouse: QPointF | None) -> None:
    """The outline that is being drawn, and how it would close."""
    held = editor.outline
    if held is None or held.plane is not projection.axes.plane or held.index != projection.index:
        return
    places = [projection.to_screen(point) for point in held.points]
    corners = [QPointF(x / ratio, y / ratio) for x, y in places]
    polygon = editor.session.view.tool is Tool.POLYGON
    if polygon and mouse is not None:
        corners.append(mouse)
    colour = QColor(style.DANGER if held.erase else style.EDITED)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setBrush(Qt.BrushStyle.NoBrush)
    for pen in (QPen(QColor(0, 0, 0, 200), 3.5), QPen(colour, 1.6)):
        painter.setPen(pen)
        painter.drawPolyline(QPolygonF(corners))
        if polygon:
            for corner in corners[: len(places)]:
                painter.drawEllipse(corner, 3.0, 3.0)
    painter.setPen(QPen(colour, 1.2, Qt.PenStyle.DotLine))
    painter.drawLine(corners[-1], corners[0])
