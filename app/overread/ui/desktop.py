"""The desktop put together: application, session, models, plug-ins, window."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PySide6.QtWidgets import QApplication

from overread import paths
from overread.domain.errors import UserError
from overread.infer.backends.far import chain_of
from overread.infer.detector import OnnxDetector
from overread.infer.manifest import find_models
from overread.infer.runtime import trouble
from overread.session import settings
from overread.session.plugins import load_plugins
from overread.session.session import Session
from overread.ui import errors, style
from overread.ui.dispatch import MainThread
from overread.ui.main_window import MainWindow

# Scanning, loading, inference, trying backends, saving at the same time; the window's own thread comes on top.
_WORKERS = 5
# Python hands its lock over after this many seconds at the latest, so that workers do not make the window wait.
_SWITCH_S = 0.001


def display() -> str:
    """The screen there is, "" where there is none."""
    if not sys.platform.startswith("linux"):
        return "the desktop"
    return os.environ.get("WAYLAND_DISPLAY") or os.environ.get("DISPLAY") or ""


def application(name: str = "overread") -> QApplication:
    """The one application, made if it is not there yet."""
    existing = QApplication.instance()
    made = existing if isinstance(existing, QApplication) else QApplication([name])
    made.setApplicationName("Overread")
    return made


def open_desktop(opened: Sequence[Path]) -> int:
    """Open the window and stay until it is closed. UserError where there is no screen."""
    if not display() and os.environ.get("QT_QPA_PLATFORM", "") not in ("offscreen", "vnc", "minimal"):
        raise UserError("There is no display.", "“overread infer PATH --model ID --out DIR” works without one.")
    program = application()
    window = build_window(program)
    window.show()
    if opened:
        window.open_paths([str(path) for path in opened])
    return program.exec()


def build_window(program: QApplication) -> MainWindow:
    """The window with its session, models and plug-ins, dressed and ready."""
    sys.setswitchinterval(_SWITCH_S)
    style.apply(program)
    errors.start_log()
    specs, broken = find_models(paths.model_folders())
    plugins = load_plugins()
    # What is wrong with the settings, the session says.
    chain = chain_of(settings.load(paths.config() / "settings.toml", lambda error: None).remote, paths.cache())
    session = Session(
        MainThread(program),
        ThreadPoolExecutor(_WORKERS, thread_name_prefix="overread"),
        [OnnxDetector(spec, chain) for spec in specs],
        [detector for plugin in plugins for detector in plugin.detectors],
    )
    session.start()
    window = MainWindow(session, plugins, paths.data() / "demo")
    errors.install(window)
    for error in (*broken, *filter(None, [trouble()])):
        session.fail(error)
    for plugin in plugins:
        if plugin.error:
            session.fail(UserError(f"The plug-in {plugin.name} was left out.", plugin.error))
    gc.freeze()  # what was imported stays: going through all of it each time would make the window wait
    return window
