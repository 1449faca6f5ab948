"""The settings: a name, keys, a server; changed with the mouse and the keyboard, kept for the next sitting."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import cast

import pytest
from PySide6.QtCore import Qt
from PySide6.QtGui import QKeySequence
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from overread import paths
from overread.session import settings as settings_file
from overread.ui.actions import ACTIONS
from overread.ui.keys_page import KeysPage
from overread.ui.settings_window import ReaderPage, ServerPage, SettingsWindow
from support.window import Driver


@pytest.fixture
def window(driver: Driver) -> Iterator[SettingsWindow]:
    driver.until(driver.window.isActiveWindow)
    driver.key(Qt.Key.Key_Comma, Qt.KeyboardModifier.ControlModifier)
    (shown,) = (w for w in QApplication.topLevelWidgets() if isinstance(w, SettingsWindow) and w.isVisible())
    yield shown
    with suppress(RuntimeError):  # a window that was closed is gone
        shown.close()


def kept() -> settings_file.Settings:
    def fail(error: Exception) -> None:
        raise error

    return settings_file.load(paths.config() / "settings.toml", fail)


def row_of(action_id: str) -> int:
    return next(row for row, action in enumerate(ACTIONS) if action.id == action_id)


def test_the_readers_name(driver: Driver, window: SettingsWindow) -> None:
    page = cast("ReaderPage", window.pages["Reader"])
    page.name.selectAll()
    QTest.keyClicks(page.name, "Ada Lovelace")
    QTest.keyClick(page.name, Qt.Key.Key_Return)
    assert driver.session.reader.name == kept().reader == "Ada Lovelace"


def test_keys_are_changed_at_once_and_one_key_has_one_meaning(
    driver: Driver, window: SettingsWindow, study: Path
) -> None:
    driver.open(study)
    driver.read()
    page = cast("KeysPage", window.pages["Keys"])
    window.tabs.setCurrentWidget(page)
    page.table.setCurrentCell(row_of("next-finding"), 0)
    page.edit.setKeySequence(QKeySequence("A"))
    page._changed()
    assert "A is taken: “Accept the finding”" in page.told.text()
    assert driver.session.settings.keys == {}
    page.edit.setKeySequence(QKeySequence("Ctrl+J"))
    page._changed()
    assert driver.session.settings.keys == kept().keys == {"next-finding": "Ctrl+J"}
    assert page.table.item(row_of("next-finding"), 2).text() == "Ctrl+J"
    window.close()
    driver.window.activateWindow()
    driver.until(driver.window.isActiveWindow)
    driver.key(Qt.Key.Key_N)
    assert driver.session.selected is None
    driver.key(Qt.Key.Key_J, Qt.KeyboardModifier.ControlModifier)
    assert driver.session.selected is not None


def test_keys_go_back(driver: Driver, window: SettingsWindow) -> None:
    page = cast("KeysPage", window.pages["Keys"])
    page.table.setCurrentCell(row_of("accept"), 0)
    page.edit.setKeySequence(QKeySequence("Ctrl+J"))
    page._changed()
    page.back.click()
    assert driver.session.settings.keys == {}
    page._put("")
    assert driver.session.settings.keys == {"accept": ""}
    assert driver.window.actions_by_id["accept"].shortcuts() == []
    page.all_back.click()
    assert driver.session.settings.keys == {}
    assert driver.window.actions_by_id["accept"].shortcuts() == [QKeySequence("A")]


def test_a_server_is_kept_when_it_makes_sense(driver: Driver, window: SettingsWindow) -> None:
    page = cast("ServerPage", window.pages["Server"])
    window.tabs.setCurrentWidget(page)
    page.test.click()
    assert page.told.text() == "Name the server first."
    page.policy.setCurrentIndex(2)
    page.keep.click()
    assert page.told.text() == "This cannot be: “url” is missing."
    QTest.keyClicks(page.fields["url"], "grpc://127.0.0.1:9")
    page.keep.click()
    assert "next" in page.told.text()
    assert (kept().remote.url, kept().remote.policy) == ("grpc://127.0.0.1:9", "hybrid")
    page.test.click()
    assert page.told.text() == "Asking …"
    driver.until(lambda: page.test.isEnabled())
    assert "not served" in page.told.text()
