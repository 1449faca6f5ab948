"""The table of keys, each to be changed: one key has one meaning."""

from __future__ import annotations

from dataclasses import replace

from PySide6.QtCore import Qt
from PySide6.QtGui import QKeySequence
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QHeaderView,
    QKeySequenceEdit,
    QLabel,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from overread.session.session import Session
from overread.ui import style
from overread.ui.action import Action
from overread.ui.actions import ACTIONS


def keys_of(action: Action, own: dict[str, str]) -> tuple[str, ...]:
    """The keys of an action: the reader's, where there are some, else the table's. "" switches a key off."""
    if action.id in own:
        return (own[action.id],) if own[action.id] else ()
    return action.keys


def holder(keys: str, own: dict[str, str], but: str) -> Action | None:
    """The action, other than ``but``, that has these keys already."""
    wanted = QKeySequence(keys)
    for action in ACTIONS:
        if action.id != but and any(QKeySequence(held) == wanted for held in keys_of(action, own)):
            return action
    return None


class KeysPage(QWidget):
    """Choose a row, press the new keys."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 12, 12, 12)
        self.table = QTableWidget(len(ACTIONS), 3)
        self.table.setHorizontalHeaderLabels(["", "What it does", "Keys"])
        self.table.verticalHeader().hide()
        self.table.setShowGrid(False)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.table.horizontalHeader().setSectionResizeMode(1, QHeaderView.ResizeMode.Stretch)
        self.table.currentCellChanged.connect(lambda row, *rest: self._choose(row))
        column.addWidget(self.table)
        row = QHBoxLayout()
        self.edit = QKeySequenceEdit()
        self.edit.setMaximumSequenceLength(1)
        self.edit.setClearButtonEnabled(True)
        self.edit.editingFinished.connect(self._changed)
        self.back, self.all_back = QPushButton("As it was made"), QPushButton("All as they were made")
        self.back.clicked.connect(lambda: self._put(None))
        self.all_back.clicked.connect(self._reset)
        for widget in (self.edit, self.back, self.all_back):
            row.addWidget(widget)
        column.addLayout(row)
        self.told = QLabel("Choose a line, then press the new keys.")
        self.told.setProperty("quiet", True)
        column.addWidget(self.told)
        self._fill()
        self.table.setCurrentCell(0, 0)

    def _fill(self) -> None:
        own = self.session.settings.keys
        for row, action in enumerate(ACTIONS):
            for at, text in enumerate((action.group, action.text, " or ".join(keys_of(action, own)))):
                item = QTableWidgetItem(text)
                if at == 2 and action.id in own:
                    item.setForeground(Qt.GlobalColor.white)
                    item.setFont(style.font(13, bold=True))
                self.table.setItem(row, at, item)

    def _choose(self, row: int) -> None:
        keys = keys_of(ACTIONS[row], self.session.settings.keys)
        self.edit.blockSignals(True)
        self.edit.setKeySequence(QKeySequence(keys[0] if keys else ""))
        self.edit.blockSignals(False)

    def _changed(self) -> None:
        self._put(self.edit.keySequence().toString())

    def _put(self, keys: str | None) -> None:
        """Give the chosen action these keys, "" none, None those of the table; refused where another one has them."""
        action, own = ACTIONS[self.table.currentRow()], dict(self.session.settings.keys)
        own.pop(action.id, None)
        wanted = action.keys if keys is None else (keys,)
        for one in filter(None, wanted):
            other = holder(one, own, action.id)
            if other is not None:
                self._say(f"{one} is taken: “{other.text}”. Give that another key first.", style.DANGER)
                self._choose(self.table.currentRow())
                return
        if keys is not None and (keys,) != action.keys:
            own[action.id] = keys
        self.session.change_settings(replace(self.session.settings, keys=own))
        self._fill()
        self._choose(self.table.currentRow())
        self._say(f"{action.text}: {' or '.join(keys_of(action, own)) or 'no key'}.", style.ACCEPTED)

    def _reset(self) -> None:
        self.session.change_settings(replace(self.session.settings, keys={}))
        self._fill()
        self._choose(self.table.currentRow())
        self._say("All keys are those of the table.", style.ACCEPTED)

    def _say(self, text: str, colour: str) -> None:
        self.told.setText(text)
        self.told.setStyleSheet(f"color: {colour};")
