"""What the objects have in common that are built here, attribute by attribute, and not by highdicom."""

from __future__ import annotations

import highdicom as hd
from highdicom.base import SOPClass
from pydicom import Dataset
from pydicom.uid import ImplicitVRLittleEndian

from overread.dicom.equipment import equipment
from overread.dicom.source import SourceHeaders, carry_over
from overread.domain.study import Frame

# Parts of the body that are there twice (PS3.16 Annex L, terms of CID 4031), of which images are usual.
_PAIRED = """
ADRENAL ANKLE ARM AXILLA BREAST BUTTOCK CALCANEUS CALF CAROTID CHEEK CLAVICLE CORNEA EAR ELBOW EXTREMITY EYE EYELID
FEMUR FIBULA FINGER FOOT FOREARM HAND HIP HUMERUS KIDNEY KNEE LEG LUNG ORBIT OVARY PAROTID PATELLA RADIUS RADIUSULNA
SCAPULA SHOULDER SUBMANDIBULAR TESTIS THIGH THUMB TIBIA TIBIAFIBULA TOE ULNA WRIST ZYGOMA
"""


def with_side(headers: SourceHeaders, made: Dataset) -> None:
    """Say which of two parts of the body it is (type 2C, PS3.3 C.7.3.1): as the source does, empty where it does not.

    Also where the source names no part; it must be absent of parts that are there once.
    """
    part = made.get("BodyPartExamined")
    if not part or part in _PAIRED.split():
        made.Laterality = headers.first.get("Laterality") or None


def derived(
    headers: SourceHeaders, sop_class: str, modality: str, series_number: int, syntax: str = ImplicitVRLittleEndian
) -> Dataset:
    """A new object of the source's patient and study, in a series of its own, from this program."""
    kind = "PDF" if modality == "DOC" else modality
    made = SOPClass(
        study_instance_uid=headers.first.StudyInstanceUID,
        series_instance_uid=hd.UID(),
        series_number=series_number,
        sop_instance_uid=hd.UID(),
        sop_class_uid=sop_class,
        instance_number=1,
        modality=modality,
        transfer_syntax_uid=syntax,
        series_description=f"AI {headers.stack.identity.series_description} {kind}".strip()[:64],
        **equipment(),
        specific_character_set="ISO_IR 192",
    )
    carry_over(headers.first, made)
    return made


def reference(image: Dataset, frame: Frame) -> Dataset:
    """An Image SOP Instance Reference (PS3.3 10.3) to a frame of a stack, whose file `image` is."""
    item = Dataset()
    item.ReferencedSOPClassUID = image.SOPClassUID
    item.ReferencedSOPInstanceUID = frame.sop_instance_uid
    if frame.of > 1:
        item.ReferencedFrameNumber = frame.index + 1
    return item
