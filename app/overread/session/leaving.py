"""What left a study and when: the journal remembers the objects, so that later ones can say what they come after."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import astuple

from overread.dicom.export import Written
from overread.dicom.product import Left
from overread.session.journal import Journal


def note_export(journal: Journal, written: Iterable[Written], reader: str) -> None:
    """Enter files that were put in place. UserError where the journal cannot be written."""
    files = list(written)
    objects = [astuple(item.left) for item in files if item.left is not None]
    names = ", ".join(item.path.name for item in files)
    journal.write("export", names, reader, record=json.dumps({"objects": objects}))


def left_before(journal: Journal) -> tuple[Left, ...]:
    """The objects that left this study, oldest first. Exports from before they were entered are passed over."""
    noted = [entry.change for entry in journal.entries() if entry.verb == "export" and entry.change]
    return tuple(Left(*fields) for change in noted for fields in json.loads(change)["objects"])
