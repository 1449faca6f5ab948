"""The headers of the images that findings refer to, and what derived objects copy from them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import generate_uid
from pydicom.valuerep import format_number_as_ds

from overread.dicom.headers import identity
from overread.domain.errors import UserError
from overread.domain.finding import Finding
from overread.domain.study import Stack

# What a derived object must share with its source to be filed with it (PS3.3 C.7.1, C.7.2).
SHARED = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
)
# Carried over where the source has them.
CARRIED = (
    "IssuerOfPatientID",
    "StudyDescription",
    "PatientAge",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "DeidentificationMethodCodeSequence",
    "LongitudinalTemporalInformationModified",
    "BodyPartExamined",
    "TimezoneOffsetFromUTC",
)


@dataclass(frozen=True, eq=False)
class SourceHeaders:
    """The headers of a stack's files in the order of its frames.

    A multi-frame file comes as one header with just the frames of the stack, in their order.
    """

    stack: Stack
    images: tuple[Dataset, ...]

    @property
    def first(self) -> Dataset:
        """Any of them, for what they share."""
        return self.images[0]

    @property
    def multiframe(self) -> bool:
        """Whether the frames come from one file, which numbers them."""
        return "PerFrameFunctionalGroupsSequence" in self.first

    @cached_property
    def uids(self) -> frozenset[str]:
        """SOP Instance UIDs of the files."""
        return frozenset(str(image.SOPInstanceUID) for image in self.images)

    @cached_property
    def series(self) -> frozenset[str]:
        """Series Instance UIDs of the files."""
        return frozenset(str(image.SeriesInstanceUID) for image in self.images)

    @cached_property
    def positions(self) -> list[NDArray[np.float64]]:
        """Image Position (Patient) of every frame, mm in LPS, from the headers themselves."""
        if self.multiframe:
            groups = self.first.PerFrameFunctionalGroupsSequence
            return [np.array(group.PlanePositionSequence[0].ImagePositionPatient, float) for group in groups]
        return [np.array(image.ImagePositionPatient, float) for image in self.images]


def source_headers(stack: Stack) -> SourceHeaders:
    """Read the headers of a stack's files again. UserError where one is gone or is another image by now."""
    expected = {frame.path: frame.sop_instance_uid for frame in stack.frames}
    images: list[Dataset] = []
    for path in stack.paths:
        try:
            image = pydicom.dcmread(path, stop_before_pixels=True, force=True)
            who = identity(image)
            same = (who.person_and_place, who.person) == (stack.identity.person_and_place, stack.identity.person)
            if not same or str(image.get("SOPInstanceUID")) != expected[path]:
                raise UserError(
                    f"{path} is not the file that was opened.", "Open the study again; nothing was exported."
                )
            images.append(_completed(image, stack))
        except UserError:
            raise
        except Exception as error:  # a file may hold anything
            raise UserError(
                f"{path} cannot be read any more.", "Put the files back where they were and export again."
            ) from error
    headers = SourceHeaders(stack, tuple(images))
    if headers.multiframe and len(images) > 1:
        raise UserError("This image is spread over several multi-frame files, which no segmentation can refer to.")
    return headers


def _completed(image: Dataset, stack: Stack) -> Dataset:
    """The header with what derived objects need: type 2 attributes, measured spacing, UTF-8, the stack's frames."""
    image.decode()
    image.SpecificCharacterSet = "ISO_IR 192"
    for keyword in SHARED:
        if keyword not in image:
            setattr(image, keyword, "")
    if not stack.grid.oriented:
        image.pop("FrameOfReferenceUID", None)  # it would promise a place that no image of the stack gives
    elif not image.get("FrameOfReferenceUID"):
        # The same one for all slices, and the next time again.
        image.FrameOfReferenceUID = generate_uid(entropy_srcs=[stack.uid])
    frames = image.get("PerFrameFunctionalGroupsSequence")
    if frames:
        shared = image.setdefault("SharedFunctionalGroupsSequence", [Dataset()])
        chosen = [frames[frame.index] for frame in stack.frames]
        image.PerFrameFunctionalGroupsSequence, image.NumberOfFrames = chosen, len(chosen)
        shared = image.SharedFunctionalGroupsSequence[0]
        for keyword in ("PixelMeasuresSequence", "PlaneOrientationSequence"):
            if keyword not in shared and keyword in chosen[0]:
                setattr(shared, keyword, chosen[0].get(keyword))
        _measured(shared.PixelMeasuresSequence[0], stack)
    else:
        _measured(image, stack)
        if not stack.grid.oriented:
            _one_of_many(image)
    return image


def _one_of_many(image: Dataset) -> None:
    """Give a lone image what highdicom reads of kinds that may have several frames, such as eye photographs.

    Some devices leave the number out where it is 1, and these kinds have no functional groups. Nothing of it is copied.
    """
    image.setdefault("NumberOfFrames", 1)
    measures = Dataset()
    measures.PixelSpacing, measures.SliceThickness = image.get("PixelSpacing") or [1, 1], image.SliceThickness
    groups = Dataset()
    groups.PixelMeasuresSequence = [measures]
    image.setdefault("SharedFunctionalGroupsSequence", [groups])


def _measured(measures: Dataset, stack: Stack) -> None:
    """Spacing between slices as measured from positions; thickness where the source gives none."""
    along = stack.grid.affine[:3, 0] @ np.cross(stack.grid.directions[:, 2], stack.grid.directions[:, 1])
    spacing = format_number_as_ds(abs(float(along)))
    measures.SpacingBetweenSlices = spacing
    if not measures.get("SliceThickness"):
        measures.SliceThickness = spacing


def carry_over(source: Dataset, derived: Dataset) -> None:
    """Copy what identifies the patient and the study, and what must not be lost on the way."""
    for keyword in SHARED:
        setattr(derived, keyword, source.get(keyword))
    for keyword in CARRIED:
        if source.get(keyword):
            setattr(derived, keyword, source.get(keyword))
    if derived.get("PatientIdentityRemoved") == "YES" and not derived.get("DeidentificationMethod"):
        derived.DeidentificationMethod = "Not stated by the source"
    if source.get("LossyImageCompression") == "01" and "LossyImageCompression" in derived:
        derived.LossyImageCompression = "01"
        for keyword in ("LossyImageCompressionRatio", "LossyImageCompressionMethod"):
            if keyword in source:
                setattr(derived, keyword, source.get(keyword))


def person_name(name: str) -> str:
    """A name as readers type it, as a DICOM person name: "Ada Lovelace" → "Lovelace^Ada"."""
    name = re.sub(r"[\\=\x00-\x1f\x7f]+", " ", name)  # what would begin another value or group of a PN
    if "^" not in name:
        *given, family = name.split() or ["Unknown"]
        name = f"{family}^{' '.join(given)}"
    return name[:64].strip()


def tracking_id(finding: Finding) -> str:
    """The human-readable twin of the Tracking UID."""
    return f"{finding.title} ({finding.id[-8:]})"
