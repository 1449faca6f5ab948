"""One data set without its patient: the basic profile of PS3.15 annex E, with some of its options."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from pydicom import DataElement, Dataset
from pydicom.uid import UID

from overread import __version__
from overread.dicom.confidential import CLASSES, DESCRIPTORS, NEVER_SHIFTED, Action, action_for, safe_private
from overread.dicom.pseudonyms import Key, shifted
from overread.dicom.remains import Identity, identity_of, texts

EDITION = "2026c"
_REMOVED = "REMOVED"
_TEXT = frozenset({"AE", "LO", "LT", "SH", "ST", "UC", "UR", "UT"})
# Dummies that are right for their value representation (D of table E.1-1a).
_DUMMIES: dict[str, Any] = {
    "AS": "000Y",
    "DA": "19000101",
    "DT": "19000101000000",
    "TM": "000000",
    "UR": "http://removed.invalid",
    **dict.fromkeys(("DS", "IS", "FD", "FL", "SS", "US", "SL", "UL", "SV", "UV"), 0),
    **dict.fromkeys(("OB", "UN"), b"\0\0"),
    **dict.fromkeys(("OW", "OL", "OD", "OF", "OV"), b"\0" * 8),
}
# Words of sequences and protocols that the standard's code meanings lack.
_PROTOCOLS = """
    2d 3d adc ap ax axial bold bravo cor coronal cr ct ctac cube dce dir dti dwi dx dynamic ep2d epi fat fatsat fl3d
    flair fse fs gad gd gre hr iso lat loc localizer localiser lung mip mpr mprage mr mra mrv native pa pd perf pet
    plain post pre recon sag sagittal sat scout se seg series soft space spgr stir study swi t1 t1c t1w t2 t2star t2w
    tfe thick thin tirm tof topogram tra transverse trufi tse us vibe vol wo with without
"""


class Refused(Exception):
    """An object that no rule makes safe; a sentence says why."""


@dataclass(frozen=True)
class Options:
    """What is done otherwise than the basic profile has it.

    `keep_uids` retains UIDs (113110); else they are replaced, the same way always. `shift_dates` shifts dates by a
    number of days that is the patient's own (113107); else they are removed. `clean_descriptors` leaves of
    descriptions those words that stand in the standard's code tables (113105); else they are removed.
    """

    keep_uids: bool = False
    shift_dates: bool = False
    clean_descriptors: bool = False

    @property
    def codes(self) -> tuple[tuple[str, str], ...]:
        """What was done, in the codes of PS3.16 CID 7050."""
        said = [
            ("113100", "Basic Application Confidentiality Profile", True),
            ("113103", "Clean Graphics Option", True),
            ("113104", "Clean Structured Content Option", True),
            ("113105", "Clean Descriptors Option", self.clean_descriptors),
            ("113107", "Retain Longitudinal Temporal Information Modified Dates Option", self.shift_dates),
            ("113110", "Retain UIDs Option", self.keep_uids),
            ("113111", "Retain Safe Private Option", True),
        ]
        return tuple((value, meaning) for value, meaning, done in said if done)


@dataclass(frozen=True)
class Released:
    """A data set without its patient, what must not be found in it, what was done to which attribute how often."""

    dataset: Dataset
    identity: Identity
    done: Counter[tuple[str, str]] = field(default_factory=Counter)
    warnings: tuple[str, ...] = ()


def deidentified(source: Dataset, key: Key, options: Options) -> Released:
    """Make `source` into one without its patient: it is changed, so give one that was read for it. Refused."""
    if "EncapsulatedDocument" in source:
        raise Refused("it holds a document, and what stands in documents cannot be judged")
    if not source.get("SOPInstanceUID") or not source.get("SOPClassUID"):
        raise Refused("it has no SOP Instance UID or no SOP class")
    warnings = warnings_of(source)
    work = _Work(source, key, options)
    work.clean(source)
    source.PatientID = source.PatientName = work.number
    source.PatientIdentityRemoved = "YES"
    source.DeidentificationMethod = f"Overread {__version__}, PS3.15 annex E, edition {EDITION}"
    source.DeidentificationMethodCodeSequence = [_code(*code) for code in options.codes]
    source.LongitudinalTemporalInformationModified = "MODIFIED" if options.shift_dates else "REMOVED"
    return Released(source, work.identity, work.done, warnings)


def _code(value: str, meaning: str, scheme: str = "DCM") -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, meaning
    return code


class _Work:
    """The rules, with what they need to know of one file."""

    def __init__(self, source: Dataset, key: Key, options: Options) -> None:
        self.key, self.options = key, options
        patient, issuer = str(source.get("PatientID") or ""), str(source.get("IssuerOfPatientID") or "")
        person = patient or str(source.get("PatientName") or "") or str(source.get("StudyInstanceUID") or "")
        self.number, self.days = key.patient(person, issuer), key.days(person, issuer)
        self.done: Counter[tuple[str, str]] = Counter()
        kept = {_DUMMIES["DA"]}
        for element in source.iterall():
            if element.VR == "UI" and options.keep_uids:
                kept.update(texts(element))
            elif element.VR in ("DA", "DT") and options.shift_dates:
                kept.update(day[:8] for text in texts(element) if (day := self._day(text)))
        self.identity = identity_of(source, kept)

    def clean(self, dataset: Dataset) -> None:
        """Carry the rules out on a data set and all sequences in it."""
        held = set(dataset.keys())
        creators = {(tag.group, tag.element): str(dataset[tag].value) for tag in held if tag.is_private_creator}
        for tag in sorted(held):
            if tag.is_private_creator:
                continue
            element = dataset[tag]
            before = (element.VR, element.value)
            if tag.is_private:
                kept = safe_private(creators.get((tag.group, tag.element >> 8), ""), tag, element.VR)
                made: DataElement | None = element if kept else None
            elif tag.element == 0x0000:
                made = None
            else:
                made = self._made(element)
            if made is None:
                del dataset[tag]
                self._note("private attributes" if tag.is_private else element.name, "removed")
            elif (made.VR, made.value) != before and made.VR != "SQ":
                how = "replaced" if made.value not in (None, "", b"") else "emptied"
                self._note(element.name, "shifted" if made.VR in ("DA", "DT") and self.options.shift_dates else how)
        used = {
            (tag.group, tag.element >> 8)
            for tag in held & set(dataset.keys())
            if tag.is_private and not tag.is_private_creator
        }
        for group, block in creators.keys() - used:
            del dataset[group, block]

    def _note(self, name: str, how: str) -> None:
        self.done[name, how] += 1

    def _made(self, element: DataElement) -> DataElement | None:
        """The element as it may stay, changed in place; None where it may not."""
        action = action_for(element.tag)
        if element.VR == "SQ":
            return self._sequence(element, action)
        if element.keyword in ("PatientID", "PatientName"):
            element.value = self.number
        elif element.VR == "UI":
            return self._uids(element, action)
        elif element.VR in ("DA", "DT", "TM"):
            return self._moment(element, action)
        elif element.VR == "PN":
            return self._apply(element, action or Action.DUMMY)
        elif self.options.clean_descriptors and element.keyword in DESCRIPTORS:
            before = texts(element)
            element.value = cleaned(" ".join(before), self.identity)
            if before and not element.value and action is Action.DUMMY:
                element.value = _REMOVED  # what must not be empty
            return element if element.value or action is not Action.REMOVE else None
        elif action not in (None, Action.KEEP, Action.CLEAN):
            return self._apply(element, action)
        elif element.VR in _TEXT and any(self.identity.told_by(text) for text in texts(element)):
            return self._apply(element, Action.DUMMY)
        return element

    def _sequence(self, element: DataElement, action: Action | None) -> DataElement | None:
        if action is Action.REMOVE:
            return None
        if action is Action.EMPTY:
            element.value = []
        elif action is Action.DUMMY and element.keyword.endswith("CodeSequence"):
            element.value = [_code(_REMOVED, "Removed", "99OVERREAD")]
            self._note(element.name, "replaced")
        for item in element.value:
            self.clean(item)
        return element

    def _uids(self, element: DataElement, action: Action | None) -> DataElement | None:
        if CLASSES.match(element.keyword):
            return element
        if action is Action.REMOVE:
            return None
        if not self.options.keep_uids:
            mapped = [UID(text if text.startswith("1.2.840.10008.") else self.key.uid(text)) for text in texts(element)]
            element.value = mapped if len(mapped) > 1 else (mapped[0] if mapped else "")
        return element

    def _moment(self, element: DataElement, action: Action | None) -> DataElement | None:
        """Dates and times: shifted as wholes where that was asked for, else as the table has it, a dummy by default."""
        if not self.options.shift_dates or element.keyword in NEVER_SHIFTED:
            return self._apply(element, action or Action.DUMMY) if texts(element) else element
        if element.VR == "TM" or not texts(element):
            return element
        days = [self._day(text) for text in texts(element)]
        if not all(days):
            return self._apply(element, Action.DUMMY)
        element.value = days if len(days) > 1 else days[0]
        return element

    def _day(self, text: str) -> str:
        """A date shifted, "" where it is none."""
        try:
            return shifted(text, self.days)
        except (ValueError, OverflowError):
            return ""

    def _apply(self, element: DataElement, action: Action) -> DataElement | None:
        if action is Action.REMOVE:
            return None
        if action is Action.EMPTY:
            element.value = None if element.VR in _DUMMIES else ""
        elif action is Action.DUMMY and (texts(element) or element.VR not in ("LO", "SH", "PN")):
            element.value = _DUMMIES.get(element.VR, _REMOVED)
        return element


def cleaned(text: str, identity: Identity) -> str:
    """Of a free text the words of the standard's code meanings and of protocols, and short numbers; none of a name."""
    kept, telling = [], {part for value in identity.words | identity.values for part in re.findall(r"\w+", value)}
    for word in re.findall(r"\w+", re.sub(r"\d+([-.:/]\d+)+", " ", text)):  # without what may be a date
        known = word.casefold() in _vocabulary() or (word.isdigit() and len(word) <= 3)
        if known and word.casefold() not in telling:
            kept.append(word)
    return " ".join(kept)


@cache
def _vocabulary() -> frozenset[str]:
    from pydicom.sr import _concepts_dict  # large, and slow to import

    concepts: dict[str, Any] = dict(_concepts_dict.concepts)

    meanings = (
        meaning for scheme in ("SCT", "DCM") for codes in concepts[scheme].values() for meaning, _ in codes.values()
    )
    return frozenset(word for meaning in meanings for word in re.findall(r"[^\W\d_]{2,}", meaning.casefold())).union(
        _PROTOCOLS.split()
    )


def warnings_of(source: Dataset) -> tuple[str, ...]:
    """What headers cannot tell, and a person has to look at: text in the picture, and faces. To be asked beforehand."""
    kind, told = UID(str(source.get("SOPClassUID") or "")).name, []
    if "Rows" not in source:
        return ()
    burned = str(source.get("BurnedInAnnotation") or "")
    image_type = source.get("ImageType") or ()
    derived = "SECONDARY" in ([image_type] if isinstance(image_type, str) else list(image_type))
    if burned == "YES":
        told.append("says that text is burned into the picture")
    elif re.search(r"Secondary Capture|Ultrasound|Photographic|Video|Endoscopic|Microscopic", kind):
        told.append(f"is of a kind that often has text burned into the picture ({kind.removesuffix(' Storage')})")
    elif derived and burned != "NO" and "Segmentation" not in kind:
        told.append("is derived, and may be a picture of a screen with text in it")
    if str(source.get("Modality")) in ("CT", "MR", "PT") and str(source.get("BodyPartExamined") or "").upper() in (
        "HEAD",
        "BRAIN",
        "FACE",
        "SKULL",
        "HEADNECK",
        "NECK",
    ):
        told.append("shows a head: a face can be computed from the slices")
    return tuple(told)
