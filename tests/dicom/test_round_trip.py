"""10,000 masks on 1,000 grids, written as SEG and read back from their bytes: no voxel lost, none elsewhere."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage, generate_uid
from pydicom.valuerep import format_number_as_ds

from overread.dicom.check_seg import check_seg
from overread.dicom.headers import identity
from overread.dicom.source import SourceHeaders, _completed
from overread.dicom.write_seg import write_seg
from overread.domain.finding import Finding
from overread.domain.geometry import Grid
from overread.domain.study import Encoding, Frame, Stack
from support.findings import READER, finding

GRIDS, MASKS, PARTS = 1000, 10, 20
# So many parts are tried every day; all of them by `-m "slow or not slow"`.
EVERYDAY = 5
AXES = {
    "axial": ((1, 0, 0), (0, 1, 0)),
    "coronal": ((1, 0, 0), (0, 0, -1)),
    "sagittal": ((0, 1, 0), (0, 0, -1)),
}


@dataclass(frozen=True)
class Case:
    headers: SourceHeaders
    findings: list[Finding]


def rotation(chance: np.random.Generator) -> NDArray[np.float64]:
    """A rotation, all of them equally likely (QR of a normal matrix)."""
    turned, upper = np.linalg.qr(chance.normal(size=(3, 3)))
    return np.asarray(turned * np.sign(np.diag(upper)))


def case(number: int) -> Case:
    """A tiny grid and masks on it: axial, coronal, sagittal, each also flipped, and turned in any way."""
    chance = np.random.default_rng(number)
    shape = (1, 1, 1)
    while shape[1] * shape[2] < 8:  # highdicom 0.28 packs frames of fewer pixels wrongly, and the check notices
        shape = tuple(int(size) for size in chance.integers(1, [5, 13, 13]))
    kind = ("axial", "coronal", "sagittal", "oblique")[number % 4]
    if kind == "oblique":
        across, down = rotation(chance)[:2]
    else:
        across, down = (np.array(axis, float) * chance.choice([-1, 1]) for axis in AXES[kind])
    spacing = np.round(chance.uniform(0.1, 8.0, 3), 3)
    cosines = [float(format_number_as_ds(float(value))) for value in (*across, *down)]
    across, down = np.array(cosines[:3]), np.array(cosines[3:])
    normal = np.cross(across, down)
    origin = np.round(chance.uniform(-500, 500, 3), 3)
    affine = np.eye(4)
    affine[:3, :3] = np.stack([normal * spacing[0], down * spacing[1], across * spacing[2]], axis=1)
    affine[:3, 3] = origin
    grid = Grid((shape[0], shape[1], shape[2]), affine)
    images = [image(grid, k, cosines) for k in range(shape[0])]
    series, study, place = (generate_uid(entropy_srcs=[f"{word} {number}"]) for word in ("series", "study", "frame"))
    for k, one in enumerate(images):
        one.SOPInstanceUID = generate_uid(entropy_srcs=[f"image {number} {k}"])
        one.SeriesInstanceUID, one.StudyInstanceUID, one.FrameOfReferenceUID = series, study, place
    frames = tuple(Frame(str(k), 0, 1, str(one.SOPInstanceUID), "", 0, (0, 0)) for k, one in enumerate(images))
    encoding = Encoding(shape[1], shape[2])
    stack = Stack(f"{number}", identity(images[0]), grid, frames, encoding, str(MRImageStorage))
    headers = SourceHeaders(stack, tuple(_completed(one, stack) for one in images))
    masks = [chance.random(shape) < chance.choice([0.02, 0.3, 0.8]) for _ in range(MASKS)]
    for mask in masks:  # a finding holds at least one voxel
        mask[tuple(chance.integers(0, shape))] = True
    return Case(headers, [finding(stack, mask, at, measures=None) for at, mask in enumerate(masks, start=1)])


def image(grid: Grid, k: int, cosines: list[float]) -> Dataset:
    """The header of a slice."""
    made = Dataset()
    made.file_meta = pydicom.dataset.FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.SOPClassUID, made.Modality = MRImageStorage, "MR"
    made.PatientName, made.PatientID, made.SeriesNumber, made.SeriesDescription = "TEST^ONE", "ID1", 1, "T1"
    made.Rows, made.Columns = grid.shape[1:]
    made.BitsAllocated = made.BitsStored = 16
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.PixelSpacing = [format_number_as_ds(value) for value in grid.spacing[1:]]
    made.ImageOrientationPatient = cosines
    made.ImagePositionPatient = [format_number_as_ds(float(value)) for value in grid.to_lps((k, 0, 0))]
    return made


def in_the_patient(written: Dataset, segment: int) -> NDArray[np.float64]:
    """Where a segment's voxels are, mm in LPS, by nothing but what the file says of each frame (PS3.3 C.7.6.2.1.1)."""
    shared = written.SharedFunctionalGroupsSequence[0]
    pixels = written.pixel_array.reshape(-1, written.Rows, written.Columns)
    found = []
    for frame, group in zip(pixels, written.PerFrameFunctionalGroupsSequence, strict=True):

        def macro(keyword: str, group: Dataset = group) -> Dataset:
            return (group.get(keyword) or shared[keyword].value)[0]

        if int(macro("SegmentIdentificationSequence").ReferencedSegmentNumber) != segment:
            continue
        cosines = np.array(macro("PlaneOrientationSequence").ImageOrientationPatient, float)
        rows, columns = (float(value) for value in macro("PixelMeasuresSequence").PixelSpacing)
        at = np.argwhere(frame)
        corner = np.array(macro("PlanePositionSequence").ImagePositionPatient, float)
        found.append(corner + at[:, 1:] * columns * cosines[:3] + at[:, :1] * rows * cosines[3:])
    return np.concatenate(found)


@pytest.mark.parametrize(
    "part", [*range(EVERYDAY), *(pytest.param(n, marks=pytest.mark.slow) for n in range(EVERYDAY, PARTS))]
)
def test_every_voxel_comes_back_where_it_was(part: int) -> None:
    for number in range(part, GRIDS, PARTS):
        made = case(number)
        stack = made.headers.stack
        file = io.BytesIO()
        write_seg(stack, made.headers, made.findings, READER, 1).save_as(file, enforce_file_format=True)
        written = pydicom.dcmread(io.BytesIO(file.getvalue()))
        check_seg(written, made.headers, made.findings)
        for segment, meant in enumerate(made.findings, start=1):
            back = stack.grid.to_index(in_the_patient(written, segment))
            voxels = np.zeros(stack.grid.shape, bool)
            assert np.abs(back - np.rint(back)).max() < 0.01
            voxels[tuple(np.rint(back).astype(int).T)] = True
            assert np.array_equal(voxels, meant.mask.voxels)
