"""The read-back check: nothing that tells who it was remains in what was written."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pydicom import DataElement, Dataset
from pydicom.multival import MultiValue

from overread.dicom.confidential import CLASSES

_TEXT = frozenset(
    {"AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT"}
)
# Whose values tell who it was, by themselves: names, numbers, places, and the machine that stands there.
_WHO = re.compile(
    r"^(Patient(ID|Address)|OtherPatientIDs|IssuerOf.*|AccessionNumber|StudyID|AdmissionID|ServiceEpisodeID|.*OrderNumber.*|RequestedProcedureID"
    r"|ScheduledProcedureStepID|PerformedProcedureStepID|MedicalRecordLocator|MilitaryRank|.*Telephone.*|.*Address"
    r"|Institution(Name|Address|alDepartmentName)|StationName|DeviceSerialNumber|.*AETitle|.*StationName.*"
    r"|Person.*|.*Physician.*|OperatorsName|ContentCreatorName|VerifyingOrganization|CurrentPatientLocation"
    r"|RegionOfResidence|CountryOfResidence|EthnicGroup|Occupation|InsurancePlanIdentification)$"
)
# What is left because it tells the make of the machine, whatever else is called the same.
_MAKE = frozenset({"Manufacturer", "ManufacturerModelName", "SoftwareVersions"})
# Shorter values are found everywhere by chance; so are shorter ones than this in raw bytes.
_SHORTEST, _RAW, _DIGITS = 3, 6, 16
# Words that stand in names and say nothing by themselves.
_NOBODY = frozenset({"", "anonymous", "unknown", "removed", "none", "unnamed", "test", "patient", "phantom"})


def walked(dataset: Dataset) -> Iterator[DataElement]:
    """Every element to any depth."""
    for element in dataset:
        yield element
        if element.VR == "SQ":
            for item in element.value or ():
                yield from walked(item)


def texts(element: DataElement) -> list[str]:
    """The values of a textual element, one by one; [] of others."""
    if element.VR not in _TEXT or element.value is None:
        return []
    values = element.value if isinstance(element.value, (MultiValue, list)) else [element.value]
    return [text for value in values if (text := str(value).strip(" \0"))]


@dataclass(frozen=True)
class Identity:
    """What tells who a file was of: words to be found as words, and values to be found as they are."""

    words: frozenset[str]
    values: frozenset[str]

    def told_by(self, text: str) -> bool:
        """Whether a text holds any of it."""
        lowered = text.casefold()
        return any(_word(word).search(lowered) for word in self.words) or any(v in lowered for v in self.values)


def joined(identities: Iterable[Identity]) -> Identity:
    """All that any of these tells."""
    words: set[str] = set()
    values: set[str] = set()
    for identity in identities:
        words |= identity.words
        values |= identity.values
    return Identity(frozenset(words), frozenset(values))


def identity_of(dataset: Dataset, kept: Iterable[str] = ()) -> Identity:
    """Gather it from a source; `kept` are values that stay on purpose, UIDs or dates say."""
    words: set[str] = set()
    values: set[str] = set()
    make = " ".join(text.casefold() for e in walked(dataset) if e.keyword in _MAKE for text in texts(e))
    for element in walked(dataset):
        for text in texts(element):
            lowered = text.casefold()
            if element.VR == "PN":
                words.update(part for part in re.split(r"[\s^=,.\-]+", lowered) if len(part) >= _SHORTEST)
            elif element.VR == "UI":
                if not lowered.startswith("1.2.840.10008.") and not CLASSES.match(element.keyword):
                    values.add(lowered)
            elif element.VR in ("DA", "DT") and re.match(r"\d{8}", lowered):
                values.add(lowered[:8])
            elif _WHO.match(element.keyword) and len(lowered) >= _SHORTEST and lowered not in make:
                (values if len(lowered) >= _RAW else words).add(lowered)
    left = {value.casefold() for value in kept}
    return Identity(frozenset(words - _NOBODY - left), frozenset(values - _NOBODY - left))


def remains(written: Dataset, raw: bytes, identity: Identity) -> list[str]:
    """Where something of it is still to be found: attributes by their names; never what was found.

    Numbers stand in new UIDs by chance, so UIDs are compared as wholes, and raw bytes are searched for what is more
    than a number.
    """
    found = []
    for element in walked(written):
        if element.keyword in _MAKE or element.VR in ("CS", "DS", "IS"):
            continue
        if element.VR == "UI":
            hit = any(text in identity.values for text in texts(element))
        else:
            hit = any(identity.told_by(text) for text in texts(element))
        if hit:
            found.append(element.name)
    lowered = raw.lower()
    telling = (v for v in identity.values if len(v) >= (_DIGITS if v.isdigit() else _RAW))
    if not found and any(form in lowered for value in telling for form in _encoded(value)):
        found.append("its bytes")
    return list(dict.fromkeys(found))


def _encoded(value: str) -> set[bytes]:
    return {value.encode(name, "ignore") for name in ("utf-8", "latin-1")} - {b""}


def _word(word: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(word)}(?!\w)")
