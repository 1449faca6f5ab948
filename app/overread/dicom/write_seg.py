"""Accepted findings of one stack → a DICOM Segmentation (PS3.3 A.51), BINARY, on the stack's own frames."""

from __future__ import annotations

from collections.abc import Sequence

import highdicom as hd
import numpy as np
from highdicom.color import CIELabColor
from highdicom.seg import SegmentAlgorithmTypeValues, Segmentation, SegmentDescription
from highdicom.seg import SegmentationTypeValues as Types
from highdicom.sr import CodedConcept
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.sr.codedict import codes

from overread.dicom.equipment import MANUFACTURER, equipment
from overread.dicom.source import SourceHeaders, carry_over, person_name, tracking_id
from overread.domain.finding import Bools, Code, Finding, ModelSource, Reader, Status
from overread.domain.study import Stack


def concept(code: Code) -> CodedConcept:
    """A coded concept in highdicom's form."""
    return CodedConcept(code.value, code.scheme, code.meaning)


def algorithm_name(model: ModelSource) -> str:
    """The model's name in every object that leaves: id, and the hash that tells its weights from all others."""
    return f"{model.id} sha256:{model.sha256[:12]}" if model.sha256 else model.id


def _algorithm(finding: Finding) -> tuple[SegmentAlgorithmTypeValues, hd.AlgorithmIdentificationSequence | None]:
    if finding.model is None:
        return SegmentAlgorithmTypeValues.MANUAL, None
    identification = hd.AlgorithmIdentificationSequence(
        name=algorithm_name(finding.model),
        family=codes.DCM.ArtificialIntelligence,
        version=finding.model.version,
        source=MANUFACTURER,
        parameters={"backend": finding.model.backend, "sha256": finding.model.sha256} if finding.model.sha256 else None,
    )
    if finding.status is Status.EDITED:
        return SegmentAlgorithmTypeValues.SEMIAUTOMATIC, identification
    return SegmentAlgorithmTypeValues.AUTOMATIC, identification


def _description(number: int, finding: Finding) -> SegmentDescription:
    algorithm_type, identification = _algorithm(finding)
    red, green, blue = (int(finding.colour[at : at + 2], 16) for at in (1, 3, 5))
    return SegmentDescription(
        segment_number=number,
        segment_label=finding.title[:64],
        segmented_property_category=concept(finding.category),
        segmented_property_type=concept(finding.concept),
        algorithm_type=algorithm_type,
        algorithm_identification=identification,
        tracking_uid=finding.id,
        tracking_id=tracking_id(finding),
        anatomic_regions=[concept(finding.anatomy)] if finding.anatomy else None,
        display_color=CIELabColor.from_rgb(red, green, blue),
    )


def write_seg(
    stack: Stack,
    headers: SourceHeaders,
    findings: Sequence[Finding],
    reader: Reader,
    series_number: int,
    kind: Types = Types.BINARY,
) -> Dataset:
    """One SEG with a segment for each finding, every frame of the stack written, empty or not.

    A LABELMAP holds one number for each voxel, so its findings must not overlap: `layers` sees to that.
    Viewers that place frames by counting would shift overlays if empty ones were left out. On a single image without
    a place in the patient the frames refer to that image alone (PS3.3 C.8.20.2), and without pixel spacing they have
    none either.
    """
    if kind is Types.LABELMAP:
        pixels = np.zeros(stack.grid.shape, np.uint8 if len(findings) < 256 else np.uint16)
        for number, finding in enumerate(findings, start=1):
            pixels[finding.mask.box][finding.mask.inner] = number
    else:
        pixels = np.stack([finding.mask.voxels for finding in findings], axis=-1).astype(np.uint8)
    said = "Findings accepted by a reader. Not for clinical use."
    return segmentation(stack, headers, findings, reader, series_number, kind, pixels, said)


def segmentation(
    stack: Stack,
    headers: SourceHeaders,
    findings: Sequence[Finding],
    reader: Reader,
    series_number: int,
    kind: Types,
    pixels: NDArray[np.uint8 | np.uint16 | np.float32],
    said: str,
) -> Dataset:
    """A segmentation of any kind with these `pixels`, in the form that highdicom takes; `said` describes it in 64."""
    made = Segmentation(
        source_images=list(headers.images),
        pixel_array=pixels,
        segmentation_type=kind,
        segment_descriptions=[_description(number, finding) for number, finding in enumerate(findings, start=1)],
        series_instance_uid=hd.UID(),
        series_number=series_number,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        **equipment(),
        content_label="OVERREAD",
        content_description=said,
        content_creator_name=person_name(reader.name),
        series_description=f"AI {stack.identity.series_description} SEG".strip()[:64],
        omit_empty_frames=False,
    )
    carry_over(headers.first, made)
    if "FrameOfReferenceUID" not in made:
        # without a place in the patient it is asked for, empty where nobody knows (PS3.3 C.7.6.1.1.1)
        made.PatientOrientation = headers.first.get("PatientOrientation")
    if not stack.grid.calibrated:
        for shared in made.SharedFunctionalGroupsSequence:
            shared.pop("PixelMeasuresSequence", None)
    if headers.multiframe:
        _number_as_in_the_file(made, stack)
    return made


def layers(findings: Sequence[Finding]) -> list[list[Finding]]:
    """The findings in as few groups as they come, in order, in each of which none overlaps another."""
    taken: list[Bools] = []
    found: list[list[Finding]] = []
    for finding in findings:
        box, inner = finding.mask.box, finding.mask.inner
        free = next((at for at, voxels in enumerate(taken) if not (voxels[box] & inner).any()), len(taken))
        if free == len(taken):
            taken.append(np.zeros(finding.mask.shape, np.bool_))
            found.append([])
        taken[free][box] |= inner
        found[free].append(finding)
    return found


def _number_as_in_the_file(segmentation: Dataset, stack: Stack) -> None:
    """Frame numbers count within the stack so far; turn them into those of the source file."""
    sources = [
        source
        for group in segmentation.PerFrameFunctionalGroupsSequence
        for derivation in group.DerivationImageSequence
        for source in derivation.SourceImageSequence
    ]
    for source in {id(source): source for source in sources}.values():  # segments share theirs: once each
        source.ReferencedFrameNumber = stack.frames[int(source.ReferencedFrameNumber) - 1].index + 1
