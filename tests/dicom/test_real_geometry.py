"""Real series lie where SimpleITK puts them, voxel by voxel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from overread.dicom.load import loaded
from overread.dicom.scan import scanned
from overread.domain.study import Stack


def codes(stack: Stack) -> list[str]:
    return [problem.code for problem in stack.problems]


SERIES = [
    ("glioma-fg6692/02_T2_AX", [], 1e-3),
    ("glioma-fg6692/05_FLAIR_AX", [], 1e-3),
    ("glioma-fg6692/10_T1_AX", [], 1e-3),
    ("glioma-fg6692/13_T1_AX_POST_GAD", [], 1e-3),
    ("brain-mr-oblique", ["variable-spacing"], 0.1),
    ("chest-ct-cptac", [], 1e-3),
    ("ct-gantry-tilt", ["gantry-tilt", "variable-spacing"], 5.5),
]


@pytest.mark.parametrize(("name", "problems", "between"), SERIES, ids=[name for name, *_ in SERIES])
def test_real_series_lie_where_simpleitk_puts_them(
    data: Path, tmp_path: Path, name: str, problems: list[str], between: float
) -> None:
    folder = data / "dicom" / name
    (stack,) = scanned((folder,), tmp_path).stacks
    assert codes(stack) == problems
    volume = loaded(stack)
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))
    slices = [sitk.ReadImage(name) for name in names]
    slices.sort(key=lambda image: float(np.dot(image.GetOrigin(), np.reshape(image.GetDirection(), (3, 3))[:, 2])))
    assert len(slices) == stack.grid.shape[0]
    for k, image in enumerate(slices):
        stored = volume.voxels[k] * stack.frames[k].slope + stack.frames[k].intercept
        assert np.array_equal(stored, sitk.GetArrayFromImage(image)[0])
        columns, rows, _ = image.GetSize()
        for j, i in (0, 0), (rows - 1, 0), (0, columns - 1), (rows - 1, columns - 1):
            there = image.TransformIndexToPhysicalPoint((i, j, 0))
            here = stack.grid.to_lps((k, j, i))
            # A grid cannot follow uneven slices between its ends.
            assert np.abs(here - there).max() < (1e-3 if k in (0, len(slices) - 1) else between)
    if not problems:
        image = sitk.ReadImage(names)
        corners = [image.TransformIndexToPhysicalPoint((int(i), int(j), int(k))) for k, j, i in _ends(stack)]
        assert np.abs(np.sort(corners, axis=0) - np.sort(stack.grid.corners, axis=0)).max() < 1e-3


def _ends(stack: Stack) -> np.ndarray:
    return np.stack(np.meshgrid(*[(0, n - 1) for n in stack.grid.shape], indexing="ij"), axis=-1).reshape(-1, 3)


def test_the_real_tilt_is_measured_and_not_trusted(data: Path, tmp_path: Path) -> None:
    (stack,) = scanned((data / "dicom" / "ct-gantry-tilt",), tmp_path).stacks
    assert not stack.measurable
    texts = " ".join(problem.text for problem in stack.problems)
    assert "18.5°" in texts
    tilt = pydicom.dcmread(stack.paths[0], stop_before_pixels=True).GantryDetectorTilt
    assert abs(abs(tilt) - 18.5) < 0.01
