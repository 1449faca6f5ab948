"""Finding a concept by its name, with the keyboard alone."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QWidget
from pytestqt.qtbot import QtBot

from overread.session.codes import Concept
from overread.ui.floats import CodeFinder


def test_a_concept_is_typed_and_taken(qtbot: QtBot) -> None:
    window = QWidget()
    window.resize(900, 700)
    qtbot.addWidget(window)
    finder = CodeFinder(window)
    window.show()
    finder.toggle()
    taken: list[Concept] = []
    finder.chosen.connect(taken.append)
    QTest.keyClicks(finder.field, "necros")
    assert finder.list.count() > 0
    assert finder.list.item(0).text() == "Necrosis    6574001 SCT"
    QTest.keyClick(finder.field, Qt.Key.Key_Return)
    assert not finder.isVisible()
    assert [(one.code.value, one.code.meaning) for one in taken] == [("6574001", "Necrosis")]
    assert taken[0].category is not None
