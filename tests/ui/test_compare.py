"""Comparing on the screen: the likeliest pair by one key, the map on the image, the numbers beside it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PySide6.QtCore import Qt

from overread.domain.finding import Mask, find
from overread.imaging.compare import agreement
from overread.render.agreement import BOTH, ONLY_A, ONLY_B
from overread.session.review import redraw
from support.crowd import Crowd, CrowdDetector, ball
from support.sitting import finding_of
from support.window import Driver, near, pixels


@pytest.fixture
def driver(driver_of: Callable[..., Driver], tmp_path: Path) -> Driver:
    driver = driver_of(models=0, size=(1600, 960))
    crowd = Crowd(1, 2)
    driver.open(crowd.write(tmp_path / "ct", "1.2.3.77", "LUNG AX"))
    arrived: list[int] = []
    driver.session.run_plugin(CrowdDetector({"LUNG AX": crowd}), arrived.append)
    driver.until(lambda: bool(arrived))
    return driver


def test_two_models_are_compared_by_one_key(driver: Driver) -> None:
    session, panel = driver.session, driver.window.findings_panel.compare_panel
    assert session.image is not None
    stack = session.image.stack
    first = session.shown_findings[0]
    k, j, i = (start + size // 2 for start, size in zip(first.mask.start, first.mask.extent, strict=True))
    theirs = Mask.of(ball((k, j, i + 6), 9.0))
    session.edit("Read", (*session.findings, finding_of(stack, theirs, number=9, id="2.25.9", model="second")))
    before, undo = session.findings, session.undo_label
    driver.key(Qt.Key.Key_N)
    driver.key(Qt.Key.Key_Q)
    assert session.view.compare == ("source:crowd", "source:second")
    driver.until(lambda: panel.result.text().startswith("Dice"))
    assert panel.isVisible()
    found = driver.window.desk.comparisons.now()
    assert found is not None
    assert found.b_ml == pytest.approx(theirs.count * stack.grid.voxel_mm3 / 1000)
    assert f"Dice {found.dice:.3f}   HD95 {found.hd95_mm:.1f} mm" in panel.result.text()
    picture = pixels(driver.pane())
    for region in (BOTH, ONLY_A, ONLY_B):
        assert near(picture, region.colour).sum() > 40, f"{region.name} is not on the image"
    assert near(picture, (0xF5, 0xB8, 0x3D), 20).sum() < 30, "the findings themselves step back"
    assert (session.findings, session.undo_label) == (before, undo), "looking is no step"
    driver.key(Qt.Key.Key_Escape)
    assert session.view.compare is None
    assert not panel.isVisible()


def test_an_edit_is_compared_with_what_was_proposed(driver: Driver) -> None:
    session, panel = driver.session, driver.window.findings_panel.compare_panel
    image = session.image
    assert image is not None
    first = session.shown_findings[0]
    driver.window.findings_panel._choose(first.id)
    driver.key(Qt.Key.Key_B)
    k, j, i = session.view.cursor
    driver.drag([driver.point((k, j, i + n)) for n in range(0, 12, 2)])
    edited = find(session.findings, first.id)
    assert edited is not None
    driver.key(Qt.Key.Key_Q)
    assert session.view.compare == (f"original:{first.id}", f"finding:{first.id}")
    driver.until(lambda: panel.result.text().startswith("Dice"))
    expected = agreement(first.mask, edited.mask, image.stack.grid)
    assert f"Dice {expected.dice:.3f}" in panel.result.text()

    # Undone under the panel, there is nothing left to compare it with, and the panel says so.
    session.undo()
    assert panel.result.text() == "One of the two is no longer there."
    session.edit(*redraw(session.findings, first.id, edited.mask, image.stack, session.reader, "Brush"))
    driver.until(lambda: panel.result.text().startswith("Dice"))
    driver.key(Qt.Key.Key_Q, Qt.KeyboardModifier.ShiftModifier)
    assert session.view.compare == ("source:crowd", "reviewed")
    driver.key(Qt.Key.Key_B)
    assert session.view.compare is None, "who draws wants to see what he draws on"
