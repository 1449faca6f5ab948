"""Text and marks on the image: four corners, letters, scale bar, crosshair. Never over the middle of the picture."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from PySide6.QtCore import QLineF, QPointF, QRectF, QSize, QSizeF, Qt
from PySide6.QtGui import QColor, QFontMetricsF, QPainter, QPen, QPixmap

from overread.domain.geometry import edge_letters, letters
from overread.domain.view import Layout, Tool, ViewState
from overread.render.projection import Projection
from overread.session.state import Image
from overread.ui import style

_MARGIN = 10.0
_LINE = 16.0
_RIM = 3.0


# What to do with a tool in the hand that has no panel of its own.
_IN_HAND = {
    Tool.BOX: "Box: drag it, wheel for its depth",
    Tool.LENGTH: "Length: drag from end to end",
    Tool.BIDIRECTIONAL: "Diameters: drag the longer one",
    Tool.ANGLE: "Angle: drag one arm, click the other",
    Tool.ELLIPSE: "Region: drag across it",
}


@dataclass(frozen=True)
class Corner:
    """Lines of text for the four corners of a pane."""

    top_left: tuple[str, ...]
    top_right: tuple[str, ...]
    bottom_left: tuple[str, ...]
    bottom_right: tuple[str, ...]


def corners(image: Image, view: ViewState, projection: Projection, probe: str, *, small: bool) -> Corner:
    """What the corners say: identity, acquisition, window, position."""
    stack, who = image.stack, image.stack.identity
    date = f"{who.study_date[:4]}-{who.study_date[4:6]}-{who.study_date[6:8]}" if len(who.study_date) == 8 else ""
    series = " ".join(part for part in (who.modality, who.series_description) if part)
    identity = (series,) if small else (f"{who.display_name} · {who.patient_id}", date or "no study date", series)
    marks = []
    if stack.synthetic:
        marks.append("SYNTHETIC · no patient")
    if stack.lossy:
        marks.append(stack.lossy.upper())
    if view.invert:
        marks.append("INVERTED")
    if view.tool in _IN_HAND:
        marks.append(_IN_HAND[view.tool])
    axes = projection.axes
    plane = axes.plane.value if stack.grid.oriented else ""
    resampled = "resliced" if axes.through != 0 else ""
    acquisition = tuple(part for part in (" · ".join(p for p in (plane, resampled) if p), *marks) if part)
    window = view.window
    if image.volume.colour:
        shading = "colour"
    elif window.function == "LUT":
        shading = window.name
    else:
        name = f" · {window.name}" if window.name and not small else ""
        digits = ".0f" if window.width >= 10 else ".3g"
        shading = f"W {window.width:{digits}} L {window.center:{digits}}{name}"
    count = stack.grid.shape[axes.through]
    position = [f"im {projection.index + 1}/{count}"]
    if stack.grid.oriented:
        position.append(slice_position(projection))
    place = tuple(reversed(position)) if small else (" · ".join(position),)
    return Corner(identity, acquisition, (f"{shading} · {view.camera(axes.plane).zoom:.2f}×",), (probe, *place))


def slice_position(projection: Projection) -> str:
    """Where a slice lies along its own normal, as "H 31.5 mm"."""
    grid, axes = projection.grid, projection.axes
    normal = grid.directions[:, axes.through]
    at = [(size - 1) / 2 for size in grid.shape]
    at[axes.through] = projection.index
    distance = float(grid.to_lps(at) @ normal)
    side = letters(normal if distance >= 0 else -normal)[:1]
    return f"{side} {abs(distance):.1f} mm"


def paint(
    painter: QPainter, image: Image, view: ViewState, projection: Projection, width: float, height: float, probe: str
) -> None:
    """Draw all text and marks onto a pane of `width` × `height` logical pixels."""
    small = width < 520 or view.layout is Layout.THREE
    texts = corners(image, view, projection, probe, small=small)
    foot = height - _MARGIN - 2
    _block(painter, texts.top_left, _MARGIN, _MARGIN, width)
    _block(painter, texts.top_right, width - _MARGIN, _MARGIN, width, right=True)
    _block(painter, texts.bottom_left, _MARGIN, foot - _LINE * len(texts.bottom_left), width)
    _block(painter, texts.bottom_right, width - _MARGIN, foot - _LINE * len(texts.bottom_right), width, right=True)
    _letters(painter, projection, width, height)
    if projection.grid.calibrated:
        _scale_bar(painter, projection, width, height)


def halo(painter: QPainter, text: str, x: float, y: float, pixels: int = 12, *, bold: bool = False) -> float:
    """Text with a thin dark rim, its top left corner at (x, y); legible on any grey. Returns its width."""
    if not text:
        return 0.0
    pixmap = _rimmed(text, pixels, bold, painter.device().devicePixelRatio())
    painter.drawPixmap(QPointF(x - _RIM, y - _RIM), pixmap)
    return pixmap.deviceIndependentSize().width() - 2 * _RIM


@lru_cache(maxsize=512)
def _rimmed(text: str, pixels: int, bold: bool, ratio: float) -> QPixmap:
    """A text drawn once; rims cost too much to be drawn with every slice."""
    font = style.font(pixels, bold=bold)
    metrics = QFontMetricsF(font)
    size = QSizeF(metrics.horizontalAdvance(text) + 2 * _RIM, metrics.height() + 2 * _RIM)
    pixmap = QPixmap((size * ratio).toSize() + QSize(1, 1))
    pixmap.setDevicePixelRatio(ratio)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setFont(font)
    base = QPointF(_RIM, _RIM + metrics.ascent())
    for reach, dark in ((1.8, 90), (1.0, 210)):
        painter.setPen(QColor(0, 0, 0, dark))
        for across in (-reach, 0.0, reach):
            for down in (-reach, 0.0, reach):
                painter.drawText(base + QPointF(across, down), text)
    painter.setPen(QColor(style.TEXT))
    painter.drawText(base, text)
    painter.end()
    return pixmap


def _block(painter: QPainter, lines: tuple[str, ...], x: float, y: float, width: float, *, right: bool = False) -> None:
    metrics = QFontMetricsF(style.font(12))
    room = width / 2 - 36  # the middle belongs to the orientation letters
    for number, text in enumerate(lines):
        shown = metrics.elidedText(text, Qt.TextElideMode.ElideRight, room)
        left = x - metrics.horizontalAdvance(shown) if right else x
        halo(painter, shown, left, y + number * _LINE)


def _letters(painter: QPainter, projection: Projection, width: float, height: float) -> None:
    left, right, top, bottom = edge_letters(projection.grid, projection.axes)
    metrics = QFontMetricsF(style.font(15, bold=True))

    def wide(text: str) -> float:
        return metrics.horizontalAdvance(text)

    middle = (height - metrics.height()) / 2
    for text, x, y in (
        (left, _MARGIN, middle),
        (right, width - _MARGIN - wide(right), middle),
        (top, (width - wide(top)) / 2, _MARGIN),
        (bottom, (width - wide(bottom)) / 2, height - _MARGIN - metrics.height()),
    ):
        halo(painter, text, x, y, 15, bold=True)


def _scale_bar(painter: QPainter, projection: Projection, width: float, height: float) -> None:
    """A bar of 1, 2, 5 … cm or mm, about a fifth of the pane long."""
    ratio = projection.size[0] / max(width, 1.0)
    per_mm = projection.pixels_per_mm / ratio
    wanted = width * 0.2 / per_mm
    length = max((n for n in (1, 2, 5, 10, 20, 50, 100, 200) if n <= wanted), default=1)
    long = length * per_mm
    x, y = _MARGIN + 1, height - _MARGIN - _LINE - 12
    text = f"{length // 10} cm" if length >= 10 else f"{length} mm"
    bar = [QLineF(x, y, x + long, y), QLineF(x, y - 4, x, y + 4), QLineF(x + long, y - 4, x + long, y + 4)]
    for pen in (QPen(QColor(0, 0, 0, 220), 3.5), QPen(QColor(style.TEXT), 1.4)):
        painter.setPen(pen)
        painter.drawLines(bar)
    halo(painter, text, x + long + 6, y - 8)


def crosshair(painter: QPainter, x: float, y: float, width: float, height: float) -> None:
    """Thin lines through the cursor that leave its surroundings free."""
    gap = 14.0
    lines = [
        QLineF(0, y, x - gap, y),
        QLineF(x + gap, y, width, y),
        QLineF(x, 0, x, y - gap),
        QLineF(x, y + gap, x, height),
    ]
    painter.setRenderHint(QPainter.RenderHint.Antialiasing, on=False)
    painter.setPen(QPen(QColor(77, 163, 255, 130), 1.0))
    painter.drawLines(lines)


def pen_outline(painter: QPainter, x: float, y: float, across: float, down: float, *, erase: bool) -> None:
    """The brush as it would draw."""
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setBrush(Qt.BrushStyle.NoBrush)
    box = QRectF(x - across / 2, y - down / 2, across, down)
    for colour, wide in ((QColor(0, 0, 0, 200), 3.0), (QColor(style.DANGER if erase else style.EDITED), 1.4)):
        painter.setPen(QPen(colour, wide, Qt.PenStyle.DashLine if erase else Qt.PenStyle.SolidLine))
        painter.drawEllipse(box)


def middle_text(painter: QPainter, text: str, width: float, height: float) -> None:
    """A quiet sentence where the picture would be."""
    painter.setFont(style.font(14))
    painter.setPen(QColor(style.QUIET))
    box = QRectF(width * 0.15, 0, width * 0.7, height)
    painter.drawText(box, int(Qt.AlignmentFlag.AlignCenter) | int(Qt.TextFlag.TextWordWrap), text)
