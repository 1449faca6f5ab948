"""A finding is asked why while it is looked at: on a worker, once a slice, without a step of the review."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from overread.domain.errors import UserError
from overread.domain.finding import Finding
from overread.domain.geometry import Plane, plane_axes
from overread.domain.reasons import heatmaps
from overread.infer.scheduler import SliceQueue
from overread.session.explanations import Explanations, on_slice
from overread.session.review import accept, draw_new, redraw
from overread.session.runs import Runs
from overread.session.state import Phase
from support.series import write_series
from support.sitting import DOE, Sitting, box_mask, detectors
from support.tiny import asked_model
from support.values import box_grid

# The model that is on by default.
MODEL = "glioma-flair"


def study(folder: Path) -> Path:
    voxels = np.full((6, 64, 64), 300, np.int16)
    voxels[1:4, 16:32, 24:40] = 950
    voxels[4:, 40:50, 40:50] = 900
    write_series(folder, voxels, step=3.0, spacing=(1.5, 1.5))
    return folder


@pytest.fixture
def sitting(sit: Callable[..., Sitting], tmp_path: Path) -> Sitting:
    asked_model(tmp_path / "models", MODEL)
    made = sit(detectors(tmp_path / "models"))
    made.open(study(tmp_path / "mr"))
    assert made.session.runs.readings[MODEL].phase is Phase.DONE
    return made


def look_at(sitting: Sitting, k: int) -> None:
    session = sitting.session
    session.set_view(replace(session.view, cursor=(k, *session.view.cursor[1:])))
    sitting.settle()


def test_asked_once_kept_by_slice_and_voxels(sitting: Sitting) -> None:
    session, told = sitting.session, []
    why = Explanations(session, lambda: told.append(1))
    before, undo = session.findings, session.undo_label
    first = before[0]
    assert session.image is not None
    look_at(sitting, 2)
    assert why.answerable(first)
    assert why.here(first, Plane.AXIAL, 2) is None
    why.ask(first)
    assert [job.label for job in session.jobs.running] == ["Glioma-flair is asked why"]
    why.ask(first)
    assert len(session.jobs.running) == 1, "the same question is not asked twice"
    sitting.settle()
    first = session.findings[0]
    shown = why.here(first, Plane.AXIAL, 2)
    assert shown is not None
    assert (shown.label, shown.method, shown.index, len(told)) == ("Bright", "Seg-Grad-CAM", 2, 1)
    assert np.flatnonzero(shown.values[2]).tolist() == [3, 4], "cells of columns 24 to 40"
    assert why.here(first, Plane.AXIAL, 3) is why.here(first, Plane.CORONAL, 2) is None
    assert (replace(first, reasons=()), *session.findings[1:]) == before
    assert session.undo_label == undo, "no step of the review"
    assert heatmaps(first) == (shown,)
    assert shown.backend == "ONNX Runtime CPU fp32"
    why.ask(first)
    assert session.jobs.running == ()
    assert len(told) == 2

    # Edited: the region is what the finding is now.
    smaller = box_mask(first.mask.shape, (2, 16, 24), (1, 8, 8))
    session.edit(*redraw(session.findings, first.id, smaller, session.image.stack, DOE, "Erase"))
    edited = session.findings[0]
    assert why.here(edited, Plane.AXIAL, 2) is None
    assert heatmaps(edited) == (), "stale"
    why.ask(edited)
    sitting.settle()
    now = why.here(session.findings[0], Plane.AXIAL, 2)
    assert now is not None
    assert np.argwhere(now.values).tolist() == [[2, 3]]
    assert session.undo()
    assert why.here(session.findings[0], Plane.AXIAL, 2) == shown
    assert heatmaps(session.findings[0]) == (shown,)


def test_answers_outlive_the_sitting_and_stand_in_the_journal(
    sitting: Sitting, sit: Callable[..., Sitting], tmp_path: Path
) -> None:
    session = sitting.session
    why = Explanations(session, lambda: None)
    assert session.image is not None
    for k in (1, 2):
        look_at(sitting, k)
        why.ask(session.findings[0])
        sitting.settle()
    first = session.findings[0]
    session.edit(*accept(session.findings, [first.id], DOE))
    assert session.undo()
    assert session.redo()
    given, who = session.findings[0], session.image.stack.identity
    assert [heatmap.index for heatmap in heatmaps(given)] == [1, 2]
    told = [entry for entry in session.journal(who).entries() if entry.verb == "explain"]
    assert [entry.label for entry in told] == [f"{MODEL} 1.0.0: Seg-Grad-CAM of Bright 1, slice {k}" for k in (2, 3)]
    assert session.journal(who).broken() is None
    sitting.close()

    later = sit()  # without any model
    later.open(tmp_path / "mr")
    again = later.session.findings[0]
    assert again == given
    assert Explanations(later.session, lambda: None).here(again, Plane.AXIAL, 2) == heatmaps(given)[1]
    assert later.session.undo()
    assert heatmaps(later.session.findings[0]) == heatmaps(given), "no step, so nothing that undo takes back"


def test_a_window_that_is_read_only_shows_and_does_not_keep(
    sitting: Sitting, sit: Callable[..., Sitting], tmp_path: Path
) -> None:
    second = sit(detectors(tmp_path / "models"))
    second.open(tmp_path / "mr")
    session = second.session
    assert session.closed is not None
    why = Explanations(session, lambda: None)
    look_at(second, 2)
    why.ask(session.findings[0])
    second.settle()
    assert why.here(session.findings[0], Plane.AXIAL, 2) is not None
    assert session.findings == sitting.session.findings
    assert session.findings[0].reasons == ()
    assert second.errors == []


def test_a_question_gives_way(sitting: Sitting, tmp_path: Path) -> None:
    session = sitting.session
    why, first = Explanations(session, lambda: None), session.findings[0]
    look_at(sitting, 2)
    why.ask(first)
    session.stop_youngest()
    sitting.settle()
    assert why.here(first, Plane.AXIAL, 2) is None, "called off"
    why.ask(first)
    look_at_later = replace(session.view, cursor=(3, *session.view.cursor[1:]))
    session.set_view(look_at_later)
    why.ask(first)
    assert len(session.jobs.running) == 1, "the reader has gone on"
    sitting.settle()
    first = session.findings[0]
    assert why.here(first, Plane.AXIAL, 2) is None
    assert why.here(first, Plane.AXIAL, 3) is not None
    look_at(sitting, 1)
    why.ask(first)
    session.close_image()
    sitting.settle()
    assert why.here(first, Plane.AXIAL, 1) is None
    assert sitting.errors == []


def refused(why: Explanations, finding: Finding) -> str:
    with pytest.raises(UserError) as raised:
        why.ask(finding)
    return str(raised.value)


def test_slices_on_screen_come_before_many_runs(
    sit: Callable[..., Sitting], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked_model(tmp_path / "models", MODEL, method="Score-CAM")
    sitting = sit(detectors(tmp_path / "models"))
    sitting.open(study(tmp_path / "mr"))
    session = sitting.session
    queue = SliceQueue(3)
    monkeypatch.setattr(Runs, "queues", property(lambda runs: (queue,)))
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            while (taken := queue.take()) is not None:
                queue.finish(taken[0], done=True)

    monkeypatch.setattr("overread.session.explanations.time.sleep", sleep)
    why = Explanations(session, lambda: None)
    look_at(sitting, 2)
    why.ask(session.findings[0])
    (job,) = session.jobs.running
    sitting.settle()
    assert job.fraction == 0.0
    assert len(waits) == 3, "until the slices were read"
    assert heatmaps(session.findings[0])[0].method == "Score-CAM, approximate"


def test_what_cannot_be_asked_is_said_in_a_sentence(sitting: Sitting) -> None:
    session = sitting.session
    why, first = Explanations(session, lambda: None), session.findings[0]
    assert session.image is not None
    look_at(sitting, 0)
    assert "does not cross this slice" in refused(why, first)
    look_at(sitting, 2)
    _, findings, drawn = draw_new((), first.mask, session.image.stack, DOE)
    assert "A reader drew this" in refused(why, findings[0])
    assert drawn
    assert not why.answerable(findings[0])
    assert first.model is not None
    elsewhere = replace(first, model=replace(first.model, id="lung-mask", name="Lung mask"))
    assert "Lung mask cannot be asked why" in refused(why, elsewhere)
    older = replace(first, model=replace(first.model, sha256="0" * 64))
    assert "another version" in refused(why, older)
    session.set_view(replace(session.view, plane=Plane.CORONAL))
    assert "reads axial slices" in refused(why, first)
    session.close_image()
    assert "not all there" in refused(why, first)


def test_the_region_lies_as_the_slice_does() -> None:
    mask = box_mask((4, 5, 6), (1, 2, 3), (2, 1, 2))
    for plane in Plane:
        axes = plane_axes(box_grid((4, 5, 6)), plane)
        for index in range(mask.shape[axes.through]):
            assert np.array_equal(on_slice(mask, axes, index), axes.picture(mask.voxels, index))
