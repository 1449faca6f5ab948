"""The window: wires the table of actions to keys, menus and panels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from PySide6.QtCore import QByteArray, QSettings, Qt
from PySide6.QtGui import QAction, QCloseEvent, QDragEnterEvent, QDropEvent, QKeySequence, QResizeEvent
from PySide6.QtWidgets import (
    QAbstractSpinBox,
    QApplication,
    QFileDialog,
    QHBoxLayout,
    QLineEdit,
    QMainWindow,
    QMenu,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from overread import paths
from overread.domain.errors import UserError
from overread.domain.geometry import Plane
from overread.domain.view import Layout, Tool
from overread.session.plugins import Plugin
from overread.session.session import Session
from overread.session.settings import Settings
from overread.session.state import Image, Sources
from overread.ui.action import Action
from overread.ui.actions import ACTIONS, BY_ID
from overread.ui.desk import Desk
from overread.ui.errors import cause_of
from overread.ui.findings_panel import FindingsPanel
from overread.ui.floats import Palette, Sheet
from overread.ui.keys_page import keys_of
from overread.ui.notice import Notice
from overread.ui.outgoing import Outgoing
from overread.ui.panes import Panes
from overread.ui.plugins_window import PluginsWindow
from overread.ui.settings_window import SettingsWindow
from overread.ui.status_bar import StatusBar
from overread.ui.study_panel import StudyPanel
from overread.ui.term_finder import SiteFinder, TermFinder
from overread.ui.top_bar import TopBar
from overread.ui.welcome import Welcome

_NARROW = 1500


class MainWindow(QMainWindow):
    """Everything the reader sees."""

    def __init__(self, session: Session, plugins: Sequence[Plugin] = (), demo: Path | None = None) -> None:
        super().__init__()
        self.session: Session = session
        self._plugins, self._demo = tuple(plugins), demo
        self.desk: Desk = Desk(session, self)
        self.setWindowTitle("Overread")
        self.setAcceptDrops(True)
        self.setMinimumSize(1024, 640)
        self.actions_by_id = {action.id: self._wired(action) for action in ACTIONS}
        self._build()
        session.sources_changed.connect(self._sources_changed)
        session.settings_changed.connect(self._settings_changed)
        session.image_changed.connect(self._image_changed)
        session.view_changed.connect(lambda old, new: self.refresh())
        session.findings_changed.connect(lambda old, new: self.refresh())
        session.failed.connect(self._failed)
        self.desk.told.connect(self.notice.tell)
        self._restore()
        self.refresh()

    def _build(self) -> None:
        self.top_bar = TopBar(self.session, self.menu, self)
        self.study_panel: StudyPanel = StudyPanel(self.desk, self)
        self.panes = Panes(self.desk, self)
        self.welcome = Welcome(self)
        self.middle = QStackedWidget(self)
        self.middle.addWidget(self.welcome)
        self.middle.addWidget(self.panes)
        self.findings_panel: FindingsPanel = FindingsPanel(self.desk, self)
        self.status_bar = StatusBar(self.session, self)
        self.outgoing: Outgoing = Outgoing(self.session, self.status_bar, self.findings_panel.export_panel, self)
        self.notice = Notice(self.middle)
        centre = QWidget(self)
        column = QVBoxLayout(centre)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(1)
        column.addWidget(self.top_bar)
        row = QHBoxLayout()
        row.setSpacing(1)
        row.addWidget(self.study_panel)
        row.addWidget(self.middle, 1)
        row.addWidget(self.findings_panel)
        column.addLayout(row, 1)
        column.addWidget(self.status_bar)
        self.setCentralWidget(centre)
        self.sheet = Sheet(self, self.keys_of)
        self.term_finder: TermFinder = TermFinder(self.session, self)
        self.site_finder: SiteFinder = SiteFinder(self.session, self)
        self.palette_float = Palette(self, self.keys_of, lambda action: action.when(self))
        for panel in (self.top_bar, self.findings_panel, self.welcome):
            panel.triggered.connect(self.trigger)
        self.palette_float.chosen.connect(self.trigger)
        self.welcome.chosen.connect(lambda path: self.session.open([path]))
        self.status_bar.cancelled.connect(self.escape)
        self.panes.menu_asked.connect(lambda at: self.menu().popup(at))

    # Actions

    def keys_of(self, action: Action) -> str:
        """The keys of an action as the reader has them."""
        return " or ".join(keys_of(action, self.session.settings.keys))

    def _wired(self, action: Action) -> QAction:
        wired = QAction(action.text, self)
        wired.setShortcuts([QKeySequence(key) for key in keys_of(action, self.session.settings.keys)])
        wired.setShortcutContext(Qt.ShortcutContext.WindowShortcut)
        wired.setCheckable(action.checked is not None)
        wired.triggered.connect(lambda: self.trigger(action.id))
        self.addAction(wired)
        return wired

    def _settings_changed(self, old: Settings, new: Settings) -> None:
        if old.keys != new.keys:
            for action in ACTIONS:
                self.actions_by_id[action.id].setShortcuts([QKeySequence(key) for key in keys_of(action, new.keys)])
            self.sheet.deleteLater()
            self.sheet = Sheet(self, self.keys_of)

    def trigger(self, action_id: str) -> None:
        """Do what an action of the table says, if it can be done now."""
        action = BY_ID[action_id]
        self.desk.pen.settle()
        typing = isinstance(QApplication.focusWidget(), (QLineEdit, QAbstractSpinBox))
        if typing and action_id in ("next-series", "previous-series"):  # Tab goes from field to field there
            self.focusNextPrevChild(action_id == "next-series")
        elif action.when(self):
            action.do(self)
        self.refresh()

    def refresh(self) -> None:
        """Let menus and buttons show what can be done and what is on."""
        for action in ACTIONS:
            wired = self.actions_by_id[action.id]
            possible = action.when(self)
            wired.setEnabled(possible)
            if action.checked is not None:
                wired.setChecked(action.checked(self))
            button = self.top_bar.buttons.get(action.id)
            if button is not None:
                button.setEnabled(possible)
                button.setChecked(wired.isChecked())
        undo, redo = self.session.undo_label, self.session.redo_label
        self.top_bar.buttons["undo"].setToolTip(f"Undo: {undo} (Ctrl+Z)" if undo else "Undo (Ctrl+Z)")
        self.top_bar.buttons["redo"].setToolTip(f"Redo: {redo} (Ctrl+Y)" if redo else "Redo (Ctrl+Y)")

    def menu(self) -> QMenu:
        """All actions, group by group."""
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        for group in dict.fromkeys(action.group for action in ACTIONS):
            below = menu.addMenu(group)
            for action in ACTIONS:
                if action.group == group:
                    below.addAction(self.actions_by_id[action.id])
        if self.session.plugins:
            below = menu.addMenu("Plug-ins")
            for detector in self.session.plugins:
                entry = below.addAction(detector.title)
                entry.setEnabled(self.session.image is not None)
                entry.triggered.connect(lambda checked=False, d=detector: self.session.run_plugin(d, self._plugin_done))
        return menu

    def _plugin_done(self, count: int) -> None:
        text = f"{count} proposal{'s' if count != 1 else ''}" if count else "Looked, found nothing"
        self.notice.tell(text, "", "good")

    @property
    def plane(self) -> Plane:
        """The plane that keys act on: the one under the mouse, else the first."""
        view = self.session.view
        under = self.panes.under_mouse
        return under if view.layout is Layout.THREE and under is not None else view.plane

    # What actions do here

    def open_paths(self, given: Sequence[str | Path]) -> None:
        """Open files, folders or archives."""
        self.session.open(given)

    def ask_folder(self) -> None:
        """Let the reader choose a folder."""
        dialog = QFileDialog(self, "Open a study")
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.filesSelected.connect(self.open_paths)
        dialog.open()

    def ask_files(self) -> None:
        """Let the reader choose files or an archive."""
        dialog = QFileDialog(self, "Open DICOM files or an archive")
        dialog.setFileMode(QFileDialog.FileMode.ExistingFiles)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.filesSelected.connect(self.open_paths)
        dialog.open()

    def open_demo(self) -> None:
        """Open the synthetic demo study; making it the first time takes a few seconds on a worker."""
        folder = self._demo
        if folder is None:
            return
        self.notice.tell("Making the demo study …", "Only the first time. It is synthetic: no patient.", "good")

        def make(job: object) -> Path:
            from overread.dicom.demo import ensure_demo  # scipy's image functions take a while to import

            return ensure_demo(folder)

        self.session.jobs.call("Making the demo study", make, lambda made: self.session.open([made]))

    def toggle_full_screen(self) -> None:
        """The image alone on the whole screen, or the window again."""
        full = not self.isFullScreen()
        for panel in (self.study_panel, self.findings_panel, self.top_bar, self.status_bar):
            panel.setVisible(not full)
        if full:
            self.showFullScreen()
        else:
            self.showNormal()

    def toggle_models(self) -> None:
        """Switch all models off, or those on that there are."""
        on = self.session.settings.models_on
        for reading in tuple(self.session.runs.readings):
            if not on or reading in on:
                self.session.toggle_model(reading)

    def read_all(self) -> None:
        """Read the whole series with every model that is on."""
        for model_id in tuple(self.session.runs.readings):
            self.session.runs.read_all(model_id)

    def escape(self) -> None:
        """Put away what floats, lay down the pen, stop what runs: one thing at a time."""
        floats = (self.sheet, self.palette_float, self.term_finder, self.site_finder)
        if any(one.isVisible() for one in floats):
            for one in floats:
                one.hide()
        elif self.isFullScreen():
            self.toggle_full_screen()
        elif self.desk.drawing:
            self.desk.put_down()
        elif self.session.view.tool is not Tool.WINDOW:
            self.desk.take(self.session.view.tool)
        elif self.session.view.compare is not None:
            self.desk.compare()
        elif self.findings_panel.export_panel.isVisible():
            self.findings_panel.export_panel.hide()
        else:
            self.stop_running()

    def stop_running(self) -> None:
        """Stop the models' reading of the rest, else the youngest job."""
        busy = [r.model_id for r in self.session.runs.readings.values() if r.busy]
        for model_id in busy:
            self.session.runs.pause(model_id)
        if not busy:
            self.session.stop_youngest()

    def toggle_sphere(self) -> None:
        """Disc or ball."""
        brush = self.session.view.brush
        self.session.set_view(replace(self.session.view, brush=replace(brush, sphere=not brush.sphere)))

    def next_class(self) -> None:
        """The heatmap of the next class."""
        self.findings_panel.heat_bar.next_class()

    def toggle_sheet(self) -> None:
        """Show or hide all keys."""
        self.sheet.toggle()

    def toggle_palette(self) -> None:
        """Show or hide the palette."""
        self.palette_float.toggle()

    def open_export(self) -> None:
        """Open the export drawer; the pen is laid down."""
        self.session.set_view(replace(self.session.view, tool=Tool.WINDOW))
        self.findings_panel.export_panel.open()

    def show_settings(self, page: str = "") -> None:
        """What the reader likes."""
        SettingsWindow(self.session, self.outgoing.sending, self, page).show()

    def show_plugins(self) -> None:
        """Which models and plug-ins there are, and what is wrong with them."""
        PluginsWindow(self.session, self._plugins, self).show()

    # What happened

    def _sources_changed(self, old: Sources, new: Sources) -> None:
        several = len(new.catalogue.patients) > 1
        if several and not new.scanning and old.scanning:
            self.notice.tell(
                f"{len(new.catalogue.patients)} patients are open.", "Each is listed by name; they are never mixed.", ""
            )
        self._show_middle()

    def _image_changed(self, old: Image | None, new: Image | None) -> None:
        self.desk.drop_stroke()
        self._show_middle()
        self.setWindowTitle("Overread")
        self.refresh()

    def _show_middle(self) -> None:
        nothing = self.session.image is None and not self.session.sources.scanning
        wanted = self.welcome if nothing else self.panes
        if nothing:
            self.welcome.show_recent(self.session.settings.recent)
        if self.middle.currentWidget() is not wanted:
            self.middle.setCurrentWidget(wanted)

    def _failed(self, error: Exception) -> None:
        cause = cause_of(error)
        if isinstance(cause, UserError):
            self.notice.tell(cause.title, cause.hint, "")
        else:
            raise cause

    # The window itself

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:  # noqa: N802
        """Files may be dropped anywhere."""
        if any(url.isLocalFile() for url in event.mimeData().urls()):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:  # noqa: N802
        """Open what was dropped."""
        dropped = [url.toLocalFile() for url in event.mimeData().urls() if url.isLocalFile()]
        if dropped:
            event.acceptProposedAction()
            self.open_paths(dropped)

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        """Side panels step back where the screen is small."""
        narrow = self.width() < _NARROW
        self.study_panel.setFixedWidth(220 if narrow else 280)
        self.findings_panel.setFixedWidth(310 if narrow else 360)
        self.notice.place()
        super().resizeEvent(event)

    def closeEvent(self, event: QCloseEvent) -> None:  # noqa: N802
        """Keep the window's place and end the sitting."""
        self._geometry().setValue("geometry", self.saveGeometry())
        self.hide()  # a worker may have to end what it is at, an engine that is being built at the longest
        self.session.close()
        self.outgoing.close()
        super().closeEvent(event)

    def _geometry(self) -> QSettings:
        return QSettings(str(paths.config() / "window.ini"), QSettings.Format.IniFormat)

    def _restore(self) -> None:
        kept = self._geometry().value("geometry")
        if not (isinstance(kept, QByteArray) and self.restoreGeometry(kept)):
            self.resize(1600, 960)
