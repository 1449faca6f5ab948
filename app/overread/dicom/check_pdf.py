"""How an encapsulated report is read back."""

from __future__ import annotations

from pathlib import Path

import pydicom
from pydicom import Dataset

from overread.dicom.product import Parcel, require
from overread.dicom.write_pdf import TITLE


def document_of(written: Dataset) -> bytes:
    """The PDF file that an object holds, without the byte that makes its length even."""
    return bytes(written.EncapsulatedDocument)[: int(written.EncapsulatedDocumentLength)]


def check_pdf(path: Path, parcel: Parcel, document: bytes) -> None:
    """Read an encapsulated report back and compare it with the `document` that was meant. Wrong where it differs."""
    written = pydicom.dcmread(path)
    require(written.MIMETypeOfEncapsulatedDocument == "application/pdf", "it says that it is no PDF")
    require(document_of(written) == document, "the document in it is another one")
    require(written.DocumentTitle == TITLE, "another title")
    sources = [str(item.ReferencedSOPInstanceUID) for item in written.SourceInstanceSequence]
    require(sources == [str(image.SOPInstanceUID) for image in parcel.headers.images], "it was made of other images")
    signed = "UNVERIFIED" if parcel.signed_by is None else "VERIFIED"
    require(written.VerificationFlag == signed, "it was signed by nobody, or by somebody else")
    before = [
        str(item.ReferencedSOPInstanceUID)
        for study in written.get("PredecessorDocumentsSequence", ())
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    ]
    require(before == [left.sop_instance_uid for left in parcel.earlier], "it comes after other reports")
