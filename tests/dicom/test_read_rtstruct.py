"""Structure sets on their images: contours filled where they lie, and plain words about those that cannot be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom import Dataset
from skimage.draw import polygon2mask

from overread.dicom.check_rtstruct import RTSTRUCT
from overread.dicom.export import export
from overread.dicom.found import Found
from overread.dicom.read_objects import read_objects
from overread.dicom.scan import scanned
from overread.domain.finding import Finding, Kind, Mask
from overread.domain.mark import Drawn
from overread.domain.study import Stack
from support.findings import READER, finding, opened, three
from support.series import write_series


def only(*paths: Path, scratch: Path) -> tuple[Stack, Found]:
    catalogue = scanned(paths, scratch)
    (stack,) = (each for each in catalogue.stacks if catalogue.objects_on(each))
    return stack, read_objects(stack, catalogue.objects_on(stack))


def remark(found: Finding) -> str:
    assert found.source is not None
    return found.source.remark


def ring(stack: Stack, number: int) -> Mask:
    """A ball with a hole through it, about the middle of the stack."""
    k, j, i = np.indices(stack.grid.shape)
    middle = [size / 2 for size in stack.grid.shape]
    away = np.hypot(j - middle[1] - 4 * number, i - middle[2])
    return Mask.of((abs(k - middle[0]) < 3) & (away < 14) & (away > 4 + number))


@pytest.mark.parametrize(
    "name", ["glioma-fg6692/05_FLAIR_AX", "brain-mr-oblique", "chest-ct-cptac", "multiframe/enhanced-mr-siemens-xa10"]
)
def test_what_leaves_comes_back_voxel_for_voxel(data: Path, tmp_path: Path, name: str) -> None:
    stack = opened(data / "dicom" / name, tmp_path / "scratch")
    findings = [replace(each, mask=ring(stack, number), original=None) for number, each in enumerate(three(stack))]
    (written,) = export(stack, findings, tmp_path / "out", READER, (RTSTRUCT,))
    catalogue = scanned((data / "dicom" / name, written.path), tmp_path / "scratch")
    found = read_objects(stack, catalogue.objects_on(stack))
    assert not found.notices
    assert [(f.id, f.label, f.mask.digest, f.colour, f.concept, remark(f)) for f in found.findings] == [
        (f.id, f.label, f.mask.digest, f.colour, f.concept, "") for f in findings
    ]
    assert [f.model and (f.model.id, f.model.version) for f in found.findings] == [
        f.model and (f.model.id, f.model.version) for f in findings
    ]


def by_skimage(path: Path, stack: Stack) -> dict[str, NDArray[np.bool_]]:
    """Contours filled by other software, each in the slice whose header has its height."""
    rt = pydicom.dcmread(path)
    names = {int(roi.ROINumber): str(roi.ROIName) for roi in rt.StructureSetROISequence}
    found = {name: np.zeros(stack.grid.shape, bool) for name in names.values()}
    for drawn in rt.ROIContourSequence:
        for contour in drawn.ContourSequence:
            at = stack.grid.to_index(np.array(contour.ContourData, float).reshape(-1, 3))
            k = round(at[0, 0])
            if abs(at[0, 0] - k) < 0.1 and 0 <= k < stack.grid.shape[0]:
                found[names[int(drawn.ReferencedROINumber)]][k] ^= polygon2mask(stack.grid.shape[1:], at[:, 1:])
    return found


@pytest.mark.parametrize("name", ["mock_data/rt", "mock_data/invalid_reference_rt", "empty/dummy_rt"])
def test_contours_of_others_are_filled_as_other_software_fills_them(data: Path, tmp_path: Path, name: str) -> None:
    home = data / "dicom" / "derived-objects" / "rt-utils"
    path = home / f"{name}.dcm"
    stack, found = only(path, home / "mock_data" / "ct_1.dcm", home / "mock_data" / "ct_2.dcm", scratch=tmp_path)
    theirs = by_skimage(path, stack)
    assert {finding.label for finding in found.findings} == set(theirs)
    for each in found.findings:
        differing = int((each.mask.voxels ^ theirs[each.label]).sum())
        assert differing <= 0.01 * each.mask.count, "more than what lies on the line itself"
        assert each.mask.count > 1000


def test_a_made_up_frame_of_reference_is_said_and_the_images_that_are_named_hold(data: Path, tmp_path: Path) -> None:
    folder = data / "dicom" / "derived-objects" / "rt-utils" / "mock_data"
    _, found = only(folder / "rt.dcm", folder / "ct_1.dcm", folder / "ct_2.dcm", scratch=tmp_path)
    (finding,) = found.findings
    assert "another frame of reference" in remark(finding)


def test_contours_on_images_that_are_not_here_are_counted(data: Path, tmp_path: Path) -> None:
    folder = data / "dicom" / "derived-objects" / "rt-utils" / "mock_data"
    for name in ("invalid_reference_rt", "non_existent_reference_rt"):
        _, found = only(folder / f"{name}.dcm", folder / "ct_1.dcm", folder / "ct_2.dcm", scratch=tmp_path)
        assert [remark(finding) for finding in found.findings] == [
            "1 contour left out: no image of this series lies there."
        ] * 4


def test_a_structure_set_without_its_images_is_named(data: Path, tmp_path: Path) -> None:
    folder = data / "dicom" / "derived-objects"
    catalogue = scanned((folder / "dicompyler", folder / "rt-utils" / "one_slice_data"), tmp_path)
    reasons = [s.reason for s in catalogue.skipped if "RTSTRUCT" in s.reason]
    assert reasons == ["RTSTRUCT ‘RT Structure Set’ of manufacturer: the images that it speaks of are not here"]


# Made up


@pytest.fixture
def series(tmp_path: Path) -> Path:
    write_series(tmp_path / "in", np.zeros((4, 12, 12), np.int16), step=3.0)
    return tmp_path / "in"


def structure_set(series: Path, path: Path, *contours: tuple[str, list[tuple[float, float, float]]]) -> Path:
    """One region with contours of these kinds and points (LPS mm)."""
    stack = opened(series, path.parent)
    (written,) = export(
        stack, [finding(stack, np.ones(stack.grid.shape, bool))], path.parent / "w", READER, (RTSTRUCT,)
    )
    rt = pydicom.dcmread(written.path)
    rt.Manufacturer = "Somebody"
    rt.StructureSetROISequence[0].ROIName = "Target"
    rt.StructureSetROISequence[0].ROIDescription = ""
    sequence = []
    for kind, points in contours:
        item = Dataset()
        item.ContourGeometricType, item.NumberOfContourPoints = kind, len(points)
        item.ContourData = [value for point in points for value in point]
        sequence.append(item)
    rt.ROIContourSequence[0].ContourSequence = sequence
    rt.save_as(path)
    return path


def square(low: float, high: float, z: float) -> list[tuple[float, float, float]]:
    return [(low, low, z), (high, low, z), (high, high, z), (low, high, z)]


def test_an_inner_contour_is_a_hole(series: Path, tmp_path: Path) -> None:
    path = structure_set(
        series, tmp_path / "rt.dcm", ("CLOSED_PLANAR", square(0.5, 9.5, 3)), ("CLOSED_PLANAR", square(3.5, 6.5, 3))
    )
    _, found = only(series, path, scratch=tmp_path)
    voxels = np.zeros((4, 12, 12), bool)
    voxels[1, 1:10, 1:10] = True
    voxels[1, 4:7, 4:7] = False
    assert np.array_equal(found.findings[0].mask.voxels, voxels)


def test_what_does_not_lie_in_a_slice_is_left_out_and_said(series: Path, tmp_path: Path) -> None:
    upright = [(2.0, 2.0, 0.0), (8.0, 2.0, 0.0), (8.0, 2.0, 9.0), (2.0, 2.0, 9.0)]
    path = structure_set(
        series,
        tmp_path / "rt.dcm",
        ("CLOSED_PLANAR", square(0.5, 4.5, 4.2)),
        ("CLOSED_PLANAR", square(0.5, 4.5, 33)),
        ("CLOSED_PLANAR", upright),
        ("CLOSED_PLANAR", [(float("nan"),) * 3]),
    )
    _, found = only(series, path, scratch=tmp_path)
    (finding,) = found.findings
    assert np.flatnonzero(finding.mask.voxels.any(axis=(1, 2))).tolist() == [1]
    assert remark(finding) == (
        "1 contour left out: no image of this series lies there. 1 contour left out: drawn across the slices. "
        "1 contour left out: damaged. 1 contour drawn between slices; shown on the nearest."
    )


def test_points_and_open_lines_are_marks(series: Path, tmp_path: Path) -> None:
    path = structure_set(
        series,
        tmp_path / "rt.dcm",
        ("POINT", [(2.5, 4.0, 6.0)]),
        ("OPEN_PLANAR", [(1.0, 1.0, 0.0), (5.0, 1.0, 0.0)]),
    )
    _, found = only(series, path, scratch=tmp_path)
    (finding,) = found.findings
    assert finding.kind is Kind.ANNOTATION
    assert [(mark.drawn, mark.points) for mark in finding.marks] == [
        (Drawn.POINTS, ((2.0, 4.0, 2.5),)),
        (Drawn.LINE, ((0.0, 1.0, 1.0), (0.0, 1.0, 5.0))),
    ]
