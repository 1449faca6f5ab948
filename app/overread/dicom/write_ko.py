"""The slices that show accepted findings best → a Key Object Selection Document (PS3.3 A.35.4, TID 2010)."""

from __future__ import annotations

from collections.abc import Sequence

import highdicom as hd
from highdicom.ko import KeyObjectSelection, KeyObjectSelectionDocument
from highdicom.sr import ObserverContext, PersonObserverIdentifyingAttributes
from pydicom import Dataset
from pydicom.sr.codedict import codes

from overread.dicom.equipment import equipment
from overread.dicom.source import SourceHeaders, carry_over, person_name
from overread.domain.finding import Finding, Reader

# Of CID 7010 this says no more than is known: "For Referring Provider" or "Quality Issue" are for people to say.
TITLE = codes.DCM.OfInterest


def key_slices(findings: Sequence[Finding], slices: Sequence[int]) -> dict[int, list[Finding]]:
    """The findings on each key slice (k), in the order of the slices; `slices` has the slice of each finding."""
    on: dict[int, list[Finding]] = {}
    for k, finding in sorted(zip(slices, findings, strict=True), key=lambda pair: pair[0]):
        on.setdefault(k, []).append(finding)
    return on


def description(findings: Sequence[Finding], slices: Sequence[int]) -> str:
    """What the selection is, in words: which finding is on which slice, what became of it, which model saw it."""
    said = [f"slice {k + 1}: {', '.join(map(_named, here))}" for k, here in key_slices(findings, slices).items()]
    return f"The slices that show each finding best. {'; '.join(said)}. Not for clinical use."


def _named(finding: Finding) -> str:
    model = f", {finding.model.id} {finding.model.version}" if finding.model else ""
    return f"{finding.title} ({finding.status.value}{model})"


def write_ko(
    headers: SourceHeaders, findings: Sequence[Finding], slices: Sequence[int], reader: Reader, series_number: int
) -> Dataset:
    """One selection of the slices that show `findings` best; `slices` has the slice (k) of each finding."""
    frames = [headers.stack.frames[k] for k in key_slices(findings, slices)]
    images = {str(image.SOPInstanceUID): image for image in headers.images}
    chosen = [images[uid] for uid in dict.fromkeys(frame.sop_instance_uid for frame in frames)]
    person = PersonObserverIdentifyingAttributes(name=person_name(reader.name))
    content = KeyObjectSelection(
        TITLE,
        chosen,
        observer_person_context=ObserverContext(codes.DCM.Person, person),
        description=description(findings, slices),
    )
    for item in content[0].ContentSequence:
        if item.ValueType == "IMAGE":
            (reference,) = item.ReferencedSOPSequence
            here = [frame for frame in frames if frame.sop_instance_uid == reference.ReferencedSOPInstanceUID]
            if here[0].of > 1:
                reference.ReferencedFrameNumber = [frame.index + 1 for frame in here]
    document = KeyObjectSelectionDocument(
        evidence=chosen,
        content=content,
        series_instance_uid=hd.UID(),
        series_number=series_number,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        **equipment(),
        series_description=f"AI {headers.stack.identity.series_description} KO".strip()[:64],
        specific_character_set="ISO_IR 192",
    )
    carry_over(headers.first, document)
    return document
