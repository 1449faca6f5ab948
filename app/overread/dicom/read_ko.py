"""A Key Object Selection (PS3.3 A.35.4) → one finding that marks the slices that somebody chose."""

from __future__ import annotations

from pydicom import Dataset

from overread.dicom import sr_items as sr
from overread.dicom.found import Found, blank, code_of
from overread.dicom.places import Places
from overread.domain.finding import Kind
from overread.domain.mark import Drawn, Mark
from overread.domain.study import DerivedObject, Stack

_DESCRIPTION = "113012"


def read_ko(document: Dataset, derived: DerivedObject, stack: Stack, places: Places) -> Found:
    """The slices of the stack that a selection names, under its title; what was written with it is said."""
    title = code_of(document.get("ConceptNameCodeSequence"))
    name = title.meaning if title is not None and title.meaning else "Key images"
    slices: set[int] = set()
    said: list[tuple[str, str]] = []
    for item in sr.walk(document):
        if str(item.get("ValueType")) == "IMAGE":
            uid, frames, _ = sr.referenced(item)
            slices.update(places.slices(uid, frames))
        elif sr.concept(item) == _DESCRIPTION:
            said.append(("Description", sr.text(item)))
    person, device = sr.observers(document)
    said += [(what, who) for what, who in (("Observer", person), ("Device", device)) if who]
    if not slices:
        return Found()
    made = blank(
        stack,
        derived,
        "",
        "selection",
        1,
        label=name,
        kind=Kind.ANNOTATION,
        marks=tuple(Mark(Drawn.IMAGE, ((float(k), 0.0, 0.0),), f"Key image: {name}") for k in sorted(slices)),
        said=tuple(said),
    )
    return Found((made,))
