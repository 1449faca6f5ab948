"""The content tree of a structured report (PS3.3 C.17.3), one item at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydicom import Dataset

from overread.dicom.found import code_of
from overread.dicom.values import or_none, several
from overread.domain.finding import Code

GROUP = "125007"
TRACKING_ID, TRACKING_UID = "112039", "112040"
FINDING, CATEGORY, SITES = "121071", "276214006", ("363698007", "G-C0E3")
ALGORITHM, ALGORITHM_VERSION = "111001", "111003"
SEGMENT, SEGMENT_FRAME = "121191", "121214"
_PERSON, _DEVICE = "121008", "121013"
DERIVATION = "121401"
# Units that are no more than a number.
_PLAIN = ("1", "{ratio}", "{score}", "no units")


def children(item: Dataset) -> Iterator[Dataset]:
    """The content items right below one."""
    yield from item.get("ContentSequence") or ()


def walk(item: Dataset) -> Iterator[Dataset]:
    """All items below one, each before those below it."""
    for child in children(item):
        yield child
        yield from walk(child)


def concept(item: Dataset) -> str:
    """The code value of an item's name."""
    name = code_of(item.get("ConceptNameCodeSequence"))
    return "" if name is None else name.value


def called(item: Dataset) -> str:
    """An item's name in words."""
    name = code_of(item.get("ConceptNameCodeSequence"))
    return "" if name is None else name.meaning or name.value


def answer(item: Dataset) -> Code | None:
    """The code that a CODE item holds."""
    return code_of(item.get("ConceptCodeSequence"))


def text(item: Dataset) -> str:
    """What a TEXT, PNAME or UIDREF item says."""
    for keyword in ("TextValue", "PersonName", "UID"):
        if item.get(keyword):
            return str(item.get(keyword)).strip()
    return ""


def first(item: Dataset, *concepts: str) -> Dataset | None:
    """The first item right below one with any of these names."""
    return next((child for child in children(item) if concept(child) in concepts), None)


def number(item: Dataset) -> float | None:
    """The value of a NUM item, None where it has none."""
    measured = item.get("MeasuredValueSequence")
    return or_none(lambda: float(measured[0].NumericValue)) if measured else None


def numeric(item: Dataset) -> tuple[str, str]:
    """Name and value of a NUM item as people read them: ("Diameter", "10.0 mm")."""
    derived = next((answer(child) for child in children(item) if concept(child) == DERIVATION), None)
    name = f"{called(item)}, {derived.meaning}" if derived is not None else called(item)
    measured = item.get("MeasuredValueSequence")
    if not measured:
        return name, "not given"
    unit = code_of(measured[0].get("MeasurementUnitsCodeSequence"))
    value = str(measured[0].get("NumericValue")).strip()
    if unit is None or unit.value in _PLAIN:
        return name, value
    return name, f"{value} {unit.value if unit.value.replace('/', '').isalnum() else unit.meaning}"


def referenced(item: Dataset) -> tuple[str, list[int] | None, list[int]]:
    """The object that an IMAGE item names, its frames (None: all of it), and its segments."""
    target = (item.get("ReferencedSOPSequence") or [Dataset()])[0]

    def numbers(keyword: str) -> list[int]:
        return [int(value) for value in several(target.get(keyword))]

    frames = or_none(lambda: numbers("ReferencedFrameNumber")) or None
    return (
        str(target.get("ReferencedSOPInstanceUID") or ""),
        frames,
        or_none(lambda: numbers("ReferencedSegmentNumber")) or [],
    )


def observers(document: Dataset) -> tuple[str, str]:
    """Who observed, as the document's own context says: the person, and the first device by name."""
    person, device = first(document, _PERSON), first(document, _DEVICE)
    return plain(text(person)) if person is not None else "", text(device) if device is not None else ""


def plain(name: Any) -> str:
    """A DICOM person name as people write it: "Lovelace^Ada" → "Ada Lovelace"."""
    parts = [part.strip() for part in str(name).split("=")[0].split("^")]
    return " ".join(part for part in (*parts[3:4], *parts[1:3], parts[0], *parts[4:5]) if part)
