"""Faults of ours: the log and one window. What a reader can act on never comes here; it is said in the window."""

from __future__ import annotations

import logging
import platform
import sys
import traceback
from logging.handlers import RotatingFileHandler
from types import TracebackType

from psygnal import EmitLoopError
from PySide6.QtWidgets import (
    QApplication,
    QDialog,
    QHBoxLayout,
    QLabel,
    QPlainTextEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from overread import __version__, paths

_LOG = logging.getLogger("overread")


def start_log() -> None:
    """Keep the last faults in a file. No patient's name, number or folder goes there."""
    folder = paths.logs()
    folder.mkdir(parents=True, exist_ok=True)
    handler = RotatingFileHandler(folder / "overread.log", maxBytes=1 << 20, backupCount=2, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.getLogger().addHandler(handler)


def cause_of(error: BaseException) -> BaseException:
    """The fault itself, out of the wrapping that signals put around it."""
    while isinstance(error, EmitLoopError) and error.__cause__ is not None:
        error = error.__cause__
    return error


def details_of(error: BaseException) -> str:
    """What a developer needs; frames and types, no values."""
    cause = cause_of(error)
    frames = "".join(traceback.format_tb(cause.__traceback__))
    about = f"Overread {__version__} · Python {platform.python_version()} · {platform.platform()}"
    return f"{about}\n\n{frames}{type(cause).__name__}: {cause}"


class ErrorWindow(QDialog):
    """One fault, with its details to copy. The program stays up."""

    def __init__(self, error: BaseException, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Overread: something went wrong")
        self.resize(720, 420)
        self.setModal(False)
        column = QVBoxLayout(self)
        headline = QLabel("Something went wrong in Overread. Your work up to the last step is saved.")
        headline.setWordWrap(True)
        column.addWidget(headline)
        self.text = QPlainTextEdit(details_of(error))
        self.text.setReadOnly(True)
        column.addWidget(self.text)
        row = QHBoxLayout()
        row.addStretch(1)
        copy, close = QPushButton("Copy details"), QPushButton("Close")
        copy.clicked.connect(lambda: QApplication.clipboard().setText(self.text.toPlainText()))
        close.clicked.connect(self.close)
        row.addWidget(copy)
        row.addWidget(close)
        column.addLayout(row)


def install(window: QWidget) -> None:
    """Have every fault that nobody caught logged and shown over `window`; the program goes on."""

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.__excepthook__(kind, error, trace)
            return
        cause = cause_of(error)
        # Frames and the type alone: a message may hold a folder, and a folder may be named after a patient.
        _LOG.error("%s\n%s", type(cause).__name__, "".join(traceback.format_tb(cause.__traceback__)))
        ErrorWindow(error, window).show()

    sys.excepthook = hook
