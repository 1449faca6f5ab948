"""Boxes and classes on the screen: what the reader sees of them and does to them, by keys alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
from pydicom.uid import ComputedRadiographyImageStorage
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QLabel, QPushButton

from overread import paths
from overread.domain.finding import Finding, Kind, Status
from overread.domain.view import Tool
from overread.render.boxes import BoxMark
from overread.session.state import Phase
from overread.ui.finding_list import row_texts
from support.series import changed, write_series
from support.tiny import peaks_model, sides_model
from support.window import Driver, near, pixels

AMBER, TEAL = (0xF5, 0xB8, 0x3D), (0x37, 0xC8, 0xA5)


def lung(folder: Path) -> Path:
    """A CT of air with two bright lumps."""
    voxels = np.zeros((8, 96, 96), np.int16)
    voxels[2:5, 30:37, 40:47] = 900
    voxels[6:7, 60:67, 20:27] = 900
    write_series(folder, voxels, modality="CT", step=2.0, description="LUNG", WindowCenter=500, WindowWidth=2000)
    return folder


def radiograph(folder: Path) -> Path:
    """A radiograph without place and spacing whose right half is bright."""
    voxels = np.full((1, 80, 64), 100, np.uint16)
    voxels[:, :, 32:] = 900
    (path,) = write_series(folder, voxels, description="Thorax", WindowCenter=500, WindowWidth=1000)
    changed(path, ImagePositionPatient=None, ImageOrientationPatient=None, FrameOfReferenceUID=None)
    image = pydicom.dcmread(path)
    image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
    image.Modality, image.PixelSpacing = "CR", [0, 0]
    image.save_as(path)
    return folder


def texts(driver: Driver, finding: Finding) -> str:
    view = driver.window.findings_panel.list
    row = next(row for row in view.rows if row.finding == finding)
    if not row.selected:
        return " | ".join(row_texts(row))
    card = view.card
    assert card is not None
    return " | ".join(widget.text() for kind in (QLabel, QPushButton) for widget in card.findChildren(kind))


def test_boxes_are_marked_judged_and_drawn_on(driver_of: Callable[..., Driver], tmp_path: Path) -> None:
    peaks_model(paths.data() / "models", "glioma-flair", contour=True)
    driver = driver_of(models=0, size=(1600, 960))
    driver.open(lung(tmp_path / "ct"))
    driver.read()
    session = driver.session
    found = session.shown_findings
    assert [(f.kind, f.box is not None and f.box[::3]) for f in found] == [
        (Kind.DETECTION, (2, 5)),
        (Kind.DETECTION, (6, 7)),
    ]
    driver.key(Qt.Key.Key_N)
    first = session.selected
    assert first is not None
    assert session.view.cursor[0] in (2, 3, 4)
    picture = pixels(driver.pane())
    (mark,) = driver.pane().boxes_here
    assert mark.text == f"Peak 1  {first.score:.2f}"
    assert amber_on_its_line(driver, mark, picture)
    assert "mm" in texts(driver, first)
    assert f"score {first.score:.2f}" in texts(driver, first)

    # Off with the other findings, and gone on a slice that it does not cross.
    driver.key(Qt.Key.Key_Space)
    assert not amber_on_its_line(driver, mark, pixels(driver.pane()))
    driver.key(Qt.Key.Key_Space)
    driver.key(Qt.Key.Key_Home)
    pixels(driver.pane())
    assert driver.pane().boxes_here == []

    # Accept, undo, edit the outline, reject the other one.
    driver.key(Qt.Key.Key_A)
    assert [f.status for f in session.shown_findings] == [Status.ACCEPTED, Status.PROPOSED]
    assert session.view.cursor[0] == 6, "on to the next"
    driver.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert session.shown_findings == found
    driver.key(Qt.Key.Key_E)
    k = session.view.cursor[0]
    driver.drag([driver.point((k, 70.0, 24.0 + n)) for n in range(0, 9, 2)])
    edited = session.selected
    assert edited is not None
    assert (edited.status, edited.kind, edited.box) == (Status.EDITED, Kind.DETECTION, found[1].box)
    assert edited.mask.voxels[k, 70, 30]
    driver.key(Qt.Key.Key_E)
    driver.window.desk.reject("artefact")
    assert session.shown_findings[1].status is Status.REJECTED


def amber_on_its_line(driver: Driver, mark: BoxMark, picture: np.ndarray) -> bool:
    """Whether at least half of the box's upper line is amber."""
    left, top, right, _ = mark.on_screen(driver.pane().projection)
    line = near(picture[top - 2 : top + 3, left:right], AMBER).any(axis=0)
    return bool(line.mean() > 0.5)


def test_boxes_show_while_the_model_is_still_reading(driver_of: Callable[..., Driver], tmp_path: Path) -> None:
    peaks_model(paths.data() / "models", "glioma-flair")
    driver = driver_of(models=0)
    driver.open(lung(tmp_path / "ct"))
    driver.read()
    session, pane = driver.session, driver.pane()
    assert pane._box_marks(pane.projection), "of the findings"
    session.edit("Take all away", ())
    assert pane._box_marks(pane.projection) == []
    session.runs._set("glioma-flair", phase=Phase.PAUSED)
    fresh = pane._box_marks(pane.projection)
    assert fresh
    assert all(mark.status is Status.PROPOSED and "Peak  0." in mark.text for mark in fresh)


def test_a_class_is_judged_with_its_reason_on_the_image(driver_of: Callable[..., Driver], tmp_path: Path) -> None:
    sides_model(paths.data() / "models", "glioma-flair")
    driver = driver_of(models=0, size=(1920, 1080))
    driver.open(radiograph(tmp_path / "cr"))
    driver.read()
    session = driver.session
    bright, dark = session.shown_findings
    assert (bright.kind, bright.positive, dark.positive) == (Kind.CLASSIFICATION, True, False)
    plain = pixels(driver.pane())
    assert "above threshold 0.50" in texts(driver, bright)
    assert "below threshold 0.90" in texts(driver, dark)

    # The heatmap comes with the reader's choice, not before, and goes with H.
    driver.key(Qt.Key.Key_N)
    assert session.selected == bright
    hot = pixels(driver.pane())
    right, left = driver.point((0, 40, 48)), driver.point((0, 40, 10))
    assert colourful(hot, right) > 40
    assert colourful(plain, right) == 0
    assert colourful(hot, left) < 5, "what is dark does not speak for bright"
    driver.key(Qt.Key.Key_H)
    assert np.array_equal(pixels(driver.pane()), plain)
    driver.key(Qt.Key.Key_H)

    # There is no outline to edit or to erase; the verdict says what is agreed with.
    driver.key(Qt.Key.Key_E)
    assert session.view.tool is Tool.WINDOW
    assert "Accept: present" in texts(driver, bright)
    driver.key(Qt.Key.Key_A)
    assert session.selected == dark
    assert "Accept: absent" in texts(driver, dark)
    driver.key(Qt.Key.Key_A)
    assert [f.status for f in session.shown_findings] == [Status.ACCEPTED] * 2

    # The report leaves alone.
    driver.key(Qt.Key.Key_E, Qt.KeyboardModifier.ControlModifier)
    drawer = driver.window.findings_panel.export_panel
    driver.until(drawer.go.isEnabled)
    assert "Bright present (accepted, 1 heatmap), Dark absent (accepted, 1 heatmap)" in drawer.summary.text()
    assert drawer.go.text() == "Export SR"
    drawer.name.setText("Ada Lovelace")
    drawer.folder.setText(str(tmp_path / "out"))
    QTest.mouseClick(drawer.go, Qt.MouseButton.LeftButton)
    driver.until(lambda: not drawer.result.text().startswith("Writing"))
    (report,) = (tmp_path / "out").glob("*.dcm")
    assert pydicom.dcmread(report).Modality == "SR"
    driver.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert [f.status for f in session.shown_findings] == [Status.ACCEPTED, Status.PROPOSED]


def colourful(picture: np.ndarray, at: QPoint) -> int:
    """How far a place is from grey."""
    red, green, blue = (int(part) for part in picture[at.y(), at.x()])
    return max(red, green, blue) - min(red, green, blue)
