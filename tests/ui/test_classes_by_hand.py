"""A class confirmed, turned over, renamed; its heatmap chosen, faded, and never the first thing to be seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import ComputedRadiographyImageStorage
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QLabel, QPushButton

from overread import paths
from overread.domain.finding import Finding, Status
from support.series import changed, write_series
from support.tiny import sides_model
from support.window import Driver, pixels

CTRL, SHIFT = Qt.KeyboardModifier.ControlModifier, Qt.KeyboardModifier.ShiftModifier
RIGHT, LEFT = (0, 40, 48), (0, 40, 10)


def radiograph(folder: Path) -> Path:
    """A radiograph whose right half is bright."""
    voxels = np.full((1, 80, 64), 100, np.uint16)
    voxels[:, :, 32:] = 900
    (path,) = write_series(folder, voxels, description=folder.name, WindowCenter=500, WindowWidth=1000)
    changed(path, ImagePositionPatient=None, ImageOrientationPatient=None, FrameOfReferenceUID=None)
    image = pydicom.dcmread(path)
    image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
    image.Modality, image.PixelSpacing = "CR", [0, 0]
    image.save_as(path)
    return folder


@pytest.fixture
def driver(driver_of: Callable[..., Driver], tmp_path: Path) -> Driver:
    sides_model(paths.data() / "models", "glioma-flair")
    driver = driver_of(models=0, size=(1920, 1080))
    driver.open(radiograph(tmp_path / "cr"))
    driver.read()
    return driver


def chosen(driver: Driver) -> Finding:
    finding = driver.session.selected
    assert finding is not None
    return finding


def said(driver: Driver) -> str:
    card = driver.window.findings_panel.list.card
    assert card is not None
    return " | ".join(widget.text() for kind in (QLabel, QPushButton) for widget in card.findChildren(kind))


def colour(driver: Driver, place: tuple[int, int, int]) -> int:
    """How far a place of the picture is from grey."""
    at: QPoint = driver.point(place)
    values = [int(part) for part in pixels(driver.pane())[at.y(), at.x()]]
    return max(values) - min(values)


def test_the_reader_turns_a_class_over(driver: Driver) -> None:
    session = driver.session
    driver.key(Qt.Key.Key_N)
    first = chosen(driver)
    assert "probability" in said(driver)
    assert "above threshold 0.50" in said(driver)
    assert "not calibrated" in said(driver), "this model's manifest tells of no calibration"
    assert "Say absent  Y" in said(driver)
    driver.key(Qt.Key.Key_Y)
    turned = chosen(driver)
    assert (turned.positive, turned.present, turned.status) == (False, False, Status.EDITED)
    assert (turned.score, turned.heatmap) == (first.score, first.heatmap), "what the model said stays"
    assert session.undo_label == "Bright is absent"
    assert "absent, says the reader; the model: above threshold 0.50" in said(driver)
    assert "Restore" in said(driver)
    driver.window.trigger("restore")
    assert (chosen(driver).positive, chosen(driver).status) == (True, Status.PROPOSED)
    driver.key(Qt.Key.Key_Z, CTRL)
    assert chosen(driver) == turned


def test_the_reader_calls_it_something_else(driver: Driver) -> None:
    driver.key(Qt.Key.Key_N)
    driver.key(Qt.Key.Key_L, CTRL)
    finder = driver.window.term_finder
    QTest.keyClicks(finder.field, "pneumonia")
    QTest.keyClick(finder.field, Qt.Key.Key_Return)
    named = chosen(driver)
    assert (named.label, named.concept.value, named.positive) == ("Pneumonia", "233604007", True)
    assert named.proposed is not None
    assert named.proposed.label == "Bright"
    assert f"probability {named.score:.2f} of Bright" in said(driver)
    assert "present, says the reader" in said(driver)
    driver.key(Qt.Key.Key_X)
    driver.window.desk.reject("not a lesion")
    rejected = next(f for f in driver.session.shown_findings if f.id == named.id)
    assert (rejected.status, rejected.label) == (Status.REJECTED, "Pneumonia")


def test_the_heatmap_of_each_class_and_its_strength(driver: Driver) -> None:
    session, bar = driver.session, driver.window.findings_panel.heat_bar
    assert not bar.isVisible()
    driver.key(Qt.Key.Key_N)
    assert bar.isVisible()
    assert [bar.classes.itemText(n).split("  ")[0] for n in range(bar.classes.count())] == ["Bright", "Dark"]
    assert bar.how.text().endswith("8 × 8 cells")
    assert "layer" in bar.how.text()
    strong = colour(driver, RIGHT)
    assert strong > 40
    assert colour(driver, LEFT) < 5

    bar.opacity.setValue(20)
    assert session.view.heat_opacity == 0.2
    assert 5 < colour(driver, RIGHT) < 0.6 * strong
    assert bar.percent.text() == "20 %"
    bar.opacity.setValue(65)
    assert colour(driver, RIGHT) == strong

    driver.key(Qt.Key.Key_H, SHIFT)
    assert chosen(driver).label == "Dark"
    assert bar.classes.currentText().startswith("Dark")
    assert colour(driver, RIGHT) < 5
    assert colour(driver, LEFT) > 40
    bar.classes.activated.emit(0)
    assert chosen(driver).label == "Bright"
    driver.key(Qt.Key.Key_H)
    assert not bar.isVisible()
    assert colour(driver, RIGHT) == 0


def test_no_heatmap_before_the_reader_has_looked_at_the_image(driver: Driver, tmp_path: Path) -> None:
    """The models are done and heatmaps are on: still the image comes first, opened anew or come back to."""
    session, desk = driver.session, driver.window.desk
    assert session.view.heatmap
    assert all(finding.heatmap is not None for finding in session.shown_findings)
    assert session.view.selected is None
    assert colour(driver, RIGHT) == 0
    driver.key(Qt.Key.Key_N)
    assert colour(driver, RIGHT) > 40, "asked for, by choosing the finding"

    # Away and back: nothing is selected, the plain image is there first.
    image = session.image
    assert image is not None
    stack = image.stack
    session.close_image()
    session.select(stack)
    driver.until(lambda: driver.loaded)
    assert session.view.selected is None
    assert colour(driver, RIGHT) == 0

    # A finding chosen while the image is not on the screen yet: the first picture is plain all the same.
    desk.first_look.__init__(desk.explained.emit)  # type: ignore[misc]
    bright = session.shown_findings[0]
    pane = driver.pane()
    assert desk.heatmap(bright, pane.plane, 0) is None
    session.set_view(replace(session.view, selected=bright.id))
    assert not driver.window.findings_panel.heat_bar.isVisible()
    pane.repaint()
    assert pane._heatmap is None, "this picture was painted without"
    assert desk.first_look.over(stack.uid)
    assert colour(driver, RIGHT) > 40
    assert driver.window.findings_panel.heat_bar.isVisible()
