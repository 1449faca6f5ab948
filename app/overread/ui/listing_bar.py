"""How the findings are listed: by what, which of them, and from which score on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from PySide6.QtCore import QEvent, QObject, Qt
from PySide6.QtGui import QAction, QActionGroup, QKeyEvent
from PySide6.QtWidgets import QHBoxLayout, QLabel, QLineEdit, QMenu, QSlider, QToolButton, QVBoxLayout, QWidget

from overread.domain.finding import Finding, Status
from overread.domain.listing import Listing, Order, sources
from overread.ui import style
from overread.ui.desk import Desk
from overread.ui.elided import ElidedLabel

_STATUSES: dict[str, frozenset[Status]] = {
    "All": frozenset(),
    "Undecided": frozenset({Status.PROPOSED}),
    "Accepted": frozenset({Status.ACCEPTED, Status.EDITED}),
    "Rejected": frozenset({Status.REJECTED}),
}
_FIRST = {
    Order.NUMBER: ("1 first", "last first"),
    Order.SCORE: ("highest first", "lowest first"),
    Order.SIZE: ("largest first", "smallest first"),
    Order.POSITION: ("first slice first", "last slice first"),
}
CUTOFF_STEP = 0.05


class Cutoff(QWidget):
    """From which score on a source's proposals are shown."""

    def __init__(self, name: str, changed: Callable[[float], None]) -> None:
        super().__init__()
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        label = ElidedLabel(name)
        label.setProperty("quiet", True)
        row.addWidget(label, 2)
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(0, 100)
        self.slider.setPageStep(round(CUTOFF_STEP * 100))
        self.slider.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.slider.setToolTip("Proposals that score lower are not shown; they stay undecided (, and .)")
        self.slider.setAccessibleName(f"Lowest score shown of {name}")
        self.slider.valueChanged.connect(lambda value: changed(value / 100))
        row.addWidget(self.slider, 3)
        self.value = QLabel()
        self.value.setFixedWidth(40)
        self.value.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        row.addWidget(self.value)

    def show_score(self, score: float) -> None:
        """Stand at a score."""
        self.slider.blockSignals(True)
        self.slider.setValue(round(score * 100))
        self.slider.blockSignals(False)
        self.value.setText(f"≥ {score:.2f}" if score else "all")


class ListingBar(QWidget):
    """Sort, filter, cutoffs, and what they keep back. It follows the view and asks the desk to change it."""

    def __init__(self, desk: Desk, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.desk, self.session = desk, desk.session
        self.cutoffs: dict[str, Cutoff] = {}
        self._sources: dict[str, str] = {}
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 0, 8, 0)
        column.setSpacing(2)
        row = QHBoxLayout()
        row.setSpacing(2)
        self.order = _choice("List by", self._order_menu)
        self.status = _choice("Which verdicts", self._status_menu)
        self.source = _choice("Whose findings", self._source_menu)
        for button in (self.order, self.status, self.source):
            row.addWidget(button)
        self.text = QLineEdit()
        self.text.setPlaceholderText("Name  /")
        self.text.setAccessibleName("Part of a finding's name")
        self.text.setToolTip("Only findings whose name has this in it (/)")
        self.text.textEdited.connect(lambda text: self._change(text=text))
        self.text.installEventFilter(self)
        self.text.setFocusPolicy(Qt.FocusPolicy.ClickFocus)  # it takes no keys that were not meant for it
        self.text.setMinimumWidth(64)
        row.addWidget(self.text, 1)
        column.addLayout(row)
        self._scores = QVBoxLayout()
        self._scores.setContentsMargins(6, 0, 4, 0)
        self._scores.setSpacing(0)
        column.addLayout(self._scores)
        self.unseen = QLabel()
        self.unseen.setWordWrap(True)
        self.unseen.setContentsMargins(6, 0, 4, 2)
        self.unseen.setStyleSheet(f"color: {style.PROPOSED};")
        column.addWidget(self.unseen)

    def refresh(self) -> None:
        """Show how the findings are listed now, and what is kept back."""
        findings, listing = self.session.shown_findings, self.session.view.listing
        self._sources = sources(findings)
        self._show_cutoffs(findings, listing)
        arrow = "↑" if listing.reverse else "↓"
        self.order.setText(f"{listing.order.value.capitalize()} {arrow}")
        self.status.setText(next((name for name, held in _STATUSES.items() if held == listing.statuses), ""))
        self.source.setText(self._sources.get(listing.source, "All sources") if listing.source else "All sources")
        self.source.setVisible(len(self._sources) > 1 or bool(listing.source))
        if self.text.text() != listing.text:
            self.text.setText(listing.text)
        text = self.desk.unseen
        self.unseen.setText(text)
        self.unseen.setVisible(bool(text))
        self.setVisible(len(findings) > 1 or listing.narrowed or bool(text))

    def _show_cutoffs(self, findings: tuple[Finding, ...], listing: Listing) -> None:
        wanted = sources(finding for finding in findings if finding.score is not None)
        if list(wanted) != list(self.cutoffs):
            for cutoff in self.cutoffs.values():
                cutoff.setParent(None)
                cutoff.deleteLater()
            self.cutoffs = {source: Cutoff(name, self._cut(source)) for source, name in wanted.items()}
            for cutoff in self.cutoffs.values():
                self._scores.addWidget(cutoff)
        for source, cutoff in self.cutoffs.items():
            cutoff.show_score(listing.cutoff(source))

    def _cut(self, source: str) -> Callable[[float], None]:
        return lambda score: self.desk.list_by(self.session.view.listing.with_cutoff(source, score))

    def _change(self, **changes: object) -> None:
        self.desk.list_by(replace(self.session.view.listing, **changes))  # type: ignore[arg-type]

    # Menus

    def _order_menu(self, menu: QMenu) -> None:
        listing = self.session.view.listing
        for order, (first, last) in _FIRST.items():
            for reverse, which in ((False, first), (True, last)):
                chosen = (listing.order, listing.reverse) == (order, reverse)
                self._entry(menu, f"By {order.value}, {which}", chosen, order=order, reverse=reverse)

    def _status_menu(self, menu: QMenu) -> None:
        for name, held in _STATUSES.items():
            self._entry(menu, name, self.session.view.listing.statuses == held, statuses=held)

    def _source_menu(self, menu: QMenu) -> None:
        for source, name in {"": "All sources", **self._sources}.items():
            self._entry(menu, name, self.session.view.listing.source == source, source=source)

    def _entry(self, menu: QMenu, text: str, chosen: bool, **changes: object) -> None:
        entry = QAction(text, menu, checkable=True, checked=chosen)
        entry.triggered.connect(lambda: self._change(**changes))
        (menu.findChild(QActionGroup) or QActionGroup(menu)).addAction(entry)
        menu.addAction(entry)

    # Keys

    def type_name(self) -> None:
        """Put the pen into the field for a name."""
        self.show()
        self.text.setFocus()
        self.text.selectAll()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
        """Return gives the keys back to the window, Escape empties the field as well."""
        if isinstance(event, QKeyEvent) and event.type() == QEvent.Type.KeyPress:
            if event.key() == Qt.Key.Key_Escape:
                self._change(text="")
            if event.key() in (Qt.Key.Key_Escape, Qt.Key.Key_Return, Qt.Key.Key_Enter):
                self.window().setFocus()
                return True
        return super().eventFilter(watched, event)


def next_order(listing: Listing) -> Listing:
    """By number, score, size and position in turn."""
    orders = list(Order)
    return replace(listing, order=orders[(orders.index(listing.order) + 1) % len(orders)], reverse=False)


def _choice(name: str, fill: Callable[[QMenu], None]) -> QToolButton:
    button = QToolButton()
    button.setAccessibleName(name)
    button.setToolTip(name)
    button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
    menu = QMenu(button)

    def refill() -> None:
        menu.clear()
        fill(menu)

    menu.aboutToShow.connect(refill)
    button.setMenu(menu)
    return button
