"""ChestX-ray14: 112,120 frontal chest radiographs with labels mined from reports.

Wang 2017, doi 10.1109/CVPR.2017.369.
"""

from __future__ import annotations

from pathlib import Path

from models.training.collections.items import Collection, Item, existing, made, table
from overread.domain.errors import UserError

_LISTS = {"train_val": "train_val_list.txt", "test": "test_list.txt"}


def read(path: Path) -> Collection:
    """Read Data_Entry_2017.csv (or its 2020 edition), both lists, and images/*.png or images_001 … 012/images/*.png.

    Items are the images that are there, in the order of the table; labels are findings, "No Finding" where none.
    UserError where a list is absent, or where a patient stands in both.
    """
    entries = path / "Data_Entry_2017.csv"
    if not entries.exists() and (path / "Data_Entry_2017_v2020.csv").exists():
        entries = path / "Data_Entry_2017_v2020.csv"
    rows = table(entries, "Image Index", "Finding Labels", "Patient ID")
    splits = {
        name: split for split, file in _LISTS.items() for name in existing(path / file, str(path)).read_text().split()
    }
    files = {file.name: file for pattern in ("images/*.png", "images_*/images/*.png") for file in path.glob(pattern)}
    seen: dict[str, str] = {}
    for row in rows:
        split = splits.get(row["Image Index"], "")
        if split and seen.setdefault(row["Patient ID"], split) != split:
            raise UserError(f"Patient {row['Patient ID']} stands in both lists.", "Take the lists as published.")
    items = [
        Item(
            id=Path(name).stem,
            group=row["Patient ID"],
            images={"radiograph": files[name]},
            labels=tuple(row["Finding Labels"].split("|")),
            split=splits.get(name, ""),
        )
        for row in rows
        if (name := row["Image Index"]) in files
    ]
    return made("ChestX-ray14", "patient", items, path, listed=len(rows))
