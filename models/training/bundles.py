"""The six bundles of labelled images: what their index says at once, pixels when asked for.

A bundle is a zip with `index.csv` and the images it names (JPEG XL, JPEG or PNG).
"""

from __future__ import annotations

import csv
import io
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.training.pictures import decoded
from overread.domain.errors import UserError

# What `split_group` keeps together in each bundle. Where it is no patient, a held-out score is not patient-held-out.
GROUPS = {
    "chase-vessels": "child (both eyes)",
    "cxr-pneumonia": "patient, as named in the file names",
    "lgg-flair": "patient",
    "lidc-nodules": "patient",
    "luna-patches": "split of the source (no scan or patient is known)",
    "t1c-tumour": "block of 64 neighbouring slices (a patient's views can lie in different blocks)",
}


@dataclass(frozen=True)
class Row:
    """One image of a bundle. Names of images and masks are those within the zip, "" where there is none.

    `group` stays on one side of every split (see `GROUPS`); `split` is the one that the source gives; `size` is
    (rows, columns), (0, 0) where the index does not say.
    """

    bundle: Path
    id: str
    subject: str
    group: str
    split: str
    label: str
    image: str
    masks: tuple[str, ...]
    size: tuple[int, int]


def rows(path: Path) -> tuple[Row, ...]:
    """Read the index of a bundle, in its order. UserError where the file is not a bundle."""
    with _explained(path):
        text = io.TextIOWrapper(io.BytesIO(_archive(path).read("index.csv")), "utf-8", newline="")
        table = csv.DictReader(text)
        if missing := {"id", "split_group", "image"} - set(table.fieldnames or ()):
            raise ValueError(f"its index.csv has no column {', '.join(sorted(missing))}")
        return tuple(
            Row(
                bundle=path,
                id=row["id"],
                subject=row.get("subject", ""),
                group=row["split_group"],
                split=row.get("split", ""),
                label=row.get("label", ""),
                image=row["image"],
                masks=tuple(name for name in (row.get("mask"), row.get("mask2")) if name),
                size=(int(row.get("height") or 0), int(row.get("width") or 0)),
            )
            for row in table
        )


def image(row: Row) -> NDArray[np.uint8]:
    """Decode the image: (rows, columns), or (rows, columns, 3) RGB where the channels differ; uint8 as stored."""
    return _decoded(row.bundle, row.image)


def mask(row: Row, observer: int = 0) -> NDArray[np.uint8]:
    """Decode the mask of an observer: (rows, columns), uint8; how many readers marked the pixel, or 0 and 1.

    UserError where the row has no such mask.
    """
    if observer >= len(row.masks):
        raise UserError(
            f"Image {row.id} of {row.bundle.name} has {len(row.masks)} masks, number {observer + 1} was asked for.",
            "Use the labels, or a bundle with masks.",
        )
    pixels = _decoded(row.bundle, row.masks[observer])
    # one-bit PNG decodes to 0 and 255
    return np.minimum(pixels, np.uint8(1)) if row.masks[observer].endswith(".png") else pixels


def _decoded(path: Path, name: str) -> NDArray[np.uint8]:
    with _explained(path):
        return decoded(_archive(path).read(name), name)


def _archive(path: Path) -> zipfile.ZipFile:
    """The open zip: its table of contents is long, and is read once a process and version of the file."""
    found = path.stat()
    return _opened(path, found.st_mtime_ns, found.st_size, os.getpid())


@lru_cache(maxsize=8)
def _opened(path: Path, changed: int, size: int, process: int) -> zipfile.ZipFile:
    return zipfile.ZipFile(path)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Say in plain words what is wrong with a bundle."""
    try:
        yield
    except FileNotFoundError as error:
        raise UserError(f"There is no bundle {path}.", "Give the folder that holds train/ with --data.") from error
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:  # KeyError: the zip has no such member
        raise UserError(f"{path.name} cannot be read: {error.args[-1]}.", "Copy the bundle again.") from error
