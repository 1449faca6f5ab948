"""Parcels as the export makes them, with findings that have holes, islands and corners that touch."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overread.dicom.product import Parcel
from overread.dicom.source import source_headers
from overread.domain.finding import Finding, Mask, Status
from overread.domain.study import Stack
from support.findings import READER, finding


def lump(stack: Stack, seed: int = 0) -> NDArray[np.bool_]:
    """A ball with a hole in it, a speck beside it and some pixels that touch in corners alone."""
    chance = np.random.default_rng(seed)
    sizes = np.array(stack.grid.shape)
    middle = sizes * chance.uniform(0.4, 0.6, 3)
    radius = np.maximum(sizes * chance.uniform(0.15, 0.25, 3), 0.6)
    away = sum(((axis - at) / r) ** 2 for axis, at, r in zip(np.indices(stack.grid.shape), middle, radius, strict=True))
    voxels = np.asarray((away < 1) & (away > 0.15))
    k = int(middle[0])
    voxels[k, 1, 1] = voxels[k, 2, 2] = voxels[k, 3, 1] = True
    voxels[k, -1, -1] = voxels[0, 0, -1] = True
    return voxels


def lumps(stack: Stack) -> list[Finding]:
    """One accepted, one edited, one drawn by hand; they overlap."""
    return [
        finding(stack, lump(stack, 1)),
        finding(stack, lump(stack, 2), 2, status=Status.EDITED, original=Mask.of(lump(stack, 1)), colour="#4080C0"),
        finding(stack, lump(stack, 3), 3, model=None, status=Status.EDITED, label="Läsion", anatomy=None, score=None),
    ]


def parcel(stack: Stack, findings: list[Finding], folder: Path, product: str, **more: Any) -> Parcel:
    """What a product is made of, as the export hands it on."""
    folder.mkdir(parents=True, exist_ok=True)
    return Parcel(product, source_headers(stack), tuple(findings), READER, 90_001, folder, "12345678", **more)


def faults(path: Path, tool: Callable[[str], str]) -> list[str]:
    """What dciodvfy calls an error, except in UIDs of the source, which are copied as they are."""
    done = subprocess.run([tool("dciodvfy"), str(path)], capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    assert re.search(r"^(Warning|Error|[A-Z][A-Za-z0-9]+$)", said, re.MULTILINE), "dciodvfy said nothing at all"
    return [error for error in re.findall(r"^Error.*", said, re.MULTILINE) if "Illegal root for UID" not in error]
