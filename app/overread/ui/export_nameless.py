"""Whether the patient is taken out of what leaves, and how: the same choices as `overread deidentify` has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QCheckBox, QGridLayout, QVBoxLayout, QWidget

if TYPE_CHECKING:  # what it is made with takes a second to import, and the window opens without it
    from overread.dicom.nameless import Nameless


class ExportNameless(QWidget):
    """A switch, and what can be chosen while it is on."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        self.switch = QCheckBox("Without the patient (de-identified)")
        self.switch.setToolTip(
            "By PS3.15 annex E, under this machine's key: the same images get the same new UIDs each time. "
            "What is burned into the pixels of the images stays."
        )
        column.addWidget(self.switch)
        self.more = QWidget()
        grid = QGridLayout(self.more)
        grid.setContentsMargins(20, 0, 0, 0)
        grid.setSpacing(4)
        self.images = QCheckBox("With the images")
        self.images.setToolTip("The images of the study leave as well, without the patient.")
        self.keep_uids = QCheckBox("Keep UIDs")
        self.keep_uids.setToolTip("Else they are replaced, always alike.")
        self.shift_dates = QCheckBox("Shift dates")
        self.shift_dates.setToolTip("By days that are the patient's own. Else no dates stay.")
        self.descriptors = QCheckBox("Keep known words")
        self.descriptors.setToolTip("Of descriptions the words of the standard's tables stay. Else none.")
        for at, box in enumerate((self.images, self.keep_uids, self.shift_dates, self.descriptors)):
            grid.addWidget(box, at // 2, at % 2)
        column.addWidget(self.more)
        self.more.hide()
        self.switch.toggled.connect(self._switched)

    def _switched(self, on: bool) -> None:
        self.more.setVisible(on)
        self.changed.emit()

    @property
    def how(self) -> Nameless | None:
        """How the patient is taken out; None where they stay. UserError where the key cannot be used."""
        if not self.switch.isChecked():
            return None
        from overread import paths
        from overread.dicom.deidentify import Options
        from overread.dicom.nameless import Nameless
        from overread.dicom.pseudonyms import key_in

        options = Options(self.keep_uids.isChecked(), self.shift_dates.isChecked(), self.descriptors.isChecked())
        return Nameless(key_in(paths.data() / "deidentify.key"), options, self.images.isChecked())
