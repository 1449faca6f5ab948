"""What a model or a reader says about an image, and what became of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum, StrEnum
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from overread.domain.geometry import Box, Index
from overread.domain.heatmap import Heatmap, Reason
from overread.domain.mark import Mark
from overread.domain.measurement import Measurement
from overread.domain.objects import ObjectSource
from overread.domain.probability import Probabilities

Bools = NDArray[np.bool_]
# Voxels k0, j0, i0 up to, but not including, k1, j1, i1.
VoxelBox = tuple[int, int, int, int, int, int]


@dataclass(frozen=True)
class Code:
    """A coded concept: value, scheme and meaning (PS3.3 8.8)."""

    value: str
    scheme: str
    meaning: str


@dataclass(frozen=True)
class Term:
    """What something is called: a word to read, its code, and the category that the code belongs to."""

    label: str
    concept: Code
    category: Code


@dataclass(frozen=True, eq=False)
class Mask:
    """Voxels of a grid, cropped to their box and packed, so that versions of it cost what they hold.

    `shape` is the grid's (k, j, i), `start` the box's first voxel, `extent` its size; `packed` the bits of the box in
    C order. Two masks are equal when they hold the same voxels. An empty mask has extent (0, 0, 0).
    """

    shape: Index
    start: Index
    extent: Index
    packed: bytes

    def __post_init__(self) -> None:
        if len(self.packed) != -(-int(np.prod(self.extent)) // 8):
            raise ValueError("a mask holds one bit for each voxel of its box")
        if any(not 0 <= a <= a + n <= size for a, n, size in zip(self.start, self.extent, self.shape, strict=True)):
            raise ValueError("a mask's box lies within its grid")

    @classmethod
    def of(cls, voxels: Bools, offset: Index = (0, 0, 0), shape: Index | None = None) -> Mask:
        """Crop and pack `voxels` (k, j, i), which lie at `offset` in a grid of `shape` (by default their own)."""
        whole = shape or (voxels.shape[0], voxels.shape[1], voxels.shape[2])
        box = bounding_box(voxels)
        if box is None:
            return cls(whole, (0, 0, 0), (0, 0, 0), b"")
        inner = voxels[box]
        k, j, i = (int(part.start) + at for part, at in zip(box, offset, strict=True))
        extent = (inner.shape[0], inner.shape[1], inner.shape[2])
        return cls(whole, (k, j, i), extent, np.packbits(inner, axis=None).tobytes())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mask) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    @property
    def _key(self) -> tuple[Index, Index, Index, bytes]:
        return self.shape, self.start, self.extent, self.packed

    @cached_property
    def digest(self) -> str:
        """SHA-256 over place, size and bits."""
        return hashlib.sha256(repr(self._key[:3]).encode() + self.packed).hexdigest()

    @cached_property
    def count(self) -> int:
        """How many voxels it holds."""
        return int(np.bitwise_count(np.frombuffer(self.packed, np.uint8)).sum())

    def __bool__(self) -> bool:
        return bool(self.packed)

    @property
    def box(self) -> Box:
        """The box within the grid."""
        k, j, i = (slice(at, at + size) for at, size in zip(self.start, self.extent, strict=True))
        return k, j, i

    @property
    def inner(self) -> Bools:
        """The voxels of the box, unpacked, shape `extent`."""
        bits = np.unpackbits(np.frombuffer(self.packed, np.uint8), count=int(np.prod(self.extent)))
        return bits.view(np.bool_).reshape(self.extent)

    def section(self, axis: int, at: int) -> Bools:
        """Slice `at` of the box across an array axis, unpacked: shape `extent`, but 1 along that axis.

        Only the bits of the slice are looked at: a picture of ten large masks would else take ten times their voxels.
        """
        _, rows, columns = self.extent
        bits = np.frombuffer(self.packed, np.uint8)
        if axis == 0:
            first, size = at * rows * columns, rows * columns
            flat = np.unpackbits(bits[first // 8 : -(-(first + size) // 8)])[first % 8 : first % 8 + size]
            return flat.view(np.bool_).reshape(1, rows, columns)
        k, j, i = (np.arange(n) if other != axis else np.array([at]) for other, n in enumerate(self.extent))
        where = (k[:, None, None] * rows + j[:, None]) * columns + i
        return np.asarray(bits[where >> 3] >> (7 - (where & 7)).astype(np.uint8) & 1, np.bool_)

    @property
    def voxels(self) -> Bools:
        """All voxels of the grid, unpacked, shape `shape`."""
        whole = np.zeros(self.shape, np.bool_)
        whole[self.box] = self.inner
        return whole


def bounding_box(voxels: Bools) -> Box | None:
    """The smallest box that holds every set voxel of a (k, j, i) array; None if there is none."""
    seen: Bools = np.any(voxels, axis=0)  # the one pass through all of it that goes the way the voxels lie
    parts: list[slice] = []
    for held in (voxels.reshape(len(voxels), seen.size).any(axis=1), seen.any(axis=1), seen.any(axis=0)):
        where = np.flatnonzero(held)
        if where.size == 0:
            return None
        parts.append(slice(int(where[0]), int(where[-1]) + 1))
    return parts[0], parts[1], parts[2]


@dataclass(frozen=True)
class ModelSource:
    """The model that made a finding, exactly: which weights, run by what, when."""

    id: str
    name: str
    version: str
    sha256: str
    backend: str
    when: datetime


@dataclass(frozen=True)
class Reader:
    """The person who reads."""

    name: str


@dataclass(frozen=True)
class Act:
    """Something a reader did to a finding."""

    reader: Reader
    verb: str
    when: datetime


class Status(Enum):
    """What became of a finding. PROPOSED waits for a person; EDITED counts as accepted, with changes."""

    PROPOSED = "proposed"
    ACCEPTED = "accepted"
    EDITED = "edited"
    REJECTED = "rejected"

    @property
    def leaves(self) -> bool:
        """Whether findings of this status are exported."""
        return self in (Status.ACCEPTED, Status.EDITED)


class Kind(StrEnum):
    """What sort of statement a finding is: voxels, a box, the image as a whole, millimetres, or what others noted."""

    SEGMENTATION = "segmentation"
    DETECTION = "detection"
    CLASSIFICATION = "classification"
    MEASUREMENT = "measurement"
    ANNOTATION = "annotation"


@dataclass(frozen=True)
class Measures:
    """What was measured on a mask: volume in ml, axes in mm, the slice (k) with the largest area and that area."""

    volume_ml: float
    long_axis_mm: float
    short_axis_mm: float
    largest_slice: int
    area_mm2: float


@dataclass(frozen=True)
class Finding:
    """Something proposed by a model or drawn by a reader, and judged by a reader.

    `id` is a DICOM UID and becomes the Tracking UID. `model` is kept for good: an edited finding is still the
    model's, edited by the reader; `original` keeps what the model drew. So it is with what was read from an object of
    somebody else: `source` names it, and the finding is no reader's own before one has judged it.

    A detection has the `box` that was drawn first, for good, and a mask: the outline within, or the box itself;
    `moved` is the box as a reader left it. A classification has an empty mask, the probability of its class as
    `score`, the `threshold` above which the model calls it present, and a `heatmap` that shows why; `present` is what
    a reader says instead. `classes` are the probabilities of each class by label, where a model gives them. A
    measurement has an empty mask, and its points and values. An annotation is what somebody else's object notes on
    slices without an outline: an empty mask and `marks`, which other kinds may have as well. `proposed` is what the
    model called it, where a reader calls it something else, `proposed_site` where it
    put it, one place or none, where a reader says another; `probabilities` and `reasons` are what the model
    held for how likely, and what it answered when it was asked why.
    """

    id: str
    stack_uid: str
    series_uid: str
    number: int
    label: str
    concept: Code
    category: Code
    anatomy: Code | None
    colour: str
    mask: Mask
    measures: Measures | None
    score: float | None
    model: ModelSource | None
    status: Status
    reason: str = ""
    original: Mask | None = None
    acts: tuple[Act, ...] = ()
    kind: Kind = Kind.SEGMENTATION
    box: VoxelBox | None = None
    threshold: float | None = None
    classes: tuple[tuple[str, float], ...] = ()
    heatmap: Heatmap | None = None
    moved: VoxelBox | None = None
    proposed: Term | None = None
    present: bool | None = None
    measurement: Measurement | None = None
    source: ObjectSource | None = None
    marks: tuple[Mark, ...] = ()
    probabilities: Probabilities | None = None
    reasons: tuple[Reason, ...] = ()
    proposed_site: tuple[Code, ...] | None = None

    def __post_init__(self) -> None:
        if self.model is None and self.source is None and not self.acts:
            raise ValueError("a finding comes from a model, an object or a reader")
        require_whole(self.kind, self.mask, self.box, self.score, self.threshold)
        if (self.kind is Kind.MEASUREMENT) != (self.measurement is not None):
            raise ValueError("a measurement has points and values, and nothing else has")
        if self.kind is Kind.ANNOTATION and (self.mask or not self.marks):
            raise ValueError("an annotation has marks and no voxels")
        if self.moved is not None and self.box is None:
            raise ValueError("a box that was never drawn cannot be moved")
        if self.probabilities is not None and (self.model is None or self.probabilities.shape != self.mask.shape):
            raise ValueError("probabilities are a model's, and lie on the grid of its mask")

    @property
    def title(self) -> str:
        """What it is called in lists and undo steps."""
        return f"{self.label} {self.number}"

    @property
    def positive(self) -> bool | None:
        """Whether it is present, as the reader says, else the model; None where that is no question of a threshold."""
        if self.present is not None:
            return self.present
        return None if self.threshold is None or self.score is None else self.score >= self.threshold

    @property
    def erased(self) -> bool:
        """Whether nothing is left of it that could be agreed with."""
        return not self.mask and self.kind not in (Kind.CLASSIFICATION, Kind.MEASUREMENT, Kind.ANNOTATION)

    @property
    def changed(self) -> bool:
        """Whether it is another than was proposed: its voxels, box, name, place, or whether it is there."""
        drawn = self.original is not None and self.original != self.mask
        said = (self.proposed, self.present, self.proposed_site) != (None, None, None)
        return drawn or self.moved not in (None, self.box) or said

    @property
    def given(self) -> bool:
        """Whether a model or somebody's object proposed it. What a reader drew stays theirs when it is read back."""
        drawn = bool(self.acts) and self.acts[0].verb == "draw"
        return self.model is not None or (self.source is not None and not drawn)

    @property
    def begun(self) -> bool:
        """Whether a reader drew what a model then worked on."""
        return self.model is not None and bool(self.acts) and self.acts[0].verb == "draw"

    @property
    def restorable(self) -> bool:
        """Whether there is a version that a model or an object proposed to go back to."""
        return self.given and (self.original is not None or self.changed)

    @property
    def term(self) -> Term:
        """What it is called."""
        return Term(self.label, self.concept, self.category)

    @property
    def boxed(self) -> bool:
        """Whether it is a box and no outline: its size is then not that of what lies within."""
        return only_box(self.mask, self.moved or self.box)

    @property
    def bounds(self) -> VoxelBox | None:
        """The box around it: as it was last drawn or moved, else around the voxels; None for what has neither."""
        if self.moved is not None:
            return self.moved
        if self.box is not None and self.original is None:
            return self.box
        if not self.mask:
            return None
        (k, j, i), (slices, rows, columns) = self.mask.start, self.mask.extent
        return k, j, i, k + slices, j + rows, i + columns

    @property
    def touched(self) -> bool:
        """Whether a person made or judged it; a model run leaves such findings alone."""
        return bool(self.acts)

    @property
    def tint(self) -> str | None:
        """The colour that a reader gave it; None where it has the one it came with."""
        return self.colour if any(act.verb == "colour" for act in self.acts) else None

    @property
    def reader(self) -> Reader | None:
        """Who had the last word."""
        return self.acts[-1].reader if self.acts else None

    def judged(self, status: Status, act: Act, reason: str = "") -> Finding:
        """The same finding after a reader's verdict."""
        return replace(self, status=status, reason=reason, acts=(*self.acts, act))

    def redrawn(self, mask: Mask, measures: Measures | None, act: Act) -> Finding:
        """The same finding after a reader changed its voxels; what was proposed stays in `original`."""
        original = self.mask if self.original is None and self.given else self.original
        return replace(
            self,
            mask=mask,
            measures=measures,
            status=Status.EDITED,
            reason="",
            original=original,
            moved=None,
            acts=(*self.acts, act),
        )


Findings = tuple[Finding, ...]


def require_whole(kind: Kind, mask: Mask, box: VoxelBox | None, score: float | None, threshold: float | None) -> None:
    """ValueError where a finding or a proposal lacks what its kind has, or has what it cannot have."""
    if (kind is Kind.DETECTION) != (box is not None):
        raise ValueError("a detection has a box, and nothing else has")
    if box is not None and any(
        not 0 <= start < stop <= size for start, stop, size in zip(box[:3], box[3:], mask.shape, strict=True)
    ):
        raise ValueError("a detection's box holds voxels of its grid")
    if kind is Kind.CLASSIFICATION and (mask or score is None or threshold is None):
        raise ValueError("a classification has no voxels, but a score and a threshold")
    if kind is Kind.MEASUREMENT and mask:
        raise ValueError("a measurement has no voxels")


def only_box(mask: Mask, box: VoxelBox | None) -> bool:
    """Whether a mask is a detection's box and no outline: its size is then not that of what lies within."""
    return box is not None and mask.start == box[:3] and mask.count == int(np.prod(np.subtract(box[3:], box[:3])))


def find(findings: Findings, finding_id: str) -> Finding | None:
    """The finding of that id."""
    return next((finding for finding in findings if finding.id == finding_id), None)


def with_finding(findings: Findings, changed: Finding) -> Findings:
    """The findings with one replaced, or added at the end."""
    if find(findings, changed.id) is None:
        return (*findings, changed)
    return tuple(changed if finding.id == changed.id else finding for finding in findings)
