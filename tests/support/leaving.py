"""What tests of the export share: findings with smooth outlines, files that are spoilt on their way, oracles."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset

from overread.dicom.product import Parcel
from overread.domain.finding import Finding, Mask, Status
from overread.domain.study import Stack
from support.findings import finding


def ball(stack: Stack, at: tuple[float, float, float], radius: float) -> NDArray[np.bool_]:
    """An ellipsoid: its middle and radius in parts of the grid's size, at least one voxel thick."""
    shape = np.array(stack.grid.shape)
    middle, radii = np.floor(shape * np.array(at)), np.maximum(shape * radius, 0.6)
    away = (np.indices(stack.grid.shape) - middle[:, None, None, None]) / radii[:, None, None, None]
    return np.asarray((away**2).sum(axis=0) <= 1)


def smooth(stack: Stack, *, apart: bool = False) -> list[Finding]:
    """One accepted, one edited, one drawn by hand; the first two overlap unless they are to lie `apart`."""
    first = ball(stack, (0.5, 0.3, 0.3), 0.12)
    second = ball(stack, (0.5, 0.7, 0.3) if apart else (0.5, 0.36, 0.36), 0.1)
    third = ball(stack, (0.5, 0.65, 0.7), 0.08)
    return [
        finding(stack, first),
        finding(stack, second, 2, status=Status.EDITED, original=Mask.of(first)),
        finding(stack, third, 3, model=None, status=Status.EDITED, label="Läsion", anatomy=None, score=None),
    ]


def spoil(monkeypatch: pytest.MonkeyPatch, change: Callable[[Dataset], object]) -> None:
    """Change DICOM objects between being made and being written."""
    real = Parcel.save

    def save(self: Parcel, dataset: Dataset, detail: str = "") -> Path:
        change(dataset)
        return real(self, dataset, detail)

    monkeypatch.setattr(Parcel, "save", save)


def faults(path: Path, tool: Callable[[str], str]) -> list[str]:
    """What dciodvfy calls an error, except in UIDs of the source, which are copied as they are."""
    done = subprocess.run([tool("dciodvfy"), str(path)], capture_output=True, text=True, check=False)
    errors = re.findall(r"^Error.*", done.stdout + done.stderr, re.MULTILINE)
    return [error for error in errors if "Illegal root for UID" not in error]
