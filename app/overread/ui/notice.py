"""What the reader is told: a sentence, what to do next, and it goes away by itself or by a click. Never modal."""

from __future__ import annotations

from PySide6.QtCore import QSize, Qt, QTimer
from PySide6.QtWidgets import QFrame, QHBoxLayout, QLabel, QToolButton, QVBoxLayout, QWidget

from overread.ui import style

_GOOD_MS, _WIDTH = 2500, 560


class Notice(QFrame):
    """One sentence over the image. Good news leaves by itself; trouble stays until it is read."""

    def __init__(self, parent: QWidget) -> None:
        super().__init__(parent)
        self.setObjectName("notice")
        row = QHBoxLayout(self)
        row.setContentsMargins(16, 10, 8, 10)
        texts = QVBoxLayout()
        texts.setSpacing(2)
        self.title, self.hint = QLabel(), QLabel()
        for label in (self.title, self.hint):
            label.setWordWrap(True)
            label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
            texts.addWidget(label)
        self.title.setFont(style.font(13, bold=True))
        self.hint.setProperty("quiet", True)
        row.addLayout(texts, 1)
        close = QToolButton()
        close.setIcon(style.icon("cross", style.QUIET))
        close.setIconSize(QSize(14, 14))
        close.setToolTip("Close")
        close.setAccessibleName("Close")
        close.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        close.clicked.connect(self.hide)
        row.addWidget(close, 0, Qt.AlignmentFlag.AlignTop)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self.hide)
        self.hide()

    def tell(self, title: str, hint: str, kind: str) -> None:
        """Show it."""
        self.title.setText(title)
        self.hint.setText(hint)
        self.hint.setVisible(bool(hint))
        self.setProperty("kind", kind)
        self.style().unpolish(self)
        self.style().polish(self)
        self.place()
        self.show()
        self.raise_()
        if kind == "good":
            self._timer.start(_GOOD_MS)
        else:
            self._timer.stop()

    def place(self) -> None:
        """Lie over the top of the image, in its middle."""
        parent = self.parentWidget()
        if parent is None:
            return
        width = min(_WIDTH, parent.width() - 40)
        self.setFixedWidth(max(width, 200))
        self.adjustSize()
        self.move((parent.width() - self.width()) // 2, 44)
