"""Why a finding is rejected: a short list by digit keys, a text of one's own, and the list itself to be edited."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QEvent, QObject, Qt, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QLineEdit, QPlainTextEdit, QPushButton, QVBoxLayout, QWidget

from overread.session.settings import MOST_REASONS
from overread.ui import style

_ENTER = (Qt.Key.Key_Return, Qt.Key.Key_Enter)


class Reasons(QFrame):
    """Pops up beside the finding. A digit, Return or X takes a reason, Escape none."""

    chosen = Signal(str)
    changed = Signal(tuple)  # the list, edited

    def __init__(self, reasons: Sequence[str], parent: QWidget) -> None:
        super().__init__(parent, Qt.WindowType.Popup)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setObjectName("float")
        self.setAccessibleName("Why it is rejected")
        self._reasons = tuple(reasons)
        self._at = 0
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(8, 8, 8, 8)
        self._column.setSpacing(2)
        self.choices = [QPushButton(f"{n}   {reason}") for n, reason in enumerate(self._reasons, start=1)]
        self.choices.append(QPushButton(f"{len(self._reasons) + 1}   other …"))
        for number, choice in enumerate(self.choices):
            choice.setFocusPolicy(Qt.FocusPolicy.NoFocus)
            choice.clicked.connect(lambda checked=False, number=number: self._take(number))
            self._column.addWidget(choice)
        self.own = QLineEdit()
        self.own.setPlaceholderText("Why, in your own words; Return rejects")
        self.own.setAccessibleName("Another reason")
        self.own.setMaxLength(60)
        self.own.setMinimumWidth(280)
        self.own.installEventFilter(self)
        self.own.hide()
        self._column.addWidget(self.own)
        self.edit = QPushButton("Edit this list…")
        self.edit.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.edit.clicked.connect(self.open_editor)
        self._column.addWidget(self.edit)
        self._mark()

    def _mark(self) -> None:
        for number, choice in enumerate(self.choices):
            picked = number == self._at
            edge = f"border-color: {style.ACTIVE};" if picked else "border-color: transparent;"
            choice.setStyleSheet(f"text-align: left; {edge}")

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        """Digits take, arrows go up and down, Return and X take what is marked."""
        key, last = event.key(), len(self.choices) - 1
        if Qt.Key.Key_1 <= key <= Qt.Key.Key_9 and key - Qt.Key.Key_1 <= last:
            self._take(key - Qt.Key.Key_1)
        elif key in (Qt.Key.Key_Down, Qt.Key.Key_Up):
            self._at = (self._at + (1 if key == Qt.Key.Key_Down else -1)) % len(self.choices)
            self._mark()
        elif key in _ENTER or key == Qt.Key.Key_X:
            self._take(self._at)
        elif key == Qt.Key.Key_Escape:
            self.close()

    def _take(self, number: int) -> None:
        if number < len(self._reasons):
            self.close()
            self.chosen.emit(self._reasons[number])
            return
        self._at = number
        self._mark()
        self.own.show()
        self.adjustSize()
        self.own.setFocus()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
        """Return takes the text, if there is one; Escape goes."""
        if isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress:
            if event.key() in _ENTER:
                text = " ".join(self.own.text().split())
                if text:
                    self.close()
                    self.chosen.emit(text)
                return True
            if event.key() == Qt.Key.Key_Escape:
                self.close()
                return True
        return super().eventFilter(watched, event)

    def open_editor(self) -> None:
        """Show the list as text, one reason a line."""
        for widget in (*self.choices, self.own, self.edit):
            widget.hide()
        hint = QLabel(f"One reason a line, {MOST_REASONS} at most; the digit keys follow the lines.")
        hint.setWordWrap(True)
        hint.setProperty("quiet", True)
        self._column.addWidget(hint)
        self.lines = QPlainTextEdit("\n".join(self._reasons))
        self.lines.setAccessibleName("Reasons, one a line")
        self.lines.setMinimumSize(280, 180)
        self._column.addWidget(self.lines)
        row = QHBoxLayout()
        keep = QPushButton("Keep")
        keep.setObjectName("primary")
        keep.clicked.connect(self.keep)
        drop = QPushButton("Cancel")
        drop.clicked.connect(self.close)
        row.addWidget(drop)
        row.addWidget(keep)
        self._column.addLayout(row)
        self.adjustSize()
        self.lines.setFocus()

    def keep(self) -> None:
        """Take over the edited list, unless nothing is left of it."""
        written = (" ".join(line.split())[:60] for line in self.lines.toPlainText().splitlines())
        reasons = tuple(dict.fromkeys(line for line in written if line))[:MOST_REASONS]
        self.close()
        if reasons:
            self.changed.emit(reasons)
