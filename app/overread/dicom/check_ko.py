"""How a key object selection is read back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pydicom
from pydicom import Dataset

from overread.dicom.product import Parcel, require
from overread.dicom.source import person_name
from overread.dicom.write_ko import TITLE, description, key_slices


def check_ko(path: Path, parcel: Parcel, slices: Sequence[int]) -> None:
    """Read a selection back: its title, who made it, what it says, which images it selects. Wrong where it differs."""
    written = pydicom.dcmread(path)
    (title,) = written.ConceptNameCodeSequence
    require((title.CodeValue, title.CodingSchemeDesignator) == (TITLE.value, TITLE.scheme_designator), "another title")
    items: dict[str, list[Dataset]] = {}
    for item in written.ContentSequence:
        items.setdefault(str(item.ValueType), []).append(item)
    said = [str(item.TextValue) for item in items.get("TEXT", ())]
    require(said == [description(parcel.findings, slices)], "it says something else")
    names = [str(item.PersonName) for item in items.get("PNAME", ())]
    require(names == [person_name(parcel.reader.name)], "another reader")
    expected: dict[str, list[int]] = {}
    for k in key_slices(parcel.findings, slices):
        frame = parcel.stack.frames[k]
        expected.setdefault(frame.sop_instance_uid, []).extend([frame.index + 1] if frame.of > 1 else [])
    selected = {}
    for item in items.get("IMAGE", ()):
        (reference,) = item.ReferencedSOPSequence
        numbers = reference.get("ReferencedFrameNumber")
        frames = [] if numbers is None else numbers if isinstance(numbers, Sequence) else [numbers]
        selected[str(reference.ReferencedSOPInstanceUID)] = [int(number) for number in frames]
    require(selected == expected and len(items.get("IMAGE", ())) == len(expected), "it selects other images")
    (study,) = written.CurrentRequestedProcedureEvidenceSequence
    (series,) = study.ReferencedSeriesSequence
    who = parcel.stack.identity
    place = str(study.StudyInstanceUID), str(series.SeriesInstanceUID)
    require(place == (who.study_uid, who.series_uid), "its evidence lies in another series")
    evidence = {str(item.ReferencedSOPInstanceUID) for item in series.ReferencedSOPSequence}
    require(evidence == set(expected), "its evidence is not what it selects")
