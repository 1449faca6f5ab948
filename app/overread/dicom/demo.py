"""The demo study: a synthetic head MR written as DICOM on first use, so that the whole job can be shown anywhere.

Made by formulas (`imaging.phantom`), of nobody; every header says so. Two writings are identical byte for byte on one
machine; on another, single stored values may differ by one where floating point rounds otherwise.
"""

from __future__ import annotations

import shutil
import tempfile
import time
import uuid
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, MRImageStorage
from pydicom.valuerep import format_number_as_ds

from overread.domain.geometry import Floats, Grid
from overread.imaging.phantom import Head, make_head
from overread.imaging.phantom_mr import Scan, Timing, acquire, slabs

VERSION = "2"
"""To be raised whenever a byte of the study changes: a study of another version is written anew."""

_NAMESPACE = uuid.UUID("6f0a3c0e-2f7d-5b0c-9a51-0d1c5be7a2d4")
_MARKER = "VERSION"
_STALE_S = 3600.0
_DATE, _TIME = "20250103", "101500"
_COMMENT = "Synthetic image made by Overread. No patient. Not for clinical use."


def _axial(tilt: float, yaw: float, shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> Grid:
    """An axial grid about a fixed centre, tilted about the left-right axis (front up) and turned, in degrees."""
    a, b = np.deg2rad((tilt, yaw))
    turned = np.array([[np.cos(b), -np.sin(b), 0], [np.sin(b), np.cos(b), 0], [0, 0, 1]])
    tilted = np.array([[1, 0, 0], [0, np.cos(a), np.sin(a)], [0, -np.sin(a), np.cos(a)]])
    affine = np.eye(4)
    affine[:3, :3] = (turned @ tilted)[:, ::-1] * spacing  # columns k, j, i
    affine[:3, 3] = np.array((0.0, 7.0, 10.5)) - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Grid(shape, affine)


@dataclass(frozen=True)
class DemoSeries:
    """One series of the demo study: how it was scanned and what its header says."""

    number: int
    description: str
    scan: Scan
    scanning: str
    variant: str
    echo_train: int
    window: tuple[int, int]  # centre and width
    from_above: bool = False  # instance numbers run from the vertex down

    @property
    def folder(self) -> str:
        """Name of the folder that holds it."""
        return f"{self.number:02d}_{self.description.split(' (')[0].replace(' ', '_')}"

    @property
    def uid(self) -> UID:
        """Series Instance UID."""
        return _uid(f"series {self.number}")


_LONG = _axial(12, 3, (27, 256, 208), (5.0, 0.9, 0.9))
_SHORT = _axial(9, 3, (28, 240, 240), (4.8, 0.9375, 0.9375))

SERIES = (
    DemoSeries(
        2,
        "T2 AX (synthetic)",
        Scan(Timing(4500, 100), _LONG, 4.5, gain=1500, noise=7, seed=1),
        "SE",
        "SK",
        15,
        (480, 960),
        from_above=True,
    ),
    DemoSeries(
        5,
        "FLAIR AX (synthetic)",
        Scan(Timing(9000, 120, 2400), _LONG, 4.5, gain=1400, noise=6, seed=2),
        "SE\\IR",
        "SK",
        21,
        (230, 460),
    ),
    DemoSeries(
        10,
        "T1 AX (synthetic)",
        Scan(Timing(500, 12), _SHORT, 4.3, gain=950, noise=7.5, seed=3),
        "SE",
        "NONE",
        1,
        (320, 640),
    ),
    DemoSeries(
        13,
        "T1 AX POST GAD (synthetic)",
        Scan(Timing(500, 12, contrast=True), _SHORT, 4.3, gain=1000, noise=7.5, seed=4),
        "SE",
        "NONE",
        1,
        (340, 680),
    ),
)
FLAIR = SERIES[1]


def ensure_demo(folder: Path) -> Path:
    """Write the demo study below a folder of the program's own, unless it is there, and return the study's folder.

    It is written beside its place and moved there when whole: a study that can be seen is complete. Some ten seconds
    the first time.
    """
    home = folder / "demo"
    if not _whole(home):
        folder.mkdir(parents=True, exist_ok=True)
        _sweep(folder)
        scratch = Path(tempfile.mkdtemp(prefix=".demo-", dir=folder))
        try:
            _write(scratch / "new")
            _move_in(scratch, home)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return home / "study"


def demo_truth(head: Head | None = None) -> tuple[NDArray[np.bool_], Grid]:
    """The FLAIR abnormality as it was made, on the FLAIR series' grid: mask (k, j, i) of voxels at least half filled.

    `head` spares making the phantom anew.
    """
    head = head or make_head()
    scan = FLAIR.scan
    filled = slabs(head.abnormal().astype(np.float32), head.grid, scan.grid, scan.thickness_mm)
    return filled >= 0.5, scan.grid


def _whole(home: Path) -> bool:
    """Whether a study of this version is there with all its files."""
    try:
        version = (home / _MARKER).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return False
    expected = sum(series.scan.grid.shape[0] for series in SERIES)
    return version == VERSION and sum(1 for _ in (home / "study").rglob("*.dcm")) == expected


def _sweep(folder: Path) -> None:
    """Remove what a killed run left behind; a younger folder may be another run's, still at work."""
    for old in folder.glob(".demo-*"):
        with suppress(OSError):
            if time.time() - old.stat().st_mtime > _STALE_S:
                shutil.rmtree(old, ignore_errors=True)


def _move_in(scratch: Path, home: Path) -> None:
    """Put the finished study in its place; another run that finished first is as good."""
    if home.exists() and not _whole(home):
        home.rename(scratch / "old")
    try:
        (scratch / "new").rename(home)
    except OSError:
        if not _whole(home):
            raise


def _write(home: Path) -> None:
    head = make_head()
    for series in SERIES:
        place = home / "study" / series.folder
        place.mkdir(parents=True)
        for image in _images(series, acquire(head, series.scan)):
            image.save_as(place / f"{image.InstanceNumber:03d}.dcm", enforce_file_format=True)
    (home / _MARKER).write_text(VERSION + "\n", encoding="ascii")


def _images(series: DemoSeries, voxels: NDArray[np.uint16]) -> Iterable[Dataset]:
    """The images of a series, from the feet up."""
    count = len(voxels)
    for k, pixels in enumerate(voxels):
        image = _header(series)
        image.InstanceNumber = count - k if series.from_above else k + 1
        image.SOPInstanceUID = image.file_meta.MediaStorageSOPInstanceUID = _uid(f"series {series.number} slice {k}")
        grid = series.scan.grid
        _place(image, grid, k)
        image.Rows, image.Columns = pixels.shape
        image.SmallestImagePixelValue, image.LargestImagePixelValue = int(pixels.min()), int(pixels.max())
        image.PixelData = pixels.astype("<u2").tobytes()
        yield image


def _place(image: Dataset, grid: Grid, k: int) -> None:
    image.ImagePositionPatient = _decimals(grid.to_lps((k, 0, 0)))
    image.ImageOrientationPatient = _decimals(np.concatenate([grid.directions[:, 2], grid.directions[:, 1]]))
    image.PixelSpacing = _decimals(np.array(grid.spacing[1:]))
    image.SpacingBetweenSlices = _decimal(grid.spacing[0])
    image.SliceLocation = _decimal(round(float(grid.to_lps((k, 0, 0)) @ grid.directions[:, 0]), 4))


def _header(series: DemoSeries) -> Dataset:
    """What all images of a series have in common."""
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID = MRImageStorage
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = _uid("implementation")
    meta.ImplementationVersionName = "OVERREAD_DEMO"
    image = Dataset()
    image.file_meta = meta
    image.SpecificCharacterSet = "ISO_IR 100"
    image.ImageType = ["DERIVED", "SECONDARY", "OTHER"]
    image.SOPClassUID = MRImageStorage
    image.SyntheticData = "YES"  # the viewer marks such images; validators older than the attribute do not know it
    image.StudyDate = image.SeriesDate = image.ContentDate = _DATE
    image.StudyTime = image.SeriesTime = image.ContentTime = _TIME
    image.AccessionNumber = image.ReferringPhysicianName = ""
    image.Modality = "MR"
    image.Manufacturer = "Overread"
    image.ManufacturerModelName = "Synthetic phantom"
    image.SoftwareVersions = f"demo {VERSION}"
    image.StudyDescription = "MR BRAIN (synthetic demo)"
    image.SeriesDescription = series.description
    image.DerivationDescription = "Computed from formulas; no image of a patient was used."
    image.PatientName, image.PatientID = "DEMO^SYNTHETIC", "OVERREAD-DEMO"
    image.PatientBirthDate = image.PatientSex = ""
    _physics(image, series)
    image.BodyPartExamined = "HEAD"
    image.PatientPosition = "HFS"
    image.StudyInstanceUID, image.SeriesInstanceUID = _uid("study"), series.uid
    image.FrameOfReferenceUID, image.PositionReferenceIndicator = _uid("frame of reference"), ""
    image.StudyID, image.SeriesNumber = "1", series.number
    image.ImagesInAcquisition = series.scan.grid.shape[0]
    image.ImageComments = _COMMENT
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 12, 11, 0
    image.WindowCenter, image.WindowWidth = series.window
    image.BurnedInAnnotation, image.LossyImageCompression = "NO", "00"
    return image


def _physics(image: Dataset, series: DemoSeries) -> None:
    timing = series.scan.timing
    image.ScanningSequence = series.scanning.split("\\")
    image.SequenceVariant, image.ScanOptions, image.MRAcquisitionType = series.variant, "", "2D"
    image.SliceThickness = _decimal(series.scan.thickness_mm)
    image.RepetitionTime, image.EchoTime = _decimal(timing.tr), _decimal(timing.te)
    if timing.ti:
        image.InversionTime = _decimal(timing.ti)
    if timing.contrast:
        image.ContrastBolusAgent = "Gadolinium (simulated)"
    image.EchoTrainLength = series.echo_train
    image.MagneticFieldStrength = "1.5"
    image.FlipAngle = "90"
    image.InPlanePhaseEncodingDirection = "ROW"


def _decimal(value: float) -> str:
    """A decimal string of at most 16 characters; what rounds to nought is nought."""
    return format_number_as_ds(float(value) if abs(value) > 1e-12 else 0.0)


def _decimals(values: Floats) -> list[str]:
    return [_decimal(value) for value in values]


def _uid(name: str) -> UID:
    """The UID of a part of this version of the study, under 2.25 (PS3.5 B.2)."""
    return UID(f"2.25.{uuid.uuid5(_NAMESPACE, f'overread demo {VERSION} {name}').int}")
