"""Lengths, diameters, angles and regions drawn with the mouse; asserted on numbers, in mm and in pixels."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import ComputedRadiographyImageStorage
from PySide6.QtCore import QEvent, QPoint, QPointF, Qt
from PySide6.QtGui import QMouseEvent
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QLabel

from overread.domain.finding import Finding, Kind, Status
from overread.domain.geometry import Plane
from overread.domain.measurement import Measurement
from overread.domain.ruler import Scale
from overread.domain.view import Tool
from overread.render.measures import middle_of, overlaps
from overread.ui import captions, marks
from support.series import changed, write_series
from support.window import Driver, near, pixels

VIOLET = (0x9B, 0x8C, 0xFF)
CTRL, SHIFT, NONE = (
    Qt.KeyboardModifier.ControlModifier,
    Qt.KeyboardModifier.ShiftModifier,
    Qt.KeyboardModifier.NoModifier,
)


@pytest.fixture
def driver(driver_of: Callable[..., Driver], tmp_path: Path) -> Driver:
    """A CT whose pixels are 0.5 mm high and 1 mm wide, 2 mm from slice to slice, with a block of 100 HU."""
    voxels = np.zeros((10, 96, 64), np.int16)
    voxels[:, 40:60, 20:40] = 100
    write_series(tmp_path / "ct", voxels, modality="CT", spacing=(0.5, 1.0), step=2.0, WindowCenter=50, WindowWidth=400)
    driver = driver_of(models=0)
    driver.open(tmp_path / "ct")
    return driver


def chosen(driver: Driver) -> tuple[Finding, Measurement]:
    finding = driver.session.selected
    assert finding is not None
    assert finding.measurement is not None
    return finding, finding.measurement


def numbers(made: Measurement) -> list[float]:
    return [value.number for value in made.values]


def drawn(driver: Driver, *places: tuple[float, float]) -> None:
    k = driver.session.view.cursor[0]
    first, *others = [driver.point((k, *place)) for place in places]
    driver.drag([first, *others])


def hovered(driver: Driver, place: QPoint) -> None:
    pane, nothing = driver.pane(), Qt.MouseButton.NoButton
    at, on_screen = QPointF(place), QPointF(pane.mapToGlobal(place))
    QApplication.sendEvent(pane, QMouseEvent(QEvent.Type.MouseMove, at, on_screen, nothing, nothing, NONE))


def pixel_mm(driver: Driver) -> float:
    """How long a pixel of the screen is: what the mouse can aim at."""
    return float(1 / driver.pane().logical_pixels_per_mm)


def test_a_length_is_drawn_moved_deleted_and_undone(driver: Driver) -> None:
    session = driver.session
    driver.key(Qt.Key.Key_T)
    assert session.view.tool is Tool.LENGTH
    drawn(driver, (20.0, 10.0), (40.0, 20.0), (60.0, 25.0))  # 20 mm down, 15 mm across
    finding, made = chosen(driver)
    assert (finding.kind, finding.status, session.undo_label) == (Kind.MEASUREMENT, Status.EDITED, "Measure Length 1")
    assert numbers(made)[0] == pytest.approx(25.0, abs=2 * pixel_mm(driver))
    assert (made.plane, made.index, made.scale) == (Plane.AXIAL, session.view.cursor[0], Scale.PATIENT)
    middle = driver.point((made.index, 40.0, 17.5))
    assert near(pixels(driver.pane())[middle.y() - 3 : middle.y() + 4, middle.x() - 3 : middle.x() + 4], VIOLET).any()

    # Lay the tool down, pull one end 10 mm further down, then carry it by its line.
    driver.key(Qt.Key.Key_T)
    drawn(driver, (60.0, 25.0), (70.0, 25.0), (80.0, 25.0))
    _, longer = chosen(driver)
    assert longer.points[0] == made.points[0]
    assert numbers(longer)[0] == pytest.approx(math.hypot(30, 15), abs=2 * pixel_mm(driver))
    assert session.undo_label == "Change Length 1"
    drawn(driver, (50.0, 17.5), (50.0, 20.0), (50.0, 27.5))
    _, carried = chosen(driver)
    assert np.allclose(np.subtract(carried.points, longer.points), (0, 0, 10), atol=2 * pixel_mm(driver))
    assert numbers(carried) == pytest.approx(numbers(longer), abs=0.011)

    # On its slice alone.
    driver.key(Qt.Key.Key_Down)
    pixels(driver.pane())
    assert driver.pane()._measures == []
    driver.key(Qt.Key.Key_Up)
    driver.key(Qt.Key.Key_Delete)
    assert session.shown_findings == ()
    for label in ("Delete Length 1", "Change Length 1", "Change Length 1", "Measure Length 1"):
        assert session.undo_label == label
        driver.key(Qt.Key.Key_Z, CTRL)
    assert session.shown_findings == ()
    driver.key(Qt.Key.Key_Y, CTRL)
    assert session.shown_findings[0].measurement == made


def test_two_diameters_stay_at_right_angles(driver: Driver) -> None:
    driver.key(Qt.Key.Key_T, SHIFT)
    drawn(driver, (40.0, 10.0), (40.0, 20.0), (40.0, 50.0))  # 40 mm across
    _, made = chosen(driver)
    assert numbers(made) == pytest.approx([40.0, 20.0], abs=2 * pixel_mm(driver))
    driver.key(Qt.Key.Key_T, SHIFT)
    end = made.points[3]
    drawn(driver, (end[1], end[2]), (end[1], end[2] - 4), (end[1] + 8 * np.sign(end[1] - 40), end[2]))
    _, wider = chosen(driver)
    assert numbers(wider) == pytest.approx([40.0, 24.0], abs=3 * pixel_mm(driver))
    grid = driver.session.image.stack.grid
    a, b, c, d = wider.lps(grid)
    assert abs((b - a) @ (d - c)) < 1e-6


def test_an_angle_has_two_arms(driver: Driver) -> None:
    session = driver.session
    driver.key(Qt.Key.Key_V)
    k = session.view.cursor[0]
    drawn(driver, (40.0, 10.0), (40.0, 20.0), (40.0, 30.0))  # an arm of 20 mm along the row, vertex at its end
    assert session.shown_findings == ()
    assert driver.window.desk.measures.aiming
    hovered(driver, driver.point((k, 70.0, 30.0)))
    live = driver.window.desk.measures.draft
    assert live is not None
    assert live.measurement is not None
    assert numbers(live.measurement)[0] == pytest.approx(90.0, abs=2.0)
    QTest.mouseClick(driver.pane(), Qt.MouseButton.LeftButton, NONE, driver.point((k, 0.0, 10.0)))
    _, made = chosen(driver)
    assert numbers(made)[0] == pytest.approx(45.0, abs=1.0), "20 mm back and 20 mm up"
    assert not driver.window.desk.measures.aiming


def test_escape_drops_an_angle_that_waits(driver: Driver) -> None:
    driver.key(Qt.Key.Key_V)
    drawn(driver, (40.0, 10.0), (40.0, 30.0))
    driver.key(Qt.Key.Key_Escape)
    assert not driver.window.desk.measures.aiming
    assert driver.session.shown_findings == ()
    assert driver.session.view.tool is Tool.ANGLE, "the tool is still in the hand"


def test_a_region_has_real_values(driver: Driver) -> None:
    session = driver.session
    driver.key(Qt.Key.Key_V, SHIFT)
    drawn(driver, (44.0, 24.0), (50.0, 30.0), (56.0, 36.0))  # within the block: 6 mm by 12 mm
    finding, made = chosen(driver)
    area, mean, deviation, least, greatest = numbers(made)
    assert area == pytest.approx(math.pi * 3 * 6, rel=0.1)
    assert (mean, deviation, least, greatest) == (100.0, 0.0, 100.0, 100.0)
    card = driver.window.findings_panel.list.card
    assert card is not None
    said = " ".join(label.text() for label in card.findChildren(QLabel))
    assert "mean 100 ± 0 HU" in said
    assert "mm²" in said
    assert "measured by" in said
    driver.key(Qt.Key.Key_V, SHIFT)
    ends = made.points
    drawn(driver, ends[1][1:], (ends[1][1], ends[1][2] + 8), (ends[1][1], ends[1][2] + 20))
    _, wider = chosen(driver)
    assert numbers(wider)[0] > area
    assert numbers(wider)[3] == 0.0, "it reaches beyond the block now"
    assert session.undo_label == f"Change {finding.title}"


def test_in_another_plane_across_the_slices(driver: Driver) -> None:
    driver.key(Qt.Key.Key_P)
    pane, session = driver.pane(), driver.session
    assert session.view.plane is Plane.CORONAL
    driver.key(Qt.Key.Key_T)
    j = session.view.cursor[1]
    driver.drag([driver.point((1.0, j, 20.0)), driver.point((4.0, j, 24.0)), driver.point((7.0, j, 29.0))])
    _, made = chosen(driver)
    assert (made.plane, made.index) == (Plane.CORONAL, j)
    assert numbers(made)[0] == pytest.approx(math.hypot(12.0, 9.0), abs=2 * pixel_mm(driver))
    assert pane.plane is Plane.CORONAL


def test_the_numbers_never_stand_over_the_middle_nor_over_each_other(driver: Driver) -> None:
    session = driver.session
    driver.key(Qt.Key.Key_T)
    for row in (38.0, 48.0, 58.0):
        drawn(driver, (row, 28.0), (row, 36.0))
    pane = driver.pane()
    pixels(pane)
    assert len(session.shown_findings) == len(pane._measures) == 3
    width, height = float(pane.width()), float(pane.height())
    places = captions.measure_places(pane._measures, pane.projection, pane.devicePixelRatioF(), width, height)
    middle = middle_of((width, height))
    for at, place in enumerate(places):
        assert not overlaps(place, middle)
        assert not any(overlaps(place, other) for other in places[:at])
        assert place[0] >= 0
        assert place[0] + place[2] <= width


def test_the_image_says_what_is_in_the_hand(driver: Driver) -> None:
    pane, session = driver.pane(), driver.session
    assert session.image is not None

    def said() -> str:
        return marks.corners(session.image, session.view, pane.projection, "", small=False).top_right[-1]

    plain = said()
    for key, held, words in (
        (Qt.Key.Key_K, NONE, "Box"),
        (Qt.Key.Key_T, NONE, "Length"),
        (Qt.Key.Key_T, SHIFT, "Diameters"),
        (Qt.Key.Key_V, NONE, "Angle"),
        (Qt.Key.Key_V, SHIFT, "Region"),
    ):
        driver.key(key, held)
        assert said().startswith(words)
        if key is Qt.Key.Key_T and held == NONE:
            assert driver.window.top_bar.buttons["length"].isChecked()
    driver.key(Qt.Key.Key_V, SHIFT)
    assert said() == plain


def test_a_click_measures_nothing(driver: Driver) -> None:
    driver.key(Qt.Key.Key_T)
    QTest.mouseClick(driver.pane(), Qt.MouseButton.LeftButton, NONE, driver.point((5, 40.0, 30.0)))
    assert driver.session.shown_findings == ()
    assert driver.session.undo_label == ""


@pytest.mark.parametrize("at_detector", [True, False])
def test_a_radiograph_says_what_its_lengths_are(
    driver_of: Callable[..., Driver], tmp_path: Path, at_detector: bool
) -> None:
    (path,) = write_series(tmp_path / "cr", np.full((1, 80, 64), 500, np.uint16), description="Thorax")
    changed(path, ImagePositionPatient=None, ImageOrientationPatient=None, FrameOfReferenceUID=None)
    image = pydicom.dcmread(path)
    image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
    image.Modality = "CR"
    del image.PixelSpacing
    if at_detector:
        image.ImagerPixelSpacing = [0.2, 0.2]
    image.save_as(path)
    driver = driver_of(models=0)
    driver.open(tmp_path / "cr")
    driver.key(Qt.Key.Key_T)
    driver.drag([driver.point((0, 20.0, 10.0)), driver.point((0, 30.0, 20.0)), driver.point((0, 60.0, 40.0))])
    _, made = chosen(driver)
    (value,) = made.values
    assert value.number == pytest.approx(10.0 if at_detector else 50.0, rel=0.02)
    assert value.unit.value == ("mm" if at_detector else "{pixels}")
    (mark,) = driver.pane()._measures if pixels(driver.pane()).size else ()
    assert mark.lines[0].endswith("mm at detector" if at_detector else "px (no spacing)")
