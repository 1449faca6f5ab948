"""The sitting itself: one state, changed by replacement on the main thread, told to whoever listens as (old, new)."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from psygnal import Signal

from overread import paths
from overread.dicom.codecs import Undecodable
from overread.dicom.load import Arrived, empty_volume, load
from overread.dicom.scan import scan
from overread.domain.errors import UserError
from overread.domain.finding import Finding, Findings, Reader, find
from overread.domain.merging import merged
from overread.domain.ports import Detector
from overread.domain.study import Catalogue, Identity, Stack, Window
from overread.domain.view import ViewState, opening, resumed
from overread.domain.volume import Ready
from overread.infer.detector import OnnxDetector
from overread.session import plugins
from overread.session import settings as settings_file
from overread.session.books import Book, Books
from overread.session.jobs import Job, Jobs
from overread.session.journal import Journal
from overread.session.presets import fitted, opening_window
from overread.session.runs import Runs
from overread.session.scratch import Scratch
from overread.session.settings import Settings
from overread.session.state import Image, Reading, Sources


class Session:
    """What is open, what was found, what the reader did."""

    sources_changed = Signal(Sources, Sources)
    image_changed = Signal(object, object)
    view_changed = Signal(ViewState, ViewState)
    findings_changed = Signal(tuple, tuple)
    reading_changed = Signal(Reading)
    settings_changed = Signal(Settings, Settings)
    access_changed = Signal()
    leaving = Signal()  # the image is about to be closed: what is still in the hand goes into the journal now
    failed = Signal(Exception)

    def __init__(
        self,
        dispatch: Callable[[Callable[[], None]], None],
        executor: Executor,
        detectors: Sequence[OnnxDetector] = (),
        plug_ins: Sequence[Detector] = (),
    ) -> None:
        self.sources, self.view = Sources(), ViewState()
        self.image: Image | None = None
        self.settings = Settings()
        self.plugins = tuple(plug_ins)
        self.jobs = Jobs(dispatch, executor, self.fail)
        told = self.reading_changed.emit
        self.runs = Runs(detectors, self.jobs, told, self._propose, lambda: self.sources.catalogue.stacks)
        self._books = Books(paths.data() / "journals")
        self._book: Book | None = None
        self._views: dict[str, ViewState] = {}
        self.offered: dict[str, tuple[Window, ...]] = {}  # by others' presentation states, for a stack
        self._scan: Job | None = None
        self._load: Job | None = None
        self._scratch = Scratch()
        self._settings_path = paths.config() / "settings.toml"

    # Opening

    def start(self) -> None:
        """Read the settings; to be called once, when there are listeners."""
        self._set_settings(settings_file.load(self._settings_path, self.fail))
        self._set_view(replace(self.view, opacity=self.settings.opacity))
        self._set_view(replace(self.view, brush=replace(self.view.brush, diameter_mm=self.settings.brush_mm)))

    def open(self, opened: Sequence[str | Path]) -> None:
        """Look through files, folders or archives; what was open is closed."""
        if self._scan is not None:
            self._scan.cancel.cancel()
        self.close_image()
        given = tuple(Path(path).absolute() for path in opened)
        self._set_sources(Sources(tuple(str(path) for path in given), Catalogue(), scanning=True))
        scratch = self._scratch.folder

        def work(job: Job) -> Generator[Catalogue, None, None]:
            yield from scan(given, scratch)

        self._scan = self.jobs.stream(
            "Looking through the files",
            work,
            lambda catalogue: self._set_sources(replace(self.sources, catalogue=catalogue)),
            self._scanned,
            self._scan_failed,
        )

    def _scanned(self) -> None:
        self._scan = None
        self._set_sources(replace(self.sources, scanning=False))
        catalogue = self.sources.catalogue
        if not catalogue.patients:
            count = len(catalogue.skipped)
            seen = f"{count} file{'s' if count != 1 else ''} looked at" if count else "the folder is empty"
            self.fail(UserError(f"No DICOM images were found ({seen}).", "Open the folder that holds the study."))
            return
        self.change_settings(self.settings.opened(self.sources.paths[0]))
        if self.image is not None and catalogue.stack(self.image.stack.uid) is not None:
            self.runs.consider(self.image, self.view, self.settings.models_on)
            return
        stacks = list(catalogue.stacks)
        here = self.image and self.image.stack.identity.person_and_place
        grown = [stack for stack in stacks if stack.identity.person_and_place == here]
        self.select((grown or [self._first(stacks)])[0])

    def _first(self, stacks: list[Stack]) -> Stack:
        """What to show first: a series that a switched-on model reads, else the longest one."""
        detectors = [d for d in self.detectors if d.id in self.settings.models_on]
        for stack in stacks:
            if any(not detector.refuse(stack, stacks) for detector in detectors):
                return stack
        return max(stacks, key=lambda stack: len(stack.frames))

    def _scan_failed(self, error: BaseException) -> None:
        self._scan = None
        self._set_sources(replace(self.sources, scanning=False))
        self.fail(error)

    def select(self, stack: Stack) -> None:
        """Show a stack: its slice in view first, the rest streaming in. Once more, it goes on where it was stopped."""
        image = self.image
        if image is not None and image.stack.uid == stack.uid and (image.ready.complete or self._load is not None):
            return
        self.close_image()
        try:
            book = self._books.opened(stack.identity)
            volume, voxels = empty_volume(stack)
        except UserError as error:
            self.fail(error)
            return
        except Undecodable as error:
            self.fail(
                UserError(f"This series cannot be opened: {error}.", "Close other programs, or open a part of it.")
            )
            return
        self._set_view(self._view_of(stack, book))
        self._book = book
        self._set_image(Image(volume, Ready(bytes(len(stack.frames)))))
        if book.findings:
            self.findings_changed.emit((), book.findings)
        self.runs.consider(self._readable, self.view, self.settings.models_on)

        def work(job: Job) -> Generator[Arrived, None, None]:
            done = 0
            for arrived in load(stack, voxels, lambda: self.view.cursor[0]):
                done += len(arrived.slices) + len(arrived.failed)
                job.fraction = done / len(stack.frames)
                yield arrived

        self._load = self.jobs.stream(
            f"Loading {stack.identity.series_description or stack.identity.modality}", work, self._arrived, self._loaded
        )

    def _view_of(self, stack: Stack, book: Book) -> ViewState:
        fresh = replace(opening(self.view, stack.grid, opening_window(stack)), listing=book.listing)
        return resumed(self._views.get(stack.uid, fresh), fresh)

    def _arrived(self, arrived: Arrived) -> None:
        if self.image is None:
            return
        ready = bytearray(self.image.ready.slices)
        for k in arrived.slices:
            ready[k] = 1
        for k, _ in arrived.failed:
            ready[k] = 2
        failures = self.image.ready.failures + tuple(f"Slice {k + 1}: {reason}" for k, reason in arrived.failed)
        image = Image(self.image.volume, Ready(bytes(ready), failures))
        if self.view.window.width <= 0 and arrived.slices:
            k = arrived.slices[0]
            real = image.volume.real((slice(k, k + 1), slice(None), slice(None)))
            self._set_view(replace(self.view, window=fitted(real)))
        self._set_image(image)

    def _loaded(self) -> None:
        self._load = None
        if self.image is not None and not self.image.ready.whole:
            text = f"Not all of this series is there: {self.image.ready.unread}."
            self.fail(UserError(text, "Copy the files again from where they came."))
        self.runs.consider(self._readable, self.view, self.settings.models_on)

    @property
    def _readable(self) -> Image | None:
        """The image that models may look at; none while the scan may still add slices, nor where it is read-only."""
        return None if self.sources.scanning or self.closed else self.image

    def close_image(self) -> None:
        """Take the stack off the screen; whatever was still loading is called off."""
        if self._load is not None:
            self._load.cancel.cancel()
            self._load = None
        if self.image is not None:
            self.leaving.emit()
            self._views[self.image.stack.uid] = self.view
            if self._book is not None:
                self._book.listing = self.view.listing
            self.runs.consider(None, self.view, ())
            before, self._book = self.findings, None
            self._set_image(None)
            if before:
                self.findings_changed.emit(before, ())

    def close(self) -> None:
        """End the sitting."""
        self.close_image()
        self.jobs.close()
        self._books.close()
        self._scratch.close()

    def stop_youngest(self) -> None:
        """Call off the job that began last; what it has brought so far stays."""
        running = self.jobs.running
        if not running or self.runs.stop(running[-1]):
            return
        running[-1].cancel.cancel()
        if running[-1] is self._load:
            self._load = None
        if running[-1] is self._scan:
            self._scan = None
            self._set_sources(replace(self.sources, scanning=False))

    # Looking

    def set_view(self, view: ViewState) -> None:
        """Look differently."""
        old = self.view
        self._set_view(view)
        if view.cursor != old.cursor:
            self.runs.look(view)

    # Findings

    @property
    def findings(self) -> Findings:
        """All findings of the study on screen."""
        return self._book.findings if self._book else ()

    @property
    def shown_findings(self) -> tuple[Finding, ...]:
        """Those of the stack on screen."""
        uid = self.image.stack.uid if self.image else ""
        return tuple(finding for finding in self.findings if finding.stack_uid == uid)

    @property
    def selected(self) -> Finding | None:
        """The finding that keys and buttons act on."""
        return find(self.shown_findings, self.view.selected) if self.view.selected else None

    @property
    def reader(self) -> Reader:
        """Who is reading."""
        return Reader(self.settings.reader.strip() or "Unnamed reader")

    @property
    def undo_label(self) -> str:
        """What undo would take back."""
        return self._book.history.undo_label if self._book else ""

    @property
    def redo_label(self) -> str:
        """What redo would do again."""
        return self._book.history.redo_label if self._book else ""

    @property
    def closed(self) -> UserError | None:
        """Why nothing can be changed in the study on screen; None where it can."""
        return self._book.closed if self._book else None

    @property
    def saved(self) -> datetime | None:
        """When the last step was written into the journal."""
        return self._book.saved if self._book else None

    def edit(self, label: str, findings: Findings, model: str = "") -> bool:
        """Make one step: into the journal first, then onto the screen. Returns whether it was made."""
        book = self._book
        if book is None or book.findings == findings:
            return False
        return self._written(book, lambda: book.edit(label, findings, self.reader.name, model))

    def undo(self) -> bool:
        """Take back the last step, if there is one."""
        book = self._book
        return book is not None and self._written(book, lambda: book.travel("undo", self.reader.name))

    def redo(self) -> bool:
        """Do again what was taken back."""
        book = self._book
        return book is not None and self._written(book, lambda: book.travel("redo", self.reader.name))

    def journal(self, who: Identity) -> Journal:
        """The journal of a study. UserError where it cannot be used."""
        return self._books.of(who).journal

    def note(self, verb: str, label: str, who: Identity, record: str = "") -> None:
        """Put something that is no step into the journal of a study: an export, say, or what a model answered."""
        try:
            book = self._books.of(who)
        except UserError as error:
            self.fail(error)
        else:
            self._written(book, lambda: book.note(verb, label, self.reader.name, record))

    def _written(self, book: Book, step: Callable[[], object]) -> bool:
        """Make a step that writes the journal, tell what it changed, and have the disk follow."""
        before, closed = book.findings, book.closed is None
        try:
            step()
        except UserError as error:
            self.fail(error)
            return False
        finally:
            if (book.closed is None) != closed:
                self.access_changed.emit()
        self.jobs.call("Saving", lambda job: book.journal.settle(), lambda _: None, quiet=True)
        if book.clock_went_back:
            self.fail(book.clock_went_back)
        if book.findings != before:
            self.findings_changed.emit(before, book.findings)
        return book.findings != before

    # Models

    @property
    def detectors(self) -> list[OnnxDetector]:
        """The models that read slice by slice."""
        return list(self.runs.detectors)

    def toggle_model(self, model_id: str) -> None:
        """Switch a model on or off."""
        on = self.settings.models_on
        switched = tuple(m for m in on if m != model_id) if model_id in on else (*on, model_id)
        self.change_settings(replace(self.settings, models_on=switched))
        self.runs.consider(self._readable, self.view, switched)

    def _propose(self, findings: tuple[Finding, ...], detector: Detector, stack: Stack) -> None:
        if self.image is None or self.image.stack.uid != stack.uid:
            return
        after = merged(self.findings, findings, detector.id, stack.uid)
        what = stack.identity.series_description or "the series"
        self.edit(f"{detector.title} read {what}", after, f"{detector.id} {detector.version}")

    def run_plugin(self, detector: Detector, done: Callable[[int], None]) -> Job | None:
        """Have a plug-in look at the stack on screen; `done` gets the number of its proposals."""
        return plugins.run(self, detector, self._propose, done)

    # Settings and errors

    def change_settings(self, settings: Settings) -> bool:
        """Like something differently; it is kept for the next sitting. False, and told, where it cannot be kept."""
        before = self.settings
        self._set_settings(settings)
        try:
            settings_file.save(self._settings_path, settings, before)
            return True
        except UserError as error:
            self.fail(error)
            return False

    def fail(self, error: BaseException) -> None:
        """Tell the reader, or the log, what went wrong."""
        if not isinstance(error, Exception):
            raise error
        self.failed.emit(error)

    # The state itself

    def _set_sources(self, new: Sources) -> None:
        old, self.sources = self.sources, new
        if old != new:
            self.sources_changed.emit(old, new)

    def _set_image(self, new: Image | None) -> None:
        old, self.image = self.image, new
        self.image_changed.emit(old, new)

    def _set_view(self, new: ViewState) -> None:
        old, self.view = self.view, new
        if old != new:
            self.view_changed.emit(old, new)

    def _set_settings(self, new: Settings) -> None:
        old, self.settings = self.settings, new
        if old != new:
            self.settings_changed.emit(old, new)
