"""DRIVE: 40 fundus photographs with vessels drawn by hand (Staal 2004, doi 10.1109/TMI.2004.825627)."""

from __future__ import annotations

from pathlib import Path

from models.training.collections.items import Collection, Item, existing, made

# folder of masks → name of the mask
_OBSERVERS = {"1st_manual": "manual1", "2nd_manual": "manual2"}


def read(path: Path) -> Collection:
    """Read training/ and test/, each with images/, mask/ (the field of view) and the observers' folders.

    A group is a photograph: whose it is, is not told. Masks are `1st_manual`, `2nd_manual` (test only) and
    `field-of-view`; where an observer's folder is there, it must hold every image. The test folder of the newer
    release has none. UserError where a file is missing.
    """
    items = []
    for split in ("training", "test"):
        for file in sorted((path / split / "images").glob("*_*.tif")):
            number = file.stem.partition("_")[0]
            masks = {"field-of-view": existing(path / split / "mask" / f"{file.stem}_mask.gif", f"Image {file.stem}")}
            for folder, end in _OBSERVERS.items():
                if (path / split / folder).is_dir():
                    masks[folder] = existing(path / split / folder / f"{number}_{end}.gif", f"Image {file.stem}")
            items.append(Item(number, number, {"photograph": file}, masks, ("vessels",), split=split))
    return made("DRIVE", "image", items, path)
