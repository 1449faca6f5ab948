"""Sending from the window: one question, then the foot of the window and the list tell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import ComprehensiveSRStorage, SegmentationStorage
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel, QMessageBox, QPushButton

from overread import paths
from overread.network.packets import State
from support.scp import receiver
from support.servers import free_port
from support.window import Driver

TAKES = [SegmentationStorage, ComprehensiveSRStorage, "1.2.840.10008.5.1.4.1.1.88.34"]


@pytest.fixture
def node() -> Any:
    """Settings with one receiver, at a port where nobody answers yet."""
    port = free_port()
    paths.config().mkdir(parents=True, exist_ok=True)
    text = f'[nodes.PACS]\nhost = "127.0.0.1"\nport = {port}\nae_title = "RECEIVER"\ntimeout_s = 3\n'
    (paths.config() / "settings.toml").write_text(text, "utf-8")
    return port


def exported(driver: Driver, study: Path, folder: Path) -> None:
    driver.open(study)
    driver.read()
    driver.key(Qt.Key.Key_N)
    driver.key(Qt.Key.Key_A)
    driver.window.trigger("export")
    panel = driver.window.findings_panel.export_panel
    panel.name.setText("Ada Lovelace")
    panel.folder.setText(str(folder))
    driver.until(panel.go.isEnabled)
    panel.start()
    driver.until(lambda: driver.window.outgoing.row.isVisible())


def answer(driver: Driver, word: str) -> str:
    """Press a button of the question; what was asked."""
    driver.window.outgoing.row.go.click()
    (box,) = [box for box in driver.window.findChildren(QMessageBox, "send") if box.isVisible()]
    assert box.isModal()
    text = str(box.text())
    next(button for button in box.buttons() if button.text() == word).click()
    return text


def pressed(driver: Driver, word: str) -> None:
    window = driver.window.outgoing.list
    next(b for b in window.findChildren(QPushButton) if b.text() == word).click()


def test_sending_asks_once_waits_and_arrives(driver_of: Any, node: int, study: Path, tmp_path: Path) -> None:
    driver = driver_of()
    exported(driver, study, tmp_path / "out")
    outgoing = driver.window.outgoing
    asked = answer(driver, "Cancel")
    assert "TEST^ONE to PACS (RECEIVER@127.0.0.1:" in asked
    assert outgoing.sending.packets == ()
    assert outgoing.row.isVisible()
    answer(driver, "Send")
    driver.until(lambda: "1 waits for PACS · next try in" in outgoing.note.text())
    assert outgoing.note.isVisible()
    assert "Nobody answers" in outgoing.sending.packets[0].reason
    outgoing.note.click()
    assert any("Nobody answers" in label.text() for label in outgoing.list.findChildren(QLabel))
    with _at(node) as own:
        pressed(driver, "Try now")
        driver.until(lambda: outgoing.sending.packets[0].state is State.SENT)
        driver.until(lambda: not outgoing.note.isVisible())
        assert len(own.got) == 2
    driver.until(lambda: any(label.text() == "sent." for label in outgoing.list.findChildren(QLabel)))
    pressed(driver, "Remove")
    driver.until(lambda: outgoing.sending.packets == ())
    entries = [entry.verb for entry in driver.session._books.of(driver.session.image.stack.identity).journal.entries()]
    assert entries[-1] == "send"
    outgoing.list.close()


def test_what_is_refused_is_told_in_red(driver_of: Any, node: int, study: Path, tmp_path: Path) -> None:
    driver = driver_of()
    with _at(node) as own:
        own.say = lambda dataset: 0xA900
        exported(driver, study, tmp_path / "out")
        answer(driver, "Send")
        driver.until(lambda: driver.window.outgoing.note.text() == "1 could not be sent")
    assert "does not match its SOP class (0xA900)" in driver.window.outgoing.sending.packets[0].reason


def test_without_receivers_nothing_asks(driver: Driver, study: Path, tmp_path: Path) -> None:
    driver.open(study)
    driver.read()
    driver.key(Qt.Key.Key_N)
    driver.key(Qt.Key.Key_A)
    driver.window.trigger("export")
    panel = driver.window.findings_panel.export_panel
    panel.name.setText("Ada Lovelace")
    panel.folder.setText(str(tmp_path / "out"))
    driver.until(panel.go.isEnabled)
    panel.start()
    driver.until(lambda: (tmp_path / "out").exists() and "checked" in panel.result.text())
    assert not driver.window.outgoing.row.isVisible()
    assert not (paths.data() / "outbox").exists()


def _at(port: int) -> Any:
    return receiver(TAKES, port=port)
