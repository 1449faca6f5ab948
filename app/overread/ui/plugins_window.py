"""Which models and plug-ins are installed, and what is wrong with those that are left out."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QDialog, QLabel, QPushButton, QScrollArea, QVBoxLayout, QWidget

from overread.session.plugins import Plugin
from overread.session.session import Session
from overread.ui import style


class PluginsWindow(QDialog):
    """A list to read; nothing is changed here."""

    def __init__(self, session: Session, plugins: Sequence[Plugin], parent: QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle("Plug-ins and models")
        self.setModal(False)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.resize(560, 420)
        column = QVBoxLayout(self)
        inner = QWidget()
        inner.setObjectName("panel")
        rows = QVBoxLayout(inner)
        for detector in session.detectors:
            spec = detector.spec
            weights = spec.licence.get("weights", "")
            rows.addWidget(_entry(f"{spec.name} {spec.version}", f"{spec.summary}\n{spec.use}\nWeights: {weights}"))
        for plugin in plugins:
            if plugin.error:
                rows.addWidget(_entry(f"{plugin.name} was left out", f"{plugin.package}\n{plugin.error}", style.DANGER))
            else:
                titles = ", ".join(f"{d.title} {d.version}" for d in plugin.detectors)
                rows.addWidget(_entry(plugin.name, f"{plugin.package}\n{titles}"))
        if not plugins:
            rows.addWidget(_entry("No plug-ins", "Plug-ins are Python packages; the README says how to write one."))
        rows.addStretch(1)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setWidget(inner)
        column.addWidget(scroll)
        close = QPushButton("Close")
        close.clicked.connect(self.close)
        column.addWidget(close, 0, Qt.AlignmentFlag.AlignRight)


def _entry(title: str, text: str, colour: str = style.TEXT) -> QWidget:
    box = QWidget()
    column = QVBoxLayout(box)
    column.setContentsMargins(12, 8, 12, 8)
    head = QLabel(title)
    head.setFont(style.font(13, bold=True))
    head.setStyleSheet(f"color: {colour};")
    body = QLabel(text)
    body.setProperty("quiet", True)
    body.setWordWrap(True)
    body.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    column.addWidget(head)
    column.addWidget(body)
    return box
