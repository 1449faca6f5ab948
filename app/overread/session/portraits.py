"""Numbers and pictures of single findings, made by a worker and kept; what is out of date says so."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from overread.domain.finding import Finding
from overread.domain.geometry import Plane
from overread.domain.volume import Ready, Volume
from overread.imaging.compare import Agreement, agreement
from overread.imaging.figures import Figures, figures
from overread.render.crops import Look, crops
from overread.session.jobs import Job
from overread.session.session import Session

# A portrait is some hundred kilobytes of pictures.
_KEPT = 64


# Stack, finding, its voxels, box and status, the model's voxels, how it looks, how large.
Key = tuple[object, ...]


@dataclass(frozen=True, eq=False)
class Portrait:
    """What was worked out for a finding as it was then; `edit` compares what a reader left with what the model drew."""

    key: Key
    figures: Figures | None
    pictures: dict[Plane, NDArray[np.uint8]]
    edit: Agreement | None


class Portraits:
    """Works on one portrait at a time; of what is wanted meanwhile the last counts. `changed` is called for each."""

    def __init__(self, session: Session, changed: Callable[[], None]) -> None:
        self._session, self._changed = session, changed
        self._kept: OrderedDict[Key, Portrait] = OrderedDict()
        self._last: dict[str, Portrait] = {}
        self._job: Job | None = None

    def of(self, finding: Finding, size: int) -> tuple[Portrait | None, bool]:
        """The portrait of a finding, pictures `size` pixels wide, and whether it is of the finding as it is now.

        Where it is not, or none was made yet, one is begun as soon as the slices are there and no other is at work.
        """
        image = self._session.image
        if image is None or finding.bounds is None:
            return None, True
        key = self._key(finding, size)
        kept = self._kept.get(key)
        if kept is not None:
            self._last[finding.id] = kept
            return kept, True
        if _there(finding, image.ready) and (self._job is None or not self._job.running):
            look, volume = self._look, image.volume
            self._job = self._session.jobs.call(
                "Measuring", lambda job: _made(key, finding, volume, look, size), self._arrived, quiet=True
            )
        return self._last.get(finding.id), False

    @property
    def _look(self) -> Look:
        view = self._session.view
        return Look(view.window, view.invert, view.opacity, view.original)

    def _key(self, finding: Finding, size: int) -> Key:
        original = finding.original.digest if finding.original is not None else ""
        drawn = finding.mask.digest, finding.bounds, finding.status, original
        return finding.stack_uid, finding.id, *drawn, self._look, size

    def _arrived(self, made: Portrait) -> None:
        self._kept[made.key] = self._last[str(made.key[1])] = made
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        self._changed()


def _there(finding: Finding, ready: Ready) -> bool:
    """Whether all slices have been dealt with, and those of the finding are there."""
    first, count = finding.mask.start[0], finding.mask.extent[0]
    return ready.complete and all(state == 1 for state in ready.slices[first : first + count])


def _made(key: Key, finding: Finding, volume: Volume, look: Look, size: int) -> Portrait:
    edit = None
    if finding.original is not None and finding.original != finding.mask:
        edit = agreement(finding.original, finding.mask, volume.grid)
    return Portrait(key, figures(finding.mask, volume), crops(finding, volume, look, size), edit)
