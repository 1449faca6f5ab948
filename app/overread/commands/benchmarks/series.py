"""A large made-up series to measure on: noise and ellipses, no patient."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydicom import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid

from overread.dicom.scan import scanned
from overread.domain.study import Stack

SIZE = 512


def write_series(folder: Path, slices: int) -> None:
    """Write a FLAIR-like series of `slices` × 512 × 512 int16, 0.45 × 0.45 × 1.1 mm, uncompressed."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(7)
    y, x = np.mgrid[:SIZE, :SIZE].astype(np.float32)
    noise = rng.normal(0, 12, (SIZE, SIZE)).astype(np.float32)
    study, series, frame = (generate_uid(entropy_srcs=[f"overread bench {n}"]) for n in range(3))
    for k in range(slices):
        scale = np.sqrt(max(1 - ((k - slices / 2) / (slices * 0.55)) ** 2, 0.05))
        head = ((x - 256) / (190 * scale)) ** 2 + ((y - 256) / (230 * scale)) ** 2
        spot = ((x - 330) / 40) ** 2 + ((y - 200) / 55) ** 2 + ((k - slices / 2) / (slices / 8)) ** 2
        picture = np.where(head < 1, 300, 0) + np.where((head > 0.9) & (head < 1), 400, 0) + np.where(spot < 1, 180, 0)
        pixels = np.clip(picture + np.roll(noise, k * 37), 0, 2000).astype("<i2")
        _image(study, series, frame, k, pixels).save_as(folder / f"{k:04d}.dcm", enforce_file_format=True)


def _image(study: str, series: str, frame: str, k: int, pixels: np.ndarray) -> Dataset:
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID = MRImageStorage
    image.SOPInstanceUID = generate_uid(entropy_srcs=[f"overread bench slice {k}"])
    image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    image.PatientName, image.PatientID, image.Modality = "BENCH^SYNTHETIC", "OVERREAD-BENCH", "MR"
    image.StudyInstanceUID, image.SeriesInstanceUID, image.FrameOfReferenceUID = study, series, frame
    image.SeriesDescription, image.SeriesNumber, image.InstanceNumber = "FLAIR AX (synthetic)", 1, k + 1
    image.BodyPartExamined = "HEAD"
    image.ImagePositionPatient = [-115.0, -115.0, round(k * 1.1, 3)]
    image.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    image.PixelSpacing, image.SliceThickness = [0.45, 0.45], 1.1
    image.Rows = image.Columns = SIZE
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 16, 15, 1
    image.WindowCenter, image.WindowWidth = 300, 700
    image.PixelData = pixels.tobytes()
    return image


def stack_of(folder: Path) -> Stack:
    """The one stack of a folder."""
    return next(scanned((folder,), folder).stacks)
