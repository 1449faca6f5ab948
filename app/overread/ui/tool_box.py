"""The editing tools: what is in the hand, what it is set to, and the changes that can be made to a finding."""

from __future__ import annotations

from PySide6.QtCore import QPoint, Qt, Signal
from PySide6.QtGui import QColor, QIcon, QPixmap, QResizeEvent
from PySide6.QtWidgets import (
    QApplication,
    QFrame,
    QGridLayout,
    QLabel,
    QLineEdit,
    QMenu,
    QPushButton,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from overread.domain.view import Tool, ViewState
from overread.imaging.editing.parts import Logic
from overread.imaging.editing.shape import Smoothing
from overread.ui import style
from overread.ui.actions import BY_ID
from overread.ui.brush_bar import BrushBar
from overread.ui.desk import Desk
from overread.ui.editor import Page, Where
from overread.ui.tool_pages import choice, number, row, words

# Label and id of the action, five in a row.
_TOOLS = (
    ("Brush", "brush"),
    ("Eraser", "eraser"),
    ("Edges", "smart-brush"),
    ("Lasso", "lasso"),
    ("Polygon", "polygon"),
    ("Scissors", "scissors"),
    ("Scribbles", "scribbles"),
    ("Pick", "pick-part"),
    ("Values", "values"),
    ("Margin", "margin"),
    ("Smooth", "smooth"),
    ("Islands", "islands"),
    ("Holes", "holes"),
    ("Between", "between"),
    ("Combine", "combine"),
)
# Told apart on grey, and from the colours that say what became of a finding (Okabe and Ito 2008, made brighter).
_COLOURS = (
    ("sky blue", "#56B4E9"),
    ("orange", "#E69F00"),
    ("green", "#00B07C"),
    ("yellow", "#F0E442"),
    ("blue", "#3C8DD9"),
    ("vermilion", "#E8643C"),
    ("pink", "#D98BB8"),
    ("white", "#F0F0F0"),
)
# Windows lower than this have no room to spare (logical pixels).
_LOW = 900
_ACTION = {
    Page.RANGE: "values",
    Page.MARGIN: "margin",
    Page.SMOOTH: "smooth",
    Page.ISLANDS: "islands",
    Page.HOLES: "holes",
    Page.BETWEEN: "between",
    Page.COMBINE: "combine",
}


class ToolBox(QFrame):
    """Shown while a tool is in hand or a change has its numbers open."""

    triggered = Signal(str)  # id of an action of the table

    def __init__(self, desk: Desk, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.desk, self.editor, self.session = desk, desk.editor, desk.session
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        self.buttons: dict[str, QToolButton] = {}
        self._choice = self._tools()
        column.addWidget(self._choice)
        self.brush_bar = BrushBar(self.session)
        column.addWidget(self.brush_bar)
        self.pages = QFrame()
        self.pages.setObjectName("card")
        self._page_column = QVBoxLayout(self.pages)
        self._page_column.setContentsMargins(12, 6, 12, 6)
        self._page_column.setSpacing(6)
        column.addWidget(self.pages)
        self._showing: object = None
        self.said = words("")
        self.session.view_changed.connect(self._view_changed)
        self.session.findings_changed.connect(lambda old, new: self._show())
        self.editor.set_differently.connect(self._show)
        self._show()

    def _tools(self) -> QWidget:
        card = QFrame()
        card.setObjectName("card")
        grid = QGridLayout(card)
        grid.setContentsMargins(4, 4, 4, 4)
        grid.setSpacing(1)
        for place, (text, action_id) in enumerate(_TOOLS):
            button = QToolButton()
            button.setText(text)
            button.setFont(style.font(12))
            button.setStyleSheet("padding: 2px 0;")
            button.setMinimumWidth(1)
            button.setCheckable(True)
            action = BY_ID[action_id]
            own = self.session.settings.keys.get(action_id)
            button.setToolTip(f"{action.text} ({own if own is not None else ' or '.join(action.keys)})")
            button.setAccessibleName(text)
            button.setSizePolicy(button.sizePolicy().Policy.Expanding, button.sizePolicy().Policy.Fixed)
            button.clicked.connect(lambda checked=False, chosen=action_id: self._ask(chosen))
            self.buttons[action_id] = button
            grid.addWidget(button, place // 5, place % 5)
        return card

    def _view_changed(self, old: ViewState, new: ViewState) -> None:
        if (old.tool, old.selected, old.brush.range) != (new.tool, new.selected, new.brush.range):
            self._show()

    def _show(self) -> None:
        """The page of what is in the hand; made anew only where it is another one."""
        tool, page = self.session.view.tool, self.editor.page
        self.setVisible(self.session.image is not None and (tool.edits or page is not None))
        # Where the window is low, the finding's card needs the room; keys and the palette reach every tool.
        low = self.window().height() < _LOW
        self._choice.setVisible(not (low and tool.pen and page is None))
        chosen = self.editor.editing.target is not None
        for action_id, button in self.buttons.items():
            changes = action_id in _ACTION.values()
            button.setEnabled(chosen or not changes)
            button.setChecked(page is not None and _ACTION[page] == action_id if changes else _held(action_id) is tool)
        others = tuple((finding.id, finding.title) for finding in self.editor.others())
        wanted = (tool, page, others, self.editor.numbers.where, self.editor.numbers.largest, low)
        if wanted != self._showing:
            self._showing = wanted
            self._build(tool, page, others, low=low)
        self._say()

    def _say(self) -> None:
        """What a change that is looked at would make of the size."""
        target, seen, image = self.editor.editing.target, self.editor.seen, self.session.image
        text = ""
        if target is not None and seen is not None and image is not None and seen[0] == target.id and target.mask:
            old, new = (mask.count * image.stack.grid.voxel_mm3 / 1000 for mask in (target.mask, seen[1]))
            text = f"{old:.3g} → {new:.3g} ml ({100 * (new / old - 1):+.1f} %)"
        self.said.setText(text)
        if self.said.parentWidget() is not None:  # without one it would be a window of its own
            self.said.setVisible(bool(text))

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        """The window may have become low, or high enough."""
        super().resizeEvent(event)
        self._show()

    def ask_colour(self) -> QMenu:
        """Offer colours for the selected finding; a number or Return takes one, Escape none."""
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        for place, (name, colour) in enumerate(_COLOURS, start=1):
            swatch = QPixmap(20, 20)
            swatch.fill(QColor(colour))
            entry = menu.addAction(QIcon(swatch), f"&{place}   {name}")
            entry.triggered.connect(lambda checked=False, colour=colour: self.editor.recolour(colour))
        menu.setActiveAction(menu.actions()[0])
        menu.popup(self.window().mapToGlobal(QPoint(self.window().width() - 340, 160)))
        return menu

    # Pages

    def _build(self, tool: Tool, page: Page | None, others: tuple[tuple[str, str], ...], *, low: bool) -> None:
        while self._page_column.count():
            item = self._page_column.takeAt(0)
            widget = item.widget() if item is not None else None
            if widget is not None:
                widget.hide()
                widget.deleteLater()
        self.said = words("")
        rows: list[QWidget] = []
        if page is not None:
            rows = [*self._numbers(page, others), self.said, row(self._apply(page))]
            for field in (field for part in rows for field in part.findChildren(QLineEdit)):
                field.returnPressed.connect(lambda page=page: self._ask(_ACTION[page]))
        elif tool is Tool.SCISSORS:
            rows = self._scissors()
        elif tool is Tool.SCRIBBLE:
            rows = self._scribbles()
        elif tool in (Tool.LASSO, Tool.POLYGON):
            how = "Drag around it." if tool is Tool.LASSO else "Click corners; Return or the first corner closes."
            rows = [words(f"{how} With Shift it erases.")]
        elif tool is Tool.PICK:
            rows = [words("Click the part of the finding that is to stay; the others go.")]
        if page is None and tool.edits and tool not in (Tool.PICK, Tool.SCISSORS) and not (low and tool.pen):
            rows.extend(self._where(others))
        for widget in rows:
            self._page_column.addWidget(widget)
        self.pages.setVisible(bool(rows))

    def _apply(self, page: Page) -> QPushButton:
        button = QPushButton(f"Apply  {page.value}")
        button.setObjectName("primary")
        button.clicked.connect(lambda: self._ask(_ACTION[page]))
        return button

    def _ask(self, action_id: str) -> None:
        """Have an action done. The keys are the image's again then: Ctrl+Z is meant for the step, not for a field."""
        typing = QApplication.focusWidget()
        if typing is not None and self.isAncestorOf(typing):
            typing.clearFocus()
        self.triggered.emit(action_id)

    def _numbers(self, page: Page, others: tuple[tuple[str, str], ...]) -> list[QWidget]:
        n, put = self.editor.numbers, self.editor.set
        if page is Page.RANGE:
            low = number(n.low, -100000, 100000, "", lambda value: put(low=value), "Lowest value")
            high = number(n.high, -100000, 100000, "", lambda value: put(high=value), "Highest value")
            return [words("Keep what has values"), row(QLabel("from"), low, QLabel("to"), high)]
        if page is Page.MARGIN:
            box = number(n.margin_mm, -50, 50, " mm", lambda value: put(margin_mm=value), "Margin")
            return [row(QLabel("Margin"), box), words("Less than 0 shrinks.")]
        if page is Page.SMOOTH:
            how = choice(
                [(s, s.value) for s in Smoothing], n.smoothing, lambda s: put(smoothing=Smoothing(s)), "How to smooth"
            )
            box = number(n.smooth_mm, 0.1, 30, " mm", lambda value: put(smooth_mm=value), "Radius")
            return [row(how, box)]
        if page is Page.ISLANDS:
            kinds = [("largest", "keep the largest part"), ("small", "remove parts under")]
            which = choice(
                kinds, "largest" if n.largest else "small", lambda s: put(largest=s == "largest"), "Which parts"
            )
            box = number(n.island_ml, 0.001, 1000, " ml", lambda value: put(island_ml=value), "Least size", decimals=3)
            return [row(which) if n.largest else row(which, box)]
        if page is Page.HOLES:
            kinds = [("flat", "slice by slice, in this plane"), ("solid", "closed on all sides (3-D)")]
            return [
                row(choice(kinds, "solid" if n.solid else "flat", lambda s: put(solid=s == "solid"), "Which holes"))
            ]
        if page is Page.BETWEEN:
            return [words("Fills the empty slices of this plane between drawn ones.")]
        how = choice([(s, s.value) for s in Logic], n.logic, lambda s: put(logic=Logic(s)), "How to combine")
        if not others:
            return [words("There is no other finding on this series.")]
        return [row(how, choice(list(others), n.other, lambda s: put(other=s), "With which finding"))]

    def _scissors(self) -> list[QWidget]:
        n, put = self.editor.numbers, self.editor.set
        sides = [("in", "cut away inside"), ("out", "cut away outside")]
        depths = [("all", "all slices"), ("one", "this slice")]
        return [
            row(
                choice(sides, "out" if n.keep_inside else "in", lambda s: put(keep_inside=s == "out"), "Which side"),
                choice(depths, "one" if n.this_slice else "all", lambda s: put(this_slice=s == "one"), "How deep"),
            )
        ]

    def _scribbles(self) -> list[QWidget]:
        n, put = self.editor.numbers, self.editor.set
        kinds = [("walk", "random walker"), ("flood", "grow to the edges")]
        grow = QPushButton("Grow  Return")
        grow.clicked.connect(self.editor.finish)
        how = choice(kinds, "walk" if n.walk else "flood", lambda s: put(walk=s == "walk"), "How scribbles grow")
        return [words("Scribble inside, with Shift outside; on one slice or on some."), row(how, grow)]

    def _where(self, others: tuple[tuple[str, str], ...]) -> list[QWidget]:
        if not others:
            return []
        n, put = self.editor.numbers, self.editor.set
        places = choice([(w, w.value) for w in Where], n.where, lambda s: put(where=Where(s)), "Where to draw")
        every = [("", "all others")] if n.where is Where.OUTSIDE else []
        which = choice([*every, *others], n.beside, lambda s: put(beside=s), "Of which finding")
        if n.where is Where.INSIDE and not n.beside:
            put(beside=others[0][0])
        return [row(QLabel("Draw"), places) if n.where is Where.ANYWHERE else row(QLabel("Draw"), places, which)]


def _held(action_id: str) -> Tool:
    """The tool that an action takes into the hand."""
    named = {"smart-brush": Tool.SMART, "scribbles": Tool.SCRIBBLE, "pick-part": Tool.PICK}
    return named.get(action_id) or Tool(action_id)
