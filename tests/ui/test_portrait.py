"""The selected finding's card: numbers and pictures of it as it is now, and never a stale one that looks fresh."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication

from overread.domain.finding import Status
from overread.domain.geometry import Plane
from overread.imaging.compare import agreement
from overread.imaging.figures import figures
from overread.ui.portrait_view import PortraitView, values_text
from support.crowd import Crowd, CrowdDetector
from support.window import Driver


@pytest.fixture
def driver(driver_of: Callable[..., Driver], tmp_path: Path) -> Driver:
    driver = driver_of(models=0, size=(1600, 960))
    crowd = Crowd(2, 2)
    driver.open(crowd.write(tmp_path / "ct", "1.2.3.77", "LUNG AX"))
    arrived: list[int] = []
    driver.session.run_plugin(CrowdDetector({"LUNG AX": crowd}), arrived.append)
    driver.until(lambda: bool(arrived))
    return driver


def portrait(driver: Driver) -> PortraitView:
    card = driver.window.findings_panel.list.card
    assert card is not None
    assert card.portrait is not None
    return card.portrait


def test_the_card_shows_numbers_in_real_units_and_three_planes(driver: Driver) -> None:
    driver.key(Qt.Key.Key_N)
    driver.until(lambda: portrait(driver).fresh)
    finding, image = driver.session.selected, driver.session.image
    assert finding is not None
    assert image is not None
    found = figures(finding.mask, image.volume)
    assert found is not None
    assert found.values is not None
    assert (found.values.mean, found.values.sd, found.values.units) == (300.0, 0.0, "HU")
    text = portrait(driver).numbers.text()
    assert values_text(found.values) == "mean 300   SD 0   300 to 300   HU"
    assert values_text(found.values) in text
    assert f"{found.long_3d_mm:.1f} × {found.short_3d_mm:.1f} mm in space" in text
    pictures = portrait(driver).crops._pictures
    assert set(pictures) == set(Plane)
    for picture in pictures.values():
        middle = picture[len(picture) // 2, len(picture) // 2].astype(int)
        assert middle.min() > 120, "the bright ball is in the middle of every plane"
        amber = np.abs(picture.astype(int) - (0xF5, 0xB8, 0x3D)).max(axis=-1) < 60
        assert amber.sum() > 20, "its outline is drawn"


def test_numbers_follow_a_stroke_and_are_dimmed_until_they_do(driver: Driver) -> None:
    driver.key(Qt.Key.Key_N)
    driver.until(lambda: portrait(driver).fresh)
    finding, image, pane = driver.session.selected, driver.session.image, driver.pane()
    assert finding is not None
    assert image is not None
    before = portrait(driver).numbers.text()
    driver.key(Qt.Key.Key_B)
    driver.until(lambda: portrait(driver).fresh)
    k, j, i = driver.session.view.cursor
    QTest.mousePress(pane, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, driver.point((k, j, i)))
    QTest.mouseMove(pane, driver.point((k, j, i + 9)))
    QApplication.processEvents()
    assert not portrait(driver).fresh, "a number of before looks like one of now"
    assert "#5A6672" in portrait(driver).numbers.styleSheet()
    driver.until(lambda: portrait(driver).fresh)
    assert driver.window.desk.drawing, "while the pen is still down"
    live = portrait(driver).numbers.text()
    assert live != before
    QTest.mouseRelease(pane, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, driver.point((k, j, i + 9)))
    driver.until(lambda: portrait(driver).fresh)
    edited = driver.session.selected
    assert edited is not None
    assert edited.status is Status.EDITED
    assert edited.original == finding.mask, "what the model drew is never changed"
    compared = agreement(finding.mask, edited.mask, image.stack.grid)
    assert f"Dice {compared.dice:.3f}" in portrait(driver).numbers.text()
    card = driver.window.findings_panel.list.card
    assert card is not None
    driver.until(lambda: card.height() == card.heightForWidth(card.width()), timeout=5_000)
    driver.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    driver.until(lambda: portrait(driver).fresh)
    assert portrait(driver).numbers.text() == before


def test_what_has_no_units_says_so(driver: Driver) -> None:
    image = driver.session.image
    assert image is not None
    found = figures(driver.session.shown_findings[0].mask, image.volume)
    assert found is not None
    assert found.values is not None
    assert values_text(replace(found.values, units="", sd=None)).endswith("no units")
    assert "SD" not in values_text(replace(found.values, sd=None))
