"""Receivers in the settings: typed in, asked, tried, changed and taken away with the mouse and the keyboard."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import requests
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QAbstractButton, QApplication, QComboBox, QLineEdit, QSpinBox

from overread import paths
from overread.network.nodes import Node
from overread.ui.receivers_page import ReceiversPage
from overread.ui.settings_window import SettingsWindow
from support.orthanc import Orthanc
from support.servers import free_port
from support.window import Driver

BY_HAND = """reader = "Ada Lovelace" # me
[nodes.PACS] # the large one
host = "127.0.0.1" # cellar
port = 9
colour = "of a later version"
"""


def settings_path() -> Path:
    return paths.config() / "settings.toml"


def kept() -> dict[str, object]:
    return tomllib.loads(settings_path().read_text("utf-8"))


@pytest.fixture
def by_hand() -> None:
    paths.config().mkdir(parents=True, exist_ok=True)
    settings_path().write_text(BY_HAND, "utf-8")


def opened(driver: Driver) -> SettingsWindow:
    driver.until(driver.window.isActiveWindow)
    driver.key(Qt.Key.Key_Comma, Qt.KeyboardModifier.ControlModifier)
    (window,) = (w for w in QApplication.topLevelWidgets() if isinstance(w, SettingsWindow) and w.isVisible())
    window.activateWindow()
    driver.until(window.isActiveWindow)
    bar = window.tabs.tabBar()
    tab = next(n for n in range(bar.count()) if bar.tabText(n) == "Receivers")
    QTest.mouseClick(bar, Qt.MouseButton.LeftButton, pos=bar.tabRect(tab).center())
    driver.until(lambda: bool(window.of_profiles.boxes))
    return window


@pytest.fixture
def page(driver: Driver) -> Iterator[ReceiversPage]:
    window = opened(driver)
    yield window.to_receivers
    with suppress(RuntimeError):
        window.close()


def press(button: QAbstractButton) -> None:
    assert button.isEnabled()
    QTest.mouseClick(button, Qt.MouseButton.LeftButton)


def write(page: ReceiversPage, field: str, text: str) -> None:
    """Type into a field, over what stands there."""
    widget = page.form.fields[field]
    assert isinstance(widget, QLineEdit | QSpinBox)
    widget.setFocus()
    widget.selectAll()
    QTest.keyClicks(widget, text)


def pick(combo: QComboBox, words: str) -> None:
    """Choose an entry by its first letters, as keys do it."""
    combo.setFocus()
    if not combo.currentText().startswith(words):  # else its first letter goes on to the next one
        QTest.keyClicks(combo, words)
    assert combo.currentText().startswith(words)


def choose(page: ReceiversPage, name: str) -> None:
    (item,) = page.list.findItems(name, Qt.MatchFlag.MatchExactly)
    QTest.mouseClick(page.list.viewport(), Qt.MouseButton.LeftButton, pos=page.list.visualItemRect(item).center())


def test_a_receiver_is_typed_in_asked_and_sent_a_test_packet(
    driver: Driver, page: ReceiversPage, pacs: Orthanc, qtbot: object
) -> None:
    press(page.add)
    assert page.form.fields["name"].hasFocus()
    QTest.keyClicks(page.form.fields["name"], "Cellar")
    pick(page.form.profile, "standard")
    write(page, "host", "127.0.0.1")
    write(page, "port", str(pacs.dicom))
    write(page, "ae_title", "WRONG")
    press(page.ask)
    driver.until(page.ask.isEnabled)
    assert "Cellar" in page.told.text()
    assert "answers" not in page.told.text(), "it was asked with what the fields say, before anything is kept"
    write(page, "ae_title", "ORTHANC")
    press(page.ask)
    driver.until(page.ask.isEnabled)
    assert page.told.text().startswith("Cellar answers, in ")
    assert not page.packet.isEnabled(), "what waits in the outbox goes to what is kept"
    press(page.keep)
    assert page.told.text() == "Kept; it holds at once."
    wanted = Node("Cellar", host="127.0.0.1", port=pacs.dicom, ae_title="ORTHANC", profile="standard")
    assert driver.session.settings.nodes == (wanted,)
    held = {"kind": "dimse", "host": "127.0.0.1", "port": pacs.dicom, "ae_title": "ORTHANC", "profile": "standard"}
    assert kept()["nodes"] == {"Cellar": held}
    press(page.packet)
    driver.until(lambda: page.told.text().startswith("The test packet: sent."), timeout=300_000)  # the study is made
    assert "WHAT-TO-SEE.txt" in page.told.text()
    arrived = requests.get(f"{pacs.url}/instances?expand", timeout=30).json()
    kinds = [requests.get(f"{pacs.url}/instances/{one['ID']}/simplified-tags", timeout=30).json() for one in arrived]
    assert sorted({kind["Modality"] for kind in kinds}) == ["MR", "SEG", "SR"], "its profile says what it opens"


def test_a_service_on_the_web_has_other_fields(driver: Driver, page: ReceiversPage, pacs: Orthanc) -> None:
    press(page.add)
    QTest.keyClicks(page.form.fields["name"], "Web")
    assert page.form.fields["host"].isVisible()
    assert not page.form.fields["url"].isVisible()
    pick(page.form.kind, "DICOMweb")
    assert not page.form.fields["host"].isVisible()
    write(page, "url", f"{pacs.url}/dicom-web")
    press(page.ask)
    driver.until(page.ask.isEnabled)
    assert page.told.text().startswith("Web answers, in ")
    press(page.keep)
    assert kept()["nodes"] == {"Web": {"kind": "dicomweb", "url": f"{pacs.url}/dicom-web"}}


@pytest.mark.parametrize(
    ("kind", "typed", "field", "said"),
    [
        ("DICOM (", {"host": "h"}, "name", "“Name”: Give it a name"),
        ("DICOM (", {"name": "X"}, "host", "“Machine”: Name the machine"),
        ("DICOM (", {"name": "X", "host": "https://h"}, "host", "“Machine”: Name the machine"),
        ("DICOM (", {"name": "X", "host": "h", "ae_title": "A\\B"}, "ae_title", "“Its AE title”: Give 1 to 16"),
        ("DICOM (", {"name": "X", "host": "h", "ca": "/x.pem"}, "ca", "“Whom to trust (PEM)”: It means nothing"),
        ("DICOMweb", {"name": "X", "url": "h/x"}, "url", "“Address”: Write https://"),
        ("DICOMweb", {"name": "X", "url": "http://h/x", "token_env": "T"}, "url", "“Address”: Write https://"),
        ("DICOMweb", {"name": "X", "url": "https://h/x", "cert": "/x"}, "key", "“… and its key (PEM)”: It needs"),
        ("DICOMweb", {"name": "X", "url": "https://h/x", "token_file": "/nowhere"}, "token_file", "no file /nowhere"),
    ],
)
def test_what_makes_no_sense_names_the_field_and_what_to_do(
    driver: Driver, page: ReceiversPage, kind: str, typed: dict[str, str], field: str, said: str
) -> None:
    press(page.add)
    pick(page.form.kind, kind)
    for name, text in typed.items():
        write(page, name, text)
    press(page.keep)
    assert said in page.told.text()
    assert page.form.fields[field].hasFocus()
    assert driver.session.settings.nodes == ()
    assert not settings_path().exists() or "nodes" not in kept()


@pytest.mark.usefixtures("by_hand")
def test_changed_renamed_and_taken_away_the_file_keeps_the_rest(driver: Driver, page: ReceiversPage) -> None:
    assert page.list.item(0).text() == "PACS"
    write(page, "host", "10.0.0.5")
    press(page.keep)
    write(page, "name", "Large")
    press(page.keep)
    assert kept()["nodes"] == {"Large": {"host": "10.0.0.5", "port": 9, "colour": "of a later version"}}
    text = settings_path().read_text("utf-8")
    assert all(words in text for words in ("# me", "# the large one", "# cellar"))
    press(page.add)
    write(page, "name", "Large")
    write(page, "host", "h")
    press(page.keep)
    assert "There is another Large already." in page.told.text()
    write(page, "name", "Small")
    press(page.keep)
    choose(page, "Large")
    press(page.remove)
    assert [node.name for node in driver.session.settings.nodes] == ["Small"]
    assert kept()["nodes"] == {"Small": {"kind": "dimse", "host": "h"}}
    assert page.form.node().name == "Small"


@pytest.mark.usefixtures("by_hand")
def test_a_file_that_was_broken_meanwhile_is_told_and_stays(driver: Driver, page: ReceiversPage) -> None:
    broken = BY_HAND + "[nodes.PACS"
    settings_path().write_text(broken, "utf-8")
    write(page, "host", "10.0.0.5")
    press(page.keep)
    assert "could not be written" in page.told.text()
    assert "is damaged, so nothing was saved" in driver.window.notice.title.text()
    assert settings_path().read_text("utf-8") == broken


@pytest.mark.usefixtures("by_hand")
def test_one_for_whom_something_waits_stays(driver: Driver, page: ReceiversPage, study: Path) -> None:
    write(page, "port", str(free_port()))
    press(page.keep)
    page.sending.queue(driver.session.settings.nodes[0], sorted(study.iterdir())[:1], lambda packet: None)
    driver.until(lambda: any(packet.open for packet in page.sending.packets))
    press(page.remove)
    assert "1 packet waits for PACS" in page.told.text()
    write(page, "name", "Other")
    press(page.keep)
    assert "1 packet waits for PACS" in page.told.text()
    assert [node.name for node in driver.session.settings.nodes] == ["PACS"]


def test_what_is_kept_shows_in_the_export_drawer_at_once(
    driver_of: Callable[..., Driver], study: Path, tmp_path: Path
) -> None:
    driver = driver_of()
    driver.open(study)
    driver.read()
    driver.key(Qt.Key.Key_N)
    driver.key(Qt.Key.Key_A)
    driver.key(Qt.Key.Key_E, Qt.KeyboardModifier.ControlModifier)
    drawer = driver.window.findings_panel.export_panel
    driver.until(drawer.go.isEnabled)
    assert not drawer.receiver.isVisible()
    window = opened(driver)
    page = window.to_receivers
    press(page.add)
    write(page, "name", "Theatre")
    write(page, "host", "127.0.0.1")
    pick(page.form.profile, "navigation")
    press(page.keep)
    assert drawer.receiver.isVisible()
    assert (drawer.receiver.currentText(), drawer.kinds.profile.currentText()) == ("Theatre", "navigation")
    ticked = {name for name, box in drawer.kinds.boxes.items() if box.isChecked()}
    assert ticked == {"seg", "rtstruct", "fused", "sc-series"}
    drawer.kinds.choose("standard")
    drawer.name.setText("Ada Lovelace")
    drawer.folder.setText(str(tmp_path / "out"))
    drawer.start()
    row = driver.window.outgoing.row
    driver.until(row.isVisible)
    assert row.go.text() == "Send to Theatre…"
    # Without a receiver nothing asks to send, and the ticks stay as they are.
    pick(drawer.receiver, "files")
    assert not row.isVisible()
    assert drawer.kinds.profile.currentText() == "standard"
    QTest.keyClick(drawer.receiver, Qt.Key.Key_Home)
    assert row.isVisible()
    assert drawer.kinds.profile.currentText() == "navigation"
    press(page.remove)
    assert not drawer.receiver.isVisible()
    assert not row.isVisible()
    window.close()
