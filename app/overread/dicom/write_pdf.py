"""A report as PDF → an Encapsulated PDF object (PS3.3 A.45.1) of the same patient and study."""

from __future__ import annotations

from datetime import datetime

from pydicom import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import EncapsulatedPDFStorage, ExplicitVRLittleEndian

from overread.dicom.derived import derived
from overread.dicom.product import Parcel
from overread.dicom.write_seg import concept
from overread.domain.finding import Code

TITLE = "Findings accepted by a reader. Not for clinical use."
_KIND = codes.DCM.ImagingMeasurementReport


def write_pdf(parcel: Parcel, document: bytes, when: datetime | None) -> Dataset:
    """The object that holds `document`, made `when`; it names every image of the stack as its source.

    Without `when` nothing in it says when it was made.
    """
    made = derived(parcel.headers, EncapsulatedPDFStorage, "DOC", parcel.number, ExplicitVRLittleEndian)
    made.ConversionType = "WSD"
    made.ContentDate, made.ContentTime = (f"{when:%Y%m%d}", f"{when:%H%M%S}") if when else (None, None)
    if when is None:
        del made.InstanceCreationDate, made.InstanceCreationTime
    made.AcquisitionDateTime = None
    made.BurnedInAnnotation = "NO" if parcel.nameless else "YES"  # the patient's name is on the page
    images = parcel.headers.images
    made.SourceInstanceSequence = [_instance(image.SOPClassUID, image.SOPInstanceUID) for image in images]
    made.DocumentTitle = TITLE
    made.ConceptNameCodeSequence = [concept(Code(_KIND.value, _KIND.scheme_designator, _KIND.meaning))]
    made.VerificationFlag = "UNVERIFIED" if parcel.signed_by is None else "VERIFIED"
    if parcel.earlier:
        made.PredecessorDocumentsSequence = [_predecessor(parcel)]
    made.MIMETypeOfEncapsulatedDocument = "application/pdf"
    made.EncapsulatedDocument = document + b"\0" * (len(document) % 2)
    made.EncapsulatedDocumentLength = len(document)
    return made


def _instance(sop_class: str, uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, uid
    return item


def _predecessor(parcel: Parcel) -> Dataset:
    """The reports that this one comes after (PS3.3 C.17.2.1)."""
    study = Dataset()
    study.StudyInstanceUID = parcel.stack.identity.study_uid
    study.ReferencedSeriesSequence = []
    for left in parcel.earlier:
        series = Dataset()
        series.SeriesInstanceUID = left.series_uid
        series.ReferencedSOPSequence = [_instance(left.sop_class_uid, left.sop_instance_uid)]
        study.ReferencedSeriesSequence.append(series)
    return study
