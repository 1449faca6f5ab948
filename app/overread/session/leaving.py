"""What left a study and when: the journal remembers the objects, so that later ones can say what they come after."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import astuple

from overread.dicom.export import ACCOUNT, Written
from overread.dicom.product import Left
from overread.session.journal import Journal


def export_record(written: Iterable[Written]) -> tuple[str, str]:
    """What the journal enters of files that were put in place: a line to read, and the objects as JSON."""
    files = list(written)
    objects = [astuple(item.left) for item in files if item.left is not None]
    without = "De-identified: " if any(item.kind == ACCOUNT for item in files) else ""
    return f"{without}{', '.join(names(files))}", json.dumps({"objects": objects})


def names(written: Iterable[Written]) -> list[str]:
    """What to call files that were put in place: each by its name, of many of one kind how many."""
    kinds: dict[str, list[str]] = {}
    for item in written:
        kinds.setdefault(item.kind, []).append(item.path.name)
    return [
        said for kind, files in kinds.items() for said in (files if len(files) < 4 else [f"{kind}: {len(files)} files"])
    ]


def note_export(journal: Journal, written: Iterable[Written], reader: str) -> None:
    """Enter files that were put in place. UserError where the journal cannot be written."""
    label, record = export_record(written)
    journal.write("export", label, reader, record=record)


def left_before(journal: Journal) -> tuple[Left, ...]:
    """The objects that left this study, oldest first. Exports from before they were entered are passed over."""
    noted = [entry.change for entry in journal.entries() if entry.verb == "export" and entry.change]
    return tuple(Left(*fields) for change in noted for fields in json.loads(change)["objects"])
