"""BraTS: four aligned MR sequences of one glioma in NIfTI, one folder a case.

Menze 2015, doi 10.1109/TMI.2014.2377694.

Up to 2021 files are named CASE_flair, _t1, _t1ce, _t2, _seg; from 2023 on CASE-t2f, -t1n, -t1c, -t2w, -seg, and a case
BraTS-GLI-00001-002 is the third time point of patient BraTS-GLI-00001.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.training.collections.items import Collection, Item, existing, grid, made, volume
from overread.domain.errors import UserError

SEQUENCES = ("FLAIR", "T1", "T1C", "T2")
_SUFFIXES = {"_": ("flair", "t1", "t1ce", "t2"), "-": ("t2f", "t1n", "t1c", "t2w")}
_NEWER = re.compile(r"(.+-\d{5})-\d{3}$")


def read(path: Path) -> Collection:
    """Find all cases below a folder; those of the validation and test releases have no mask.

    UserError where a case lacks a sequence, or where its volumes are not on one grid.
    """
    files = sorted(found for end in ("nii.gz", "nii") for found in path.rglob(f"*.{end}"))
    return made("BraTS", "patient", [_case(folder) for folder in sorted({file.parent for file in files})], path)


def _case(folder: Path) -> Item:
    name = folder.name
    newer = any(folder.glob(f"{name}-t2f.nii*"))
    mark = "-" if newer else "_"
    images = {
        sequence: _file(folder, f"{name}{mark}{suffix}")
        for sequence, suffix in zip(SEQUENCES, _SUFFIXES[mark], strict=True)
    }
    # the mask of case 355 of the 2020 release has kept another name
    drawn = [*folder.glob(f"{name}{mark}seg.nii*"), *folder.glob("*_Segm.nii*")][:1]
    first, *others = [grid(file) for file in (*images.values(), *drawn)]
    # headers of one case differ in the last digits
    if not all(other.shape == first.shape and np.allclose(other.affine, first.affine, atol=1e-3) for other in others):
        raise UserError(f"The volumes of {name} are not on one grid.", "Copy the case again.")
    patient = _NEWER.match(name) if newer else None
    return Item(name, patient[1] if patient else name, images, {"seg": drawn[0]} if drawn else {})


def _file(folder: Path, stem: str) -> Path:
    packed = folder / f"{stem}.nii.gz"
    plain = folder / f"{stem}.nii"
    return plain if plain.exists() else existing(packed, str(folder))


def mask(item: Item) -> NDArray[np.uint8]:
    """Voxels (k, j, i) of the mask: 1 necrosis and non-enhancing core, 2 oedema, 3 enhancing tumour.

    Releases up to 2021 call enhancing tumour 4; that is made 3 here. UserError where the case has no mask, or one
    with other values.
    """
    if "seg" not in item.masks:
        raise UserError(f"Case {item.id} has no mask.", "Take a case of the training release.")
    voxels = volume(item.masks["seg"])
    if not np.isin(voxels, (0, 1, 2, 3, 4)).all():
        raise UserError(f"The mask of {item.id} holds values other than 0 to 4.", "Copy the case again.")
    labels = voxels.astype(np.uint8)
    labels[labels == 4] = 3
    return labels
