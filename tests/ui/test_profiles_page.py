"""Profiles in the settings: built-in ones to look at, one's own ticked together, named, copied and taken away."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QAbstractButton, QCheckBox

from overread import paths
from overread.session import settings as settings_file
from overread.session.products import PRODUCTS
from overread.session.profiles import profiles
from overread.ui.profiles_page import ProfilesPage
from support.window import Driver
from ui.test_receivers import opened

THEATRE = '[nodes.OR]\nhost = "h"\nprofile = "theatre"\n[profiles]\ntheatre = ["sr", "hologram"] # ours\n'


@pytest.fixture
def page(driver: Driver) -> Iterator[ProfilesPage]:
    window = opened(driver)
    window.tabs.setCurrentWidget(window.of_profiles)
    yield window.of_profiles
    with suppress(RuntimeError):
        window.close()


def kept() -> settings_file.Settings:
    def fail(error: Exception) -> None:
        raise error

    return settings_file.load(paths.config() / "settings.toml", fail)


def choose(page: ProfilesPage, name: str) -> None:
    item = page.list.item(page.names.index(name))
    QTest.mouseClick(page.list.viewport(), Qt.MouseButton.LeftButton, pos=page.list.visualItemRect(item).center())
    assert page.chosen == name


def press(button: QAbstractButton) -> None:
    assert button.isEnabled()
    at = QPoint(10, button.height() // 2) if isinstance(button, QCheckBox) else QPoint()
    QTest.mouseClick(button, Qt.MouseButton.LeftButton, pos=at)


def ticked(page: ProfilesPage) -> set[str]:
    return {name for name, box in page.boxes.items() if box.isChecked()}


def test_built_in_ones_are_shown_and_stay_as_they_are(driver: Driver, page: ProfilesPage) -> None:
    assert {name: box.text() for name, box in page.boxes.items()} == {p.name: p.title for p in PRODUCTS}
    for name, held in profiles({}).items():
        choose(page, name)
        assert ticked(page) == set(held)
        assert page.name.isReadOnly()
        assert not any(box.isEnabled() for box in page.boxes.values())
        assert not page.remove.isEnabled()
    assert driver.session.settings.profiles == {}


def test_a_copy_is_ticked_named_and_offered_to_receivers(driver: Driver, page: ProfilesPage) -> None:
    choose(page, "pacs")
    press(page.copy)
    assert page.chosen == "my pacs"
    assert page.name.hasFocus()
    QTest.keyClicks(page.name, "cellar")
    QTest.keyClick(page.name, Qt.Key.Key_Return)
    press(page.boxes["pdf"])
    press(page.boxes["rtstruct"])
    wanted = {"cellar": ("seg", "sr", "rtstruct", "gsps", "ko")}
    assert driver.session.settings.profiles == kept().profiles == wanted
    form = page.window().to_receivers.form  # type: ignore[attr-defined]
    assert form.profile.findText("cellar") >= 0
    press(page.add)
    assert (page.chosen, ticked(page)) == ("my profile", set())
    press(page.add)
    assert page.chosen == "my profile 2"
    press(page.remove)
    choose(page, "my profile")
    press(page.remove)
    assert kept().profiles == wanted
    assert form.profile.findText("my profile") < 0


@pytest.fixture
def theatre() -> None:
    paths.config().mkdir(parents=True, exist_ok=True)
    (paths.config() / "settings.toml").write_text(THEATRE, "utf-8")


@pytest.mark.usefixtures("theatre")
class TestUsed:
    """A profile that a receiver names."""

    def test_it_is_renamed_with_the_receiver_that_names_it(self, driver: Driver, page: ProfilesPage) -> None:
        choose(page, "theatre")
        page.name.setFocus()
        page.name.selectAll()
        QTest.keyClicks(page.name, "pacs")
        QTest.keyClick(page.name, Qt.Key.Key_Return)
        assert "another pacs" in page.told.text()
        assert page.name.text() == "theatre"
        page.name.selectAll()
        QTest.keyClicks(page.name, "navigator")
        QTest.keyClick(page.name, Qt.Key.Key_Return)
        press(page.boxes["seg"])
        assert kept().profiles == {"navigator": ("seg", "sr", "hologram")}, "what another version has stays"
        assert [node.profile for node in kept().nodes] == ["navigator"]
        assert "# ours" in (paths.config() / "settings.toml").read_text("utf-8")

    def test_it_is_not_taken_away(self, driver: Driver, page: ProfilesPage) -> None:
        choose(page, "theatre")
        press(page.remove)
        assert page.told.text() == "OR opens it: choose another profile there first."
        assert driver.session.settings.profiles == {"theatre": ("sr", "hologram")}
