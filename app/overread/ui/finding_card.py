"""One finding in the list."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QColor, QMouseEvent, QPainter, QPaintEvent, QPen
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QToolButton, QVBoxLayout, QWidget

from overread.domain.finding import Finding, Kind, Status, VoxelBox
from overread.domain.geometry import Grid
from overread.domain.objects import ObjectSource
from overread.ui import style
from overread.ui.elided import ElidedLabel


class LineSample(QWidget):
    """How the finding's outline looks on the image: dashed, solid or double; a dot for what has no outline."""

    def __init__(self, finding: Finding, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.status, self.positive = finding.status, finding.positive
        self.setFixedSize(28, 16)

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        """Draw the sample."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        colour = QColor(style.STATUS[self.status][0])
        dashed = self.status in (Status.PROPOSED, Status.REJECTED)
        kind = Qt.PenStyle.DashLine if dashed else Qt.PenStyle.SolidLine
        painter.setPen(QPen(colour, 2.0, kind))
        if self.positive is not None:
            # It has no line on the image: full where the model calls it present, else empty.
            painter.setPen(QPen(colour, 2.0))
            painter.setBrush(colour if self.positive else QColor(0, 0, 0, 0))
            painter.drawEllipse(8, 2, 11, 11)
        elif self.status is Status.EDITED:
            painter.drawLine(1, 5, 27, 5)
            painter.drawLine(1, 10, 27, 10)
        else:
            painter.drawLine(1, 8, 27, 8)
        painter.end()


class FindingCard(QFrame):
    """Name, size, score, where it came from; the verdict buttons where it is selected."""

    chosen = Signal(str)
    hide_asked = Signal(str)

    def __init__(
        self, finding: Finding, grid: Grid, *, selected: bool, hidden: bool, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.finding = finding
        self.setObjectName("card")
        self.setProperty("selected", selected)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setAccessibleName(f"{finding.title}, {finding.status.value}")
        colour, word = style.STATUS[finding.status]
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 8, 8, 10)
        column.setSpacing(4)
        head = QHBoxLayout()
        head.setSpacing(8)
        head.addWidget(LineSample(finding))
        title = ElidedLabel(finding.label if finding.kind is Kind.CLASSIFICATION else finding.title)
        title.setFont(style.font(13, bold=True))
        head.addWidget(title, 1)
        eye = QToolButton()
        eye.setIcon(style.icon("eye-off" if hidden else "eye", style.QUIET))
        eye.setIconSize(QSize(16, 16))
        eye.setToolTip("Show on the image" if hidden else "Hide on the image")
        eye.setAccessibleName(f"{'Show' if hidden else 'Hide'} {finding.title}")
        eye.clicked.connect(lambda: self.hide_asked.emit(finding.id))
        head.addWidget(eye)
        column.addLayout(head)
        said = QLabel(size_text(finding, grid))
        said.setWordWrap(True)
        column.addWidget(said)
        if finding.classes:
            kinds = QLabel(classes_text(finding))
            kinds.setWordWrap(True)
            column.addWidget(kinds)
        foot = QHBoxLayout()
        foot.setSpacing(8)
        state = QLabel(word)
        state.setFont(style.font(12))
        state.setStyleSheet(f"color: {colour};")
        foot.addWidget(state, 0, Qt.AlignmentFlag.AlignTop)
        source = QLabel(source_text(finding))
        source.setProperty("quiet", True)
        source.setFont(style.font(12))
        source.setWordWrap(True)
        foot.addWidget(source, 1)
        column.addLayout(foot)

    def add_buttons(self, buttons: list[QPushButton]) -> None:
        """Put the verdict buttons below."""
        row = QHBoxLayout()
        row.setSpacing(6)
        for button in buttons:
            row.addWidget(button, 1)
        layout = self.layout()
        if isinstance(layout, QVBoxLayout):
            layout.addSpacing(2)
            layout.addLayout(row)

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Select it and go there."""
        self.chosen.emit(self.finding.id)


def size_text(finding: Finding, grid: Grid) -> str:
    """Volume, axes and score, as far as they are known; for a class its probability beside the threshold."""
    if finding.kind is Kind.CLASSIFICATION and finding.score is not None and finding.threshold is not None:
        side = "above" if finding.positive else "below"
        return f"probability {finding.score:.2f}   {side} threshold {finding.threshold:.2f}"
    measures, parts = finding.measures, []
    if measures is not None:
        parts.append(f"{measures.volume_ml:.1f} ml" if measures.volume_ml >= 0.1 else f"{measures.volume_ml:.2g} ml")
        parts.append(f"{measures.long_axis_mm:.0f} × {measures.short_axis_mm:.0f} mm")
    elif finding.bounds is not None and finding.boxed:
        parts.append(f"box {box_size(finding.bounds, grid)}")
    else:
        parts.append(f"{finding.mask.count} voxels")
    if finding.score is not None:
        parts.append(f"score {finding.score:.2f}")
    return "   ".join(parts)


def box_size(box: VoxelBox, grid: Grid) -> str:
    """How large a box is: across, down and through the slices in mm, or across and down in pixels."""
    sizes = [stop - start for start, stop in zip(box[:3], box[3:], strict=True)]
    if not grid.calibrated:
        return f"{sizes[2]} × {sizes[1]} pixels"
    k, j, i = (size * spacing for size, spacing in zip(sizes, grid.spacing, strict=True))
    return f"{i:.0f} × {j:.0f} × {k:.0f} mm" if grid.oriented else f"{i:.0f} × {j:.0f} mm"


def classes_text(finding: Finding) -> str:
    """The probability of each class, the greatest first."""
    ranked = sorted(finding.classes, key=lambda named: -named[1])
    return "   ".join(f"{label} {probability:.2f}" for label, probability in ranked)


def source_text(finding: Finding) -> str:
    """Who made it and who changed it."""
    verbs = [act for act in finding.acts if act.verb in ("brush", "erase", "draw")]
    editor = verbs[-1].reader.name if verbs else ""
    if finding.source is not None:
        return read_text(finding, finding.source, editor)
    if finding.model is None:
        return f"drawn by {editor}"
    model = f"{finding.model.name} {finding.model.version}"
    if editor and finding.original is not None:
        return f"{model}, edited by {editor}"
    last = finding.acts[-1] if finding.acts else None
    if last is None or last.verb == "restore":
        return model
    reason = f": {finding.reason}" if finding.reason else ""
    return f"{model}, by {last.reader.name}{reason}"


def read_text(finding: Finding, source: ObjectSource, editor: str) -> str:
    """The object that a finding was read from, its algorithm, who judged it, and what was said or lost with it."""
    parts = [f"from {source.title}"]
    if source.date.isdigit() and len(source.date) == 8:
        parts[0] += f", {source.date[:4]}-{source.date[4:6]}-{source.date[6:]}"
    if finding.model is not None:
        parts.append(f"made by {finding.model.name} {finding.model.version}".strip())
    if editor and finding.original is not None:
        parts.append(f"edited by {editor}")
    elif finding.acts and finding.acts[-1].verb != "restore":
        reason = f": {finding.reason}" if finding.reason else ""
        parts.append(f"by {finding.acts[-1].reader.name}{reason}")
    said = [f"{name}: {value}" for name, value in source.said]
    return "\n".join(filter(None, [", ".join(parts), source.remark, *said]))
