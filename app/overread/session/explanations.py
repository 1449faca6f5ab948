"""Why a model drew a finding: asked slice by slice, answered by a worker, shown as a heatmap. No step of the review.

What it answered stays with the finding, in the journal too, and leaves with it.
"""

from __future__ import annotations

import json
import time
from collections import OrderedDict
from collections.abc import Callable
from functools import partial

import numpy as np

from overread.domain.errors import UserError
from overread.domain.finding import Bools, Finding, Kind, Mask, find
from overread.domain.geometry import Plane, PlaneAxes, plane_axes
from overread.domain.heatmap import Heatmap, Reason
from overread.domain.reasons import heatmaps
from overread.domain.study import Identity
from overread.infer.detector import OnnxDetector
from overread.infer.why import can_say, drawn_by
from overread.session.jobs import Job
from overread.session.records import reason_record
from overread.session.review import now
from overread.session.session import Session
from overread.session.state import Image

# A finding, the voxels that it has, and the slice.
Key = tuple[str, str, Plane, int]
# A model that is run many times to say why leaves slices on screen the way between two runs, for so long at most.
_POLITE_S = 1.0
# Of the answers that no journal has: a map is a kilobyte or so.
_KEPT = 500


class Explanations:
    """The answers that models gave. `changed` is called when there is a new one to show.

    Those that the journal cannot take, because another window has the study, say, last as long as the sitting.
    """

    def __init__(self, session: Session, changed: Callable[[], None]) -> None:
        self._session, self._changed = session, changed
        self._passing: OrderedDict[Key, Heatmap] = OrderedDict()
        self._asked: tuple[Key, Job] | None = None
        session.image_changed.connect(self._image_changed)

    def here(self, finding: Finding, plane: Plane, index: int) -> Heatmap | None:
        """The map of a finding as it is now on slice `index` of a plane, where one was asked for."""
        question = finding.mask.digest, plane, index
        kept = (reason.heatmap for reason in finding.reasons if reason.question == question)
        return next(kept, None) or self._passing.get((finding.id, *question))

    def answerable(self, finding: Finding) -> bool:
        """Whether the model that drew a finding is here and can say why."""
        detector = self._model(finding)
        return detector is not None and can_say(detector.spec) and finding.kind is Kind.SEGMENTATION

    def ask(self, finding: Finding) -> None:
        """Have the model that drew a finding say why, on the slice of its plane that goes through the cursor.

        A question before that is dropped. UserError where there is nobody to ask or nothing to ask about.
        """
        image = self._session.image
        if image is None or not image.ready.complete:
            raise UserError("The series is not all there yet.", "Ask again when it is loaded.")
        detector = self._model(finding)
        if finding.model is None:
            raise UserError("A reader drew this: there is no model to ask why.")
        if detector is None:
            raise UserError(f"{finding.model.name} cannot be asked why.")
        output, prepare = drawn_by(detector.spec, finding), detector.spec.prepare
        axes = plane_axes(image.stack.grid, prepare.plane)
        if prepare.plane not in self._session.view.planes:
            raise UserError(f"{detector.title} reads {prepare.plane.value} slices.", "P changes the plane.")
        index = self._session.view.cursor[axes.through]
        region = on_slice(finding.mask, axes, index)
        if not region.any():
            raise UserError(f"{finding.title} does not cross this slice.", "Ask on a slice that it crosses.")
        key = finding.id, finding.mask.digest, prepare.plane, index
        if self.here(finding, prepare.plane, index) is not None:
            self._changed()
            return
        if self._asked is not None:
            if self._asked[0] == key and self._asked[1].running:
                return
            self._asked[1].cancel.cancel()
        volume, queues = image.volume, self._session.runs.queues

        def pace(job: Job, done: float) -> None:
            job.progress(done)
            until = time.monotonic() + _POLITE_S
            while any(queue.pressing for queue in queues) and time.monotonic() < until:
                time.sleep(0.005)
                job.progress(done)

        job = self._session.jobs.call(
            f"{detector.title} is asked why",
            lambda job: detector.why(volume, index, region, output, job.cancel, partial(pace, job)),
            lambda heatmap: self._answered(key, heatmap, detector, image.stack.identity),
        )
        self._asked = key, job

    def _answered(self, key: Key, heatmap: Heatmap, detector: OnnxDetector, who: Identity) -> None:
        self._asked = None
        finding = find(self._session.findings, key[0])
        if finding is not None and self._session.closed is None:
            record = reason_record(finding, Reason(heatmap, key[1], now()))
            label = f"{detector.id} {detector.version}: {heatmap.method} of {finding.title}, slice {heatmap.index + 1}"
            self._session.note("explain", label, who, json.dumps(record))
            finding = find(self._session.findings, key[0])
        if finding is None or heatmap not in heatmaps(finding):
            self._passing[key] = heatmap
            while len(self._passing) > _KEPT:
                self._passing.popitem(last=False)
        self._changed()

    def _image_changed(self, old: Image | None, new: Image | None) -> None:
        if self._asked is not None and (old is None or new is None or old.stack.uid != new.stack.uid):
            self._asked[1].cancel.cancel()
            self._asked = None

    def _model(self, finding: Finding) -> OnnxDetector | None:
        known = finding.model.id if finding.model is not None else ""
        return next((detector for detector in self._session.detectors if detector.id == known), None)


def on_slice(mask: Mask, axes: PlaneAxes, index: int) -> Bools:
    """The voxels of a mask on a slice as it lies on the screen, shape (rows, columns)."""
    shape = list(mask.shape)
    shape[axes.through] = 1
    slab = np.zeros(shape, np.bool_)
    at = index - mask.start[axes.through]
    if 0 <= at < mask.extent[axes.through]:
        box = list(mask.box)
        box[axes.through] = slice(0, 1)
        slab[tuple(box)] = mask.inner.take([at], axis=axes.through)
    return axes.picture(slab, 0)
