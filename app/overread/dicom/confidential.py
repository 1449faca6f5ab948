"""What PS3.15 annex E asks to be done with each attribute: table E.1-1, and where we differ from the library's copy.

dicom-anonymizer brings the table's basic profile (edition 2026c) as lists of tags. Its way of carrying it out is not
used, for it differs from the standard: it does not look into sequences, which E.1.1 wants done to any depth; its UIDs
are random, so that two runs give two studies; a date that is to be removed (X) becomes 00010101; and values for
D are one word whatever the attribute asks for. The table itself lacks the columns of the options; those used here
are written down below.

Compared with other people's copies of the standard, row by row: the library's lists with the 621 rows of table E.1-1 in
innolitics/dicom-standard (edition 2025a), which they agree with and to which 2026c adds some; DESCRIPTORS and
NEVER_SHIFTED with its columns for the options; SAFE_PRIVATE with table E.3.10-1 in chsasank/dicom_standard (2020). Not
compared: table E.3.4-1, which says of single concepts of a report what to do; here all text of a report goes.
"""

from __future__ import annotations

import re
from enum import StrEnum
from functools import cache

from pydicom.datadict import dictionary_has_tag, keyword_for_tag, tag_for_keyword
from pydicom.tag import BaseTag, Tag


class Action(StrEnum):
    """The letters of table E.1-1a. Of those that leave a choice (X/Z, X/D …), the one is taken that fits every type."""

    REMOVE = "X"
    EMPTY = "Z"
    DUMMY = "D"
    UID = "U"
    CLEAN = "C"
    KEEP = "K"


_LISTS = {
    "X_TAGS": Action.REMOVE,
    "Z_TAGS": Action.EMPTY,
    "D_TAGS": Action.DUMMY,
    "U_TAGS": Action.UID,
    "X_Z_TAGS": Action.EMPTY,  # an empty value is right for types 2 and 3
    "X_D_TAGS": Action.DUMMY,  # a dummy for types 1 and 3
    "X_Z_D_TAGS": Action.DUMMY,
    "Z_D_TAGS": Action.DUMMY,
    "X_Z_U_STAR_TAGS": Action.CLEAN,  # sequences of references: kept, with the UIDs in them replaced
}
# Where we do something else than the library's lists say, and why.
OURS = {
    # Clean Structured Content Option (E.3.4): the tree is kept, its text, names, dates and UIDs are not.
    "ContentSequence": Action.CLEAN,
    # Clean Graphics Option (E.3.3): graphics are kept, their text is not.
    "GraphicAnnotationSequence": Action.CLEAN,
    # A verifying observer is a sequence of type 1 in a verified report (PS3.3 C.17.2); the names in it become dummies.
    "VerifyingObserverSequence": Action.CLEAN,
    # Sequences that X/Z/D and X/D allow to be empty or gone: a dummy item would say nothing.
    "InstitutionCodeSequence": Action.REMOVE,
    "OperatorIdentificationSequence": Action.REMOVE,
    # X in the table, and of type 1 in presentation states (PS3.3 C.11.10).
    "PresentationCreationDate": Action.DUMMY,
    "PresentationCreationTime": Action.DUMMY,
    "WaveformAnnotationSequence": Action.REMOVE,
    "ReferencedPerformedProcedureStepSequence": Action.EMPTY,
    # What remains valid of the originals no longer is (E.1.1: digital signatures are removed).
    "DigitalSignaturesSequence": Action.REMOVE,
    "MACParametersSequence": Action.REMOVE,
    # References from one object to others, by which derived objects open on their images: U inside, as in E.1.1.
    "ReferencedSeriesSequence": Action.CLEAN,
    "ReferencedStudySequence": Action.CLEAN,
    # What a sample is called, and a free text that may hold anything (SR, C.17.3.2): D by way of its content item.
    "TextValue": Action.DUMMY,
    # Names of parts and marks that people type, which the table leaves alone: free text all the same (E.3.5).
    "TrackingID": Action.DUMMY,
    "SegmentLabel": Action.DUMMY,
    "SegmentDescription": Action.REMOVE,
    "ContentDescription": Action.EMPTY,
    "StructureSetName": Action.REMOVE,
    "ROIDescription": Action.REMOVE,
    "ROIObservationLabel": Action.REMOVE,
    "ROIObservationDescription": Action.REMOVE,
    "DocumentTitle": Action.EMPTY,
}
# Retain Longitudinal Temporal Information with Modified Dates (E.3.6): all dates and times stay but these, which have
# no entry in the option's column.
NEVER_SHIFTED = frozenset({"PatientBirthDate", "PatientBirthTime", "GPSTimeStamp"})
# Clean Descriptors Option: what is usual on images of the option's column of table E.1-1, and the free texts of OURS.
# The rest of the column stays removed, which is safer than to clean it.
DESCRIPTORS = frozenset(
    {
        "StudyDescription",
        "SeriesDescription",
        "ProtocolName",
        "AcquisitionProtocolDescription",
        "AcquisitionComments",
        "AcquisitionDeviceProcessingDescription",
        "CommentsOnThePerformedProcedureStep",
        "ContrastBolusAgent",
        "DerivationDescription",
        "ImageComments",
        "PerformedProcedureStepDescription",
        "RequestedProcedureDescription",
        "ScheduledProcedureStepDescription",
        "SegmentDescription",
        "SegmentLabel",
        "TrackingID",
        "ContentDescription",
        "StructureSetLabel",
        "StructureSetName",
        "StructureSetDescription",
        "ROIName",
        "ROIDescription",
        "ROIGenerationDescription",
        "ROIObservationLabel",
        "ROIObservationDescription",
        "RTPlanLabel",
        "TextValue",
        "UnformattedTextValue",
        "DocumentTitle",
    }
)
# UIDs that name kinds of things, not things: they are the same everywhere.
CLASSES = re.compile(r".*(ClassUID|SyntaxUID|SchemeUID|ContextUID|MappingResourceUID|ExtensionCreatorUID|VersionUID)$")
# Retain Safe Private (E.3.10): the numbers of table E.3.10-1 that say how an image was acquired or what its values
# mean. It lists texts, UIDs and results of others' software as well, which are not kept.
SAFE_PRIVATE = {
    ("GEMS_PARM_01", 0x0043, 0x39),  # b-value
    ("SIEMENS MR HEADER", 0x0019, 0x0C),  # b-value
    ("SIEMENS MR HEADER", 0x0019, 0x0E),  # direction of the diffusion gradient
    ("SIEMENS MR HEADER", 0x0019, 0x27),  # b matrix
    ("Philips Imaging DD 001", 0x2001, 0x03),  # b-value
    ("Philips MR Imaging DD 001", 0x2005, 0x0D),  # intercept of the scale
    ("Philips MR Imaging DD 001", 0x2005, 0x0E),  # slope of the scale
    ("Philips PET Private Group", 0x7053, 0x00),  # SUV factor
    ("Philips PET Private Group", 0x7053, 0x09),  # activity concentration factor
    ("GEMS_ACQU_01", 0x0019, 0x23),  # table speed
    ("GEMS_ACQU_01", 0x0019, 0x27),  # period of the gantry's rotation
    ("GEMS_HELIOS_01", 0x0045, 0x01),  # macro rows of the detector
    ("GEMS_HELIOS_01", 0x0045, 0x02),  # their width
    ("ELSCINT1", 0x01F1, 0x07),  # table speed
    ("ELSCINT1", 0x01F1, 0x26),  # pitch
    ("ELSCINT1", 0x01F1, 0x27),  # time of a rotation
}
_NUMBERS = frozenset({"IS", "DS", "FD", "FL", "SS", "US", "SL", "UL"})


@cache
def _table() -> tuple[dict[int, Action], tuple[tuple[tuple[int, ...], Action], ...]]:
    """The actions by tag, and those of repeating groups by tag and mask."""
    from dicomanonymizer.dicom_anonymization_databases import dicomfields_2026c as lists

    single: dict[int, Action] = {}
    ranges = []
    for name, action in _LISTS.items():
        for tag in getattr(lists, name):
            if len(tag) == 2:
                single[Tag(tag)] = action
            else:
                ranges.append((tuple(tag), action))
    for keyword, action in OURS.items():
        number = tag_for_keyword(keyword)
        assert number is not None, keyword
        single[number] = action
    return single, tuple(ranges)


def action_for(tag: BaseTag) -> Action | None:
    """What the basic profile does with a standard attribute; None where the table does not name it.

    Attributes that the dictionary does not know are removed: nobody can say what they hold (E.1.1).
    """
    single, ranges = _table()
    if tag in single:
        return single[tag]
    for (group, element, group_mask, element_mask), action in ranges:
        if tag.group & group_mask == group & group_mask and tag.element & element_mask == element & element_mask:
            return action
    if not dictionary_has_tag(tag) and not keyword_for_tag(tag) and tag.element != 0:
        return Action.REMOVE
    return None


def safe_private(creator: str, tag: BaseTag, vr: str) -> bool:
    """Whether a private attribute is a number that says nothing of the patient."""
    return vr in _NUMBERS and (creator, tag.group, tag.element & 0xFF) in SAFE_PRIVATE
