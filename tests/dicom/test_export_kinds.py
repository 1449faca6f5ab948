"""Boxes and classes leave too: in reports that others read, and with a segmentation where there are voxels."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
from pydicom import Dataset
from pydicom.uid import ComputedRadiographyImageStorage, OphthalmicPhotography8BitImageStorage

from overread.dicom.export import Written, export
from overread.dicom.source import source_headers
from overread.domain.errors import UserError
from overread.domain.finding import Code, Finding, Kind, Mask, Status, Term
from overread.domain.geometry import Plane
from overread.domain.heatmap import Heatmap
from overread.domain.measurement import Shape
from overread.domain.study import Stack
from overread.imaging.measuring import measured
from overread.session.products import products
from support.findings import READER, blob, finding, opened
from support.gates import pass_gate
from support.series import changed, write_series

BOX = (1, 2, 2, 4, 6, 7)


@pytest.fixture
def ct(tmp_path: Path) -> Stack:
    write_series(tmp_path / "ct", np.zeros((6, 8, 10), np.int16), spacing=(0.9, 0.8), modality="CT")
    return opened(tmp_path / "ct", tmp_path)


@pytest.fixture
def cr(tmp_path: Path) -> Stack:
    """One radiograph without place and pixel spacing."""
    return opened(radiographs(tmp_path / "cr", 1), tmp_path)


def radiographs(folder: Path, count: int) -> Path:
    for path in write_series(folder, np.zeros((count, 8, 10), np.uint16), description="Thorax"):
        changed(path, ImagePositionPatient=None, ImageOrientationPatient=None, FrameOfReferenceUID=None)
        image = pydicom.dcmread(path)
        image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
        image.Modality, image.PixelSpacing = "CR", [0, 0]
        image.save_as(path)
    return folder


def detection(stack: Stack, number: int, *, outlined: bool) -> Finding:
    voxels = np.zeros(stack.grid.shape, bool)
    voxels[1:4, 2:6, 2:7] = True
    if outlined:
        voxels[:, :, 3] = False
    made = finding(stack, voxels, number, label="Nodule", kind=Kind.DETECTION, box=BOX, anatomy=None)
    return made if outlined else replace(made, measures=None)


def classified(stack: Stack, number: int, score: float, index: int = 0) -> Finding:
    seen = Heatmap.of(np.ones((2, 2)), (0, 0, 8, 10), Plane.AXIAL, index, "Pneumonia", "CAM", "last")
    nowhere = np.zeros(stack.grid.shape, bool)
    return finding(
        stack,
        nowhere,
        number,
        label="Pneumonia",
        kind=Kind.CLASSIFICATION,
        score=score,
        threshold=0.4,
        heatmap=seen,
        measures=None,
    )


def sound(written: tuple[Written, ...], tool: Callable[[str], str]) -> None:
    for item in written:
        done = subprocess.run([tool("dciodvfy"), str(item.path)], capture_output=True, text=True, check=False)
        errors = re.findall(r"^Error.*", done.stdout + done.stderr, re.MULTILINE)
        assert not [error for error in errors if "Illegal root for UID" not in error], item.path.name
        if item.kind == "SR":
            dumped = subprocess.run([tool("dsrdump"), str(item.path)], capture_output=True, text=True, check=True)
            assert not re.findall(r"^E:", dumped.stderr, re.MULTILINE)


def numbers(group: hd.sr.MeasurementsAndQualitativeEvaluations) -> dict[str, float]:
    return {measured.name.meaning: measured.value for measured in group.get_measurements()}


def answers(group: hd.sr.MeasurementsAndQualitativeEvaluations) -> dict[str, str]:
    return {item.name.meaning: item.value.meaning for item in group.get_qualitative_evaluations()}


def kinds(ct: Stack) -> list[Finding]:
    plain = replace(finding(ct, blob(ct), 1), classes=(("Glioma", 0.75), ("Other", 0.25)))
    return [
        classified(ct, 2, 0.9, index=2),
        plain,
        detection(ct, 3, outlined=True),
        classified(ct, 4, 0.1, index=5),
        detection(ct, 5, outlined=False),
    ]


def test_all_kinds_leave_together(ct: Stack, tmp_path: Path) -> None:
    findings = kinds(ct)
    seg, report = export(ct, findings, tmp_path / "out", READER)
    segments = pydicom.dcmread(seg.path).SegmentSequence
    assert [segment.SegmentLabel for segment in segments] == ["Glioma 1", "Nodule 3"], "a box is no outline"
    content = hd.sr.srread(report.path).content
    regions = content.get_volumetric_roi_measurement_groups()
    assert [group.tracking_uid for group in regions] == [findings[n].id for n in (1, 2, 4)]
    assert numbers(regions[0])["Probability"] == 0.75
    assert numbers(regions[1])["Score (attribute)"] == numbers(regions[2])["Score (attribute)"] == 0.9
    assert set(numbers(regions[2])) == {"Score (attribute)"}, "a box is not measured"
    wholes = content.get_image_measurement_groups()
    assert [group.tracking_uid for group in wholes] == [findings[n].id for n in (0, 3)]
    assert [answers(group)["Presence of property"] for group in wholes] == ["Present", "Absent"]
    assert [numbers(group)["Probability"] for group in wholes] == [0.9, 0.1]
    assert all(0.4 in numbers(group).values() for group in wholes)
    assert [[s.referenced_sop_instance_uid for s in group.source_images] for group in wholes] == [
        [ct.frames[k].sop_instance_uid] for k in (2, 5)
    ]


def test_all_kinds_are_sound_to_others(ct: Stack, cr: Stack, tmp_path: Path, tool: Callable[[str], str]) -> None:
    sound(export(ct, kinds(ct), tmp_path / "out", READER), tool)
    sound(export(cr, [classified(cr, 1, 0.9), finding(cr, blob(cr), 2)], tmp_path / "out", READER), tool)


def test_classes_alone_need_no_segmentation(cr: Stack, tmp_path: Path) -> None:
    (report,) = export(cr, [classified(cr, 1, 0.9)], tmp_path / "out", READER)
    assert (report.kind, report.remark) == ("SR", "")
    written = pydicom.dcmread(report.path)
    assert written.PatientID == "ID1"
    assert "FrameOfReferenceUID" not in written


def test_a_radiograph_carries_a_segmentation_without_a_place(cr: Stack, tmp_path: Path) -> None:
    made = finding(cr, blob(cr), 1)
    seg, report = export(cr, [made, classified(cr, 2, 0.1)], tmp_path / "out", READER)
    written = pydicom.dcmread(seg.path)
    assert np.array_equal(written.pixel_array.reshape(cr.grid.shape) > 0, made.mask.voxels)
    assert "FrameOfReferenceUID" not in written
    assert "PixelMeasuresSequence" not in written.SharedFunctionalGroupsSequence[0]
    assert report.remark == ""


def test_one_image_of_a_kind_that_may_have_many_need_not_count_itself(cr: Stack, tmp_path: Path) -> None:
    image = pydicom.dcmread(cr.paths[0])
    image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = OphthalmicPhotography8BitImageStorage
    image.save_as(cr.paths[0])
    stack = opened(tmp_path / "cr", tmp_path)
    made = finding(stack, blob(stack), 1)
    seg, _ = export(stack, [made], tmp_path / "out", READER)
    assert np.array_equal(pydicom.dcmread(seg.path).pixel_array.reshape(stack.grid.shape) > 0, made.mask.voxels)


def test_where_no_segmentation_can_be_the_report_has_the_outlines(ct: Stack, tmp_path: Path) -> None:
    for path in ct.paths:
        changed(Path(path), ImagePositionPatient=None)
    stack = opened(tmp_path / "ct", tmp_path)
    drawn = finding(stack, np.ones(stack.grid.shape, bool), 1, measures=None)
    (report,) = export(stack, [drawn, classified(stack, 2, 0.9)], tmp_path / "out", READER)
    assert (report.kind, report.remark.split(".")[0]) == ("SR", "Not written: Segmentation (SEG)")
    (region,) = hd.sr.srread(report.path).content.get_planar_roi_measurement_groups()
    assert region.roi.value.tolist() == [[0, 0], [10, 0], [10, 8], [0, 8], [0, 0]]
    with pytest.raises(UserError, match="no place in the patient"):
        export(stack, [drawn], tmp_path / "out", READER, products(["seg"]))


def test_what_was_rejected_or_erased_stays(ct: Stack, tmp_path: Path) -> None:
    erased = replace(detection(ct, 1, outlined=True), mask=Mask.of(np.zeros(ct.grid.shape, bool)))
    rejected = replace(classified(ct, 2, 0.9), status=Status.REJECTED)
    with pytest.raises(UserError, match="nothing to export"):
        export(ct, [erased, rejected], tmp_path / "out", READER)


def _items(dataset: Dataset, code: str) -> list[Dataset]:
    found = []
    for item in dataset.get("ContentSequence", ()):
        name = item.get("ConceptNameCodeSequence")
        found += [item] if name and name[0].CodeValue == code else []
        found += _items(item, code)
    return found


SPOILT: dict[str, Callable[[Dataset], object]] = {
    "presence": lambda d: setattr(_items(d, "121052")[0].ConceptCodeSequence[0], "CodeValue", "272519000"),
    "probability": lambda d: setattr(_items(d, "122157")[0].MeasuredValueSequence[0], "NumericValue", "0.5"),
    "threshold": lambda d: setattr(_items(d, "OR0005")[0].MeasuredValueSequence[0], "NumericValue", "0.5"),
    "score": lambda d: setattr(_items(d, "246262008")[0].MeasuredValueSequence[0], "NumericValue", "0.5"),
    "image": lambda d: setattr(_items(d, "121112")[0].ReferencedSOPSequence[0], "ReferencedSOPInstanceUID", "1.2.3"),
    "segment": lambda d: setattr(_items(d, "121191")[1].ReferencedSOPSequence[0], "ReferencedSegmentNumber", 1),
}


@pytest.mark.parametrize("what", SPOILT)
def test_the_check_notices_what_a_report_says_otherwise(ct: Stack, tmp_path: Path, what: str) -> None:
    findings = kinds(ct)
    seg, report = export(ct, findings, tmp_path / "out", READER)
    spoilt = pydicom.dcmread(report.path)
    SPOILT[what](spoilt)
    spoilt.save_as(tmp_path / "spoilt.dcm")
    headers = source_headers(ct)
    pass_gate([seg.path, report.path], headers, findings)
    with pytest.raises(UserError, match=r"^spoilt.dcm failed the check"):
        pass_gate([seg.path, tmp_path / "spoilt.dcm"], headers, findings)


def test_what_a_reader_says_instead_leaves(cr: Stack, tmp_path: Path) -> None:
    other = Term("Atelectasis", Code("46621007", "SCT", "Atelectasis"), classified(cr, 1, 0.2).category)
    turned = replace(classified(cr, 1, 0.2), present=True, status=Status.EDITED)
    named = classified(cr, 2, 0.8)
    named = replace(named, label=other.label, concept=other.concept, proposed=named.term, present=True)
    length = measured(Shape.LENGTH, ((0.0, 1.0, 1.0), (0.0, 4.0, 5.0)), Plane.AXIAL, cr)
    by_hand = finding(cr, np.zeros(cr.grid.shape, bool), 3, kind=Kind.MEASUREMENT, measurement=length, measures=None)
    (report,) = export(cr, [turned, named, by_hand], tmp_path / "out", READER)
    wholes = hd.sr.srread(report.path).content.get_image_measurement_groups()
    assert [group.tracking_uid for group in wholes] == [turned.id, named.id, by_hand.id]
    assert [answers(group).get("Presence of property") for group in wholes] == ["Present", "Present", None]
    assert ["Probability" in numbers(group) for group in wholes] == [True, False, False]
    assert [group.finding_type.meaning for group in wholes][:2] == ["Neoplasm", "Atelectasis"]
    assert [answers(group).get("What the model called it") for group in wholes] == [None, "Neoplasm", None]
