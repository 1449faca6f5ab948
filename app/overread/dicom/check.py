"""The gate: nothing leaves before it was read back from disk and found to say what was meant."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pydicom
from pydicom import Dataset
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.tag import Tag

from overread.dicom.product import Parcel, Product, Wrong, require
from overread.dicom.required import missing
from overread.dicom.source import CARRIED, SHARED, SourceHeaders
from overread.domain.errors import UserError

# What these name is the study or an order, not an image.
_NO_IMAGES = frozenset(
    {"ReferencedStudySequence", "ReferencedPatientSequence", "ReferencedPerformedProcedureStepSequence"}
    | {"ReferencedRequestSequence", "RequestAttributesSequence", "RTReferencedStudySequence"}
)
_FRAMES_OF_REFERENCE = frozenset({"FrameOfReferenceUID", "ReferencedFrameOfReferenceUID"})
_CONTOUR = Tag("ContourData")


def gate(parcel: Parcel, product: Product, paths: Sequence[Path], seen: set[str] | None = None) -> None:
    """Read a product's files back and compare them with the findings and their source.

    `seen` are the SOP Instance UIDs that the gate has read in this export, to which it adds; without it the files that
    were written before are read again. UserError naming the object and the reason where anything differs.
    """
    with refusing(paths[0].name if paths else product.title):
        require(bool(paths), "nothing was written")
        if seen is None:
            seen = {str(item.SOPInstanceUID) for files in parcel.before.values() for item in _objects(files)}
        known = seen | {item.sop_instance_uid for item in parcel.earlier}
        for path in paths:
            with refusing(path.name):
                require(path.parent == parcel.folder and path.is_file(), "it is not where it was to be")
                require(path.stat().st_size > 0, "it is empty")
                for written in _objects([path]):
                    _common(written, parcel, known)
                    known.add(str(written.SOPInstanceUID))
                    seen.add(str(written.SOPInstanceUID))
        product.check(parcel, paths)


def gate_released(parcel: Parcel, paths: Sequence[Path], seen: set[str]) -> None:
    """Read objects back from which the patient was taken, and compare them with de-identified images.

    `parcel` has these images; `seen` are the new UIDs that were read so far, to which it adds.
    """
    for path in paths:
        with refusing(path.name):
            (written,) = _objects([path])
            _common(written, parcel, seen)
            seen.add(str(written.SOPInstanceUID))


@contextmanager
def refusing(about: str) -> Iterator[None]:
    """UserError that names what was checked where something in it is Wrong, or cannot be read."""
    try:
        yield
    except UserError:
        raise
    except Wrong as wrong:
        raise UserError(f"{about} failed the check before export: {wrong}.", "Nothing was exported.") from wrong
    except Exception as error:  # a file may hold anything
        raise UserError(
            f"{about} failed the check before export: it cannot be read back ({type(error).__name__}).",
            "Nothing was exported.",
        ) from error


def _objects(paths: Sequence[Path]) -> Iterator[Dataset]:
    """The DICOM objects among files, without their pixels."""
    for path in paths:
        if path.suffix == ".dcm":
            yield pydicom.dcmread(path, defer_size=1 << 16)


def _common(written: Dataset, parcel: Parcel, known: set[str]) -> None:
    """What holds for every object that is derived from images; `known` are the objects written so far."""
    headers, acquired = parcel.headers, parcel.acquired or parcel.headers
    _identity(written, acquired)
    own, uid = headers.uids | acquired.uids, str(written.SOPInstanceUID)
    require(
        str(written.SeriesInstanceUID) not in headers.series | acquired.series, "it would join the source's own series"
    )
    require(uid not in own, "it would take the place of an image")
    require(uid not in known, "two objects have the same UID")
    meta = written.file_meta
    same = (meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID) == (written.SOPClassUID, uid)
    require(same, "its file header speaks of another object")
    place = {str(headers.first.get("FrameOfReferenceUID", ""))}
    study = str(headers.first.StudyInstanceUID)
    for element in _elements(written, set()):
        if element.keyword in _FRAMES_OF_REFERENCE:
            require(str(element.value) in place, "another frame of reference")
        if element.keyword == "ReferencedSOPInstanceUID":
            named = str(element.value)
            there = named in own or named in known or named in (uid, study)
            require(there, "it refers to an object that is not in the study")
    if headers.first.get("LossyImageCompression") == "01" and "PixelData" in written:
        require(written.get("LossyImageCompression") == "01", "it hides that its source was compressed with loss")
    absent = missing(written)
    require(not absent, f"it lacks {', '.join(absent[:3])}")


def _identity(written: Dataset, headers: SourceHeaders) -> None:
    require(written.get("SpecificCharacterSet") == "ISO_IR 192", "another character set")
    for keyword in SHARED:
        same = (written.get(keyword) or "") == (headers.first.get(keyword) or "")
        require(same, f"{keyword} differs from the source")
    for keyword in CARRIED:
        if headers.first.get(keyword):
            require(written.get(keyword) == headers.first.get(keyword), f"{keyword} differs from the source")


def _elements(dataset: Dataset, seen: set[tuple[int, str | None, bytes]]) -> Iterator[DataElement]:
    """All elements of a dataset and its sequences, without what only names the study or an order.

    What stands in a file with the very same bytes twice is given once, and points of contours are not: each of them
    takes pydicom long, there may be a million, and the check of structure sets reads them in its own way.
    """
    for tag in sorted(dataset.keys()):
        raw = dataset.get_item(tag)
        if isinstance(raw, RawDataElement) and isinstance(raw.value, bytes):
            if tag == _CONTOUR or (tag, raw.VR, raw.value) in seen:
                continue
            seen.add((tag, raw.VR, raw.value))
        element = dataset[tag]
        yield element
        if element.VR == "SQ" and element.keyword not in _NO_IMAGES:
            for item in element.value:
                yield from _elements(item, seen)
