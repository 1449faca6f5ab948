"""How everything looks: one dark room, the image the brightest thing in it."""

from __future__ import annotations

from functools import lru_cache

from PySide6.QtCore import QByteArray, QSize, Qt
from PySide6.QtGui import QColor, QFont, QGuiApplication, QIcon, QPainter, QPalette, QPixmap
from PySide6.QtSvg import QSvgRenderer
from PySide6.QtWidgets import QApplication, QProgressBar

from overread import paths
from overread.domain.finding import Status

PANE = "#000000"
WINDOW = "#0B0D10"
PANEL = "#14181D"
RAISED = "#1B2128"
LINE = "#2A323B"
TEXT = "#E6EAEE"
QUIET = "#93A1AE"
ACTIVE = "#4DA3FF"
PROPOSED = "#F5B83D"
ACCEPTED = "#37C8A5"
EDITED = "#9B8CFF"
REJECTED = "#93A1AE"
DANGER = "#FF6B6B"

STATUS = {
    Status.PROPOSED: (PROPOSED, "proposed"),
    Status.ACCEPTED: (ACCEPTED, "accepted"),
    Status.EDITED: (EDITED, "edited"),
    Status.REJECTED: (REJECTED, "rejected"),
}

_SHEET = f"""
* {{ outline: none; }}
QWidget {{ color: {TEXT}; }}
QMainWindow, QDialog {{ background: {WINDOW}; }}
QToolTip {{ background: {RAISED}; color: {TEXT}; border: 1px solid {LINE}; padding: 4px 8px; }}
QLabel#quiet, QLabel[quiet="true"] {{ color: {QUIET}; }}
QLabel[heading="true"] {{ color: {QUIET}; font-weight: 600; letter-spacing: 1px; }}
QFrame#panel, QWidget#panel {{ background: {PANEL}; }}
QFrame#bar {{ background: {PANEL}; border: none; }}
QFrame#card {{ background: {RAISED}; border: 1px solid {LINE}; border-radius: 6px; }}
QFrame#card[selected="true"] {{ border: 1px solid {ACTIVE}; }}
QFrame#notice {{ background: {RAISED}; border: 1px solid {LINE}; border-left: 4px solid {DANGER}; }}
QFrame#notice[kind="good"] {{ border-left: 4px solid {ACCEPTED}; }}
QFrame#float {{ background: {PANEL}; border: 1px solid {LINE}; border-radius: 8px; }}
QPushButton, QToolButton {{
    background: transparent; border: 1px solid transparent; border-radius: 4px; padding: 3px 8px;
    min-height: 20px; color: {TEXT};
}}
QPushButton {{ background: {RAISED}; border-color: {LINE}; }}
QPushButton:hover, QToolButton:hover {{ background: {LINE}; }}
QPushButton:pressed, QToolButton:pressed {{ background: {WINDOW}; }}
QPushButton:focus, QToolButton:focus {{ border-color: {ACTIVE}; }}
QToolButton:checked {{ background: {LINE}; border-color: {ACTIVE}; }}
QPushButton:disabled, QToolButton:disabled {{ color: #5A6672; }}
QPushButton#primary {{ background: #1F4E80; border-color: {ACTIVE}; color: #FFFFFF; font-weight: 600; }}
QPushButton#primary:hover {{ background: #28629F; }}
QPushButton#primary:disabled {{ background: {RAISED}; border-color: {LINE}; color: #5A6672; }}
QToolButton::menu-indicator {{ image: none; }}
QLineEdit, QDoubleSpinBox, QSpinBox {{
    background: {WINDOW}; border: 1px solid {LINE}; border-radius: 4px; padding: 4px 8px; min-height: 20px;
    selection-background-color: #1F4E80;
}}
QLineEdit:disabled, QDoubleSpinBox:disabled {{ color: #5A6672; }}
QLineEdit:focus, QDoubleSpinBox:focus, QSpinBox:focus {{ border-color: {ACTIVE}; }}
QCheckBox {{ spacing: 8px; min-height: 24px; }}
QCheckBox::indicator {{ width: 14px; height: 14px; border: 1px solid {QUIET}; border-radius: 3px; }}
QCheckBox::indicator:checked {{ background: {ACTIVE}; border-color: {ACTIVE}; }}
QCheckBox:focus {{ color: #FFFFFF; }}
QCheckBox:disabled {{ color: {QUIET}; }}
QCheckBox::indicator:checked:disabled {{ background: {QUIET}; border-color: {QUIET}; }}
QSlider::groove:horizontal {{ height: 4px; background: {LINE}; border-radius: 2px; }}
QSlider::sub-page:horizontal {{ background: {ACTIVE}; border-radius: 2px; }}
QSlider::handle:horizontal {{ width: 14px; margin: -5px 0; border-radius: 7px; background: {TEXT}; }}
QProgressBar {{ background: {LINE}; border: none; border-radius: 2px; max-height: 4px; min-height: 4px; }}
QProgressBar::chunk {{ background: {ACTIVE}; border-radius: 2px; }}
QListView, QListWidget, QScrollArea {{ background: transparent; border: none; }}
QScrollArea > QWidget, QScrollArea > QWidget > QWidget#list {{ background: transparent; }}
QListWidget::item {{ padding: 4px 8px; border-radius: 4px; }}
QListWidget::item:selected {{ background: {LINE}; color: {TEXT}; }}
QScrollBar:vertical {{ background: transparent; width: 10px; margin: 0; }}
QScrollBar::handle:vertical {{ background: {LINE}; border-radius: 5px; min-height: 24px; }}
QScrollBar::add-line, QScrollBar::sub-line {{ height: 0; }}
QScrollBar::add-page, QScrollBar::sub-page {{ background: none; }}
QTabWidget::pane {{ border: 1px solid {LINE}; background: {PANEL}; }}
QTabBar::tab {{ background: {WINDOW}; color: {QUIET}; padding: 8px 20px; border: 1px solid {LINE}; }}
QTabBar::tab:selected {{ background: {PANEL}; color: {TEXT}; border-bottom-color: {PANEL}; }}
QTableWidget {{ background: {WINDOW}; border: 1px solid {LINE}; selection-background-color: {LINE}; }}
QTableWidget::item {{ padding: 4px 8px; }}
QHeaderView::section {{ background: {PANEL}; color: {QUIET}; border: none; padding: 6px 8px; }}
QComboBox {{ background: {WINDOW}; border: 1px solid {LINE}; border-radius: 4px; padding: 4px 8px; min-height: 20px; }}
QComboBox QAbstractItemView {{ background: {PANEL}; border: 1px solid {LINE}; selection-background-color: {LINE}; }}
QMenu {{ background: {PANEL}; border: 1px solid {LINE}; padding: 4px; }}
QMenu::item {{ padding: 6px 24px 6px 12px; border-radius: 4px; }}
QMenu::item:selected {{ background: {LINE}; }}
QMenu::item:disabled {{ color: #5A6672; }}
QMenu::separator {{ height: 1px; background: {LINE}; margin: 4px 8px; }}
QSplitter::handle {{ background: {LINE}; }}
"""


def apply(application: QApplication) -> None:
    """Dress the application. A palette on Fusion, because colour schemes are ignored on some platforms."""
    application.setStyle("Fusion")
    palette = QPalette()
    for role, colour in {
        QPalette.ColorRole.Window: WINDOW,
        QPalette.ColorRole.Base: PANEL,
        QPalette.ColorRole.AlternateBase: RAISED,
        QPalette.ColorRole.Text: TEXT,
        QPalette.ColorRole.WindowText: TEXT,
        QPalette.ColorRole.Button: RAISED,
        QPalette.ColorRole.ButtonText: TEXT,
        QPalette.ColorRole.ToolTipBase: RAISED,
        QPalette.ColorRole.ToolTipText: TEXT,
        QPalette.ColorRole.Highlight: "#1F4E80",
        QPalette.ColorRole.HighlightedText: TEXT,
        QPalette.ColorRole.PlaceholderText: QUIET,
    }.items():
        palette.setColor(role, QColor(colour))
    application.setPalette(palette)
    application.setFont(font(13))
    application.setStyleSheet(_SHEET)


@lru_cache(maxsize=32)
def font(pixels: int, *, bold: bool = False) -> QFont:
    """The platform's own font with figures of equal width."""
    chosen = QFont(QGuiApplication.font())
    chosen.setPixelSize(pixels)
    chosen.setBold(bold)
    chosen.setFeature(QFont.Tag("tnum"), 1)
    return chosen


@lru_cache(maxsize=256)
def icon(name: str, colour: str = TEXT) -> QIcon:
    """A line icon in a colour; greyed where its button is disabled."""
    made = QIcon()
    for mode, tint in ((QIcon.Mode.Normal, colour), (QIcon.Mode.Disabled, "#5A6672")):
        for scale in (1, 2, 3):
            made.addPixmap(_pixmap(name, tint, 20 * scale), mode)
    return made


def _pixmap(name: str, colour: str, size: int) -> QPixmap:
    source = (paths.resources() / "icons" / f"{name}.svg").read_text("utf-8").replace("currentColor", colour)
    pixmap = QPixmap(QSize(size, size))
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    QSvgRenderer(QByteArray(source.encode())).render(painter)
    painter.end()
    return pixmap


def move(bar: QProgressBar, value: int) -> None:
    """Set a bar's value. It is painted with everything else: Qt would paint the whole window at once for it."""
    bar.setUpdatesEnabled(False)
    bar.setValue(value)
    bar.setUpdatesEnabled(True)
