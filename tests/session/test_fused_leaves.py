"""The series for navigation systems: the source's own values, the findings above all of them, the source's geometry."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom import Dataset

from overread.dicom.export import Written, export
from overread.dicom.load import loaded
from overread.domain.errors import UserError
from overread.domain.study import Stack
from overread.session.products import products
from support.findings import READER, opened
from support.leaving import faults, smooth, spoil
from support.series import head_like, write_series


def leave(stack: Stack, out: Path) -> list[Written]:
    return list(export(stack, smooth(stack), out, READER, products(["fused"])))


@pytest.fixture
def made(tmp_path: Path) -> Stack:
    """A small oblique series."""
    orientation = (0.96, 0.28, 0.0, -0.168, 0.576, -0.8)
    write_series(tmp_path / "in", head_like((7, 30, 40)), orientation=orientation, spacing=(0.9, 0.6), step=3.3)
    return opened(tmp_path / "in", tmp_path)


REAL = [
    ("glioma-fg6692/13_T1_AX_POST_GAD", "MR Image Storage"),
    ("chest-ct-cptac", "CT Image Storage"),
    ("multiframe/enhanced-mr-siemens-xa10/6_1.dcm", "MR Image Storage"),
    ("multiframe/enhanced-mr-philips-fieldmap", "MR Image Storage"),
]


@pytest.mark.parametrize(("name", "kind"), REAL)
def test_a_threshold_cuts_the_findings_out(
    data: Path, tmp_path: Path, tool: Callable[[str], str], name: str, kind: str
) -> None:
    stack = opened(data / "dicom" / name, tmp_path / "scratch")
    written = leave(stack, tmp_path / "out")
    assert not faults(written[0].path, tool)
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(tmp_path / "out"))
    assert len(names) == stack.grid.shape[0]
    image = sitk.ReadImage(names)  # GDCM applies the rescale
    values = sitk.GetArrayFromImage(image)
    source = loaded(stack)
    scale, offset = source.slope[0], source.intercept[0]
    expected = source.voxels * scale + offset
    inside = np.any([finding.mask.voxels for finding in smooth(stack)], axis=0)
    corner = image.TransformIndexToPhysicalPoint((0, 0, 0))
    if np.abs(stack.grid.to_index(corner)[0]) > 0.5:  # slices counted from the other end
        values, corner = values[::-1], image.TransformIndexToPhysicalPoint((0, 0, len(values) - 1))
    assert np.abs(stack.grid.to_lps((0, 0, 0)) - corner).max() < 1e-2
    assert np.allclose(values[~inside], expected[~inside], rtol=1e-6, atol=1e-6)
    assert values[inside].min() > expected.max()
    header = pydicom.dcmread(written[0].path)
    assert header.SOPClassUID.name == kind
    assert header.FrameOfReferenceUID == pydicom.dcmread(stack.paths[0], stop_before_pixels=True).FrameOfReferenceUID
    assert header.ImageType[:2] == ["DERIVED", "SECONDARY"]
    threshold = int(header.ImageComments.split("threshold ")[1].split(".")[0])
    assert np.array_equal(values >= threshold * scale + offset, inside)


def test_one_window_and_one_range_hold_for_all(made: Stack, tmp_path: Path) -> None:
    images = [pydicom.dcmread(item.path) for item in leave(made, tmp_path / "out")]
    keywords = ("WindowCenter", "WindowWidth", "SmallestPixelValueInSeries", "LargestPixelValueInSeries")
    assert all(len({image[keyword].value for image in images}) == 1 for keyword in keywords)
    assert images[0].LargestPixelValueInSeries == max(image.pixel_array.max() for image in images)
    assert "not for diagnosis" in images[0].ImageComments


def test_a_fused_series_opens_as_the_same_grid(made: Stack, tmp_path: Path) -> None:
    leave(made, tmp_path / "out")
    again = opened(tmp_path / "out", tmp_path / "scratch")
    assert again.grid.same_as(made.grid)
    assert not again.problems


def test_what_no_navigation_takes_does_not_leave(data: Path, tmp_path: Path) -> None:
    for name, why in (
        ("chest-xray", "MR and CT"),
        ("codecs/wg04/US1_UNC.dcm", "MR and CT"),
        ("ct-gantry-tilt", "resampled"),
    ):
        stack = opened(data / "dicom" / name, tmp_path / "scratch")
        with pytest.raises(UserError, match=why):
            leave(stack, tmp_path / "out")
    full = np.zeros((5, 20, 20), np.uint16)
    full[2, 3, 4] = 65535
    write_series(tmp_path / "full", full)
    with pytest.raises(UserError, match="all values"):
        leave(opened(tmp_path / "full", tmp_path), tmp_path / "out")
    write_series(tmp_path / "scales", head_like((5, 20, 20)), RescaleSlope=(1, 2, 3, 4, 5), RescaleIntercept=0)
    with pytest.raises(UserError, match="scale"):
        leave(opened(tmp_path / "scales", tmp_path), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def brighter(image: Dataset) -> None:
    pixels = image.pixel_array.copy()
    pixels[0, 0] = pixels.max() + 10_000
    image.PixelData = pixels.tobytes()


def noisier(image: Dataset) -> None:
    pixels = image.pixel_array.copy()
    pixels[0, 0] += 1
    image.PixelData = pixels.tobytes()


WRONG: list[tuple[Callable[[Dataset], object], str]] = [
    (brighter, "threshold"),
    (noisier, "beside the findings"),
    (lambda image: setattr(image, "WindowCenter", 40 + image.InstanceNumber), "another window"),
    (lambda image: setattr(image, "ImagePositionPatient", [0, 0, 1]), "another place"),
    (lambda image: setattr(image, "ImageType", ["ORIGINAL", "PRIMARY", "OTHER"]), "derived"),
    (lambda image: setattr(image, "RescaleSlope", 2), "mean something else"),
    (lambda image: setattr(image, "ImageComments", "an image"), "does not say"),
    (lambda image: setattr(image, "PhotometricInterpretation", "MONOCHROME1"), "other way round"),
]


@pytest.mark.parametrize(("wrong", "reason"), WRONG)
def test_a_series_that_went_wrong_does_not_leave(
    made: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: Callable[[Dataset], object], reason: str
) -> None:
    spoil(monkeypatch, wrong)
    with pytest.raises(UserError, match=reason):
        leave(made, tmp_path / "out")
    assert not (tmp_path / "out").exists()
