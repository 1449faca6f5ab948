"""What models say, written on the image: the names of boxes, and the key to a heatmap."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QPointF, QRectF, Qt
from PySide6.QtGui import QBrush, QColor, QFontMetricsF, QLinearGradient, QPainter, QPen

from overread.domain.heatmap import Heatmap
from overread.render.agreement import BOTH, ONLY_A, ONLY_B, REGIONS
from overread.render.boxes import BoxMark
from overread.render.heat import table
from overread.render.measures import MeasureMark, Rect, beside
from overread.render.projection import Projection
from overread.ui import style
from overread.ui.grips import handles
from overread.ui.marks import halo

_LINE = 16.0
_MARGIN = 10.0
# Below the acquisition's lines, which stand in the same corner.
_TOP = 96.0
_BAR = 12.0, 140.0


def box_labels(
    painter: QPainter, boxes: Sequence[BoxMark], projection: Projection, ratio: float, width: float, height: float
) -> None:
    """Write name and score beside each box, on a pane of `width` × `height` logical pixels.

    Above the box, or below where there is no room; names that would cover each other are put further up.
    """
    metrics = QFontMetricsF(style.font(12))
    taken: list[QRectF] = []
    for mark in boxes:
        left, top, right, bottom = (edge / ratio for edge in mark.on_screen(projection))
        if right < 0 or bottom < 0 or left >= width or top >= height:
            continue
        wide = metrics.horizontalAdvance(mark.text)
        x = min(max(left, _MARGIN), width - wide - _MARGIN)
        above = top - _LINE - 2
        y = above if above > 0 else min(bottom + 2, height - _LINE)
        place = QRectF(x, y, wide, _LINE)
        for other in sorted(taken, key=lambda rect: -rect.y()):
            if place.intersects(other):
                place.moveTop(other.y() - _LINE)
        if place.y() >= 0:
            taken.append(place)
            halo(painter, mark.text, place.x(), place.y(), bold=mark.selected)


def grips(
    painter: QPainter,
    boxes: Sequence[BoxMark],
    measures: Sequence[MeasureMark],
    projection: Projection,
    ratio: float,
) -> None:
    """Draw where the selected box or measurement can be taken hold of: small squares."""
    places = [place for box in boxes if box.selected and box.finding_id for place in handles(box, projection, ratio)]
    places += [place for mark in measures if mark.selected for place in mark.points(projection)]
    painter.setPen(QPen(QColor(0, 0, 0, 220), 1.0))
    painter.setBrush(QColor(style.TEXT))
    for x, y in places:
        painter.drawRect(QRectF(x / ratio - 2.5, y / ratio - 2.5, 5.0, 5.0))


def measure_places(
    measures: Sequence[MeasureMark], projection: Projection, ratio: float, width: float, height: float
) -> list[Rect]:
    """Where the numbers of measurements stand on a pane of `width` × `height` logical pixels."""
    metrics, taken = QFontMetricsF(style.font(12, bold=True)), list[Rect]()
    for mark in measures:
        left, top, wide, high = (edge / ratio for edge in mark.bounds(projection))
        size = max(metrics.horizontalAdvance(line) for line in mark.lines), _LINE * len(mark.lines)
        taken.append(beside((left, top, wide, high), size, (width, height), taken))
    return taken


def measure_labels(
    painter: QPainter,
    measures: Sequence[MeasureMark],
    projection: Projection,
    ratio: float,
    width: float,
    height: float,
) -> None:
    """Write the numbers of measurements beside them; a hair line leads there where they stand far away."""
    places = measure_places(measures, projection, ratio, width, height)
    for mark, (x, y, wide, high) in zip(measures, places, strict=True):
        ends = [QPointF(px / ratio, py / ratio) for px, py in mark.points(projection)]
        box = QRectF(x, y, wide, high)
        near = min(ends, key=lambda end: (end - box.center()).manhattanLength())
        edge = QPointF(min(max(near.x(), box.left()), box.right()), min(max(near.y(), box.top()), box.bottom()))
        if (near - edge).manhattanLength() > 3 * _LINE:
            for pen in (QPen(QColor(0, 0, 0, 200), 3.0), QPen(QColor(style.STATUS[mark.status][0]), 1.0)):
                painter.setPen(pen)
                painter.drawLine(near, edge)
        for number, line in enumerate(mark.lines):
            halo(painter, line, x, y + number * _LINE, bold=mark.selected)


def key_lines(heatmap: Heatmap, projection: Projection) -> tuple[str, ...]:
    """What a heatmap shows, by which method, and how fine it really is."""
    rows, columns = heatmap.shape
    row0, column0, row1, column1 = heatmap.extent
    down, across = (row1 - row0) / rows, (column1 - column0) / columns
    unit = "px"
    if projection.grid.calibrated:
        axes, spacing = projection.axes, projection.grid.spacing
        down, across, unit = down * spacing[axes.down], across * spacing[axes.across], "mm"
    if heatmap.method == "Parametric map":
        cells = f"{rows} × {columns} values of {down:.3g} × {across:.3g} {unit}, smoothed"
        return heatmap.label, heatmap.layer, cells, "Greatest value of this slice on top  ·  H hides"
    return (
        f"What speaks for {heatmap.label}" if heatmap.label else "What stands out to the model",
        f"{heatmap.method}  ·  layer {heatmap.layer}",
        f"{rows} × {columns} cells of {down:.0f} × {across:.0f} {unit}, smoothed",
        "No outline of a lesion  ·  H hides",
    )


def heat_key(painter: QPainter, heatmap: Heatmap, projection: Projection, width: float, height: float) -> None:
    """The colour bar and the caption of a heatmap, at the right edge of a pane, above its middle."""
    metrics = QFontMetricsF(style.font(12))
    wide, high = _BAR
    high = min(high, max(height / 2 - _TOP - 5 * _LINE, 24.0))
    x, y = width - _MARGIN - wide, _TOP
    most = max(float(heatmap.values.max()), 0.0)
    for number, text in enumerate(key_lines(heatmap, projection)):
        shown = metrics.elidedText(text, Qt.TextElideMode.ElideRight, width / 2)
        halo(painter, shown, width - _MARGIN - metrics.horizontalAdvance(shown), y + number * _LINE)
    y += 4 * _LINE + 8
    if most == 0:
        text = "Nothing in this image does"
        halo(painter, text, width - _MARGIN - metrics.horizontalAdvance(text), y)
        return
    ramp = QLinearGradient(QPointF(x, y + high), QPointF(x, y))
    colours = table()
    for at in range(0, 256, 15):
        ramp.setColorAt(at / 255, QColor(*(int(part) for part in colours[at])))
    painter.setPen(QPen(QColor(style.TEXT), 1.0))
    painter.setBrush(ramp)
    painter.drawRect(QRectF(x, y, wide, high))
    for text, at_y in ((f"{most:.3g}", y), ("0", y + high - _LINE + 2)):
        halo(painter, text, x - 6 - metrics.horizontalAdvance(text), at_y)


def agreement_key(painter: QPainter, one: str, other: str, width: float) -> None:
    """What the parts of a map of agreement are, at the right edge of a pane; patches look as they do on the image."""
    metrics = QFontMetricsF(style.font(12))
    names = BOTH.name, f"{ONLY_A.name}: {one}", f"{ONLY_B.name}: {other}"
    for number, (region, text) in enumerate(zip(REGIONS, names, strict=True)):
        y = _TOP + number * (_LINE + 4)
        shown = metrics.elidedText(text, Qt.TextElideMode.ElideRight, width / 2)
        x = width - _MARGIN - metrics.horizontalAdvance(shown)
        halo(painter, shown, x, y)
        patch = QRectF(x - 34, y + 1, 26, 13)
        painter.fillRect(patch, QColor(0, 0, 0))
        fill = {0: Qt.BrushStyle.Dense5Pattern, 1: Qt.BrushStyle.BDiagPattern, -1: Qt.BrushStyle.FDiagPattern}
        painter.setBrush(QBrush(QColor(*region.colour), fill[region.slant]))
        line = {BOTH: Qt.PenStyle.SolidLine, ONLY_A: Qt.PenStyle.DashLine, ONLY_B: Qt.PenStyle.DotLine}
        painter.setPen(QPen(QColor(*region.colour), 1.6, line[region]))
        painter.drawRect(patch)
