"""ISIC challenges 2016 to 2020: dermoscopy with lesion masks and diagnoses.

Codella 2018, doi 10.1109/ISBI.2018.8363547.

What an image is called is the same in all years; the tables are not. Every csv below the folder that begins with a
column of image names is read for the three things known of it: the diagnosis, the lesion and the patient.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path

from models.training.collections.items import Collection, Item, made, table
from overread.domain.errors import UserError

_NAME = re.compile(r"ISIC_\d+$")
_IMAGE_COLUMNS = ("image", "image_id", "image_name", "isic_id")
_SPLITS = ("Training", "Validation", "Test")
_MASK = "_segmentation"
_FLAGS = {"0", "1", "0.0", "1.0"}


def read(path: Path) -> Collection:
    """Find images (ISIC_0000000.jpg), masks (ISIC_0000000_segmentation.png) and tables anywhere below a folder.

    A group is the patient where a table has `patient_id` for every image, else the lesion where one has `lesion_id`
    for any (images without one stand alone), else the image. `split` follows the folder's name (Training, Validation,
    Test). UserError where some images of a split with masks lack theirs, a mask has no
    image, or two tables disagree.
    """
    images = [file for file in sorted(path.rglob("ISIC_*.jpg")) if _NAME.match(file.stem)]
    masks = {file.stem.removesuffix(_MASK): file for file in sorted(path.rglob(f"ISIC_*{_MASK}.png"))}
    diagnoses: dict[str, str] = {}
    known: dict[str, dict[str, str]] = {"patient_id": {}, "lesion_id": {}}
    for file in sorted(path.rglob("*.csv")):
        _learn(file, diagnoses, known)
    names = {file.stem for file in images}
    if orphans := sorted(masks.keys() - names):
        raise UserError(f"The mask of {orphans[0]} belongs to no image.", "Copy the images again.")
    drawn = {_split(file.relative_to(path)) for file in images if file.stem in masks}
    for file in images:
        if file.stem not in masks and _split(file.relative_to(path)) in drawn:
            raise UserError(f"Image {file.stem} has no mask, others have.", "Give one task's folder, or copy it again.")
    patients, lesions = known["patient_id"], known["lesion_id"]
    if names and names <= patients.keys():
        grouped_by, groups = "patient", patients
    elif names & lesions.keys():
        grouped_by, groups = "lesion", lesions
    else:
        grouped_by, groups = "image", {}
    items = [
        Item(
            id=file.stem,
            group=groups.get(file.stem, file.stem),
            images={"dermoscopy": file},
            masks={"segmentation": masks[file.stem]} if file.stem in masks else {},
            labels=(diagnoses[file.stem],) if file.stem in diagnoses else (),
            split=_split(file.relative_to(path)),
        )
        for file in images
    ]
    return made("ISIC", grouped_by, items, path)


def _split(file: Path) -> str:
    return next((name.lower() for name in _SPLITS if any(name.lower() in part.lower() for part in file.parts[:-1])), "")


def _learn(file: Path, diagnoses: dict[str, str], known: dict[str, dict[str, str]]) -> None:
    """Add what one table says."""
    for name, row in _rows(file):
        for column, told in known.items():
            if row.get(column):
                told[name] = row[column]
        diagnosis = row.get("diagnosis") or _flagged(row)
        if diagnosis and diagnoses.setdefault(name, diagnosis) != diagnosis:
            raise UserError(f"Two tables disagree on {name}.", f"Give one challenge's folder; the second is {file}.")


def _rows(file: Path) -> list[tuple[str, dict[str, str]]]:
    """Rows of a table by image name; none where the first column holds no image names."""
    rows = table(file)
    first = next(iter(rows[0]), "") if rows else ""
    if first in _IMAGE_COLUMNS:
        return [(Path(row[first]).stem, row) for row in rows]
    if _NAME.match(first):  # the 2016 tables have no header: name, diagnosis
        with file.open(encoding="utf-8-sig", newline="") as text:
            return [(line[0], {"diagnosis": line[1]}) for line in csv.reader(text) if len(line) == 2]
    return []


def _flagged(row: dict[str, str]) -> str:
    """The one column of a one-hot row that is set; "" where the row is none. 2017: none of two set is a naevus."""
    flags = {name: value for name, value in row.items() if value in _FLAGS}
    if len(flags) < len(row) - 1 or not flags:
        return ""
    set_ = [name for name, value in flags.items() if float(value) == 1]
    if set(flags) == {"melanoma", "seborrheic_keratosis"} and not set_:
        return "nevus"
    return set_[0] if len(set_) == 1 else ""
