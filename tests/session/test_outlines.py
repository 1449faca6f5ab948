"""A model asked to outline a box: on a worker, one step, and nothing where the box has changed meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from overread.domain.errors import UserError
from overread.domain.finding import Finding, Status, VoxelBox
from overread.session.boxes import new_box, put
from overread.session.outlines import Outlines
from support.series import write_series
from support.sitting import Sitting, detectors
from support.tiny import peaks_model

BOX: VoxelBox = (1, 26, 36, 6, 41, 51)


def study(folder: Path) -> Path:
    voxels = np.zeros((8, 96, 96), np.int16)
    voxels[2:5, 30:37, 40:47] = 900
    write_series(folder, voxels, modality="CT", step=2.0)
    return folder


@pytest.fixture
def sitting(sit: Callable[..., Sitting], tmp_path: Path, request: pytest.FixtureRequest) -> Sitting:
    peaks_model(tmp_path / "models", "glioma-flair", contour=getattr(request, "param", True))
    made = sit(detectors(tmp_path / "models"))
    made.open(study(tmp_path / "ct"))
    return made


def drawn(sitting: Sitting, box: VoxelBox = BOX) -> Finding:
    session = sitting.session
    assert session.image is not None
    label, findings, new_id = new_box(session.findings, box, session.image.stack, session.reader)
    session.edit(label, findings)
    return next(f for f in session.findings if f.id == new_id)


def now(sitting: Sitting, finding: Finding) -> Finding:
    return next(f for f in sitting.session.findings if f.id == finding.id)


def test_a_box_is_outlined_in_one_step(sitting: Sitting) -> None:
    outlines, told = Outlines(sitting.session), []
    box = drawn(sitting)
    outlines.ask(box, told.append)
    assert now(sitting, box) == box, "not before the worker has answered"
    sitting.settle()
    made = now(sitting, box)
    lump = np.zeros(made.mask.shape, bool)
    lump[2:5, 30:37, 40:47] = True
    assert np.array_equal(made.mask.voxels, lump)
    assert made.model is not None
    assert (made.model.id, made.status, made.bounds) == ("glioma-flair", Status.EDITED, BOX)
    assert told == [f"Glioma-flair outlined {box.title}"]
    assert sitting.session.undo_label == f"Outline {box.title}"


def test_an_outline_does_not_reach_out_of_its_box(sitting: Sitting) -> None:
    small: VoxelBox = (3, 28, 38, 4, 34, 50)
    box = drawn(sitting, small)
    Outlines(sitting.session).ask(box, lambda _: None)
    sitting.settle()
    k, j, i = np.nonzero(now(sitting, box).mask.voxels)
    assert set(k) == {3}
    assert j.max() < 34
    assert i.max() < 50


def test_a_box_that_has_moved_meanwhile_keeps_what_it_has(sitting: Sitting) -> None:
    session = sitting.session
    assert session.image is not None
    box = drawn(sitting)
    Outlines(session).ask(box, lambda _: pytest.fail("it was not outlined"))
    session.edit(*put(session.findings, box.id, (0, 0, 0, 2, 5, 5), session.image.stack, session.reader, "Move"))
    sitting.settle()
    assert now(sitting, box).bounds == (0, 0, 0, 2, 5, 5)
    assert now(sitting, box).boxed
    assert ["changed meanwhile" in str(error) for error in sitting.errors] == [True]


def test_where_there_is_nothing_the_reader_is_told_so(sitting: Sitting) -> None:
    box = drawn(sitting, (6, 80, 80, 8, 90, 90))
    Outlines(sitting.session).ask(box, lambda _: pytest.fail("it was not outlined"))
    sitting.settle()
    assert now(sitting, box) == box
    assert ["nothing to outline" in str(error) for error in sitting.errors] == [True]


@pytest.mark.parametrize("sitting", [False], indirect=True)
def test_without_a_model_that_outlines_nobody_is_asked(sitting: Sitting) -> None:
    outlines, box = Outlines(sitting.session), drawn(sitting)
    assert outlines.model(box) is None
    with pytest.raises(UserError, match="No model"):
        outlines.ask(box, lambda _: None)
