"""The report beyond segments: boxes, outlines, lengths, what was rejected, who signed, what came before."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
import pytest
from pydicom import Dataset

from overread.dicom.export import Terms, Written, export
from overread.dicom.source import source_headers
from overread.domain.errors import UserError
from overread.domain.finding import Act, Finding, Kind, Mask, Reader, Status
from overread.domain.geometry import Plane
from overread.domain.measurement import Measurement, Shape
from overread.domain.ruler import Scale
from overread.domain.study import Stack
from overread.imaging.editing.outline import enclosed
from overread.imaging.measuring import measured
from overread.session.products import products
from support.findings import READER, WHEN, blob, finding, opened
from support.gates import pass_gate
from support.series import write_series

BOX = (1, 2, 2, 4, 6, 7)
SR = ("sr",)


@pytest.fixture
def ct(tmp_path: Path) -> Stack:
    write_series(
        tmp_path / "ct",
        np.zeros((6, 8, 10), np.int16),
        orientation=(0.96, 0.28, 0.0, -0.263114, 0.902105, 0.342020),
        spacing=(0.9, 0.8),
        modality="CT",
        InstitutionName="St. Elsewhere",
    )
    return opened(tmp_path / "ct", tmp_path)


def boxed(stack: Stack) -> Finding:
    voxels = np.zeros(stack.grid.shape, bool)
    voxels[1:4, 2:6, 2:7] = True
    return finding(stack, voxels, 1, label="Nodule", kind=Kind.DETECTION, box=BOX, measures=None)


def by_hand(stack: Stack, number: int, made: Measurement) -> Finding:
    nothing = np.zeros(stack.grid.shape, bool)
    more: dict[str, Any] = {"model": None, "score": None, "measures": None, "status": Status.EDITED}
    return finding(stack, nothing, number, kind=Kind.MEASUREMENT, measurement=made, **more)


def lengths(stack: Stack) -> list[Finding]:
    long, angle = ((2.0, 1.0, 1.0), (2.0, 4.0, 5.0)), ((2.0, 1.0, 1.0), (2.0, 4.0, 5.0), (2.0, 1.5, 7.0))
    axes = ((2.0, 1.0, 4.0), (2.0, 7.0, 4.0), (2.0, 4.0, 3.0), (2.0, 4.0, 5.0))
    sagittal = ((1.0, 2.5, 3.0), (4.0, 5.0, 3.0))
    made = [
        measured(Shape.LENGTH, long, Plane.AXIAL, stack),
        measured(Shape.ANGLE, angle, Plane.AXIAL, stack),
        measured(Shape.BIDIRECTIONAL, axes, Plane.AXIAL, stack),
        measured(Shape.ELLIPSE, axes, Plane.AXIAL, stack),
        measured(Shape.LENGTH, sagittal, Plane.SAGITTAL, stack),
    ]
    return [by_hand(stack, number, item) for number, item in enumerate(made, start=1)]


def turned_down(stack: Stack, reason: str = "vessel") -> Finding:
    return finding(stack, blob(stack, 5), 7, status=Status.REJECTED, reason=reason)


def only_report(written: tuple[Written, ...]) -> Dataset:
    (report,) = [item for item in written if item.kind == "SR"]
    return pydicom.dcmread(report.path)


def items(dataset: Dataset, code: str) -> list[Dataset]:
    found = []
    for item in dataset.get("ContentSequence", ()):
        name = item.get("ConceptNameCodeSequence")
        found += [item] if name and name[0].CodeValue == code else []
        found += items(item, code)
    return found


def graphics(dataset: Dataset) -> list[Dataset]:
    inner = [item for child in dataset.get("ContentSequence", ()) for item in graphics(child)]
    return [*([dataset] if str(dataset.get("ValueType")).startswith("SCOORD") else []), *inner]


def test_a_box_is_a_rectangle_on_every_slice_that_it_crosses(ct: Stack, tmp_path: Path) -> None:
    (written,) = export(ct, [boxed(ct)], tmp_path / "out", READER)
    (group,) = hd.sr.srread(written.path).content.get_volumetric_roi_measurement_groups()
    corners = [[2, 2], [7, 2], [7, 6], [2, 6], [2, 2]]
    assert [region.value.tolist() for region in group.roi] == [corners] * 3
    report = pydicom.dcmread(written.path)
    shown = [item.ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID for item in graphics(report)]
    assert shown == [frame.sop_instance_uid for frame in ct.frames[1:4]]


def test_a_box_that_was_moved_leaves_where_it_is_now(ct: Stack, tmp_path: Path) -> None:
    voxels = np.zeros(ct.grid.shape, bool)
    voxels[2:5, 1:4, 3:9] = True
    moved = replace(boxed(ct), mask=Mask.of(voxels), moved=(2, 1, 3, 5, 4, 9), status=Status.EDITED)
    report = only_report(export(ct, [moved], tmp_path / "out", READER))
    assert {tuple(item.GraphicData[:4]) for item in graphics(report)} == {(3, 1, 9, 1)}


def test_without_a_segmentation_outlines_hold_the_same_voxels(ct: Stack, tmp_path: Path) -> None:
    made = finding(ct, blob(ct, 3))
    report = only_report(export(ct, [made], tmp_path / "out", READER, products(SR)))
    voxels = np.zeros(ct.grid.shape, bool)
    k_of = {frame.sop_instance_uid: k for k, frame in enumerate(ct.frames)}
    for item in graphics(report):
        k = k_of[str(item.ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID)]
        line = np.array(item.GraphicData).reshape(-1, 2)
        assert np.array_equal(line[0], line[-1]), "closed"
        voxels[k] |= enclosed(line[:-1, ::-1] - 0.5, ct.grid.shape[1:])
    assert np.array_equal(voxels, made.mask.voxels)


def test_what_was_measured_by_hand_leaves_with_its_lines(ct: Stack, tmp_path: Path, tool: Callable[[str], str]) -> None:
    made = lengths(ct)
    written = export(ct, made, tmp_path / "out", READER)
    report = only_report(written)
    assert report.SOPClassUID.name == "Comprehensive 3D SR Storage", "one lies across the slices"
    kinds = [(item.ValueType, item.GraphicType) for item in graphics(report)]
    flat = ("SCOORD", "POLYLINE")
    assert kinds == [flat, flat, flat, flat, ("SCOORD", "ELLIPSE"), ("SCOORD3D", "POLYLINE")]
    said = [float(item.MeasuredValueSequence[0].NumericValue) for item in _numbers(report)]
    assert said == [value.number for one in made if one.measurement for value in one.measurement.values]
    length, *_, across = graphics(report)
    assert list(length.GraphicData) == [1.5, 1.5, 5.5, 4.5]
    assert across.ReferencedFrameOfReferenceUID == report_frame(ct)
    where = ct.grid.to_lps([(1.0, 2.5, 3.0), (4.0, 5.0, 3.0)])
    assert np.allclose(np.array(across.GraphicData).reshape(2, 3), where, atol=1e-4)
    _sound(written[0].path, tool)


def _numbers(report: Dataset) -> list[Dataset]:
    found = []
    for item in report.get("ContentSequence", ()):
        found += [item] if item.ValueType == "NUM" else []
        found += _numbers(item)
    return found


def report_frame(stack: Stack) -> str:
    return str(pydicom.dcmread(stack.paths[0], stop_before_pixels=True).FrameOfReferenceUID)


def test_lengths_of_radiographs_say_what_a_millimetre_is(ct: Stack, tmp_path: Path) -> None:
    made = replace(measured(Shape.LENGTH, ((0, 1, 1), (0, 4, 5)), Plane.AXIAL, ct), scale=Scale.DETECTOR)
    report = only_report(export(ct, [by_hand(ct, 1, made)], tmp_path / "out", READER))
    assert [item.TextValue for item in items(report, "121106")] == ["Lengths: at detector"]


def test_what_was_rejected_is_told_of_where_that_is_asked_for(
    ct: Stack, tmp_path: Path, tool: Callable[[str], str]
) -> None:
    findings = [finding(ct, blob(ct)), turned_down(ct)]
    assert len(items(only_report(export(ct, findings, tmp_path / "out", READER)), "125007")) == 1
    written = export(ct, findings, tmp_path / "out", READER, terms=Terms(rejected=True))
    accepted, rejected = items(only_report(written), "125007")
    assert items(accepted, "OR0001")[0].ConceptCodeSequence[0].CodeValue == "OR0002"
    assert items(rejected, "OR0001")[0].ConceptCodeSequence[0].CodeValue == "OR0011"
    assert [item.TextValue for item in items(rejected, "OR0012")] == ["vessel"]
    assert findings[1].id == items(rejected, "112040")[0].UID
    assert not items(rejected, "121191"), "no viewer draws what was rejected"
    assert not graphics(rejected)
    seg = pydicom.dcmread(next(item.path for item in written if item.kind == "SEG"))
    assert [segment.TrackingUID for segment in seg.SegmentSequence] == [findings[0].id]
    for item in written:
        _sound(item.path, tool)


def test_a_report_may_tell_of_nothing_but_rejections(ct: Stack, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nothing to export"):
        export(ct, [turned_down(ct)], tmp_path / "out", READER)
    (report,) = export(ct, [turned_down(ct)], tmp_path / "out", READER, terms=Terms(rejected=True))
    assert report.kind == "SR"
    own = replace(turned_down(ct), model=None, acts=(Act(READER, "draw", WHEN),))
    with pytest.raises(UserError, match="nothing to export"):  # what a reader drew and took back is nobody's claim
        export(ct, [own], tmp_path / "out", READER, terms=Terms(rejected=True))


def test_a_report_is_partial_while_findings_wait_and_nobody_signs_it_then(ct: Stack, tmp_path: Path) -> None:
    waiting = finding(ct, blob(ct, 2), 2, status=Status.PROPOSED, acts=())
    report = only_report(export(ct, [finding(ct, blob(ct)), waiting], tmp_path / "out", READER))
    assert (report.CompletionFlag, report.VerificationFlag) == ("PARTIAL", "UNVERIFIED")
    signing = Terms(signed_by=Reader("Rosalind Franklin"))
    with pytest.raises(UserError, match="1 finding waits for a verdict"):
        export(ct, [finding(ct, blob(ct)), waiting], tmp_path / "signed", READER, terms=signing)
    assert not (tmp_path / "signed").exists()


def test_a_report_is_verified_by_whoever_signs(ct: Stack, tmp_path: Path, tool: Callable[[str], str]) -> None:
    plain = only_report(export(ct, [finding(ct, blob(ct))], tmp_path / "out", READER))
    assert (plain.CompletionFlag, plain.VerificationFlag) == ("COMPLETE", "UNVERIFIED")
    assert "VerifyingObserverSequence" not in plain
    signing = Terms(signed_by=Reader("Rosalind Franklin"))
    written = export(ct, [finding(ct, blob(ct))], tmp_path / "signed", READER, terms=signing)
    signed = only_report(written)
    assert signed.VerificationFlag == "VERIFIED"
    (who,) = signed.VerifyingObserverSequence
    assert (str(who.VerifyingObserverName), who.VerifyingOrganization) == ("Franklin^Rosalind", "St. Elsewhere")
    _sound(written[-1].path, tool)


def test_an_amended_report_names_the_one_before(ct: Stack, tmp_path: Path, tool: Callable[[str], str]) -> None:
    first = export(ct, [finding(ct, blob(ct))], tmp_path / "out", READER)
    left = [item.left for item in first if item.left is not None]
    edited = finding(ct, blob(ct, 2), status=Status.EDITED, original=Mask.of(blob(ct)))
    again = export(ct, [edited], tmp_path / "out", READER, earlier=left)
    report = only_report(again)
    (series,) = report.PredecessorDocumentsSequence[0].ReferencedSeriesSequence
    before = next(item for item in first if item.kind == "SR")
    assert [item.ReferencedSOPInstanceUID for item in series.ReferencedSOPSequence] == [before.sop_instance_uid]
    segments = [pydicom.dcmread(item.path).SegmentSequence[0] for item in (*first, *again) if item.kind == "SEG"]
    assert [segment.TrackingUID for segment in segments] == [edited.id] * 2, "it stays the same finding"
    assert [segment.SegmentAlgorithmType for segment in segments] == ["AUTOMATIC", "SEMIAUTOMATIC"]
    _sound(again[-1].path, tool)


def _sound(path: Path, tool: Callable[[str], str]) -> None:
    done = subprocess.run([tool("dciodvfy"), str(path)], capture_output=True, text=True, check=False)
    assert not re.findall(r"^Error.*", done.stdout + done.stderr, re.MULTILINE), done.stderr
    if pydicom.dcmread(path).Modality == "SR":
        dumped = subprocess.run([tool("dsrdump"), str(path)], capture_output=True, text=True, check=True)
        assert not re.findall(r"^E:", dumped.stderr, re.MULTILINE)


SPOILT: dict[str, Callable[[Dataset], object]] = {
    "verdict": lambda d: setattr(items(d, "OR0001")[0].ConceptCodeSequence[0], "CodeValue", "OR0003"),
    "reason": lambda d: setattr(items(d, "OR0012")[0], "TextValue", "artefact"),
    "box": lambda d: setattr(graphics(d)[0], "GraphicData", [2, 2, 8, 2, 8, 6, 2, 6, 2, 2]),
    "line": lambda d: setattr(graphics(d)[-1], "GraphicType", "MULTIPOINT"),
    "line gone": lambda d: items(d, "410668003")[0].ContentSequence.clear(),
    "place": lambda d: setattr(graphics(d)[-1], "GraphicData", [1.0, 2, 3, 4, 5, 6]),
    "slice": lambda d: setattr(
        graphics(d)[0].ContentSequence[0].ReferencedSOPSequence[0],
        "ReferencedSOPInstanceUID",
        graphics(d)[1].ContentSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID,
    ),
    "length": lambda d: setattr(items(d, "410668003")[0].MeasuredValueSequence[0], "NumericValue", "7"),
    "completion": lambda d: setattr(d, "CompletionFlag", "PARTIAL"),
    "verification": lambda d: setattr(d, "VerificationFlag", "UNVERIFIED"),
    "signature": lambda d: setattr(d.VerifyingObserverSequence[0], "VerifyingObserverName", "Somebody^Else"),
    "frame of reference": lambda d: setattr(graphics(d)[-1], "ReferencedFrameOfReferenceUID", "1.2.3"),
}


@pytest.mark.parametrize("what", SPOILT)
def test_the_check_notices(ct: Stack, tmp_path: Path, what: str) -> None:
    findings, down = [boxed(ct), *lengths(ct)], turned_down(ct)
    terms = Terms(rejected=True, signed_by=READER)
    (written,) = export(ct, [*findings, down], tmp_path / "out", READER, products(SR), terms)
    headers, more = source_headers(ct), {"rejected": (down,), "signed_by": READER}
    pass_gate([written.path], headers, findings, SR, **more)
    spoilt = pydicom.dcmread(written.path)
    SPOILT[what](spoilt)
    spoilt.save_as(tmp_path / "spoilt.dcm")
    with pytest.raises(UserError, match=r"^spoilt.dcm failed the check before export: (?!it cannot be read)"):
        pass_gate([tmp_path / "spoilt.dcm"], headers, findings, SR, **more)


def test_parts_with_empty_slices_between_them_are_lines_on_their_own_slices(tmp_path: Path) -> None:
    write_series(tmp_path / "in", np.zeros((6, 12, 14), np.int16))
    stack = opened(tmp_path / "in", tmp_path)
    apart = np.zeros(stack.grid.shape, bool)
    apart[1, 3:6, 4:8] = apart[4, 3:6, 4:8] = True
    (report,) = export(stack, [finding(stack, apart)], tmp_path / "out", READER, products(["sr"]))
    assert report.kind == "SR"
