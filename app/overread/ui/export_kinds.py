"""What the receiver opens: a profile, and the kinds of object to tick; each says what would be in it, and why not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFrame,
    QHBoxLayout,
    QLabel,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from overread.domain.finding import Finding
from overread.domain.study import Stack
from overread.session.jobs import Job
from overread.ui import style

if TYPE_CHECKING:  # what products are made with takes a second to import, and the window opens without it
    from overread.dicom.product import Product

Profiles = Mapping[str, tuple[str, ...]]
Registry = tuple[Sequence["Product"], Callable[[Profiles], Profiles]]
_BY_HAND = "chosen by hand"
# As many rows as there are where there is room, three where there is little.
_ROOM, _LEAST = 168, 78


def registry(job: Job) -> Registry:
    """The kinds that there are, and what names lists of them; on a worker, as what writes them is slow to import."""
    from overread.session.products import PRODUCTS
    from overread.session.profiles import profiles

    return PRODUCTS, profiles


class _Rows(QScrollArea):
    """Rows that take what room there is."""

    def __init__(self) -> None:
        super().__init__()
        self.setMinimumHeight(_LEAST)
        self.setMaximumHeight(_ROOM)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Preferred)

    def sizeHint(self) -> QSize:  # noqa: N802
        """What is wished for."""
        return QSize(200, _ROOM)


class ExportKinds(QWidget):
    """A profile, and a row for each kind."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._profiles: dict[str, tuple[str, ...]] = {}
        self._products: tuple[Product, ...] = ()
        self.boxes: dict[str, QCheckBox] = {}
        self._said: dict[str, QLabel] = {}
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        row = QHBoxLayout()
        label = QLabel("Profile")
        label.setProperty("quiet", True)
        label.setFixedWidth(56)
        row.addWidget(label)
        self.profile = QComboBox()
        self.profile.setAccessibleName("What the receiver opens")
        self.profile.activated.connect(self._chosen)
        row.addWidget(self.profile, 1)
        column.addLayout(row)
        self._rows = QVBoxLayout()
        self._rows.setContentsMargins(0, 0, 0, 0)
        self._rows.setSpacing(0)
        inner = QWidget()
        inner.setLayout(self._rows)
        scroll = _Rows()
        scroll.setWidget(inner)
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        column.addWidget(scroll)

    @property
    def ready(self) -> bool:
        """Whether the kinds are known yet."""
        return bool(self._products)

    @property
    def name(self) -> str:
        """The profile that is ticked, "" where the ticks are nobody's."""
        ticked = {name for name, box in self.boxes.items() if box.isChecked()}
        names = [name for name, held in self._profiles.items() if set(held) == ticked]
        return self.profile.currentText() if self.profile.currentText() in names else next(iter(names), "")

    @property
    def products(self) -> tuple[Product, ...]:
        """The kinds that are ticked, in the order in which they are written."""
        return tuple(product for product in self._products if self.boxes[product.name].isChecked())

    def fill(self, products: Sequence[Product], profiles: Mapping[str, Sequence[str]], profile: str) -> None:
        """Offer kinds and profiles; names in a profile that no kind has are passed over. `profile` is ticked."""
        for product in products if not self._products else ():
            box = QCheckBox(product.title)
            box.toggled.connect(self._ticked)
            box.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            said = QLabel()
            said.setProperty("quiet", True)
            said.setFont(style.font(12))
            row = QHBoxLayout()
            row.addWidget(box, 1)
            row.addWidget(said)
            self._rows.addLayout(row)
            self.boxes[product.name], self._said[product.name] = box, said
        self._products = tuple(products)
        self._list(profiles)
        self.choose(profile if profile in self._profiles else next(iter(self._profiles)))

    def _list(self, profiles: Mapping[str, Sequence[str]]) -> None:
        self._profiles = {name: tuple(held for held in names if held in self.boxes) for name, names in profiles.items()}
        self.profile.clear()
        self.profile.addItems([*self._profiles, _BY_HAND])

    def renew(self, profiles: Mapping[str, Sequence[str]]) -> None:
        """Offer these profiles. The one that was chosen stays, as it is now; without one the ticks stay."""
        chosen = self.profile.currentText()
        self._list(profiles)
        if not self.choose(chosen):
            self.profile.setCurrentText(self.name or _BY_HAND)

    def choose(self, profile: str) -> bool:
        """Tick a profile. False where there is none of that name."""
        if profile not in self._profiles:
            return False
        self.profile.setCurrentText(profile)
        self._chosen()
        return True

    def show_room(self, stack: Stack | None, leaving: Sequence[Finding], *, resample: bool = False) -> None:
        """Say beside each kind how many of the findings would be in it, and why others would not.

        `resample` is whether sheared slices may be resampled for it.
        """
        for product in self._products:
            reasons = {f.title: product.room(stack, f, resample=resample) for f in leaving} if stack is not None else {}
            held = sum(not reason for reason in reasons.values())
            why = "\n".join(f"{title}: {reason}" for title, reason in reasons.items() if reason)
            said = self._said[product.name]
            said.setText(f"{held} of {len(leaving)}" if leaving else "")
            said.setToolTip(why)
            self.boxes[product.name].setToolTip(f"{product.title}\n{why}".strip())
            self.boxes[product.name].setAccessibleDescription(f"{said.text()} {why}".strip())

    def _chosen(self) -> None:
        held = self._profiles.get(self.profile.currentText())
        if held is None:
            return
        for name, box in self.boxes.items():
            blocked = box.blockSignals(True)
            box.setChecked(name in held)
            box.blockSignals(blocked)
        self.changed.emit()

    def _ticked(self) -> None:
        self.profile.setCurrentText(self.name or _BY_HAND)
        self.changed.emit()
