"""What a millimetre of an image is: in the patient, calibrated, at the detector; and never a guess."""

from __future__ import annotations

from pathlib import Path

import pydicom
import pytest

from overread.dicom.rulers import ruler
from overread.dicom.scan import scanned
from overread.domain.ruler import Ruler, Scale
from support.series import head_like, write_series

Pair = tuple[float, float] | None


@pytest.mark.parametrize(
    ("modality", "spacing", "imager", "calibration", "magnification", "meant"),
    [
        ("CT", (0.7, 0.7), None, "", None, Ruler(Scale.PATIENT)),
        ("US", None, None, "", None, Ruler(Scale.NONE)),
        ("CR", None, None, "", None, Ruler(Scale.NONE)),
        ("DX", None, (0.14, 0.14), "", None, Ruler(Scale.DETECTOR, (0.14, 0.14))),
        ("CR", (0.2, 0.2), None, "", None, Ruler(Scale.DETECTOR, (0.2, 0.2))),
        ("DX", (0.14, 0.14), (0.14, 0.14), "", None, Ruler(Scale.DETECTOR, (0.14, 0.14))),
        ("DX", (0.12, 0.12), (0.14, 0.14), "", None, Ruler(Scale.CALIBRATED, (0.12, 0.12))),
        ("DX", (0.14, 0.14), (0.14, 0.14), "FIDUCIAL", None, Ruler(Scale.CALIBRATED, (0.14, 0.14))),
        ("DX", None, (0.15, 0.30), "", 1.5, Ruler(Scale.MAGNIFICATION, (0.1, 0.2))),
        ("DX", None, (0.15, 0.15), "", 0.0, Ruler(Scale.DETECTOR, (0.15, 0.15))),
    ],
)
def test_every_case_of_the_standard(
    modality: str, spacing: Pair, imager: Pair, calibration: str, magnification: float | None, meant: Ruler
) -> None:
    made = ruler(modality, spacing, imager, calibration, magnification)
    assert (made.scale, made.mm is None) == (meant.scale, meant.mm is None)
    if meant.mm is not None:
        assert made.mm == pytest.approx(meant.mm)


def test_a_radiograph_says_so_on_the_stack(tmp_path: Path) -> None:
    (path,) = write_series(tmp_path / "dx", head_like((1, 32, 32)))
    image = pydicom.dcmread(path)
    image.Modality = "DX"
    del image.PixelSpacing
    image.ImagerPixelSpacing = [0.143, 0.143]
    image.save_as(path)
    (stack,) = scanned((path,), tmp_path).stacks
    assert stack.ruler == Ruler(Scale.DETECTOR, (0.143, 0.143))
    image.ImagerPixelSpacing = ["0.15", "0.15"]
    image.EstimatedRadiographicMagnificationFactor = "1.2"
    image.save_as(path)
    (stack,) = scanned((path,), tmp_path).stacks
    assert stack.ruler.scale is Scale.MAGNIFICATION
    assert stack.ruler.mm == pytest.approx((0.125, 0.125))


def test_the_real_radiograph_and_the_real_ct(data: Path, tmp_path: Path) -> None:
    ct = next(iter(scanned((data / "dicom" / "chest-ct-cptac",), tmp_path).stacks))
    assert ct.ruler == Ruler(Scale.PATIENT)
    for stack in scanned((data / "dicom" / "chest-xray",), tmp_path).stacks:
        assert stack.ruler.scale is not Scale.PATIENT
