"""Small made-up series as DICOM files, for tests that must always run."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, FileMetaDataset, dcmread
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid


def write_series(
    folder: Path,
    voxels: NDArray[Any],
    *,
    positions: list[tuple[float, float, float]] | None = None,
    orientation: tuple[float, ...] = (1, 0, 0, 0, 1, 0),
    spacing: tuple[float, float] = (1.0, 1.0),
    step: float = 3.0,
    modality: str = "MR",
    description: str = "FLAIR AX",
    patient: tuple[str, str] = ("TEST^ONE", "ID1"),
    study: str = "",
    series: str = "",
    names: str = "{k:03d}.dcm",
    **attributes: Any,
) -> list[Path]:
    """Write voxels (k, j, i) as one file a slice; slices lie `step` mm apart along the normal by default."""
    folder.mkdir(parents=True, exist_ok=True)
    normal = np.cross(orientation[:3], orientation[3:])
    placed = positions or [tuple(float(x) for x in k * step * normal) for k in range(len(voxels))]
    study, series = study or generate_uid(), series or generate_uid()
    frame = generate_uid()
    written = []
    for k, (pixels, position) in enumerate(zip(voxels, placed, strict=True)):
        image = Dataset()
        image.file_meta = FileMetaDataset()
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        image.SOPClassUID = CTImageStorage if modality == "CT" else MRImageStorage
        image.SOPInstanceUID = generate_uid()
        image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID
        image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
        image.PatientName, image.PatientID = patient
        image.PatientBirthDate = image.PatientSex = image.StudyDate = image.StudyTime = ""
        image.StudyID = image.AccessionNumber = image.ReferringPhysicianName = ""
        image.StudyInstanceUID, image.SeriesInstanceUID, image.FrameOfReferenceUID = study, series, frame
        image.Modality, image.SeriesDescription = modality, description
        image.SeriesNumber, image.InstanceNumber = 1, k + 1
        image.ImagePositionPatient, image.ImageOrientationPatient = list(position), list(orientation)
        image.PixelSpacing = list(spacing)
        image.Rows, image.Columns = pixels.shape[:2]
        image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
        image.BitsAllocated = image.BitsStored = voxels.dtype.itemsize * 8
        image.HighBit = image.BitsStored - 1
        image.PixelRepresentation = int(voxels.dtype.kind == "i")
        if modality == "CT":
            image.RescaleSlope, image.RescaleIntercept = 1, 0
        for keyword, value in attributes.items():
            setattr(image, keyword, value[k] if isinstance(value, tuple) and len(value) == len(voxels) else value)
        image.PixelData = np.ascontiguousarray(pixels).tobytes()
        path = folder / names.format(k=k)
        image.save_as(path, enforce_file_format=True)
        written.append(path)
    return written


def head_like(shape: tuple[int, int, int] = (12, 96, 96), seed: int = 3) -> NDArray[np.int16]:
    """A grey ball with a bright spot in it and some noise, int16."""
    k, j, i = np.indices(shape).astype(np.float32)
    k, j, i = ((axis - size / 2) / (size / 2) for axis, size in zip((k, j, i), shape, strict=True))
    ball = np.sqrt((k * 0.6) ** 2 + j**2 + i**2) < 0.85
    spot = np.sqrt(k**2 + (j - 0.2) ** 2 + (i - 0.25) ** 2) < 0.3
    noise = np.random.default_rng(seed).normal(0, 8, shape)
    return (ball * 300 + spot * 400 + np.abs(noise)).astype(np.int16)


def changed(path: Path, **attributes: Any) -> Path:
    """Change attributes of a file in place: None takes one away, bytes are written as they are, right or wrong."""
    image = dcmread(path)
    for keyword, value in attributes.items():
        tag = Tag(keyword)
        if isinstance(value, bytes):
            image[tag] = RawDataElement(tag, dictionary_VR(tag)[:2], len(value), value, 0, False, True)
        elif value is None:
            del image[tag]
        else:
            setattr(image, keyword, value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        image.save_as(path)
    return path
