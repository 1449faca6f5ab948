"""ChestX-ray14, DRIVE, CHASE_DB1, ISIC and BUSI: made-up pictures in the published layouts, whole and broken."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from models.training import __main__ as main
from models.training.collections import busi, chase, chestxray14, drive, isic
from models.training.collections.items import area, picture
from overread.domain.errors import UserError
from support import published

HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],"
)


def entry(name: str, labels: str, patient: str) -> str:
    return f"{name},{labels},0,{patient},58,M,PA,2682,2749,0.143,0.143,"


@pytest.fixture
def radiographs(tmp_path: Path) -> Path:
    published.text(
        tmp_path / "Data_Entry_2017.csv",
        HEADER,
        entry("00000001_000.png", "Cardiomegaly|Effusion", "1"),
        entry("00000001_001.png", "No Finding", "1"),
        entry("00000002_000.png", "Pneumonia", "2"),
        entry("00000003_000.png", "Hernia", "3"),
    )
    for number, name in enumerate(("00000001_000", "00000001_001", "00000002_000")):
        published.picture(tmp_path / "images" / f"{name}.png", number, channels=4 if number else 1)
    published.text(tmp_path / "train_val_list.txt", "00000001_000.png", "00000001_001.png")
    published.text(tmp_path / "test_list.txt", "00000002_000.png", "00000003_000.png")
    return tmp_path


def test_chestxray14_keeps_patients_together(radiographs: Path) -> None:
    found = chestxray14.read(radiographs)
    assert (found.grouped_by, found.listed, len(found.items)) == ("patient", 4, 3)
    assert [item.group for item in found.items] == ["1", "1", "2"]
    assert [item.split for item in found.items] == ["train_val", "train_val", "test"]
    assert found.items[0].labels == ("Cardiomegaly", "Effusion")
    shapes = [picture(item.images["radiograph"]).shape for item in found.items]
    assert shapes == [(12, 16), (12, 16, 3), (12, 16, 3)]


def test_the_archives_of_chestxray14_may_stay_apart(radiographs: Path) -> None:
    (radiographs / "images_001").mkdir()
    (radiographs / "images").rename(radiographs / "images_001" / "images")
    (radiographs / "Data_Entry_2017.csv").rename(radiographs / "Data_Entry_2017_v2020.csv")
    assert len(chestxray14.read(radiographs).items) == 3


def test_a_broken_chestxray14_is_said(radiographs: Path) -> None:
    published.text(radiographs / "test_list.txt", "00000001_001.png")
    with pytest.raises(UserError, match="Patient 1 stands in both lists"):
        chestxray14.read(radiographs)
    (radiographs / "test_list.txt").unlink()
    with pytest.raises(UserError, match=r"lacks test_list\.txt"):
        chestxray14.read(radiographs)
    (radiographs / "images" / "00000001_000.png").write_bytes(b"")
    with pytest.raises(UserError, match="is empty"):
        picture(radiographs / "images" / "00000001_000.png")
    published.text(radiographs / "Data_Entry_2017.csv", "Image Index,Patient ID")
    with pytest.raises(UserError, match="no column Finding Labels"):
        chestxray14.read(radiographs)


@pytest.fixture
def vessels(tmp_path: Path) -> Path:
    for split, number in (("training", "21"), ("test", "01")):
        folder = tmp_path / split
        published.picture(folder / "images" / f"{number}_{split}.tif")
        published.mask(folder / "mask" / f"{number}_{split}_mask.gif", slice(0, 12))
        published.mask(folder / "1st_manual" / f"{number}_manual1.gif")
    published.mask(tmp_path / "test" / "2nd_manual" / "01_manual2.gif", slice(4, 8))
    return tmp_path


def test_drive_has_two_observers_for_its_test(vessels: Path) -> None:
    train, test = drive.read(vessels).items
    assert (train.id, train.split, sorted(train.masks)) == ("21", "training", ["1st_manual", "field-of-view"])
    assert (test.id, test.split, sorted(test.masks)) == ("01", "test", ["1st_manual", "2nd_manual", "field-of-view"])
    assert picture(train.images["photograph"]).shape == (12, 16, 3)
    expected = np.zeros((12, 16), np.bool_)
    expected[3:6, 4:9] = True
    assert np.array_equal(area([train.masks["1st_manual"]]), expected)
    shutil.rmtree(vessels / "test" / "1st_manual")
    assert sorted(drive.read(vessels).items[1].masks) == ["2nd_manual", "field-of-view"]
    (vessels / "test" / "2nd_manual" / "01_manual2.gif").unlink()
    with pytest.raises(UserError, match=r"Image 01_test lacks 01_manual2\.gif"):
        drive.read(vessels)
    with pytest.raises(UserError, match="No image of DRIVE was found"):
        drive.read(vessels / "absent")


def test_chase_keeps_both_eyes_of_a_child_together(tmp_path: Path) -> None:
    for eye in ("01L", "01R", "02L"):
        published.picture(tmp_path / f"Image_{eye}.jpg")
        for observer in ("1stHO", "2ndHO"):
            published.mask(tmp_path / f"Image_{eye}_{observer}.png")
    found = chase.read(tmp_path)
    assert [(item.id, item.group) for item in found.items] == [("01L", "01"), ("01R", "01"), ("02L", "02")]
    assert all(area(item.masks.values()).sum() == 15 for item in found.items)
    (tmp_path / "Image_01R_2ndHO.png").unlink()
    with pytest.raises(UserError, match=r"Image 01R lacks Image_01R_2ndHO\.png"):
        chase.read(tmp_path)


@pytest.fixture
def moles(tmp_path: Path) -> Path:
    for number in (1, 2, 3):
        published.picture(tmp_path / "ISIC2018_Task1-2_Training_Input" / f"ISIC_000000{number}.jpg", number)
        published.mask(tmp_path / "ISIC2018_Task1_Training_GroundTruth" / f"ISIC_000000{number}_segmentation.png")
    published.picture(tmp_path / "ISIC2018_Task1-2_Validation_Input" / "ISIC_0000004.jpg", 4)
    return tmp_path


def test_isic_takes_masks_by_name(moles: Path) -> None:
    found = isic.read(moles)
    assert (found.grouped_by, [item.id for item in found.items][:1]) == ("image", ["ISIC_0000001"])
    assert [item.split for item in found.items] == ["training"] * 3 + ["validation"]
    assert [sorted(item.masks) for item in found.items] == [["segmentation"]] * 3 + [[]]
    (moles / "ISIC2018_Task1_Training_GroundTruth" / "ISIC_0000002_segmentation.png").unlink()
    with pytest.raises(UserError, match="ISIC_0000002 has no mask"):
        isic.read(moles)
    published.mask(moles / "ISIC2018_Task1_Training_GroundTruth" / "ISIC_0000009_segmentation.png")
    with pytest.raises(UserError, match="mask of ISIC_0000009 belongs to no image"):
        isic.read(moles)


@pytest.mark.parametrize(
    ("lines", "labels", "grouped_by"),
    [
        (
            ("image,MEL,NV,BCC", "ISIC_0000001,0.0,1.0,0.0", "ISIC_0000002,1.0,0.0,0.0"),
            [("NV",), ("MEL",), (), ()],
            "image",
        ),
        (
            ("image_id,melanoma,seborrheic_keratosis", "ISIC_0000001,0.0,0.0", "ISIC_0000002,0.0,1.0"),
            [("nevus",), ("seborrheic_keratosis",), (), ()],
            "image",
        ),
        (("ISIC_0000001,benign", "ISIC_0000002,malignant"), [("benign",), ("malignant",), (), ()], "image"),
        (
            ("image,lesion_id,diagnosis_confirm_type", "ISIC_0000001,HAM_1,consensus", "ISIC_0000002,HAM_1,consensus"),
            [(), (), (), ()],
            "lesion",
        ),
        (
            (
                "image_name,patient_id,sex,diagnosis,benign_malignant,target",
                *(f"ISIC_000000{n},IP_{n // 3},male,nevus,benign,0" for n in (1, 2, 3, 4)),
            ),
            [("nevus",)] * 4,
            "patient",
        ),
        (("image_id,age_approximate,sex", "ISIC_0000001,55,female"), [(), (), (), ()], "image"),
        (("name,value", "something,1"), [(), (), (), ()], "image"),
    ],
)
def test_the_tables_of_every_year_are_read(
    moles: Path, lines: tuple[str, ...], labels: list[tuple[str, ...]], grouped_by: str
) -> None:
    published.text(moles / "GroundTruth" / "table.csv", *lines)
    found = isic.read(moles)
    assert [item.labels for item in found.items] == labels
    assert found.grouped_by == grouped_by
    groups = [item.group for item in found.items]
    assert (
        groups
        == {
            "image": [item.id for item in found.items],
            "lesion": ["HAM_1", "HAM_1", "ISIC_0000003", "ISIC_0000004"],
            "patient": ["IP_0", "IP_0", "IP_1", "IP_1"],
        }[grouped_by]
    )


def test_tables_of_isic_that_disagree_are_said(moles: Path) -> None:
    published.text(moles / "a.csv", "image,MEL,NV", "ISIC_0000001,0,1")
    published.text(moles / "b.csv", "image,MEL,NV", "ISIC_0000001,1,0")
    with pytest.raises(UserError, match="Two tables disagree on ISIC_0000001"):
        isic.read(moles)


@pytest.fixture
def breasts(tmp_path: Path) -> Path:
    # the first and the tenth benign one are the same image
    for label, number, seed in (
        ("benign", 1, 1),
        ("benign", 2, 2),
        ("benign", 10, 1),
        ("malignant", 1, 3),
        ("normal", 1, 4),
    ):
        published.picture(tmp_path / label / f"{label} ({number}).png", seed)
        published.mask(tmp_path / label / f"{label} ({number})_mask.png")
    published.mask(tmp_path / "benign" / "benign (2)_mask_1.png", slice(8, 10))
    return tmp_path


def test_busi_joins_masks_and_keeps_copies_together(breasts: Path) -> None:
    found = busi.read(breasts)
    assert [item.id for item in found.items] == [
        "benign (1)",
        "benign (2)",
        "benign (10)",
        "malignant (1)",
        "normal (1)",
    ]
    first, second, copy, *_ = found.items
    assert copy.group == first.group != second.group
    assert sorted(second.masks) == ["mask", "mask_1"]
    assert area(second.masks.values()).sum() == 25
    assert [item.labels[0] for item in found.items[3:]] == ["malignant", "normal"]


def test_a_broken_busi_is_said(breasts: Path) -> None:
    (breasts / "normal" / "normal (1)_mask.png").unlink()
    with pytest.raises(UserError, match=r"normal/normal \(1\)\.png has no mask"):
        busi.read(breasts)
    published.mask(breasts / "benign" / "benign (3)_mask.png")
    with pytest.raises(UserError, match=r"benign/benign \(3\)_mask\.png belongs to no image"):
        busi.read(breasts)
    published.encode(breasts / "small.png", np.zeros((2, 2), np.uint8))
    with pytest.raises(UserError, match="not of one size"):
        area([breasts / "small.png", breasts / "benign" / "benign (1)_mask.png"])


def test_the_command_says_what_is_there(
    breasts: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["training", "collections", "busi", "--data", str(breasts)])
    assert main.main() == 0
    assert capsys.readouterr().out.splitlines() == [
        "BUSI: 5 items",
        "groups: 4, by image",
        "labels: benign 3, malignant 1, normal 1",
        "masks: mask 5, mask_1 1",
    ]
    monkeypatch.setattr(sys, "argv", ["training", "collections", "drive", "--data", str(breasts)])
    assert main.main() == 3
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("No image of DRIVE was found in ")
    assert said.err.count("\n") == 1
