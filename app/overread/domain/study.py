"""What lies on disk, as its headers tell it: Patient › Study › Series › Stack. No voxels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from overread.domain.geometry import Grid
from overread.domain.objects import ObjectSource
from overread.domain.ruler import Ruler


@dataclass(frozen=True)
class Identity:
    """Whose pixels these are, copied from the very headers that the pixels came with."""

    patient_id: str
    patient_name: str
    birth_date: str
    sex: str
    study_uid: str
    study_date: str
    study_description: str
    series_uid: str
    series_number: int | None
    series_description: str
    modality: str
    frame_of_reference_uid: str

    @property
    def person_and_place(self) -> tuple[str, str, str, str]:
        """Whose image it is and where it is filed: patient ID and name, study and series UID."""
        return self.patient_id, self.patient_name, self.study_uid, self.series_uid

    @property
    def person(self) -> tuple[str, str, str]:
        """What tells people apart: ID, name (spelling of separators and case aside) and birth date."""
        name = " ".join(self.patient_name.split("=")[0].replace("^", " ").upper().split())
        return self.patient_id, name, self.birth_date

    @property
    def display_name(self) -> str:
        """The patient's name as people read it, from the first group of a PN that is not empty (PS3.5 6.2.1)."""
        groups = self.patient_name.split("=")
        written = next((group for group in groups if group.strip(" ^")), "")
        parts = [part.strip() for part in written.split("^")]
        family, given = parts[0], " ".join(part for part in parts[1:3] if part)
        return ", ".join(part for part in (family, given) if part) or "No name"


@dataclass(frozen=True)
class Problem:
    """Something about a stack that the reader has to know.

    `measurable` is False where lengths and volumes in millimetres would be wrong, so nothing is measured.
    """

    code: str
    text: str
    measurable: bool = True


@dataclass(frozen=True, eq=False)
class Lut:
    """A lookup table of a Modality or VOI LUT Sequence (PS3.3 C.11.1.1, C.11.2.1.1)."""

    first: int
    values: NDArray[np.float64]
    explanation: str = ""

    def apply(self, stored: NDArray[np.float64]) -> NDArray[np.float64]:
        """Values outside the table take its first or last entry."""
        at = np.clip(np.rint(stored) - self.first, 0, len(self.values) - 1).astype(np.intp)
        return np.asarray(self.values[at], dtype=np.float64)


@dataclass(frozen=True)
class Window:
    """What is black and what is white (VOI LUT, PS3.3 C.11.2), in real values."""

    center: float
    width: float
    name: str = ""
    function: str = "LINEAR"


@dataclass(frozen=True)
class Encoding:
    """How a frame's pixels are laid out (Image Pixel Module, PS3.3 C.7.6.3)."""

    rows: int
    columns: int
    samples: int = 1
    bits_allocated: int = 16
    bits_stored: int = 16
    signed: bool = False
    planar: bool = False
    photometric: str = "MONOCHROME2"

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """The stored values' type, in this machine's byte order."""
        return np.dtype(f"{'i' if self.signed else 'u'}{max(self.bits_allocated, 8) // 8}")


@dataclass(frozen=True)
class Frame:
    """Where the pixels of one slice lie, and the file's size and time when its header was read.

    `index` counts within the file, which holds `of` frames. `offset` is the position of the Pixel Data element, -1
    where it cannot be addressed (deflated files).
    """

    path: str
    index: int
    of: int
    sop_instance_uid: str
    transfer_syntax: str
    offset: int
    stamp: tuple[int, int]
    slope: float = 1.0
    intercept: float = 0.0


@dataclass(frozen=True, eq=False)
class Stack:
    """Slices of one series that form one image: same size, same direction, one place each.

    `frames` run along axis k of `grid`. `uid` follows from the frames: other content is another stack.
    """

    uid: str
    identity: Identity
    grid: Grid
    frames: tuple[Frame, ...]
    encoding: Encoding
    sop_class_uid: str = ""
    units: str = ""
    role: str = ""
    body_part: str = ""
    lossy: str = ""
    synthetic: bool = False
    padding: tuple[float, float] | None = None
    windows: tuple[Window, ...] = ()
    voi_lut: Lut | None = None
    modality_lut: Lut | None = None
    problems: tuple[Problem, ...] = ()
    ruler: Ruler = field(default_factory=Ruler)
    made_from: str = ""  # of a secondary capture, the series that it is a picture of

    @property
    def measurable(self) -> bool:
        """Whether lengths and volumes in millimetres hold."""
        return self.grid.oriented and self.grid.calibrated and all(problem.measurable for problem in self.problems)

    @cached_property
    def paths(self) -> tuple[str, ...]:
        """The files that the stack is made of, each once, in slice order."""
        return tuple(dict.fromkeys(frame.path for frame in self.frames))


@dataclass(frozen=True)
class DerivedObject:
    """A file that speaks about images: a segmentation, a report, a structure set, a presentation state.

    `images` are the SOP Instance UIDs that it refers to, `frames_of_reference` those in which it gives places,
    `stacks` the uids of the stacks on which it is shown. `when` is content date and time, by which the younger of two
    is told. `stamp` is the file's size and time when its header was read.
    """

    path: str
    stamp: tuple[int, int]
    identity: Identity
    source: ObjectSource
    when: str
    images: frozenset[str]
    frames_of_reference: frozenset[str]
    stacks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Series:
    """One series of a study."""

    uid: str
    number: int | None
    modality: str
    description: str
    stacks: tuple[Stack, ...]


@dataclass(frozen=True)
class Study:
    """One examination of one patient."""

    uid: str
    date: str
    description: str
    series: tuple[Series, ...]
    objects: tuple[DerivedObject, ...] = ()

    @property
    def stacks(self) -> Iterator[Stack]:
        """All stacks, in the order of their series."""
        return (stack for series in self.series for stack in series.stacks)


@dataclass(frozen=True)
class Patient:
    """One person, told from others by ID, name and birth date together."""

    id: str
    name: str
    birth_date: str
    studies: tuple[Study, ...]


@dataclass(frozen=True)
class Skipped:
    """A file that is no image, and why it was left out."""

    path: str
    reason: str


@dataclass(frozen=True)
class Catalogue:
    """All that a scan found."""

    patients: tuple[Patient, ...] = ()
    skipped: tuple[Skipped, ...] = field(default=())

    @property
    def stacks(self) -> Iterator[Stack]:
        """Every stack of every patient."""
        return (stack for patient in self.patients for study in patient.studies for stack in study.stacks)

    def objects_on(self, stack: Stack) -> tuple[DerivedObject, ...]:
        """What others say about a stack, the youngest first."""
        studies = (study for patient in self.patients for study in patient.studies)
        found = (each for study in studies for each in study.objects if stack.uid in each.stacks)
        return tuple(sorted(found, key=lambda each: each.when, reverse=True))

    def stack(self, uid: str) -> Stack | None:
        """The stack of that identity."""
        return next((stack for stack in self.stacks if stack.uid == uid), None)
