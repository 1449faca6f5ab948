"""Files without their patients: what goes, what stays, what still fits together, and what is found when it does not."""

from __future__ import annotations

import hashlib
import re
import string
import subprocess
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.uid import EncapsulatedPDFStorage, SecondaryCaptureImageStorage

from overread.dicom.deidentify import Options, cleaned
from overread.dicom.pseudonyms import Key, key_in, shifted
from overread.dicom.release import release
from overread.dicom.remains import Identity
from overread.dicom.scan import scanned
from overread.domain.errors import UserError
from overread.session.packet import make_packet
from overread.session.products import PRODUCTS
from support.series import changed, head_like, write_series

KEY = Key(b"k" * 32)
LOOSE = Options(shift_dates=True, clean_descriptors=True)
WHO = {
    "PatientBirthDate": "19630517",
    "StudyDate": "20110304",
    "SeriesDate": "20110304",
    "AcquisitionDateTime": "20110305101112.5",
    "StudyTime": "101112",
    "AccessionNumber": "ACC778899",
    "InstitutionName": "Saint Elsewhere",
    "InstitutionAddress": "Elm Street 13, Springwood",
    "StationName": "SCANNER42",
    "ReferringPhysicianName": "House^Gregory",
    "OperatorsName": "Ratched^Mildred",
    "DeviceSerialNumber": "SN-998877",
    "StudyDescription": "Brain MR for Kowalska, Saint Elsewhere",
    "ProtocolName": "T2 FLAIR axial Elsewhere",
    "PatientComments": "lives next door",
    "PatientAge": "047Y",
    "OtherPatientIDs": "OLD-556677",
}
TELLING = (
    *("KOWALSKA", "JANINA", "PID-112233", "ACC778899", "Elsewhere", "Elm Street", "SCANNER42", "House", "Gregory"),
    *("Ratched", "Mildred", "SN-998877", "next door", "19630517", "20110304", "20110305", "OLD-556677"),
)


def series(folder: Path, **more: object) -> list[Path]:
    facts: dict[str, object] = {**WHO, **more}
    return write_series(folder, head_like((3, 16, 16)), patient=("KOWALSKA^JANINA", "PID-112233"), **facts)


def state(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("options", [Options(), LOOSE, Options(shift_dates=True)])
def test_nothing_that_tells_who_it_was_remains(tmp_path: Path, options: Options) -> None:
    paths = series(tmp_path / "in")
    for path in paths:
        image = dcmread(path)
        image.add_new(0x00290010, "LO", "ACME 1")
        image.add_new(0x00291001, "LO", "KOWALSKA^JANINA")
        request = Dataset()
        request.RequestedProcedureID, request.ReasonForTheRequestedProcedure = "RP-445566", "KOWALSKA fell"
        request.AccessionNumber = "ACC778899"
        image.RequestAttributesSequence = [request]
        image.save_as(path)
    before = state(tmp_path / "in")
    report = release([tmp_path / "in"], tmp_path / "out", KEY, options)
    assert state(tmp_path / "in") == before
    assert (len(report.written), report.skipped) == (3, ())
    for path in report.written:
        raw = path.read_bytes().lower()
        assert not [word for word in (*TELLING, "ACME", "RP-445566") if word.lower().encode() in raw]
        image = dcmread(path)
        assert path.name == f"{image.SOPInstanceUID}.dcm" == f"{image.file_meta.MediaStorageSOPInstanceUID}.dcm"
        assert (image.PatientIdentityRemoved, image.PatientID) == ("YES", KEY.patient("PID-112233"))
        assert "PatientAge" not in image
        assert image.PatientBirthDate == ""
    for source, path in zip(
        sorted(paths), sorted(report.written, key=lambda p: dcmread(p).InstanceNumber), strict=True
    ):
        assert dcmread(source).PixelData == dcmread(path).PixelData
        assert dcmread(source).ImagePositionPatient == dcmread(path).ImagePositionPatient


def test_what_was_done_stands_in_the_file(tmp_path: Path) -> None:
    series(tmp_path / "in")
    for options, codes, time in (
        (Options(), "113100 113103 113104 113111", "REMOVED"),
        (LOOSE, "113100 113103 113104 113105 113107 113111", "MODIFIED"),
        (Options(keep_uids=True), "113100 113103 113104 113110 113111", "REMOVED"),
    ):
        report = release([tmp_path / "in"], tmp_path / "out" / codes, KEY, options)
        image = dcmread(report.written[0])
        assert " ".join(code.CodeValue for code in image.DeidentificationMethodCodeSequence) == codes
        assert image.LongitudinalTemporalInformationModified == time
        assert report.answer()["methods"][0]["code"] == "113100"
        assert report.answer()["attributes"]["Institution Name"] == {"replaced": 3}
        assert not [word for word in TELLING if word in str(report.answer()) + "\n".join(report.lines())]


def test_uids_are_the_same_in_every_run_with_the_same_key(tmp_path: Path) -> None:
    (first, *_) = series(tmp_path / "in")
    runs = [
        release([tmp_path / "in"], tmp_path / name, key, Options()).written
        for name, key in (("a", KEY), ("b", KEY), ("c", Key(b"other" * 8)))
    ]
    names = [[path.name for path in written] for written in runs]
    assert names[0] == names[1]
    assert not set(names[0]) & set(names[2])
    image = dcmread(runs[0][0])
    assert image.StudyInstanceUID == KEY.uid(dcmread(first).StudyInstanceUID)
    assert re.fullmatch(r"2\.25\.[1-9]\d{30,38}", image.StudyInstanceUID)
    kept = release([tmp_path / "in"], tmp_path / "d", KEY, Options(keep_uids=True)).written
    assert {dcmread(path).SOPInstanceUID for path in kept} == {
        dcmread(p).SOPInstanceUID for p in (tmp_path / "in").iterdir()
    }


def test_days_between_dates_stay_and_are_each_patients_own(tmp_path: Path) -> None:
    series(tmp_path / "in" / "a", AcquisitionDate="20110311")
    series(tmp_path / "in" / "b", StudyDate="20120304")
    write_series(tmp_path / "other", head_like((1, 16, 16)), StudyDate="20110304")
    report = release([tmp_path / "in", tmp_path / "other"], tmp_path / "out", KEY, Options(shift_dates=True))
    images = [dcmread(path) for path in report.written]
    days = KEY.days("PID-112233")
    assert days % 7 == 0
    assert -3660 < days < -700
    assert [image.StudyDate for image in images[:3]] == [shifted("20110304", days)] * 3
    assert images[0].AcquisitionDate == shifted("20110311", days)
    assert images[0].AcquisitionDateTime == shifted("20110305101112.5", days)
    assert images[0].StudyTime == "101112"
    apart = date.fromisoformat(images[3].StudyDate) - date.fromisoformat(images[0].StudyDate)
    assert apart == date(2012, 3, 4) - date(2011, 3, 4)
    assert images[6].StudyDate == shifted("20110304", KEY.days("ID1")) != images[0].StudyDate


def test_descriptions_keep_the_words_of_code_tables_alone(tmp_path: Path) -> None:
    series(tmp_path / "in")
    image = dcmread(release([tmp_path / "in"], tmp_path / "out", KEY, LOOSE).written[0])
    assert (image.StudyDescription, image.ProtocolName) == ("Brain MR for", "T2 FLAIR axial")
    assert image.SeriesDescription == "FLAIR AX"
    nobody = Identity(frozenset({"white"}), frozenset())
    assert cleaned("White matter lesion 3 mm, Przybylski 12.03.1987 b1000 T1", nobody) == "matter lesion 3 mm T1"


def test_what_we_write_still_opens_on_its_images(demo: Path, tmp_path: Path) -> None:
    speaking = [each for each in PRODUCTS if each.name in ("seg", "sr", "gsps", "ko", "rtstruct")]
    make_packet(demo, tmp_path / "packet", speaking)
    told = {}
    for name, folders in (("before", ("packet/images", "packet/objects")), ("after", ("out",))):
        catalogue = scanned(tuple(tmp_path / folder for folder in folders), tmp_path)
        (stack,) = [stack for stack in catalogue.stacks if stack.identity.modality == "MR" and len(stack.frames) > 1][
            :1
        ]
        study = next(s for p in catalogue.patients for s in p.studies if stack in s.stacks)
        told[name] = (stack.grid.shape, sorted(each.source.kind for each in study.objects))
        if name == "before":
            report = release([tmp_path / "packet"], tmp_path / "out", KEY, LOOSE)
            assert [
                item for item in report.skipped if "DICOM file" not in item.reason and "document" not in item.reason
            ] == []
    assert told["before"] == told["after"]
    assert told["after"][1]


REAL = ["brain-mr-oblique", "chest-xray", "ct-gantry-tilt", "derived-objects/dcmqi", "derived-objects/rt-utils"]


@pytest.mark.parametrize("name", REAL)
def test_real_files_are_no_worse_than_they_were(
    data: Path, tmp_path: Path, tool: Callable[[str], str], name: str
) -> None:
    source = data / "dicom" / name
    report = release([source], tmp_path / "out", KEY, Options())
    assert report.written
    assert {item.reason for item in report.skipped} <= {"it is no DICOM file", "its SOP Instance UID was there already"}
    by_new = {}
    for path in sorted(source.rglob("*")):
        if path.is_file() and (uid := _uid(path)):
            by_new[f"{KEY.uid(uid)}.dcm"] = path
    for path in report.written[:: max(len(report.written) // 4, 1)]:
        assert _faults(path, tool) <= _faults(by_new[path.name], tool), path.name
        assert dcmread(path).get("PixelData") == dcmread(by_new[path.name]).get("PixelData")


def _uid(path: Path) -> str:
    try:
        return str(dcmread(path, specific_tags=["SOPInstanceUID"]).get("SOPInstanceUID", ""))
    except Exception:  # noqa: BLE001  other things lie there too
        return ""


def _faults(path: Path, tool: Callable[[str], str]) -> set[str]:
    done = subprocess.run([tool("dciodvfy"), str(path)], capture_output=True, text=True, errors="replace", check=False)
    errors = re.findall(r"^Error.*", done.stdout + done.stderr, re.MULTILINE)
    return {re.sub(r"<\d[\d.]*>", "<uid>", error) for error in errors if "Illegal root for UID" not in error}


def test_pictures_that_may_hold_text_are_named(tmp_path: Path) -> None:
    (plain, burned, screen) = series(tmp_path / "in")
    changed(burned, BurnedInAnnotation="YES")
    changed(screen, SOPClassUID=SecondaryCaptureImageStorage)
    changed(plain, BodyPartExamined="HEAD")
    warnings = release([tmp_path / "in"], tmp_path / "out", KEY, Options()).warnings
    assert [text.split(" (")[0] for text in sorted(warnings)] == [
        "is of a kind that often has text burned into the picture",
        "says that text is burned into the picture",
        "shows a head: a face can be computed from the slices",
    ]
    assert all(name.startswith("2.25.") for names in warnings.values() for name in names)


def test_what_cannot_be_made_safe_is_left_out_and_named(tmp_path: Path) -> None:
    (hidden, damaged, document) = series(tmp_path / "in")
    changed(hidden, ICCProfile=b"profile of PID-112233!")
    changed(document, SOPClassUID=EncapsulatedPDFStorage, EncapsulatedDocument=b"%PDF KOWALSKA ")
    damaged.write_bytes(damaged.read_bytes()[:700])
    (tmp_path / "in" / "notes.txt").write_text("no image")
    report = release([tmp_path / "in"], tmp_path / "out", KEY, Options())
    reasons = {Path(item.path).name: item.reason for item in report.skipped}
    assert reasons["notes.txt"] == "it is no DICOM file"
    assert "something of the patient remains in its bytes" in reasons[hidden.name]
    assert "document" in reasons[document.name]
    assert set(reasons) >= {"notes.txt", hidden.name, document.name}
    left = {path.name for path in (tmp_path / "out").iterdir()}
    assert left == {path.name for path in report.written}
    for path in report.written:
        assert b"KOWALSKA" not in path.read_bytes()


def test_the_same_object_twice_leaves_once(tmp_path: Path) -> None:
    (first, *_) = series(tmp_path / "in")
    (tmp_path / "in" / "zz.dcm").write_bytes(first.read_bytes())
    report = release([tmp_path / "in"], tmp_path / "out", KEY, Options())
    assert len(report.written) == 3
    assert [item.reason for item in report.skipped] == ["its SOP Instance UID was there already"]


def test_the_sources_folder_is_no_place_for_the_files(tmp_path: Path) -> None:
    series(tmp_path / "in")
    with pytest.raises(UserError, match="lies among the files"):
        release([tmp_path / "in"], tmp_path / "in" / "out", KEY, Options())


def test_a_key_is_made_once_and_kept_to_oneself(tmp_path: Path) -> None:
    made = key_in(tmp_path / "home" / "key")
    assert key_in(tmp_path / "home" / "key") == made
    assert (tmp_path / "home" / "key").stat().st_mode & 0o077 == 0
    assert "secret" not in repr(made)
    for text in ("no hexadecimal digits", "ab12"):
        (tmp_path / "wrong").write_text(text)
        with pytest.raises(UserError, match="key in"):
            key_in(tmp_path / "wrong")


names = st.text(string.ascii_letters, min_size=6, max_size=16)
days = st.dates(date(1920, 1, 1), date(2030, 1, 1)).map(lambda day: f"{day:%Y%m%d}")
WHERE = ("InstitutionName", "StationName", "AccessionNumber", "PerformingPhysicianName", "StudyID", "PatientAddress")


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(
    name=st.tuples(names, names),
    number=st.text(string.ascii_letters + string.digits, min_size=6, max_size=12).filter(
        lambda text: not text.isdigit()
    ),
    facts=st.dictionaries(st.sampled_from(WHERE), names, min_size=1),
    dates=st.dictionaries(st.sampled_from(("StudyDate", "ContentDate", "AcquisitionDate")), days, min_size=1),
    free=st.sampled_from(
        ("SeriesDescription", "ImageComments", "DerivationDescription", "AcquisitionDeviceProcessingDescription")
    ),
    options=st.builds(Options, st.just(False), st.booleans(), st.booleans()),
    deep=st.integers(0, 3),
)
def test_whoever_it_was_is_not_found(
    tmp_path_factory: pytest.TempPathFactory,
    name: tuple[str, str],
    number: str,
    facts: dict[str, str],
    dates: dict[str, str],
    free: str,
    options: Options,
    deep: int,
) -> None:
    folder = tmp_path_factory.mktemp("any")
    text = f"axial {name[0]} {number} {dates[next(iter(dates))]}"
    made = {**facts, **dates, free: text}
    (path,) = write_series(folder / "in", np.zeros((1, 8, 8), np.int16), patient=("^".join(name), number), **made)
    image = dcmread(path)
    inner = Dataset()
    inner.PatientID, inner.PatientName, inner.ImageComments = number, "^".join(name), text
    for _ in range(deep):  # as deep as sequences go
        outer = Dataset()
        outer.ReferencedInstanceSequence = [inner]
        inner = outer
    image.SourceInstanceSequence = [inner]
    image.save_as(path)
    report = release([folder / "in"], folder / "out", KEY, options)
    assert not report.skipped
    raw = report.written[0].read_bytes().lower()
    known = b"axial overread basic application confidentiality profile removed" + b"clean graphics structured content"
    for value in (*name, number, *facts.values()):
        assert value.lower().encode() not in raw or value.lower().encode() in known
    back = dcmread(report.written[0])
    for keyword, day in dates.items():
        assert str(back.get(keyword) or "") != day
    assert str(image.SOPInstanceUID).encode() not in raw


def test_when_somebody_was_born_is_never_shifted_and_never_kept(tmp_path: Path) -> None:
    write_series(tmp_path / "in", np.zeros((1, 4, 4), np.int16), PatientBirthTime="031500", StudyTime="101500")
    report = release([tmp_path / "in"], tmp_path / "out", KEY, Options(shift_dates=True))
    written = dcmread(report.written[0])
    assert "PatientBirthTime" not in written
    assert written.StudyTime == "101500"


def test_what_stored_values_mean_stays_in_private_attributes_that_the_standard_calls_safe(tmp_path: Path) -> None:
    (path,) = write_series(tmp_path / "in", np.zeros((1, 4, 4), np.int16))
    image = dcmread(path)
    block = image.private_block(0x2005, "Philips MR Imaging DD 001", create=True)
    block.add_new(0x0E, "FL", 0.25)
    block.add_new(0x0F, "FL", 0.5)
    image.save_as(path)
    report = release([tmp_path / "in"], tmp_path / "out", KEY, Options())
    kept = dcmread(report.written[0]).private_block(0x2005, "Philips MR Imaging DD 001")
    assert kept[0x0E].value == 0.25
    assert 0x0F not in kept
