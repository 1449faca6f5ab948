"""BUSI: breast ultrasound, normal, benign and malignant, with masks (Al-Dhabyani 2020, doi 10.1016/j.dib.2019.104863).

Which of the 600 women an image shows is not told. Images with the same bytes are put into one group; other images of
one woman cannot be kept together, so a held-out score is not patient-held-out.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from models.training.collections.items import Collection, Item, made
from overread.domain.errors import UserError

CLASSES = ("benign", "malignant", "normal")
_IMAGE = re.compile(r"(\w+) \((\d+)\)$")


def read(path: Path) -> Collection:
    """Read benign/, malignant/ and normal/ with "benign (1).png", "benign (1)_mask.png", "benign (1)_mask_1.png" ….

    Masks are named mask, mask_1, …: all together are the lesion. UserError where an image has no mask, or a mask no
    image.
    """
    items = []
    groups: dict[str, str] = {}
    for label in CLASSES:
        files = {file.stem: file for file in (path / label).glob("*.png")}
        images = sorted((stem for stem in files if _IMAGE.match(stem)), key=_number)
        for stem in files.keys() - images:
            if stem.partition("_mask")[0] not in images:
                raise UserError(f"{label}/{stem}.png belongs to no image.", "Copy the collection again.")
        for stem in images:
            masks = {name[len(stem) + 1 :]: files[name] for name in sorted(files) if name.startswith(f"{stem}_mask")}
            if not masks:
                raise UserError(f"{label}/{stem}.png has no mask.", "Copy the collection again.")
            content = hashlib.sha256(files[stem].read_bytes()).hexdigest()
            group = groups.setdefault(content, stem)
            items.append(Item(stem, group, {"ultrasound": files[stem]}, masks, (label,)))
    return made("BUSI", "image", items, path)


def _number(stem: str) -> int:
    name = _IMAGE.match(stem)
    return int(name[2]) if name else 0
