"""A real window to drive, and ways to wait for it without sleeping."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QImage, QWheelEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QWidget

from overread.session.state import Phase
from overread.ui.main_window import MainWindow


class Driver:
    """What a reader's hands and eyes do with a window."""

    def __init__(self, window: MainWindow, qtbot: Any) -> None:
        self.window, self.qtbot, self.session = window, qtbot, window.session

    def open(self, path: Path) -> None:
        """Open a study and wait until it is on screen, whole."""
        self.window.open_paths([path])
        self.until(lambda: not self.session.sources.scanning and self.loaded)

    @property
    def loaded(self) -> bool:
        image = self.session.image
        return image is not None and image.ready.complete

    def until(self, done: Callable[[], bool], timeout: int = 240_000) -> None:
        """Wait for what will come, however busy the machine: a first reading imports libraries for a minute then.

        What is asked over and over has to be cheap: the worker that is waited for needs the interpreter too.
        """
        self.qtbot.waitUntil(done, timeout=timeout)

    def read(self, model_id: str = "") -> None:
        """Wait until the models have put their findings together."""

        def finished() -> bool:
            readings = self.session.runs.readings.values()
            chosen = [r for r in readings if not model_id or r.model_id == model_id]
            return all(r.phase in (Phase.DONE, Phase.NOTHING, Phase.CLOSED, Phase.OFF, Phase.FAILED) for r in chosen)

        self.until(finished)

    def key(self, key: Qt.Key, held: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier) -> None:
        """Press a key in the window, once it has the keyboard: before, or while another has it, keys are lost."""
        if QApplication.activeWindow() is None:
            self.window.activateWindow()
            self.until(lambda: QApplication.activeWindow() is not None)
        QTest.keyClick(QApplication.focusWidget() or self.window, key, held)
        QApplication.processEvents()

    def pane(self) -> Any:
        """The first pane on screen."""
        return self.window.panes.shown[0]

    def wheel(self, notches: int, held: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier) -> None:
        """Turn the wheel over the pane; positive is away from the reader."""
        pane = self.pane()
        at = QPointF(pane.rect().center())
        for _ in range(abs(notches)):
            event = QWheelEvent(
                at,
                pane.mapToGlobal(at),
                QPoint(0, 0),
                QPoint(0, 120 if notches > 0 else -120),
                Qt.MouseButton.NoButton,
                held,
                Qt.ScrollPhase.NoScrollPhase,
                False,
            )
            QApplication.sendEvent(pane, event)
        QApplication.processEvents()

    def drag(self, points: list[QPoint], button: Qt.MouseButton = Qt.MouseButton.LeftButton) -> None:
        """Press at the first point of the pane, move through the others, release at the last."""
        pane = self.pane()
        QTest.mousePress(pane, button, Qt.KeyboardModifier.NoModifier, points[0])
        for point in points[1:]:
            QTest.mouseMove(pane, point)
            QApplication.processEvents()
        QTest.mouseRelease(pane, button, Qt.KeyboardModifier.NoModifier, points[-1])
        QApplication.processEvents()

    def point(self, index: tuple[float, float, float]) -> QPoint:
        """Where a voxel (k, j, i) of the slice on screen lies in the pane."""
        pane = self.pane()
        x, y = pane.projection.to_screen(index)
        ratio = pane.devicePixelRatioF()
        return QPoint(round(x / ratio), round(y / ratio))


def pixels(widget: QWidget) -> NDArray[np.uint8]:
    """What a widget shows, shape (height, width, 3), device pixels."""
    QApplication.processEvents()
    image = widget.grab().toImage().convertToFormat(QImage.Format.Format_RGB888)
    raw = np.frombuffer(image.constBits(), np.uint8)
    return (
        raw.reshape(image.height(), image.bytesPerLine())[:, : image.width() * 3].reshape(-1, image.width(), 3).copy()
    )


def near(picture: NDArray[np.uint8], colour: tuple[int, int, int], tolerance: int = 40) -> NDArray[np.bool_]:
    """Which pixels have about that colour."""
    return np.asarray(np.abs(picture.astype(int) - colour).max(axis=-1) <= tolerance)
