"""Each model with its switch and the sentence that says where it stands."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtWidgets import QCheckBox, QFrame, QHBoxLayout, QLabel, QProgressBar, QToolButton, QVBoxLayout, QWidget

from overread.session.state import Phase, Reading
from overread.ui import style
from overread.ui.elided import ElidedLabel

_COLOURS = {Phase.FAILED: style.DANGER}


class ModelRow(QFrame):
    """One model."""

    switched = Signal(str)
    stopped = Signal(str)
    asked_all = Signal(str)

    def __init__(self, reading: Reading, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.model_id = reading.model_id
        self.idle = False  # it has nothing to do with the series on screen
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 4, 8, 4)
        column.setSpacing(2)
        head = QHBoxLayout()
        head.setSpacing(10)
        self.switch = QCheckBox(f"{reading.title} {reading.version}")
        self.switch.setToolTip("Reads a fitting series as soon as it is open (M)")
        self.switch.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.switch.clicked.connect(lambda: self.switched.emit(self.model_id))
        head.addWidget(self.switch)
        # a model that has nothing to do with the series takes one line, so that there is room for the findings
        self.aside = ElidedLabel()
        self.aside.setFont(style.font(12))
        self.aside.setProperty("quiet", True)
        head.addWidget(self.aside, 1)
        self.stop = QToolButton()
        self.stop.setIcon(style.icon("cross", style.QUIET))
        self.stop.setIconSize(QSize(14, 14))
        self.stop.setToolTip("Stop reading the rest (Esc)")
        self.stop.setAccessibleName("Stop reading the rest")
        self.stop.clicked.connect(lambda: self.stopped.emit(self.model_id))
        head.addWidget(self.stop)
        self.all = QToolButton()
        self.all.setText("Read all")
        self.all.setToolTip("Read the whole series (Ctrl+R)")
        self.all.clicked.connect(lambda: self.asked_all.emit(self.model_id))
        head.addWidget(self.all)
        column.addLayout(head)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        column.addWidget(self.bar)
        self.text = QLabel()
        self.text.setWordWrap(True)
        self.text.setFont(style.font(12))
        self.text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        column.addWidget(self.text)
        self.show_reading(reading, on=False)

    def show_reading(self, reading: Reading, *, on: bool) -> None:
        """Say where the model stands."""
        self.switch.setChecked(on)
        shade = f"color: {style.QUIET};" if reading.phase is Phase.CLOSED else ""
        if self.switch.styleSheet() != shade:
            self.switch.setStyleSheet(shade)
        self.stop.setVisible(reading.busy)
        self.all.setVisible(reading.phase in (Phase.PAUSED, Phase.FAILED))
        self.bar.setVisible(reading.busy)
        self.bar.setRange(0, max(reading.total, 1))
        style.move(self.bar, reading.done)
        text = sentence(reading)
        # the name stands above; of several models most are not made for what is on screen: that is no warning
        short = text.removeprefix(f"{reading.title} does not read this series: ")
        shown = f"{short[:1].upper()}{short[1:]} {reading.notice}".strip()
        self.idle = idle = reading.phase in (Phase.CLOSED, Phase.OFF)
        self.aside.setText(shown if idle else "")
        self.aside.setToolTip(text if idle else "")
        self.text.setText(shown)
        self.text.setToolTip(text)
        self.text.setVisible(bool(shown) and not idle)
        colour = f"color: {_COLOURS.get(reading.phase, style.QUIET)};"
        if self.text.styleSheet() != colour:  # a sheet set anew is read anew, with every slice
            self.text.setStyleSheet(colour)


def sentence(reading: Reading) -> str:
    """Where a model stands, in words."""
    if reading.text:
        return reading.text
    done, total = reading.done, reading.total
    if reading.whole:
        reads, stopped, seen = f"Reads part {min(done + 1, total)} of {total} …", "Stopped.", "all of it"
    else:
        reads, seen = f"Reads slice {min(done + 1, total)} of {total} …", f"{total} slices"
        stopped = f"Reads what you look at; {done} of {total} slices read."
    return {
        Phase.OFF: "Off.",
        Phase.CLOSED: "",
        Phase.WAITING: "Waits for the images.",
        Phase.STARTING: "Starts …",
        Phase.RUNNING: reads,
        Phase.PAUSED: stopped,
        Phase.DONE: reading.use,
        Phase.NOTHING: f"Looked at {seen}, found nothing. {reading.use}",
        Phase.FAILED: "",
    }[reading.phase]
