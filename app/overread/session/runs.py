"""Models at work on the stack on screen: started by themselves, steered by where the reader looks."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from overread.domain.errors import UserError
from overread.domain.finding import Finding
from overread.domain.geometry import Plane, plane_axes
from overread.domain.listing import Listing
from overread.domain.study import Stack
from overread.domain.view import ViewState
from overread.infer.backends.far import Serving
from overread.infer.detector import ModelRun, OnnxDetector
from overread.infer.gate import partners
from overread.infer.results import Patch, SliceBox, SliceResult
from overread.infer.scheduler import SliceQueue
from overread.infer.volumes import VolumeRun
from overread.session.companions import Companions
from overread.session.jobs import Job, Jobs
from overread.session.kept import Kept, Shelf
from overread.session.passes import Arriving, Pass, Share
from overread.session.state import Image, Phase, Reading

_TIMES = 40
# Results of slices are kept within so many bytes, of stacks that are not on screen any more too.
_KEPT_BYTES = 64 << 20
# A reading that has nothing to say yet.
_FRESH: Mapping[str, Any] = {"text": "", "notice": "", "done": 0, "total": 0, "times_ms": ()}


@dataclass(eq=False)
class _Run:
    """One model on one stack. Everything here belongs to the main thread, but for the queue.

    A model that reads all at once has a queue without slices.
    """

    detector: OnnxDetector
    image: Image
    queue: SliceQueue
    shelf: Shelf
    engine: ModelRun | VolumeRun | None = None
    job: Job | None = None
    delivered: bool = False

    @property
    def whole(self) -> bool:
        """Whether all of the stack is read in one pass, which is then not steered by where the reader looks."""
        return self.detector.spec.patches is not None


class Runs:
    """Keeps every model that is switched on busy with what the reader looks at.

    `changed(reading)` hears of every change; `propose(findings, detector, stack)` gets what a whole stack showed;
    `study()` is asked for all stacks that are open, among which a model finds the other series that it reads.
    """

    def __init__(
        self,
        detectors: Sequence[OnnxDetector],
        jobs: Jobs,
        changed: Callable[[Reading], None],
        propose: Callable[[tuple[Finding, ...], OnnxDetector, Stack], None],
        study: Callable[[], Iterable[Stack]] = tuple,
    ) -> None:
        self._jobs, self._changed, self._propose, self._study = jobs, changed, propose, study
        self._companions = Companions()
        self._answers: dict[tuple[str, ...], tuple[Finding, ...]] = {}
        self._detectors = {detector.id: detector for detector in detectors}
        self._runs: dict[str, _Run] = {}
        self._kept = Kept(_KEPT_BYTES)
        self._trying: Job | None = None
        self.readings: dict[str, Reading] = {
            d.id: Reading(d.id, d.title, d.version, use=d.spec.use, whole=d.spec.patches is not None) for d in detectors
        }

    @property
    def detectors(self) -> tuple[OnnxDetector, ...]:
        """The models there are."""
        return tuple(self._detectors.values())

    def consider(self, image: Image | None, view: ViewState, models_on: Sequence[str]) -> None:
        """Start, leave running or stop each model, after the image or the switches changed."""
        for model_id, detector in self._detectors.items():
            run = self._runs.get(model_id)
            if run is not None and (
                image is None or run.image.stack.uid != image.stack.uid or model_id not in models_on
            ):
                self._stop(model_id)
                run = None
            if image is None or model_id not in models_on:
                self._set(model_id, phase=Phase.OFF, **_FRESH)
            elif run is None:
                self._begin(detector, image, view)

    def _begin(self, detector: OnnxDetector, image: Image, view: ViewState) -> None:
        refused = detector.refuse(image.stack, self._study())
        if refused:
            self._set(detector.id, phase=Phase.CLOSED, **{**_FRESH, "text": refused})
        elif not image.ready.complete:
            self._set(detector.id, phase=Phase.WAITING, **_FRESH)
            self._make_ready(detector)
        elif not image.ready.whole:
            text = f"{detector.title} does not read this series: {image.ready.unread}."
            self._set(detector.id, phase=Phase.CLOSED, **{**_FRESH, "text": text})
        elif detector.spec.patches is not None:
            self._runs[detector.id] = _Run(detector, image, SliceQueue(0), Shelf())
            self._set(detector.id, phase=Phase.STARTING, **_FRESH)
            self._work(self._runs[detector.id])
        else:
            axes = plane_axes(image.stack.grid, detector.spec.prepare.plane)
            count = image.stack.grid.shape[axes.through]
            hashes = tuple(graph.sha256 for graph in detector.spec.graphs)
            beside = tuple(each.uid for each in partners(detector.spec, image.stack, self._study()).values())
            shelf = self._kept.shelf((image.stack.uid, detector.id, (*hashes, *beside)))
            queue = SliceQueue(count, frozenset(shelf.results))
            queue.look_at(view.cursor[axes.through], view.direction)
            self._runs[detector.id] = _Run(detector, image, queue, shelf)
            self._set(detector.id, phase=Phase.STARTING, **{**_FRESH, "done": len(shelf.results), "total": count})
            self._work(self._runs[detector.id])

    def _make_ready(self, detector: OnnxDetector) -> None:
        """Have a worker load the model while the series is still loading; what goes wrong, the run itself will say.

        Not the first time: its self-tests beside the loading would make the window stand still for longer.
        """
        if detector.served is None and detector.chain.knows(detector.spec):
            self._jobs.call(
                f"{detector.title} is made ready",
                lambda job: detector.serve(),
                lambda served: None,
                lambda error: None,
                quiet=True,
            )

    def _work(self, run: _Run) -> None:
        """Have a worker read until nobody waits for more, and then put together what was found."""
        detector, volume = run.detector, run.image.volume
        task = Pass(detector, volume, partners(detector.spec, volume.stack, self._study()), self._companions)
        if run.whole:
            work = partial(task.whole, self._answers)
        else:
            work = partial(task.slices, run.engine, run.queue, dict(run.shelf.results))
        job = self._jobs.stream(
            f"{detector.title} reads {volume.stack.identity.series_description or 'the series'}",
            work,
            lambda value: self._arrived(run, value),
            lambda: self._ended(run),
            lambda error: self._failed(run, error),
        )
        run.job = job if job.running else None

    def _arrived(self, run: _Run, value: Arriving) -> None:
        model_id = run.detector.id
        if self._runs.get(model_id) is not run:
            return
        reading = self.readings[model_id]
        if isinstance(value, str):
            self._set(model_id, text=value)
        elif isinstance(value, (ModelRun, VolumeRun)):
            run.engine = value
            self._set(model_id, phase=reading.phase if reading.phase is Phase.PAUSED else Phase.RUNNING, text="")
            self._say_what_serves(run)
            self._try_faster()
        elif isinstance(value, Share):
            self._say_what_serves(run)
            self._set(model_id, done=value.done, total=value.total)
        elif isinstance(value, SliceResult):
            self._kept.put(run.shelf, value)
            self._say_what_serves(run)
            times = (*self.readings[model_id].times_ms, value.timing.total)[-_TIMES:]
            self._set(model_id, done=len(run.shelf.results), times_ms=times)
        else:
            run.delivered = True
            self._set(model_id, phase=Phase.DONE if value else Phase.NOTHING)
            self._propose(value, run.detector, run.image.stack)

    def _say_what_serves(self, run: _Run) -> None:
        """Say what serves a run now; the milliseconds of what served before are not its own."""
        if self._runs.get(run.detector.id) is not run or run.engine is None or not run.engine.served.alive:
            return
        served, model_id = run.engine.served, run.detector.id
        verdict, reading = served.serving, self.readings[model_id]
        candidate = verdict.candidate
        same = (reading.backend, reading.precision) == (candidate.name, candidate.precision)
        self._set(
            model_id,
            backend=candidate.name,
            precision=candidate.precision,
            times_ms=reading.times_ms if same else (),
            tested_ms=verdict.milliseconds,
            proof=verdict.proof,
            why=served.why,
            notice=served.notice,
            standing=served.standing,
            whither=served.whither,
        )

    def _try_faster(self) -> None:
        """Have a worker try what nobody has tried yet, one link at a time: a faster one serves from then on."""
        if self._trying is not None and self._trying.running:
            return
        waiting = (run for run in self._runs.values() if run.engine is not None and run.engine.served.pending)
        run = next(waiting, None)
        if run is not None and run.engine is not None:
            self._trying = self._jobs.stream(
                f"What runs {run.detector.title} faster",
                partial(_tried, run.engine.served),
                lambda _: self._say_what_serves(run),
                self._try_faster,
                quiet=True,
            )

    def _ended(self, run: _Run) -> None:
        run.job = None
        if self._runs.get(run.detector.id) is run:
            self._go_on(run)  # the reader may have scrolled on between the last slice and the end of the job

    def _failed(self, run: _Run, error: BaseException) -> None:
        run.job = None
        if self._runs.get(run.detector.id) is not run:
            return
        known = isinstance(error, UserError)
        text = str(error) if known else f"{run.detector.title} failed: {type(error).__name__}. Details are in the log."
        self._set(run.detector.id, phase=Phase.FAILED, text=text)
        if not known:
            raise error

    def look(self, view: ViewState) -> None:
        """The reader scrolled: what is on screen comes first."""
        for run in self._runs.values():
            axes = plane_axes(run.image.stack.grid, run.detector.spec.prepare.plane)
            run.queue.look_at(view.cursor[axes.through], view.direction)
            self._go_on(run)

    def _go_on(self, run: _Run) -> None:
        """Read what is wanted, unless that is done already or has failed."""
        failed = self.readings[run.detector.id].phase is Phase.FAILED
        if run.job is None and not run.delivered and not failed and run.queue.wanted:
            self._work(run)

    def pause(self, model_id: str) -> None:
        """Stop reading the rest; what the reader looks at is still read. A pass over all of it is called off."""
        run = self._runs.get(model_id)
        if run is not None and self.readings[model_id].busy:
            run.queue.read_rest(wanted=False)
            if run.whole and run.job is not None:
                run.job.cancel.cancel()
                run.job = None
            self._set(model_id, phase=Phase.PAUSED, text="")

    def stop(self, job: Job) -> bool:
        """Have the model whose job this is read no more than what the reader looks at. False where it is no model's."""
        for model_id, run in self._runs.items():
            if run.job is job:
                self.pause(model_id)
                return True
        return False

    def read_all(self, model_id: str) -> None:
        """Read the whole series, after all or again."""
        run = self._runs.get(model_id)
        if run is None:
            return
        run.queue.read_rest(wanted=True)
        run.delivered = False
        self._set(model_id, phase=Phase.RUNNING, text="")
        if run.job is None:
            self._work(run)

    def has_read(self, stack_uid: str, plane: Plane, index: int) -> bool:
        """Whether every model at work on a stack in this plane has read a slice; False where none is."""
        runs = [
            run
            for run in self._runs.values()
            if run.image.stack.uid == stack_uid and run.detector.spec.prepare.plane is plane and not run.whole
        ]
        return bool(runs) and all(index in run.shelf.results for run in runs)

    @property
    def queues(self) -> tuple[SliceQueue, ...]:
        """What the models at work have before them; a worker may look at these."""
        return tuple(run.queue for run in self._runs.values() if run.job is not None)

    def live(self, stack_uid: str, plane: Plane, index: int) -> list[Patch]:
        """What models saw on a slice that have not yet put their findings together."""
        found: list[Patch] = []
        for _, result in self._live(stack_uid, plane, index):
            drawn = (*result.patches, *(box.outline for box in result.boxes))
            found.extend(patch for patch in drawn if patch is not None)
        return found

    def live_boxes(self, stack_uid: str, plane: Plane, index: int, listing: Listing) -> list[SliceBox]:
        """The boxes that such models saw on a slice, from the scores on that the list shows."""
        results = self._live(stack_uid, plane, index)
        return [box for model, result in results for box in result.boxes if box.score >= listing.cutoff(model)]

    def _live(self, stack_uid: str, plane: Plane, index: int) -> Iterator[tuple[str, SliceResult]]:
        for model_id, run in self._runs.items():
            shown = self.readings[model_id].phase in (Phase.STARTING, Phase.RUNNING, Phase.PAUSED)
            if shown and run.image.stack.uid == stack_uid and run.detector.spec.prepare.plane is plane:
                result = run.shelf.results.get(index)
                if result is not None:
                    yield model_id, result

    def _stop(self, model_id: str) -> None:
        run = self._runs.pop(model_id)
        run.queue.close()
        if run.job is not None:
            run.job.cancel.cancel()

    def _set(self, model_id: str, **changes: Any) -> None:
        old = self.readings[model_id]
        new = replace(old, **changes)
        if new != old:
            self.readings[model_id] = new
            self._changed(new)


def _tried(served: Serving, job: Job) -> Generator[None, None, None]:
    """Try one link after the other."""
    while served.pending and not job.cancel.cancelled:
        served.judge_next()
        yield
