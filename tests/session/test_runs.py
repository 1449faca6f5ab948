"""Models at work while the reader reads: in order, stoppable, never twice, never on somebody else's pixels."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from overread.domain.errors import UserError
from overread.domain.finding import Mask, Status, find
from overread.domain.geometry import Plane
from overread.domain.ports import Cancel
from overread.domain.view import scrolled
from overread.infer.backends.chain import REFERENCE, Chain
from overread.infer.backends.serving import Served
from overread.infer.detector import OnnxDetector
from overread.infer.manifest import ModelSpec, find_models
from overread.session.review import accept, draw_new, redraw, reject
from overread.session.session import Session
from overread.session.state import Phase, Reading
from support.engines import served_by
from support.models import bright_model
from support.series import head_like, write_series
from support.sitting import DOE, Sitting, box_mask, detectors

MODEL = "glioma-flair"
SLICES = 40


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One person's study with two FLAIR series of forty slices and a T1."""
    folder = tmp_path_factory.mktemp("study")
    for number, description in enumerate(("FLAIR AX", "FLAIR COR", "T1 AX")):
        voxels = head_like((SLICES, 32, 32), seed=number)
        write_series(
            folder / str(number),
            np.roll(voxels, 4 * number, axis=2),
            description=description,
            spacing=(4.0, 4.0),
            step=4.0,
            study="1.2.3",
            series=f"1.2.3.{number}",
            FrameOfReferenceUID="1.2.9",
            SeriesNumber=number,
        )
    return folder


def number(sitting: Sitting | Session, which: int) -> Any:
    session = sitting.session if isinstance(sitting, Sitting) else sitting
    return next(s for s in session.sources.catalogue.stacks if s.identity.series_number == which)


def reading(sitting: Sitting) -> Reading:
    return sitting.session.runs.readings[MODEL]


def loaded(sitting: Sitting, study: Path) -> None:
    """Open a study; the first FLAIR is there, and the model has been put to work but has not begun."""
    sitting.session.open([study])
    while sitting.session.image is None or not sitting.session.image.ready.complete or sitting.mail:
        assert sitting.deliver() or sitting.run()
    assert sitting.session.image.stack.identity.series_number == 0
    assert reading(sitting).phase is Phase.STARTING


def look(sitting: Sitting, index: int) -> None:
    view = sitting.session.view
    sitting.session.set_view(replace(view, cursor=(index, *view.cursor[1:])))


@pytest.mark.parametrize("known", [True, False])
def test_a_model_that_has_passed_is_made_ready_while_the_series_loads(
    sit: Callable[..., Sitting], models: Path, study: Path, tmp_path: Path, known: bool
) -> None:
    chain = Chain((REFERENCE,), tmp_path / "cache")
    fresh = [OnnxDetector(detector.spec, chain) for detector in detectors(models)]
    if known:
        for detector in fresh:
            chain.serve(detector.spec)
    sitting = sit(fresh)
    sitting.session.open([study])
    while sitting.session.image is None:
        assert sitting.deliver() or sitting.run()
    assert (reading(sitting).phase, [detector.served for detector in fresh]) == (Phase.WAITING, [None])
    for job in list(sitting.work.waiting):
        job()
    sitting.work.waiting.clear()
    assert not sitting.session.image.ready.complete, "nothing of the series has arrived"
    assert all((detector.served is not None) == known for detector in fresh), "a self-test would hold up the window"
    sitting.settle()
    assert (reading(sitting).phase, sitting.errors) == (Phase.DONE, [])


def test_what_goes_wrong_with_a_model_is_said_once(sit: Callable[..., Sitting], models: Path, study: Path) -> None:
    class Broken(Chain):
        def serve(self, spec: ModelSpec) -> Served:
            raise UserError("Nothing runs it.", "")

    sitting = sit([OnnxDetector(detector.spec, Broken(())) for detector in detectors(models)])
    sitting.open(study)
    assert (reading(sitting).phase, reading(sitting).text) == (Phase.FAILED, "Nothing runs it.")
    assert sitting.errors == []


def test_what_a_model_saw_enters_as_one_step(sit: Callable[..., Sitting], models: Path, study: Path) -> None:
    sitting = sit(detectors(models))
    phases: list[Phase] = []
    changes: list[int] = []
    sitting.session.reading_changed.connect(lambda new: phases.append(new.phase))
    sitting.session.findings_changed.connect(lambda old, new: changes.append(len(new)))
    sitting.open(study)
    assert list(dict.fromkeys(phases)) == [Phase.WAITING, Phase.STARTING, Phase.RUNNING, Phase.DONE]
    (finding,) = sitting.session.shown_findings
    assert changes == [1]
    assert (finding.status, finding.acts) == (Status.PROPOSED, ())
    assert finding.model is not None
    assert (finding.model.id, len(finding.model.sha256)) == (MODEL, 64)
    assert reading(sitting).done == reading(sitting).total == SLICES
    assert reading(sitting).backend in finding.model.backend
    assert reading(sitting).median_ms is not None
    assert sitting.session.undo_label == "Glioma-flair read FLAIR AX"
    assert sitting.session.undo()
    assert sitting.session.findings == ()
    assert sitting.session.redo()
    assert sitting.session.shown_findings == (finding,)
    assert sitting.errors == []


def test_paused_it_reads_what_one_looks_at_and_goes_on_when_asked(
    sit: Callable[..., Sitting], models: Path, study: Path
) -> None:
    sitting = sit(detectors(models))
    loaded(sitting, study)
    look(sitting, 0)
    sitting.session.runs.pause(MODEL)
    sitting.settle()
    assert (reading(sitting).phase, reading(sitting).done) == (Phase.PAUSED, 13)
    assert sitting.session.findings == ()
    uid = sitting.session.image.stack.uid if sitting.session.image else ""
    assert not sitting.session.runs.live(uid, Plane.AXIAL, SLICES // 2)
    look(sitting, SLICES // 2)
    sitting.settle()
    assert sitting.session.runs.live(uid, Plane.AXIAL, SLICES // 2)
    assert sitting.session.findings == ()
    sitting.session.runs.read_all(MODEL)
    sitting.settle()
    assert reading(sitting).phase is Phase.DONE
    assert len(sitting.session.findings) == 1
    assert not sitting.session.runs.live(uid, Plane.AXIAL, SLICES // 2), "findings are drawn once"


def test_scrolled_on_while_the_last_slice_was_on_its_way(
    sit: Callable[..., Sitting], models: Path, study: Path
) -> None:
    sitting = sit(detectors(models))
    loaded(sitting, study)
    look(sitting, 0)
    sitting.session.runs.pause(MODEL)
    assert sitting.run()
    look(sitting, 30)  # the worker has ended, its end has not arrived
    sitting.settle()
    assert reading(sitting).done > 13


def test_stopped_like_any_job_it_is_paused_and_not_dead(sit: Callable[..., Sitting], models: Path, study: Path) -> None:
    sitting = sit(detectors(models))
    loaded(sitting, study)
    look(sitting, 0)
    sitting.session.stop_youngest()
    sitting.settle()
    assert reading(sitting).phase is Phase.PAUSED
    sitting.session.stop_youngest()
    sitting.session.runs.read_all(MODEL)
    sitting.session.stop_youngest()
    sitting.session.runs.read_all(MODEL)
    sitting.settle()
    assert reading(sitting).phase is Phase.DONE
    assert len(sitting.session.findings) == 1


def test_results_of_a_series_that_was_switched_never_enter(
    sit: Callable[..., Sitting], models: Path, study: Path
) -> None:
    sitting = sit(detectors(models))
    loaded(sitting, study)
    assert sitting.run()
    first, second = number(sitting, 0), number(sitting, 1)
    for _ in range(5):
        sitting.deliver()
    sitting.session.select(second)
    assert reading(sitting).phase is Phase.WAITING
    sitting.settle()
    assert {finding.stack_uid for finding in sitting.session.findings} == {second.uid}
    sitting.session.select(first)
    sitting.settle()
    assert [finding.stack_uid for finding in sitting.session.findings] == [second.uid, first.uid]
    own, other = sitting.session.findings
    assert own.mask != other.mask
    assert sitting.session.shown_findings == (other,)


def test_there_and_back_nothing_is_read_or_said_again(sit: Callable[..., Sitting], models: Path, study: Path) -> None:
    sitting = sit(detectors(models))
    sitting.open(study)
    first, t1 = number(sitting, 0), number(sitting, 2)
    (finding,) = sitting.session.findings
    sitting.session.edit(*accept(sitting.session.findings, [finding.id], DOE))
    sitting.session.undo()
    before, redo = sitting.session.findings, sitting.session.redo_label
    sitting.session.select(t1)
    assert reading(sitting).phase is Phase.CLOSED or sitting.work.waiting
    sitting.settle()
    assert reading(sitting).phase is Phase.CLOSED
    assert "T1" in reading(sitting).text
    times: list[float] = []
    sitting.session.reading_changed.connect(lambda new: times.extend(new.times_ms))
    sitting.session.select(first)
    sitting.settle()
    assert reading(sitting).phase is Phase.DONE
    assert times == [], "the results were kept"
    assert sitting.session.findings == before
    assert sitting.session.redo_label == redo == "Accept Bright 1"


def test_asked_again_or_another_day_it_changes_nothing(sit: Callable[..., Sitting], models: Path, study: Path) -> None:
    sitting = sit(detectors(models))
    sitting.open(study)
    before = sitting.session.findings
    sitting.session.runs.read_all(MODEL)
    sitting.settle()
    assert (sitting.session.findings, sitting.session.undo_label) == (before, "Glioma-flair read FLAIR AX")
    sitting.close()
    again = sit(detectors(models))
    again.open(study)
    assert again.session.findings == before
    assert again.session.undo()
    assert again.session.undo_label == ""


def test_a_new_version_leaves_alone_what_a_person_made_or_judged(
    sit: Callable[..., Sitting], models: Path, study: Path, tmp_path: Path
) -> None:
    sitting = sit(detectors(models))
    sitting.open(study)
    stack = number(sitting, 0)
    shape = stack.grid.shape
    (proposal,) = sitting.session.findings
    label, drawn_too, _ = draw_new(sitting.session.findings, box_mask(shape, (1, 1, 1), (2, 3, 4)), stack, DOE)
    sitting.session.edit(label, drawn_too)
    sitting.session.edit(*reject(sitting.session.findings, [proposal.id], DOE, "artefact"))
    before = sitting.session.findings
    sitting.close()

    bright_model(tmp_path, model_id=MODEL, level=2.0)
    again = sit(detectors(tmp_path))
    again.open(study)
    for finding in before:
        assert find(again.session.findings, finding.id) == finding
    (fresh,) = [finding for finding in again.session.findings if finding.status is Status.PROPOSED]
    assert fresh.number == 3
    # The new proposal, corrected by hand, stays when the old version reads again; untouched it gives way.
    drawn = Mask.of(np.roll(fresh.mask.voxels, 1, axis=0))
    again.session.edit(*redraw(again.session.findings, fresh.id, drawn, stack, DOE, "Brush"))
    kept = again.session.findings
    again.close()
    third = sit(detectors(models))
    third.open(study)
    assert third.session.findings == kept, "the old proposal is there already, rejected"


def test_no_model_begins_while_the_scan_may_still_add_slices(
    sit: Callable[..., Sitting], models: Path, study: Path
) -> None:
    sitting = sit(detectors(models))
    sitting.session.open([study])
    while not any(sitting.session.sources.catalogue.stacks):
        assert sitting.deliver() or sitting.run()
    assert sitting.session.sources.scanning
    sitting.session.select(number(sitting, 0))
    assert reading(sitting).phase is Phase.OFF
    sitting.settle()
    assert reading(sitting).phase is Phase.DONE


def test_a_series_with_a_hole_is_not_read(sit: Callable[..., Sitting], models: Path, tmp_path: Path) -> None:
    files = write_series(tmp_path / "study", head_like((6, 32, 32)), spacing=(4, 4))
    content = files[3].read_bytes()
    files[3].write_bytes(content[:-100])
    sitting = sit(detectors(models))
    sitting.open(tmp_path / "study")
    assert reading(sitting).phase is Phase.CLOSED
    assert "could not be read" in reading(sitting).text
    assert sitting.session.image is not None
    assert sitting.session.image.ready.slices.count(2) == 1


def test_switched_off_and_on(sit: Callable[..., Sitting], models: Path, study: Path) -> None:
    sitting = sit(detectors(models))
    loaded(sitting, study)
    sitting.run()
    sitting.session.toggle_model(MODEL)
    sitting.settle()
    assert (reading(sitting).phase, reading(sitting).done) == (Phase.OFF, 0)
    assert sitting.session.findings == ()
    assert MODEL not in sitting.session.settings.models_on
    sitting.session.toggle_model(MODEL)
    sitting.settle()
    assert reading(sitting).phase is Phase.DONE
    assert len(sitting.session.findings) == 1
    sitting.session.toggle_model(MODEL)
    assert len(sitting.session.findings) == 1, "what was found stays"


class Moody:
    """A backend that works when it likes."""

    name, precision = "Moody", "fp32"

    def __init__(self, error: Exception) -> None:
        self.error: Exception | None = error
        self.calls = 0

    def run(self, tensor: NDArray[np.float32], cancel: Cancel) -> dict[str, NDArray[np.float32]]:
        self.calls += 1
        if self.error is not None:
            raise self.error
        return {"probability": np.asarray(tensor > 1.0, np.float32)}


class OneLink(Chain):
    """A chain that has made up its mind."""

    def __init__(self, backend: Moody) -> None:
        super().__init__()
        self.backend = backend

    def serve(self, spec: ModelSpec) -> Served:
        return served_by(self.backend)


@pytest.mark.parametrize("error", [UserError("Out of memory.", "Close something."), RuntimeError("a fault")])
def test_failed_it_says_so_once_and_goes_on_when_asked(
    sit: Callable[..., Sitting], models: Path, study: Path, error: Exception
) -> None:
    backend = Moody(error)
    sitting = sit([OnnxDetector(spec, OneLink(backend)) for spec in find_models((models,))[0]])
    sitting.open(study)
    assert reading(sitting).phase is Phase.FAILED
    assert ("Out of memory" if isinstance(error, UserError) else "failed while it ran (a fault)") in reading(
        sitting
    ).text
    assert sitting.errors == []
    for index in (3, 4, 30):
        look(sitting, index)
        sitting.settle()
    assert backend.calls == 1, "scrolling does not try it again and again"
    assert sitting.errors == []
    backend.error = None
    sitting.session.runs.read_all(MODEL)
    sitting.settle()
    assert reading(sitting).phase in (Phase.DONE, Phase.NOTHING)
    assert backend.calls == SLICES + 1


def test_the_slice_on_screen_comes_first_then_the_way_one_scrolls(
    sit: Callable[..., Sitting], models: Path, study: Path
) -> None:
    sitting = sit(detectors(models))
    loaded(sitting, study)
    assert sitting.session.image is not None
    grid = sitting.session.image.stack.grid
    look(sitting, 20)
    sitting.session.set_view(scrolled(sitting.session.view, grid, Plane.AXIAL, -1))
    sitting.run()
    order: list[int] = []
    run = sitting.session.runs._runs[MODEL]
    while sitting.deliver():
        order.extend(index for index in run.shelf.results if index not in order)
    assert order[:13] == list(range(19, 6, -1))
    assert sorted(order) == list(range(SLICES))


def test_with_real_workers_while_the_reader_scrolls_and_switches(models: Path, study: Path) -> None:
    box: SimpleQueue[Callable[[], None]] = SimpleQueue()
    session = Session(box.put, ThreadPoolExecutor(4, "test-runs"), detectors(models))
    errors: list[Exception] = []
    session.failed.connect(errors.append)
    session.start()

    def until(done: Callable[[], bool]) -> None:
        while not done():
            box.get(timeout=60)()

    session.open([study])
    until(lambda: not session.sources.scanning and session.image is not None)
    for step in range(60):
        session.select(number(session, step % 3))
        assert session.image is not None
        for _ in range(step % 7):
            if not box.empty():
                box.get()()
            session.set_view(scrolled(session.view, session.image.stack.grid, Plane.AXIAL, 1 + step % 3))
        assert {f.stack_uid for f in session.shown_findings} <= {session.image.stack.uid}
    for which in (0, 1):
        session.select(number(session, which))
        until(lambda: session.runs.readings[MODEL].phase is Phase.DONE)
    session.select(number(session, 0))
    session.close()
    assert errors == []
    assert len(session.sources.catalogue.patients) == 1
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("test-runs")]
