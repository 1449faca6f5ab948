"""CHASE_DB1: fundus photographs of both eyes of 14 children, two observers.

Fraz 2012, doi 10.1109/TBME.2012.2205687.
"""

from __future__ import annotations

import re
from pathlib import Path

from models.training.collections.items import Collection, Item, existing, made

_NAME = re.compile(r"Image_((\d+)[LR])$")


def read(path: Path) -> Collection:
    """Read Image_01L.jpg … with Image_01L_1stHO.png and _2ndHO.png; both eyes of a child are one group.

    UserError where a mask is missing.
    """
    items = []
    for file in sorted(path.glob("Image_*.jpg")):
        if name := _NAME.match(file.stem):
            masks = {
                observer: existing(path / f"{file.stem}_{observer}.png", f"Image {name[1]}")
                for observer in ("1stHO", "2ndHO")
            }
            items.append(Item(name[1], name[2], {"photograph": file}, masks, ("vessels",)))
    return made("CHASE_DB1", "patient", items, path)
