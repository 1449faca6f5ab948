"""The foot of the window: what serves, what runs, what is saved."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt, QTimer, Signal
from PySide6.QtGui import QColor, QPainter, QPainterPath, QPaintEvent, QPen
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QProgressBar, QSizePolicy, QToolButton, QWidget

from overread.session.session import Session
from overread.session.state import Phase, Reading
from overread.ui import style

_POLL_MS = 100
_CLOSED = "Read-only"


class Sparkline(QWidget):
    """The last milliseconds a slice took, as a line."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.values: tuple[float, ...] = ()
        self.setFixedSize(56, 16)

    def show_values(self, values: tuple[float, ...]) -> None:
        """Draw these."""
        self.values = values
        self.update()

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        """Draw the line from zero to the slowest."""
        if len(self.values) < 2:
            return
        top = max(self.values) or 1.0
        path = QPainterPath()
        for number, value in enumerate(self.values):
            x = 1 + number * (self.width() - 2) / (len(self.values) - 1)
            y = self.height() - 2 - (self.height() - 4) * value / top
            if number:
                path.lineTo(x, y)
            else:
                path.moveTo(x, y)
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(QColor(style.QUIET), 1.2))
        painter.drawPath(path)
        painter.end()


class StatusBar(QFrame):
    """Badge, jobs, saved, and that none of it is for the clinic."""

    cancelled = Signal()

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session = session
        self.setObjectName("bar")
        self.setFixedHeight(28)
        self.row = row = QHBoxLayout(self)
        row.setContentsMargins(12, 0, 12, 0)
        row.setSpacing(8)
        self.dot = QLabel("●")
        row.addWidget(self.dot)
        self.badge = QLabel()
        self.badge.setFont(style.font(12))
        self.badge.setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Preferred)
        row.addWidget(self.badge)
        self.line = Sparkline()
        row.addWidget(self.line)
        row.addStretch(1)
        self.job = QLabel()
        self.job.setFont(style.font(12))
        row.addWidget(self.job)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setFixedWidth(96)
        self.bar.setRange(0, 1000)
        row.addWidget(self.bar)
        self.percent = QLabel()
        self.percent.setFont(style.font(12))
        self.percent.setMinimumWidth(36)
        row.addWidget(self.percent)
        self.stop = QToolButton()
        self.stop.setIcon(style.icon("cross", style.QUIET))
        self.stop.setIconSize(QSize(14, 14))
        self.stop.setToolTip("Stop (Esc)")
        self.stop.setAccessibleName("Stop what is running")
        self.stop.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.stop.clicked.connect(self.cancelled)
        row.addWidget(self.stop)
        row.addStretch(1)
        self.saved = QLabel()
        self.saved.setFont(style.font(12))
        self.saved.setProperty("quiet", True)
        row.addWidget(self.saved)
        self.notice = QLabel("Not for clinical use")
        self.notice.setFont(style.font(12, bold=True))
        self.notice.setStyleSheet(f"color: {style.PROPOSED};")
        row.addWidget(self.notice)
        self._beat = 0
        self._timer = QTimer(self)
        self._timer.setInterval(_POLL_MS)
        self._timer.timeout.connect(self._poll)
        self._timer.start()
        session.reading_changed.connect(self._reading_changed)
        session.findings_changed.connect(lambda old, new: self._show_saved())
        session.image_changed.connect(lambda old, new: self._show_saved())
        session.access_changed.connect(self._show_saved)
        self._show_badge()
        self._poll()

    def _reading_changed(self, reading: Reading) -> None:
        self._show_badge()

    def _show_badge(self) -> None:
        readings = [r for r in self.session.runs.readings.values() if r.phase is not Phase.OFF]
        reading = next((r for r in readings if r.backend and r.phase is not Phase.CLOSED), None)
        if reading is None:
            self.dot.setStyleSheet(f"color: {style.LINE};")
            coming = next((r for r in readings if r.phase in (Phase.WAITING, Phase.STARTING)), None)
            off = "no model reads this series" if self.session.image is not None else "no model at work"
            off = off if coming is None else f"{coming.title} starts"
            self.badge.setText(off)
            self.badge.setToolTip("")
            self.line.show_values(())
            return
        colour = style.DANGER if reading.phase is Phase.FAILED else style.ACCEPTED
        self.dot.setStyleSheet(f"color: {colour};")
        speed = f" · {reading.median_ms:.1f} ms a slice" if reading.median_ms is not None else ""
        server = f" · {reading.standing}" if reading.standing else ""
        self.badge.setText(f"{reading.title} {reading.version} · {reading.backend} {reading.precision}{server}{speed}")
        where = "there" if reading.whither else "here"
        passed = f"{reading.backend} {reading.precision} passed its self-test {where}: {reading.proof}."
        lines = (passed, reading.whither, reading.why.replace("; ", "\n"), reading.notice)
        self.badge.setToolTip("\n".join(line for line in lines if line))
        self.line.show_values(reading.times_ms)

    def _poll(self) -> None:
        """Ask the jobs how far they are: ten times a second, no signal from a thread."""
        jobs = self.session.jobs.running
        busy = bool(jobs)
        for widget in (self.job, self.bar, self.percent, self.stop):
            widget.setVisible(busy)
        if busy:
            job = jobs[-1]
            room = self.width() // 4  # what a series is called may be long
            self.job.setText(self.job.fontMetrics().elidedText(job.label, Qt.TextElideMode.ElideRight, room))
            self.job.setToolTip(job.label)
            self.bar.setVisible(job.fraction is not None)
            self.percent.setVisible(job.fraction is not None)
            style.move(self.bar, round((job.fraction or 0.0) * 1000))
            self.percent.setText(f"{(job.fraction or 0.0) * 100:.0f} %")
        reading = any(r.busy for r in self.session.runs.readings.values())
        self._beat = (self._beat + 1) % 10 if reading else 0
        if reading:  # the badge breathes while a model is at work
            self.dot.setStyleSheet(f"color: {style.ACCEPTED if self._beat < 5 else style.LINE};")
        elif busy is False:
            self._show_badge()

    def _show_saved(self) -> None:
        saved, closed = self.session.saved, self.session.closed
        self.saved.setText(_CLOSED if closed else f"saved {saved:%H:%M:%S}" if saved else "")
        self.saved.setToolTip(str(closed) if closed else "")
        self.saved.setStyleSheet(f"color: {style.PROPOSED}; font-weight: bold;" if closed else "")
