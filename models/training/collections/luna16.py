"""LUNA16: chest CT in MetaImage with nodules in world millimetres (Setio 2017, doi 10.1016/j.media.2017.06.015).

A group is a scan: the files do not name patients. The few people of LIDC-IDRI with two scans are not recognised.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.training.collections.items import Collection, Item, Mark, existing, grid, made, numbers, table
from overread.domain.errors import UserError
from overread.domain.geometry import Grid


def read(path: Path) -> Collection:
    """Read subset0 to subset9 and annotations.csv; items are the scans that are there, in order.

    `split` is the subset. Nodules of scans that are not there are left out. UserError where a scan lacks its voxels
    or a nodule lies outside its scan.
    """
    scans = sorted(path.glob("subset*/*.mhd"))
    marked = table(path / "annotations.csv", "seriesuid", "coordX", "coordY", "coordZ", "diameter_mm")
    nodules: dict[str, list[dict[str, str]]] = defaultdict(list)
    for row in marked:
        nodules[row["seriesuid"]].append(row)
    return made("LUNA16", "scan", [_scan(path, file, nodules[file.stem]) for file in scans], path)


def _scan(path: Path, file: Path, nodules: list[dict[str, str]]) -> Item:
    data = next(
        (
            line.split("=", 1)[1].strip()
            for line in _header(file)
            if line.partition("=")[0].strip() == "ElementDataFile"
        ),
        "LOCAL",
    )
    if data != "LOCAL":
        existing(file.parent / data, f"Scan {file.stem}")
    where = grid(file)
    marks = []
    for row in nodules:
        *world, diameter = numbers(path / "annotations.csv", row, "coordX", "coordY", "coordZ", "diameter_mm")
        centre = _voxel(where, np.array([world]))[0]
        if (centre < -0.5).any() or (centre > np.array(where.shape) - 0.5).any():
            raise UserError(
                f"A nodule of {file.stem} lies outside its scan.", "Copy annotations.csv and the scan again."
            )
        marks.append(Mark((float(centre[0]), float(centre[1]), float(centre[2])), diameter, "nodule"))
    labels = ("nodule",) if marks else ("no nodule",)
    return Item(file.stem, file.stem, {"CT": file}, labels=labels, marks=tuple(marks), split=file.parent.name)


def _header(file: Path) -> list[str]:
    return file.read_text("latin-1").splitlines()


def _voxel(where: Grid, world: NDArray[np.float64]) -> NDArray[np.float64]:
    """LPS mm (n, 3) to voxels (k, j, i), (n, 3)."""
    return np.asarray(world @ where.inverse[:3, :3].T + where.inverse[:3, 3])


def candidates(path: Path, collection: Collection) -> dict[str, NDArray[np.float64]]:
    """The places proposed by detection algorithms, by scan: (n, 4) rows of k, j, i (voxels) and 1 for a nodule, else 0.

    Reads candidates_V2.csv, or candidates.csv where that is not there. Scans without any have an empty array.
    """
    file = path / "candidates_V2.csv"
    file = file if file.exists() else path / "candidates.csv"
    rows: dict[str, list[tuple[float, ...]]] = defaultdict(list)
    known = {item.id for item in collection.items}
    for row in table(file, "seriesuid", "coordX", "coordY", "coordZ", "class"):
        if row["seriesuid"] in known:
            rows[row["seriesuid"]].append(numbers(file, row, "coordX", "coordY", "coordZ", "class"))
    found = {}
    for item in collection.items:
        world = np.array(rows[item.id]).reshape(-1, 4)
        found[item.id] = np.column_stack([_voxel(grid(item.images["CT"]), world[:, :3]), world[:, 3]])
    return found
