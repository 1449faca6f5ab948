"""Nothing is open: what can be dropped here, what was open last, and the demo."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from overread.ui import style


class Welcome(QWidget):
    """The first thing a reader sees."""

    triggered = Signal(str)
    chosen = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        column = QVBoxLayout(self)
        column.addStretch(2)
        title = QLabel("Drop a study here")
        title.setFont(style.font(24, bold=True))
        title.setAlignment(Qt.AlignmentFlag.AlignCenter)
        column.addWidget(title)
        hint = QLabel("A folder, DICOM files, a zip archive or a DICOMDIR. Files that are no images are left out.")
        hint.setProperty("quiet", True)
        hint.setAlignment(Qt.AlignmentFlag.AlignCenter)
        hint.setWordWrap(True)
        column.addWidget(hint)
        column.addSpacing(16)
        row = QHBoxLayout()
        row.addStretch(1)
        for action_id, text, icon, primary in (
            ("open-folder", "Open a folder…", "folder", True),
            ("open-files", "Open files…", "", False),
            ("demo", "Open the demo study", "", False),
        ):
            button = QPushButton(text)
            button.setMinimumHeight(36)
            if icon:
                button.setIcon(style.icon(icon))
                button.setIconSize(QSize(18, 18))
            if primary:
                button.setObjectName("primary")
            button.clicked.connect(lambda checked=False, action_id=action_id: self.triggered.emit(action_id))
            row.addWidget(button)
        row.addStretch(1)
        column.addLayout(row)
        column.addSpacing(24)
        self._recent = QVBoxLayout()
        self._recent.setSpacing(4)
        column.addLayout(self._recent)
        column.addStretch(3)
        notice = QLabel("For research. Not for clinical use.")
        notice.setProperty("quiet", True)
        notice.setAlignment(Qt.AlignmentFlag.AlignCenter)
        column.addWidget(notice)
        column.addSpacing(12)

    def show_recent(self, recent: tuple[str, ...]) -> None:
        """List what was open last, as far as it is still there."""
        while self._recent.count():
            item = self._recent.takeAt(0)
            widget = item.widget() if item is not None else None
            if widget is not None:
                widget.deleteLater()
        there = [path for path in recent if Path(path).exists()]
        if there:
            label = QLabel("OPENED LAST")
            label.setProperty("heading", True)
            label.setFont(style.font(12, bold=True))
            label.setAlignment(Qt.AlignmentFlag.AlignCenter)
            self._recent.addWidget(label)
        for path in there:
            button = QPushButton(path)
            button.setFixedWidth(520)
            button.setToolTip(path)
            button.clicked.connect(lambda checked=False, path=path: self.chosen.emit(path))
            self._recent.addWidget(button, 0, Qt.AlignmentFlag.AlignHCenter)
