"""The window as a reader meets it: states, keys, panes, pixels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from PySide6.QtGui import QDropEvent, QKeySequence
from PySide6.QtTest import QTest
from PySide6.QtWidgets import QApplication, QLabel

from overread.domain.geometry import Plane
from overread.domain.view import Layout, Tool
from overread.ui import style
from overread.ui.actions import ACTIONS
from support.series import head_like, write_series
from support.window import Driver, near, pixels


def test_nothing_open_says_what_to_do(driver: Driver) -> None:
    assert driver.window.middle.currentWidget() is driver.window.welcome
    texts = " ".join(label.text() for label in driver.window.welcome.findChildren(QLabel))
    assert "Drop a study here" in texts
    assert "Not for clinical use" in texts


def test_every_action_has_its_own_keys() -> None:
    keys = [QKeySequence(key).toString() for action in ACTIONS for key in action.keys]
    assert "" not in keys, "a shortcut that Qt cannot read"
    assert len(keys) == len(set(keys))
    assert len({action.id for action in ACTIONS}) == len(ACTIONS)


def test_every_action_can_be_triggered_with_nothing_open(driver: Driver) -> None:
    skipped = {"quit", "open-folder", "open-files", "demo", "plugins", "full-screen"}
    for action in ACTIONS:
        if action.id not in skipped:
            driver.window.trigger(action.id)
    driver.window.escape()


def test_the_slice_is_on_screen_the_right_way_up(driver: Driver, study: Path) -> None:
    driver.open(study)
    picture = pixels(driver.pane())
    at = driver.point((6.0, 77.0, 80.0))
    spot = picture[at.y() - 4 : at.y() + 4, at.x() - 4 : at.x() + 4]
    assert spot.mean() > 150, "the bright spot is not where the projection says"
    mirrored = driver.point((6.0, 77.0, 48.0))
    assert picture[mirrored.y() - 4 : mirrored.y() + 4, mirrored.x() - 4 : mirrored.x() + 4].mean() < 130


def test_wheel_and_keys_scroll(driver: Driver, study: Path) -> None:
    driver.open(study)
    start = driver.session.view.cursor[0]
    driver.wheel(-2)
    assert driver.session.view.cursor[0] == start + 2
    driver.key(Qt.Key.Key_Up)
    assert driver.session.view.cursor[0] == start + 1
    driver.wheel(-1, Qt.KeyboardModifier.ShiftModifier)
    assert driver.session.view.cursor[0] == 11, "stops at the last slice"
    driver.key(Qt.Key.Key_Home)
    assert driver.session.view.cursor[0] == 0


def test_dragging_windows_and_the_picture_follows(driver: Driver, study: Path) -> None:
    driver.open(study)
    driver.read()
    before, window = pixels(driver.pane()).mean(), driver.session.view.window
    centre = driver.pane().rect().center()
    driver.drag([centre, centre + QPoint(0, 40), centre + QPoint(0, 160)])
    assert driver.session.view.window.center > window.center
    assert pixels(driver.pane()).mean() < before, "a higher level is darker"
    driver.key(Qt.Key.Key_1)
    assert driver.session.view.window.center == window.center


def test_invert_reset_and_fit(driver: Driver, study: Path) -> None:
    driver.open(study)
    driver.read()
    plain = pixels(driver.pane())
    driver.key(Qt.Key.Key_I)
    assert pixels(driver.pane()).mean() > plain.mean()
    driver.wheel(3, Qt.KeyboardModifier.ControlModifier)
    assert driver.session.view.camera(Plane.AXIAL).zoom > 1.4
    driver.key(Qt.Key.Key_R)
    assert np.array_equal(pixels(driver.pane()), plain)


def test_zoom_keeps_what_is_under_the_mouse(driver: Driver, study: Path) -> None:
    driver.open(study)
    pane = driver.pane()
    at = QPointF(pane.width() * 0.3, pane.height() * 0.6)
    before = pane.index_at(at, anywhere=True)
    from overread.ui import looking

    looking.zoom(driver.session, pane.plane, 2.5, pane.anchor_mm(at))
    assert np.allclose(before, pane.index_at(at, anywhere=True), atol=0.6)


def test_three_planes_share_a_crosshair(driver: Driver, study: Path) -> None:
    driver.open(study)
    driver.key(Qt.Key.Key_L)
    assert driver.session.view.layout is Layout.THREE
    assert {pane.plane for pane in driver.window.panes.shown} == set(Plane)
    target = driver.point((6.0, 77.0, 80.0))
    driver.drag([target, target])
    k, j, i = driver.session.view.cursor
    assert (k, round(j), round(i)) == (6, 77, 80)
    for pane in driver.window.panes.shown:
        x, y = pane.projection.to_screen((6.0, 77.0, 80.0))
        picture = pixels(pane)
        spot = picture[round(y) - 3 : round(y) + 3, round(x) - 3 : round(x) + 3]
        assert spot.mean() > 150, f"the spot is not under the crosshair in the {pane.plane.value} plane"


def test_the_model_reads_by_itself_and_its_outline_is_amber_and_dashed(driver: Driver, study: Path) -> None:
    driver.open(study)
    driver.read()
    assert [f.label for f in driver.session.shown_findings] == ["Bright"]
    picture = pixels(driver.pane())
    amber = near(picture, (0xF5, 0xB8, 0x3D))
    assert amber.sum() > 60
    driver.key(Qt.Key.Key_Space)
    assert near(pixels(driver.pane()), (0xF5, 0xB8, 0x3D)).sum() < 10, "findings off leaves none on the image"


def test_review_by_keys_alone(driver: Driver, study: Path) -> None:
    driver.open(study)
    driver.read()
    driver.key(Qt.Key.Key_N)
    finding = driver.session.selected
    assert finding is not None
    assert finding.measures is not None
    assert driver.session.view.cursor[0] == finding.measures.largest_slice
    driver.key(Qt.Key.Key_A)
    assert [f.status.value for f in driver.session.shown_findings] == ["accepted"]
    assert near(pixels(driver.pane()), (0x37, 0xC8, 0xA5)).sum() > 60
    driver.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert [f.status.value for f in driver.session.shown_findings] == ["proposed"]
    driver.key(Qt.Key.Key_Y, Qt.KeyboardModifier.ControlModifier)
    assert [f.status.value for f in driver.session.shown_findings] == ["accepted"]


def test_rejecting_asks_for_a_reason(driver: Driver, study: Path, qtbot: object) -> None:
    driver.open(study)
    driver.read()
    driver.key(Qt.Key.Key_N)
    driver.key(Qt.Key.Key_X)
    driver.until(lambda: QApplication.activePopupWidget() is not None)
    from PySide6.QtTest import QTest

    QTest.keyClick(QApplication.activePopupWidget(), Qt.Key.Key_2)
    driver.until(lambda: QApplication.activePopupWidget() is None)
    (finding,) = driver.session.shown_findings
    assert (finding.status.value, finding.reason) == ("rejected", "vessel")
    assert driver.window.findings_panel.list.rows == (), "rejected findings are hidden unless asked for"
    driver.key(Qt.Key.Key_X, Qt.KeyboardModifier.ShiftModifier)
    assert len(driver.window.findings_panel.list.rows) == 1


def test_brush_draws_where_the_mouse_is_and_is_one_step(driver: Driver, study: Path) -> None:
    driver.open(study)
    driver.read()
    driver.key(Qt.Key.Key_N)
    before = driver.session.selected
    assert before is not None
    steps = driver.session.undo_label
    driver.key(Qt.Key.Key_B)
    k = driver.session.view.cursor[0]
    driver.drag([driver.point((k, 40.0, 40.0 + n)) for n in range(0, 30, 3)])
    after = driver.session.selected
    assert after is not None
    assert after.mask.voxels[k, 40, 40:68].all(), "the stroke is not on the voxels under the mouse"
    assert (after.status.value, after.original) == ("edited", before.mask)
    assert driver.session.undo_label == "Brush Bright 1"
    assert near(pixels(driver.pane()), (0x9B, 0x8C, 0xFF)).sum() > 60
    driver.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert driver.session.selected == before
    assert driver.session.undo_label == steps


def test_drawing_without_a_model_makes_a_finding_of_the_readers_own(
    driver_of: Callable[..., Driver], study: Path
) -> None:
    driver = driver_of(models=0)
    driver.open(study)
    driver.key(Qt.Key.Key_B)
    k = driver.session.view.cursor[0]
    driver.drag([driver.point((k, 60.0, 60.0)), driver.point((k, 62.0, 62.0))])
    (finding,) = driver.session.shown_findings
    assert finding.model is None
    assert finding.status.value == "edited"
    driver.key(Qt.Key.Key_D)
    driver.drag([driver.point((k, 60.0, 60.0)), driver.point((k, 62.0, 62.0)), driver.point((k, 61.0, 61.0))])
    (erased,) = driver.session.shown_findings
    assert (erased.status.value, erased.mask.count) == ("rejected", 0)


def test_the_gate_is_told_in_a_sentence(driver: Driver, tmp_path: Path) -> None:
    write_series(tmp_path / "ct", head_like(), modality="CT", description="CHEST")
    driver.open(tmp_path / "ct")
    row = driver.window.findings_panel.models["glioma-flair"]
    assert row.aside.full == "It is CT, the model reads MR."
    assert not row.text.isVisible()
    assert row.aside.toolTip() == "Glioma-flair does not read this series: it is CT, the model reads MR."
    assert not driver.session.shown_findings


def test_nothing_found_is_said(driver_of: Callable[..., Driver], study: Path) -> None:
    driver = driver_of(level=7.0)
    driver.open(study)
    driver.read()
    assert "found nothing" in driver.window.findings_panel.models["glioma-flair"].text.text()
    panel = driver.window.findings_panel
    assert panel.heading.y() < 200, "what stands above an empty list stays at the top"


def test_a_broken_slice_is_named_and_the_others_are_shown(driver: Driver, tmp_path: Path) -> None:
    files = write_series(tmp_path / "cut", head_like(), WindowCenter=300, WindowWidth=800)
    files[6].write_bytes(files[6].read_bytes()[:-500])
    driver.open(tmp_path / "cut")
    assert driver.session.image is not None
    assert driver.session.image.ready.failures == ("Slice 7: the pixel data is cut off",)
    sentence = driver.window.findings_panel.models["glioma-flair"].text.text()
    assert sentence == "Slice 7 could not be read."
    assert driver.window.notice.title.text() == "Not all of this series is there: slice 7 could not be read."
    driver.key(Qt.Key.Key_Home)
    driver.wheel(-5)
    assert pixels(driver.pane()).max() > 200


def test_no_images_is_a_sentence_and_no_dialog(driver: Driver, tmp_path: Path) -> None:
    (tmp_path / "junk").mkdir()
    (tmp_path / "junk" / "notes.txt").write_text("nothing")
    driver.window.open_paths([tmp_path / "junk"])
    driver.until(driver.window.notice.isVisible)
    assert driver.window.notice.title.text() == "No DICOM images were found (1 file looked at)."
    assert QApplication.activeModalWidget() is None


def test_two_patients_are_told_apart(driver: Driver, tmp_path: Path) -> None:
    write_series(tmp_path / "all" / "one", head_like(), patient=("ONE^ANN", "1"), study="1.2.3", series="1.2.3.4")
    write_series(tmp_path / "all" / "two", head_like(seed=9), patient=("TWO^BOB", "2"), study="1.2.3", series="1.2.3.4")
    driver.open(tmp_path / "all")
    assert len(driver.session.sources.catalogue.patients) == 2
    assert "2 patients" in driver.window.notice.title.text()
    first = driver.window.top_bar.banner.full
    driver.key(Qt.Key.Key_Tab)
    driver.until(lambda: driver.loaded)
    second = driver.window.top_bar.banner.full
    assert {first.split("  ·")[0], second.split("  ·")[0]} == {"ONE, ANN", "TWO, BOB"}


def test_dropping_a_folder_opens_it(driver: Driver, study: Path) -> None:
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(study))])
    drop = QDropEvent(
        QPointF(400, 300),
        Qt.DropAction.CopyAction,
        mime,
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
    )
    driver.window.dropEvent(drop)
    driver.until(lambda: driver.loaded)
    assert driver.session.image is not None


def test_probe_gives_the_value_under_the_mouse(driver: Driver, study: Path) -> None:
    driver.open(study)
    pane, image = driver.pane(), driver.session.image
    assert image is not None
    pane._mouse = QPointF(driver.point((6.0, 77.0, 80.0)))
    assert pane._probe() == f"{image.volume.value(6, 77, 80):.0f}"


def test_palette_finds_and_runs_an_action(driver: Driver, study: Path) -> None:
    driver.open(study)
    driver.window.trigger("palette")
    driver.window.palette_float.field.setText("three planes")
    driver.key(Qt.Key.Key_Return)
    assert driver.session.view.layout is Layout.THREE
    assert not driver.window.palette_float.isVisible()


def test_escape_lays_down_the_pen(driver: Driver, study: Path) -> None:
    driver.open(study)
    driver.key(Qt.Key.Key_B)
    assert driver.session.view.tool is Tool.BRUSH
    driver.key(Qt.Key.Key_Escape)
    assert driver.session.view.tool is Tool.WINDOW


@pytest.mark.parametrize("size", [(1920, 1080), (1366, 768)])
def test_nothing_is_clipped(driver_of: Callable[..., Driver], study: Path, size: tuple[int, int]) -> None:
    driver = driver_of(size=size)
    driver.open(study)
    driver.read()
    driver.key(Qt.Key.Key_N)
    driver.window.trigger("export")
    QApplication.processEvents()
    panel = driver.window.findings_panel
    for label in panel.findChildren(QLabel):
        if label.isVisible() and label.text() and not label.wordWrap():
            needed = label.fontMetrics().horizontalAdvance(label.text())
            assert label.width() >= needed - 1, f"“{label.text()}” is clipped"
    assert driver.window.width() <= size[0]
    assert panel.geometry().bottom() <= driver.window.height()


def test_colours_are_legible() -> None:
    def luminance(colour: str) -> float:
        parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for ground in (style.WINDOW, style.PANEL, style.RAISED):
        for text in (style.TEXT, style.QUIET, style.PROPOSED, style.ACCEPTED, style.EDITED, style.DANGER, style.ACTIVE):
            contrast = (luminance(text) + 0.05) / (luminance(ground) + 0.05)
            assert contrast >= 4.5, f"{text} on {ground}: {contrast:.1f}"


def test_opening_another_study_leaves_nothing_of_the_last_one(driver: Driver, study: Path, tmp_path: Path) -> None:
    driver.open(study)
    write_series(tmp_path / "other", head_like(seed=5), patient=("OTHER^EVE", "3"), description="T2 AX")
    driver.open(tmp_path / "other")
    panel = driver.window.study_panel
    rows = [row for row in panel.findChildren(type(next(iter(panel.rows.values())))) if row.isVisibleTo(panel)]
    assert [row.stack.identity.patient_name for row in rows] == ["OTHER^EVE"]
    assert driver.window.findings_panel.list.rows == ()
    assert driver.session.findings == ()


def test_the_brush_keeps_to_a_range_of_fractions(driver: Driver, tmp_path: Path) -> None:
    write_series(tmp_path / "map", head_like(), RescaleSlope=0.001, RescaleIntercept=0, description="ADC")
    driver.open(tmp_path / "map")
    driver.key(Qt.Key.Key_B)
    bar = driver.window.findings_panel.tool_box.brush_bar
    box = QPoint(8, bar.limited.height() // 2)
    QTest.mouseClick(bar.limited, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, box)
    low, high = driver.session.view.brush.range or (0.0, 0.0)
    window = driver.session.view.window
    assert high - low == pytest.approx(window.width, rel=0.02)
    assert (bar.low.value(), bar.high.value()) == (low, high)


def test_a_proposal_that_goes_away_under_the_pen_keeps_its_models_name(driver: Driver, study: Path) -> None:
    driver.open(study)
    driver.read()
    (proposal,) = driver.session.shown_findings
    driver.key(Qt.Key.Key_N)
    driver.key(Qt.Key.Key_E)
    k = driver.session.view.cursor[0]
    desk = driver.window.desk
    at = driver.point((k, 30.0, 30.0))
    QTest.mousePress(driver.pane(), Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, at)
    assert desk.drawing
    driver.session.undo()
    assert not driver.session.shown_findings
    QTest.mouseRelease(driver.pane(), Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, at)
    (edited,) = driver.session.shown_findings
    assert (edited.id, edited.model, edited.original) == (proposal.id, proposal.model, proposal.mask)
    assert edited.mask.count > proposal.mask.count
