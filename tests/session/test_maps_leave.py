"""Heatmaps leave as parametric maps in the cells that the model has, or as captures where the image lies nowhere."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom import Dataset

from overread.dicom.export import Written, export
from overread.domain.errors import UserError
from overread.domain.finding import Finding, Kind
from overread.domain.geometry import Plane, acquired_plane, plane_axes
from overread.domain.heatmap import Heatmap, Reason
from overread.domain.reasons import with_reason
from overread.domain.study import Stack
from overread.session.products import products
from support.findings import READER, WHEN, blob, finding, opened
from support.leaving import faults, spoil
from support.series import write_series

RAN = "OpenVINO CPU bf16"
VALUES = np.random.default_rng(5).normal(0, 2, (5, 4)).astype(np.float32)


def classified(stack: Stack, plane: Plane, index: int, number: int = 1) -> Finding:
    rows, columns = plane_axes(stack.grid, plane).size(stack.grid.shape)
    extent = (-2.5, 1.0, rows + 3.5, columns - 2.0)  # canvases of models reach beyond images
    heat = Heatmap.of(VALUES, extent, plane, index, "Pneumonia", "Grad-CAM", "stage4.conv2")
    about = {"kind": Kind.CLASSIFICATION, "score": 0.8, "threshold": 0.5, "measures": None, "label": "Pneumonia"}
    return finding(stack, np.zeros(stack.grid.shape, bool), number, heatmap=heat, **about)


def asked(stack: Stack, *slices: int, label: str = "FLAIR abnormality") -> Finding:
    """What a model drew, and what it answered on some slices when it was asked why; on the last one before an edit."""
    plane = acquired_plane(stack.grid)
    rows, columns = plane_axes(stack.grid, plane).size(stack.grid.shape)
    found = finding(stack, blob(stack, 1))
    method = "Seg-Grad-CAM" if label else "Eigen-CAM, not class specific"
    for number, k in enumerate(slices):
        heat = Heatmap.of(VALUES + number, (-1.5, 2.0, rows - 2.0, columns + 1.5), plane, k, label, method, "mid", RAN)
        stale = k == slices[-1]
        (found,) = with_reason((found,), found.id, Reason(heat, "0" * 64 if stale else found.mask.digest, WHEN))
    return found


def leave(stack: Stack, out: Path, *findings: Finding) -> list[Written]:
    return list(export(stack, findings, out, READER, products(["pm"])))


@pytest.fixture
def made(tmp_path: Path) -> Stack:
    """A small oblique series."""
    voxels = np.zeros((7, 30, 40), np.int16)
    orientation = (0.96, 0.28, 0.0, -0.168, 0.576, -0.8)
    write_series(tmp_path / "in", voxels, orientation=orientation, spacing=(0.9, 0.6), step=3.3)
    return opened(tmp_path / "in", tmp_path)


REAL = ["glioma-fg6692/05_FLAIR_AX", "chest-ct-cptac", "ct-gantry-tilt", "multiframe/enhanced-mr-philips-fieldmap"]


@pytest.mark.parametrize("name", REAL)
def test_maps_lie_where_the_network_looked(data: Path, tmp_path: Path, tool: Callable[[str], str], name: str) -> None:
    stack = opened(data / "dicom" / name, tmp_path / "scratch")
    plane, k = acquired_plane(stack.grid), stack.grid.shape[0] // 3
    meant = classified(stack, plane, k)
    (written,) = leave(stack, tmp_path / "out", meant)
    assert not faults(written.path, tool)
    _lies(written.path, stack, meant)
    stored = np.frombuffer(pydicom.dcmread(written.path).FloatPixelData, "<f4")
    assert np.array_equal(stored.reshape(VALUES.shape), VALUES)
    (derived,) = pydicom.dcmread(written.path).PerFrameFunctionalGroupsSequence[0].DerivationImageSequence
    (source,) = derived.SourceImageSequence
    frame = stack.frames[k]
    assert source.ReferencedSOPInstanceUID == frame.sop_instance_uid
    assert int(source.get("ReferencedFrameNumber", frame.index + 1)) == frame.index + 1
    for said in ("Grad-CAM", "stage4.conv2", "Pneumonia", "5 x 4 cells", meant.id, "glioma-flair"):
        assert said in derived.DerivationDescription


@pytest.mark.parametrize("name", REAL)
def test_what_a_reader_asked_for_leaves_with_the_finding(
    data: Path, tmp_path: Path, tool: Callable[[str], str], name: str
) -> None:
    stack = opened(data / "dicom" / name, tmp_path / "scratch")
    k = stack.grid.shape[0] // 2
    meant = asked(stack, k, k + 1, k - 1)
    written = leave(stack, tmp_path / "out", meant)
    assert len(written) == 2, "the stale one stays"
    for number, item in enumerate(written):
        heat = meant.reasons[number].heatmap
        assert not faults(item.path, tool)
        _lies(item.path, stack, meant, heat)
        (derived,) = pydicom.dcmread(item.path).PerFrameFunctionalGroupsSequence[0].DerivationImageSequence
        assert derived.SourceImageSequence[0].ReferencedSOPInstanceUID == stack.frames[heat.index].sop_instance_uid
        said = ("Seg-Grad-CAM for FLAIR abnormality", "layer mid", "5 x 4 cells", "version 1.2.0", RAN, meant.id)
        assert all(part in derived.DerivationDescription for part in said)


def test_a_map_of_no_class_says_so(made: Stack, tmp_path: Path, tool: Callable[[str], str]) -> None:
    (written,) = leave(made, tmp_path / "out", asked(made, 3, 2, label=""))
    assert not faults(written.path, tool)
    (derived,) = pydicom.dcmread(written.path).PerFrameFunctionalGroupsSequence[0].DerivationImageSequence
    assert "Eigen-CAM, not class specific, layer mid" in derived.DerivationDescription
    assert "for Glioma" not in derived.DerivationDescription
    assert "stands out to the network" in derived.DerivationDescription


def test_a_map_of_what_was_redrawn_stays_and_is_told(made: Stack, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="redrawn after its heatmap was asked for"):
        leave(made, tmp_path / "out", asked(made, 2))


def test_what_was_asked_for_is_captured_too(made: Stack, tmp_path: Path, tool: Callable[[str], str]) -> None:
    meant = asked(made, 4, 2, 1)
    written = export(made, [meant], tmp_path / "out", READER, products(["sc"]))
    plain, first, second = (pydicom.dcmread(item.path) for item in written)
    assert not [fault for item in written for fault in faults(item.path, tool)]
    assert "Heatmap" not in plain.DerivationDescription
    for capture, k in ((first, 4), (second, 2)):
        assert "Heatmap: Seg-Grad-CAM for FLAIR abnormality, layer mid, 5 x 4 cells of" in capture.DerivationDescription
        assert capture.SourceImageSequence[0].ReferencedSOPInstanceUID == made.frames[k].sop_instance_uid
        bar = capture.pixel_array[: plain.Rows // 2, plain.Columns :].astype(int)
        assert bar.size == 0 or np.ptp(bar, axis=2).max() > 100, "no colours beside the image"
        assert capture.Rows > plain.Rows, "a line more"


def _by_dcmqi(path: Path) -> sitk.Image:
    folder = path.parent / f"dcmqi-{path.stem}"
    folder.mkdir()
    reader = Path(sys.executable).with_name("paramap2itkimage")
    command = [str(reader), "--inputDICOM", str(path), "--outputDirectory", str(folder), "--outputType", "nrrd"]
    subprocess.run(command, capture_output=True, check=True)
    return sitk.ReadImage(str(folder / "pmap.nrrd"))


def test_faint_maps_are_sound(made: Stack, tmp_path: Path, tool: Callable[[str], str]) -> None:
    """All activations below 1: a window narrower than that has to be said exactly."""
    meant = classified(made, acquired_plane(made.grid), 2)
    assert meant.heatmap is not None
    faint = replace(meant.heatmap, packed=(VALUES / 100).astype("<f4").tobytes())
    (written,) = leave(made, tmp_path / "out", replace(meant, heatmap=faint))
    assert not faults(written.path, tool)


def _lies(path: Path, stack: Stack, meant: Finding, asked_for: Heatmap | None = None) -> None:
    """Each cell, as highdicom and dcmqi place it, covers the pixels that the heatmap says it covers."""
    heat = asked_for or meant.heatmap
    assert heat is not None
    placed = hd.imread(path).get_volume_geometry()
    assert placed is not None
    image = _by_dcmqi(path)
    assert np.array_equal(np.squeeze(sitk.GetArrayFromImage(image), axis=0), heat.values)
    axes = plane_axes(stack.grid, heat.plane)
    row0, column0, row1, column1 = heat.extent
    for row in range(VALUES.shape[0]):
        for column in range(VALUES.shape[1]):
            there = stack.grid.to_index(placed.map_indices_to_reference(np.array([[0, row, column]]))[0])
            theirs = image.TransformIndexToPhysicalPoint((column, row, 0))
            assert np.abs(np.array(theirs) - stack.grid.to_lps(there)).max() < 1e-3
            middle = np.array(axes.to_picture(there, stack.grid.shape)) + 0.5
            expected = (
                row0 + (row + 0.5) * (row1 - row0) / VALUES.shape[0],
                column0 + (column + 0.5) * (column1 - column0) / VALUES.shape[1],
            )
            assert np.abs(middle - expected).max() < 1e-3
            assert abs(float(there[axes.through]) - heat.index) < 1e-3


@pytest.mark.parametrize("plane", list(Plane))
def test_maps_across_the_slices_lie_where_they_are(
    made: Stack, tmp_path: Path, tool: Callable[[str], str], plane: Plane
) -> None:
    meant = classified(made, plane, 3)
    (written,) = leave(made, tmp_path / "out", meant)
    assert not faults(written.path, tool)
    _lies(written.path, made, meant)
    (derived,) = pydicom.dcmread(written.path).PerFrameFunctionalGroupsSequence[0].DerivationImageSequence
    count = 1 if plane_axes(made.grid, plane).through == 0 else len(made.frames)
    assert len(derived.SourceImageSequence) == count


def test_sheared_slices_take_no_map_across_them(data: Path, tmp_path: Path) -> None:
    stack = opened(data / "dicom" / "ct-gantry-tilt", tmp_path / "scratch")
    refusals = []
    for plane in set(Plane) - {acquired_plane(stack.grid)}:
        try:
            leave(stack, tmp_path / "out", classified(stack, plane, 2))
        except UserError as error:
            refusals.append(str(error))
    assert any("sheared" in text for text in refusals)


def test_several_maps_are_one_series(made: Stack, tmp_path: Path) -> None:
    findings = [classified(made, acquired_plane(made.grid), k, k) for k in (1, 2, 5)]
    maps = [pydicom.dcmread(item.path) for item in leave(made, tmp_path / "out", *findings)]
    assert len({item.SeriesInstanceUID for item in maps}) == 1
    assert [item.InstanceNumber for item in maps] == [1, 2, 3]


def test_images_without_a_place_leave_as_captures(data: Path, tmp_path: Path, tool: Callable[[str], str]) -> None:
    stack = opened(data / "dicom" / "chest-xray", tmp_path / "scratch")
    (written,) = leave(stack, tmp_path / "out", classified(stack, acquired_plane(stack.grid), 0))
    assert not faults(written.path, tool)
    capture = pydicom.dcmread(written.path)
    assert capture.SOPClassUID.name == "Secondary Capture Image Storage"
    assert "Grad-CAM" in capture.DerivationDescription
    assert "PixelSpacing" not in capture
    bar = capture.pixel_array[: stack.grid.shape[1], stack.grid.shape[2] :].astype(int)
    assert np.ptp(bar, axis=2).max() > 100, "no colours beside the image"


def test_what_has_no_heatmap_is_told(made: Stack, tmp_path: Path) -> None:
    voxels = np.ones(made.grid.shape, bool)
    with pytest.raises(UserError, match="no heatmap"):
        leave(made, tmp_path / "out", finding(made, voxels))


def flipped(image: Dataset) -> None:
    image.FloatPixelData = (np.frombuffer(image.FloatPixelData, "<f4") + np.float32(1e-3)).tobytes()


def moved(image: Dataset) -> None:
    image.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0].ImagePositionPatient[1] += 0.1


def finer(image: Dataset) -> None:
    image.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing = [1, 1]


def silent(image: Dataset) -> None:
    image.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0].DerivationDescription = "a map"


def orphaned(image: Dataset) -> None:
    image.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0].SourceImageSequence = []


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [(flipped, "values"), (moved, "another"), (finer, "another place"), (silent, "does not say"), (orphaned, "refers")],
)
def test_a_map_that_went_wrong_does_not_leave(
    made: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: Callable[[Dataset], object], reason: str
) -> None:
    spoil(monkeypatch, wrong)
    with pytest.raises(UserError, match=reason):
        leave(made, tmp_path / "out", classified(made, acquired_plane(made.grid), 2))
    assert not (tmp_path / "out").exists()
