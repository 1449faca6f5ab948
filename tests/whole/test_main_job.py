"""The main job on a real glioma study: real mouse and key events, judged by pixels and by other people's software."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest

from overread.domain.finding import Status
from overread.ui import style
from support.window import Driver, near, pixels

AMBER, TEAL, VIOLET = ((0xF5, 0xB8, 0x3D), (0x37, 0xC8, 0xA5), (0x9B, 0x8C, 0xFF))


@pytest.fixture
def glioma(data: Path) -> Path:
    return data / "dicom" / "glioma-fg6692"


def test_a_glioma_is_read_corrected_and_sent(
    driver_of: Callable[..., Driver], glioma: Path, tmp_path: Path, tool: Callable[[str], str]
) -> None:
    driver = driver_of(models=0, shipped=True, size=(1920, 1080))
    session = driver.session
    driver.open(glioma)

    # Open: four series of one patient, the one that the model reads on screen.
    assert [row.stack.identity.series_description for row in driver.window.study_panel.rows.values()] == [
        "T2 AX",
        "FLAIR AX",
        "T1 AX",
        "T1 AX POST GAD",
    ]
    assert session.image is not None
    stack = session.image.stack
    assert stack.role == "FLAIR"
    assert "GLIOMA" in driver.window.top_bar.banner.full

    # Scroll while the model reads; its overlay comes without a click.
    for notch in range(6):
        driver.wheel(-1 if notch % 2 else 1)
    driver.read("glioma-flair")
    proposals = session.shown_findings
    assert proposals
    assert all(f.status is Status.PROPOSED and f.model is not None for f in proposals)
    driver.key(Qt.Key.Key_N)
    target = session.selected
    assert target is not None
    picture = pixels(driver.pane())
    inside = _voxels_on_screen(driver, target.mask.voxels)
    assert near(picture, AMBER).sum() > 40, "no amber outline"
    greys = picture[inside].astype(int)
    assert (greys[:, 0] - greys[:, 2]).mean() > 8, "the fill does not tint the tumour"
    assert " CPU " in driver.window.status_bar.badge.text()
    assert "research" in driver.window.findings_panel.models["glioma-flair"].text.text()

    # Correct it with the brush: one named step on the voxels under the mouse.
    driver.key(Qt.Key.Key_E)
    k = session.view.cursor[0]
    edge = int(target.mask.voxels[k].any(axis=0).nonzero()[0].max())
    row = int(target.mask.voxels[k, :, edge].nonzero()[0].mean())
    driver.drag([driver.point((k, row, edge + n)) for n in range(0, 9, 2)])
    edited = session.selected
    assert edited is not None
    assert edited.mask.voxels[k, row, edge + 2 : edge + 8].all()
    assert (edited.status, edited.original) == (Status.EDITED, target.mask)
    assert edited.mask.count > target.mask.count
    assert near(pixels(driver.pane()), VIOLET).sum() > 40, "no violet outline"
    driver.key(Qt.Key.Key_E)

    # Undo, redo, accept.
    driver.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert session.selected == target
    driver.key(Qt.Key.Key_Y, Qt.KeyboardModifier.ControlModifier)
    assert session.selected == edited
    driver.key(Qt.Key.Key_A)
    final = next(f for f in session.shown_findings if f.id == edited.id)
    assert final.status is Status.EDITED
    for other in [f for f in session.shown_findings if f.status is Status.PROPOSED]:
        driver.session.edit("Reject the others", _rejected(driver, other.id))

    # Export through the drawer.
    driver.key(Qt.Key.Key_E, Qt.KeyboardModifier.ControlModifier)
    drawer = driver.window.findings_panel.export_panel
    driver.until(drawer.isVisible)
    out = tmp_path / "out"
    drawer.name.setText("Ada Lovelace")
    drawer.folder.setText(str(out))
    driver.until(drawer.go.isEnabled)
    QTest.mouseClick(drawer.go, Qt.MouseButton.LeftButton)
    driver.until(lambda: not drawer.result.text().startswith("Writing"))
    assert "read back and checked" in drawer.result.text()
    seg, report = sorted(out.glob("*.dcm"))
    assert style.ACCEPTED in drawer.result.styleSheet()

    # What left is what was on the screen, and others can read it.
    _others_agree(seg, report, stack.grid.shape, final.mask.voxels, tmp_path, tool)
    written = pydicom.dcmread(seg)
    assert written.PatientID == "FG6692"
    segment = written.SegmentSequence[0]
    assert segment.SegmentAlgorithmType == "SEMIAUTOMATIC"
    assert segment.SegmentAlgorithmName.startswith("glioma-flair")
    assert segment.TrackingUID == final.id
    text = subprocess.run([tool("dsrdump"), str(report)], capture_output=True, text=True, check=True).stdout
    assert final.measures is not None
    for number in (final.measures.volume_ml, final.measures.long_axis_mm, final.measures.short_axis_mm):
        assert f'"{number:g}"' in text or f'"{number}"' in text
    assert "Lovelace^Ada" in text
    assert "glioma-flair" in text


def _rejected(driver: Driver, finding_id: str) -> object:
    from overread.session.review import reject

    return reject(driver.session.findings, [finding_id], driver.session.reader, "artefact")[1]


def _voxels_on_screen(driver: Driver, voxels: np.ndarray) -> np.ndarray:
    """The pixels of the pane under whose centre lies a voxel of the mask, away from its edge."""
    pane = driver.pane()
    projection = pane.projection
    k = projection.index
    shown = np.zeros((pane.height(), pane.width()), bool)
    inner = voxels[k][1:-1, 1:-1]
    deep = inner & voxels[k][:-2, 1:-1] & voxels[k][2:, 1:-1] & voxels[k][1:-1, :-2] & voxels[k][1:-1, 2:]
    for j, i in np.argwhere(deep) + 1:
        x, y = projection.to_screen((k, float(j), float(i)))
        shown[round(y), round(x)] = True
    return shown


def _others_agree(
    seg: Path, report: Path, shape: tuple[int, int, int], voxels: np.ndarray, folder: Path, tool: Callable[[str], str]
) -> None:
    """dciodvfy finds no error; dcmqi reads the very voxels back; highdicom reads both."""
    for path in (seg, report):
        done = subprocess.run([tool("dciodvfy"), str(path)], capture_output=True, text=True, check=False)
        assert not re.findall(r"^Error.*", done.stdout + done.stderr, re.MULTILINE), path.name
    reader = Path(sys.executable).with_name("segimage2itkimage")
    back = folder / "dcmqi"
    back.mkdir()
    command = [str(reader), "--inputDICOM", str(seg), "--outputDirectory", str(back), "--outputType", "nrrd"]
    subprocess.run(command, capture_output=True, check=True)
    (written,) = back.glob("*.nrrd")
    labels = sitk.GetArrayFromImage(sitk.ReadImage(str(written)))
    assert labels.shape == shape
    assert np.array_equal(labels > 0, voxels)
    import highdicom as hd

    volume = hd.seg.segread(seg).get_volume(combine_segments=True)
    assert int((volume.array > 0).sum()) == int(voxels.sum())
    content = hd.sr.srread(report).content
    assert len(content.get_volumetric_roi_measurement_groups()) == 1
