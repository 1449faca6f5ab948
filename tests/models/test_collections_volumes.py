"""BraTS and LUNA16: made-up volumes in the published layouts, whole and broken."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from models.training.collections import brats, luna16
from models.training.collections.items import grid, volume
from overread.domain.errors import UserError
from support import published

OLDER = ("flair", "t1", "t1ce", "t2")
NEWER = ("t2f", "t1n", "t1c", "t2w")
UID = "1.3.6.1.4.1.14519.5.2.1.6279.6001.1000"


def case(folder: Path, mark: str, suffixes: tuple[str, ...], seg: np.ndarray | None) -> None:
    for number, suffix in enumerate(suffixes):
        voxels = np.full((3, 4, 5), number, np.int16)
        published.volume(folder / f"{folder.name}{mark}{suffix}.nii.gz", voxels, origin=(0.0, -239.0, 0.0))
    if seg is not None:
        published.volume(folder / f"{folder.name}{mark}seg.nii.gz", seg, origin=(0.0, -239.0, 0.0))


@pytest.fixture
def gliomas(tmp_path: Path) -> Path:
    seg = np.zeros((3, 4, 5), np.uint8)
    seg[1, 2, 3] = 4
    seg[1, 2, 2] = 2
    case(tmp_path / "old" / "BraTS20_Training_001", "_", OLDER, seg)
    case(tmp_path / "old" / "BraTS20_Validation_001", "_", OLDER, None)
    for name in ("BraTS-GLI-00001-000", "BraTS-GLI-00001-001", "BraTS-GLI-00002-000"):
        case(tmp_path / "new" / name, "-", NEWER, np.minimum(seg, 3))
    return tmp_path


def test_both_namings_of_brats_give_the_same(gliomas: Path) -> None:
    found = brats.read(gliomas)
    assert (found.grouped_by, len(found.items), found.listed) == ("patient", 5, 5)
    groups = {item.id: item.group for item in found.items}
    assert groups["BraTS20_Training_001"] == "BraTS20_Training_001"
    assert groups["BraTS-GLI-00001-000"] == groups["BraTS-GLI-00001-001"] == "BraTS-GLI-00001"
    assert len(set(groups.values())) == 4
    for item in found.items:
        assert [int(volume(item.images[name]).max()) for name in ("FLAIR", "T1", "T1C", "T2")] == [0, 1, 2, 3]
        if "Validation" in item.id:
            with pytest.raises(UserError, match="has no mask"):
                brats.mask(item)
        else:
            mask = brats.mask(item)
            assert (mask[1, 2, 3], mask[1, 2, 2], mask.max()) == (3, 2, 3)


def test_the_mask_of_case_355_bears_another_name(gliomas: Path) -> None:
    folder = gliomas / "old" / "BraTS20_Training_001"
    (folder / "BraTS20_Training_001_seg.nii.gz").rename(folder / "W39_1998.09.19_Segm.nii.gz")
    item = next(item for item in brats.read(gliomas / "old").items if "Training" in item.id)
    assert brats.mask(item).max() == 3


def test_a_broken_brats_case_is_named(gliomas: Path) -> None:
    folder = gliomas / "old" / "BraTS20_Training_001"
    seg = folder / "BraTS20_Training_001_seg.nii.gz"
    published.volume(seg, np.full((3, 4, 5), 7, np.uint8), origin=(0.0, -239.0, 0.0))
    item = next(item for item in brats.read(gliomas).items if item.id == folder.name)
    with pytest.raises(UserError, match="values other than 0 to 4"):
        brats.mask(item)
    published.volume(seg, np.zeros((3, 4, 5), np.uint8))
    with pytest.raises(UserError, match="BraTS20_Training_001 are not on one grid"):
        brats.read(gliomas)
    seg.write_bytes(b"no volume")
    with pytest.raises(UserError, match="damaged or incomplete"):
        brats.read(gliomas)
    seg.unlink()
    (folder / "BraTS20_Training_001_t1ce.nii.gz").unlink()
    with pytest.raises(UserError, match=r"lacks BraTS20_Training_001_t1ce\.nii\.gz"):
        brats.read(gliomas)
    with pytest.raises(UserError, match="No image of BraTS was found"):
        brats.read(gliomas / "absent")


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    voxels = np.zeros((6, 10, 12), np.int16)
    turned = (-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 1.0)
    published.volume(
        tmp_path / "subset0" / f"{UID}.mhd", voxels, spacing=(0.5, 0.7, 2.5), origin=(-100.0, -80.0, -300.0)
    )
    published.volume(
        tmp_path / "subset9" / f"{UID}9.mhd", voxels, spacing=(0.5, 0.7, 2.5), origin=(4.0, 5.0, 6.0), direction=turned
    )
    published.text(
        tmp_path / "annotations.csv",
        "seriesuid,coordX,coordY,coordZ,diameter_mm",
        f"{UID},-98.5,-77.2,-295.0,5.65",
        f"{UID}9,2.0,1.5,11.0,4.2",
        "1.2.absent,0,0,0,3",
    )
    published.text(
        tmp_path / "candidates.csv",
        "seriesuid,coordX,coordY,coordZ,class",
        f"{UID}9,4.0,5.0,6.0,0",
        f"{UID}9,2.0,1.5,11.0,1",
        "1.2.absent,0,0,0,1",
    )
    return tmp_path


def test_nodules_of_luna16_lie_where_simpleitk_puts_them(scans: Path) -> None:
    found = luna16.read(scans)
    assert [(item.id, item.group, item.split) for item in found.items] == [
        (UID, UID, "subset0"),
        (f"{UID}9", f"{UID}9", "subset9"),
    ]
    assert found.grouped_by == "scan"
    for item, world in zip(found.items, ((-98.5, -77.2, -295.0), (2.0, 1.5, 11.0)), strict=True):
        image = sitk.ReadImage(str(item.images["CT"]))
        (mark,) = item.marks
        assert mark.centre == pytest.approx(image.TransformPhysicalPointToContinuousIndex(world)[::-1])
        assert grid(item.images["CT"]).shape == volume(item.images["CT"]).shape == (6, 10, 12)
    assert [item.marks[0].diameter_mm for item in found.items] == [5.65, 4.2]
    assert found.items[1].marks[0].centre == pytest.approx((2, 5, 4))
    proposed = luna16.candidates(scans, found)
    assert proposed[UID].shape == (0, 4)
    assert proposed[f"{UID}9"] == pytest.approx(np.array([[0, 0, 0, 0], [2, 5, 4, 1]]), abs=1e-9)
    (scans / "candidates.csv").rename(scans / "candidates_V2.csv")
    assert len(luna16.candidates(scans, found)[f"{UID}9"]) == 2


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (f"{UID},500,0,0,3", "lies outside its scan"),
        (f"{UID},x,0,0,3", "could not convert string to float"),
        (f"{UID},nan,0,0,3", "is not finite"),
        (f"{UID},1,2", "row 1 has no coordZ"),
    ],
)
def test_a_wrong_annotation_is_said(scans: Path, row: str, said: str) -> None:
    published.text(scans / "annotations.csv", "seriesuid,coordX,coordY,coordZ,diameter_mm", row)
    with pytest.raises(UserError, match=said):
        luna16.read(scans)


def test_a_broken_luna16_is_said(scans: Path) -> None:
    (scans / "subset0" / f"{UID}.raw").unlink()
    with pytest.raises(UserError, match=rf"Scan {UID} lacks {UID}\.raw"):
        luna16.read(scans)
    published.text(scans / "subset0" / f"{UID}.mhd", "nothing of use")
    with pytest.raises(UserError, match="damaged or incomplete"):
        luna16.read(scans)
    published.text(scans / "annotations.csv", "seriesuid,coordX")
    with pytest.raises(UserError, match="no column coordY"):
        luna16.read(scans)
    (scans / "annotations.csv").unlink()
    with pytest.raises(UserError, match=r"lacks annotations\.csv"):
        luna16.read(scans)
