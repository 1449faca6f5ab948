"""Exports without the patient: what is in them, what fits together, and what never leaves."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pydicom
import pytest
from pydicom import Dataset

from overread.dicom.deidentify import Options
from overread.dicom.export import Terms, Written, export
from overread.dicom.nameless import Nameless, _spoken
from overread.dicom.pseudonyms import Key, shifted
from overread.dicom.read_objects import read_objects
from overread.dicom.release import release
from overread.dicom.scan import scanned
from overread.domain.errors import UserError
from overread.domain.finding import Finding, ModelSource, Reader, Status
from overread.domain.study import Stack
from overread.domain.uids import uid_of
from overread.session.leaving import export_record
from overread.session.products import PRODUCTS, products
from support.findings import blob, finding, opened
from support.leaving import faults, smooth
from support.paper import text_of
from support.series import head_like, write_series

KEY = Key(b"k" * 32)
READER = Reader("Mildred Ratched")
NOW = datetime(2026, 1, 2, tzinfo=UTC)
WHO = {
    "PatientBirthDate": "19630517",
    "PatientAge": "047Y",
    "StudyDate": "20110304",
    "SeriesDate": "20110304",
    "AccessionNumber": "ACC778899",
    "InstitutionName": "Saint Elsewhere",
    "StationName": "SCANNER42",
    "ReferringPhysicianName": "House^Gregory",
    "StudyDescription": "Brain MR for Kowalska",
}
TELLING = re.compile(
    "kowalska|janina|PID-112233|ACC778899|elsewhere|SCANNER42|house|gregory|ratched|mildred|19630517|20110304", re.I
)


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    write_series(
        tmp_path / "in",
        head_like((6, 48, 48)),
        patient=("KOWALSKA^JANINA", "PID-112233"),
        description="FLAIR of Kowalska",
        **WHO,
    )
    return opened(tmp_path / "in", tmp_path / "scratch")


def said(stack: Stack) -> list[Finding]:
    """Each with a UID that no other begins with."""
    made = [*smooth(stack), finding(stack, blob(stack), 4, status=Status.REJECTED, reason="a vessel")]
    return [replace(one, id=uid_of("nameless", str(one.number))) for one in made]


def leave(stack: Stack, folder: Path, names: list[str], options: Options | None = None, **more: bool) -> list[Written]:
    how = Nameless(KEY, options or Options(), **more)
    terms = Terms(rejected=True, nameless=how)
    return list(export(stack, said(stack), folder, READER, products(names), terms))


KINDS = [product.name for product in PRODUCTS if product.name not in ("pm", "fractional")]


@pytest.mark.parametrize("options", [Options(), Options(shift_dates=True, clean_descriptors=True)])
def test_nothing_that_leaves_tells_who_it_was(stack: Stack, tmp_path: Path, options: Options) -> None:
    written = leave(stack, tmp_path / "out", KINDS, options)
    assert {item.kind.lower() for item in written} == {*KINDS, "deidentification"}
    today = re.compile(f"{__import__('datetime').date.today():%Y.?%m.?%d}")
    for item in written:
        raw = item.path.read_bytes()
        assert not TELLING.search(item.path.name)
        assert not TELLING.search(raw.decode("latin-1")), item.path.name
        if item.path.suffix == ".dcm":
            made = pydicom.dcmread(item.path)
            assert made.PatientID == made.PatientName == KEY.patient("PID-112233")
            assert made.StudyInstanceUID == KEY.uid(stack.identity.study_uid)
            assert made.PatientIdentityRemoved == "YES"
            assert [code.CodeValue for code in made.DeidentificationMethodCodeSequence] == [c for c, _ in options.codes]
            text = str(made.to_json())
            assert not today.search(text), item.kind
            assert (made.StudyDate == shifted("20110304", KEY.days("PID-112233"))) == options.shift_dates
            if item.kind == "PDF":
                page = text_of(bytes(made.EncapsulatedDocument)[: made.EncapsulatedDocumentLength])
                assert KEY.patient("PID-112233") in page
                assert not TELLING.search(page)
                assert not today.search(page)
                assert made.BurnedInAnnotation == "NO"
        else:
            assert not TELLING.search(_spoken(item.path))


def test_objects_open_on_the_images_that_the_same_key_de_identifies(
    stack: Stack, tmp_path: Path, tool: Callable[[str], str]
) -> None:
    written = leave(stack, tmp_path / "out", ["seg", "sr", "rtstruct", "gsps", "ko"], Options(clean_descriptors=True))
    report = release([tmp_path / "in"], tmp_path / "images", KEY, Options())
    assert len(report.written) == 6
    catalogue = scanned((tmp_path / "out", tmp_path / "images"), tmp_path / "scratch")
    (onto,) = catalogue.stacks
    assert {derived.source.kind for derived in catalogue.objects_on(onto)} == {"SEG", "SR", "RTSTRUCT", "GSPS", "KO"}
    found = read_objects(onto, catalogue.objects_on(onto))
    masks = [one.mask.digest for one in said(stack)[:3]]
    assert {one.mask.digest for one in found.findings if one.mask} >= set(masks)
    for item in written:
        if item.path.suffix == ".dcm":
            assert not faults(item.path, tool), item.kind


def test_images_leave_too_where_that_is_asked_for(stack: Stack, tmp_path: Path) -> None:
    from overread.dicom.export import shipment

    terms = Terms(nameless=Nameless(KEY, Options(), images=True))
    with shipment(tmp_path / "out", products(["seg"]), terms) as shipping:
        shipping.add(stack, said(stack), READER)
        shipping.add_images([stack])
    kinds = [item.kind for item in shipping.written]
    assert kinds == ["SEG", *["IMAGE"] * 6, "DEIDENTIFICATION", "DEIDENTIFICATION"]
    (onto,) = scanned((tmp_path / "out",), tmp_path / "scratch").stacks
    seg = pydicom.dcmread(shipping.written[0].path)
    assert seg.ReferencedSeriesSequence[0].SeriesInstanceUID == onto.identity.series_uid
    account = json.loads(next(item.path for item in shipping.written if item.path.suffix == ".json").read_text())
    assert account["files"] == [item.path.name for item in shipping.written[:7]]
    assert account["attributes"]["Patient's Name"]["replaced"] > 6
    assert account["methods"][0]["code"] == "113100"


def test_kept_uids_stay_and_shifted_dates_are_the_patients_own(stack: Stack, tmp_path: Path) -> None:
    seg, *_ = leave(stack, tmp_path / "out", ["seg"], Options(keep_uids=True))
    made = pydicom.dcmread(seg.path)
    assert made.StudyInstanceUID == stack.identity.study_uid
    assert made.SegmentSequence[0].TrackingUID == said(stack)[0].id


def test_resampled_and_without_the_patient(tmp_path: Path) -> None:
    places = [(0.0, 1.1 * k, 3.0 * k) for k in range(6)]
    write_series(
        tmp_path / "in",
        head_like((6, 48, 48)),
        positions=places,
        modality="CT",
        patient=("KOWALSKA^JANINA", "PID-112233"),
        PatientPosition="HFS",
        **WHO,
    )
    stack = opened(tmp_path / "in", tmp_path / "scratch")
    terms = Terms(resample=True, nameless=Nameless(KEY))
    written = export(stack, said(stack), tmp_path / "out", READER, products(["seg", "sr", "nifti"]), terms)
    assert [item.kind for item in written][:8] == ["UPRIGHT"] * 6 + ["SEG", "SR"]
    (onto,) = scanned((tmp_path / "out",), tmp_path / "scratch").stacks
    seg = next(item for item in written if item.kind == "SEG")
    assert pydicom.dcmread(seg.path).ReferencedSeriesSequence[0].SeriesInstanceUID == onto.identity.series_uid
    for item in written:
        assert not TELLING.search(item.path.read_bytes().decode("latin-1")), item.path.name


@pytest.mark.parametrize("names", [["sc"], ["pdf"], ["csv"], ["png"]])
def test_a_finding_called_by_the_patients_name_keeps_everything_here(
    stack: Stack, tmp_path: Path, names: list[str]
) -> None:
    first, *_ = said(stack)
    for wrong in (replace(first, label="Kowalska's lesion"), replace(first, reason="seen by House")):
        with pytest.raises(UserError, match="tells who the patient is"):
            export(stack, [wrong], tmp_path / "out", READER, products(names), Terms(nameless=Nameless(KEY)))
    assert not (tmp_path / "out").exists()


def test_what_the_engine_overlooks_is_found_before_it_leaves(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from overread.dicom import release as releasing

    real = releasing.deidentified

    def overlooks(source: Dataset, *given: object) -> object:
        made = real(source, *given)  # type: ignore[arg-type]
        made.dataset.SeriesDescription = "AI for Saint Elsewhere"
        return made

    monkeypatch.setattr(releasing, "deidentified", overlooks)
    with pytest.raises(UserError, match="something of the patient remains in Series Description"):
        leave(stack, tmp_path / "out", ["seg"])
    assert not (tmp_path / "out").exists()


def test_objects_of_another_patient_or_on_other_images_never_leave(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from overread.dicom import nameless

    real = nameless.without_patient

    for change, why in (
        (lambda made: setattr(made, "PatientID", "P0"), "PatientID differs"),
        (lambda made: setattr(made, "FrameOfReferenceUID", "1.2.3"), "another frame of reference"),
        (lambda made: setattr(made, "DeidentificationMethodCodeSequence", []), "differs|something else was done"),
    ):

        def spoilt(*given: object, change: Callable[[Dataset], None] = change) -> object:
            path, made = real(*given)  # type: ignore[arg-type]
            written = pydicom.dcmread(path)
            change(written)
            written.save_as(path)
            return path, made

        monkeypatch.setattr(nameless, "without_patient", spoilt)
        with pytest.raises(UserError, match=why):
            leave(stack, tmp_path / "out", ["seg"])


def test_later_reports_name_nothing_that_left_without_the_patient(stack: Stack, tmp_path: Path) -> None:
    written = leave(stack, tmp_path / "out", ["seg", "sr"])
    label, record = export_record(written)
    assert label.startswith("De-identified: SEG_2.25.")
    assert json.loads(record) == {"objects": []}


def test_a_patient_may_share_a_name_with_a_model(tmp_path: Path) -> None:
    write_series(tmp_path / "in", head_like((6, 48, 48)), patient=("BRIGHT^SPOT", "PID-112233"), **WHO)
    stack = opened(tmp_path / "in", tmp_path / "scratch")
    model = ModelSource("bright-spot", "Bright spot", "1.0.0", "0" * 64, "ONNX Runtime CPU fp32", NOW)
    found = [replace(one, model=model) for one in said(stack)]
    kinds = products(["nifti", "csv", "stl", "pdf", "png", "seg", "sr"])
    terms = Terms(nameless=Nameless(KEY, Options()))
    written = export(stack, found, tmp_path / "out", READER, kinds, terms)
    (table,) = [item.path for item in written if item.kind == "CSV"]
    assert "bright-spot" in table.read_text()
    with pytest.raises(UserError, match="tells who the patient is"):
        export(stack, [replace(found[0], label="Bright one")], tmp_path / "out", READER, kinds, terms)


def test_a_report_without_the_patient_names_none_that_left_with_them(stack: Stack, tmp_path: Path) -> None:
    kinds = products(["seg", "sr", "rtstruct", "pdf"])
    named = export(stack, said(stack), tmp_path / "named", READER, kinds)
    earlier = [item.left for item in named if item.left is not None]
    assert earlier
    terms = Terms(nameless=Nameless(KEY, Options()))
    written = export(stack, said(stack), tmp_path / "nameless", READER, kinds, terms, earlier=earlier)
    reports = [pydicom.dcmread(item.path) for item in written if item.kind in ("SR", "RTSTRUCT", "PDF")]
    assert len(reports) == 3
    for report in reports:
        assert "PredecessorDocumentsSequence" not in report
        assert "PredecessorStructureSetSequence" not in report


def test_measured_numbers_are_nobodys_number_and_longer_ones_are(tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text("number,max (HU)\n1,Glioma,0.9,111,12.5,-3,PID-112233,20110304,1e-05\n", "utf-8")
    spoken = _spoken(table).split("\n", 1)[1]
    assert re.findall(r"[\w-]+", spoken) == ["Glioma", "PID-112233", "20110304"]
