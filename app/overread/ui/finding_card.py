"""The selected finding in the list: all that is known of it, and the buttons of the verdict."""

from __future__ import annotations

from PySide6.QtCore import QEvent, QSize, Qt, Signal
from PySide6.QtGui import QColor, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QToolButton, QVBoxLayout, QWidget

from overread.domain.finding import Finding, Status
from overread.domain.geometry import Grid
from overread.ui import style
from overread.ui.elided import ElidedLabel
from overread.ui.finding_text import classes_text, name_text, score_text, site_text, size_text, source_text
from overread.ui.portrait_view import PortraitView


def draw_sample(painter: QPainter, finding: Finding, x: int, y: int) -> None:
    """How its outline looks on the image, 28 × 16: dashed, solid or double; a dot for what has no outline."""
    colour = QColor(style.STATUS[finding.status][0])
    dashed = finding.status in (Status.PROPOSED, Status.REJECTED)
    painter.setPen(QPen(colour, 2.0, Qt.PenStyle.DashLine if dashed else Qt.PenStyle.SolidLine))
    if finding.positive is not None:
        # It has no line on the image: full where the model calls it present, else empty.
        painter.setPen(QPen(colour, 2.0))
        painter.setBrush(colour if finding.positive else QColor(0, 0, 0, 0))
        painter.drawEllipse(x + 8, y + 2, 11, 11)
    elif finding.status is Status.EDITED:
        painter.drawLine(x + 1, y + 5, x + 27, y + 5)
        painter.drawLine(x + 1, y + 10, x + 27, y + 10)
    else:
        painter.drawLine(x + 1, y + 8, x + 27, y + 8)


class _Sample(QWidget):
    """The sample on a card."""

    def __init__(self, finding: Finding) -> None:
        super().__init__()
        self._finding = finding
        self.setFixedSize(28, 16)

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        """Draw it."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        draw_sample(painter, self._finding, 0, 0)
        painter.end()


class FindingCard(QFrame):
    """Name, size, score, where it came from; below it whatever is added, and the verdict buttons last."""

    chosen = Signal(str)
    hide_asked = Signal(str)
    grown = Signal()  # or shrunk

    def __init__(self, finding: Finding, grid: Grid, *, hidden: bool, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.finding = finding
        self.portrait: PortraitView | None = None
        self.setObjectName("card")
        self.setProperty("selected", True)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setAccessibleName(f"{finding.title}, {finding.status.value}")
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(12, 8, 8, 10)
        self._column.setSpacing(4)
        head = QHBoxLayout()
        head.setSpacing(8)
        head.addWidget(_Sample(finding))
        title = ElidedLabel(name_text(finding))
        title.setFont(style.font(13, bold=True))
        head.addWidget(title, 1)
        eye = QToolButton()
        eye.setIcon(style.icon("eye-off" if hidden else "eye", style.QUIET))
        eye.setIconSize(QSize(16, 16))
        eye.setToolTip("Show on the image" if hidden else "Hide on the image")
        eye.setAccessibleName(f"{'Show' if hidden else 'Hide'} {finding.title}")
        eye.clicked.connect(lambda: self.hide_asked.emit(finding.id))
        head.addWidget(eye)
        self._column.addLayout(head)
        size = size_text(finding, grid) if finding.bounds is None else ""  # else its portrait says so, and more
        said = "   ".join(text for text in (size, score_text(finding)) if text)
        for text in filter(None, (said, site_text(finding))):
            self._column.addWidget(_line(text))
        if finding.classes:
            self._column.addWidget(_line(classes_text(finding)))
        foot = QHBoxLayout()
        foot.setSpacing(8)
        colour, word = style.STATUS[finding.status]
        state = QLabel(word)
        state.setFont(style.font(12))
        state.setStyleSheet(f"color: {colour};")
        foot.addWidget(state, 0, Qt.AlignmentFlag.AlignTop)
        source = _line(source_text(finding))
        source.setProperty("quiet", True)
        source.setFont(style.font(12))
        foot.addWidget(source, 1)
        self._column.addLayout(foot)

    def add(self, widget: QWidget) -> None:
        """Put something below."""
        self._column.addWidget(widget)

    def add_buttons(self, buttons: list[QPushButton]) -> None:
        """Put a row of buttons below."""
        row = QHBoxLayout()
        row.setSpacing(6)
        for button in buttons:
            row.addWidget(button, 1)
        self._column.addSpacing(2)
        self._column.addLayout(row)

    def event(self, event: QEvent) -> bool:
        """Tell when what is on it needs another height."""
        done = super().event(event)
        if event.type() == QEvent.Type.LayoutRequest and self.heightForWidth(self.width()) != self.height():
            self.grown.emit()
        return done

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Go there."""
        self.chosen.emit(self.finding.id)


def _line(text: str) -> QLabel:
    label = QLabel(text)
    label.setWordWrap(True)
    return label
