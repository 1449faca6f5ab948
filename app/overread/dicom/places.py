"""Where the slices of a stack lie, and which of them a place in the patient belongs to."""

from __future__ import annotations

import numpy as np
import pydicom
from numpy.typing import ArrayLike

from overread.dicom.quiet import quiet
from overread.dicom.values import floats, group_of
from overread.domain.geometry import Floats
from overread.domain.study import Stack

# Slices of these stacks do not lie where an even lattice has them; their own headers say where they do.
_UNEVEN = frozenset({"missing-slices", "variable-spacing", "drift"})
# Places that differ by less, as a part of a voxel, are one: writers round.
_SAME = 0.05


class Places:
    """The slices of a stack in the patient: LPS mm, one position (of the middle of the first voxel) for each.

    OSError or ValueError where the headers have to be asked and cannot be read any more.
    """

    def __init__(self, stack: Stack) -> None:
        self.stack, grid = stack, stack.grid
        self.oriented = grid.oriented
        self.down, self.across = grid.directions[:, 1], grid.directions[:, 2]
        normal = np.cross(self.across, self.down)
        self.normal: Floats = np.asarray(normal / np.linalg.norm(normal), np.float64)
        if float(self.normal @ grid.affine[:3, 0]) < 0:
            self.normal = -self.normal
        uneven = any(problem.code in _UNEVEN for problem in stack.problems)
        steps = np.arange(grid.shape[0])[:, None] * grid.affine[:3, 0]
        self.positions: Floats = _from_headers(stack) if uneven else np.asarray(grid.origin + steps)
        self.numbers: dict[str, list[int]] = {}
        self._by_frame: dict[tuple[str, int], int] = {}
        for k, frame in enumerate(stack.frames):
            self.numbers.setdefault(frame.sop_instance_uid, []).append(k)
            self._by_frame[frame.sop_instance_uid, frame.index] = k
        along = self.positions @ self.normal
        apart = np.diff(along)
        # Half of what lies between a slice and its nearest neighbours still belongs to it.
        self._reach = float(np.median(apart)) / 2 if apart.size else grid.spacing[0] / 2

    def named(self, uid: str, frame: int | None) -> int | None:
        """The slice of an image and, in a multi-frame file, its frame (counted from 1); None where it is not here.

        Without a frame number the image has to be one slice.
        """
        if frame is not None:
            return self._by_frame.get((uid, frame - 1))
        held = self.numbers.get(uid, [])
        return held[0] if len(held) == 1 else None

    def slices(self, uid: str, frames: list[int] | None) -> list[int]:
        """The slices of an image: those of some frames (counted from 1), or all of it."""
        held = self.numbers.get(uid, [])
        if frames is None:
            return held
        found = (self._by_frame.get((uid, frame - 1)) for frame in frames)
        return [k for k in found if k is not None]

    def at(self, position: ArrayLike) -> int | None:
        """The slice whose first voxel lies at a position; None where there is none."""
        apart = np.linalg.norm(self.positions - np.asarray(position, np.float64), axis=1)
        k = int(apart.argmin())
        return k if apart[k] <= max(_SAME * min(self.stack.grid.spacing), 0.01) else None

    def in_slices(self, points: ArrayLike) -> tuple[Floats, Floats]:
        """Places in slices, and how far from them: (k, j, i) and mm, shapes (n, 3) and (n,), of points (n, 3) in LPS.

        k is the nearest slice, j and i are fractional and count from the middle of its first voxel.
        """
        given = np.asarray(points, np.float64).reshape(-1, 3)
        away = (given @ self.normal)[:, None] - self.positions @ self.normal
        k = np.abs(away).argmin(axis=1)
        within = given - self.positions[k]
        plane = np.stack([self.stack.grid.affine[:3, 1], self.stack.grid.affine[:3, 2]], axis=1)
        inside = within @ np.linalg.pinv(plane).T
        return np.column_stack([k, inside]), np.abs(away[np.arange(len(given)), k])

    @property
    def reach(self) -> float:
        """How far from a slice, in mm, something still belongs to it."""
        return self._reach * 1.001


def _from_headers(stack: Stack) -> Floats:
    """Image Position (Patient) of every slice as the files have it."""
    known: dict[str, pydicom.Dataset] = {}
    found = []
    wanted = ["ImagePositionPatient", "PerFrameFunctionalGroupsSequence"]
    for frame in stack.frames:
        if frame.path not in known:
            with quiet():
                known[frame.path] = pydicom.dcmread(frame.path, stop_before_pixels=True, specific_tags=[*wanted])
        header = known[frame.path]
        group = group_of(header.get("PerFrameFunctionalGroupsSequence"), frame.index)
        plane = group_of(group.get("PlanePositionSequence"), 0) if group is not None else None
        position = floats((plane if plane is not None else header).get("ImagePositionPatient"), 3)
        if position is None:
            raise ValueError("a slice has lost its place")
        found.append(position)
    return np.array(found, np.float64)
