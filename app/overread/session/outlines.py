"""Boxes outlined by a model at the reader's wish: asked once, answered by a worker, one step of the review."""

from __future__ import annotations

from collections.abc import Callable

from overread.domain.errors import UserError
from overread.domain.finding import Finding, Kind, Mask, ModelSource, find
from overread.infer.detector import OnnxDetector
from overread.session.boxes import outlined
from overread.session.jobs import Job
from overread.session.review import source_of
from overread.session.session import Session
from overread.session.state import Image


class Outlines:
    """Who can outline a box, and the question that is being answered."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._asked: Job | None = None
        session.image_changed.connect(self._image_changed)

    def model(self, finding: Finding) -> OnnxDetector | None:
        """The model that can outline a box: the one that drew it, else the first that reads such a series."""
        image = self._session.image
        if image is None or finding.kind is not Kind.DETECTION:
            return None
        able = [detector for detector in self._session.detectors if detector.spec.contour is not None]
        own = [detector for detector in able if finding.model is not None and detector.id == finding.model.id]
        stacks = tuple(self._session.sources.catalogue.stacks)
        fitting = (detector for detector in able if not detector.refuse(image.stack, stacks))
        return own[0] if own else next(fitting, None)

    def ask(self, finding: Finding, done: Callable[[str], None]) -> None:
        """Have a model outline what lies in a box; `done` hears what came of it. A question before that is dropped.

        UserError where there is nobody to ask.
        """
        session, image, box = self._session, self._session.image, finding.bounds
        if image is None or not image.ready.complete:
            raise UserError("The series is not all there yet.", "Ask again when it is loaded.")
        if finding.kind is not Kind.DETECTION or box is None:
            raise UserError(f"{finding.title} is no box.", "Select a box to have it outlined.")
        detector = self.model(finding)
        if detector is None:
            raise UserError("No model that is here outlines boxes on such images.", "Draw the outline with B.")
        if self._asked is not None:
            self._asked.cancel.cancel()
        outline, volume, stack = detector.outline, image.volume, image.stack

        def arrived(answer: tuple[Mask, str]) -> None:
            self._asked = None
            mask, backend = answer
            now = find(session.findings, finding.id)
            if now is None or now.bounds != box:
                session.fail(UserError(f"{finding.title} has changed meanwhile and was not outlined.", "Ask again."))
                return
            source: ModelSource = source_of(detector, detector.spec.sha256, backend)
            step = outlined(session.findings, finding.id, mask, source, stack, session.reader)
            if session.edit(*step, model=f"{detector.id} {detector.version}"):
                done(f"{detector.title} outlined {now.title}")

        self._asked = session.jobs.call(
            f"{detector.title} outlines {finding.title}", lambda job: outline(volume, box, job.cancel), arrived
        )

    def _image_changed(self, old: Image | None, new: Image | None) -> None:
        if self._asked is not None and (old is None or new is None or old.stack.uid != new.stack.uid):
            self._asked.cancel.cancel()
            self._asked = None
