"""The study on the left: every series as the scan finds it, with thumbnail, size, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Generator

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QEvent, QRect, QSize, Qt, Signal
from PySide6.QtGui import QColor, QEnterEvent, QFontMetrics, QImage, QKeyEvent, QMouseEvent, QPainter, QPaintEvent
from PySide6.QtWidgets import QFrame, QLabel, QScrollArea, QVBoxLayout, QWidget

from overread.dicom.codecs import Undecodable
from overread.dicom.load import read_frame
from overread.domain.study import Patient, Stack, Study
from overread.render.slices import thumbnail
from overread.session.jobs import Job
from overread.session.state import Image, Sources
from overread.ui import style
from overread.ui.desk import Desk

_THUMB = 56


class SeriesRow(QWidget):
    """One stack: picture, name, number of slices, a mark where it is irregular, a bar while it loads."""

    clicked = Signal(object)

    def __init__(self, stack: Stack, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.stack = stack
        self.current, self.fraction = False, 1.0
        self._picture: QImage | None = None
        self._bytes: NDArray[np.uint8] | None = None
        self._hover = False
        self.setFixedHeight(_THUMB + 12)
        self.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        who = stack.identity
        problems = [problem.text for problem in stack.problems]
        made = [f"Made from {stack.made_from}"] if stack.made_from else []
        warned = [f"⚠ {text}" for text in problems]
        self.setToolTip("\n".join([who.series_description or who.modality, *made, *warned]))
        self.setAccessibleName(f"{who.modality} {who.series_description}, {len(stack.frames)} slices")

    def sizeHint(self) -> QSize:  # noqa: N802
        """As wide as the panel."""
        return QSize(240, _THUMB + 12)

    def set_picture(self, picture: NDArray[np.uint8]) -> None:
        """Show a thumbnail (size, size, 3)."""
        self._bytes = np.ascontiguousarray(picture)
        size = self._bytes.shape[0]
        self._picture = QImage(self._bytes.data, size, size, size * 3, QImage.Format.Format_RGB888)
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        """Draw the row."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        body = self.rect().adjusted(6, 2, -6, -2)
        if self.current or self._hover or self.hasFocus():
            painter.setPen(QColor(style.ACTIVE if self.current or self.hasFocus() else style.RAISED))
            painter.setBrush(QColor(style.RAISED))
            painter.drawRoundedRect(body, 6, 6)
        box = QRect(body.left() + 4, body.top() + 4, _THUMB, _THUMB)
        painter.fillRect(box, QColor(style.PANE))
        if self._picture is not None:
            painter.drawImage(box, self._picture)
        if self.fraction < 1.0:
            painter.fillRect(QRect(box.left(), box.bottom() - 2, _THUMB, 3), QColor(style.LINE))
            painter.fillRect(QRect(box.left(), box.bottom() - 2, int(_THUMB * self.fraction), 3), QColor(style.ACTIVE))
        self._texts(painter, QRect(box.right() + 10, body.top() + 5, body.right() - box.right() - 16, _THUMB))
        painter.end()

    def _texts(self, painter: QPainter, room: QRect) -> None:
        who, count = self.stack.identity, len(self.stack.frames)
        painter.setFont(style.font(13, bold=self.current))
        painter.setPen(QColor(style.TEXT))
        name = who.series_description or self.stack.role or "No description"
        metrics = QFontMetrics(painter.font())
        shown = metrics.elidedText(name, Qt.TextElideMode.ElideRight, room.width())
        painter.drawText(room.left(), room.top() + 14, shown)
        painter.setFont(style.font(12))
        painter.setPen(QColor(style.QUIET))
        number = f"{who.series_number} · " if who.series_number is not None else ""
        what = f"{number}{who.modality} · {count} {'image' if count == 1 else 'images'}"
        painter.drawText(room.left(), room.top() + 32, what)
        if self.stack.problems or self.stack.made_from:
            painter.setPen(QColor(style.PROPOSED if self.stack.problems else style.QUIET))
            metrics = QFontMetrics(painter.font())
            text = f"⚠ {self.stack.problems[0].text}" if self.stack.problems else f"made from {self.stack.made_from}"
            painter.drawText(
                room.left(), room.top() + 50, metrics.elidedText(text, Qt.TextElideMode.ElideRight, room.width())
            )

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Show this series."""
        self.clicked.emit(self.stack)

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        """Return shows this series."""
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.clicked.emit(self.stack)
        else:
            super().keyPressEvent(event)

    def enterEvent(self, event: QEnterEvent) -> None:  # noqa: N802
        """Raise it under the mouse."""
        self._hover = True
        self.update()

    def leaveEvent(self, event: QEvent) -> None:  # noqa: N802
        """Lay it down."""
        self._hover = False
        self.update()


class StudyPanel(QFrame):
    """All series of everything that is open, patient by patient."""

    def __init__(self, desk: Desk, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.desk, self.session = desk, desk.session
        session = self.session
        self.setObjectName("panel")
        self.rows: dict[str, SeriesRow] = {}
        self._thumbs: dict[str, NDArray[np.uint8]] = {}
        self._job: Job | None = None
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 8, 0, 0)
        column.setSpacing(4)
        self._inner = QWidget()
        self._inner.setObjectName("list")
        self._list = QVBoxLayout(self._inner)
        self._list.setContentsMargins(0, 0, 0, 8)
        self._list.setSpacing(2)
        self._list.addStretch(1)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(self._inner)
        column.addWidget(scroll, 1)
        self._scroll = scroll
        self._note = QLabel("")
        self._note.setProperty("quiet", True)
        self._note.setWordWrap(True)
        self._note.setContentsMargins(12, 4, 12, 8)
        column.addWidget(self._note)
        session.sources_changed.connect(self._sources_changed)
        session.image_changed.connect(self._image_changed)
        desk.imported.connect(self.show_note)

    def _sources_changed(self, old: Sources, new: Sources) -> None:
        if old.catalogue != new.catalogue or old.paths != new.paths:
            self._rebuild(new)
        self.show_note()
        if not new.scanning:
            self._fetch_thumbnails()

    def show_note(self) -> None:
        """Say what was left out, and what of others' findings cannot be shown."""
        sources, notices = self.session.sources, self.desk.imports.notices
        skipped = sources.catalogue.skipped
        left_out = f"{len(skipped)} other file{'s' if len(skipped) != 1 else ''} left out" if skipped else ""
        parts = ["Looking through the files …"] if sources.scanning else [*notices, *filter(None, [left_out])]
        self._note.setVisible(bool(parts))
        self._note.setText("\n".join(parts))
        lines = [f"{item.path}: {item.reason}" for item in skipped[:20]]
        self._note.setToolTip("\n".join([*lines, "…"] if len(skipped) > 20 else lines))

    def _rebuild(self, sources: Sources) -> None:
        while self._list.count() > 1:
            item = self._list.takeAt(0)
            widget = item.widget() if item is not None else None
            if widget is not None:
                widget.setParent(None)  # gone at once: no row of the last study may stand under the next name
                widget.deleteLater()
        self.rows = {}
        for patient in sources.catalogue.patients:
            if len(sources.catalogue.patients) > 1:
                self._add(_heading(patient.name.replace("^", " ").strip() or patient.id or "No name", person=True))
            for study in patient.studies:
                self._add(_heading(_study_title(patient, study)))
                for stack in study.stacks:
                    self._add_row(stack)
        self._mark(self.session.image)

    def _add(self, widget: QWidget) -> None:
        self._list.insertWidget(self._list.count() - 1, widget)

    def _add_row(self, stack: Stack) -> None:
        row = SeriesRow(stack)
        row.clicked.connect(self.session.select)
        if stack.uid in self._thumbs:
            row.set_picture(self._thumbs[stack.uid])
        self.rows[stack.uid] = row
        self._add(row)

    def _image_changed(self, old: Image | None, new: Image | None) -> None:
        self._mark(new)

    def _mark(self, image: Image | None) -> None:
        for uid, row in self.rows.items():
            current = image is not None and image.stack.uid == uid
            fraction = image.ready.fraction if image is not None and current else 1.0
            if (row.current, row.fraction) != (current, fraction):
                if current and not row.current:
                    self._scroll.ensureWidgetVisible(row)
                row.current, row.fraction = current, fraction
                row.update()

    def step(self, way: int) -> None:
        """Show the next (+1) or previous (-1) series."""
        stacks = [row.stack for row in self.rows.values()]
        image = self.session.image
        here = next((n for n, s in enumerate(stacks) if image is not None and s.uid == image.stack.uid), -1)
        if stacks:
            self.session.select(stacks[(here + way) % len(stacks)])

    def _fetch_thumbnails(self) -> None:
        if self._job is not None:
            self._job.cancel.cancel()
        wanted = [row.stack for uid, row in self.rows.items() if uid not in self._thumbs]

        def work(job: Job) -> Generator[tuple[str, NDArray[np.uint8]], None, None]:
            for stack in wanted:
                picture = _thumbnail(stack)
                if picture is not None:
                    yield stack.uid, picture

        self._job = self.session.jobs.stream("Thumbnails", work, self._thumbnail_arrived, quiet=True)

    def _thumbnail_arrived(self, arrived: tuple[str, NDArray[np.uint8]]) -> None:
        uid, picture = arrived
        self._thumbs[uid] = picture
        if uid in self.rows:
            self.rows[uid].set_picture(picture)


def _thumbnail(stack: Stack) -> NDArray[np.uint8] | None:
    """The middle slice, small. Runs on a worker; None where it cannot be read."""
    frame = stack.frames[len(stack.frames) // 2]
    try:
        pixels = read_frame(frame, stack.encoding)
    except Undecodable:
        return None
    _, down, across = stack.grid.spacing
    picture = thumbnail(pixels, None, down / across, _THUMB * 2)
    return 255 - picture if stack.encoding.photometric == "MONOCHROME1" else picture


def _study_title(patient: Patient, study: Study) -> str:
    date = f"{study.date[:4]}-{study.date[4:6]}-{study.date[6:8]}" if len(study.date) == 8 else ""
    return " · ".join(part for part in (date, study.description or "Study") if part)


def _heading(text: str, *, person: bool = False) -> QLabel:
    label = QLabel(text)
    label.setWordWrap(True)
    label.setContentsMargins(12, 10 if person else 6, 12, 2)
    label.setProperty("quiet", not person)
    label.setFont(style.font(13 if person else 12, bold=person))
    return label
