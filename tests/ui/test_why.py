"""The reader asks why: the map comes onto the image with its caption, and goes with H."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QPushButton

from overread import paths
from overread.domain.geometry import Plane
from overread.session.review import draw_new
from overread.ui.captions import key_lines
from support.series import write_series
from support.tiny import asked_model
from support.window import Driver, pixels


def study(folder: Path) -> Path:
    voxels = np.full((5, 64, 64), 300, np.int16)
    voxels[1:4, 16:32, 24:40] = 950
    write_series(folder, voxels, step=3.0, spacing=(1.5, 1.5), WindowCenter=500, WindowWidth=1000)
    return folder


def caption(driver: Driver) -> tuple[str, ...]:
    """What stands beside the map on the image; nothing where there is none."""
    pixels(driver.pane())
    heatmap = driver.pane()._heatmap
    return () if heatmap is None else key_lines(heatmap, driver.pane().projection)


def buttons(driver: Driver) -> list[str]:
    card = driver.window.findings_panel.list.card
    assert card is not None
    assert card.finding == driver.session.selected
    return [button.text() for button in card.findChildren(QPushButton)]


@pytest.mark.parametrize("method", ["Seg-Grad-CAM", "Eigen-CAM", "Score-CAM"])
def test_w_asks_and_h_hides(driver_of: Callable[..., Driver], tmp_path: Path, method: str) -> None:
    asked_model(paths.data() / "models", "glioma-flair", method=method)
    driver = driver_of(models=0, size=(1600, 960))
    driver.open(study(tmp_path / "mr"))
    driver.read()
    session = driver.session
    driver.key(Qt.Key.Key_N)
    found = session.selected
    assert found is not None
    assert "Why here?  W" in buttons(driver)
    plain, undo = pixels(driver.pane()), session.undo_label
    assert caption(driver) == ()
    driver.key(Qt.Key.Key_W)
    driver.until(lambda: session.selected is not None and session.selected.reasons != ())
    if method == "Eigen-CAM":
        assert caption(driver)[:2] == ("What stands out to the model", "Eigen-CAM, not class specific  ·  layer means")
    else:
        said = {"Seg-Grad-CAM": "Seg-Grad-CAM", "Score-CAM": "Score-CAM, approximate"}[method]
        assert caption(driver)[:2] == ("What speaks for Bright", f"{said}  ·  layer means")
    assert caption(driver)[2] == "8 × 8 cells of 12 × 12 mm, smoothed"
    assert not np.array_equal(pixels(driver.pane()), plain)
    assert session.undo_label == undo
    driver.key(Qt.Key.Key_H)
    assert caption(driver) == ()
    driver.key(Qt.Key.Key_W)
    assert caption(driver) != (), "known already"
    driver.key(Qt.Key.Key_Down)
    assert caption(driver) == (), "another slice was not asked about"
    driver.key(Qt.Key.Key_A)
    driver.key(Qt.Key.Key_E, Qt.KeyboardModifier.ControlModifier)
    panel = driver.window.findings_panel.export_panel
    assert "Bright 1 (accepted, 1 heatmap)" in panel.summary.text()
    driver.until(lambda: panel.kinds.ready)
    assert panel.kinds._said["pm"].text() == "1 of 1"


def test_what_a_reader_drew_has_no_model_to_ask(driver_of: Callable[..., Driver], tmp_path: Path) -> None:
    asked_model(paths.data() / "models", "glioma-flair")
    driver = driver_of(models=0, size=(1600, 960))
    driver.open(study(tmp_path / "mr"))
    driver.read()
    session = driver.session
    assert session.image is not None
    (found,) = session.findings
    session.edit(*draw_new(session.findings, found.mask, session.image.stack, session.reader)[:2])
    own = session.findings[-1]
    driver.window.findings_panel._choose(own.id)
    assert "Why here?  W" not in buttons(driver)
    driver.key(Qt.Key.Key_W)
    assert driver.window.notice.isVisible()
    assert "A reader drew this" in driver.window.notice.title.text()
    assert driver.window.desk.explanations.here(own, Plane.AXIAL, 2) is None
