"""Large made-up series to measure on: noise and ellipses, no patient."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, FileMetaDataset
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    CTImageStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
    generate_uid,
)

from overread.dicom.scan import scanned
from overread.domain.study import Stack

SIZE = 512


@dataclass(frozen=True)
class Sort:
    """What a series is like: what its headers say, its window (centre, width), and pixel and slice distances in mm."""

    name: str
    modality: str
    storage: UID
    description: str
    body_part: str
    window: tuple[int, int]
    pixel_mm: float = 0.45
    step_mm: float = 1.1
    size: int = SIZE


FLAIR = Sort("flair", "MR", MRImageStorage, "FLAIR AX (synthetic)", "HEAD", (300, 700))
T1C = Sort("t1c", "MR", MRImageStorage, "T1 AX POST GAD (synthetic)", "HEAD", (300, 700))
LUNG = Sort("lung", "CT", CTImageStorage, "CHEST (synthetic)", "CHEST", (-600, 1500), pixel_mm=0.7, step_mm=2.0)
CHEST = Sort("chest", "CR", ComputedRadiographyImageStorage, "CHEST PA (synthetic)", "CHEST", (1000, 2000), size=2048)


def series(scratch: Path, sort: Sort, slices: int) -> Path:
    """The folder of a series of `slices` images, int16 and uncompressed, written if it is not there yet."""
    folder = scratch / f"{sort.name}-{slices}"
    if folder.exists():
        return folder
    folder.mkdir(parents=True)
    noise = np.random.default_rng(7).normal(0, 12, (sort.size, sort.size)).astype(np.float32)
    for k in range(slices):
        picture = _chest(sort, k) if sort.body_part == "CHEST" else _head(sort, k, slices)
        pixels = np.clip(picture + np.roll(noise, k * 37), -1024, 2000).astype("<i2")
        _image(sort, k, pixels).save_as(folder / f"{k:04d}.dcm", enforce_file_format=True)
    return folder


def stack_of(folder: Path) -> Stack:
    """The one stack of a folder."""
    return next(scanned((folder,), folder).stacks)


def _head(sort: Sort, k: int, slices: int) -> NDArray[np.float32]:
    """A head with a bright spot that grows towards the middle of the series."""
    y, x = np.mgrid[: sort.size, : sort.size].astype(np.float32)
    scale = np.sqrt(max(1 - ((k - slices / 2) / (slices * 0.55)) ** 2, 0.05))
    head = ((x - 256) / (190 * scale)) ** 2 + ((y - 256) / (230 * scale)) ** 2
    spot = ((x - 330) / 40) ** 2 + ((y - 200) / 55) ** 2 + ((k - slices / 2) / (slices / 8)) ** 2
    picture = np.where(head < 1, 300, 0) + np.where((head > 0.9) & (head < 1), 400, 0) + np.where(spot < 1, 180, 0)
    return np.asarray(picture.clip(0), np.float32)


def _chest(sort: Sort, k: int) -> NDArray[np.float32]:
    """A body with two lungs and round vessels in them; HU on CT, else brighter where it is denser."""
    y, x = np.mgrid[-1 : 1 : sort.size * 1j, -1 : 1 : sort.size * 1j].astype(np.float32)
    lung = np.minimum(*(((x - side) / 0.3) ** 2 + ((y + 0.05) / 0.55) ** 2 for side in (-0.42, 0.42)))
    body = (x / 0.9) ** 2 + (y / 0.8) ** 2
    air, tissue, outside = (-850, 40, -1000) if sort.modality == "CT" else (400, 1300, 0)
    picture = np.where(body < 1, np.where(lung < 1, air, tissue), outside)
    rng = np.random.default_rng(k // 3)  # a vessel goes on through a few slices
    for _ in range(40):
        (across, down), radius = rng.uniform(-0.6, 0.6, 2), rng.uniform(0.006, 0.02)
        picture = np.where((np.hypot(x - across, y - down) < radius) & (lung < 1), tissue, picture)
    return np.asarray(picture, np.float32)


def _image(sort: Sort, k: int, pixels: NDArray[np.int16]) -> Dataset:
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID = sort.storage
    image.SOPInstanceUID = generate_uid(entropy_srcs=[f"overread bench {sort.name} slice {k}"])
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    image.PatientName, image.PatientID, image.Modality = "BENCH^SYNTHETIC", "OVERREAD-BENCH", sort.modality
    image.StudyInstanceUID = generate_uid(entropy_srcs=["overread bench"])
    image.SeriesInstanceUID = generate_uid(entropy_srcs=[f"overread bench {sort.name}"])
    image.SeriesDescription, image.SeriesNumber, image.InstanceNumber = sort.description, 1, k + 1
    image.BodyPartExamined = sort.body_part
    if sort.modality != "CR":
        image.FrameOfReferenceUID = generate_uid(entropy_srcs=["overread bench place"])
        image.ImagePositionPatient = [-115.0, -115.0, round(k * sort.step_mm, 3)]
        image.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        image.PixelSpacing, image.SliceThickness = [sort.pixel_mm, sort.pixel_mm], sort.step_mm
    image.Rows = image.Columns = sort.size
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 16, 15, 1
    image.WindowCenter, image.WindowWidth = sort.window
    image.PixelData = pixels.tobytes()
    return image
