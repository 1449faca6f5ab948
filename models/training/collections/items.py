"""What every reader gives, and how the files that it names are opened."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from models.training.pictures import decoded
from overread.domain.errors import UserError
from overread.domain.geometry import Grid

_COPY = "Give the folder that holds the collection as it was published with --data."


@dataclass(frozen=True)
class Mark:
    """A place that readers marked: `centre` in voxels (k, j, i), fractions kept; `diameter_mm` as they measured it."""

    centre: tuple[float, float, float]
    diameter_mm: float
    label: str


@dataclass(frozen=True)
class Item:
    """One image or one set of aligned volumes.

    `group` stays on one side of every split; `split` is the collection's own, "" where it gives none. `images` and
    `masks` name files by sequence or observer; all have the same rows and columns (and slices).
    """

    id: str
    group: str
    images: Mapping[str, Path]
    masks: Mapping[str, Path] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    marks: tuple[Mark, ...] = ()
    split: str = ""


@dataclass(frozen=True)
class Collection:
    """All items that were found. `grouped_by` says what a group is; `listed` how many images the lists name."""

    name: str
    grouped_by: str
    items: tuple[Item, ...]
    listed: int


def made(name: str, grouped_by: str, items: Iterable[Item], path: Path, listed: int | None = None) -> Collection:
    """Put a collection together. UserError where nothing was found or an id stands for two items."""
    found = tuple(items)
    if not found:
        raise UserError(f"No image of {name} was found in {path}.", _COPY)
    twice = [item for item, times in Counter(item.id for item in found).items() if times > 1]
    if twice:
        raise UserError(f"{twice[0]} is twice in {path}.", "Take one of the two copies away.")
    return Collection(name, grouped_by, found, len(found) if listed is None else listed)


def existing(path: Path, owner: str) -> Path:
    """The path itself. UserError where there is no such file or folder; ``owner`` says what it belongs to."""
    if not path.exists():
        raise UserError(f"{owner} lacks {path.name}.", _COPY)
    return path


def table(path: Path, *columns: str) -> list[dict[str, str]]:
    """Read the rows of a csv. UserError where it is absent, not text, lacks a column, or has a row cut short."""
    existing(path, str(path.parent))
    with _explained(path), path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, restval="", restkey="rest")
        if missing := [column for column in columns if column not in (reader.fieldnames or ())]:
            raise ValueError(f"it has no column {missing[0]}")
        rows = list(reader)
        for number, row in enumerate(rows, 1):
            if empty := [column for column in columns if not row[column]]:
                raise ValueError(f"row {number} has no {empty[0]}")
    return rows


def numbers(path: Path, row: Mapping[str, str], *columns: str) -> tuple[float, ...]:
    """Finite numbers of a row. UserError where one is none."""
    with _explained(path):
        values = tuple(float(row[column]) for column in columns)
        if not np.isfinite(values).all():
            raise ValueError(f"a number in {', '.join(columns)} is not finite")
    return values


def picture(path: Path) -> NDArray[np.uint8]:
    """Decode a picture: (rows, columns) or (rows, columns, 3) RGB, 8 bits. UserError where it cannot be read."""
    with _explained(path):
        return decoded(path.read_bytes(), path.name)


def area(masks: Iterable[Path]) -> NDArray[np.bool_]:
    """What any of some masks marks: (rows, columns). UserError where one cannot be read or they differ in size."""
    parts = [np.asarray(pixels.any(axis=-1) if pixels.ndim == 3 else pixels > 0) for pixels in map(picture, masks)]
    if not parts or len({part.shape for part in parts}) > 1:
        raise UserError("The masks of one image are absent or not of one size.", _COPY)
    return np.asarray(np.logical_or.reduce(parts))


def grid(path: Path) -> Grid:
    """Read only the header of a volume (NIfTI, MetaImage): where its voxels are. UserError where it is damaged."""
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(path))
    with _explained(path):
        reader.ReadImageInformation()
        if reader.GetDimension() != 3:
            raise ValueError("it is not a volume")
        columns = np.array(reader.GetDirection()).reshape(3, 3) * np.array(reader.GetSpacing())
        affine = np.eye(4)
        affine[:3, :3] = columns[:, ::-1]
        affine[:3, 3] = reader.GetOrigin()
        i, j, k = reader.GetSize()
        return Grid((k, j, i), affine)


def volume(path: Path) -> NDArray[np.generic]:
    """Voxels (k, j, i) of a volume as stored; `grid` says where they are. UserError where it is damaged."""
    with _explained(path):
        return np.asarray(sitk.GetArrayFromImage(sitk.ReadImage(str(path))))


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise UserError(f"There is no file {path}.", _COPY) from error
    except RuntimeError as error:  # SimpleITK's pages of context help nobody here
        raise UserError(f"{path} is damaged or incomplete.", "Copy it again.") from error
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"{path} cannot be read: {error}.", "Copy it again.") from error
