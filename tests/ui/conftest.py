"""Windows for the tests of the window, closed and gone afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PySide6.QtCore import QCoreApplication, QEvent
from PySide6.QtWidgets import QApplication

from network.conftest import pacs, pacs_there, shared_pacs  # noqa: F401  fixtures
from overread import paths
from overread.ui.desktop import build_window
from support.models import bright_model
from support.window import Driver


@pytest.fixture
def driver_of(qtbot: Any, monkeypatch: pytest.MonkeyPatch, qapp: QApplication) -> Iterator[Callable[..., Driver]]:
    """Open a window with made-up models only (or with those that ship), and drive it."""
    import sys

    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    made: list[Driver] = []

    def make(*, models: int = 1, shipped: bool = False, size: tuple[int, int] = (1600, 960), **model: Any) -> Driver:
        own = paths.data() / "models"
        for number in range(models):
            bright_model(own, model_id="glioma-flair" if number == 0 else f"bright-{number}", **model)
        if not shipped:
            monkeypatch.setattr(paths, "model_folders", lambda: (own,))
        window = build_window(qapp)
        window.resize(*size)
        with qtbot.waitActive(window, timeout=60_000):
            window.show()
            window.activateWindow()
        made.append(Driver(window, qtbot))
        return made[-1]

    yield make
    for driver in made:
        driver.window.close()
        driver.window.deleteLater()
    QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    QApplication.processEvents()
    left = [widget for widget in QApplication.topLevelWidgets() if widget.isVisible()]
    assert not left, f"windows left behind: {left}"


@pytest.fixture
def driver(driver_of: Callable[..., Driver]) -> Driver:
    """One window with one made-up model."""
    return driver_of()


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A small made-up FLAIR series with a bright spot."""
    from support.series import head_like, write_series

    write_series(
        tmp_path / "study", head_like((12, 128, 128)), spacing=(1.8, 1.8), step=6.0, WindowCenter=300, WindowWidth=800
    )
    return tmp_path / "study"
