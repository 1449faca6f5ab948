"""The list of findings: rows are painted, not built, so that hundreds cost what is seen; the selected one is a card."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from PySide6.QtCore import (
    QAbstractListModel,
    QModelIndex,
    QObject,
    QPersistentModelIndex,
    QPoint,
    QRect,
    QSize,
    Qt,
    QTimer,
    Signal,
)
from PySide6.QtGui import QColor, QMouseEvent, QPainter, QPen, QResizeEvent
from PySide6.QtWidgets import QAbstractItemView, QListView, QStyledItemDelegate, QStyleOptionViewItem, QWidget

from overread.domain.finding import Finding
from overread.domain.geometry import Grid
from overread.ui import style
from overread.ui.finding_card import FindingCard, draw_sample
from overread.ui.finding_text import name_text, score_text, size_text, source_text

Where = QModelIndex | QPersistentModelIndex

_HEIGHT, _GAP, _SIDE = 52, 6, 8
_EYE = 28
_ROW = Qt.ItemDataRole.UserRole


@dataclass(frozen=True)
class Row:
    """A finding as the list shows it. The selected one is shown by its card."""

    finding: Finding
    grid: Grid
    hidden: bool
    selected: bool


class _Rows(QAbstractListModel):
    """The rows as Qt wants them."""

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self.rows: tuple[Row, ...] = ()

    def rowCount(self, parent: Where = QModelIndex()) -> int:  # noqa: B008, N802
        """How many there are."""
        return 0 if parent.isValid() else len(self.rows)

    def data(self, index: Where, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """The row itself, and its words for tool tips and screen readers."""
        row = self.rows[index.row()]
        if role == _ROW:
            return row
        if role in (Qt.ItemDataRole.ToolTipRole, Qt.ItemDataRole.AccessibleTextRole):
            return "\n".join(row_texts(row))
        return None

    def show(self, rows: tuple[Row, ...]) -> bool:
        """Take over rows; says whether they are other findings or in another order, so that all was laid out anew."""
        old, same = self.rows, [r.finding.id for r in rows] == [r.finding.id for r in self.rows]
        if not same:
            self.beginResetModel()
            self.rows = rows
            self.endResetModel()
            return True
        self.rows = rows
        for number, (before, after) in enumerate(zip(old, rows, strict=True)):
            if before != after:
                index = self.index(number)
                self.dataChanged.emit(index, index)
        return False


def row_texts(row: Row) -> tuple[str, str, str, str]:
    """What a row says: name, score, status with size, source."""
    finding = row.finding
    word = style.STATUS[finding.status][1]
    return name_text(finding), score_text(finding), f"{word}   {size_text(finding, row.grid)}", source_text(finding)


class _Delegate(QStyledItemDelegate):
    """Paints a row; gives the selected one the height of its card."""

    def __init__(self, view: FindingList) -> None:
        super().__init__(view)
        self._view = view

    def sizeHint(self, option: QStyleOptionViewItem, index: Where) -> QSize:  # noqa: N802
        """The card's height for the selected row, else that of two lines."""
        row: Row = index.data(_ROW)
        width = self._view.viewport().width()
        card = self._view.card
        height = card.heightForWidth(width - 2 * _SIDE) if row.selected and card is not None else _HEIGHT
        return QSize(width, height + _GAP)

    def updateEditorGeometry(  # noqa: N802
        self, editor: QWidget, option: QStyleOptionViewItem, index: Where
    ) -> None:
        """The card fills its row."""
        editor.setGeometry(_inner(option.rect))

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Where) -> None:
        """Two lines on a raised ground; of the selected row the card itself is there."""
        row: Row = index.data(_ROW)
        if row.selected and self._view.card is not None:
            return
        box = _inner(option.rect)
        name, score, state, source = row_texts(row)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(QColor(style.LINE), 1.0))
        painter.setBrush(QColor(style.RAISED))
        painter.drawRoundedRect(box.adjusted(0, 0, -1, -1), 6, 6)
        draw_sample(painter, row.finding, box.left() + 12, box.top() + 8)
        style.icon("eye-off" if row.hidden else "eye", style.QUIET).paint(painter, _eye(box).adjusted(6, 6, -6, -6))
        words = QRect(box.left() + 48, box.top() + 6, box.width() - 48 - _EYE - 4, 20)
        painter.setFont(style.font(12))
        painter.setPen(QColor(style.TEXT))
        taken = painter.fontMetrics().horizontalAdvance(score) + 8 if score else 0
        painter.drawText(words, int(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter), score)
        painter.setFont(style.font(13, bold=True))
        _elided(painter, words.adjusted(0, 0, -taken, 0), name)
        below = QRect(box.left() + 12, box.top() + 27, box.width() - 20, 18)
        painter.setFont(style.font(12))
        painter.setPen(QColor(style.STATUS[row.finding.status][0]))
        used = min(painter.fontMetrics().horizontalAdvance(state) + 10, below.width())
        _elided(painter, below, state)
        painter.setPen(QColor(style.QUIET))
        _elided(painter, below.adjusted(used, 0, 0, 0), source, Qt.AlignmentFlag.AlignRight)
        painter.restore()


def _inner(rect: QRect) -> QRect:
    return rect.adjusted(_SIDE, 0, -_SIDE, -_GAP)


def _eye(box: QRect) -> QRect:
    return QRect(box.right() - _EYE - 2, box.top() + 2, _EYE, _EYE)


def _elided(painter: QPainter, box: QRect, text: str, side: Qt.AlignmentFlag = Qt.AlignmentFlag.AlignLeft) -> None:
    if box.width() > 24:
        shown = painter.fontMetrics().elidedText(text, Qt.TextElideMode.ElideRight, box.width())
        painter.drawText(box, int(side | Qt.AlignmentFlag.AlignVCenter), shown)


class FindingList(QListView):
    """Shows rows; says which one was clicked."""

    chosen = Signal(str)
    hide_asked = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.card: FindingCard | None = None
        self._at = -1
        self._key: object = None
        self._rows = _Rows(self)
        self.setModel(self._rows)
        self.setItemDelegate(_Delegate(self))
        self.setAccessibleName("Findings")
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.verticalScrollBar().setSingleStep(20)
        self.setMinimumHeight(80)
        self._reveal_soon = QTimer(self, singleShot=True, interval=0)  # a card has no place before it is laid out
        self._reveal_soon.timeout.connect(self._reveal)

    @property
    def rows(self) -> tuple[Row, ...]:
        """The rows as they stand."""
        return self._rows.rows

    def show_rows(self, rows: Sequence[Row], key: object, make: Callable[[], FindingCard]) -> None:
        """Show these rows; `make` builds the selected one's card, anew where `key` says that something else shows."""
        before = self._at
        if self._rows.show(tuple(rows)):
            self.card, before = None, -1  # Qt takes the widgets of its rows away with them
        self._at = next((number for number, row in enumerate(rows) if row.selected), -1)
        if self.card is not None and (self._at != before or key != self._key):
            self.setIndexWidget(self._rows.index(before), None)  # type: ignore[arg-type]
            self.card = None
        if self._at >= 0 and self.card is None:
            self.card = make()
            self.card.grown.connect(self.lay_out)
            self.setIndexWidget(self._rows.index(self._at), self.card)
            self._reveal_soon.start()
        self._key = key
        self.scheduleDelayedItemsLayout()

    def lay_out(self) -> None:
        """The card has another height."""
        self.scheduleDelayedItemsLayout()
        self._reveal_soon.start()

    def _reveal(self) -> None:
        if self._at >= 0:
            self.executeDelayedItemsLayout()
            self.scrollTo(self._rows.index(self._at), QAbstractItemView.ScrollHint.EnsureVisible)

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        """Another width is another height; what is selected stays in view."""
        super().resizeEvent(event)
        self.lay_out()

    def mousePressEvent(self, event: QMouseEvent) -> None:  # noqa: N802
        """Select it and go there; on the eye, show or hide it."""
        at: QPoint = event.position().toPoint()
        index = self.indexAt(at)
        if index.isValid():
            row: Row = index.data(_ROW)
            eye = _eye(_inner(self.visualRect(index))).contains(at)
            (self.hide_asked if eye else self.chosen).emit(row.finding.id)
