"""A DICOM Segmentation (PS3.3 A.51) → findings on a stack: BINARY, FRACTIONAL and LABELMAP, overlapping or not."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.pixels.utils import pixel_array
from pydicom.uid import UID

from overread.dicom.codecs import NATIVE
from overread.dicom.found import TISSUE, Found, blank, code_of, colour_of, count, masked, model_source, remarked
from overread.dicom.places import Places
from overread.dicom.quiet import quiet
from overread.dicom.values import floats, group_of, or_none, whole
from overread.domain.finding import Bools, Finding, Mask, ModelSource
from overread.domain.study import DerivedObject, Stack
from overread.imaging.plates import Plate, same_plane, sampled

# Where half of a voxel is covered, or its probability is a half, it belongs to the segment.
_HALF = 0.5
# "Tumour 2 (box)": how our own writer names segments.
_OWN_TITLE = re.compile(r"^(?P<label>.+) \d+(?: \(box\))?$")
_OWN = "Overread"


@dataclass(frozen=True)
class PlacedFrame:
    """One frame of an object: which segment (None in a label map), where, and on which images it was drawn."""

    index: int
    segment: int | None
    plate: Plate | None
    images: tuple[tuple[str, int | None], ...]


class _Fate(Enum):
    """What becomes of a frame that lies on no slice of the stack, voxel on voxel."""

    LOST = "its image is not here"
    ELSEWHERE = "it belongs to another stack of the same file"
    SAMPLED = "it lies on another grid"


def read_seg(dataset: Dataset, derived: DerivedObject, stack: Stack, places: Places) -> Found:
    """Each segment that holds voxels of the stack as a finding.

    Frames go to the slice whose position they have; without a place in the patient, to the image that they name.
    Those whose images are not here are left out and counted. A segmentation on another grid is sampled at the middle
    of each voxel of the stack. ValueError and the like where the object is damaged.
    """
    parts = _Parts(dataset, derived, stack, places)
    findings: dict[tuple[str, int], Finding] = {}
    notices: list[str] = []
    for described in dataset.SegmentSequence:
        if _is_background(described, dataset):
            continue
        number = int(described.SegmentNumber)
        mask, remark = parts.segment(number)
        if mask:
            made = _finding(described, derived, stack, mask, remark, len(findings) + 1)
            findings[derived.source.sop_instance_uid, number] = made
        elif remark:
            label = str(described.get("SegmentLabel") or described.SegmentNumber)
            notices.append(f"{derived.source.title}: segment ‘{label}’ cannot be shown. {remark}")
    return Found(tuple(findings.values()), tuple(notices), segments=findings)


def _is_background(described: Dataset, dataset: Dataset) -> bool:
    """Whether a label of a label map stands for what is in no segment (PS3.3 C.8.20.2)."""
    if str(dataset.get("SegmentationType")) != "LABELMAP":
        return False
    kind = code_of(described.get("SegmentedPropertyTypeCodeSequence"))
    named = kind is not None and (kind.value, kind.scheme) == ("125040", "DCM")
    return named or int(described.SegmentNumber) == dataset.get("PixelPaddingValue")


class _Parts:
    """The voxels of each segment, read frame by frame: all frames of a large study at once would not fit."""

    def __init__(self, dataset: Dataset, derived: DerivedObject, stack: Stack, places: Places) -> None:
        self._pixels, self._stack, self._places = _Pixels(dataset), stack, places
        self._mine = any(uid in places.numbers for uid in derived.images)
        self._same_size = (int(dataset.Rows), int(dataset.Columns)) == stack.grid.shape[1:]
        held = list(frames(dataset))
        fates = [self._fate(frame) for frame in held]
        if _Fate.SAMPLED in fates:
            # What fits by chance is sampled with the rest, or slices would be drawn in two ways.
            fates = [_Fate.SAMPLED if isinstance(fate, int) else fate for fate in fates]
        self._frames = list(zip(held, fates, strict=True))
        self._plates = [frame.plate for frame, fate in self._frames if fate is _Fate.SAMPLED and frame.plate]

    def segment(self, number: int) -> tuple[Mask, str]:
        """A segment's voxels on the stack, and what has to be said about how they came there."""
        exact: dict[int, Bools] = {}
        apart: list[tuple[Plate, Bools]] = []
        lost = 0
        self._pixels.partial = False
        for frame, fate in self._frames:
            if frame.segment not in (None, number) or fate is _Fate.ELSEWHERE:
                continue
            picture = self._pixels.picture(frame.index, number)
            if not picture.any():
                continue
            if isinstance(fate, int):
                exact[fate] = exact[fate] | picture if fate in exact else picture
            elif fate is _Fate.SAMPLED and frame.plate is not None:
                apart.append((frame.plate, picture))
            else:
                lost += 1
        remarks = ["Probabilities: drawn where they are at least a half."] if self._pixels.partial else []
        if apart:
            exact, coincide = sampled(apart, self._plates, self._stack.grid, self._places.positions)
            remarks += [] if coincide else [_drawn_on(apart[0][0])]
            if not exact:
                remarks.append("It lies outside of this series.")
        if lost:
            left = count(lost, "frame lies", "frames lie")
            remarks.append(f"{left} where this series has no image, and {'is' if lost == 1 else 'are'} left out.")
        return masked(exact, self._stack.grid.shape), " ".join(remarks)

    def _fate(self, frame: PlacedFrame) -> int | _Fate:
        """The slice that a frame lies on, voxel on voxel, or what becomes of it else."""
        places = self._places
        named = {k for k in (places.named(*image) for image in frame.images) if k is not None}
        if frame.images and not named:
            if any(uid in places.numbers and number is not None for uid, number in frame.images):
                return _Fate.ELSEWHERE
            if self._mine:
                return _Fate.LOST
        if frame.plate is None or not places.oriented:
            return named.pop() if self._same_size and len(named) == 1 else _Fate.LOST
        if not same_plane(frame.plate, self._stack.grid):
            return _Fate.SAMPLED
        k = places.at(frame.plate.position)
        if k is not None:
            return k
        return _Fate.LOST if self._mine else _Fate.SAMPLED


def _drawn_on(plate: Plate) -> str:
    down, across = plate.spacing
    through = f" × {plate.thickness:.3g}" if plate.thickness else ""
    return f"Drawn on another grid ({across:.3g} × {down:.3g}{through} mm); shown on this one by nearest neighbour."


def frames(dataset: Dataset) -> Iterator[PlacedFrame]:
    """The frames of a segmentation or another object with functional groups (PS3.3 C.7.6.16), and where they lie."""
    shared = group_of(dataset.get("SharedFunctionalGroupsSequence"), 0) or Dataset()
    groups: Sequence[Dataset] = dataset.get("PerFrameFunctionalGroupsSequence") or ()
    size = int(dataset.Rows), int(dataset.Columns)
    common: dict[tuple[float, ...], Plate] = {}
    for index in range(int(dataset.get("NumberOfFrames") or 1)):
        own = group_of(groups, index) or Dataset()

        def macro(keyword: str, own: Dataset = own) -> Dataset | None:
            return group_of(own.get(keyword), 0) or group_of(shared.get(keyword), 0)

        identified = macro("SegmentIdentificationSequence")
        number = None if identified is None else int(identified.ReferencedSegmentNumber)
        images = tuple(
            (str(source.ReferencedSOPInstanceUID), whole(source, "ReferencedFrameNumber"))
            for derivation in own.get("DerivationImageSequence") or shared.get("DerivationImageSequence") or ()
            for source in derivation.get("SourceImageSequence") or ()
        )
        plate = _plate(macro, size)
        if plate is not None:
            plate = common.setdefault((*plate.position, *plate.orientation, *plate.spacing), plate)
        yield PlacedFrame(index, number, plate, images)


def _plate(macro: Callable[[str], Dataset | None], size: tuple[int, int]) -> Plate | None:
    """Where a frame lies in the patient; None where the object does not say."""
    position, turned, measures = (
        macro(keyword) for keyword in ("PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence")
    )
    if position is None or turned is None or measures is None:
        return None
    where = floats(position.get("ImagePositionPatient"), 3)
    cosines = floats(turned.get("ImageOrientationPatient"), 6)
    spacing = floats(measures.get("PixelSpacing"), 2)
    if where is None or cosines is None or spacing is None or min(spacing) <= 0:
        return None
    thick = or_none(lambda: float(measures.get("SpacingBetweenSlices") or measures.get("SliceThickness") or 0)) or 0.0
    return Plate((where[0], where[1], where[2]), cosines, (spacing[0], spacing[1]), abs(thick), size)


class _Pixels:
    """The frames' pixels, one frame in memory at a time. `partial` tells whether any was neither 0 nor full."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._kind = str(dataset.get("SegmentationType") or "BINARY")
        self._most = float(dataset.get("MaximumFractionalValue") or 255)
        self._last: tuple[int, NDArray[Any]] | None = None
        native = UID(str(dataset.file_meta.TransferSyntaxUID)) in NATIVE
        self._packed = int(dataset.BitsAllocated) == 1 and native
        self.partial = False

    def picture(self, index: int, number: int) -> Bools:
        """The voxels of segment `number` on frame `index`, shape (rows, columns)."""
        if self._last is None or self._last[0] != index:
            self._last = index, self._bits(index) if self._packed else self._decoded(index)
        pixels = self._last[1]
        if self._kind == "LABELMAP":
            return np.asarray(pixels == number)
        if self._kind == "FRACTIONAL":
            self.partial = self.partial or bool(((pixels > 0) & (pixels < self._most)).any())
            return np.asarray(pixels >= _HALF * self._most)
        return np.asarray(pixels > 0)

    def _decoded(self, index: int) -> NDArray[Any]:
        with quiet():
            return pixel_array(self._dataset, index=index, raw=True)

    def _bits(self, index: int) -> NDArray[Any]:
        """A frame of single bits: frames follow each other without a gap, so one may begin in the middle of a byte."""
        rows, columns = int(self._dataset.Rows), int(self._dataset.Columns)
        first, last = index * rows * columns, (index + 1) * rows * columns
        packed = np.frombuffer(self._dataset.PixelData, np.uint8)[first // 8 : -(-last // 8)]
        start = first - first // 8 * 8
        bits = np.unpackbits(packed, bitorder="little")[start : start + rows * columns]
        return bits.reshape(rows, columns)


def _finding(described: Dataset, derived: DerivedObject, stack: Stack, mask: Mask, remark: str, number: int) -> Finding:
    label = str(described.get("SegmentLabel") or "").strip() or "Segment"
    own = _OWN_TITLE.match(label) if derived.source.manufacturer == _OWN else None
    kind = code_of(described.get("SegmentedPropertyTypeCodeSequence"))
    category = code_of(described.get("SegmentedPropertyCategoryCodeSequence"))
    colour = or_none(lambda: colour_of(described.RecommendedDisplayCIELabValue))
    facts: dict[str, Any] = {} if colour is None else {"colour": colour}
    made = blank(
        stack,
        derived,
        str(described.get("TrackingUID") or ""),
        f"segment {int(described.SegmentNumber)}",
        number,
        label=own["label"] if own else label,
        concept=kind or TISSUE,
        category=category or TISSUE,
        anatomy=code_of(described.get("AnatomicRegionSequence")),
        mask=mask,
        model=_model(described, derived),
        **facts,
    )
    return replace(made, source=remarked(derived.source, remark))


def _model(described: Dataset, derived: DerivedObject) -> ModelSource | None:
    """The algorithm that made a segment; None where a person did."""
    if str(described.get("SegmentAlgorithmType") or "MANUAL") == "MANUAL":
        return None
    identified = group_of(described.get("SegmentationAlgorithmIdentificationSequence"), 0) or Dataset()
    name = str(identified.get("AlgorithmName") or described.get("SegmentAlgorithmName") or "").strip()
    if not name:
        return None
    parameters = dict(
        part.strip().split("=", 1)
        for part in str(identified.get("AlgorithmParameters") or "").split(",")
        if "=" in part
    )
    version = str(identified.get("AlgorithmVersion") or "").strip()
    return model_source(name, version, parameters.get("sha256", ""), parameters.get("backend", ""), derived)
