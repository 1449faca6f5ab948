"""Folder → studies: people never mix, garbage costs only itself and is named, nothing of a patient gets into a log."""

from __future__ import annotations

import io
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom import Dataset, Sequence
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid

from overread.dicom.load import loaded
from overread.dicom.scan import scanned
from overread.domain.study import Catalogue, Stack
from support.series import changed, write_series

VOXELS = np.arange(3 * 4 * 5, dtype=np.int16).reshape(3, 4, 5)


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    return tmp_path / "scratch"


@pytest.fixture
def made(tmp_path: Path) -> Path:
    return tmp_path / "made"


def only(catalogue: Catalogue) -> Stack:
    (stack,) = catalogue.stacks
    return stack


def codes(stack: Stack) -> list[str]:
    return [problem.code for problem in stack.problems]


# People


def test_two_patients_with_the_same_study_series_and_file_names_never_mix(made: Path, scratch: Path) -> None:
    study, series = generate_uid(), generate_uid()
    for letter, patient in ("a", ("DOE^JOHN", "1")), ("b", ("ROE^JANE", "2")):
        write_series(made, VOXELS + ord(letter), patient=patient, study=study, series=series, names=f"{{k}}{letter}")
    catalogue = scanned((made,), scratch)
    assert {p.id: loaded(next(iter(p.studies[0].stacks))).voxels[0, 0, 0] for p in catalogue.patients} == {
        "1": ord("a"),
        "2": ord("b"),
    }
    one, two = catalogue.stacks
    assert one.uid != two.uid


@pytest.mark.parametrize(
    ("other", "people"),
    [
        (("DOE^JOHN", "1", "19500101"), 1),
        (("Doe^John^^ ", "1", "19500101"), 1),
        (("DOE^JOHN=山田^太郎", "1", "19500101"), 1),
        (("DOE^JOHN", "2", "19500101"), 2),
        (("DOE^JOHN", "1", "19500102"), 2),
        (("DOE^JOHNNY", "1", "19500101"), 2),
        (("", "1", "19500101"), 2),
    ],
)
def test_id_name_and_birth_date_together_tell_people_apart(
    made: Path, scratch: Path, other: tuple[str, str, str], people: int
) -> None:
    more = {"SpecificCharacterSet": "ISO_IR 192"}
    write_series(made / "a", VOXELS, patient=("DOE^JOHN", "1"), PatientBirthDate="19500101", **more)
    write_series(made / "b", VOXELS, patient=other[:2], PatientBirthDate=other[2], **more)
    assert len(scanned((made,), scratch).patients) == people


@pytest.mark.parametrize("uids", [True, False], ids=["with study UID", "without any"])
def test_people_without_name_and_number_are_never_taken_for_one(made: Path, scratch: Path, uids: bool) -> None:
    for letter in "ab":
        for path in write_series(made / letter, VOXELS, patient=("", "")):
            if not uids:
                changed(path, StudyInstanceUID="", SeriesInstanceUID=None, FrameOfReferenceUID=None)
    patients = scanned((made,), scratch).patients
    assert [len(stack.frames) for p in patients for s in p.studies for stack in s.stacks] == [3, 3]
    assert len(patients) == 2


def test_series_without_uid_are_told_apart_by_what_else_is_known(made: Path, scratch: Path) -> None:
    for number, name in enumerate(("T1 AX", "T2 AX")):
        for path in write_series(made, VOXELS + number, description=name, names=f"{{k}}{number}", study="1.2.3"):
            changed(path, SeriesInstanceUID=None, SOPInstanceUID=None)
    (patient,) = scanned((made,), scratch).patients
    stacks = list(patient.studies[0].stacks)
    assert [(s.identity.series_description, s.grid.shape, codes(s)) for s in stacks] == [
        ("T1 AX", (3, 4, 5), []),
        ("T2 AX", (3, 4, 5), []),
    ]
    assert len({stack.uid for stack in stacks}) == 2
    assert [loaded(stack).voxels.min() for stack in stacks] == [0, 1]


def test_a_copy_is_left_out_and_another_image_under_its_uid_is_named(made: Path, scratch: Path) -> None:
    one, two, three = write_series(made, VOXELS)
    shutil.copy(one, made / "copy.dcm")
    changed(three, SOPInstanceUID=pydicom.dcmread(two).SOPInstanceUID)
    catalogue = scanned((made,), scratch)
    assert {Path(s.path).name: s.reason.split(" of ")[0] for s in catalogue.skipped} == {
        "copy.dcm": "a copy",
        "002.dcm": "bears the SOP Instance UID",
    }
    assert only(catalogue).grid.shape == (2, 4, 5)


@pytest.mark.parametrize(
    ("charset", "raw", "name"),
    [
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう", "Yamada, Tarou"),
        ("ISO_IR 100", "Müller^Jörg", "Müller, Jörg"),
        ("ISO_IR 144", "Люкceмбypг^Анна", "Люкceмбypг, Анна"),
        ("ISO_IR 192", "王^小東", "王, 小東"),
        ("GB18030", "王^小东", "王, 小东"),
        ("", "Doe", "Doe"),
        ("", "^Only Given", "Only Given"),
        ("", "Smith^John^Q.^Dr.^Jr.", "Smith, John Q."),
        ("", "", "No name"),
    ],
)
def test_names_of_all_kinds_are_read_right(
    made: Path, scratch: Path, charset: str | list[str], raw: str, name: str
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        write_series(made, VOXELS, patient=(raw, "1"), SpecificCharacterSet=charset)
    stack = only(scanned((made,), scratch))
    assert stack.identity.patient_name == raw
    assert stack.identity.display_name == name


# Headers


@pytest.mark.parametrize(
    "wrong",
    [
        {"WindowCenter": b"garbage ", "WindowWidth": b"100 "},
        {"WindowCenter": b"40\\60 ", "WindowWidth": b"nan\\-5"},
        {"SliceThickness": b"thick "},
        {"SliceThickness": b"-3"},
        {"SliceThickness": b"0 "},
        {"EchoTime": b"1,5 ", "RepetitionTime": b"??"},
        {"PixelPaddingValue": b"\x01"},
        {"ImageType": b""},
        {"LossyImageCompression": b"01", "LossyImageCompressionRatio": b"ten "},
        {"SeriesNumber": b"1.5 ", "InstanceNumber": b"A1"},
        {"NumberOfFrames": b""},
        {"NumberOfFrames": b"1.0 "},
        {"SamplesPerPixel": None, "PhotometricInterpretation": None, "PixelRepresentation": b""},
        {"RescaleSlope": b"", "RescaleIntercept": b""},
        {"PatientBirthDate": b"1950-01-", "StudyDate": b"yesterday "},
        {"SpecificCharacterSet": b"ISO-IR 100"},
        {"SpecificCharacterSet": b"KLINGON "},
        {"PatientName": b"M\xfcller^J\xf6rg "},
        {"PatientID": b"1\\2 "},
        {"BodyPartExamined": b"\xff\xfe", "ProtocolName": b"\xff\xfe"},
        {"FrameOfReferenceUID": None, "SOPInstanceUID": None, "SOPClassUID": None},
        {"AcquisitionNumber": b"x "},
        {"Modality": b""},
    ],
    ids=lambda wrong: "-".join(wrong),
)
def test_garbage_where_it_does_not_matter_costs_no_image(made: Path, scratch: Path, wrong: dict[str, Any]) -> None:
    for path in write_series(made, np.abs(VOXELS)):
        changed(path, **wrong)
    catalogue = scanned((made,), scratch)
    stack = only(catalogue)
    assert not catalogue.skipped
    assert np.array_equal(loaded(stack).voxels, VOXELS)
    assert np.allclose(stack.grid.corners[[0, -1]], [(0, 0, 0), (4, 3, 6)])
    assert stack.windows == (stack.windows[:1] if "nan" in str(wrong) else ())
    assert (stack.frames[0].slope, stack.frames[0].intercept) == (1, 0)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"RescaleSlope": b"x "}, "damaged header: Rescale Slope cannot be read"),
        ({"RescaleIntercept": b"nan "}, "damaged header: Rescale Intercept cannot be read"),
        ({"Rows": b""}, "Rows None: such pixels are not read here"),
        ({"Columns": b"\0\0"}, "Columns 0: such pixels are not read here"),
        ({"BitsAllocated": 24}, "Bits Allocated 24: such pixels are not read here"),
        ({"SamplesPerPixel": 4}, "Samples per Pixel 4: such pixels are not read here"),
        ({"NumberOfFrames": "999999999"}, "damaged header: 999999999 frames"),
        ({"NumberOfFrames": "-1"}, "damaged header: -1 frames"),
        ({"PixelData": None}, "MR Image without pixel data"),
        ({"Rows": None}, "MR Image (MR), no image of its own"),
    ],
)
def test_garbage_without_which_values_would_be_wrong_costs_the_file_alone(
    made: Path, scratch: Path, wrong: dict[str, Any], reason: str
) -> None:
    paths = write_series(made, VOXELS)
    changed(paths[-1], **wrong)
    catalogue = scanned((made,), scratch)
    assert [(skipped.path, skipped.reason) for skipped in catalogue.skipped] == [(str(paths[-1]), reason)]
    assert only(catalogue).grid.shape == (2, 4, 5)


@pytest.mark.parametrize(
    "wrong",
    [
        {"ImagePositionPatient": None},
        {"ImagePositionPatient": b"1\\2 "},
        {"ImagePositionPatient": b"a\\b\\c "},
        {"ImagePositionPatient": b"1\\2\\inf "},
        {"ImageOrientationPatient": b"0\\0\\0\\0\\0\\0 "},
        {"ImageOrientationPatient": b"1\\0\\0\\1\\0\\0 "},
        {"ImageOrientationPatient": None},
    ],
)
def test_a_slice_without_a_place_is_shown_by_itself(made: Path, scratch: Path, wrong: dict[str, Any]) -> None:
    paths = write_series(made, VOXELS)
    changed(paths[1], **wrong)
    placed, lost = scanned((made,), scratch).stacks
    assert (placed.grid.shape, lost.grid.shape) == ((2, 4, 5), (1, 4, 5))
    assert not lost.grid.oriented
    assert not lost.measurable
    assert "several-images" in codes(placed)
    assert np.array_equal(loaded(lost).voxels, VOXELS[1:2])


@pytest.mark.parametrize("spacing", [None, b"", b"0\\0 ", b"-1\\1", b"0.5 ", b"x\\y "])
def test_without_pixel_spacing_nothing_is_measured(made: Path, scratch: Path, spacing: bytes | None) -> None:
    for path in write_series(made, VOXELS):
        changed(path, PixelSpacing=spacing)
    stack = only(scanned((made,), scratch))
    assert codes(stack) == ["not-calibrated"]
    assert not stack.measurable


def test_values_in_the_wrong_vr_are_read_for_what_they_say(made: Path, scratch: Path) -> None:
    paths = write_series(made, VOXELS)
    for path in paths:
        data = path.read_bytes()
        for tag, vr in ((b"\x20\x00\x32\x00", b"LO"), (b"\x20\x00\x13\x00", b"DS"), (b"\x10\x00\x20\x00", b"SH")):
            at = data.index(tag) + 4
            data = data[:at] + vr + data[at + 2 :]
        path.write_bytes(data)
    stack = only(scanned((made,), scratch))
    assert np.allclose(stack.grid.corners[-1], (4, 3, 6))
    assert stack.identity.patient_id == "ID1"


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian])
@pytest.mark.parametrize("meta", ["whole", "no syntax", "none"])
def test_files_that_do_not_say_how_they_are_written_are_read_all_the_same(
    made: Path, scratch: Path, syntax: str, meta: str
) -> None:
    for path in write_series(made, VOXELS):
        image = pydicom.dcmread(path)
        if syntax == ExplicitVRBigEndian:
            image["PixelData"].VR = "OW"
            image.PixelData = np.frombuffer(image.PixelData, "<i2").astype(">i2").tobytes()
        image.file_meta.TransferSyntaxUID = syntax
        buffer = io.BytesIO()
        pydicom.dcmwrite(buffer, image, implicit_vr=syntax.is_implicit_VR, little_endian=syntax.is_little_endian)
        data = buffer.getvalue()
        if meta != "whole":
            body = io.BytesIO(data)
            start = pydicom.filereader.read_preamble(body, force=False)
            assert start is not None
            length = pydicom.filereader._read_file_meta_info(body).FileMetaInformationGroupLength
            rest = data[132 + 12 + length :]
            data = rest if meta == "none" else data[:132] + rest
        path.write_bytes(data)
    catalogue = scanned((made,), scratch)
    if meta == "none" and syntax == ExplicitVRBigEndian:
        assert {skipped.reason for skipped in catalogue.skipped} == {"not a DICOM file"}
        return
    stack = only(catalogue)
    assert stack.identity.patient_id == "ID1"
    assert np.array_equal(loaded(stack).voxels, VOXELS)


def table(first: int, bits: int, data: bytes | list[int]) -> Sequence:
    item = Dataset()
    item.add_new("LUTDescriptor", "SS" if first < 0 else "US", [4, first, bits])
    item.add_new("LUTData", "OW" if isinstance(data, bytes) else "US", data)
    return Sequence([item])


def test_lookup_tables_are_read_in_every_form(made: Path, scratch: Path) -> None:
    cases: list[tuple[Sequence, int]] = [
        (table(-2, 16, [10, 20, 30, 40]), -2),
        (table(65534, 16, np.array([10, 20, 30, 40], "<u2").tobytes()), -2),
        (table(5, 8, bytes([10, 20, 30, 40])), 5),
    ]
    for number, (sequence, first) in enumerate(cases):
        folder = made / str(number)
        write_series(folder, VOXELS, ModalityLUTSequence=sequence)
        lut = only(scanned((folder,), scratch)).modality_lut
        assert lut is not None
        assert (lut.first, lut.values.tolist()) == (first, [10, 20, 30, 40])
    write_series(made / "cut", VOXELS, ModalityLUTSequence=table(0, 16, [1, 2]))
    assert {s.reason for s in scanned((made / "cut",), scratch).skipped} == {
        "damaged header: Modality LUT Sequence cannot be read"
    }
    write_series(made / "voi", VOXELS, VOILUTSequence=table(0, 16, [1, 2]))
    assert only(scanned((made / "voi",), scratch)).voi_lut is None


def test_slices_with_tables_of_their_own_are_not_valued_by_the_first_ones(made: Path, scratch: Path) -> None:
    write_series(made, VOXELS, ModalityLUTSequence=tuple(table(0, 16, [0, 1, 2, top]) for top in (5, 5, 9)))
    stacks = list(scanned((made,), scratch).stacks)
    assert [(len(s.frames), s.modality_lut.values.max()) for s in stacks if s.modality_lut] == [(2, 5), (1, 9)]


def test_what_one_slice_lost_the_whole_stack_admits(made: Path, scratch: Path) -> None:
    write_series(made, VOXELS, LossyImageCompression=("00", "00", "01"), LossyImageCompressionRatio=(1, 1, 12))
    stack = only(scanned((made,), scratch))
    assert stack.lossy == "lossy 12:1"
    assert "lossy" in codes(stack)
