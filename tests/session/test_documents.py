"""Key slices and the report: read by other people's software, and refused where somebody tampered with them."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
from pydicom import Dataset

from overread.dicom.check import gate
from overread.dicom.product import Left, Parcel, Product
from overread.dicom.quiet import quiet
from overread.domain.errors import UserError
from overread.domain.finding import Finding, Kind, Reader, Status
from overread.domain.geometry import Plane, acquired_plane
from overread.domain.heatmap import Heatmap
from overread.domain.study import Stack
from overread.session.products_documents import KO, PDF
from overread.session.report import NOT_CLINICAL
from support.findings import finding, opened
from support.paper import embedded, text_of
from support.parcels import faults, lump, lumps, parcel
from support.series import changed, head_like, write_series

REAL = [
    "glioma-fg6692/05_FLAIR_AX",
    "multiframe/enhanced-mr-philips-fieldmap",
    "codecs/wg04/US1_UNC.dcm",
    "chest-xray",
]


def written(made: Parcel, product: Product) -> Path:
    with quiet():
        paths = product.write(made)
    gate(made, product, paths)
    (path,) = paths
    return path


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Stack:
    folder = tmp_path_factory.mktemp("documents")
    for path in write_series(folder / "in", head_like((6, 48, 56)), spacing=(0.9, 0.8), step=3.3):
        changed(changed(path, SpecificCharacterSet=b"ISO_IR 192"), PatientName="Müller^Jörg=山田^太郎".encode())
    return opened(folder / "in", folder)


# Key slices


@pytest.mark.parametrize("name", REAL)
def test_real_series_give_selections_that_others_read(
    data: Path, tmp_path: Path, tool: Callable[[str], str], name: str
) -> None:
    stack = opened(data / "dicom" / name, tmp_path / "scratch")
    findings = lumps(stack)
    path = written(parcel(stack, findings, tmp_path / "out", "ko"), KO)
    assert not faults(path, tool)
    done = subprocess.run([tool("dsrdump"), str(path)], capture_output=True, text=True, check=True)
    assert "E:" not in done.stderr
    assert "Of Interest" in done.stdout
    with quiet():
        selection = hd.ko.KeyObjectSelectionDocument.from_dataset(pydicom.dcmread(path))
    areas = [meant.mask.voxels.sum(axis=(1, 2)) for meant in findings]
    best = {stack.frames[int(area.argmax())] for area in areas}
    chosen = set()
    for item in selection.content.get_references():
        (reference,) = item.ReferencedSOPSequence
        numbers = np.atleast_1d(reference.get("ReferencedFrameNumber", 1)).tolist()
        chosen |= {(reference.ReferencedSOPInstanceUID, int(number) - 1) for number in numbers}
    assert chosen == {(frame.sop_instance_uid, frame.index) for frame in best}


def test_what_lies_on_no_slice_is_not_selected(stack: Stack) -> None:
    plane = acquired_plane(stack.grid)
    across = next(other for other in Plane if other is not plane)
    empty = np.zeros(stack.grid.shape, bool)
    for of, said in ((plane, ""), (across, "No single slice of the series shows it.")):
        heat = Heatmap.of(np.ones((2, 2), np.float32), (0, 0, 6, 6), of, 4, "Pneumonia", "CAM", "last")
        seen = finding(stack, empty, kind=Kind.CLASSIFICATION, measures=None, threshold=0.5, heatmap=heat)
        assert KO.refuse(stack, seen) == said
    assert KO.refuse(stack, replace(seen, heatmap=None)) == "No single slice of the series shows it."


def _text(d: Dataset) -> Dataset:
    return next(item for item in d.ContentSequence if item.ValueType == "TEXT")


def _image(d: Dataset) -> Dataset:
    return next(item for item in d.ContentSequence if item.ValueType == "IMAGE")


def _evidence(d: Dataset) -> Dataset:
    return d.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0]


KEYS: dict[str, Callable[[Dataset], object]] = {
    "title": lambda d: setattr(d.ConceptNameCodeSequence[0], "CodeValue", "113001"),
    "text": lambda d: setattr(_text(d), "TextValue", "Nothing"),
    "image": lambda d: setattr(_image(d).ReferencedSOPSequence[0], "ReferencedSOPInstanceUID", "1.2.3"),
    "image gone": lambda d: d.ContentSequence.remove(_image(d)),
    "image twice": lambda d: d.ContentSequence.append(_image(d)),
    "reader": lambda d: setattr(
        next(item for item in d.ContentSequence if item.ValueType == "PNAME"), "PersonName", "Else^Somebody"
    ),
    "evidence": lambda d: _evidence(d).ReferencedSOPSequence.pop(),
    "series": lambda d: setattr(_evidence(d), "SeriesInstanceUID", "1.2.3"),
    "patient": lambda d: setattr(d, "PatientID", "ID2"),
}


@pytest.mark.parametrize("what", KEYS)
def test_a_selection_that_was_tampered_with_is_refused(stack: Stack, tmp_path: Path, what: str) -> None:
    made = parcel(stack, lumps(stack), tmp_path / "out", "ko")
    path = written(made, KO)
    spoiled = pydicom.dcmread(path)
    KEYS[what](spoiled)
    spoiled.save_as(path)
    with pytest.raises(UserError, match="failed the check before export"):
        gate(made, KO, [path])


# The report


def _rejected(stack: Stack) -> Finding:
    return finding(stack, lump(stack, 5), 7, status=Status.REJECTED, reason="vessel & <co>")


def _made(stack: Stack, folder: Path, **more: object) -> Parcel:
    known: dict[str, object] = {"rejected": (_rejected(stack),), "undecided": 2, **more}
    return parcel(stack, lumps(stack), folder, "pdf", **known)


@pytest.mark.parametrize("name", REAL)
def test_reports_on_real_series_are_taken_out_again_byte_by_byte(
    data: Path, tmp_path: Path, tool: Callable[[str], str], name: str
) -> None:
    stack = opened(data / "dicom" / name, tmp_path / "scratch")
    path = written(_made(stack, tmp_path / "out"), PDF)
    assert not faults(path, tool)
    with quiet():
        object_ = pydicom.dcmread(path)
    assert [item.ReferencedSOPInstanceUID for item in object_.SourceInstanceSequence] == list(
        dict.fromkeys(frame.sop_instance_uid for frame in stack.frames)
    )
    out = tmp_path / "theirs.pdf"
    subprocess.run([tool("dcm2pdf"), str(path), str(out)], capture_output=True, check=True)
    theirs = out.read_bytes()
    assert theirs == bytes(object_.EncapsulatedDocument)[: object_.EncapsulatedDocumentLength]
    text = text_of(theirs)
    assert stack.identity.patient_id in text
    assert NOT_CLINICAL in text


def test_the_report_says_who_what_and_why(stack: Stack, tmp_path: Path) -> None:
    made = _made(stack, tmp_path / "out", signed_by=Reader("Grace Hopper"))
    object_ = pydicom.dcmread(written(made, PDF))
    pdf = bytes(object_.EncapsulatedDocument)[: object_.EncapsulatedDocumentLength]
    text = text_of(pdf)
    size = made.findings[0].measures
    assert size is not None
    for said in (
        "Müller Jörg",
        "ID1",
        stack.identity.study_uid,
        "Ada Lovelace",
        "Signed by Grace Hopper.",
        "2 of this series wait for a verdict",
        "Glioma (glioma-flair 1.2.0), weights abababababababab; ONNX Runtime CPU fp32, 2026-01-02 03:04",
        "edited by Ada Lovelace",
        "Läsion 3",
        f"{size.volume_ml:.3f} ml",
        f"{size.long_axis_mm:.1f} × {size.short_axis_mm:.1f} mm",
        "0.90",
        "rejected by Ada Lovelace",
        "vessel & <co>",
        NOT_CLINICAL,
    ):
        assert said in text.replace("\n", " ") or said in text, said
    assert "�" not in text
    used, held = embedded(pdf)
    assert used == held >= 2
    assert pdf.count(b"/Subtype /Image") == len(made.findings) + 1, "each finding's picture, and the name in Chinese"
    assert object_.VerificationFlag == "VERIFIED"


def test_readers_whose_script_the_font_lacks_are_pictures(stack: Stack, tmp_path: Path) -> None:
    counts = []
    for name in ("Ada", "Ελένη Жукова", "佐藤 花子", "محمد علي"):
        object_ = pydicom.dcmread(written(replace(_made(stack, tmp_path / name), reader=Reader(name)), PDF))
        pdf = bytes(object_.EncapsulatedDocument)
        counts.append(pdf.count(b"/Subtype /Image"))
        assert (name in text_of(pdf[: object_.EncapsulatedDocumentLength])) == (len(counts) < 3)
    assert counts == [4, 4, 5, 5]


def test_an_amended_report_names_the_one_before(stack: Stack, tmp_path: Path, tool: Callable[[str], str]) -> None:
    left = Left("pdf", stack.uid, "1.2.840.10008.5.1.4.1.1.104.1", "1.2.3.4", "1.2.3", stack.identity.study_uid)
    made = _made(stack, tmp_path / "out", earlier=(left,))
    path = written(made, PDF)
    assert not faults(path, tool)
    with pytest.raises(UserError, match=r"it comes after other reports|not in the study"):
        gate(replace(made, earlier=()), PDF, [path])


PAPER: dict[str, Callable[[Dataset], object]] = {
    "a byte": lambda d: setattr(
        d, "EncapsulatedDocument", d.EncapsulatedDocument[:900] + b"\0" + d.EncapsulatedDocument[901:]
    ),
    "length": lambda d: setattr(d, "EncapsulatedDocumentLength", 100),
    "type": lambda d: setattr(d, "MIMETypeOfEncapsulatedDocument", "text/plain"),
    "title": lambda d: setattr(d, "DocumentTitle", "Report"),
    "source": lambda d: d.SourceInstanceSequence.pop(),
    "time": lambda d: setattr(d, "ContentTime", "000000"),
    "verified": lambda d: setattr(d, "VerificationFlag", "VERIFIED"),
    "patient": lambda d: setattr(d, "PatientName", "TEST^TWO"),
}


@pytest.mark.parametrize("what", PAPER)
def test_a_report_that_was_tampered_with_is_refused(stack: Stack, tmp_path: Path, what: str) -> None:
    made = _made(stack, tmp_path / "out")
    path = written(made, PDF)
    spoiled = pydicom.dcmread(path)
    PAPER[what](spoiled)
    spoiled.save_as(path)
    with pytest.raises(UserError, match="failed the check before export"):
        gate(made, PDF, [path])


def test_a_report_on_other_findings_is_refused(stack: Stack, tmp_path: Path) -> None:
    made = _made(stack, tmp_path / "out")
    path = written(made, PDF)
    for other in (
        replace(made, findings=made.findings[:2]),
        replace(made, undecided=0),
        replace(made, reader=Reader("Somebody Else")),
        replace(made, rejected=()),
    ):
        with pytest.raises(UserError, match="the document in it is another one"):
            gate(other, PDF, [path])
