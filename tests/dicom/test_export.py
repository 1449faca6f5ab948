"""What leaves: read back by other people's software, whole or not at all, and nothing that was tampered with."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from overread.dicom import check_seg, check_sr
from overread.dicom import export as exporting
from overread.dicom.check_seg import SEG
from overread.dicom.export import export
from overread.dicom.product import Parcel
from overread.dicom.source import person_name, source_headers
from overread.domain.errors import UserError
from overread.domain.finding import Finding, Reader, Status
from overread.domain.study import Stack
from overread.session.products import products
from support.findings import READER, blob, finding, opened, three
from support.series import changed, write_series


@pytest.fixture
def made(tmp_path: Path) -> Stack:
    """A small oblique series."""
    write_series(
        tmp_path / "in",
        np.zeros((6, 8, 10), np.int16),
        orientation=(0.96, 0.28, 0.0, -0.168, 0.576, -0.8),
        spacing=(0.9, 0.8),
        step=3.3,
    )
    return opened(tmp_path / "in", tmp_path)


# Other people's software

REAL = [
    "glioma-fg6692/05_FLAIR_AX",
    "brain-mr-oblique",
    "chest-ct-cptac",
    "multiframe/enhanced-mr-siemens-xa10/6_1.dcm",
    "multiframe/enhanced-mr-philips-fieldmap",
    "derived-objects/highdicom/ct_image.dcm",
    "derived-objects/dcmqi/segmentations/24x38x3/multiframe/mf.dcm",
]


@pytest.mark.parametrize("name", REAL)
def test_real_series_give_objects_that_others_read(
    data: Path, tmp_path: Path, tool: Callable[[str], str], name: str
) -> None:
    stack = opened(data / "dicom" / name, tmp_path / "scratch")
    findings = three(stack)
    seg, report = export(stack, findings, tmp_path / "out", READER)
    assert (seg.kind, report.kind) == ("SEG", "SR")
    for path in (seg.path, report.path):
        assert not _faults(path, tool), path.name
    _read_segmentation(seg.path, stack, findings)
    _read_report(report.path, findings, tool)
    if "variable-spacing" not in {problem.code for problem in stack.problems}:  # dcmqi knows even steps alone
        _read_by_dcmqi(seg.path, stack, findings, tmp_path / "dcmqi")


def _faults(path: Path, tool: Callable[[str], str]) -> list[str]:
    """What dciodvfy calls an error, except in UIDs of the source, which are copied as they are."""
    done = subprocess.run([tool("dciodvfy"), str(path)], capture_output=True, text=True, check=False)
    errors = re.findall(r"^Error.*", done.stdout + done.stderr, re.MULTILINE)
    return [error for error in errors if "Illegal root for UID" not in error]


def _read_segmentation(path: Path, stack: Stack, findings: list[Finding]) -> None:
    seg = hd.seg.segread(path)
    assert seg.segmentation_type is hd.seg.SegmentationTypeValues.BINARY
    # By the headers: uneven stacks have no grid to ask.
    where = np.array(source_headers(stack).positions)
    frames = seg.pixel_array.reshape(-1, *stack.grid.shape[1:])
    assert len(frames) == len(findings) * stack.grid.shape[0]
    for frame, group in zip(frames, seg.PerFrameFunctionalGroupsSequence, strict=True):
        shared = seg.SharedFunctionalGroupsSequence[0]
        number = (group.get("SegmentIdentificationSequence") or shared.SegmentIdentificationSequence)[0]
        place = (group.get("PlanePositionSequence") or shared.PlanePositionSequence)[0].ImagePositionPatient
        k = int(np.linalg.norm(where - np.array(place, float), axis=1).argmin())
        assert np.array_equal(frame > 0, findings[number.ReferencedSegmentNumber - 1].mask.voxels[k])
    described = map(seg.get_segment_description, (1, 2, 3))
    kinds = [(segment.segment_label, segment.algorithm_type.value, segment.tracking_uid) for segment in described]
    assert kinds == [
        ("Glioma 1", "AUTOMATIC", findings[0].id),
        ("Glioma 2", "SEMIAUTOMATIC", findings[1].id),
        ("Läsion 3", "MANUAL", findings[2].id),
    ]
    assert seg.SegmentSequence[0].SegmentAlgorithmName.startswith("glioma-flair sha256:abababababab")
    assert str(seg.ContentCreatorName) == "Lovelace^Ada"


def _read_report(path: Path, findings: list[Finding], tool: Callable[[str], str]) -> None:
    groups = hd.sr.srread(path).content.get_volumetric_roi_measurement_groups()
    assert [group.tracking_uid for group in groups] == [finding.id for finding in findings]
    for group, meant in zip(groups, findings, strict=True):
        numbers = {m.name.value: m.value for m in group.get_measurements()}
        if meant.measures is None:
            assert not numbers
        else:
            expected = meant.measures.volume_ml, meant.measures.long_axis_mm, meant.measures.short_axis_mm
            assert np.allclose(list(numbers.values()), expected, rtol=1e-12)
    done = subprocess.run([tool("dsrdump"), str(path)], capture_output=True, text=True, check=True)
    assert not re.findall(r"^E:", done.stderr, re.MULTILINE)
    assert "Lovelace^Ada" in done.stdout
    assert "glioma-flair" in done.stdout


def _read_by_dcmqi(path: Path, stack: Stack, findings: list[Finding], folder: Path) -> None:
    folder.mkdir()
    reader = Path(sys.executable).with_name("segimage2itkimage")
    command = [str(reader), "--inputDICOM", str(path), "--outputDirectory", str(folder), "--outputType", "nrrd"]
    subprocess.run([*command], capture_output=True, check=True)
    images = [sitk.ReadImage(str(file)) for file in sorted(folder.glob("*.nrrd"))]
    assert images
    seen = [np.zeros(stack.grid.shape, bool) for _ in findings]
    for image in images:
        labels = sitk.GetArrayFromImage(image)
        corner = stack.grid.to_index(image.TransformIndexToPhysicalPoint((0, 0, 0)))
        assert np.allclose(corner, 0, atol=1e-3)
        for number in range(1, len(findings) + 1):
            seen[number - 1] |= labels == number
    # Segments that overlap come in files of their own, in which a voxel has one label.
    assert all(np.array_equal(voxels, finding.mask.voxels) for voxels, finding in zip(seen, findings, strict=True))


# Whole or not at all


def test_only_what_a_person_accepted_leaves(made: Stack, tmp_path: Path) -> None:
    proposal = finding(made, blob(made), status=Status.PROPOSED, acts=())
    rejected = finding(made, blob(made), 2, status=Status.REJECTED)
    emptied = finding(made, np.zeros(made.grid.shape, bool), 3, status=Status.EDITED, measures=None)
    with pytest.raises(UserError, match="nothing to export"):
        export(made, [proposal, rejected, emptied], tmp_path / "out", READER)
    assert not (tmp_path / "out").exists()
    seg, _ = export(made, [proposal, finding(made, blob(made, 5), 4), rejected], tmp_path / "out", READER)
    (segment,) = pydicom.dcmread(seg.path).SegmentSequence
    assert segment.SegmentLabel == "Glioma 4"


def test_two_exports_stand_side_by_side_and_nothing_is_overwritten(
    made: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    findings = three(made)
    out = tmp_path / "out"
    first = export(made, findings, out, READER)
    kept = {item.path: item.path.read_bytes() for item in first}
    second = export(made, findings, out, READER)
    assert len({item.path for item in (*first, *second)}) == len({i.sop_instance_uid for i in (*first, *second)}) == 4
    names = {item.kind.lower(): item.path.name for item in first}

    def same_name(self: Parcel, ending: str, detail: str = "") -> Path:
        return self.folder / names[self.product]

    for kept_one in first:
        monkeypatch.setattr(Parcel, "path", same_name)
        before = set(out.iterdir())
        with pytest.raises(UserError, match="is there already"):
            export(made, findings, out, READER)
        assert set(out.iterdir()) == before
        assert {path: path.read_bytes() for path in kept} == kept
        kept_one.path.rename(tmp_path / kept_one.path.name)
        kept.pop(kept_one.path)


@pytest.mark.parametrize(
    ("module", "step"),
    [(check_seg, "write_seg"), (check_sr, "write_sr"), (exporting, "gate"), (Parcel, "save")],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_disk_that_refuses_leaves_nothing_behind(
    made: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: object, step: str
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, step, full)
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(UserError, match="No space left"):
        export(made, three(made), out, READER)
    assert list(out.iterdir()) == []


def test_the_second_file_that_cannot_be_moved_takes_the_first_back(
    made: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.replace

    def refuses(self: Path, target: Path) -> Path:
        if self.name.startswith("SR"):
            raise OSError(5, "Input/output error")
        return real(self, target)

    monkeypatch.setattr(Path, "replace", refuses)
    with pytest.raises(UserError, match="Input/output error"):
        export(made, three(made), tmp_path / "out", READER)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_a_file_is_said_so(made: Stack, tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"mine")
    with pytest.raises(UserError, match="cannot be written"):
        export(made, three(made), tmp_path / "out", READER)
    assert (tmp_path / "out").read_bytes() == b"mine"


@pytest.mark.parametrize(
    "wrong",
    [
        {"PatientID": "ID2"},
        {"PatientName": "TEST^TWO"},
        {"PatientBirthDate": "19500101"},
        {"StudyInstanceUID": "1.2.3"},
        {"SOPInstanceUID": "1.2.3"},
    ],
    ids=lambda wrong: "-".join(wrong),
)
def test_files_that_became_others_are_noticed(made: Stack, tmp_path: Path, wrong: dict[str, str]) -> None:
    changed(Path(made.paths[3]), **wrong)
    with pytest.raises(UserError, match="is not the file that was opened"):
        export(made, three(made), tmp_path / "out", READER)
    assert not (tmp_path / "out").exists()


def test_files_that_changed_places_or_are_gone_are_noticed(made: Stack, tmp_path: Path) -> None:
    one, two, three_, *_ = map(Path, made.paths)
    one.rename(tmp_path / "x")
    two.rename(one)
    (tmp_path / "x").rename(two)
    with pytest.raises(UserError, match="is not the file that was opened"):
        export(made, three(made), tmp_path / "out", READER)
    one.rename(tmp_path / "x")
    two.rename(one)
    (tmp_path / "x").rename(two)
    assert export(made, three(made), tmp_path / "out", READER)
    for content in (b"", b"garbage" * 100):
        three_.write_bytes(content)
        with pytest.raises(UserError, match="cannot be read any more|is not the file"):  # noqa: RUF043
            export(made, three(made), tmp_path / "out2", READER)
    three_.unlink()
    with pytest.raises(UserError, match="cannot be read any more"):
        export(made, three(made), tmp_path / "out2", READER)


@pytest.mark.parametrize("keyword", ["SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"])
def test_what_has_no_uid_cannot_be_referred_to(made: Stack, tmp_path: Path, keyword: str) -> None:
    for path in made.paths:
        changed(Path(path), **{keyword: None})
    stack = opened(tmp_path / "in", tmp_path)
    with pytest.raises(UserError, match="no UIDs"):
        export(stack, three(stack), tmp_path / "out", READER)


def test_pictures_without_a_place_carry_no_segmentation(made: Stack, tmp_path: Path) -> None:
    for path in made.paths:
        changed(Path(path), ImagePositionPatient=None)
    stack = opened(tmp_path / "in", tmp_path)
    with pytest.raises(UserError, match="no place in the patient"):
        export(stack, [finding(stack, np.ones(stack.grid.shape, bool), measures=None)], tmp_path / "out", READER, [SEG])


# Odd sources


@pytest.mark.parametrize(
    "odd",
    [
        {"PatientName": b"Doe "},
        {"SpecificCharacterSet": b"ISO_IR 100", "PatientName": b"M\xfcller^J\xf6rg"},
        {"SpecificCharacterSet": ["", "ISO 2022 IR 87"], "PatientName": "Yamada^Tarou=山田^太郎"},
        {"PatientBirthDate": None, "PatientSex": None, "StudyID": None, "AccessionNumber": None, "StudyTime": None},
        {"ReferringPhysicianName": None, "StudyDate": None, "SliceThickness": b""},
        {"FrameOfReferenceUID": None},
        {"SeriesDescription": b"a/b:c*?\\x ", "SeriesNumber": None},
        {"SeriesDescription": b"x" * 64, "SeriesNumber": b"123456"},
        {"LossyImageCompression": b"01", "LossyImageCompressionRatio": b"10"},
        {"PatientIdentityRemoved": b"YES "},
    ],
    ids=lambda odd: "-".join(odd)[:60],
)
def test_odd_headers_leave_valid_objects_of_the_same_patient(
    made: Stack, tmp_path: Path, tool: Callable[[str], str], odd: dict[str, Any]
) -> None:
    for path in made.paths:
        changed(Path(path), **odd)
    stack = opened(tmp_path / "in", tmp_path)
    for written in export(stack, three(stack), tmp_path / "out", READER):
        source, derived = pydicom.dcmread(stack.paths[0]), pydicom.dcmread(written.path)
        assert derived.get("PatientName") == source.get("PatientName", "")
        assert derived.PatientID == source.PatientID
        assert derived.StudyInstanceUID == source.StudyInstanceUID
        assert not _faults(written.path, tool)
        if "FrameOfReferenceUID" in derived:
            again = export(stack, three(stack), tmp_path / "again", READER)[0].path
            assert pydicom.dcmread(again).FrameOfReferenceUID == derived.FrameOfReferenceUID


@pytest.mark.parametrize(
    ("typed", "written"),
    [
        ("Ada Lovelace", "Lovelace^Ada"),
        ("Lovelace^Ada", "Lovelace^Ada"),
        ("Ada", "Ada^"),
        ("", "Unknown^"),
        ("Ada\\Byron=x", "x^Ada Byron"),
        ("山田 太郎", "太郎^山田"),
        ("A" * 50 + " " + "B" * 50, "B" * 50 + "^" + "A" * 13),
    ],
)
def test_readers_names_become_person_names(made: Stack, tmp_path: Path, typed: str, written: str) -> None:
    assert person_name(typed) == written
    seg, report = export(made, three(made), tmp_path / "out", Reader(typed))
    assert str(pydicom.dcmread(seg.path).ContentCreatorName).rstrip("^") == written.rstrip("^")
    (observer, *_) = hd.sr.srread(report.path).content.get_observer_contexts()
    assert str(observer.observer_identifying_attributes.name).rstrip("^") == written.rstrip("^")


def test_nothing_of_the_patient_is_logged_or_warned_of(
    made: Stack, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for path in made.paths:
        changed(Path(path), PatientName=b"TOPSECRET" * 9, PatientID=b"TOPSECRET" * 9, AccessionNumber=b"TOPSECRET" * 4)
    stack = opened(tmp_path / "in", tmp_path)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        export(stack, three(stack), tmp_path / "out", READER)
    assert "TOPSECRET" not in caplog.text + "".join(str(item.message) for item in caught)


def test_a_folder_that_was_there_stays(made: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "gate", lambda *_: (_ for _ in ()).throw(UserError("no")))
    (tmp_path / "out").mkdir()
    with pytest.raises(UserError, match="no"):
        export(made, three(made), tmp_path / "out", READER)
    assert list((tmp_path / "out").iterdir()) == []


def test_headers_are_read_once_in_an_export_of_many_kinds(made: Stack, tmp_path: Path, monkeypatch: Any) -> None:
    read: list[str] = []
    real = pydicom.dcmread

    def counted(path: Any, *given: Any, **more: Any) -> Any:
        read.append(str(path))
        return real(path, *given, **more)

    monkeypatch.setattr(pydicom, "dcmread", counted)
    written = export(made, [finding(made, blob(made))], tmp_path / "out", READER, products(["seg", "sr", "sc", "pdf"]))
    assert len(written) == 4
    assert [read.count(path) for path in made.paths] == [1] * len(made.paths)
    pictures = [path for path in read if "/SC_" in path]
    assert len(pictures) == 3  # by the gate for all kinds, for its own, and for its UIDs; not again with the report
