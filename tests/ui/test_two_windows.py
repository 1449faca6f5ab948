"""Two windows on one study: the second one says that it is read-only, for as long as it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QApplication

from overread.domain.finding import Status
from support.window import Driver


def test_the_second_window_says_that_it_is_read_only(driver_of: Callable[..., Driver], study: Path) -> None:
    first, second = driver_of(size=(1280, 800)), driver_of(models=0, size=(1280, 800))
    first.open(study)
    first.read()
    second.open(study)
    second.window.activateWindow()
    assert "Read-only" not in first.window.status_bar.saved.text()
    assert second.window.status_bar.saved.text() == "Read-only"
    assert second.window.status_bar.saved.isVisible()
    assert "open in another window" in second.window.status_bar.saved.toolTip()
    (before,) = second.session.shown_findings
    second.key(Qt.Key.Key_N)
    second.key(Qt.Key.Key_A)
    assert second.session.shown_findings == (before,)
    assert "open in another window" in second.window.notice.title.text()

    first.window.close()
    QApplication.processEvents()
    second.key(Qt.Key.Key_A)
    assert second.session.shown_findings[0].status is Status.ACCEPTED
    assert second.window.status_bar.saved.text().startswith("saved ")
