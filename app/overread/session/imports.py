"""What others found: read when the series that it lies on is opened, entered as one step of the review."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from overread.dicom.found import Found
from overread.domain.finding import Finding
from overread.domain.geometry import Plane
from overread.domain.heatmap import Heatmap
from overread.domain.merging import joined
from overread.domain.study import DerivedObject, Stack
from overread.session.jobs import Job
from overread.session.review import measures_of
from overread.session.session import Session
from overread.session.state import Image, Sources


class Imports:
    """Watches what is opened. `changed` is called when there is a notice to show or none any more.

    Each stack is read once in a sitting, so that what a reader undoes stays undone; ids that are there already change
    nothing, and nothing that is there gives way.
    """

    def __init__(self, session: Session, changed: Callable[[], None] = lambda: None) -> None:
        self._session, self._changed = session, changed
        self._read: set[str] = set()
        self._job: Job | None = None
        self._found: dict[str, Found] = {}
        session.image_changed.connect(self._image_changed)
        session.sources_changed.connect(self._sources_changed)

    @property
    def notices(self) -> tuple[str, ...]:
        """What could not be shown of what was read so far, a sentence each."""
        return tuple(dict.fromkeys(notice for found in self._found.values() for notice in found.notices))

    def map_here(self, finding: Finding, plane: Plane, index: int) -> Heatmap | None:
        """The values of a parametric map on slice `index` of a plane, where the finding is one."""
        found = self._found.get(finding.stack_uid)
        maps = found.maps.get(finding.id, ()) if found is not None else ()
        return next((seen for seen in maps if seen.plane is plane and seen.index == index), None)

    def _sources_changed(self, old: Sources, new: Sources) -> None:
        if old.paths != new.paths or (new.scanning and not old.scanning):
            self._read.clear()
            self._found.clear()
            self._session.offered.clear()
            self._changed()
        if old.scanning and not new.scanning:
            self._consider(self._session.image)

    def _image_changed(self, old: Image | None, new: Image | None) -> None:
        if self._job is not None and (new is None or old is None or old.stack.uid != new.stack.uid):
            self._job.cancel.cancel()
            self._job = None
        self._consider(new)

    def _consider(self, image: Image | None) -> None:
        """Read what speaks of the image, once its first slice is there: that comes before all else."""
        session = self._session
        if image is None or session.sources.scanning or not any(image.ready.slices) or self._job is not None:
            return
        stack = image.stack
        objects = () if stack.uid in self._read else session.sources.catalogue.objects_on(stack)
        if objects:
            self._job = session.jobs.call(
                "Reading what others found",
                lambda job: _read(stack, objects, job),
                lambda found: self._arrived(stack, objects, found),
                self._failed,
            )

    def _arrived(self, stack: Stack, objects: Sequence[DerivedObject], found: Found) -> None:
        self._job = None
        session = self._session
        if session.image is None or session.image.stack.uid != stack.uid:
            return
        self._read.add(stack.uid)
        self._found[stack.uid] = found
        session.offered[stack.uid] = found.windows
        names = list(dict.fromkeys(each.source.title for each in found.findings if each.source is not None))
        label = f"Read {names[0]}" if len(names) == 1 else f"Read {len(names)} objects"
        session.edit(label, joined(session.findings, found.findings, stack.uid))
        self._changed()

    def _failed(self, error: BaseException) -> None:
        self._job = None
        self._session.fail(error)


def _read(stack: Stack, objects: Sequence[DerivedObject], job: Job) -> Found:
    """Read objects and measure what they hold, on a worker."""
    from overread.dicom.read_objects import read_objects  # a slow import, wanted with the first object

    found = read_objects(stack, objects, job.progress)
    return replace(found, findings=tuple(replace(each, measures=measures_of(each, stack)) for each in found.findings))
