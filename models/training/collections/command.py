"""`python -m models.training collections NAME --data PATH`: what a folder holds, before anything is trained on it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from models.training.collections import brats, busi, chase, chestxray14, drive, isic, luna16
from models.training.collections.items import Collection

READERS: dict[str, Callable[[Path], Collection]] = {
    "brats": brats.read,
    "busi": busi.read,
    "chase-db1": chase.read,
    "chestxray14": chestxray14.read,
    "drive": drive.read,
    "isic": isic.read,
    "luna16": luna16.read,
}


def summary(collection: Collection) -> str:
    """What was found, a line each: items, groups, labels, splits, masks and marks."""
    items = collection.items
    groups = len({item.group for item in items})
    labels = Counter(label for item in items for label in item.labels)
    splits = Counter(item.split for item in items if item.split)
    masks = Counter(name for item in items for name in item.masks)
    marks = sum(len(item.marks) for item in items)
    there = f" of {collection.listed} listed" if collection.listed != len(items) else ""
    lines = [
        f"{collection.name}: {len(items)} items{there}",
        f"groups: {groups}, by {collection.grouped_by}",
        *(
            f"{title}: {_counted(counts)}"
            for title, counts in (("labels", labels), ("splits", splits), ("masks", masks))
            if counts
        ),
        *([f"marks: {marks}"] if marks else []),
    ]
    return "\n".join(lines)


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
