"""The self-check before anything leaves notices every change that matters."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom import Dataset

from overread.dicom.check import gate
from overread.dicom.check_seg import SEG as SEG_PRODUCT
from overread.dicom.export import export
from overread.dicom.product import Parcel
from overread.dicom.source import source_headers
from overread.domain.errors import UserError
from overread.domain.finding import Finding, Mask, Measures, Status
from overread.domain.study import Stack
from support.findings import READER, opened, three
from support.gates import parcel_of, pass_gate
from support.series import write_series


def _flip(d: Dataset) -> None:
    d.PixelData = d.PixelData[:40] + bytes([d.PixelData[40] ^ 4]) + d.PixelData[41:]


def _move(d: Dataset) -> None:
    d.PerFrameFunctionalGroupsSequence[2].PlanePositionSequence[0].ImagePositionPatient[1] += 0.01


def _source(d: Dataset) -> Dataset:
    return d.PerFrameFunctionalGroupsSequence[2].DerivationImageSequence[0].SourceImageSequence[0]


def _swap_frames(d: Dataset) -> None:
    one, two = d.PerFrameFunctionalGroupsSequence[1:3]
    one.DerivationImageSequence, two.DerivationImageSequence = two.DerivationImageSequence, one.DerivationImageSequence


def _shared(d: Dataset) -> Dataset:
    return d.SharedFunctionalGroupsSequence[0]


TURNED = [0, 1, 0, 1, 0, 0]
EITHER: dict[str, Callable[[Dataset], object]] = {
    "patient": lambda d: setattr(d, "PatientID", "ID2"),
    "name": lambda d: setattr(d, "PatientName", "TEST^TWO"),
    "birth date": lambda d: setattr(d, "PatientBirthDate", "19000101"),
    "sex": lambda d: setattr(d, "PatientSex", "F"),
    "study": lambda d: setattr(d, "StudyInstanceUID", "1.2.3"),
    "accession": lambda d: setattr(d, "AccessionNumber", "77"),
    "no patient": lambda d: d.__delattr__("PatientID"),
    "character set": lambda d: setattr(d, "SpecificCharacterSet", "ISO_IR 100"),
    "body part": lambda d: setattr(d, "BodyPartExamined", "CHEST"),
    "study's description": lambda d: d.__delattr__("StudyDescription"),
    "file header": lambda d: setattr(d.file_meta, "MediaStorageSOPInstanceUID", "1.2.3"),
    "required attribute": lambda d: d.__delattr__("InstanceNumber"),
    "empty attribute": lambda d: setattr(d, "InstanceNumber", None),
}
SEG: dict[str, Callable[[Dataset], object]] = EITHER | {
    "voxel": _flip,
    "place": _move,
    "frame of reference": lambda d: setattr(d, "FrameOfReferenceUID", "1.2.3"),
    "orientation": lambda d: setattr(_shared(d).PlaneOrientationSequence[0], "ImageOrientationPatient", TURNED),
    "spacing": lambda d: setattr(_shared(d).PixelMeasuresSequence[0], "PixelSpacing", [0.8, 0.9]),
    "source image": lambda d: setattr(_source(d), "ReferencedSOPInstanceUID", "1.2.3"),
    "frames exchanged": _swap_frames,
    "segment": lambda d: setattr(d.SegmentSequence[0], "SegmentNumber", 2),
    "tracking": lambda d: setattr(d.SegmentSequence[0], "TrackingUID", "1.2.3"),
    "type": lambda d: setattr(d.SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0], "CodeValue", "1"),
    "category": lambda d: setattr(d.SegmentSequence[0].SegmentedPropertyCategoryCodeSequence[0], "CodeValue", "1"),
    "algorithm": lambda d: setattr(d.SegmentSequence[1], "SegmentAlgorithmType", "AUTOMATIC"),
    "model": lambda d: setattr(d.SegmentSequence[0], "SegmentAlgorithmName", "another"),
    "segment gone": lambda d: d.SegmentSequence.pop(),
    "frame gone": lambda d: d.PerFrameFunctionalGroupsSequence.pop(),
    "pixels cut": lambda d: setattr(d, "PixelData", d.PixelData[:-20]),
    "own series": lambda d: setattr(d, "SeriesInstanceUID", d.ReferencedSeriesSequence[0].SeriesInstanceUID),
    "lossy flag": lambda d: setattr(d, "LossyImageCompression", "00"),
    "referenced instance": lambda d: setattr(
        d.ReferencedSeriesSequence[0].ReferencedInstanceSequence[0], "ReferencedSOPInstanceUID", "1.2.3"
    ),
    "nested frame of reference": lambda d: setattr(_shared(d), "FrameOfReferenceUID", "1.2.3"),
    "own image": lambda d: setattr(d, "SOPInstanceUID", _source(d).ReferencedSOPInstanceUID),
}


def _items(d: Dataset, code: str) -> list[Dataset]:
    found = []
    for item in d.get("ContentSequence", ()):
        name = item.get("ConceptNameCodeSequence")
        found += [item] if name and name[0].CodeValue == code else []
        found += _items(item, code)
    return found


def _number(d: Dataset, code: str) -> Dataset:
    return _items(d, code)[0].MeasuredValueSequence[0]


def _reference(d: Dataset, code: str) -> Dataset:
    return _items(d, code)[0].ReferencedSOPSequence[0]


def _evidence(d: Dataset) -> Dataset:
    return d.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0]


SR: dict[str, Callable[[Dataset], object]] = EITHER | {
    "volume": lambda d: setattr(_number(d, "118565006"), "NumericValue", "1.5"),
    "long axis": lambda d: setattr(_number(d, "103339001"), "NumericValue", "1.5"),
    "short axis": lambda d: setattr(_number(d, "103340004"), "NumericValue", "1.5"),
    "segmentation": lambda d: setattr(_reference(d, "121191"), "ReferencedSOPInstanceUID", "1.2"),
    "segment": lambda d: setattr(_reference(d, "121191"), "ReferencedSegmentNumber", 3),
    "image": lambda d: setattr(_reference(d, "121233"), "ReferencedSOPInstanceUID", "1.2"),
    "tracking": lambda d: setattr(_items(d, "112040")[0], "UID", "1.2.3"),
    "finding": lambda d: setattr(_items(d, "121071")[0].ConceptCodeSequence[0], "CodeValue", "1"),
    "evidence": lambda d: setattr(_evidence(d).ReferencedSOPSequence[0], "ReferencedSOPInstanceUID", "1.2.3"),
    "evidence gone": lambda d: _evidence(d).ReferencedSOPSequence.pop(),
    "evidence of another study": lambda d: setattr(
        d.CurrentRequestedProcedureEvidenceSequence[0], "StudyInstanceUID", "1.2.3"
    ),
    "group gone": lambda d: _items(d, "126010")[0].ContentSequence.pop(),
}


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Stack, list[Finding], Path, Path]:
    folder = tmp_path_factory.mktemp("exported")
    write_series(
        folder / "in",
        np.zeros((6, 8, 10), np.int16),
        spacing=(0.9, 0.8),
        step=3.3,
        BodyPartExamined="HEAD",
        StudyDescription="Head",
        LossyImageCompression="01",
        LossyImageCompressionRatio="10",
    )
    stack = opened(folder / "in", folder)
    findings = three(stack)
    seg, report = export(stack, findings, folder / "out", READER)
    return stack, findings, seg.path, report.path


@pytest.mark.parametrize(
    ("kind", "what"), [*(("SEG", name) for name in SEG), *(("SR", name) for name in SR)], ids=lambda value: value
)
def test_the_check_notices_what_was_tampered_with(
    exported: tuple[Stack, list[Finding], Path, Path], tmp_path: Path, kind: str, what: str
) -> None:
    stack, findings, *paths = exported
    headers = source_headers(stack)
    pass_gate(paths, headers, findings)
    at = int(kind == "SR")
    spoiled = pydicom.dcmread(paths[at])
    (SEG, SR)[at][what](spoiled)
    paths[at] = tmp_path / "spoiled.dcm"
    spoiled.save_as(paths[at])
    with pytest.raises(UserError, match=r"^spoiled.dcm failed the check before export") as caught:
        pass_gate(paths, headers, findings)
    assert "Nothing was exported" in caught.value.hint


def test_the_check_compares_with_what_is_on_the_screen(
    exported: tuple[Stack, list[Finding], Path, Path],
) -> None:
    stack, findings, *paths = exported
    headers = source_headers(stack)
    voxels = findings[0].mask.voxels
    voxels[3, 4, 5] ^= True
    others = [
        [replace(findings[0], mask=Mask.of(voxels)), *findings[1:]],
        [findings[1], findings[0], findings[2]],
        findings[:2],
        [replace(findings[0], status=Status.EDITED), *findings[1:]],
        [replace(findings[0], measures=Measures(1, 2, 3, 4, 5)), *findings[1:]],
        [replace(findings[0], measures=None), *findings[1:]],
    ]
    for other in others:
        with pytest.raises(UserError, match="failed the check"):
            pass_gate(paths, headers, other)


def test_a_file_that_cannot_be_read_back_does_not_leave(
    exported: tuple[Stack, list[Finding], Path, Path], tmp_path: Path
) -> None:
    stack, findings, seg, report = exported
    headers = source_headers(stack)
    for size in (0, 100, 1000, seg.stat().st_size - 3):
        cut = tmp_path / "cut.dcm"
        cut.write_bytes(seg.read_bytes()[:size])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with pytest.raises(UserError, match=r"^cut.dcm failed the check"):
                pass_gate([cut, report], headers, findings)


def test_two_objects_of_one_uid_do_not_leave(exported: tuple[Stack, list[Finding], Path, Path], tmp_path: Path) -> None:
    stack, findings, seg, report = exported
    twin = pydicom.dcmread(report)
    twin.SOPInstanceUID = twin.file_meta.MediaStorageSOPInstanceUID = pydicom.dcmread(seg).SOPInstanceUID
    twin.save_as(tmp_path / "twin.dcm")
    with pytest.raises(UserError, match=r"^twin.dcm failed the check before export: two objects have the same UID"):
        pass_gate([seg, tmp_path / "twin.dcm"], source_headers(stack), findings)


def test_what_was_not_written_does_not_pass(exported: tuple[Stack, list[Finding], Path, Path], tmp_path: Path) -> None:
    stack, findings, seg, _ = exported
    headers = source_headers(stack)
    with pytest.raises(UserError, match="nothing was written"):
        gate(parcel_of(SEG_PRODUCT, tmp_path, headers, findings), SEG_PRODUCT, [])
    with pytest.raises(UserError, match="it is not where it was to be"):
        gate(parcel_of(SEG_PRODUCT, tmp_path, headers, findings), SEG_PRODUCT, [seg])


@pytest.mark.parametrize(
    ("product", "what"),
    [("seg", "voxel"), ("seg", "place"), ("seg", "required attribute"), ("sr", "volume"), ("sr", "study")],
)
def test_a_check_that_fails_leaves_nothing_behind(
    exported: tuple[Stack, list[Finding], Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    product: str,
    what: str,
) -> None:
    stack, findings, _, _ = exported
    real = Parcel.save

    def spoilt(self: Parcel, dataset: Dataset, detail: str = "") -> Path:
        path = real(self, dataset, detail)
        if self.product == product:
            written = pydicom.dcmread(path)
            {"seg": SEG, "sr": SR}[product][what](written)
            written.save_as(path)
        return path

    monkeypatch.setattr(Parcel, "save", spoilt)
    with pytest.raises(UserError, match=f"^{product.upper()}_.*failed the check before export"):
        export(stack, findings, tmp_path / "out", READER)
    assert not (tmp_path / "out").exists()
