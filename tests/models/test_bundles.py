"""The bundles: made-up ones in every case of their layout, and the real ones where they are."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import pytest

from models.training import bundles
from overread.domain.errors import UserError

COLUMNS = ["id", "subject", "split_group", "split", "image", "mask", "mask2", "width", "height", "label"]


@pytest.fixture
def packed(tmp_path: Path) -> Callable[..., Path]:
    """Write a bundle from rows of the index and encoded members."""

    def write(rows: list[dict[str, str]], members: dict[str, bytes], columns: list[str] = COLUMNS) -> Path:
        path = tmp_path / "made-up.zip"
        table = io.StringIO()
        writer = csv.DictWriter(table, columns)
        writer.writeheader()
        writer.writerows(rows)
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in members.items():
                archive.writestr(name, data)
            archive.writestr("index.csv", table.getvalue())
        return path

    return write


def grey(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (12, 10)).astype(np.uint8)


def test_pixels_are_decoded_as_they_are_stored(packed: Callable[..., Path]) -> None:
    readers = np.arange(120, dtype=np.uint8).reshape(12, 10) % 5
    colour = np.random.default_rng(1).integers(0, 255, (12, 10, 3)).astype(np.uint8)
    line = readers == 2
    members = {
        "i/a.jxl": imagecodecs.jpegxl_encode(grey(0), lossless=True),
        "m/a.jxl": imagecodecs.jpegxl_encode(readers, lossless=True),
        "b.png": imagecodecs.png_encode(colour),
        "b_1.png": imagecodecs.png_encode(line.astype(np.uint8) * 255),
        "b_2.png": imagecodecs.png_encode((~line).astype(np.uint8) * 255),
        "c.png": imagecodecs.png_encode(np.repeat(grey(2)[..., None], 3, axis=2)),
    }
    path = packed(
        [
            {"id": "a", "split_group": "P1", "image": "i/a.jxl", "mask": "m/a.jxl", "width": "10", "height": "12"},
            {"id": "b", "split_group": "P2", "image": "b.png", "mask": "b_1.png", "mask2": "b_2.png", "split": "train"},
            {"id": "c", "subject": "S", "split_group": "P2", "image": "c.png", "label": "pneumonia"},
        ],
        members,
    )
    a, b, c = bundles.rows(path)
    assert (a.size, a.group, a.masks) == ((12, 10), "P1", ("m/a.jxl",))
    assert (b.size, b.split, b.label) == ((0, 0), "train", "")
    assert (c.subject, c.group, c.label, c.masks) == ("S", "P2", "pneumonia", ())
    assert np.array_equal(bundles.image(a), grey(0))
    assert np.array_equal(bundles.mask(a), readers)
    assert np.array_equal(bundles.image(b), colour)
    assert np.array_equal(bundles.mask(b), line)
    assert np.array_equal(bundles.mask(b, observer=1), ~line)
    assert np.array_equal(bundles.image(c), grey(2))
    with pytest.raises(UserError, match=r"Image c of made-up\.zip has 0 masks"):
        bundles.mask(c)


def test_what_is_no_bundle_is_said_in_plain_words(packed: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="There is no bundle"):
        bundles.rows(tmp_path / "absent.zip")
    path = packed([{"id": "a", "image": "a.png"}], {}, ["id", "image"])
    with pytest.raises(UserError, match="no column split_group"):
        bundles.rows(path)
    path = packed(
        [
            {"id": "a", "split_group": "P", "image": "gone.jxl"},
            {"id": "b", "split_group": "P", "image": "torn.jxl"},
            {"id": "c", "split_group": "P", "image": "torn.png"},
        ],
        {
            "torn.jxl": imagecodecs.jpegxl_encode(grey(0), lossless=True)[:20],
            "torn.png": imagecodecs.png_encode(grey(0))[:20],
        },
    )
    a, b, c = bundles.rows(path)
    with pytest.raises(UserError, match=r"no item named 'gone\.jxl'"):
        bundles.image(a)
    for row in (b, c):
        with pytest.raises(UserError, match=rf"made-up\.zip cannot be read: {row.image} is damaged\."):
            bundles.image(row)
    path.write_bytes(b"not a zip")
    with pytest.raises(UserError, match="cannot be read"):
        bundles.rows(path)


@pytest.mark.parametrize(
    ("name", "images", "groups", "shape", "most"),
    [
        ("lgg-flair", 3003, 86, (256, 256), 1),
        ("t1c-tumour", 2836, 45, (256, 256), 1),
        ("lidc-nodules", 4126, 696, (128, 128), 4),
        ("luna-patches", 6484, 2, (50, 50), None),
        ("cxr-pneumonia", 5319, 2947, (224, 224), None),
        ("chase-vessels", 20, 10, (960, 999, 3), 1),
    ],
)
def test_the_real_bundles(
    data: Path, name: str, images: int, groups: int, shape: tuple[int, ...], most: int | None
) -> None:
    rows = bundles.rows(data / "train" / f"{name}.zip")
    assert name in bundles.GROUPS
    assert len(rows) == images
    assert len({row.group for row in rows}) == groups
    some = rows[:: max(1, images // 10)]
    assert {bundles.image(row).shape for row in some} == {shape}
    if most is None:
        assert not any(row.masks for row in rows)
    else:
        masks = [bundles.mask(row) for row in some]
        assert {mask.shape for mask in masks} == {shape[:2]}
        assert max(mask.max() for mask in masks) == most
