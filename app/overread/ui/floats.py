"""Sheets that float over the window: all keys, and finders, of an action by its name first."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from html import escape

from PySide6.QtCore import QEvent, QObject, QSize, Qt, Signal
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from overread.ui import style
from overread.ui.action import Action
from overread.ui.actions import ACTIONS, MOUSE

Keys = Callable[[Action], str]
# The bar at the top of the window stays free.
_TOP = 48


class Sheet(QFrame):
    """Every key and what the mouse does, on one page, from the table of actions."""

    def __init__(self, parent: QWidget, keys: Keys) -> None:
        super().__init__(parent)
        self.setObjectName("float")
        column = QVBoxLayout(self)
        column.setContentsMargins(24, 16, 24, 20)
        title = QLabel("Keys and mouse")
        title.setFont(style.font(16, bold=True))
        column.addWidget(title)
        self._page = QWidget()
        row = QHBoxLayout(self._page)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(20)
        groups = list(dict.fromkeys(action.group for action in ACTIONS))
        tables = [(group, _rows(group, keys)) for group in groups]
        tables.append(("Mouse", list(MOUSE)))
        self._columns: list[QLabel] = []
        for chosen in _in_columns(tables, 4):
            text = "".join(_table(name, rows) for name, rows in chosen)
            label = QLabel(text)
            label.setTextFormat(Qt.TextFormat.RichText)
            label.setAlignment(Qt.AlignmentFlag.AlignTop)
            self._columns.append(label)
            row.addWidget(label)
        self._scroll = QScrollArea()
        self._scroll.setWidget(self._page)
        self._scroll.setWidgetResizable(True)
        self._scroll.setFrameShape(QFrame.Shape.NoFrame)
        self._scroll.viewport().setAutoFillBackground(False)
        self._page.setAutoFillBackground(False)
        column.addWidget(self._scroll)
        self.hide()

    def toggle(self) -> None:
        """Show it in the middle of the window, or put it away."""
        if self.isVisible():
            self.hide()
            return
        parent = self.parentWidget()
        assert parent is not None
        room = QSize(parent.width(), parent.height() - _TOP)
        for pixels in (13, 12, 11):  # on a small screen all of it in small letters; on a smaller one it is scrolled
            for label in self._columns:
                label.setFont(style.font(pixels))
            self._scroll.setMinimumSize(self._page.sizeHint())
            self.adjustSize()
            if self.size().boundedTo(room) == self.size():
                break
        self._scroll.setMinimumSize(0, 0)
        self.resize(self.size().boundedTo(room))
        self.move((parent.width() - self.width()) // 2, max(_TOP, (parent.height() - self.height()) // 2))
        self.show()
        self.raise_()


def _rows(group: str, keys: Keys) -> list[tuple[str, str]]:
    """Keys and names of a group; the nine window presets on one line, and so the keys that move and resize a box."""
    named = [a for a in ACTIONS if a.group == group and keys(a) and not a.id.startswith(("preset-", "box-"))]
    presets = [keys(a) for a in ACTIONS if a.group == group and a.id.startswith("preset-")]
    lines = [(keys(a), a.text) for a in named]
    if any(a.group == group and a.id.startswith("box-") for a in ACTIONS):
        lines += [("Ctrl+← PgUp …", "Move the box"), ("Ctrl+Shift+← …", "Resize the box")]
    return [*lines, (f"{presets[0]} … {presets[-1]}", "Window presets")] if presets else lines


def _in_columns(
    tables: list[tuple[str, list[tuple[str, str]]]], count: int
) -> Iterable[list[tuple[str, list[tuple[str, str]]]]]:
    """Spread tables over columns of about the same length, in order."""
    total = sum(len(rows) + 2 for _, rows in tables)
    columns: list[list[tuple[str, list[tuple[str, str]]]]] = [[] for _ in range(count)]
    filled, at = 0, 0
    for table in tables:
        if filled >= total / count * (at + 1) and at + 1 < count:
            at += 1
        columns[at].append(table)
        filled += len(table[1]) + 2
    return columns


def _table(name: str, rows: list[tuple[str, str]]) -> str:
    cells = "".join(
        f'<tr><td style="padding: 1px 8px 1px 0; color: {style.ACTIVE}">{escape(key)}</td><td>{escape(text)}</td></tr>'
        for key, text in rows
    )
    return (
        f'<p style="color: {style.QUIET}; margin: 8px 0 2px 0"><b>{escape(name.upper())}</b></p><table>{cells}</table>'
    )


class Finder(QFrame):
    """A field and what fits the letters in it; `chosen` is the value of the row that was taken."""

    chosen = Signal(object)

    def __init__(self, parent: QWidget, asks: str, fitting: Callable[[str], Iterable[tuple[str, object]]]) -> None:
        """``fitting`` gives the rows for a text: what is written there, and its value."""
        super().__init__(parent)
        self._fitting = fitting
        self.setObjectName("float")
        self.setFixedSize(520, 420)
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 12, 12, 12)
        self.field = QLineEdit()
        self.field.setPlaceholderText(asks)
        self.field.textChanged.connect(self._filter)
        self.field.installEventFilter(self)
        column.addWidget(self.field)
        self.list = QListWidget()
        self.list.itemActivated.connect(self._take)
        self.list.itemClicked.connect(self._take)
        column.addWidget(self.list)
        self.hide()

    def toggle(self) -> None:
        """Show it, or put it away."""
        if self.isVisible():
            self.hide()
            return
        parent = self.parentWidget()
        if parent is not None:
            self.move((parent.width() - self.width()) // 2, 64)
        self.field.clear()
        self._filter("")
        self.show()
        self.raise_()
        self.field.setFocus()

    def _filter(self, text: str) -> None:
        self.list.clear()
        for words, value in self._fitting(text):
            item = QListWidgetItem(words)
            item.setData(Qt.ItemDataRole.UserRole, value)
            self.list.addItem(item)
        self.list.setCurrentRow(0)

    def _take(self, item: QListWidgetItem) -> None:
        self.hide()
        self.chosen.emit(item.data(Qt.ItemDataRole.UserRole))

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
        """Arrows move in the list, Return takes, Escape leaves, while the letters go to the field."""
        if isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress:
            key = event.key()
            if key in (Qt.Key.Key_Down, Qt.Key.Key_Up):
                step = 1 if key == Qt.Key.Key_Down else -1
                self.list.setCurrentRow(min(max(self.list.currentRow() + step, 0), self.list.count() - 1))
                return True
            if key in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
                item = self.list.currentItem()
                if item is not None:
                    self._take(item)
                return True
            if key == Qt.Key.Key_Escape:
                self.hide()
                return True
        return super().eventFilter(watched, event)


class Palette(Finder):
    """Type a few letters of what you want; `chosen` is the action's id."""

    def __init__(self, parent: QWidget, keys: Keys, possible: Callable[[Action], bool]) -> None:
        def fitting(text: str) -> Iterable[tuple[str, object]]:
            words = text.lower().split()
            for action in ACTIONS:
                if all(word in f"{action.text} {action.group}".lower() for word in words) and possible(action):
                    yield f"{action.text}{f'    {keys(action)}' if keys(action) else ''}", action.id

        super().__init__(parent, "What would you like to do?", fitting)
