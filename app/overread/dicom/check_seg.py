"""The segmentation among the products: what it carries, and how it is read back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pydicom
from highdicom.seg import SegmentationTypeValues as Types
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    OphthalmicPhotography8BitImageStorage,
    OphthalmicPhotography16BitImageStorage,
    SecondaryCaptureImageStorage,
)

from overread.dicom.product import Parcel, Product, require
from overread.dicom.source import SourceHeaders
from overread.dicom.write_seg import algorithm_name, layers, write_seg
from overread.domain.finding import Code, Finding, Status
from overread.domain.study import Stack

_PLACE_MM = 1e-3
# Pictures whose kind of object asks for no frame of reference, so that segmentations of them need none either.
_PLACELESS = frozenset(
    {
        ComputedRadiographyImageStorage,
        DigitalXRayImageStorageForPresentation,
        OphthalmicPhotography8BitImageStorage,
        OphthalmicPhotography16BitImageStorage,
        SecondaryCaptureImageStorage,
    }
)


def carries_outlines(stack: Stack) -> bool:
    """Whether a segmentation can refer to a stack: by its place in the patient, or to the one picture that it is."""
    return stack.grid.oriented or (len(stack.frames) == 1 and stack.sop_class_uid in _PLACELESS)


def without_outline(stack: Stack, finding: Finding) -> str:
    """Why a segmentation has no place for a finding, "" where it has."""
    if not finding.mask:
        return "It has no outline."
    if finding.boxed:
        return "It is a box, which is no outline."
    return (
        "" if carries_outlines(stack) else "This image has no place in the patient, so no segmentation can refer to it."
    )


def _write_labelmap(parcel: Parcel) -> list[Path]:
    """What overlaps goes into files of its own."""
    return [
        parcel.save(
            write_seg(parcel.stack, parcel.headers, layer, parcel.reader, parcel.number, Types.LABELMAP),
            f"layer {number}" if number > 1 else "",
        )
        for number, layer in enumerate(layers(parcel.findings), start=1)
    ]


def _check_labelmap(parcel: Parcel, paths: Sequence[Path]) -> None:
    wanted = layers(parcel.findings)
    require(len(paths) == len(wanted), "another number of label maps")
    for path, layer in zip(paths, wanted, strict=True):
        check_seg(pydicom.dcmread(path), parcel.headers, layer, Types.LABELMAP)


def _write(parcel: Parcel) -> list[Path]:
    written = write_seg(parcel.stack, parcel.headers, parcel.findings, parcel.reader, parcel.number)
    return [parcel.save(written)]


def _check(parcel: Parcel, paths: Sequence[Path]) -> None:
    (path,) = paths
    check_seg(pydicom.dcmread(path), parcel.headers, parcel.findings)


def check_seg(
    written: Dataset, headers: SourceHeaders, findings: Sequence[Finding], kind: Types = Types.BINARY
) -> None:
    """Compare a segmentation with the findings and their source: voxels, places, names. Wrong where it differs.

    A FRACTIONAL one is compared with the findings' probabilities in 255ths, the others with their masks.
    """
    stack = headers.stack
    require(written.get("SegmentationType") == kind.value, "another kind of segmentation")
    source_frame = headers.first.get("FrameOfReferenceUID")
    require(written.get("FrameOfReferenceUID") == source_frame, "another frame of reference")
    labels, fractional = kind is Types.LABELMAP, kind is Types.FRACTIONAL
    # A label map describes what is no finding, too: the voxels of number 0.
    segments = [described for described in written.SegmentSequence if described.SegmentNumber > 0]
    require(len(segments) == len(findings), "another number of segments")
    shared = written.SharedFunctionalGroupsSequence[0]
    if stack.grid.oriented:
        cosines = [float(value) for value in shared.PlaneOrientationSequence[0].ImageOrientationPatient]
        expected = np.concatenate([stack.grid.directions[:, 2], stack.grid.directions[:, 1]])
        require(bool(np.abs(np.array(cosines) - expected).max() < 1e-4), "another orientation")
    if stack.grid.calibrated:
        spacing = [float(value) for value in shared.PixelMeasuresSequence[0].PixelSpacing]
        require(bool(np.allclose(spacing, stack.grid.spacing[1:], rtol=1e-4)), "another pixel spacing")
    place = {(frame.sop_instance_uid, frame.index): k for k, frame in enumerate(stack.frames)}
    where = headers.positions if stack.grid.oriented else []
    # The byte that fills up to an even number may look like another frame where frames have few pixels.
    written.pixel_array_options(allow_excess_frames=False)
    pixels = written.pixel_array.reshape(-1, written.Rows, written.Columns)
    shape = (len(findings), *stack.grid.shape)
    volumes: NDArray[np.uint8 | np.bool_] = np.zeros(shape, np.uint8 if fractional else np.bool_)
    seen: set[tuple[int, int]] = set()
    for pixel, group in zip(pixels, written.PerFrameFunctionalGroupsSequence, strict=True):
        segment = 0
        if not labels:
            segment = int(_macro("SegmentIdentificationSequence", group, shared).ReferencedSegmentNumber) - 1
        (source,) = _macro("DerivationImageSequence", group, shared).SourceImageSequence
        index = int(source.get("ReferencedFrameNumber", 1)) - 1
        k = place.get((str(source.ReferencedSOPInstanceUID), index))
        require(k is not None, "a frame refers to an image that is not in the series")
        assert k is not None
        if where:
            position = np.array(_macro("PlanePositionSequence", group, shared).ImagePositionPatient, float)
            require(bool(np.abs(position - where[k]).max() < _PLACE_MM), "a frame lies in another place than its image")
        require((segment, k) not in seen, "a frame is there twice")
        seen.add((segment, k))
        if labels:
            volumes[:, k] = pixel == np.arange(1, len(findings) + 1)[:, None, None]
            require(int(pixel.max()) <= len(findings), "a number stands for nothing")
        else:
            volumes[segment, k] = pixel if fractional else pixel > 0
    require(len(seen) == (1 if labels else len(findings)) * stack.grid.shape[0], "frames are missing")
    for segment, finding in enumerate(findings):
        meant = finding.probabilities if fractional else finding.mask
        require(
            meant is not None and np.array_equal(volumes[segment], meant.voxels),
            f"voxels of segment {segment + 1} differ",
        )
        described = segments[segment]
        require(described.SegmentNumber == segment + 1, "segments are numbered in another way")
        require(described.get("TrackingUID") == finding.id, f"segment {segment + 1} lost its tracking UID")
        same_concept(described.SegmentedPropertyTypeCodeSequence, finding.concept)
        same_concept(described.SegmentedPropertyCategoryCodeSequence, finding.category)
        require(described.SegmentAlgorithmType == _made_by(finding), "another maker")
        if finding.model is not None:
            name = described.get("SegmentAlgorithmName")
            require(name == algorithm_name(finding.model), "another model")


def same_concept(sequence: Sequence[Dataset], code: Code) -> None:
    """Compare a coded concept that was written. Wrong where it is another one."""
    (written,) = sequence
    require((written.CodeValue, written.CodingSchemeDesignator) == (code.value, code.scheme), "another concept")


def _made_by(finding: Finding) -> str:
    if finding.model is None:
        return "MANUAL"
    return "SEMIAUTOMATIC" if finding.status is Status.EDITED else "AUTOMATIC"


def _macro(keyword: str, group: Dataset, shared: Dataset) -> Dataset:
    """A functional group of one frame, which stands with the frame or with all of them (PS3.3 C.7.6.16.1)."""
    found: Dataset = (group.get(keyword) or shared[keyword].value)[0]
    return found


LABELMAP = Product(
    "labelmap", "Label map (SEG LABELMAP)", _write_labelmap, _check_labelmap, without_outline, straight=True
)
SEG = Product("seg", "Segmentation (SEG)", _write, _check, without_outline, straight=True)
