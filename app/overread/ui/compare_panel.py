"""Two readings of the series side by side, in numbers; the map of where they agree is on the image."""

from __future__ import annotations

from dataclasses import replace

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QComboBox, QFrame, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from overread.imaging.compare import Agreement
from overread.ui import style
from overread.ui.desk import Desk
from overread.ui.finding_text import volume_text


class ComparePanel(QFrame):
    """The drawer that is open while the view compares something."""

    def __init__(self, desk: Desk, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.desk, self.session = desk, desk.session
        self.setObjectName("card")
        column = QVBoxLayout(self)
        column.setContentsMargins(12, 8, 12, 10)
        column.setSpacing(4)
        head = QHBoxLayout()
        title = QLabel("Compare")
        title.setFont(style.font(13, bold=True))
        head.addWidget(title, 1)
        close = QPushButton("Close  Q")
        close.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        close.clicked.connect(desk.compare)
        head.addWidget(close)
        column.addLayout(head)
        self.choices = QComboBox(), QComboBox()
        for name, choice in zip("AB", self.choices, strict=True):
            row = QHBoxLayout()
            label = QLabel(name)
            label.setProperty("quiet", True)
            label.setFixedWidth(16)
            row.addWidget(label)
            choice.setAccessibleName(f"Side {name}")
            choice.setFocusPolicy(Qt.FocusPolicy.NoFocus)
            choice.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
            choice.activated.connect(self._chosen)
            row.addWidget(choice, 1)
            column.addLayout(row)
        self.result = QLabel()
        self.result.setWordWrap(True)
        self.result.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        column.addWidget(self.result)
        self.hide()
        desk.compared.connect(self.refresh)
        self.session.view_changed.connect(lambda old, new: self.refresh() if old.compare != new.compare else None)
        self.session.findings_changed.connect(lambda old, new: self.refresh())

    def refresh(self) -> None:
        """Show what is compared, and the numbers; dimmed text says that they are still worked out."""
        wanted, image = self.session.view.compare, self.session.image
        self.setVisible(wanted is not None and image is not None)
        if wanted is None or image is None:
            return
        known = self.desk.comparisons.sides
        for choice, key in zip(self.choices, wanted, strict=True):
            choice.clear()
            for side in known.values():
                choice.addItem(side.name, side.key)
            choice.setCurrentIndex(choice.findData(key))
        found = self.desk.comparisons.now()
        if found is not None:
            self.result.setText("\n".join(lines(found, measurable=image.stack.measurable)))
        elif self.desk.comparisons.asked is None:
            self.result.setText("One of the two is no longer there.")
        else:
            self.result.setText("Comparing …")
        self.result.setStyleSheet(f"color: {style.TEXT if found is not None else style.QUIET};")

    def _chosen(self) -> None:
        one, other = (str(choice.currentData()) for choice in self.choices)
        self.session.set_view(replace(self.session.view, compare=(one, other)))


def lines(found: Agreement, *, measurable: bool) -> list[str]:
    """The numbers, line by line; where millimetres do not hold, those without them."""
    dice = "–" if found.dice is None else f"{found.dice:.3f}"
    if not measurable:
        counts = f"both {found.both.count}   only A {found.only_a.count}   only B {found.only_b.count} voxels"
        return [f"Dice {dice}", counts]
    far = "–" if found.hd95_mm is None else f"{found.hd95_mm:.1f} mm"
    return [
        f"Dice {dice}   HD95 {far}",
        f"A {volume_text(found.a_ml)}   B {volume_text(found.b_ml)}",
        f"both {volume_text(found.both_ml)}",
        f"only A {volume_text(found.only_a_ml)}   only B {volume_text(found.only_b_ml)}",
    ]
