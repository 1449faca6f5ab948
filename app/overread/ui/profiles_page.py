"""What receivers open: the built-in profiles to look at, and the reader's own to tick together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain, count
from typing import TYPE_CHECKING

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from overread.session.session import Session
from overread.ui import style

if TYPE_CHECKING:  # what products are made with takes a second to import
    from overread.dicom.product import Product

_NAME = Qt.ItemDataRole.UserRole
_LONGEST = 40


class ProfilesPage(QWidget):
    """Each tick holds at once. `changed` tells when there are other profiles than before."""

    changed = Signal()

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self._built_in: dict[str, tuple[str, ...]] = {}
        self.boxes: dict[str, QCheckBox] = {}
        row = QHBoxLayout(self)
        row.setContentsMargins(12, 12, 12, 12)
        left = QVBoxLayout()
        self.list = QListWidget()
        self.list.setAccessibleName("Profiles")
        self.list.setFixedWidth(170)
        self.list.currentItemChanged.connect(lambda now, before: self._show())
        left.addWidget(self.list, 1)
        self.add, self.copy, self.remove = QPushButton("Add"), QPushButton("Copy"), QPushButton("Remove")
        self.add.clicked.connect(lambda: self._new("my profile", ()))
        self.copy.clicked.connect(lambda: self._new(f"my {self.chosen}", self._held(self.chosen)))
        self.remove.clicked.connect(self._remove)
        buttons = QHBoxLayout()
        buttons.setSpacing(4)
        for button in (self.add, self.copy, self.remove):
            button.setEnabled(False)
            button.setAutoDefault(False)  # Return in the field presses none of them
            buttons.addWidget(button)
        left.addLayout(buttons)
        row.addLayout(left)
        right = QVBoxLayout()
        self.name = QLineEdit()
        self.name.setAccessibleName("The profile's name")
        self.name.setMaxLength(_LONGEST)
        self.name.editingFinished.connect(self._rename)
        right.addWidget(self.name)
        inner = QWidget()
        inner.setObjectName("list")
        self._rows = QVBoxLayout(inner)
        self._rows.setContentsMargins(4, 0, 4, 0)
        self._rows.setSpacing(0)
        scroll = QScrollArea()
        scroll.setWidget(inner)
        scroll.setWidgetResizable(True)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        right.addWidget(scroll, 1)
        self.told = QLabel("Looking up what there is …")
        self.told.setTextFormat(Qt.TextFormat.PlainText)
        self.told.setWordWrap(True)
        self.told.setMinimumHeight(40)
        self.told.setAlignment(Qt.AlignmentFlag.AlignTop)
        right.addWidget(self.told)
        row.addLayout(right, 1)

    def offer(self, products: Sequence[Product], built_in: Mapping[str, tuple[str, ...]]) -> None:
        """What can be ticked, and what is built in."""
        self._built_in = dict(built_in)
        for product in products:
            box = QCheckBox(product.title)
            box.setToolTip(f"--only {product.name}")
            box.toggled.connect(self._ticked)
            self._rows.addWidget(box)
            self.boxes[product.name] = box
        self._rows.addStretch(1)
        self._fill(next(iter(self._built_in)))

    @property
    def names(self) -> tuple[str, ...]:
        """All profiles that there are, built-in ones first."""
        return tuple(dict.fromkeys((*self._built_in, *self.session.settings.profiles)))

    @property
    def chosen(self) -> str:
        """The one that is shown."""
        item = self.list.currentItem()
        return "" if item is None else str(item.data(_NAME))

    def _held(self, name: str) -> tuple[str, ...]:
        return self.session.settings.profiles.get(name, self._built_in.get(name, ()))

    def _own(self, name: str) -> bool:
        return name in self.session.settings.profiles

    def _fill(self, chosen: str) -> None:
        self.list.blockSignals(True)
        self.list.clear()
        for name in self.names:
            item = QListWidgetItem(name if self._own(name) else f"{name}  (built in)")
            item.setData(_NAME, name)
            self.list.addItem(item)
            if name == chosen:
                self.list.setCurrentItem(item)
        self.list.blockSignals(False)
        self._show()

    def _show(self) -> None:
        name = self.chosen
        own = self._own(name)
        self.name.setText(name)
        self.name.setReadOnly(not own)
        for product, box in self.boxes.items():
            box.blockSignals(True)
            box.setChecked(product in self._held(name))
            box.setEnabled(own)
            box.blockSignals(False)
        self.add.setEnabled(True)
        self.copy.setEnabled(bool(name))
        self.remove.setEnabled(own)
        users = [node.name for node in self.session.settings.nodes if node.profile == name]
        text = "" if own else "It is built in. A copy of it can be changed."
        self._say(f"{text} {', '.join(users)} opens it.".strip() if users else text, style.QUIET)

    def _new(self, name: str, held: tuple[str, ...]) -> None:
        taken = self.names
        name = next(n for n in chain((name,), (f"{name} {i}" for i in count(2))) if n not in taken)
        if self._put({**self.session.settings.profiles, name: held}, name):
            self.name.setFocus()
            self.name.selectAll()

    def _remove(self) -> None:
        name = self.chosen
        users = [node.name for node in self.session.settings.nodes if node.profile == name]
        if users:
            self._say(f"{', '.join(users)} opens it: choose another profile there first.", style.DANGER)
            return
        self._put({key: held for key, held in self.session.settings.profiles.items() if key != name}, self.names[0])

    def _rename(self) -> None:
        old, new = self.chosen, " ".join(self.name.text().split())
        if not self._own(old) or new == old:
            return
        if not new or new in self.names:
            self.name.setText(old)
            self._say(f"There is another {new} already." if new else "A profile needs a name.", style.DANGER)
            return
        profiles = {new if key == old else key: held for key, held in self.session.settings.profiles.items()}
        self._put(profiles, new, old)

    def _ticked(self) -> None:
        ticked = tuple(product for product, box in self.boxes.items() if box.isChecked())
        # Kinds that another version has, and this one has not, stay.
        others = tuple(product for product in self._held(self.chosen) if product not in self.boxes)
        self._put({**self.session.settings.profiles, self.chosen: ticked + others}, self.chosen)

    def _put(self, profiles: dict[str, tuple[str, ...]], chosen: str, before: str = "") -> bool:
        """Keep these profiles; what named one `before` goes on naming it. False, and said, where it cannot be kept."""
        settings = self.session.settings
        nodes = tuple(replace(n, profile=chosen) if before and n.profile == before else n for n in settings.nodes)
        last = chosen if before and settings.export_profile == before else settings.export_profile
        saved = self.session.change_settings(replace(settings, profiles=profiles, nodes=nodes, export_profile=last))
        if chosen == self.chosen:
            self._show()
        else:
            self._fill(chosen)
        if not saved:
            self._say("It holds until the program ends: settings.toml could not be written.", style.DANGER)
        self.changed.emit()
        return saved

    def _say(self, text: str, colour: str) -> None:
        self.told.setText(text)
        self.told.setStyleSheet(f"color: {colour};")
