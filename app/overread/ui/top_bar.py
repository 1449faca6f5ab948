"""The head of the window: whose images these are, and the tools."""

from __future__ import annotations

from collections.abc import Callable

from PySide6.QtCore import QSize, Qt, Signal
from PySide6.QtGui import QAction, QIcon, QResizeEvent
from PySide6.QtWidgets import QFrame, QHBoxLayout, QMenu, QToolButton, QWidget

from overread.domain.study import Identity
from overread.session.session import Session
from overread.ui import looking, style
from overread.ui.actions import BY_ID
from overread.ui.elided import ElidedLabel

_TOOLS = (
    "open-folder",
    "layout",
    "fit",
    "invert",
    "",
    "brush",
    "eraser",
    "box",
    "length",
    "undo",
    "redo",
    "",
    "overlays",
    "export",
)
_ROOMY = 1500  # pixels of width, from which the search button carries its name


class TopBar(QFrame):
    """Banner and tool buttons. Buttons come from the table of actions."""

    triggered = Signal(str)

    def __init__(self, session: Session, menu: Callable[[], QMenu], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session = session
        self.setObjectName("bar")
        self.setFixedHeight(40)
        row = QHBoxLayout(self)
        row.setContentsMargins(12, 0, 8, 0)
        row.setSpacing(4)
        self.banner = ElidedLabel("Overread")
        self.banner.setFont(style.font(13, bold=True))
        self.banner.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        row.addWidget(self.banner, 1)
        self.buttons: dict[str, QToolButton] = {}
        for action_id in _TOOLS:
            if action_id:
                row.addWidget(self._button(action_id))
                if action_id == "invert":
                    row.addWidget(self._window_button())
            else:
                row.addSpacing(12)
        row.addSpacing(12)
        search = self._button("palette")
        search.setText("Find an action  Ctrl+K")
        self._search = search
        row.addWidget(search)
        row.addWidget(self._button("sheet"))
        more = QToolButton()
        more.setIcon(style.icon("menu"))
        more.setIconSize(QSize(20, 20))
        more.setMinimumSize(QSize(32, 28))
        more.setToolTip("All actions")
        more.setAccessibleName("All actions")
        more.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        more.clicked.connect(lambda: menu().popup(more.mapToGlobal(more.rect().bottomLeft())))
        row.addWidget(more)
        session.image_changed.connect(lambda old, new: self._show_banner())

    def _button(self, action_id: str) -> QToolButton:
        action = BY_ID[action_id]
        button = QToolButton()
        button.setIcon(style.icon(action.icon) if action.icon else QIcon())
        button.setIconSize(QSize(20, 20))
        button.setMinimumSize(QSize(32, 28))
        keys = f" ({action.keys[0]})" if action.keys else ""
        button.setToolTip(f"{action.text}{keys}")
        button.setAccessibleName(action.text)
        button.setCheckable(action.checked is not None)
        button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        button.clicked.connect(lambda: self.triggered.emit(action_id))
        self.buttons[action_id] = button
        return button

    def _window_button(self) -> QToolButton:
        self.window_button = QToolButton()
        self.window_button.setIcon(style.icon("window"))
        self.window_button.setIconSize(QSize(20, 20))
        self.window_button.setMinimumSize(QSize(32, 28))
        self.window_button.setToolTip("Window presets (1 to 9)")
        self.window_button.setAccessibleName("Window presets")
        self.window_button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.window_button.clicked.connect(self._window_menu)
        return self.window_button

    def _window_menu(self) -> None:
        image = self.session.image
        if image is None:
            return
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        for number, window in enumerate(looking.presets(self.session), start=1):
            text = (
                window.name if window.function == "LUT" else f"{window.name}   W {window.width:g} L {window.center:g}"
            )
            choice = QAction(f"{number}   {text}" if number < 10 else text, menu)
            choice.triggered.connect(lambda checked=False, number=number: looking.preset(self.session, number))
            menu.addAction(choice)
        fitting = QAction("0   Fit to the slice", menu)
        fitting.triggered.connect(lambda: looking.fit_window(self.session))
        menu.addAction(fitting)
        menu.popup(self.window_button.mapToGlobal(self.window_button.rect().bottomLeft()))

    def _show_banner(self) -> None:
        image = self.session.image
        text = banner(image.stack.identity) if image is not None else "Overread"
        if image is not None and image.stack.synthetic:
            text += "  ·  SYNTHETIC"
        self.banner.setText(text)

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        """On a narrow screen whose images these are is worth more than a button's name."""
        roomy = self.width() >= _ROOMY
        words, icon = Qt.ToolButtonStyle.ToolButtonTextBesideIcon, Qt.ToolButtonStyle.ToolButtonIconOnly
        self._search.setToolButtonStyle(words if roomy else icon)


def banner(who: Identity) -> str:
    """Name, ID, birth date, sex, study date, series: what tells a reader that these are the right images."""

    def date(value: str) -> str:
        return f"{value[:4]}-{value[4:6]}-{value[6:8]}" if len(value) == 8 else value

    parts = [
        who.display_name,
        who.patient_id or "no ID",
        f"born {date(who.birth_date)}" if who.birth_date else "",
        who.sex,
        f"{who.modality} {date(who.study_date) if who.study_date else ', no date'}".replace(" ,", ","),
        who.series_description,
    ]
    return "  ·  ".join(part for part in parts if part)
