"""Small parts that the pages of the tool box are put together from."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QComboBox, QDoubleSpinBox, QHBoxLayout, QLabel, QWidget


def row(*parts: QWidget) -> QWidget:
    """Parts side by side; what can be set gets the room."""
    holder = QWidget()
    line = QHBoxLayout(holder)
    line.setContentsMargins(0, 0, 0, 0)
    line.setSpacing(6)
    for part in parts:
        line.addWidget(part, 0 if isinstance(part, QLabel) else 1)
    return holder


def words(text: str) -> QLabel:
    """A quiet sentence."""
    label = QLabel(text)
    label.setProperty("quiet", True)
    label.setWordWrap(True)
    return label


def number(
    value: float, least: float, most: float, unit: str, put: Callable[[float], None], name: str, decimals: int = 1
) -> QDoubleSpinBox:
    """A field for a number; what is typed counts at once, so that the picture can follow."""
    box = QDoubleSpinBox()
    box.setDecimals(decimals)
    box.setRange(least, most)
    box.setSuffix(unit)
    box.setValue(value)
    box.setAccessibleName(name)
    box.setSingleStep(0.5 if decimals == 1 else 0.05)
    box.valueChanged.connect(put)
    return box


def choice(entries: Sequence[tuple[str, str]], chosen: str, put: Callable[[str], None], name: str) -> QComboBox:
    """A choice of one from a few, each with the word that is put and the one that is read."""
    box = QComboBox()
    box.setAccessibleName(name)
    box.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    for key, text in entries:
        box.addItem(text, str(key))
    box.setCurrentIndex(max(0, box.findData(str(chosen))))
    words_of = [str(key) for key, _ in entries]
    box.activated.connect(lambda at: put(words_of[at]))
    return box
