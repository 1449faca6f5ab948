"""Write resources/codes.csv: what findings, places and units are called, from the tables of DICOM PS3.16.

    .venv/bin/python packaging/codes.py

The concepts come out of the context groups as pydicom brings them, so that every row is one that the standard names.
"""

import csv
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydicom.sr._cid_dict import cid_concepts
from pydicom.sr._concepts_dict import concepts

TARGET = Path(__file__).resolve().parent.parent / "resources" / "codes.csv"
COLUMNS = ("kind", "value", "scheme", "meaning", "category", "category_meaning")

_ABNORMAL = ("49755003", "Morphologically Abnormal Structure")
# The property types of segmentations (CID 7191 to 7197) by the category that CID 7150 has for them, and what chest
# radiologists and pathologists call an abnormality.
FINDINGS = {
    7194: _ABNORMAL,
    6104: _ABNORMAL,
    6105: _ABNORMAL,
    6106: _ABNORMAL,
    6336: _ABNORMAL,
    639: _ABNORMAL,
    7168: _ABNORMAL,
    7153: ("91723000", "Anatomical Structure"),
    7191: ("85756007", "Tissue"),
    7192: ("91723000", "Anatomical Structure"),
    7193: ("260787004", "Physical object"),
    7195: ("246464006", "Function"),
    7196: ("309825002", "Spatial and Relational Concept"),
    7197: ("91720002", "Body Substance"),
}
PLACES = (4, 4031, 4030, 6300, 7140)  # anatomic regions, what CT, MR and DX image, prostate, brain
UNITS = (83, 7460, 7461, 7462, 84, 85)
# What the shipped models name and no context group above has.
EXTRA = (
    ("finding", "393564001", "SCT", "Glioma", *_ABNORMAL),
    ("finding", "302820008", "SCT", "Intracranial meningioma", *_ABNORMAL),
    ("finding", "127024001", "SCT", "Neoplasm of pituitary gland", *_ABNORMAL),
    ("finding", "427359005", "SCT", "Solitary nodule of lung", *_ABNORMAL),
    ("finding", "233604007", "SCT", "Pneumonia", *_ABNORMAL),
)


def main() -> int:
    """Write the table."""
    rows = list(dict.fromkeys([*EXTRA, *_rows()]))
    first = {(kind, value, scheme): (kind, value, scheme, *rest) for kind, value, scheme, *rest in reversed(rows)}
    table = sorted(first.values(), key=lambda row: (row[0], row[3].lower()))
    with TARGET.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(table)
    print(f"{len(table)} concepts in {TARGET.relative_to(TARGET.parents[1])}")
    return 0


def _rows() -> Iterator[tuple[str, ...]]:
    for cid, category in FINDINGS.items():
        for value, scheme, meaning in _group(cid):
            yield "finding", value, scheme, meaning, *category
    for cid in PLACES:
        for value, scheme, meaning in _group(cid):
            yield "place", value, scheme, meaning, "", ""
    for cid in UNITS:
        for value, scheme, meaning in _group(cid):
            yield "unit", value, scheme, meaning, "", ""


def _group(cid: int) -> Iterator[tuple[str, str, str]]:
    """Value, scheme and meaning of what a context group holds, where it is SNOMED CT, DCM or UCUM."""
    held: dict[str, list[str]] = cid_concepts[cid]
    for scheme, names in held.items():
        known: Any = concepts[scheme]
        for name in names if scheme in ("SCT", "DCM", "UCUM") else ():
            # a name may stand for several codes: that of this group is meant, else the first
            values = known[name]
            value = next((v for v, (_, groups) in values.items() if cid in groups), next(iter(values)))
            if len(value) <= 16 and len(values[value][0]) <= 64:  # Code Value is a Short, Code Meaning a Long String
                yield value, scheme, values[value][0]


if __name__ == "__main__":
    sys.exit(main())
