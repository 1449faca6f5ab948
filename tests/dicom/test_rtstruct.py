"""Structure sets: contours that give back every voxel, to us and to others, and what is refused."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import RTStructureSetStorage
from skimage.draw import polygon2mask

from overread.dicom.check import gate
from overread.dicom.check_rtstruct import RTSTRUCT
from overread.dicom.check_sr import SR
from overread.dicom.export import export
from overread.dicom.product import Left
from overread.domain.errors import UserError
from overread.domain.finding import Kind, Mask, Reader, Status
from overread.domain.study import Stack
from support.findings import READER, finding, opened
from support.parcels import faults, lump, lumps, parcel
from support.series import write_series

REAL = [
    "glioma-fg6692/05_FLAIR_AX",
    "brain-mr-oblique",
    "chest-ct-cptac",
    "multiframe/enhanced-mr-siemens-xa10/6_1.dcm",
    "multiframe/enhanced-mr-philips-fieldmap",
    "derived-objects/highdicom/ct_image.dcm",
    "derived-objects/dcmqi/segmentations/24x38x3/multiframe/mf.dcm",
]


def _geometry(image: Dataset, number: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Position, and the steps along rows and columns, of an image or a frame, from its own header."""
    if "PerFrameFunctionalGroupsSequence" in image:
        groups = image.PerFrameFunctionalGroupsSequence[number - 1], image.SharedFunctionalGroupsSequence[0]

        def macro(keyword: str) -> Dataset:
            return next(group[keyword].value[0] for group in groups if keyword in group)

        where = macro("PlanePositionSequence").ImagePositionPatient
        turned = macro("PlaneOrientationSequence").ImageOrientationPatient
        spacing = macro("PixelMeasuresSequence").PixelSpacing
    else:
        where, turned, spacing = image.ImagePositionPatient, image.ImageOrientationPatient, image.PixelSpacing
    row, column = np.array(turned[:3], float), np.array(turned[3:], float)
    return np.array(where, float), np.stack([column * float(spacing[0]), row * float(spacing[1])])


def _read_by_others(path: Path, stack: Stack) -> list[NDArray[np.bool_]]:
    """The masks of a structure set, filled by scikit-image on the geometry that the images themselves give."""
    images = {str(image.SOPInstanceUID): image for image in map(pydicom.dcmread, stack.paths)}
    order = {(frame.sop_instance_uid, frame.index + 1): k for k, frame in enumerate(stack.frames)}
    masks = []
    for drawn in pydicom.dcmread(path).ROIContourSequence:
        voxels = np.zeros(stack.grid.shape, bool)
        for contour in drawn.ContourSequence:
            (named,) = contour.ContourImageSequence
            number = int(named.get("ReferencedFrameNumber", 1))
            where, steps = _geometry(images[named.ReferencedSOPInstanceUID], number)
            points = np.array(contour.ContourData, float).reshape(-1, 3) - where
            flat = points @ np.linalg.pinv(steps)
            assert np.abs(flat @ steps - points).max() < 1e-3  # in the plane of the image
            voxels[order[named.ReferencedSOPInstanceUID, number]] ^= polygon2mask(stack.grid.shape[1:], flat)
        masks.append(voxels)
    return masks


@pytest.mark.parametrize("name", REAL)
def test_real_series_give_contours_that_others_fill_alike(
    data: Path, tmp_path: Path, tool: Callable[[str], str], name: str
) -> None:
    stack = opened(data / "dicom" / name, tmp_path / "scratch")
    findings = lumps(stack)
    assert [RTSTRUCT.refuse(stack, finding) for finding in findings] == ["", "", ""]
    made = parcel(stack, findings, tmp_path / "out", "rtstruct")
    paths = RTSTRUCT.write(made)
    gate(made, RTSTRUCT, paths)
    (path,) = paths
    assert not faults(path, tool)
    for voxels, meant in zip(_read_by_others(path, stack), findings, strict=True):
        assert np.array_equal(voxels, meant.mask.voxels)
    done = subprocess.run([tool("dcmdump"), "-q", str(path)], capture_output=True, text=True, check=True)
    assert "W:" not in done.stderr
    values = [line.split("[")[1].split("]")[0] for line in done.stdout.splitlines() if " DS [" in line]
    assert max(len(number) for value in values for number in value.split("\\") if "..." not in number) <= 16
    written = pydicom.dcmread(path)
    numbers = [str(n.original_string) for c in written.ROIContourSequence[0].ContourSequence for n in c.ContourData]
    assert max(map(len, numbers)) <= 16
    kinds = [(region.ROIName, region.ROIGenerationAlgorithm) for region in written.StructureSetROISequence]
    assert kinds == [("Glioma 1", "AUTOMATIC"), ("Glioma 2", "SEMIAUTOMATIC"), ("Läsion 3", "MANUAL")]
    assert written.StructureSetROISequence[1].ROIGenerationDescription.endswith("1.2.0, edited")
    assert [list(drawn.ROIDisplayColor) for drawn in written.ROIContourSequence][1] == [0x40, 0x80, 0xC0]


def test_contours_too_long_for_an_explicit_vr_are_written_whole(tmp_path: Path) -> None:
    write_series(tmp_path / "in", np.zeros((1, 200, 220), np.int16))
    stack = opened(tmp_path / "in", tmp_path)
    row, column = np.indices((200, 220))
    comb = np.asarray((column % 4 == 0) | (row == 0) | ((column % 4 == 1) & (row % 2 == 0)))[None]
    made = parcel(stack, [finding(stack, comb, measures=None)], tmp_path / "out", "rtstruct")
    paths = RTSTRUCT.write(made)
    gate(made, RTSTRUCT, paths)
    (contour,) = pydicom.dcmread(paths[0]).ROIContourSequence[0].ContourSequence
    assert sum(len(str(number)) + 1 for number in contour.ContourData) > 1 << 16
    assert np.array_equal(_read_by_others(paths[0], stack)[0], comb)


def test_a_box_says_so_and_claims_no_volume(tmp_path: Path) -> None:
    write_series(tmp_path / "in", np.zeros((4, 12, 14), np.int16))
    stack = opened(tmp_path / "in", tmp_path)
    voxels = np.zeros(stack.grid.shape, bool)
    voxels[1:3, 3:7, 5:11] = True
    box = finding(stack, voxels, kind=Kind.DETECTION, box=(1, 3, 5, 3, 7, 11))
    made = parcel(stack, [box, finding(stack, voxels, 2)], tmp_path / "out", "rtstruct")
    paths = RTSTRUCT.write(made)
    gate(made, RTSTRUCT, paths)
    one, two = pydicom.dcmread(paths[0]).StructureSetROISequence
    assert (one.ROIName, two.ROIName) == ("Glioma 1 (box)", "Glioma 2")
    assert "ROIVolume" not in one
    assert float(two.ROIVolume) == 0.144


def test_an_amended_and_signed_set_says_what_it_comes_after_and_who_signed(
    tmp_path: Path, tool: Callable[[str], str]
) -> None:
    write_series(tmp_path / "in", np.zeros((4, 12, 14), np.int16))
    stack = opened(tmp_path / "in", tmp_path)
    left = Left("rtstruct", stack.uid, RTStructureSetStorage, "1.2.3.4", "1.2.3", stack.identity.study_uid)
    made = parcel(stack, lumps(stack), tmp_path / "out", "rtstruct", earlier=(left,), signed_by=Reader("Grace Hopper"))
    (path,) = RTSTRUCT.write(made)
    gate(made, RTSTRUCT, [path])
    assert not faults(path, tool)
    written = pydicom.dcmread(path)
    assert written.PredecessorStructureSetSequence[0].ReferencedSOPInstanceUID == "1.2.3.4"
    assert (written.ApprovalStatus, written.ReviewerName) == ("APPROVED", "Hopper^Grace")
    for other in (replace(made, signed_by=None), replace(made, earlier=())):
        with pytest.raises(UserError, match="failed the check"):
            gate(other, RTSTRUCT, [path])


# What is refused


def test_what_cannot_carry_contours_is_refused_in_a_sentence(data: Path, tmp_path: Path) -> None:
    said = {}
    for name in ("ct-gantry-tilt", "chest-xray", "codecs/wg04/US1_UNC.dcm"):
        stack = opened(data / "dicom" / name, tmp_path / "scratch")
        said[name] = RTSTRUCT.refuse(stack, finding(stack, lump(stack), measures=None))
    assert said["ct-gantry-tilt"].startswith("A structure set needs a regular stack of slices. Gantry tilt")
    assert said["chest-xray"] == said["codecs/wg04/US1_UNC.dcm"]
    assert said["chest-xray"] == "This image has no place in the patient, so no contour can lie in it."


def test_a_set_that_was_asked_for_and_cannot_be_written_is_spoken_of(data: Path, tmp_path: Path) -> None:
    stack = opened(data / "dicom" / "ct-gantry-tilt", tmp_path / "scratch")
    written = export(stack, [finding(stack, lump(stack))], tmp_path / "out", READER, (SR, RTSTRUCT))
    assert [item.kind for item in written] == ["SR"]
    said = "Not written: RT Structure Set. Its slices are sheared by a tilted gantry, so have it resampled"
    assert written[-1].remark.startswith(said)


def test_uneven_stacks_and_findings_without_an_outline_are_refused(tmp_path: Path) -> None:
    places = [(0.0, 0.0, z) for z in (0.0, 3.0, 6.0, 12.0, 15.0)]
    write_series(tmp_path / "in", np.zeros((5, 8, 9), np.int16), positions=places)
    stack = opened(tmp_path / "in", tmp_path)
    assert "1 slice is missing" in RTSTRUCT.refuse(stack, finding(stack, lump(stack), measures=None))
    empty = finding(stack, np.zeros(stack.grid.shape, bool), status=Status.EDITED, measures=None)
    assert RTSTRUCT.refuse(stack, empty) == "It has no outline."


# What the gate notices


def _contour(d: Dataset, number: int = 0) -> Dataset:
    return d.ROIContourSequence[0].ContourSequence[number]


def _moved(d: Dataset, axis: int, by: float) -> None:
    contour = _contour(d)
    contour.ContourData[axis::3] = [f"{float(value) + by:.6f}" for value in contour.ContourData[axis::3]]


SPOILED: dict[str, Callable[[Dataset], object]] = {
    "contour gone": lambda d: d.ROIContourSequence[0].ContourSequence.pop(),
    "contour twice": lambda d: d.ROIContourSequence[0].ContourSequence.append(_contour(d)),
    "contour moved": lambda d: _moved(d, 0, 0.8),
    "contour off its image": lambda d: _moved(d, 2, 0.01),
    "point gone": lambda d: setattr(_contour(d), "ContourData", list(_contour(d).ContourData)[3:]),
    "contour open": lambda d: setattr(_contour(d), "ContourGeometricType", "OPEN_PLANAR"),
    "image of a contour": lambda d: setattr(
        _contour(d).ContourImageSequence[0],
        "ReferencedSOPInstanceUID",
        _contour(d, -1).ContourImageSequence[0].ReferencedSOPInstanceUID,
    ),
    "foreign image": lambda d: setattr(_contour(d).ContourImageSequence[0], "ReferencedSOPInstanceUID", "1.2.3"),
    "region gone": lambda d: d.ROIContourSequence.pop(),
    "regions exchanged": lambda d: d.ROIContourSequence.reverse(),
    "number": lambda d: setattr(d.StructureSetROISequence[0], "ROINumber", 7),
    "name": lambda d: setattr(d.StructureSetROISequence[0], "ROIName", "Glioma 9"),
    "tracking": lambda d: setattr(d.StructureSetROISequence[0], "ROIDescription", "Accepted"),
    "maker": lambda d: setattr(d.StructureSetROISequence[1], "ROIGenerationAlgorithm", "AUTOMATIC"),
    "model": lambda d: setattr(d.StructureSetROISequence[0], "ROIGenerationDescription", "another"),
    "concept": lambda d: setattr(d.RTROIObservationsSequence[0].RTROIIdentificationCodeSequence[0], "CodeValue", "1"),
    "category": lambda d: setattr(
        d.RTROIObservationsSequence[0].SegmentedPropertyCategoryCodeSequence[0], "CodeValue", "1"
    ),
    "observation": lambda d: setattr(d.RTROIObservationsSequence[2], "ReferencedROINumber", 1),
    "image left out": lambda d: _series(d).ContourImageSequence.pop(),
    "other series": lambda d: setattr(_series(d), "SeriesInstanceUID", "1.2.3"),
    "other study": lambda d: setattr(
        d.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0], "ReferencedSOPInstanceUID", "1.2.3"
    ),
}


def _series(d: Dataset) -> Dataset:
    return d.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0].RTReferencedSeriesSequence[0]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Stack:
    folder = tmp_path_factory.mktemp("rtstruct")
    write_series(folder / "in", np.zeros((6, 12, 14), np.int16), spacing=(0.9, 0.8), step=3.3)
    return opened(folder / "in", folder)


@pytest.mark.parametrize("what", SPOILED)
def test_the_check_notices_what_was_tampered_with(stack: Stack, tmp_path: Path, what: str) -> None:
    made = parcel(stack, lumps(stack), tmp_path / "out", "rtstruct")
    (path,) = RTSTRUCT.write(made)
    gate(made, RTSTRUCT, [path])
    spoiled = pydicom.dcmread(path)
    SPOILED[what](spoiled)
    spoiled.save_as(path)
    with pytest.raises(UserError, match="failed the check before export"):
        gate(made, RTSTRUCT, [path])


def test_the_check_compares_with_what_is_on_the_screen(stack: Stack, tmp_path: Path) -> None:
    findings = lumps(stack)
    made = parcel(stack, findings, tmp_path / "out", "rtstruct")
    paths = RTSTRUCT.write(made)
    voxels = findings[0].mask.voxels
    voxels[3, 4, 5] ^= True
    other = [replace(findings[0], mask=Mask.of(voxels)), *findings[1:]]
    with pytest.raises(UserError, match="enclose other voxels"):
        gate(replace(made, findings=tuple(other)), RTSTRUCT, paths)
